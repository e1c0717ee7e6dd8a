#pragma once

#include "qiao/agent/found_different.h"
#include "qiao/common/async/executor.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/common/storage.h"

#include <string>
#include <vector>

namespace qiao::agent {

/// What comparisons of a node's flows have found different, in memory and in a file of the state
/// folder. It lives as long as the process: a node that is opened again because its disk failed
/// still knows what could not be written, or the flow would be green although its rows differ.
/// Context: one executor. Everything outlives it. Spec: R-36
class KeptDifferent {
public:
    struct Parts {
        Storage& storage;
        Executor& executor;
        Clock& clock;
        Rng& rng;
        std::string folder;  ///< made when missing
    };

    explicit KeptDifferent(Parts parts) : parts_(std::move(parts)) {}

    /// Takes up what the file has, unless something newer waits to be written.
    /// Errors: common.storage_*; common.config for a damaged file, which tells how to go on.
    Task<Status> open();

    void note(const std::string& flow, const verify::VerifyReport& report, bool all_tables);

    /// Writes what was noted since it was last written, again and again until the disk takes it.
    Task<void> save(StopSignal& stop);

    /// Of a flow, in order.
    std::vector<model::TableName> tables(const std::string& flow) const;

private:
    Task<Status> write();

    std::string path() const { return parts_.folder + "/found-different.json"; }

    Parts parts_;
    FoundDifferent::ByFlow flows_;
    bool unsaved_ = false;
    bool saving_ = false;
};

}  // namespace qiao::agent
