#include "qiao/trail/trail.h"

#include "qiao/trail/internal/trail_impl.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::trail {
namespace {

using internal::kRecordHeadBytes;
using internal::RecordHead;
using internal::RecordKind;
using internal::Stream;

constexpr uint64_t kSegmentBytesMin = 64U << 10U;
constexpr uint64_t kSegmentBytesMax = 1ULL << 30U;
/// Fewer segments than this within the budget would make removal too coarse.
constexpr uint64_t kSegmentsPerBudget = 4;

std::string to_text(StreamPoint point) {
    return fmt::format("{}.{}", point.epoch.value, point.sequence.value);
}

Error out_of_order(StreamId stream, StreamPoint point, StreamPoint held) {
    return {
        ErrorCode::TrailOutOfOrder,
        fmt::format(
            "stream {} holds up to {}, given {}", stream.to_string(), to_text(held), to_text(point)
        )
    };
}

Status check(TrailOptions& options) {
    if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax) {
        return Error(ErrorCode::Config, "trail: segment_bytes must be 64 KiB to 1 GiB");
    }
    if (options.disk_budget_bytes != 0) {
        if (options.disk_budget_bytes < kSegmentsPerBudget * kSegmentBytesMin) {
            return Error(ErrorCode::Config, "trail: disk_budget_bytes must be 256 KiB at least");
        }
        options.segment_bytes =
            std::min(options.segment_bytes, options.disk_budget_bytes / kSegmentsPerBudget);
    }
    return {};
}

}  // namespace

Trail::Impl::Impl(
    Storage& storage_seam,
    Executor& executor_seam,
    Clock& clock_seam,
    TrailOptions chosen,
    internal::Opened opened
)
    : storage(storage_seam),
      executor(executor_seam),
      clock(clock_seam),
      options(std::move(chosen)),
      lock(std::move(opened.lock)),
      recovery(std::move(opened.recovery)),
      index(std::move(opened.index)),
      consumers(std::move(opened.consumers)),
      writer(storage, executor, options.folder, options.tail_cache_bytes, std::move(opened.start)),
      retention_held(opened.consumers_damaged),
      timer(clock.make_timer()),
      poke(executor),
      tended(executor),
      left(executor),
      scope(executor) {}

Task<Result<std::unique_ptr<Trail>>> Trail::open(
    Storage& storage, Executor& executor, Clock& clock, TrailOptions options
) {
    QIAO_CO_CHECK(check(options));
    QIAO_CO_TRY(auto opened, co_await internal::recover(storage, executor, options));
    opened.start.release = options.release;
    const bool needs_segment = opened.start.data == nullptr;
    auto impl = std::make_unique<Impl>(storage, executor, clock, options, std::move(opened));
    if (needs_segment) {
        impl->rotate();
    }
    const auto on_durable = [raw = impl.get()] { raw->note_durable(); };
    impl->scope.spawn(impl->writer.pump(on_durable));
    impl->scope.spawn(impl->upkeep());
    co_return std::make_unique<Trail>(std::move(impl));
}

Trail::Trail(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Trail::~Trail() { QIAO_ASSERT(impl_->closed); }

Task<Status> Trail::close() {
    auto& self = *impl_;
    if (self.closing) {
        while (!self.closed) {
            co_await self.left.wait();
        }
        co_return Status{};
    }
    self.closing = true;
    self.tended.pulse();
    auto outcome = co_await self.writer.wait_durable(self.writer.ticket());
    if (outcome) {
        outcome = co_await self.save_now();
    }
    for (const auto& [id, stream] : self.index->streams()) {
        stream->grew.pulse();
    }
    self.writer.stop();
    self.scope.request_stop();
    self.poke.set();
    self.tended.pulse();
    co_await self.scope.join();
    while (self.inside != 0) {
        co_await self.left.wait();
    }
    self.closed = true;
    self.lock.reset();
    self.left.pulse();
    co_return outcome;
}

const Recovery& Trail::recovery() const { return impl_->recovery; }

TrailStatus Trail::status() const {
    const auto& self = *impl_;
    TrailStatus status;
    status.condition = self.closing                ? Condition::Closed
                       : self.writer.failure()     ? Condition::Failed
                       : self.waiting_appends != 0 ? Condition::PushingBack
                                                   : Condition::Open;
    status.disk_bytes = self.index->disk_bytes();
    status.disk_budget_bytes = self.options.disk_budget_bytes;
    status.segments = self.index->segments().size();
    status.appended_records = self.appended_records;
    status.appended_bytes = self.appended_bytes;
    status.syncs = self.writer.syncs();
    status.waiting_appends = self.waiting_appends;
    return status;
}

Status Trail::Impl::writable() const {
    if (writer.failure()) {
        return *writer.failure();
    }
    if (closing) {
        return Error(ErrorCode::TrailClosed);
    }
    return {};
}

Status Trail::Impl::check_next(const Stream* stream, StreamPoint point) const {
    // A stream that only has consumers yet starts like a new one.
    const auto tail = stream != nullptr && stream->ref != 0 ? stream->tail : StreamPoint{};
    const bool begins = tail == StreamPoint{} && point.sequence.value == 1;
    if (!begins && !internal::follows(tail, point)) {
        return out_of_order(stream != nullptr ? stream->id : StreamId{}, point, tail);
    }
    return {};
}

Task<Status> Trail::append(StreamId id, StreamPoint point, ByteView payload) {
    StopSignal never;
    co_return co_await append(id, point, payload, never);
}

Task<Status> Trail::append(StreamId id, StreamPoint point, ByteView payload, StopSignal& stop) {
    auto& self = *impl_;
    QIAO_CO_CHECK(self.writable());
    const Impl::Inside inside(self);
    const auto bytes = kRecordHeadBytes + payload.size();
    const auto budget = self.options.disk_budget_bytes;
    if (payload.size() > kPayloadBytesMax || (budget != 0 && bytes > budget / 2)) {
        co_return Error(ErrorCode::TrailTooLarge, fmt::format("{} bytes", payload.size()));
    }
    QIAO_CO_CHECK(self.check_next(self.index->find(id), point));
    if (self.over_budget(bytes)) {
        QIAO_CO_CHECK(co_await self.wait_budget(bytes, stop));
    }
    QIAO_CO_CHECK(co_await self.writer.wait_room());
    QIAO_CO_CHECK(self.writable());
    auto& stream = self.index->stream(id);
    QIAO_CO_CHECK(self.check_next(&stream, point));
    self.put(stream, point, payload);
    co_return Status{};
}

bool Trail::Impl::over_budget(uint64_t more) const {
    return options.disk_budget_bytes != 0 && index->disk_bytes() + more > options.disk_budget_bytes;
}

Task<Status> Trail::Impl::wait_budget(uint64_t bytes, StopSignal& stop) {
    const auto wake = [this] { tended.pulse(); };
    const StopSignal::Hook hook(stop, wake);
    ++waiting_appends;
    const auto before = upkeep_rounds;
    auto outcome = writable();
    while (outcome && over_budget(bytes)) {
        if (stop.requested()) {
            outcome = Error(ErrorCode::Cancelled);
            break;
        }
        // One whole round of upkeep has looked for room since we came: there is none.
        if (options.over_budget == OverBudget::Refuse && upkeep_rounds >= before + 2) {
            outcome = Error(
                ErrorCode::TrailOverBudget, fmt::format("{} bytes are used", index->disk_bytes())
            );
            break;
        }
        wanted_bytes = std::max(wanted_bytes, bytes);
        if (options.over_budget == OverBudget::Refuse || upkeep_rounds == before) {
            poke.set();
        }
        co_await tended.wait();
        outcome = writable();
    }
    if (--waiting_appends == 0) {
        wanted_bytes = 0;
    }
    co_return outcome;
}

void Trail::Impl::define(Stream& stream) {
    RecordHead head;
    head.kind = static_cast<uint8_t>(RecordKind::Define);
    head.ref = stream.ref;
    head.point = stream.tail;
    writer.put(head, stream.id.view());
    index->grow_segment(writer.segment(), kRecordHeadBytes + StreamId::kSize);
    stream.defined_in = writer.segment();
}

void Trail::Impl::put(Stream& stream, StreamPoint point, ByteView payload) {
    const auto bytes = kRecordHeadBytes + payload.size();
    const auto& newest = index->segments().at(writer.segment());
    if (!newest.streams.empty() && writer.segment_end() + bytes > options.segment_bytes) {
        rotate();
    }
    if (stream.ref == 0) {
        index->assign_ref(stream);
    }
    // A new epoch is defined again, so that a reader can tell that nothing is missing before it.
    if (stream.defined_in != writer.segment() || point.epoch != stream.tail.epoch) {
        define(stream);
    }
    RecordHead head;
    head.kind = static_cast<uint8_t>(RecordKind::Data);
    head.ref = stream.ref;
    head.point = point;
    const auto offset = writer.put(head, payload);
    index->grow_segment(writer.segment(), bytes);
    index->append(
        stream,
        writer.segment(),
        {point, static_cast<uint32_t>(offset), static_cast<uint32_t>(bytes)}
    );
    pending.push_back({&stream, point, writer.ticket()});
    appended_records += 1;
    appended_bytes += payload.size();
}

/// Every known stream is defined again at the head of a segment: each segment tells all tails, so
/// removing older ones forgets none.
void Trail::Impl::rotate() {
    const auto before = writer.segment();
    if (const auto seal_bytes = writer.begin_segment(clock.wall_now()); seal_bytes != 0) {
        index->grow_segment(before, seal_bytes);
    }
    index->begin_segment(writer.segment());
    index->grow_segment(writer.segment(), writer.segment_end());
    std::vector<Stream*> known;
    for (const auto& [id, stream] : index->streams()) {
        if (stream->ref != 0) {
            known.push_back(stream.get());
        }
    }
    // By reference, so that the same history gives the same bytes.
    std::ranges::sort(known, {}, &Stream::ref);
    for (auto* stream : known) {
        define(*stream);
    }
}

void Trail::Impl::note_durable() {
    while (!pending.empty() && pending.front().ticket <= writer.durable_ticket()) {
        auto& [stream, point, ticket] = pending.front();
        // A restart since then has dropped this record.
        if (point <= stream->tail && point > stream->durable) {
            stream->durable = point;
            stream->grew.pulse();
        }
        pending.pop_front();
    }
    if (waiting_appends != 0 || writer.failure()) {
        poke.set();  // a segment may have become removable, or all waiting is over
    }
}

Task<Status> Trail::restart(StreamId id, StreamPoint before) {
    auto& self = *impl_;
    QIAO_CO_CHECK(self.writable());
    auto& stream = self.index->stream(id);
    std::erase_if(self.pending, [&](const auto& entry) { return entry.stream == &stream; });
    self.index->restart(stream, before);
    self.index->assign_ref(stream);
    self.define(stream);
    co_return Status{};
}

Task<Status> Trail::sync() {
    auto& self = *impl_;
    QIAO_CO_CHECK(self.writable());
    const Impl::Inside inside(self);
    co_return co_await self.writer.wait_durable(self.writer.ticket());
}

Task<Status> Trail::wait_durable(StreamId id, StreamPoint point) {
    auto& self = *impl_;
    const auto* stream = self.index->find(id);
    if (stream != nullptr && point <= stream->durable) {
        co_return Status{};
    }
    QIAO_CO_CHECK(self.writable());
    if (stream == nullptr || point > stream->tail) {
        co_return out_of_order(id, point, stream != nullptr ? stream->tail : StreamPoint{});
    }
    const Impl::Inside inside(self);
    co_return co_await self.writer.wait_durable(self.writer.ticket());
}

std::vector<StreamId> Trail::streams() const {
    std::vector<StreamId> ids;
    for (const auto& [id, stream] : impl_->index->streams()) {
        if (stream->ref != 0) {
            ids.push_back(id);
        }
    }
    std::ranges::sort(ids);
    return ids;
}

std::optional<StreamPoint> Trail::tail(StreamId id) const {
    const auto* stream = impl_->index->find(id);
    return stream != nullptr && stream->ref != 0 ? std::optional(stream->tail) : std::nullopt;
}

std::optional<StreamPoint> Trail::durable_tail(StreamId id) const {
    const auto* stream = impl_->index->find(id);
    const bool known = stream != nullptr && stream->ref != 0 && stream->durable != StreamPoint{};
    return known ? std::optional(stream->durable) : std::nullopt;
}

std::optional<StreamPoint> Trail::first(StreamId id) const {
    const auto* stream = impl_->index->find(id);
    if (stream == nullptr || stream->runs.empty()) {
        return std::nullopt;
    }
    return stream->runs.front().first;
}

StreamPoint Trail::held_after(StreamId id) const {
    const auto* stream = impl_->index->find(id);
    return stream != nullptr ? stream->floor : StreamPoint{};
}

}  // namespace qiao::trail
