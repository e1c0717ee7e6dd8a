#include "qiao/trail/internal/writer.h"

#include "qiao/common/plant.h"

#include <algorithm>

namespace qiao::trail::internal {
namespace {

constexpr size_t kBlockBytes = 1U << 20U;
/// Written without waiting for a sync once so much has gathered.
constexpr uint64_t kWriteBytes = 1U << 20U;
/// What may gather while a sync runs: 100 ms at 150 MB/s.
constexpr uint64_t kUnwrittenBytesMax = 16U << 20U;

Error as_trail_error(const Error& error) {
    if (error.info().name.starts_with("trail.")) {
        return error;
    }
    const auto code =
        error.is(ErrorCode::StorageFull) ? ErrorCode::TrailDiskFull : ErrorCode::TrailIo;
    return {code, error.detail()};
}

}  // namespace

Writer::Writer(
    Storage& storage,
    Executor& executor,
    std::string folder,
    uint64_t cache_bytes,
    WriterStart start
)
    : storage_(storage),
      folder_(std::move(folder)),
      cache_bytes_(cache_bytes),
      segment_(start.segment),
      end_(start.offset),
      records_(start.records),
      mark_(start.mark),
      file_segment_(start.segment),
      file_end_(start.offset),
      data_(std::move(start.data)),
      mark_file_(std::move(start.mark_file)),
      release_(std::move(start.release)),
      wake_(executor),
      changed_(executor) {}

Block& Writer::block_for(size_t bytes) {
    if (!blocks_.empty()) {
        auto& last = *blocks_.back();
        if (last.segment == segment_ && last.bytes.size() + bytes <= last.bytes.capacity()) {
            return last;
        }
    }
    auto block = std::make_shared<Block>();
    block->segment = segment_;
    block->offset = end_;
    block->ticket = ticket_;
    block->bytes.reserve(std::max(bytes, kBlockBytes));
    cached_bytes_ += block->bytes.capacity();
    blocks_.push_back(std::move(block));
    return *blocks_.back();
}

uint64_t Writer::put(RecordHead head, ByteView body) {
    const auto bytes = kRecordHeadBytes + body.size();
    auto& block = block_for(bytes);
    const auto offset = end_;
    append_record(block.bytes, segment_, offset, head, body);
    end_ += bytes;
    ticket_ += bytes;
    records_ += 1;
    if (work()) {
        wake_.set();
    }
    return offset;
}

uint64_t Writer::begin_segment(WallTime now) {
    uint64_t seal_bytes = 0;
    // Without a file for it the segment from before is sealed, or damaged and stays as it is.
    if (segment_ != 0 && (file_segment_ != segment_ || data_)) {
        seal_bytes = kRecordHeadBytes;
        RecordHead seal;
        seal.kind = static_cast<uint8_t>(RecordKind::Seal);
        seal.point.sequence.value = records_;
        put(seal, {});
    }
    segment_ += 1;
    end_ = 0;
    records_ = 0;
    const auto head = encode({.number = segment_, .created = now, .release = release_});
    auto& block = block_for(head.size());
    block.bytes.insert(block.bytes.end(), head.begin(), head.end());
    end_ += head.size();
    ticket_ += head.size();
    return seal_bytes;
}

bool Writer::work() const {
    return wanted_ > durable_ticket_ || ticket_ - written_ticket_ >= kWriteBytes;
}

Task<Status> Writer::wait_room() {
    while (!failure_ && !stopping_ && ticket_ - written_ticket_ > kUnwrittenBytesMax) {
        co_await changed_.wait();
    }
    if (failure_) {
        co_return *failure_;
    }
    if (stopping_) {
        co_return Error(ErrorCode::TrailClosed);
    }
    co_return Status{};
}

Task<Status> Writer::wait_durable(uint64_t ticket) {
    wanted_ = std::max(wanted_, ticket);
    while (!failure_ && durable_ticket_ < ticket) {
        if (stopping_) {
            co_return Error(ErrorCode::TrailClosed);
        }
        wake_.set();
        co_await changed_.wait();
    }
    if (durable_ticket_ < ticket) {
        co_return *failure_;
    }
    co_return Status{};
}

void Writer::request_durable(uint64_t ticket) {
    wanted_ = std::max(wanted_, ticket);
    wake_.set();
}

Task<void> Writer::pump(std::function<void()> on_change) {
    on_change_ = std::move(on_change);
    while (!failure_ && !stopping_) {
        if (!work()) {
            wake_.reset();
            co_await wake_.wait();
            continue;
        }
        const auto done = co_await round();
        if (!done) {
            fail(done.error());
        }
        drop_cached();
        changed_.pulse();
    }
    changed_.pulse();
    on_change_();
}

Task<Status> Writer::round() {
    const bool sync = wanted_ > durable_ticket_;
    const auto upto = ticket_;
    QIAO_CO_CHECK(co_await write_blocks(upto));
    if (sync) {
        QIAO_CO_CHECK(co_await make_durable(upto));
    }
    co_return Status{};
}

Task<Status> Writer::write_blocks(uint64_t upto) {
    while (written_ticket_ < upto) {
        const auto behind = std::ranges::upper_bound(
            blocks_, written_ticket_, {}, [](const auto& block) { return block->ticket; }
        );
        const auto block = *std::prev(behind);
        if (block->segment != file_segment_ || !data_) {
            if (data_) {
                QIAO_CO_CHECK(co_await make_durable(written_ticket_));
            }
            QIAO_CO_CHECK(co_await open_segment(block->segment));
        }
        const auto count =
            std::min<uint64_t>(block->bytes.size(), upto - block->ticket) - block->written;
        const auto part = ByteView(block->bytes).subspan(block->written, count);
        const auto written = co_await data_->write_at(file_end_, part);
        const bool full = !written && written.error().is(ErrorCode::StorageFull);
        if (!full || !is_planted(Plant::FullDiskSwallowed)) {
            QIAO_CO_CHECK(written);
        }
        block->written += part.size();
        file_end_ += part.size();
        written_ticket_ += part.size();
    }
    co_return Status{};
}

Task<Status> Writer::make_durable(uint64_t ticket) {
    QIAO_CO_CHECK(co_await data_->sync());
    const Mark next{mark_.generation + 1, file_segment_, file_end_};
    const auto slot = encode_slot(next);
    QIAO_CO_CHECK(co_await mark_file_->write_at(slot_offset(next), slot));
    QIAO_CO_CHECK(co_await mark_file_->sync());
    mark_ = next;
    durable_ticket_ = ticket;
    ++syncs_;
    on_change_();
    co_return Status{};
}

Task<Status> Writer::open_segment(uint64_t number) {
    data_.reset();
    QIAO_CO_TRY(
        data_, co_await storage_.open(folder_ + "/" + segment_name(number), OpenMode::Create)
    );
    if (!is_planted(Plant::FolderNotSynced)) {
        QIAO_CO_CHECK(co_await storage_.sync_folder(folder_));
    }
    file_segment_ = number;
    file_end_ = 0;
    co_return Status{};
}

void Writer::stop() {
    stopping_ = true;
    wake_.set();
    changed_.pulse();
}

void Writer::fail(const Error& error) {
    if (!failure_) {
        failure_ = as_trail_error(error);
    }
    wake_.set();
    changed_.pulse();
}

std::shared_ptr<const Block> Writer::cached(uint64_t segment, uint64_t offset) const {
    const auto key = [](const auto& block) { return std::pair(block->segment, block->offset); };
    const auto behind = std::ranges::upper_bound(blocks_, std::pair(segment, offset), {}, key);
    if (behind == blocks_.begin()) {
        return nullptr;
    }
    const auto& block = *std::prev(behind);
    return block->segment == segment && offset < block->end() ? block : nullptr;
}

void Writer::drop_cached() {
    while (blocks_.size() > 1 && cached_bytes_ > cache_bytes_ &&
           blocks_.front()->ticket + blocks_.front()->bytes.size() <= durable_ticket_) {
        cached_bytes_ -= blocks_.front()->bytes.capacity();
        blocks_.pop_front();
    }
}

}  // namespace qiao::trail::internal
