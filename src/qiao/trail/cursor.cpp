#include "qiao/trail/cursor.h"

#include "qiao/trail/internal/trail_impl.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::trail {
namespace {

using internal::Entry;
using internal::Run;
using internal::Stream;

/// One read of a reader that is behind: large enough for a disk, small enough for a thousand
/// readers.
constexpr uint64_t kReadAheadBytes = 256U << 10U;
/// Reading ahead goes on while at least one byte in so many is the stream's own.
constexpr uint64_t kWorthReading = 4;

Error lost(StreamId stream, StreamPoint behind) {
    return {
        ErrorCode::TrailDamaged,
        fmt::format(
            "stream {} behind {}.{}", stream.to_string(), behind.epoch.value, behind.sequence.value
        )
    };
}

}  // namespace

/// Bytes of a segment that were read for one cursor; records share them.
struct Cursor::State {
    State(Trail::Impl& trail, StreamId stream, StreamPoint after)
        : impl(trail), id(stream), position(after) {}

    struct ReadBlock {
        uint64_t segment = 0;
        uint64_t offset = 0;
        std::shared_ptr<const Bytes> bytes;
    };

    Trail::Impl& impl;
    StreamId id;
    StreamPoint position;
    ReadBlock block;

    Task<Result<std::optional<Record>>> step();
    Task<Result<std::optional<std::pair<uint64_t, Entry>>>> entry_behind(StreamPoint point);
    Task<Result<Record>> fetch(uint64_t segment, Entry entry);
    Task<Status> read_block(uint64_t segment, Entry entry);
    uint64_t worth_reading(uint64_t segment, const Entry& entry) const;
};

/// The next record held behind `point`, durable or not, and its segment.
Task<Result<std::optional<std::pair<uint64_t, Entry>>>> Cursor::State::entry_behind(
    StreamPoint point
) {
    using Found = std::optional<std::pair<uint64_t, Entry>>;
    for (;;) {
        auto* stream = impl.index->find(id);
        const auto run =
            stream == nullptr ? std::deque<Run>::iterator{} : stream->run_behind(point);
        if (stream == nullptr || run == stream->runs.end()) {
            co_return Found{};
        }
        const auto segment = run->segment;
        if (run->entries) {
            const auto entry = std::ranges::upper_bound(*run->entries, point, {}, &Entry::point);
            if (entry == run->entries->end()) {
                co_return lost(id, point);  // the file lost it since it was opened
            }
            co_return Found(std::in_place, segment, *entry);
        }
        QIAO_CO_CHECK(co_await impl.load_segment(segment));
    }
}

Task<Result<std::optional<Record>>> Cursor::State::step() {
    const auto* stream = impl.index->find(id);
    if (stream == nullptr) {
        co_return std::optional<Record>{};
    }
    if (position < stream->floor) {
        co_return Error(
            ErrorCode::TrailGone,
            fmt::format(
                "stream {} behind {}.{}",
                id.to_string(),
                position.epoch.value,
                position.sequence.value
            )
        );
    }
    if (stream->runs.empty() || stream->runs.back().last <= position) {
        if (stream->lost_between(position, stream->tail) && position < stream->tail) {
            co_return lost(id, position);
        }
        co_return std::optional<Record>{};
    }
    QIAO_CO_TRY(const auto found, co_await entry_behind(position));
    if (!found || found->second.point > stream->durable) {
        co_return std::optional<Record>{};
    }
    if (stream->lost_between(position, found->second.point)) {
        co_return lost(id, position);
    }
    QIAO_CO_TRY(auto record, co_await fetch(found->first, found->second));
    position = record.point();
    co_return std::optional<Record>(std::move(record));
}

Task<Result<Record>> Cursor::State::fetch(uint64_t segment, Entry entry) {
    if (const auto cached = impl.writer.cached(segment, entry.offset)) {
        const auto body = ByteView(cached->bytes)
                              .subspan(entry.offset - cached->offset, entry.bytes)
                              .subspan(internal::kRecordHeadBytes);
        co_return Record(entry.point, body, cached);
    }
    const bool at_hand = block.bytes && block.segment == segment && block.offset <= entry.offset &&
                         block.offset + block.bytes->size() >= uint64_t{entry.offset} + entry.bytes;
    if (!at_hand) {
        QIAO_CO_CHECK(co_await read_block(segment, entry));
    }
    const auto bytes = ByteView(*block.bytes).subspan(entry.offset - block.offset);
    const auto parsed = internal::parse_record(bytes, segment, entry.offset, bytes.size());
    if (parsed.outcome != internal::ParsedRecord::Outcome::Whole ||
        parsed.head.point != entry.point) {
        block.bytes.reset();
        co_return lost(id, position).within(fmt::format("segment {} at {}", segment, entry.offset));
    }
    co_return Record(entry.point, parsed.body, block.bytes);
}

/// How many bytes to read from an entry on, so that what is read is mostly this stream's.
uint64_t Cursor::State::worth_reading(uint64_t segment, const Entry& entry) const {
    const auto* stream = impl.index->find(id);
    const auto run = std::ranges::find(stream->runs, segment, &Run::segment);
    uint64_t span = entry.bytes;
    if (run == stream->runs.end() || !run->entries) {
        return span;
    }
    uint64_t own = 0;
    for (auto next = std::ranges::lower_bound(*run->entries, entry.point, {}, &Entry::point);
         next != run->entries->end();
         ++next) {
        const auto reach = uint64_t{next->offset} + next->bytes - entry.offset;
        own += next->bytes;
        if (reach > kReadAheadBytes || own * kWorthReading < reach) {
            break;
        }
        span = std::max(span, reach);
    }
    return span;
}

Task<Status> Cursor::State::read_block(uint64_t segment, Entry entry) {
    const auto wanted = worth_reading(segment, entry);
    const auto path = impl.options.folder + "/" + internal::segment_name(segment);
    auto file = co_await impl.storage.open(path, OpenMode::Read);
    if (!file) {
        const bool removed = !impl.index->segments().contains(segment);
        co_return removed ? Error(ErrorCode::TrailGone, id.to_string()) : file.error();
    }
    auto bytes = std::make_shared<Bytes>(wanted);
    QIAO_CO_TRY(const auto got, co_await (*file)->read_at(entry.offset, *bytes));
    if (got < entry.bytes) {
        co_return lost(id, position).within(fmt::format("segment {} ends early", segment));
    }
    bytes->resize(got);
    block = {segment, entry.offset, std::move(bytes)};
    co_return Status{};
}

Task<Status> Trail::Impl::load_segment(uint64_t segment) {
    const auto path = options.folder + "/" + internal::segment_name(segment);
    auto file = co_await storage.open(path, OpenMode::Read);
    if (!index->segments().contains(segment)) {
        co_return Error(ErrorCode::TrailGone, fmt::format("segment {}", segment));
    }
    if (!file) {
        co_return file.error();
    }
    QIAO_CO_TRY(const auto scan, co_await internal::scan_segment(**file, segment, UINT64_MAX));
    if (!index->segments().contains(segment)) {
        co_return Error(ErrorCode::TrailGone, fmt::format("segment {}", segment));
    }
    index->load(scan);
    co_return Status{};
}

Cursor::Cursor(std::unique_ptr<State> state) : state_(std::move(state)) {}

Cursor::Cursor(Cursor&&) noexcept = default;
Cursor& Cursor::operator=(Cursor&&) noexcept = default;
Cursor::~Cursor() = default;

StreamPoint Cursor::position() const { return state_->position; }

Task<Result<std::optional<Record>>> Cursor::try_next() {
    auto& self = *state_;
    if (self.impl.closing) {
        co_return Error(ErrorCode::TrailClosed);
    }
    const Trail::Impl::Inside inside(self.impl);
    co_return co_await self.step();
}

Task<Result<Record>> Cursor::next(StopSignal& stop) {
    auto& self = *state_;
    auto& stream = self.impl.index->stream(self.id);
    const Trail::Impl::Inside inside(self.impl);
    const auto wake = [&stream] { stream.grew.pulse(); };
    const StopSignal::Hook hook(stop, wake);
    for (;;) {
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        if (self.impl.closing) {
            co_return Error(ErrorCode::TrailClosed);
        }
        // Nothing behind the position is durable: step() could only say the same.
        const bool waits = stream.durable <= self.position && self.position >= stream.floor &&
                           stream.tail >= stream.durable && stream.holes.empty();
        if (!waits) {
            const auto seen = stream.durable;
            QIAO_CO_TRY(auto record, co_await self.step());
            if (record) {
                co_return *std::move(record);
            }
            if (stream.durable != seen) {
                continue;  // became durable while we read
            }
        }
        co_await stream.grew.wait();
    }
}

Task<Result<std::optional<StreamPoint>>> Cursor::skip_damage() {
    auto& self = *state_;
    const Trail::Impl::Inside inside(self.impl);
    auto from = self.position;
    for (;;) {
        QIAO_CO_TRY(const auto found, co_await self.entry_behind(from));
        if (!found || found->second.point > self.impl.index->stream(self.id).durable) {
            co_return std::optional<StreamPoint>{};
        }
        const auto point = found->second.point;
        const auto record = co_await self.fetch(found->first, found->second);
        if (record) {
            self.position = {point.epoch, {point.sequence.value - 1}};
            co_return std::optional(point);
        }
        if (!record.error().is(ErrorCode::TrailDamaged)) {
            co_return record.error();
        }
        from = point;
    }
}

Cursor Trail::read(StreamId stream, StreamPoint after) {
    return Cursor(std::make_unique<Cursor::State>(*impl_, stream, after));
}

Task<Result<Record>> Trail::find(StreamId id, StreamPoint point) {
    auto& self = *impl_;
    const auto* stream = self.index->find(id);
    if (stream == nullptr || point > stream->durable) {
        co_return Error(ErrorCode::TrailOutOfOrder, fmt::format("stream {}", id.to_string()));
    }
    const auto before = StreamPoint{point.epoch, {point.sequence.value - 1}};
    if (point <= stream->floor || point.sequence.value == 0) {
        co_return Error(ErrorCode::TrailGone, fmt::format("stream {}", id.to_string()));
    }
    const Impl::Inside inside(self);
    Cursor::State state(self, id, before);
    QIAO_CO_TRY(const auto found, co_await state.entry_behind(before));
    if (!found ||
        (found->second.point != point && stream->lost_between(before, found->second.point))) {
        co_return lost(id, before);
    }
    if (found->second.point != point) {  // its epoch ended before
        co_return Error(ErrorCode::TrailOutOfOrder, fmt::format("stream {}", id.to_string()));
    }
    co_return co_await state.fetch(found->first, found->second);
}

}  // namespace qiao::trail
