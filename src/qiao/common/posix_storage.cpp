#include "qiao/common/posix_storage.h"

#include "qiao/common/async/event.h"
#include "qiao/common/internal/direct_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace qiao {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

Error io_error(std::string_view doing, const std::string& path, int code = errno) {
    const auto kind = code == ENOSPC || code == EDQUOT ? ErrorCode::StorageFull
                      : code == ENOENT                 ? ErrorCode::StorageMissing
                                                       : ErrorCode::StorageIo;
    return {kind, fmt::format("{} {}: {}", doing, path, std::strerror(code))};
}

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}

    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

    Descriptor& operator=(Descriptor&&) = delete;

    ~Descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    int get() const { return fd_; }

private:
    int fd_;
};

/// Runs a blocking call that reports errno (0: fine) away from the executor's thread.
Task<int> off_thread(Executor& executor, std::function<int()> call) {
    Event done(executor);
    int code = 0;
    const auto work = [&code, &call] { code = call(); };
    const auto finish = [&done] { done.set(); };
    executor.run_blocking(work, finish);
    co_await done.wait();
    co_return code;
}

/// Large stretches go past the page cache: what is written there is seldom read again, and copying
/// it into fresh pages costs more than all else that a trail does.
class PosixFile final : public File {
public:
    PosixFile(
        Executor& executor,
        Descriptor fd,
        std::string path,
        bool writes,
        std::shared_ptr<internal::DirectBuffers> buffers
    )
        : executor_(executor),
          fd_(std::move(fd)),
          path_(std::move(path)),
          writes_(writes),
          buffers_(std::move(buffers)) {}

    Task<Result<size_t>> read_at(uint64_t offset, MutableByteView into) override {
        if (into.size() >= internal::kDirectBytesMin && !refused_) {
            size_t done = 0;
            const int code = co_await beside([&](const internal::DirectFile& file) {
                return file.read(offset, into, done);
            });
            // Short of the end of the file only if that moved: the rest is looked for as ever.
            if (code == 0 && done == into.size()) {
                co_return done;
            }
        }
        co_return read_cached(offset, into);
    }

    Task<Status> write_at(uint64_t offset, ByteView bytes) override {
        const auto pages = internal::WholePages::within(offset, bytes.size());
        if (pages.are_many() && !refused_) {
            const auto before = pages.begin - offset;
            const auto middle = bytes.subspan(before, pages.bytes());
            QIAO_CO_CHECK(write_cached(offset, bytes.first(before)));
            const int code = co_await beside([&](const internal::DirectFile& file) {
                return file.write(pages.begin, middle);
            });
            // Otherwise all of it once more, and that says what is wrong.
            const auto rest = code == 0 ? pages.end : pages.begin;
            offset = rest;
            bytes = bytes.subspan(code == 0 ? before + middle.size() : before);
        }
        co_return write_cached(offset, bytes);
    }

    Task<Status> sync() override {
        const auto call = [fd = fd_.get()] { return ::fdatasync(fd) == 0 ? 0 : errno; };
        const int code = co_await off_thread(executor_, call);
        if (code != 0) {
            co_return io_error("syncing", path_, code);
        }
        co_return Status{};
    }

    Task<Status> truncate(uint64_t size) override {
        if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
            co_return io_error("truncating", path_);
        }
        co_return Status{};
    }

    Result<uint64_t> size() override {
        struct stat info{};
        if (::fstat(fd_.get(), &info) != 0) {
            return io_error("looking at", path_);
        }
        return static_cast<uint64_t>(info.st_size);
    }

private:
    /// Past the page cache, away from the executor's thread.
    Task<int> beside(std::function<int(const internal::DirectFile&)> call) {
        if (!direct_) {
            direct_ = std::make_unique<internal::DirectFile>(fd_.get(), writes_, buffers_);
        }
        const int code = co_await off_thread(executor_, [&] { return call(*direct_); });
        refused_ = refused_ || code == EINVAL;
        co_return code;
    }

    Result<size_t> read_cached(uint64_t offset, MutableByteView into) const {
        size_t done = 0;
        while (done < into.size()) {
            const auto got = ::pread(
                fd_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done)
            );
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                return io_error("reading", path_);
            }
            if (got == 0) {
                break;
            }
            done += static_cast<size_t>(got);
        }
        return done;
    }

    Status write_cached(uint64_t offset, ByteView bytes) const {
        while (!bytes.empty()) {
            const auto put =
                ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (put < 0 && errno == EINTR) {
                continue;
            }
            if (put < 0) {
                return io_error("writing", path_);
            }
            bytes = bytes.subspan(static_cast<size_t>(put));
            offset += static_cast<uint64_t>(put);
        }
        return {};
    }

    Executor& executor_;
    Descriptor fd_;
    std::string path_;
    bool writes_;
    std::shared_ptr<internal::DirectBuffers> buffers_;
    std::unique_ptr<internal::DirectFile> direct_;  ///< as soon as it is wanted
    bool refused_ = false;                          ///< the file system does not have it
};

class PosixLock final : public Storage::Lock {
public:
    explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

private:
    Descriptor fd_;
};

class PosixStorage final : public Storage {
public:
    explicit PosixStorage(Executor& executor) : executor_(executor) {}

    Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
        const int flags = mode == OpenMode::Read        ? O_RDONLY
                          : mode == OpenMode::ReadWrite ? O_RDWR
                                                        : O_RDWR | O_CREAT | O_EXCL;
        Descriptor fd(::open(path.c_str(), flags | O_CLOEXEC, kFileMode));
        if (fd.get() < 0) {
            co_return io_error("opening", path);
        }
        co_return std::make_unique<PosixFile>(
            executor_, std::move(fd), std::move(path), mode != OpenMode::Read, buffers_
        );
    }

    Task<Status> rename(std::string from, std::string to) override {
        co_return checked(::rename(from.c_str(), to.c_str()), "renaming", from);
    }

    Task<Status> remove(std::string path) override {
        co_return checked(::unlink(path.c_str()), "removing", path);
    }

    Task<Status> make_folder(std::string path) override {
        for (size_t end = 1; end <= path.size(); ++end) {
            if (end != path.size() && path[end] != '/') {
                continue;
            }
            const auto part = path.substr(0, end);
            if (::mkdir(part.c_str(), kFolderMode) != 0 && errno != EEXIST) {
                co_return io_error("making", part);
            }
        }
        co_return Status{};
    }

    Task<Status> remove_folder(std::string path) override {
        co_return checked(::rmdir(path.c_str()), "removing", path);
    }

    Task<Status> sync_folder(std::string path) override {
        Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd.get() < 0) {
            co_return io_error("opening", path);
        }
        const auto call = [number = fd.get()] { return ::fsync(number) == 0 ? 0 : errno; };
        const int code = co_await off_thread(executor_, call);
        if (code != 0) {
            co_return io_error("syncing", path, code);
        }
        co_return Status{};
    }

    Task<Result<std::vector<std::string>>> list(std::string path) override {
        std::error_code failure;
        std::vector<std::string> names;
        for (std::filesystem::directory_iterator it(path, failure), end; !failure && it != end;
             it.increment(failure)) {
            names.push_back(it->path().filename().string());
        }
        if (failure) {
            co_return io_error("listing", path, failure.value());
        }
        std::ranges::sort(names);
        co_return names;
    }

    Task<Result<uint64_t>> free_bytes(std::string path) override {
        struct statvfs info{};
        if (::statvfs(path.c_str(), &info) != 0) {
            co_return io_error("looking at", path);
        }
        co_return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
    }

    Task<Result<std::unique_ptr<Lock>>> lock(std::string path) override {
        Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode));
        if (fd.get() < 0) {
            co_return io_error("opening", path);
        }
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
            char owner[32] = {};
            (void)!::pread(fd.get(), owner, sizeof(owner) - 1, 0);
            co_return Error(ErrorCode::StorageLocked, fmt::format("{}, pid {}", path, owner));
        }
        const auto pid = std::to_string(::getpid());
        if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
            co_return io_error("writing", path);
        }
        co_return std::make_unique<PosixLock>(std::move(fd));
    }

private:
    static Status checked(int code, std::string_view doing, const std::string& path) {
        if (code != 0) {
            return io_error(doing, path);
        }
        return {};
    }

    Executor& executor_;
    std::shared_ptr<internal::DirectBuffers> buffers_ = std::make_shared<internal::DirectBuffers>();
};

}  // namespace

std::unique_ptr<Storage> make_posix_storage(Executor& executor) {
    return std::make_unique<PosixStorage>(executor);
}

}  // namespace qiao
