#include "qiao/engine/transfer_log.h"

#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"
#include "qiao/engine/internal/transfer_log_format.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {
namespace {

using internal::LogReader;

constexpr size_t kSegmentReadMost = size_t{1} << 30U;
/// A head with the longest name of a node; a shorter file hardly has a record.
constexpr size_t kTornHeadMost = 40 + 4 * size_t{64};
/// One write of a flush; bounds the copy that is made for it.
constexpr size_t kWriteBytes = size_t{1} << 20U;
constexpr Duration kOpenPauseMost = std::chrono::minutes(1);

Task<Result<std::vector<uint64_t>>> list_segments(Storage& storage, std::string folder) {
    QIAO_CO_TRY(const auto names, co_await storage.list(folder));
    std::vector<uint64_t> numbers;
    for (const auto& name : names) {
        if (const auto number = internal::log_number(name); number != 0) {
            numbers.push_back(number);
        }
    }
    std::ranges::sort(numbers);
    co_return numbers;
}

}  // namespace

std::string_view to_text(HandOverKind kind) {
    switch (kind) {
        case HandOverKind::Captured:
            return "captured";
        case HandOverKind::Sent:
            return "sent";
        case HandOverKind::Held:
            return "held";
        case HandOverKind::Applied:
            return "applied";
        case HandOverKind::Loaded:
            return "loaded";
        case HandOverKind::Refused:
            return "refused";
    }
    return "unknown";
}

HandOver HandOver::of(
    HandOverKind kind,
    const packet::OriginHeader& origin,
    size_t bytes,
    const Digest& digest,
    std::string flow,
    std::string peer
) {
    HandOver it;
    it.kind = kind;
    it.peer = std::move(peer);
    it.flow = std::move(flow);
    it.stream = origin.stream;
    it.point = {origin.epoch, origin.sequence};
    it.first = origin.first;
    it.last = origin.last;
    it.counts = origin.counts;
    it.bytes = bytes;
    it.digest = digest;
    return it;
}

TransferLog::~TransferLog() = default;

std::string TransferLog::path(uint64_t number) const {
    return options_.folder + "/" + internal::log_name(number);
}

Task<Status> TransferLog::open() {
    auto done = co_await storage_.make_folder(options_.folder);
    if (done) {
        done = co_await recover();
    }
    opened_ = static_cast<bool>(done);
    if (!done) {
        file_.reset();
        status_.last_error = done.error();
        open_pause_ = std::min(std::max(2 * open_pause_, options_.flush_every), kOpenPauseMost);
        open_due_ = clock_.now() + open_pause_;
    }
    co_return done;
}

/// A newest segment of a newer format is read as a whole at each try: not every second.
Task<Status> TransferLog::reopen() {
    if (clock_.now() >= open_due_) {
        co_return co_await open();
    }
    co_return *status_.last_error;
}

/// Goes on behind the last whole record of the newest segment. A segment that is damaged before its
/// end stays as it is, because what lies behind the damage is evidence too; a new one is begun.
Task<Status> TransferLog::recover() {
    kept_ = true;
    QIAO_CO_TRY(const auto numbers, co_await list_segments(storage_, options_.folder));
    if (numbers.empty()) {
        co_return Status{};
    }
    number_ = numbers.back();
    QIAO_CO_TRY(const auto content, co_await read_file(storage_, path(number_), kSegmentReadMost));
    QIAO_CO_TRY(auto reader, LogReader::open(content, number_));
    if (!reader && content.size() <= internal::encode_log_head({0, {}, options_.node}).size()) {
        // Its head was never synced, so nothing ever stood behind it.
        QIAO_CO_CHECK(co_await storage_.remove(path(number_)));
        QIAO_CO_CHECK(co_await storage_.sync_folder(options_.folder));
        --number_;
        co_return Status{};
    }
    if (!reader || reader->head().node != options_.node) {
        co_return Status{};
    }
    while (reader->next()) {
    }
    const auto whole = reader->offset();
    if (!reader->at_end() && reader->skip()) {
        co_return Status{};
    }
    QIAO_CO_TRY(file_, co_await storage_.open(path(number_), OpenMode::ReadWrite));
    offset_ = whole;
    if (whole != content.size()) {
        QIAO_CO_CHECK(co_await file_->truncate(whole));
    }
    co_return Status{};
}

void TransferLog::record(const HandOver& hand_over) {
    auto body = internal::encode_log_body(hand_over, clock_.wall_now());
    const bool fits = status_.buffered_bytes + body.size() <= options_.buffer_bytes &&
                      body.size() <= internal::kLogBodyBytesMax;
    if (!fits) {
        ++status_.lost;
        return;
    }
    ++status_.records;
    status_.buffered_bytes += body.size();
    buffer_.push_back(std::move(body));
}

Task<Status> TransferLog::begin_segment() {
    if (!kept_) {
        const auto removed = co_await storage_.remove(path(number_));
        if (!removed && !removed.error().is(ErrorCode::StorageMissing)) {
            co_return removed;
        }
        --number_;
        kept_ = true;
    }
    const auto number = number_ + 1;
    QIAO_CO_TRY(auto file, co_await storage_.open(path(number), OpenMode::Create));
    number_ = number;
    kept_ = false;
    const auto head = internal::encode_log_head({number, clock_.wall_now(), options_.node});
    QIAO_CO_CHECK(co_await file->write_at(0, head));
    QIAO_CO_CHECK(co_await file->sync());
    QIAO_CO_CHECK(co_await storage_.sync_folder(options_.folder));
    offset_ = head.size();
    file_ = std::move(file);
    // A segment that will not go is shown, and what is new is written all the same.
    const auto removed = co_await remove_oldest();
    removal_error_ = removed ? std::nullopt : std::optional(removed.error());
    co_return Status{};
}

/// The disk that the log takes is bounded: evidence for longer is to be copied elsewhere.
Task<Status> TransferLog::remove_oldest() {
    QIAO_CO_TRY(const auto numbers, co_await list_segments(storage_, options_.folder));
    for (const auto number : numbers) {
        if (number + options_.segments_kept <= number_) {
            QIAO_CO_CHECK(co_await storage_.remove(path(number)));
        }
    }
    co_return co_await storage_.sync_folder(options_.folder);
}

Task<Status> TransferLog::sync() {
    QIAO_CO_CHECK(co_await file_->sync());
    kept_ = true;
    co_return Status{};
}

/// Counts into `written` the bodies of which everything is on disk.
Task<Status> TransferLog::write(const std::vector<Bytes>& bodies, size_t& written) {
    size_t next = 0;
    while (next < bodies.size()) {
        const auto framed = internal::kLogFrameBytes + bodies[next].size();
        if (!file_ || offset_ + framed > options_.segment_bytes) {
            if (file_) {
                QIAO_CO_CHECK(co_await sync());
                written = next;
            }
            file_.reset();
            QIAO_CO_CHECK(co_await begin_segment());
        }
        ByteWriter block;
        do {
            const auto at = offset_ + block.size();
            block.append(internal::frame_log_body(bodies[next], number_, at));
            ++next;
        } while (next < bodies.size() && block.size() < kWriteBytes &&
                 offset_ + block.size() + internal::kLogFrameBytes + bodies[next].size() <=
                     options_.segment_bytes);
        QIAO_CO_CHECK(co_await file_->write_at(offset_, block.view()));
        offset_ += block.size();
    }
    QIAO_CO_CHECK(co_await sync());
    written = next;
    co_return Status{};
}

Task<Status> TransferLog::flush() {
    if (!opened_) {
        QIAO_CO_CHECK(co_await reopen());
        status_.last_error.reset();
    }
    if (buffer_.empty()) {
        co_return Status{};
    }
    // What comes meanwhile goes into a new buffer; the bound holds for both together.
    auto bodies = std::exchange(buffer_, {});
    size_t written = 0;
    const auto done = co_await write(bodies, written);
    for (size_t i = 0; i < written; ++i) {
        status_.buffered_bytes -= bodies[i].size();
    }
    status_.last_error.reset();
    if (!done) {
        // The file is dead after a failed write or sync: what may be lost is written again.
        file_.reset();
        status_.last_error = done.error();
        const auto rest = bodies.begin() + static_cast<std::ptrdiff_t>(written);
        buffer_.insert(
            buffer_.begin(), std::make_move_iterator(rest), std::make_move_iterator(bodies.end())
        );
    }
    co_return done;
}

Task<void> TransferLog::run(StopSignal& stop) {
    while (co_await sleep_for(executor_, clock_, options_.flush_every, stop)) {
        (void)co_await flush();
    }
    (void)co_await flush();
}

TransferLogStatus TransferLog::status() const {
    auto status = status_;
    status.segment = number_;
    if (!status.last_error) {
        status.last_error = removal_error_;
    }
    return status;
}

Task<Result<TransferLogSummary>> read_transfer_log(
    Storage& storage, std::string folder, std::function<void(const LoggedHandOver&)> visit
) {
    TransferLogSummary summary;
    QIAO_CO_TRY(const auto numbers, co_await list_segments(storage, folder));
    for (const auto number : numbers) {
        const auto name = internal::log_name(number);
        QIAO_CO_TRY(
            const auto content, co_await read_file(storage, folder + "/" + name, kSegmentReadMost)
        );
        ++summary.segments;
        summary.bytes += content.size();
        QIAO_CO_TRY(auto reader, LogReader::open(content, number));
        if (!reader && number == numbers.back() && content.size() <= kTornHeadMost) {
            summary.torn_bytes = content.size();
            continue;
        }
        if (!reader) {
            summary.damage.push_back(fmt::format("{}: its head cannot be read", name));
            continue;
        }
        while (!reader->at_end()) {
            if (const auto logged = reader->next()) {
                ++summary.records;
                visit(*logged);
                continue;
            }
            const auto at = reader->offset();
            if (reader->skip()) {
                summary.damage.push_back(
                    fmt::format("{}: {} bytes at {} are damaged", name, reader->offset() - at, at)
                );
            } else if (number == numbers.back()) {
                summary.torn_bytes = content.size() - at;
                break;
            } else {
                summary.damage.push_back(
                    fmt::format("{}: {} bytes at its end are damaged", name, content.size() - at)
                );
                break;
            }
        }
    }
    co_return summary;
}

}  // namespace qiao::engine
