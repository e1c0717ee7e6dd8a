#pragma once

#include "qiao/common/bytes.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace qiao::internal {

/// Files past the page cache go by whole pages, from memory that begins at one.
constexpr size_t kPageBytes = 4096;
/// Less than that is quicker through the page cache.
constexpr size_t kDirectBytesMin = size_t{128} << 10U;

/// The whole pages of a stretch of a file.
struct WholePages {
    uint64_t begin = 0, end = 0;

    static WholePages within(uint64_t offset, size_t bytes);

    size_t bytes() const { return end - begin; }

    bool are_many() const { return end > begin && bytes() >= kDirectBytesMin; }
};

/// Page-aligned memory that is used again and again: pages that were never touched are dear. For
/// any thread.
class DirectBuffers {
public:
    static constexpr size_t kBytes = size_t{1} << 20U;

    struct Free {
        void operator()(std::byte* memory) const;
    };

    using Buffer = std::unique_ptr<std::byte, Free>;

    Buffer take();
    void give_back(Buffer buffer);

private:
    static constexpr size_t kKept = 2;

    std::mutex mutex_;
    std::vector<Buffer> kept_;
};

/// A file that is open already, once more past the page cache. Both ways see the same bytes. Calls
/// block; they give 0 or errno, EINVAL where the file system does not have it.
class DirectFile {
public:
    DirectFile(int fd, bool writes, std::shared_ptr<DirectBuffers> buffers);
    DirectFile(const DirectFile&) = delete;
    DirectFile& operator=(const DirectFile&) = delete;
    ~DirectFile();

    /// `bytes` are whole pages at the begin of one.
    int write(uint64_t offset, ByteView bytes) const;
    /// Any stretch. @param done  bytes read; fewer at the end of the file
    int read(uint64_t offset, MutableByteView into, size_t& done) const;

private:
    int fd_;
    std::shared_ptr<DirectBuffers> buffers_;
};

}  // namespace qiao::internal
