#include "qiao/common/posix_storage.h"

#include "qiao/testing/manual_world.h"
#include "qiao/testing/temp_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace qiao {
namespace {

/// A file beside what it should hold.
class Checked {
public:
    Checked(std::string folder, uint64_t seed) : world_(seed), random_(seed) {
        file_ = open(folder + "/file", OpenMode::Create);
        other_ = open(folder + "/file", OpenMode::Read);
    }

    void write() {
        const bool appends = random_() % 3 != 0;
        write(appends ? content_.size() : some_offset());
    }

    void read() {
        const auto offset = some_offset();
        Bytes into(some_size());
        auto& file = random_() % 2 == 0 ? *file_ : *other_;
        const auto got = world_.run(file.read_at(offset, into));
        ASSERT_TRUE(got) << got.error().to_string();
        const auto there = content_.size() - std::min<size_t>(offset, content_.size());
        ASSERT_EQ(*got, std::min(into.size(), there));
        ASSERT_TRUE(std::equal(
            into.begin(),
            into.begin() + static_cast<ptrdiff_t>(*got),
            content_.begin() + static_cast<ptrdiff_t>(std::min<size_t>(offset, content_.size()))
        ));
    }

    void truncate() {
        const auto size = some_offset();
        ASSERT_TRUE(world_.run(file_->truncate(size)));
        content_.resize(size);
    }

    void sync() { ASSERT_TRUE(world_.run(file_->sync())); }

    void expect_size() { ASSERT_EQ(file_->size().value(), content_.size()); }

    uint64_t chance() { return random_(); }

private:
    std::unique_ptr<File> open(const std::string& path, OpenMode mode) {
        return world_.run(storage_->open(path, mode)).value();
    }

    /// Around pages, and around what goes past the page cache.
    size_t some_size() {
        constexpr std::array<size_t, 6> kSizes{3, 4096, 100'000, 131'072, 300'000, 2'500'000};
        return kSizes.at(random_() % kSizes.size()) + random_() % 5000;
    }

    uint64_t some_offset() {
        const auto offset = content_.empty() ? 0 : random_() % content_.size();
        return random_() % 3 == 0 ? offset / 4096 * 4096 : offset;
    }

    void write(uint64_t offset) {
        Bytes bytes(some_size());
        world_.fill(bytes);
        ASSERT_TRUE(world_.run(file_->write_at(offset, bytes)));
        content_.resize(std::max<size_t>(content_.size(), offset + bytes.size()));
        std::ranges::copy(bytes, content_.begin() + static_cast<ptrdiff_t>(offset));
    }

    testing::ManualWorld world_;
    std::mt19937_64 random_;
    std::unique_ptr<Storage> storage_ = make_posix_storage(world_);
    std::unique_ptr<File> file_, other_;
    Bytes content_;
};

// Large stretches go past the page cache, small ones through it, the borders of one write through
// both.
TEST(PosixStorage, ReadsBackWhatWasWrittenWhateverTheSizesAndPlaces) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        SCOPED_TRACE(seed);
        const testing::TempFolder folder;
        Checked file(folder / "", seed);
        for (int step = 0; step < 60 && !::testing::Test::HasFatalFailure(); ++step) {
            switch (file.chance() % 8) {
                case 0:
                    file.sync();
                    break;
                case 1:
                    file.chance() % 4 == 0 ? file.truncate() : file.expect_size();
                    break;
                case 2:
                case 3:
                case 4:
                    file.read();
                    break;
                default:
                    file.write();
                    break;
            }
        }
        file.expect_size();
    }
}

}  // namespace
}  // namespace qiao
