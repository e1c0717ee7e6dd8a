#include "qiao/common/plant.h"
#include "qiao/trail/internal/trail_impl.h"

#include <algorithm>
#include <string>

/// Upkeep of a trail, one coroutine: writes the consumers file and removes segments.
///
/// A segment may go when each stream's records in it are released by all its consumers, and the
/// grace has passed since that was first seen. A stream that never had a consumer keeps everything
/// (nobody has taken it yet); one whose consumers were all revoked keeps nothing. Over the disk
/// budget, in this order, oldest first: grace is given up; slow consumers of shared streams are cut
/// off where another consumer is further; a newest segment that nobody needs is closed so that it
/// can go; else appends wait.
/// What a removal relies on is on disk before it: first the consumers file, then the removal.
/// Removals are synced one by one, so that a crash never brings an older segment back without the
/// newer ones that follow it. Source: rules 8, 10
namespace qiao::trail {
namespace {

using internal::Segment;
using internal::Stream;

/// A release is frequent; the file with its point is written this much later at most.
constexpr Duration kSaveDelay = std::chrono::milliseconds(200);

/// The run of a stream in a segment, if somebody may still need a record of it.
const internal::Run* needed_run(
    const Stream& stream, uint64_t segment, const internal::Consumers& consumers
) {
    const auto run = std::ranges::find(stream.runs, segment, &internal::Run::segment);
    if (run == stream.runs.end()) {
        return nullptr;
    }
    auto released = consumers.released_by_all(stream.id);
    if (released && is_planted(Plant::RetentionTooFar)) {
        constexpr uint64_t kTooFar = 20;
        released->sequence.value += kTooFar;
    }
    return !released || *released < run->last ? &*run : nullptr;
}

}  // namespace

Task<void> Trail::Impl::upkeep() {
    while (!scope.stop().requested() && !writer.failure()) {
        poke.reset();
        const auto done = co_await upkeep_round();
        if (!done) {
            writer.fail(done.error());
            break;
        }
        ++upkeep_rounds;
        tended.pulse();
        if (poke.is_set()) {
            continue;
        }
        if (const auto due = std::min(save_due, grace_due); due != MonoTime::max()) {
            const auto wake = [this] { poke.set(); };
            timer->start(due, wake);
        }
        co_await poke.wait();
        timer->cancel();
    }
    upkeep_ended = true;
    tended.pulse();
}

Task<Status> Trail::Impl::upkeep_round() {
    if (save_wanted || clock.now() >= save_due) {
        QIAO_CO_CHECK(co_await save_consumers());
    }
    if (!retention_held) {
        QIAO_CO_CHECK(co_await retain());
    }
    co_return Status{};
}

void Trail::Impl::note_release() {
    if (save_due == MonoTime::max()) {
        save_due = clock.now() + kSaveDelay;
        poke.set();
    } else if (waiting_appends != 0) {
        poke.set();
    }
}

Task<Status> Trail::Impl::save_consumers() {
    save_wanted = false;
    save_due = MonoTime::max();
    const auto version = consumers.version();
    if (version != saved_version) {
        const auto path = options.folder + "/" + std::string(internal::kConsumersFile);
        auto content = internal::encode(consumers.table());
        QIAO_CO_CHECK(co_await write_file_atomically(storage, path, std::move(content)));
        saved_version = version;
    }
    co_return Status{};
}

Task<Status> Trail::Impl::save_now() {
    const auto version = consumers.version();
    while (saved_version < version && !upkeep_ended) {
        save_wanted = true;
        poke.set();
        co_await tended.wait();
    }
    if (saved_version >= version) {
        co_return Status{};
    }
    co_return writer.failure() ? *writer.failure() : Error(ErrorCode::TrailClosed);
}

bool Trail::Impl::is_free(Segment& segment) {
    // The one that kept it last time is most likely to keep it still: one look instead of a
    // thousand.
    if (segment.blocker != nullptr && needed_run(*segment.blocker, segment.number, consumers)) {
        return false;
    }
    segment.blocker = nullptr;
    for (auto* stream : segment.streams) {
        if (needed_run(*stream, segment.number, consumers)) {
            segment.blocker = stream;
            segment.free_since.reset();
            return false;
        }
    }
    segment.free_since = segment.free_since.value_or(clock.now());
    return true;
}

bool Trail::Impl::cut_off_slow(const Segment& segment) {
    std::vector<std::pair<StreamId, StreamPoint>> slow;
    for (const auto* stream : segment.streams) {
        if (const auto* run = needed_run(*stream, segment.number, consumers)) {
            if (!consumers.can_cut_off(stream->id, run->last)) {
                return false;  // its only reader: push back instead
            }
            slow.emplace_back(stream->id, run->last);
        }
    }
    for (const auto& [stream, point] : slow) {
        consumers.cut_off(stream, point);
    }
    return true;
}

bool Trail::Impl::room_wanted() const { return waiting_appends != 0 && over_budget(wanted_bytes); }

Task<Status> Trail::Impl::retain() {
    grace_due = MonoTime::max();
    for (const auto number : sealed_segments()) {
        auto& segment = index->segments().at(number);
        if (!is_free(segment)) {
            continue;
        }
        const auto due = *segment.free_since + options.grace;
        if (room_wanted() || clock.now() >= due) {
            QIAO_CO_CHECK(co_await remove_segment(number));
        } else {
            grace_due = std::min(grace_due, due);
        }
    }
    if (!room_wanted()) {
        co_return Status{};
    }
    for (const auto number : sealed_segments()) {
        if (room_wanted() && cut_off_slow(index->segments().at(number))) {
            QIAO_CO_CHECK(co_await remove_segment(number));
        }
    }
    auto& newest = index->segments().rbegin()->second;
    if (room_wanted() && !newest.streams.empty() && (is_free(newest) || cut_off_slow(newest))) {
        rotate();
        writer.request_durable(writer.ticket());
    }
    co_return Status{};
}

/// Those that are behind the durable mark as a whole: nothing is written to them any more.
std::vector<uint64_t> Trail::Impl::sealed_segments() const {
    std::vector<uint64_t> numbers;
    for (const auto& [number, segment] : index->segments()) {
        if (number < writer.mark().segment) {
            numbers.push_back(number);
        }
    }
    return numbers;
}

Task<Status> Trail::Impl::remove_segment(uint64_t number) {
    QIAO_CO_CHECK(co_await save_consumers());
    const auto found = index->segments().find(number);
    if (found == index->segments().end() || !is_free(found->second)) {
        co_return Status{};  // somebody registered meanwhile
    }
    // First out of sight, then off the disk: nobody may find a record that is about to go.
    index->remove_segment(number);
    QIAO_CO_CHECK(co_await storage.remove(options.folder + "/" + internal::segment_name(number)));
    co_return co_await storage.sync_folder(options.folder);
}

}  // namespace qiao::trail
