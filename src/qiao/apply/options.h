#pragma once

#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/model/change.h"
#include "qiao/model/mapping.h"

#include <cstddef>
#include <functional>

namespace qiao::apply {

/// What happens to a row that the target cannot take as the source says. Source: rules 21
enum class DivergencePolicy : uint8_t {
    Stop,         ///< the flow stops and names code, table and key
    RepairLater,  ///< the row opens an error chain; everything else goes on
};

/// Makes the bytes of a change that may lie in the target's error table.
using SealChange =
    std::function<Result<Bytes>(const model::TransactionHead& head, const model::Change& change)>;

struct ApplierOptions {
    StreamId stream;
    Incarnation owner;  ///< of this process start: the fencing token
    /// What tables and columns are named at the target. What is kept beside the checkpoint, and
    /// what people are told, stays under the source's names. Spec: R-25
    model::Mapping names;

    // One target transaction holds as many source transactions as wait, up to these bounds.
    size_t group_rows_max = 50'000;
    size_t group_bytes_max = size_t{16} << 20U;
    Duration group_work_max =
        std::chrono::milliseconds(200);  ///< aimed at, by the last groups' pace

    size_t queue_bytes = size_t{8} << 20U;
    /// A transaction above it is applied as its fragments come.
    size_t transaction_bytes_max = size_t{4} << 20U;

    /// Fewer rows than this are cheaper one by one in a pipeline than as a set.
    size_t set_rows_min = 8;
    /// Changes of a key within a group become one.
    bool fold = true;
    /// The target's catalogue is read again after this, and after every failure. Source: rules 19
    Duration catalogue_age_max = std::chrono::seconds(30);

    DivergencePolicy policy = DivergencePolicy::Stop;
    /// Where the source tells whole old rows, an update or delete of a row that is not as its old
    /// image says is a divergence, too (apply.foreign_change): both sides have changed it. Else the
    /// key alone counts, and the source's row takes the place of any. Spec: R-01
    bool report_foreign_changes = false;
    SealChange seal;  ///< without it nothing can be laid aside
    /// Names behind which changes wait; more of them stop the flow: apply.errors_full.
    size_t open_errors_max = 100'000;
    /// Changes of one table that wait; with more of them it is out of step and wants a resync.
    uint64_t laid_aside_max = 200'000;

    Duration retry_first = std::chrono::milliseconds(100);
    Duration retry_most = std::chrono::seconds(15);
    /// So many failures in a row are shown as a pause; the tries go on.
    uint32_t retries_shown = 8;
};

}  // namespace qiao::apply
