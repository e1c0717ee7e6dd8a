#include "qiao/capture/timestamp_source.h"

#include "qiao/capture/timestamp_check.h"
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
            co_return drivers::SourceNow{table_.stamp_now(), table_.clock_.wall_now()};
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

        Task<Result<drivers::TimedFacts>> probe(drivers::TimedTable) override {
            co_return drivers::TimedFacts{};
        }

    private:
        TableOfRows& table_;
    };

    Clock& clock_;
};

/// Applies what is committed, as a target that takes tolerant changes does.
class Target final : public TransactionSink {
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
        source_ = std::make_unique<TimestampSource>(options_, table_, world_, world_);
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
    Watermark watermark{"2026-01-01 00:00:00.000000", 5};
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

TEST(TimestampText, PositionsOrderByStampThenBySerial) {
    const std::vector<Watermark> order{
        {"", 0},
        {"", 9},
        {"2026-01-01 00:00:00.000000", 3},
        {"2026-01-01 00:00:00.000000", 16},
        {"2026-01-01 00:00:00.000001", 0}
    };
    for (size_t i = 0; i + 1 < order.size(); ++i) {
        EXPECT_TRUE(model::compare(order[i].position("h"), order[i + 1].position("h")) < 0) << i;
        EXPECT_EQ(Watermark::parse(order[i].position("h")), order[i]);
    }
    EXPECT_FALSE(Watermark::parse({}));
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
