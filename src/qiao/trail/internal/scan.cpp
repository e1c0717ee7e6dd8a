#include "qiao/trail/internal/scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace qiao::trail::internal {
namespace {

/// Large enough that most files are read in few calls, small enough for a small node.
constexpr size_t kWindowBytes = 1U << 20U;

/// The walk itself, fed with windows of the file; knows nothing of I/O.
class Scanner {
public:
    Scanner(uint64_t number, uint64_t file_bytes, uint64_t durable_end)
        : durable_end_(std::min(durable_end, file_bytes)) {
        scan_.number = number;
        scan_.file_bytes = file_bytes;
        if (durable_end > file_bytes && durable_end != UINT64_MAX) {
            missing_ = durable_end - file_bytes;
        }
    }

    /// Where the next window must begin and how long it must be at least; 0: done.
    uint64_t position() const { return position_; }

    size_t needed() const { return done_ ? 0 : needed_; }

    /// Goes as far as the window allows. Errors: trail.newer_format.
    Status feed(ByteView window) {
        if (!scan_.head) {
            QIAO_CHECK(take_head(window));
            if (done_) {
                return {};
            }
            window = window.subspan(position_);
        }
        while (!done_) {
            const auto left = scan_.file_bytes - position_;
            if (left == 0) {
                finish();
                break;
            }
            const auto parsed = parse_record(window, scan_.number, position_, left);
            if (parsed.outcome == ParsedRecord::Outcome::Short) {
                needed_ = parsed.needed;
                return {};
            }
            size_t step = 1;
            if (parsed.outcome == ParsedRecord::Outcome::Whole && acceptable(parsed)) {
                close_damage();
                QIAO_CHECK(take(parsed));
                step = parsed.head.total();
            } else if (position_ >= durable_end_) {
                finish();
                break;
            } else {
                damaged_from_ = damaged_from_.value_or(position_);
            }
            position_ += step;
            window = window.subspan(step);
        }
        return {};
    }

    SegmentScan take_result() && { return std::move(scan_); }

private:
    Status take_head(ByteView window) {
        auto head = decode_segment_head(window);
        if (!head && head.error().is(ErrorCode::TrailNewerFormat)) {
            return head.error();
        }
        if (!head || head->number != scan_.number) {
            if (durable_end_ > 0 || missing_ > 0) {
                scan_.damage.push_back(
                    {Damage::Kind::Head, scan_.number, 0, scan_.file_bytes, {}, {}, {}}
                );
            }
            done_ = true;
            return {};
        }
        scan_.head = *head;
        position_ = head->head_bytes;
        scan_.end = position_;
        return {};
    }

    /// While looking for the next record behind damage, only one that fits in is believed.
    bool acceptable(const ParsedRecord& parsed) const {
        if (!damaged_from_ || !parsed.head.is(RecordKind::Data)) {
            return true;
        }
        const auto run = open_.find(parsed.head.ref);
        return run == open_.end() || scan_.runs[run->second].entries.empty() ||
               scan_.runs[run->second].entries.back().point < parsed.head.point;
    }

    Status take(const ParsedRecord& parsed) {
        const auto& head = parsed.head;
        if (head.is(RecordKind::Define) && head.length == StreamId::kSize) {
            open_[head.ref] = scan_.runs.size();
            scan_.runs.push_back({head.ref, StreamId::from(parsed.body), head.point, {}});
        } else if (head.is(RecordKind::Data)) {
            take_data(head);
        } else if (head.is(RecordKind::Seal)) {
            scan_.sealed = true;
        } else if (head.kind < kFirstSkippableKind) {
            return Error(
                ErrorCode::TrailNewerFormat,
                fmt::format("segment {} at {}: record kind {}", scan_.number, position_, head.kind)
            );
        }
        scan_.records += 1;
        scan_.end = position_ + head.total();
        return {};
    }

    void take_data(const RecordHead& head) {
        auto run = open_.find(head.ref);
        if (run == open_.end()) {
            run = open_.emplace(head.ref, scan_.runs.size()).first;
            scan_.runs.push_back({head.ref, std::nullopt, {}, {}});
        }
        scan_.runs[run->second].entries.push_back(
            {head.point, static_cast<uint32_t>(position_), static_cast<uint32_t>(head.total())}
        );
        scan_.unmarked_records += position_ >= durable_end_ ? 1 : 0;
    }

    void close_damage() {
        if (damaged_from_) {
            const auto end = std::min(position_, durable_end_);
            scan_.damage.push_back(
                {Damage::Kind::Record,
                 scan_.number,
                 *damaged_from_,
                 end - *damaged_from_,
                 {},
                 {},
                 {}}
            );
            damaged_from_.reset();
        }
    }

    void finish() {
        close_damage();
        if (missing_ > 0) {
            scan_.damage.push_back(
                {Damage::Kind::Missing, scan_.number, scan_.file_bytes, missing_, {}, {}, {}}
            );
        }
        done_ = true;
    }

    SegmentScan scan_;
    uint64_t durable_end_;
    uint64_t missing_ = 0;
    uint64_t position_ = 0;
    size_t needed_ = kSegmentHeadBytes;
    bool done_ = false;
    std::optional<uint64_t> damaged_from_;
    std::map<uint32_t, size_t> open_;  ///< reference → its current run
};

}  // namespace

Task<Result<SegmentScan>> scan_segment(File& file, uint64_t number, uint64_t durable_end) {
    QIAO_CO_TRY(const auto size, file.size());
    Scanner scanner(number, size, durable_end);
    Bytes window;
    // The first window holds the whole head; an empty file ends at once.
    do {
        const auto start = scanner.position();
        const auto want = std::max<uint64_t>(scanner.needed(), kWindowBytes);
        window.resize(std::min(want, size - start));
        QIAO_CO_TRY(const auto got, co_await file.read_at(start, window));
        if (got != window.size()) {
            co_return Error(
                ErrorCode::StorageIo, fmt::format("segment {} changed its size", number)
            );
        }
        QIAO_CO_CHECK(scanner.feed(window));
    } while (scanner.needed() != 0);
    co_return std::move(scanner).take_result();
}

Result<SegmentScan> scan_bytes(ByteView bytes, uint64_t number, uint64_t durable_end) {
    Scanner scanner(number, bytes.size(), durable_end);
    do {
        QIAO_CHECK(scanner.feed(bytes.subspan(scanner.position())));
    } while (scanner.needed() != 0);
    return std::move(scanner).take_result();
}

}  // namespace qiao::trail::internal
