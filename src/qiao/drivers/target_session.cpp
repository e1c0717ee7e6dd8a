#include "qiao/drivers/target_session.h"

namespace qiao::drivers {

Task<Result<uint64_t>> TargetSession::begin_locked(
    std::string passed, StreamId stream, CheckpointRow expected
) {
    QIAO_CO_CHECK(co_await begin(std::move(passed)));
    co_return co_await lock_checkpoint(stream, std::move(expected));
}

Task<CommitOutcome> TargetSession::advance_and_commit(
    StreamId stream, CheckpointRow from, CheckpointRow to
) {
    const auto advanced = co_await advance(stream, std::move(from), std::move(to));
    if (!advanced) {
        co_return CommitOutcome{CommitOutcome::Kind::Failed, advanced.error()};
    }
    co_return co_await commit();
}

Task<Result<std::vector<WriteResult>>> TargetSession::write_sets(NextSets next) {
    std::vector<WriteResult> results;
    for (auto writes = next(); !writes.empty(); writes = next()) {
        for (const auto& each : writes) {
            QIAO_CO_TRY(auto result, co_await write(each, WriteMode::SetBased));
            results.push_back(std::move(result));
            if (results.back().failure) {
                co_return results;
            }
        }
    }
    co_return results;
}

}  // namespace qiao::drivers
