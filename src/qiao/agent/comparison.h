#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/engine/source_flow.h"
#include "qiao/verify/local_side.h"
#include "qiao/verify/verifier.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qiao::agent {

struct ComparisonOptions {
    verify::VerifyOptions verify;
    verify::Part part;             ///< of every table; a sample without a seed draws one for all
    uint64_t rows_per_second = 0;  ///< load brake of each side that is read here; 0: none
    bool repair = false;
    uint32_t repair_rounds = 3;  ///< repairs of one table, each followed by another comparison
};

/// How a comparison stands, for progress.
struct ComparisonProgress {
    enum class Phase : uint8_t { Starting, Comparing, Repairing, Done } phase = Phase::Starting;
    size_t tables = 0, tables_done = 0;
    std::string table;       ///< the present one
    uint64_t rows_read = 0;  ///< of the source
};

/// What became of a repair of one table.
struct RepairReport {
    model::TableName table;
    uint64_t changes = 0;
    uint64_t left_out = 0;       ///< rows that cannot be mended from the source
    std::optional<Error> error;  ///< why it was not repaired, or not wholly
};

struct ComparisonReport {
    verify::VerifyReport report;  ///< the last word on every table
    /// With repair: how the tables that were repaired looked before.
    std::vector<verify::TableReport> before;
    std::vector<RepairReport> repairs;
};

/// For people: what differed before a repair, what was sent, and the report.
std::string render(const ComparisonReport& report, Language language);
/// One JSON object: the report's, with `repairs` and `before`.
std::string to_json(const ComparisonReport& report);

/// Compares the tables of one flow, repairs what differs where that is wished, and compares again.
/// The verdict is always a comparison's, never a repair's. What was compared in part is mended like
/// anything else and proves nothing. Spec. Source: rules 27
class Comparison {
public:
    using Repair = std::function<
        Task<Result<engine::SourceFlow::Repaired>>(verify::RepairList list, StopSignal& stop)>;

    using Prove = std::function<
        Task<Status>(model::TableName table, model::SourcePosition position, StopSignal& stop)>;

    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        verify::LocalSide& source;
        verify::Side& target;
        verify::Flow flow;
        Repair repair;  ///< empty: there is no way
        Prove prove;    ///< told of each table that is equal by all its fields; may be empty
    };

    Comparison(Parts parts, ComparisonOptions options);

    /// Once. Whatever goes wrong with a table stands in the report.
    Task<ComparisonReport> run(std::vector<verify::TablePair> pairs, StopSignal& stop);

    ComparisonProgress progress() const;

private:
    Task<void> compare(verify::TablePair pair, StopSignal& stop);
    Task<void> repair_until_equal(verify::TableOutcome outcome, StopSignal& stop);
    Task<void> conclude(verify::TableReport report, StopSignal& stop);
    Task<Status> repair_once(verify::RepairList list, RepairReport& report, StopSignal& stop);

    Parts parts_;
    ComparisonOptions options_;
    verify::Verifier verifier_;
    ComparisonProgress progress_;
    ComparisonReport report_;
};

}  // namespace qiao::agent
