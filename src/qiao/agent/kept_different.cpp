#include "qiao/agent/kept_different.h"

#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

namespace qiao::agent {

Task<Status> KeptDifferent::open() {
    if (unsaved_) {
        co_return Status{};
    }
    const auto content = co_await read_file(parts_.storage, path());
    if (!content) {
        const bool none = content.error().is(ErrorCode::StorageMissing);
        co_return none ? Status{} : Status(content.error());
    }
    auto flows = FoundDifferent::parse(as_text(*content));
    if (!flows) {
        co_return Error(
            ErrorCode::Config,
            fmt::format("{} is damaged: move it away, and compare the flows of this node", path())
        );
    }
    flows_ = *std::move(flows);
    co_return Status{};
}

void KeptDifferent::note(
    const std::string& flow, const verify::VerifyReport& report, bool all_tables
) {
    auto& found = flows_[flow];
    const auto before = found;
    found.note(report, all_tables);
    unsaved_ = unsaved_ || found != before;
}

Task<Status> KeptDifferent::write() {
    QIAO_CO_CHECK(co_await parts_.storage.make_folder(parts_.folder));
    const auto text = FoundDifferent::to_json(flows_);
    co_return co_await write_file_atomically(parts_.storage, path(), to_bytes(as_bytes(text)));
}

Task<void> KeptDifferent::save(StopSignal& stop) {
    if (saving_) {
        co_return;  // whoever is at it writes this too
    }
    saving_ = true;
    Backoff backoff(std::chrono::seconds(1), std::chrono::minutes(1));
    while (unsaved_) {
        unsaved_ = false;
        const auto written = co_await write();
        if (written) {
            continue;
        }
        unsaved_ = true;
        const auto pause = backoff.next(parts_.rng);
        if (!co_await sleep_for(parts_.executor, parts_.clock, pause, stop)) {
            break;
        }
    }
    saving_ = false;
}

std::vector<model::TableName> KeptDifferent::tables(const std::string& flow) const {
    const auto known = flows_.find(flow);
    return known == flows_.end() ? std::vector<model::TableName>() : known->second.tables();
}

}  // namespace qiao::agent
