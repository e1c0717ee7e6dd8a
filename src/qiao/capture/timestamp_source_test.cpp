#include "qiao/capture/timestamp_source.h"

#include "qiao/capture/timestamp_check.h"
#include "qiao/capture/timestamp_data_source.h"
#include "qiao/common/async/sleep.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::capture {
namespace {

/// A table with id, at, valid and v, in the virtual clock of the test. Rows become visible at their
/// commit, which may be later than the stamp that they took.
class TableOfRows final : public drivers::RowDatabase {
public:
    struct Row {
        std::string stamp, valid, value;
        bool operator==(const Row&) const = default;
    };

    explicit TableOfRows(Clock& clock) : clock_(clock) {}

    Task<Result<std::unique_ptr<drivers::RowQuery>>> connect() override {
        ++connections;
        co_return std::make_unique<Query>(*this);
    }

    std::string stamp_now() const {
        auto text = clock_.wall_now().to_string();
        text.pop_back();
        text[10] = ' ';
        return text;
    }

    std::map<int, Row> rows;
    size_t connections = 0, reads = 0;
    bool failing = false;
    std::string oldest_open;
    bool blind = false;

private:
    class Query final : public drivers::RowQuery {
    public:
        explicit Query(TableOfRows& table) : table_(table) {}

        Task<Result<model::TableSchema>> describe(drivers::TimedTable timed) override {
            model::TableSchema schema;
            schema.table = timed.table;
            schema.identity = model::Identity::Index;
            for (const auto* name : {"id", "at", "valid", "v"}) {
                model::Column column;
                column.name = name;
                column.type = "pg_catalog.text";
                column.key = column.name == "id";
                schema.columns.push_back(column);
            }
            co_return schema;
        }

        Task<Result<drivers::SourceNow>> now(drivers::TimedTable) override {
            drivers::SourceNow now{table_.stamp_now(), table_.clock_.wall_now()};
            now.oldest_open = table_.oldest_open;
            now.blind = table_.blind;
            co_return now;
        }

        Task<Result<size_t>>
        read(drivers::TimedTable, drivers::RowWindow window, const Visit& visit, StopSignal&)
            override {
            ++table_.reads;
            if (table_.failing) {
                co_return Error(ErrorCode::DbLost);
            }
            using Place = std::pair<std::string, int>;
            std::vector<Place> order;
            for (const auto& [id, row] : table_.rows) {
                const bool inside = row.stamp >= window.from && row.stamp <= window.to;
                const Place place{row.stamp, id};
                const bool later =
                    !window.after ||
                    place > Place{window.after->stamp, std::stoi(window.after->keys.at(0))};
                if (inside && later) {
                    order.push_back(place);
                }
            }
            std::ranges::sort(order);
            order.resize(std::min(order.size(), window.limit));
            for (const auto& [stamp, id] : order) {
                const auto& row = table_.rows.at(id);
                model::TupleBuilder builder(4);
                builder.text(std::to_string(id)).text(stamp).text(row.valid).text(row.value);
                const auto bytes = std::move(builder).take();
                visit(stamp, *model::Tuple::parse(bytes));
            }
            co_return order.size();
        }

        Task<Result<drivers::TimedFacts>> glance(drivers::TimedTable) override {
            drivers::TimedFacts facts;
            facts.stamp_is_time = facts.stamp_indexed = facts.keys_unique_by_index = true;
            co_return facts;
        }

        Task<Result<drivers::TimedFacts>> probe(drivers::TimedTable table) override {
            return glance(std::move(table));
        }

        Task<Result<std::vector<model::TableName>>> find(std::vector<std::string> names) override {
            std::vector<model::TableName> found;
            for (const auto& name : names) {
                found.push_back({"public", name});
            }
            co_return found;
        }

        Task<Result<drivers::Structure>> structure(drivers::TimedTable, model::TableName) override {
            co_return drivers::Structure{};
        }

        drivers::LoadFormat bulk_format() const override { return drivers::LoadFormat::Tuples; }

        Task<Status> begin_bulk(drivers::TimedTable, std::string to, drivers::LeftOutRows left_out)
            override {
            for (const auto& [id, row] : table_.rows) {
                if (row.stamp <= to && std::ranges::count(left_out.values, row.valid) == 0) {
                    bulk_.push_back(id);
                }
            }
            co_return Status{};
        }

        Task<Result<drivers::BulkRows>> next_bulk(size_t, size_t, StopSignal&) override {
            drivers::BulkRows result;
            for (const auto id : bulk_) {
                const auto text = std::to_string(id) + " ";
                const auto bytes = as_bytes(text);
                result.rows.insert(result.rows.end(), bytes.begin(), bytes.end());
            }
            result.count = bulk_.size();
            result.last = true;
            co_return result;
        }

    private:
        TableOfRows& table_;
        std::vector<int> bulk_;
    };

    Clock& clock_;
};

/// Applies what is committed, as a target that takes tolerant changes does.
class Target final : public CommittedSink {
public:
    void schema(const model::TableSchema&) override { schema_known = true; }

    void begin(const model::TransactionHead& head) override {
        EXPECT_TRUE(model::compare(head.commit, last) > 0) << "positions only grow";
        pending_.clear();
    }

    void change(const model::Change& change) override {
        EXPECT_TRUE(schema_known);
        EXPECT_TRUE(change.tolerant);
        ++changes;
        const bool gone = change.op == model::Op::Delete;
        const auto values = (gone ? change.old_row : change.new_row).values();
        const auto text = [&values](size_t i) { return std::string(as_text(values[i].bytes)); };
        const int id = std::stoi(text(0));
        std::optional<TableOfRows::Row> row;
        if (!gone) {
            row = TableOfRows::Row{text(1), text(2), text(3)};
        }
        pending_.emplace_back(id, row);
    }

    void commit(const model::TransactionHead& head) override {
        last = head.commit;
        for (const auto& [id, row] : pending_) {
            rows.erase(id);
            if (row) {
                rows[id] = *row;
            }
        }
        pending_.clear();
    }

    void heartbeat(const Heartbeat& beat) override {
        EXPECT_TRUE(model::compare(beat.position, last) > 0) << "positions only grow";
        last = beat.position;
        ++beats;
    }

    void progress(const model::SourcePosition&) override {}

    bool full() const override { return false; }

    std::map<int, TableOfRows::Row> rows;
    model::SourcePosition last;
    size_t changes = 0, beats = 0;
    bool schema_known = false;

private:
    std::vector<std::pair<int, std::optional<TableOfRows::Row>>> pending_;
};

class Timestamps : public ::testing::Test {
protected:
    Timestamps() : world_(11), table_(world_) {
        options_.table = {{"public", "t"}, "at", {"id"}, {}};
        options_.flag = "valid";
        options_.flag_values = {{"D", RowValidity::Deleted}, {"N", RowValidity::Invalid}};
        options_.overlap = std::chrono::minutes(10);
        options_.every = std::chrono::seconds(10);
        options_.page_rows = 7;
    }

    void start(const model::SourcePosition& from = {}) {
        auto progress = std::make_shared<TimestampProgress>();
        progress->begin_at = "";
        source_ = std::make_unique<TimestampSource>(options_, table_, world_, world_, progress);
        const auto started = world_.run(source_->start(from));
        ASSERT_TRUE(started) << started.error().to_string();
    }

    Status pump() { return world_.run(source_->pump(target_, stop_)); }

    void pass(Duration time) { ASSERT_TRUE(world_.run(sleep_of(time))); }

    Task<Status> sleep_of(Duration time) {
        co_return co_await sleep_for(world_, world_, time, stop_);
    }

    std::map<int, TableOfRows::Row> valid_rows() const {
        auto rows = table_.rows;
        std::erase_if(rows, [](const auto& entry) { return entry.second.valid == "D"; });
        return rows;
    }

    testing::ManualWorld world_;
    TableOfRows table_;
    Target target_;
    TimestampOptions options_;
    StopSignal stop_;
    std::unique_ptr<TimestampSource> source_;
};

// Spec: H-28, H-30, H-31
TEST_F(Timestamps, LateCommitsEqualStampsAndFlagsComeThroughExactlyAlsoAfterRestarts) {
    struct Write {
        MonoTime commit;
        int id;
        TableOfRows::Row row;
    };

    for (int i = 0; i < 100; ++i) {
        table_.rows[i] = {table_.stamp_now(), "Y", "before"};
    }
    start();
    std::vector<Write> open;
    for (int round = 0; round < 600; ++round) {
        const auto stamp = table_.stamp_now();
        const auto rows = world_.number() % 12;  // all with one stamp
        for (unsigned i = 0; i < rows; ++i) {
            // Late by less than the overlap without the time of a poll.
            const auto late =
                std::chrono::seconds(world_.number() % 3 == 0 ? world_.number() % 560 : 0);
            const auto kind = world_.number() % 6;
            const auto valid = kind == 0 ? "D" : kind == 1 ? "N" : "Y";
            open.push_back(
                {world_.now() + late,
                 static_cast<int>(world_.number() % 300),
                 {stamp, valid, std::to_string(world_.number() % 50)}}
            );
        }
        pass(std::chrono::milliseconds(world_.number() % 6000));
        std::erase_if(open, [this](const Write& write) {
            const bool due = write.commit <= world_.now();
            // A row has one writer at a time: its stamp does not go back.
            if (due && table_.rows[write.id].stamp <= write.row.stamp) {
                table_.rows[write.id] = write.row;
            }
            return due;
        });
        switch (world_.number() % 12) {
            case 0:
                start(target_.last);
                break;
            case 1:
                table_.failing = true;
                EXPECT_FALSE(pump());
                table_.failing = false;
                start(target_.last);
                break;
            default:
                ASSERT_TRUE(pump());
        }
    }
    for (const auto& write : open) {
        if (table_.rows[write.id].stamp <= write.row.stamp && write.commit <= world_.now()) {
            table_.rows[write.id] = write.row;
        }
    }
    ASSERT_TRUE(pump());
    EXPECT_EQ(target_.rows, valid_rows());
    EXPECT_GT(target_.beats, 100U);
}

TEST_F(Timestamps, WithoutTheOverlapALateCommitIsLost) {
    options_.overlap = Duration(0);
    start();
    const auto early = table_.stamp_now();
    pass(std::chrono::seconds(60));
    table_.rows[1] = {table_.stamp_now(), "Y", "on time"};
    ASSERT_TRUE(pump());
    table_.rows[2] = {early, "Y", "late"};
    ASSERT_TRUE(pump());
    EXPECT_EQ(target_.rows.size(), 1U) << "this is what the overlap is for";
}

// Spec: H-30
TEST_F(Timestamps, ATransactionOpenForLongerThanTheOverlapIsWaitedForAlsoAcrossARestart) {
    for (const bool restart : {false, true}) {
        table_.rows.clear();
        target_ = {};
        table_.rows[1] = {table_.stamp_now(), "Y", "before"};
        start();
        ASSERT_TRUE(pump());
        pass(std::chrono::seconds(5));
        const auto early = table_.stamp_now();
        table_.oldest_open = early;
        for (int i = 0; i < 60; ++i) {
            pass(std::chrono::minutes(5));
            table_.rows[10 + i] = {table_.stamp_now(), "Y", "on time"};
            ASSERT_TRUE(pump());
        }
        table_.rows[2] = {early, "Y", "five hours late"};
        table_.oldest_open.clear();
        if (restart) {
            start(target_.last);
        }
        ASSERT_TRUE(pump());
        EXPECT_EQ(target_.rows, valid_rows());
    }
}

/// What came later than everything that is promised is brought by reading everything again.
TEST_F(Timestamps, ReadingAgainRepairsWhatCameTooLate) {
    table_.rows[1] = {table_.stamp_now(), "Y", "first"};
    start();
    ASSERT_TRUE(pump());
    const auto early = table_.stamp_now();
    pass(std::chrono::hours(5));
    table_.rows[3] = {table_.stamp_now(), "Y", "on time"};
    ASSERT_TRUE(pump());
    table_.rows[2] = {early, "Y", "too late"};
    table_.rows[1] = {early, "D", "first"};
    ASSERT_TRUE(pump());
    EXPECT_NE(target_.rows, valid_rows());
    options_.read_again = true;
    start(target_.last);
    ASSERT_TRUE(pump());
    EXPECT_EQ(target_.rows, valid_rows());
    const auto changes = target_.changes;
    ASSERT_TRUE(pump());
    EXPECT_EQ(target_.changes, changes) << "once is enough";
}

class TimestampData : public Timestamps {
protected:
    TimestampData() {
        auto forward = std::make_unique<Forward>(table_);
        options_.table = {{}, "at", {}, {}};
        data_ = std::make_unique<TimestampDataSource>(
            options_, std::move(forward), "here", world_, world_
        );
    }

    struct Forward final : drivers::RowDatabase {
        explicit Forward(TableOfRows& rows) : table(rows) {}

        Task<Result<std::unique_ptr<drivers::RowQuery>>> connect() override {
            return table.connect();
        }

        TableOfRows& table;
    };

    void follow() {
        ASSERT_TRUE(world_.run(data_->choose({"t"})));
        ASSERT_TRUE(world_.run(data_->prepare({}, {})));
        stream_ = data_->streaming({});
        ASSERT_TRUE(world_.run(stream_->start(target_.last)));
    }

    Status pump_stream() { return world_.run(stream_->pump(target_, stop_)); }

    std::unique_ptr<TimestampDataSource> data_;
    std::unique_ptr<StreamingSource> stream_;
};

TEST_F(TimestampData, ACompletePollThatBeganLaterAndNoOtherIsPastTheFlushedPosition) {
    table_.rows[1] = {table_.stamp_now(), "Y", "x"};
    follow();
    const auto at_once = *world_.run(data_->flushed_position());
    EXPECT_FALSE(model::compare(target_.last, at_once) >= 0);
    ASSERT_TRUE(pump_stream());
    EXPECT_TRUE(model::compare(target_.last, at_once) >= 0);
    const auto later = *world_.run(data_->flushed_position());
    EXPECT_FALSE(model::compare(target_.last, later) >= 0);
    table_.rows[2] = {table_.stamp_now(), "Y", "x"};
    ASSERT_TRUE(pump_stream());
    EXPECT_TRUE(model::compare(target_.last, later) >= 0);
    EXPECT_EQ(target_.rows.size(), 2U);
}

// Spec
TEST_F(TimestampData, ALoadHasTheRowsOfNowAndTheStreamWhatChangedSinceItWasPrepared) {
    table_.rows[1] = {"0001-01-01 00:00:00.000000", "Y", "old"};
    table_.rows[2] = {"0001-01-01 00:00:00.000000", "D", "deleted"};
    table_.rows[3] = {"2999-01-01 00:00:00.000000", "Y", "future"};
    follow();
    pass(std::chrono::seconds(20));
    table_.rows[4] = {table_.stamp_now(), "Y", "during"};
    const auto source = data_->snapshot({});
    const auto session = world_.run(source->open({{"public", "t"}}, stop_));
    ASSERT_TRUE(session) << session.error().to_string();
    ASSERT_EQ((*session)->parts().size(), 1U);
    auto reader = world_.run((*session)->read((*session)->parts()[0], 1000));
    ASSERT_TRUE(reader);
    const auto chunk = world_.run((*reader)->next(stop_));
    ASSERT_TRUE(chunk);
    EXPECT_EQ(as_text(chunk->rows), "1 4 ");
    EXPECT_TRUE(chunk->last);
    pass(std::chrono::seconds(20));
    table_.rows[5] = {table_.stamp_now(), "Y", "after"};
    ASSERT_TRUE(pump_stream());
    EXPECT_EQ(target_.rows.size(), 2U) << "not what is older than the load";
    EXPECT_TRUE(model::compare((*session)->joined_at(), target_.last) < 0);
}

/// A process died after its load and before its first position: what changed since then is in
/// nobody's hands.
TEST_F(TimestampData, AStreamWithoutAPositionAndWithoutALoadReadsEverything) {
    table_.rows[1] = {"0001-01-01 00:00:00.000000", "Y", "old"};
    table_.rows[2] = {table_.stamp_now(), "Y", "changed since the load"};
    pass(std::chrono::hours(5));
    follow();
    ASSERT_TRUE(pump_stream());
    EXPECT_EQ(target_.rows, valid_rows());
}

TEST_F(TimestampData, OneTableIsCarriedAndItsKeyIsThePrimaryKeyUnlessDeclared) {
    EXPECT_FALSE(world_.run(data_->choose({"t", "u"})));
    EXPECT_FALSE(world_.run(data_->choose({})));
    table_.blind = true;
    const auto choice = world_.run(data_->choose({"t"}));
    ASSERT_TRUE(choice) << choice.error().to_string();
    ASSERT_EQ(choice->findings.size(), 1U);
    EXPECT_NE(choice->findings[0].message_en.find("cannot be seen"), std::string::npos);
}

TEST_F(TimestampData, ATransactionThatIsOpenForTooLongIsShown) {
    follow();
    ASSERT_TRUE(pump_stream());
    EXPECT_TRUE(data_->notes().empty());
    table_.oldest_open = table_.stamp_now();
    pass(std::chrono::hours(1));
    ASSERT_TRUE(pump_stream());
    ASSERT_EQ(data_->notes().size(), 1U);
    table_.oldest_open.clear();
    ASSERT_TRUE(pump_stream());
    EXPECT_TRUE(data_->notes().empty());
}

TEST_F(Timestamps, AnIdleTableIsReadButNothingIsSentAgain) {
    for (int i = 0; i < 20; ++i) {
        table_.rows[i] = {table_.stamp_now(), "Y", "x"};
    }
    start();
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(pump());
    }
    EXPECT_EQ(target_.changes, 20U);
    EXPECT_EQ(target_.beats, 10U) << "each poll proves that the source was asked";
}

TEST_F(Timestamps, AForgottenRowIsSentAgainWithTheSameResult) {
    options_.remembered_rows = 5;
    for (int i = 0; i < 20; ++i) {
        table_.rows[i] = {table_.stamp_now(), "Y", "x"};
    }
    start();
    ASSERT_TRUE(pump());
    ASSERT_TRUE(pump());
    EXPECT_EQ(target_.rows, valid_rows());
    EXPECT_EQ(target_.changes, 35U);
    EXPECT_EQ(source_->forgotten(), 30U);
}

TEST_F(Timestamps, RowsOfTheFutureComeWhenTheirTimeHasCome) {
    table_.rows[1] = {table_.stamp_now(), "Y", "now"};
    pass(std::chrono::seconds(1));
    table_.rows[2] = {"2999-01-01 00:00:00.000000", "Y", "far"};
    start();
    ASSERT_TRUE(pump());
    EXPECT_EQ(target_.rows.size(), 1U);
    EXPECT_LT(Watermark::parse(target_.last)->stamp, "2000");
}

TEST_F(Timestamps, APositionOfAnotherTableIsRefused) {
    start();
    Watermark watermark{{}, 5, "2026-01-01 00:00:00.000000"};
    const auto refused = world_.run(source_->start(watermark.position("public.other.at")));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::CaptureIdentity));
    EXPECT_FALSE(world_.run(source_->start(model::SourcePosition::lsn(1, 1, 1))));
}

TEST(TimestampText, CountsBackAcrossDaysMonthsAndYears) {
    using std::chrono::seconds;
    EXPECT_EQ(stamp_before("2026-03-01 00:00:05", seconds(10)), "2026-02-28 23:59:55.000000");
    EXPECT_EQ(stamp_before("2024-03-01 00:00:00.5", seconds(1)), "2024-02-29 23:59:59.500000");
    EXPECT_EQ(stamp_before("0001-01-01 00:00:00", seconds(10)), "0001-01-01 00:00:00.000000");
    EXPECT_EQ(stamp_before("nonsense", seconds(10)), "nonsense");
    EXPECT_EQ(full_stamp("2026-01-31 08:05:09.12xyz"), "2026-01-31 08:05:09.120000");
    EXPECT_EQ(full_stamp("2026-01-31T08:05:09"), std::nullopt);
}

TEST(TimestampText, PositionsOrderByPollThenByPageWhateverTheStamp) {
    const std::vector<Watermark> order{
        {{0}, 0, ""},
        {{0}, 9, "2026-01-01 00:00:00.000000"},
        {{0}, 16, ""},
        {{1}, 0, "2026-01-01 00:00:00.000000"},
        {{1'800'000'000'000'000}, 1, "2025-01-01 00:00:00.000000"},
        {{1'800'000'000'000'000}, Watermark::kWholePoll, ""},
        {{1'800'000'000'000'000}, Watermark::kWholePoll, "2025-01-01 00:00:00.000000"},
        {{1'800'000'000'000'001}, 0, "1999-12-31 23:59:59.000000"}
    };
    for (size_t i = 0; i < order.size(); ++i) {
        const auto position = order[i].position("h");
        EXPECT_EQ(Watermark::parse(position), order[i]);
        if (i > 0) {
            EXPECT_TRUE(model::compare(order[i - 1].position("h"), position) < 0) << i;
        }
    }
    EXPECT_FALSE(Watermark::parse({}));
    auto cut = order[1].position("h");
    cut.order.resize(30);
    EXPECT_FALSE(Watermark::parse(cut));
}

TEST(TimestampText, FloorsToTheSecondOrTheDay) {
    EXPECT_EQ(stamp_floor("2026-01-31 08:05:09.9", false), "2026-01-31 08:05:09.000000");
    EXPECT_EQ(stamp_floor("2026-01-31 08:05:09.9", true), "2026-01-31 00:00:00.000000");
    EXPECT_EQ(stamp_floor("nonsense", true), "nonsense");
}

// Spec: H-29, H-30
TEST(TimestampCheck, FindsWhatTheDataBreaksOfItsDeclaration) {
    TimestampOptions options;
    options.table = {{"public", "t"}, "at", {"id"}, {}};
    options.flag = "valid";
    drivers::TimedFacts good;
    good.stamp_is_time = good.stamp_indexed = good.keys_unique_by_index = true;
    using Verdict = drivers::Finding::Verdict;
    ASSERT_EQ(judge_timed_table(options, good).size(), 1U);
    EXPECT_EQ(judge_timed_table(options, good)[0].verdict, Verdict::Good);
    const auto verdict = [&](auto spoil) {
        auto facts = good;
        spoil(facts);
        const auto findings = judge_timed_table(options, facts);
        EXPECT_EQ(findings.size(), 1U);
        return findings.at(0).verdict;
    };
    EXPECT_EQ(verdict([](auto& f) { f.stamps_null = 1; }), Verdict::Bad);
    EXPECT_EQ(verdict([](auto& f) { f.stamps_malformed = 1; }), Verdict::Bad);
    EXPECT_EQ(verdict([](auto& f) { f.stamps_future = 1; }), Verdict::Warning);
    EXPECT_EQ(verdict([](auto& f) { f.stamp_indexed = false; }), Verdict::Warning);
    EXPECT_EQ(verdict([](auto& f) { f.keys_null = 1; }), Verdict::Bad);
    EXPECT_EQ(verdict([](auto& f) { f.keys_repeated = 1; }), Verdict::Bad);
    EXPECT_EQ(verdict([](auto& f) { f.keys_unique_by_index = false; }), Verdict::Warning);
    EXPECT_EQ(verdict([](auto& f) { f.stamp_is_time = false; }), Verdict::Bad);
    options.flag.clear();
    EXPECT_EQ(judge_timed_table(options, good)[0].verdict, Verdict::Warning);
}

}  // namespace
}  // namespace qiao::capture
