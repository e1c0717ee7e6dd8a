#include "qiao/engine/first_load.h"

#include <algorithm>
#include <set>

namespace qiao::engine {

Task<Status> FirstLoad::run(
    capture::SnapshotSession& snapshot, uint32_t generation, StopSignal& stop
) {
    LoadSession session{generation, snapshot.joined_at(), {}, {}};
    const auto of_parts = session;  // without the tables, which may be very many
    std::set<model::TableName> tables;
    status_ = {.running = true, .generation = generation};
    waiting_.assign(snapshot.parts().begin(), snapshot.parts().end());
    // The largest first, so that the end is not one long part alone.
    std::ranges::sort(waiting_, std::greater(), &capture::LoadPart::bytes_estimated);
    for (const auto& part : waiting_) {
        tables.insert(part.schema.table);
        status_.rows_estimated += part.rows_estimated;
        status_.bytes_estimated += part.bytes_estimated;
    }
    session.tables.assign(tables.begin(), tables.end());
    session.names = options_.names.of(session.tables);
    status_.tables = tables.size();
    status_.parts = waiting_.size();
    failure_.reset();

    QIAO_CO_CHECK(co_await target_.begin_load(session));
    {
        TaskScope scope(executor_);
        const auto forward = [&scope] { scope.request_stop(); };
        StopSignal::Hook hook(stop, forward);
        for (size_t i = 0; i < std::min(options_.readers, waiting_.size()); ++i) {
            scope.spawn(work(snapshot, of_parts, scope));
        }
        co_await scope.join();
    }
    status_.running = false;
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    if (failure_) {
        status_.last_error = failure_;
        co_return *failure_;
    }
    co_return co_await target_.finish_load(session);
}

/// One of the workers: takes the next waiting part until none is left or one has failed.
Task<void> FirstLoad::work(
    capture::SnapshotSession& snapshot, const LoadSession& session, TaskScope& scope
) {
    while (!waiting_.empty() && !failure_ && !scope.stop().requested()) {
        auto part = std::move(waiting_.front());
        waiting_.pop_front();
        const auto name = part.schema.table.to_string();
        const auto loaded = co_await load_part(snapshot, session, std::move(part), scope.stop());
        if (loaded) {
            ++status_.parts_done;
        } else if (!failure_) {
            failure_ = loaded.error().within("loading " + name);
            scope.request_stop();
        }
    }
}

Task<void> FirstLoad::read_into(
    capture::SnapshotSession::Reader& reader, Queue& queue, Status& ended, StopSignal& stop
) {
    while (true) {
        auto chunk = co_await reader.next(stop);
        if (!chunk) {
            ended = chunk.error();
            break;
        }
        const bool last = chunk->last;
        const auto bytes = chunk->rows.size() + 1;
        if (!co_await queue.send(std::move(*chunk), bytes) || last) {
            break;
        }
    }
    queue.close();
}

Task<Status> FirstLoad::load_part(
    capture::SnapshotSession& snapshot,
    const LoadSession& session,
    capture::LoadPart part,
    StopSignal& stop
) {
    const auto format = snapshot.format(part);
    QIAO_CO_TRY(const auto reader, co_await snapshot.read(part, options_.chunk_bytes));
    QIAO_CO_TRY(const auto writer, co_await target_.open_part(part, format, session));
    Queue queue(executor_, options_.queue_bytes);
    Status read;
    Status written;
    bool complete = false;
    {
        TaskScope scope(executor_);
        scope.spawn(read_into(*reader, queue, read, stop));
        while (auto chunk = co_await queue.receive()) {
            complete = chunk->last;
            status_.rows += chunk->row_count;
            status_.bytes += chunk->rows.size();
            written = co_await writer->write(std::move(*chunk));
            if (!written) {
                queue.close();
                break;
            }
        }
        co_await scope.join();
    }
    QIAO_CO_CHECK(written);
    QIAO_CO_CHECK(read);
    if (!complete) {
        co_return Error(ErrorCode::EngineLoadFailed, "the source ended before its last row");
    }
    co_return co_await writer->finish();
}

}  // namespace qiao::engine
