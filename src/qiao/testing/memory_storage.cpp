#include "qiao/testing/memory_storage.h"

#include "qiao/common/assert.h"
#include "qiao/testing/turn.h"

#include <algorithm>
#include <cstring>

namespace qiao::testing {
namespace {

/// What a disk writes as a whole or not at all.
constexpr size_t kSectorBytes = 512;

std::string folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

Error missing(const std::string& path) { return {ErrorCode::StorageMissing, path}; }

Error broken(const std::string& path) { return {ErrorCode::StorageIo, path}; }

bool is_change(DiskOp op) {
    switch (op) {
        case DiskOp::Create:
        case DiskOp::Write:
        case DiskOp::Truncate:
        case DiskOp::Sync:
        case DiskOp::SyncFolder:
        case DiskOp::Rename:
        case DiskOp::Remove:
            return true;
        default:
            return false;
    }
}

}  // namespace

class MemoryStorage::MemoryFile final : public File {
public:
    MemoryFile(MemoryStorage& storage, std::shared_ptr<Inode> inode, std::string path)
        : storage_(storage),
          inode_(std::move(inode)),
          path_(std::move(path)),
          life_(storage.life_) {}

    Task<Result<size_t>> read_at(uint64_t offset, MutableByteView into) override {
        co_await turn(storage_.executor_);
        QIAO_CO_CHECK(storage_.check_alive(life_));
        QIAO_CO_CHECK(storage_.begin(DiskOp::Read, path_));
        QIAO_CO_CHECK(storage_.end(path_));
        ++storage_.reads_;
        const auto& seen = inode_->seen;
        if (offset >= seen.size()) {
            co_return size_t{0};
        }
        const auto count = std::min<size_t>(into.size(), seen.size() - offset);
        std::copy_n(seen.begin() + static_cast<ptrdiff_t>(offset), count, into.begin());
        co_return count;
    }

    Task<Status> write_at(uint64_t offset, ByteView bytes) override {
        QIAO_CO_CHECK(co_await begin(DiskOp::Write));
        Status outcome;
        const auto grows = offset + bytes.size() > inode_->seen.size()
                               ? offset + bytes.size() - inode_->seen.size()
                               : 0;
        if (const auto used = storage_.used_bytes(); used + grows > storage_.capacity_) {
            const auto room = storage_.capacity_ - std::min(used, storage_.capacity_);
            bytes = bytes.first(std::min<size_t>(bytes.size(), room));
            outcome = Error(ErrorCode::StorageFull, path_);
        }
        if (failure_) {
            bytes = bytes.first(storage_.random_() % (bytes.size() + 1));
            outcome = *failure_;
        }
        record({offset, to_bytes(bytes), std::nullopt});
        co_return finish(std::move(outcome));
    }

    Task<Status> sync() override {
        QIAO_CO_CHECK(co_await begin(DiskOp::Sync));
        if (failure_) {
            storage_.settle_by_chance(*inode_);
            co_return finish(*failure_);
        }
        for (const auto& change : inode_->unsynced) {
            storage_.apply(inode_->disk, change);
        }
        inode_->unsynced.clear();
        co_return finish({});
    }

    Task<Status> truncate(uint64_t size) override {
        QIAO_CO_CHECK(co_await begin(DiskOp::Truncate));
        if (failure_) {
            co_return finish(*failure_);
        }
        record({0, {}, size});
        co_return finish({});
    }

    Result<uint64_t> size() override {
        QIAO_CHECK(storage_.check_alive(life_));
        return inode_->seen.size();
    }

private:
    /// An error: the machine is down. failure_: this operation is the one to fail.
    Task<Status> begin(DiskOp op) {
        QIAO_ASSERT(!busy_);  // one operation at a time
        busy_ = true;
        co_await turn(storage_.executor_);
        const auto started = storage_.begin(op, path_);
        const auto alive = storage_.check_alive(life_);
        busy_ = static_cast<bool>(alive);
        QIAO_CO_CHECK(alive);
        failure_ = started ? std::nullopt : std::optional(started.error());
        co_return Status{};
    }

    Status finish(Status outcome) {
        busy_ = false;
        QIAO_CHECK(storage_.end(path_));
        return outcome;
    }

    void record(Change change) {
        storage_.apply(inode_->seen, change);
        inode_->unsynced.push_back(std::move(change));
    }

    MemoryStorage& storage_;
    std::shared_ptr<Inode> inode_;
    std::string path_;
    uint64_t life_;
    bool busy_ = false;
    std::optional<Error> failure_;
};

class MemoryStorage::MemoryLock final : public Storage::Lock {
public:
    MemoryLock(MemoryStorage& storage, std::string path)
        : storage_(storage), path_(std::move(path)), life_(storage.life_) {}

    ~MemoryLock() override {
        if (storage_.life_ == life_) {
            storage_.locks_.erase(path_);
        }
    }

private:
    MemoryStorage& storage_;
    std::string path_;
    uint64_t life_;
};

MemoryStorage::MemoryStorage(Executor& executor, uint64_t seed)
    : executor_(executor), random_(seed) {}

MemoryStorage::~MemoryStorage() = default;

bool MemoryStorage::chance(double probability) {
    return std::uniform_real_distribution<>(0, 1)(random_) < probability;
}

void MemoryStorage::crash() {
    crashed_ = true;
    ++life_;
    locks_.clear();
}

void MemoryStorage::restart() {
    QIAO_ASSERT(crashed_);
    // Some crashes lose all, some nothing; most are in between.
    const double kept = std::uniform_int_distribution<>(0, 4)(random_) / 4.0;
    for (const auto& change : unsynced_names_) {
        if (chance(kept)) {
            apply(disk_, change);
        }
    }
    unsynced_names_.clear();
    for (const auto& [path, inode] : disk_) {
        for (const auto& change : inode->unsynced) {
            if (chance(kept)) {
                apply(inode->disk, change);
            } else if (chance(0.5)) {
                apply_by_chance(inode->disk, change);
            }
        }
        inode->unsynced.clear();
        inode->seen = inode->disk;
    }
    seen_ = disk_;
    crashed_ = false;
    crash_at_ = 0;
    crash_behind_ = false;
}

Status MemoryStorage::check_alive(uint64_t life) const {
    if (crashed_ || life != life_) {
        return broken("the machine has stopped");
    }
    return {};
}

Status MemoryStorage::begin(DiskOp op, const std::string& path) {
    QIAO_CHECK(check_alive(life_));
    if (const auto failure = faults_.begin(op); failure == DiskFailure::Error) {
        return broken(path);
    } else if (failure == DiskFailure::Full) {
        full_ = true;
        capacity_ = used_bytes();
        return Error(ErrorCode::StorageFull, path);
    } else if (failure == DiskFailure::Crash) {
        crash_behind_ = true;
    }
    if (full_ && (op == DiskOp::Create || op == DiskOp::Rename)) {
        return Error(ErrorCode::StorageFull, path);
    }
    return is_change(op) ? begin_change(path) : Status{};
}

Status MemoryStorage::end(const std::string& path) {
    if (std::exchange(crash_behind_, false)) {
        crash();
        return broken(path);
    }
    return {};
}

Status MemoryStorage::begin_change(const std::string& path) {
    ++changes_;
    if (changes_ == crash_at_) {
        crash();
        return broken(path);
    }
    if (changes_ == fail_at_) {
        failed_ = true;
        return broken(path);
    }
    return {};
}

void MemoryStorage::apply(Bytes& image, const Change& change) const {
    if (change.truncate_to) {
        image.resize(*change.truncate_to);
        return;
    }
    if (change.bytes.empty()) {
        return;
    }
    image.resize(std::max<size_t>(image.size(), change.offset + change.bytes.size()));
    std::ranges::copy(change.bytes, image.begin() + static_cast<ptrdiff_t>(change.offset));
}

/// Some sectors arrive, others keep what was there: zeros where the file had not been so long.
void MemoryStorage::apply_by_chance(Bytes& image, const Change& change) {
    if (change.truncate_to) {
        return;
    }
    const auto end = change.offset + change.bytes.size();
    for (auto at = change.offset; at < end;) {
        const auto next = std::min<uint64_t>(end, (at / kSectorBytes + 1) * kSectorBytes);
        if (chance(0.5)) {
            const auto part = ByteView(change.bytes).subspan(at - change.offset, next - at);
            apply(image, {at, to_bytes(part), std::nullopt});
        }
        at = next;
    }
}

void MemoryStorage::settle_by_chance(Inode& inode) {
    for (const auto& change : inode.unsynced) {
        if (chance(0.4)) {
            apply(inode.disk, change);
        } else if (chance(0.5)) {
            apply_by_chance(inode.disk, change);
        }
    }
    inode.unsynced.clear();
}

bool MemoryStorage::NameChange::in_folder(const std::string& folder) const {
    return folder_of(added.empty() ? removed : added) == folder;
}

void MemoryStorage::apply(Names& names, const NameChange& change) {
    if (!change.removed.empty()) {
        names.erase(change.removed);
    }
    if (!change.added.empty()) {
        names[change.added] = change.inode;
    }
}

Task<Result<std::unique_ptr<File>>> MemoryStorage::open(std::string path, OpenMode mode) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    QIAO_CO_CHECK(begin(mode == OpenMode::Create ? DiskOp::Create : DiskOp::Open, path));
    const auto found = seen_.find(path);
    if (mode != OpenMode::Create) {
        QIAO_CO_CHECK(end(path));
        if (found == seen_.end()) {
            co_return missing(path);
        }
        co_return std::make_unique<MemoryFile>(*this, found->second, path);
    }
    if (found != seen_.end() || !folders_.contains(folder_of(path))) {
        QIAO_CO_CHECK(end(path));
        co_return found != seen_.end() ? broken(path) : missing(path);
    }
    const NameChange created{"", path, std::make_shared<Inode>()};
    apply(seen_, created);
    unsynced_names_.push_back(created);
    QIAO_CO_CHECK(end(path));
    co_return std::make_unique<MemoryFile>(*this, created.inode, path);
}

Task<Status> MemoryStorage::rename(std::string from, std::string to) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    QIAO_CO_CHECK(begin(DiskOp::Rename, from));
    const auto found = seen_.find(from);
    if (found == seen_.end()) {
        QIAO_CO_CHECK(end(from));
        co_return missing(from);
    }
    const NameChange renamed{from, to, found->second};
    apply(seen_, renamed);
    unsynced_names_.push_back(renamed);
    co_return end(from);
}

Task<Status> MemoryStorage::remove(std::string path) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    if (!seen_.contains(path)) {
        co_return missing(path);
    }
    QIAO_CO_CHECK(begin(DiskOp::Remove, path));
    const NameChange removed{path, "", nullptr};
    apply(seen_, removed);
    unsynced_names_.push_back(removed);
    co_return end(path);
}

Task<Status> MemoryStorage::make_folder(std::string path) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    QIAO_CO_CHECK(begin(DiskOp::MakeFolder, path));
    if (full_ && !folders_.contains(path)) {
        co_return Error(ErrorCode::StorageFull, path);
    }
    for (auto part = path; part != "." && !part.empty(); part = folder_of(part)) {
        folders_.insert(part);
    }
    co_return end(path);
}

Task<Status> MemoryStorage::remove_folder(std::string path) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    folders_.erase(path);
    co_return Status{};
}

Task<Status> MemoryStorage::sync_folder(std::string path) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    const auto started = begin(DiskOp::SyncFolder, path);
    QIAO_CO_CHECK(check_alive(life));
    for (const auto& change : unsynced_names_) {
        if (change.in_folder(path) && (started || chance(0.5))) {
            apply(disk_, change);
        }
    }
    std::erase_if(unsynced_names_, [&](const NameChange& change) {
        return change.in_folder(path);
    });
    QIAO_CO_CHECK(end(path));
    co_return started;
}

Task<Result<std::vector<std::string>>> MemoryStorage::list(std::string path) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    QIAO_CO_CHECK(begin(DiskOp::List, path));
    QIAO_CO_CHECK(end(path));
    if (!folders_.contains(path)) {
        co_return missing(path);
    }
    std::vector<std::string> names;
    for (const auto& [name, inode] : seen_) {
        if (folder_of(name) == path) {
            names.push_back(name.substr(path.size() + 1));
        }
    }
    co_return names;
}

Task<Result<uint64_t>> MemoryStorage::free_bytes(std::string) {
    const auto used = used_bytes();
    co_return capacity_ - std::min(used, capacity_);
}

Task<Result<std::unique_ptr<Storage::Lock>>> MemoryStorage::lock(std::string path) {
    const auto life = life_;
    co_await turn(executor_);
    QIAO_CO_CHECK(check_alive(life));
    QIAO_CO_CHECK(begin(DiskOp::Lock, path));
    QIAO_CO_CHECK(end(path));
    if (!locks_.insert(path).second) {
        co_return Error(ErrorCode::StorageLocked, path);
    }
    co_return std::make_unique<MemoryLock>(*this, path);
}

void MemoryStorage::flip(const std::string& path, uint64_t offset, uint8_t bits) {
    const auto& inode = seen_.at(path);
    for (auto* image : {&inode->seen, &inode->disk}) {
        if (offset < image->size()) {
            (*image)[offset] ^= std::byte{bits};
        }
    }
}

void MemoryStorage::cut(const std::string& path, uint64_t size) {
    const auto& inode = seen_.at(path);
    inode->unsynced.clear();
    inode->seen.resize(size);
    inode->disk.resize(size);
}

void MemoryStorage::put(const std::string& path, Bytes content) {
    auto inode = std::make_shared<Inode>(Inode{content, content, {}});
    for (auto part = folder_of(path); part != "." && !part.empty(); part = folder_of(part)) {
        folders_.insert(part);
    }
    seen_[path] = disk_[path] = std::move(inode);
}

std::optional<Bytes> MemoryStorage::content(const std::string& path) const {
    const auto found = seen_.find(path);
    return found == seen_.end() ? std::nullopt : std::optional(found->second->seen);
}

std::vector<std::string> MemoryStorage::paths() const {
    std::vector<std::string> paths;
    for (const auto& [path, inode] : seen_) {
        paths.push_back(path);
    }
    return paths;
}

std::unique_ptr<MemoryStorage> MemoryStorage::copy(uint64_t seed) const {
    auto other = std::make_unique<MemoryStorage>(executor_, seed);
    for (const auto& [path, inode] : disk_) {
        other->put(path, inode->disk);
    }
    other->folders_.insert(folders_.begin(), folders_.end());
    return other;
}

uint64_t MemoryStorage::used_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [path, inode] : seen_) {
        bytes += inode->seen.size();
    }
    return bytes;
}

}  // namespace qiao::testing
