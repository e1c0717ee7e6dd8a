#include "qiao/common/internal/direct_io.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <string>
#include <unistd.h>

namespace qiao::internal {
namespace {

uint64_t page_at(uint64_t offset) { return offset / kPageBytes * kPageBytes; }

uint64_t page_behind(uint64_t offset) { return page_at(offset + kPageBytes - 1); }

/// Under no name that may have changed since.
int open_again(int fd, bool writes) {
    const auto path = "/proc/self/fd/" + std::to_string(fd);
    return ::open(path.c_str(), (writes ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
}

/// Retries what a signal has interrupted.
template <typename Call>
ssize_t again(Call call) {
    ssize_t done = 0;
    do {
        done = call();
    } while (done < 0 && errno == EINTR);
    return done;
}

}  // namespace

WholePages WholePages::within(uint64_t offset, size_t bytes) {
    return {page_behind(offset), page_at(offset + bytes)};
}

void DirectBuffers::Free::operator()(std::byte* memory) const { std::free(memory); }

DirectBuffers::Buffer DirectBuffers::take() {
    {
        const std::scoped_lock lock(mutex_);
        if (!kept_.empty()) {
            auto buffer = std::move(kept_.back());
            kept_.pop_back();
            return buffer;
        }
    }
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(kPageBytes, kBytes));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return Buffer(memory);
}

void DirectBuffers::give_back(Buffer buffer) {
    const std::scoped_lock lock(mutex_);
    if (kept_.size() < kKept) {
        kept_.push_back(std::move(buffer));
    }
}

DirectFile::DirectFile(int fd, bool writes, std::shared_ptr<DirectBuffers> buffers)
    : fd_(open_again(fd, writes)), buffers_(std::move(buffers)) {}

DirectFile::~DirectFile() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

int DirectFile::write(uint64_t offset, ByteView bytes) const {
    if (fd_ < 0) {
        return EINVAL;
    }
    auto buffer = buffers_->take();
    int code = 0;
    while (code == 0 && !bytes.empty()) {
        const auto count = std::min(bytes.size(), DirectBuffers::kBytes);
        std::memcpy(buffer.get(), bytes.data(), count);
        const auto put =
            again([&] { return ::pwrite(fd_, buffer.get(), count, static_cast<off_t>(offset)); });
        // Part of a page: the disk is full, or it does not go this way.
        const bool whole = put > 0 && static_cast<size_t>(put) % kPageBytes == 0;
        code = put < 0 ? errno : whole ? 0 : EINVAL;
        if (whole) {
            bytes = bytes.subspan(static_cast<size_t>(put));
            offset += static_cast<uint64_t>(put);
        }
    }
    buffers_->give_back(std::move(buffer));
    return code;
}

int DirectFile::read(uint64_t offset, MutableByteView into, size_t& done) const {
    done = 0;
    if (fd_ < 0) {
        return EINVAL;
    }
    auto buffer = buffers_->take();
    int code = 0;
    while (code == 0 && done < into.size()) {
        const auto from = page_at(offset + done);
        const auto skip = static_cast<size_t>(offset + done - from);
        const auto wanted =
            std::min<size_t>(page_behind(offset + into.size()) - from, DirectBuffers::kBytes);
        const auto got =
            again([&] { return ::pread(fd_, buffer.get(), wanted, static_cast<off_t>(from)); });
        code = got < 0 ? errno : 0;
        if (got < 0 || static_cast<size_t>(got) <= skip) {
            break;
        }
        const auto count = std::min(static_cast<size_t>(got) - skip, into.size() - done);
        std::memcpy(into.data() + done, buffer.get() + skip, count);
        done += count;
        if (static_cast<size_t>(got) < wanted) {
            break;  // the end of the file, or close before it
        }
    }
    buffers_->give_back(std::move(buffer));
    return code;
}

}  // namespace qiao::internal
