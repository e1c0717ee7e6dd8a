// Verification while the source is written to and the target follows behind: what is called
// different must be, whatever the timing.

#include "qiao/common/async/scope.h"
#include "qiao/verify/two_sides_test.h"

#include <gtest/gtest.h>

#include <deque>

namespace qiao::verify {
namespace {

using std::chrono::milliseconds;

/// How a source is written to and followed.
struct Weather {
    uint64_t keys = 40;                  ///< that are written to: 0 … keys - 1
    uint64_t resting = 40;               ///< more rows that nobody touches
    Duration between = milliseconds(4);  ///< two commits, at most
    Duration lag = milliseconds(60);     ///< of the target, at most
    /// A commit is in the log, and may have reached the target, before readers of the source see
    /// it; at most so long.
    Duration unseen = milliseconds(8);
    bool toggle = false;       ///< every write turns a row back to one of two images
    bool come_and_go = false;  ///< every write inserts the same row again, or deletes it
    bool applier_stands = false;
    bool versions = true;  ///< the databases tell the versions of rows
};

/// A source that somebody writes to until stop, and a target that follows its log.
class Live {
public:
    Live(uint64_t seed, Weather weather_now)
        : sides(seed), weather(weather_now), random(seed * 7 + 1), scope(sides.world) {
        for (uint64_t id = 0; id < weather.keys + weather.resting; ++id) {
            sides.source.rows.insert(random_row(random, id));
        }
        sides.target.rows = sides.source.rows;
        newest = sides.source.rows;
        if (weather.versions) {
            sides.source.shape.version_column = "version";
            sides.target.shape.version_column = "version";
        }
        sides.flow.wait_applied = [this](auto position, auto deadline, auto& stop) {
            return wait_applied(std::move(position), deadline, stop);
        };
    }

    TableOutcome run() { return sides.world.run(whole()); }

    TwoSides sides;
    Weather weather;
    std::mt19937_64 random;
    ModelRows newest;  ///< with commits that readers do not see yet

    /// A row of the target that the writers leave alone.
    ModelRows::iterator resting_row() {
        const auto rests = [this](const ModelRow& row) {
            return std::stoull(*row[1]) >= weather.keys;
        };
        return std::ranges::find_if(sides.target.rows, rests);
    }

private:
    struct Logged {
        uint64_t lsn;
        ModelCommit commit;
    };

    Task<TableOutcome> whole() {
        scope.spawn(write());
        scope.spawn(follow(sides.source, seen_, weather.unseen));
        if (!weather.applier_stands) {
            scope.spawn(follow(sides.target, applied_, weather.lag));
        }
        auto outcome = co_await sides.verify();
        scope.request_stop();
        co_await scope.join();
        co_return outcome;
    }

    Task<Status> nap(Duration most) {
        const auto count = random() % (static_cast<uint64_t>(most.count()) + 1);
        const Duration pause(static_cast<int64_t>(count));
        co_return co_await sleep_for(sides.world, sides.world, pause, scope.stop());
    }

    Task<void> write() {
        while (co_await nap(weather.between)) {
            ModelCommit commit;
            for (auto rows = 1 + random() % 3; rows > 0; --rows) {
                change_one(commit);
            }
            log_.push_back({++sides.source.lsn, std::move(commit)});
        }
    }

    void change_one(ModelCommit& commit) {
        const auto id = random() % weather.keys;
        const auto is_it = [id](const ModelRow& row) { return *row[1] == std::to_string(id); };
        const auto old = std::ranges::find_if(newest, is_it);
        ModelChange change;
        if (old != newest.end()) {
            change.gone = *old;
        }
        auto row = random_row(random, id);
        if (weather.toggle) {
            for (size_t i = 2; i < row.size(); ++i) {
                row[i] = "x";
            }
            row[2] = old != newest.end() && (*old)[2] == "on" ? "off" : "on";
        }
        if (weather.come_and_go) {
            std::fill(row.begin() + 2, row.end(), "x");
        }
        const bool may_go = weather.come_and_go || (!weather.toggle && random() % 3 == 0);
        const bool remove = may_go && old != newest.end();
        if (!remove) {
            change.come = row;
        }
        make(newest, change);
        commit.push_back(std::move(change));
    }

    /// Applies the log's commits in order, some at a time.
    Task<void> follow(ModelTable& table, uint64_t& position, Duration lag) {
        size_t next = 0;
        while (co_await nap(lag)) {
            const auto batch = 1 + random() % 40;
            for (uint64_t i = 0; i < batch && next < log_.size(); ++i, ++next) {
                for (const auto& change : log_[next].commit) {
                    make(table.rows, change);
                    ++table.versions[*(change.come ? *change.come : *change.gone)[1]];
                }
                position = log_[next].lsn;
            }
        }
    }

    /// What a change of the stream does: the row of the key is replaced, whatever it was.
    static void make(ModelRows& rows, const ModelChange& change) {
        if (change.gone) {
            erase_key(rows, *change.gone);
        }
        if (change.come) {
            erase_key(rows, *change.come);
            rows.insert(*change.come);
        }
    }

    static void erase_key(ModelRows& rows, const ModelRow& like) {
        const auto same = [&like](const ModelRow& row) { return row[1] == like[1]; };
        const auto old = std::ranges::find_if(rows, same);
        if (old != rows.end()) {
            rows.erase(old);
        }
    }

    Task<Status> wait_applied(model::SourcePosition position, Deadline deadline, StopSignal& stop) {
        const auto reached = [this, &position] {
            const auto applied = model::SourcePosition::lsn(1, 1, std::max(applied_, kStart));
            return compare(applied, position) >= 0;
        };
        while (!reached()) {
            if (deadline.passed(sides.world.now())) {
                co_return Error(ErrorCode::DeadlinePassed, "applied");
            }
            const auto pause = milliseconds(1);
            QIAO_CO_CHECK(co_await sleep_for(sides.world, sides.world, pause, stop));
        }
        co_return Status{};
    }

    static constexpr uint64_t kStart = 100;

    std::deque<Logged> log_;
    uint64_t seen_ = 0;
    uint64_t applied_ = 0;
    TaskScope scope;
};

// Spec: R-35
TEST(LiveVerification, NeverCallsLagADifference) {
    uint64_t equal = 0;
    uint64_t candidates = 0;
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(seed);
        Weather weather;
        weather.versions = seed % 2 == 0;
        Live live(seed, weather);
        live.sides.options.first_bits = 5;
        live.sides.remote_target = seed % 3 == 0;
        const auto report = live.run().report;
        ASSERT_FALSE(report.error);
        EXPECT_EQ(report.confirmed, 0U);
        EXPECT_NE(report.verdict, Verdict::Different);
        EXPECT_EQ(report.candidates, report.settled + report.unsettled);
        equal += report.verdict == Verdict::Equal ? 1 : 0;
        candidates += report.candidates;
    }
    // The test would show nothing if the two never differed, or if it never came to a verdict.
    EXPECT_GT(candidates, 500U);
    EXPECT_GT(equal, 50U);
}

// A row that flips between two images can be read the same twice at the source and the other way
// at the target: one look proves nothing.
TEST(LiveVerification, IsNotFooledByARowThatGoesToAndFro) {
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE(seed);
        Weather weather;
        weather.toggle = seed % 2 == 0;
        weather.come_and_go = !weather.toggle;
        weather.keys = 1 + seed % 4;
        weather.between = milliseconds(1 + seed % 20);
        Live live(seed, weather);
        const auto report = live.run().report;
        ASSERT_FALSE(report.error);
        EXPECT_EQ(report.confirmed, 0U);
    }
}

// Spec: R-35
TEST(LiveVerification, ConfirmsACorruptedRowUnderLoad) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        Weather weather;
        weather.versions = seed % 2 == 0;
        Live live(seed, weather);
        const auto row = live.resting_row();
        auto changed = *row;
        changed[3] = "corrupted";
        const auto id = *changed[1];
        live.sides.target.rows.erase(row);
        live.sides.target.rows.insert(changed);
        live.sides.options.first_bits = 4;
        const auto report = live.run().report;
        EXPECT_EQ(report.verdict, Verdict::Different);
        ASSERT_EQ(report.differences.size(), 1U);
        EXPECT_EQ(report.differences[0].key[1].value, id);
        ASSERT_EQ(report.differences[0].columns.size(), 1U);
        EXPECT_EQ(report.differences[0].columns[0], "b");
    }
}

TEST(LiveVerification, CannotTellOfRowsThatNeverRest) {
    uint64_t moving = 0;
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE(seed);
        Weather weather;
        weather.keys = 5;
        weather.between = milliseconds(1);
        weather.lag = milliseconds(2);
        Live live(seed, weather);
        live.sides.options.rounds = 1;
        const auto report = live.run().report;
        EXPECT_NE(report.verdict, Verdict::Different);
        if (report.verdict == Verdict::CouldNotTell) {
            EXPECT_EQ(report.doubt, Doubt::Moving);
            EXPECT_GT(report.unsettled, 0U);
            ++moving;
        }
    }
    EXPECT_GT(moving, 5U);
}

TEST(LiveVerification, CannotTellWhenTheTargetDoesNotCome) {
    Weather weather;
    weather.applier_stands = true;
    Live live(3, weather);
    live.sides.source.lsn += 1;
    const auto report = live.run().report;
    EXPECT_EQ(report.verdict, Verdict::CouldNotTell);
    EXPECT_EQ(report.doubt, Doubt::NotApplied);
}

TEST(LiveVerification, CountsOnlyWhatRests) {
    uint64_t told = 0;
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        Weather weather;
        weather.between = milliseconds(40);
        Live live(seed, weather);
        live.sides.options.level = Level::Table;
        const auto verdict = live.run().report.verdict;
        EXPECT_NE(verdict, Verdict::Different);
        told += verdict == Verdict::Equal ? 1 : 0;
    }
    EXPECT_GT(told, 50U);
}

}  // namespace
}  // namespace qiao::verify
