#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/storage.h"
#include "qiao/testing/disk_faults.h"

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace qiao::testing {

/// A disk in memory that behaves as badly as a real one may. What was written but not synced is
/// only in its "page cache": a crash keeps, loses or tears each such write by chance, and each such
/// change of a folder. A sync that fails leaves the cache as it is and the disk in any state, and
/// what the cache then holds is clean: a later sync does not write it. Every operation gives the
/// executor one turn first, so that coroutines interleave. Same seed, same story.
class MemoryStorage final : public Storage {
public:
    explicit MemoryStorage(Executor& executor, uint64_t seed = 1);
    ~MemoryStorage() override;

    /// The machine stops: every operation from now on, also on files that are open, fails with
    /// common.storage_io until restart(). Locks are gone.
    void crash();
    /// The machine starts again with what the disk kept. Files opened before stay dead.
    void restart();

    /// The n-th changing operation from now (1: the next) fails with common.storage_io, once.
    void fail_change(uint64_t n) { fail_at_ = changes_ + n; }

    bool failed() const { return failed_; }

    /// The n-th operation of a kind from now fails so, once; a full disk stays full.
    void strike(DiskOp op, uint64_t n, DiskFailure failure) { faults_.strike(op, n, failure); }

    void spare() { faults_.spare(); }

    /// Whether what strike() aimed at was met.
    bool struck() const { return faults_.struck(); }

    /// Operations of a kind so far.
    uint64_t count(DiskOp op) const { return faults_.count(op); }

    /// Whether a full disk was met, and nobody has freed space since.
    bool full() const { return full_; }

    void free_space() {
        full_ = false;
        capacity_ = UINT64_MAX;
    }

    /// Changing operations so far: writes, truncates, syncs, creations, renames, removals.
    uint64_t changes() const { return changes_; }

    uint64_t reads() const { return reads_; }

    /// The machine crashes in front of the n-th changing operation from now.
    void crash_at_change(uint64_t n) { crash_at_ = changes_ + n; }

    bool crashed() const { return crashed_; }

    /// Bytes of all files together; a write beyond is cut and gives common.storage_full.
    void set_capacity(uint64_t bytes) { capacity_ = bytes; }

    /// For tests: changes and looks past everything above.
    void flip(const std::string& path, uint64_t offset, uint8_t bits = 0x01);
    void cut(const std::string& path, uint64_t size);
    void put(const std::string& path, Bytes content);
    std::optional<Bytes> content(const std::string& path) const;
    uint64_t used_bytes() const;
    std::vector<std::string> paths() const;
    /// Another machine with what this one's disk holds now: a snapshot of it that was put back.
    std::unique_ptr<MemoryStorage> copy(uint64_t seed) const;

    Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override;
    Task<Status> rename(std::string from, std::string to) override;
    Task<Status> remove(std::string path) override;
    Task<Status> make_folder(std::string path) override;
    Task<Status> remove_folder(std::string path) override;
    Task<Status> sync_folder(std::string path) override;
    Task<Result<std::vector<std::string>>> list(std::string path) override;
    Task<Result<uint64_t>> free_bytes(std::string path) override;
    Task<Result<std::unique_ptr<Lock>>> lock(std::string path) override;

private:
    class MemoryFile;
    class MemoryLock;

    /// One write or truncate that no sync has covered yet.
    struct Change {
        uint64_t offset = 0;
        Bytes bytes;
        std::optional<uint64_t> truncate_to;
    };

    struct Inode {
        Bytes seen;
        Bytes disk;
        std::vector<Change> unsynced;
    };

    using Names = std::map<std::string, std::shared_ptr<Inode>>;

    /// A creation (only `added`), removal (only `removed`) or rename (both) not yet synced.
    struct NameChange {
        std::string removed, added;
        std::shared_ptr<Inode> inode;
        bool in_folder(const std::string& folder) const;
    };

    /// What every operation does first; an error: it fails.
    Status begin(DiskOp op, const std::string& path);
    Status begin_change(const std::string& path);
    /// What an operation that has been done does last; an error: behind it the machine has stopped.
    Status end(const std::string& path);
    Status check_alive(uint64_t life) const;
    void apply(Bytes& image, const Change& change) const;
    void apply_by_chance(Bytes& image, const Change& change);
    static void apply(Names& names, const NameChange& change);
    void settle_by_chance(Inode& inode);
    bool chance(double probability);

    Executor& executor_;
    std::mt19937_64 random_;
    Names seen_;
    Names disk_;
    std::vector<NameChange> unsynced_names_;
    std::set<std::string> folders_;
    std::set<std::string> locks_;
    uint64_t life_ = 1;
    bool crashed_ = false;
    bool failed_ = false;
    uint64_t changes_ = 0;
    uint64_t reads_ = 0;
    uint64_t fail_at_ = 0;
    uint64_t crash_at_ = 0;
    uint64_t capacity_ = UINT64_MAX;
    DiskFaults faults_;
    bool full_ = false;
    bool crash_behind_ = false;
};

}  // namespace qiao::testing
