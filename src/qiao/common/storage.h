#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/bytes.h"
#include "qiao/common/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qiao {

/// One open file of the Storage seam. One operation at a time. After a failed sync the file is
/// dead: close it, open it again and read what is there (rules 9); sync is never tried again.
class File {
public:
    virtual ~File() = default;

    /// Fills `into` from `offset`; fewer bytes only at the end of the file.
    /// Errors: common.storage_io.
    virtual Task<Result<size_t>> read_at(uint64_t offset, MutableByteView into) = 0;

    /// Writes all of `bytes` at `offset`, growing the file. Durable only after sync().
    /// Errors: common.storage_full (nothing promised about the bytes), common.storage_io.
    virtual Task<Status> write_at(uint64_t offset, ByteView bytes) = 0;

    /// Durable on success: everything written before. Errors: common.storage_io.
    virtual Task<Status> sync() = 0;

    virtual Task<Status> truncate(uint64_t size) = 0;
    virtual Result<uint64_t> size() = 0;
};

enum class OpenMode : uint8_t {
    Read,       ///< must exist
    ReadWrite,  ///< must exist
    Create,     ///< must not exist; made 0600, its folder entry durable only after sync_folder()
};

/// The disk as a seam; the simulator tears writes, fails syncs and flips bytes. Files are made
/// 0600 and folders 0700. Paths are plain strings, `/`-separated. Source: rules 30
class Storage {
public:
    virtual ~Storage() = default;

    /// Errors: common.storage_missing, common.storage_io.
    virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) = 0;
    /// Atomic; durable after sync_folder() of both folders.
    virtual Task<Status> rename(std::string from, std::string to) = 0;
    virtual Task<Status> remove(std::string path) = 0;
    /// With parents; no error when it is there already.
    virtual Task<Status> make_folder(std::string path) = 0;
    virtual Task<Status> remove_folder(std::string path) = 0;
    /// Makes creations, renames and removals inside durable.
    virtual Task<Status> sync_folder(std::string path) = 0;
    /// Names inside, sorted, without `.` and `..`; common.storage_missing if there is no folder.
    virtual Task<Result<std::vector<std::string>>> list(std::string path) = 0;
    virtual Task<Result<uint64_t>> free_bytes(std::string path) = 0;

    /// Held until destroyed, also across threads and processes; gone with the process.
    class Lock {
    public:
        virtual ~Lock() = default;
    };

    /// Errors: common.storage_locked with the owner's pid in the detail.
    virtual Task<Result<std::unique_ptr<Lock>>> lock(std::string path) = 0;
};

/// Reads a whole small file. Errors: as open and read_at; common.storage_io when over `most`.
Task<Result<Bytes>> read_file(Storage& storage, std::string path, size_t most = 64U << 20U);

/// Replaces a whole small file so that after a crash it is either the old or the new one:
/// temporary file, sync, rename, sync of the folder.
Task<Status> write_file_atomically(Storage& storage, std::string path, Bytes content);

}  // namespace qiao
