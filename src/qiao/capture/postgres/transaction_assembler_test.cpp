#include "qiao/capture/postgres/transaction_assembler.h"

#include "qiao/capture/postgres/internal/pgoutput_writer.h"
#include "qiao/capture/postgres/postgres_snapshot.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

namespace qiao::capture::postgres {
namespace {

using Writer = internal::PgoutputWriter;

/// Tells what it was given, one line each.
class TellingSink final : public TransactionSink {
public:
    void schema(const model::TableSchema& schema) override {
        lines.push_back("schema " + schema.table.to_string());
    }

    void begin(const model::TransactionHead& head) override {
        lines.push_back("begin " + head.commit.to_string());
        if (!head.origin.empty()) {
            lines.back() += " from " + head.origin;
        }
        xid = head.xid;
    }

    void change(const model::Change& change) override {
        static const char* const names[] = {"", "insert", "update", "delete", "truncate"};
        auto line = std::string(names[static_cast<size_t>(change.op)]);
        for (const auto* row : {&change.old_row, &change.new_row}) {
            line += row->empty() ? " -" : " ";
            if (!row->empty()) {
                row->for_each([&line](size_t, const model::Value& value) {
                    line += static_cast<char>(value.kind);
                    const bool withheld = value.kind == model::ValueKind::Withheld;
                    line += withheld ? std::to_string(model::WithheldValue::of(value).bytes) + ","
                                     : std::string(as_text(value.bytes)) + ",";
                });
            }
        }
        if (change.op == model::Op::Truncate) {
            line += " +" + std::to_string(change.more_tables.size());
        }
        lines.push_back(line);
    }

    void commit(const model::TransactionHead& head) override {
        lines.push_back("commit " + head.end.to_string());
    }

    void begin_block(uint64_t id) override { lines.push_back("block " + std::to_string(id)); }

    void end_block() override { lines.emplace_back("end"); }

    void undo_ahead(uint64_t id, uint32_t sub_xid) override {
        lines.push_back("undo " + std::to_string(id) + " " + std::to_string(sub_xid));
    }

    void commit_ahead(const model::TransactionHead& head) override {
        lines.push_back("committed " + std::to_string(head.xid) + " " + head.commit.to_string());
    }

    void heartbeat(const Heartbeat& beat) override {
        lines.push_back("heartbeat " + beat.position.to_string());
        beats.push_back(beat);
    }

    void progress(const model::SourcePosition&) override {}

    bool full() const override { return false; }

    std::vector<std::string> lines;
    std::vector<Heartbeat> beats;
    uint64_t xid = 0;
};

class Assembler : public ::testing::Test {
protected:
    Assembler() {
        options_.identity = {7, 1};
        options_.stream.bytes[0] = std::byte{9};
        options_.own_origins = {"us"};
        options_.value_bytes_max = 100;
        options_.wide_xid = (5ULL << 32U) + 10;
        assembler_.emplace(options_);
    }

    Status take(const Bytes& bytes) {
        const auto message = decoder_.decode(bytes);
        EXPECT_TRUE(message);
        return assembler_->take(*message, sink_);
    }

    void relation(uint32_t id, const char* name, std::vector<size_t> kept = {}, uint32_t xid = 0) {
        RelationPlan plan;
        plan.schema.table = {"public", name};
        plan.schema.identity = model::Identity::PrimaryKey;
        const std::vector<std::string> names{"id", "a", "b"};
        for (size_t i = 0; i < names.size(); ++i) {
            if (kept.empty() || std::ranges::find(kept, i) != kept.end()) {
                model::Column column;
                column.name = names[i];
                column.key = i == 0;
                plan.schema.columns.push_back(column);
            }
        }
        plan.kept = std::move(kept);
        plan.server_columns = names.size();
        assembler_->set_relation(id, xid, std::move(plan), sink_);
    }

    static Bytes row(const char* id, const char* a, const char* b) {
        model::TupleBuilder builder(3);
        for (const auto* value : {id, a, b}) {
            if (value == nullptr) {
                builder.null();
            } else if (*value == '?') {
                builder.unchanged();
            } else {
                builder.text(value);
            }
        }
        return std::move(builder).take();
    }

    using Lines = std::vector<std::string>;
    AssemblerOptions options_;
    std::optional<TransactionAssembler> assembler_;
    Decoder decoder_;
    TellingSink sink_;
};

// Spec: R-19
TEST_F(Assembler, GivesTransactionsInOrderAndNothingOfThoseWithoutChanges) {
    relation(1, "t");
    ASSERT_TRUE(take(Writer::begin(0x100, 3)));
    ASSERT_TRUE(take(Writer::commit(0x100, 0x110)));
    EXPECT_EQ(assembler_->last_commit(), 0x100U);
    EXPECT_EQ(assembler_->last_told(), 0U);
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    EXPECT_FALSE(assembler_->idle());
    ASSERT_TRUE(take(Writer::insert(1, row("1", "x", nullptr))));
    ASSERT_TRUE(take(Writer::update(1, 'K', row("1", nullptr, nullptr), row("2", "?", "y"))));
    ASSERT_TRUE(take(Writer::erase(1, 'K', row("2", nullptr, nullptr))));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    const Lines expected{
        "schema public.t",
        "begin 0/200",
        "insert - t1,tx,n,",
        "update t1,n,n, t2,u,ty,",
        "delete t2,n,n, -",
        "commit 0/220"
    };
    EXPECT_EQ(sink_.lines, expected);
    EXPECT_EQ(assembler_->last_told(), 0x200U);
}

// Source: rules 15
TEST_F(Assembler, AFullOldRowFillsWhatTheServerLeftOut) {
    relation(1, "t");
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    ASSERT_TRUE(take(Writer::update(1, 'O', row("1", "big", "x"), row("1", "?", "y"))));
    EXPECT_EQ(sink_.lines.back(), "update t1,tbig,tx, t1,tbig,ty,");
}

TEST_F(Assembler, CutsTheColumnsThatWereNotChosen) {
    relation(1, "t", {0, 2});
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    ASSERT_TRUE(take(Writer::update(1, 'O', row("1", "secret", "?"), row("2", "?", "?"))));
    EXPECT_EQ(sink_.lines.back(), "update t1,u, t2,u,");
    ASSERT_TRUE(take(Writer::erase(1, 'K', row("2", nullptr, nullptr))));
    EXPECT_EQ(sink_.lines.back(), "delete t2,n, -");
}

TEST_F(Assembler, TruncatesSeveralTablesInOneChangeAndLeavesOthersAlone) {
    relation(1, "t");
    relation(2, "u");
    assembler_->set_relation(3, 0, std::nullopt, sink_);
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    ASSERT_TRUE(take(Writer::truncate({3, 1, 2}, '\2')));
    EXPECT_EQ(sink_.lines.back(), "truncate - - +1");
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    ASSERT_TRUE(take(Writer::begin(0x300, 12)));
    ASSERT_TRUE(take(Writer::truncate({3}, '\0')));
    ASSERT_TRUE(take(Writer::insert(3, row("1", "x", "y"))));
    ASSERT_TRUE(take(Writer::commit(0x300, 0x320)));
    EXPECT_EQ(sink_.lines.back(), "commit 0/220") << "nothing of ours in the second one";
}

// Source: rules 16
TEST_F(Assembler, DropsATransactionThatHasPassedUsButNotOneThatNamesUsLater) {
    relation(1, "t");
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    ASSERT_TRUE(take(Writer::logical("qiao.origin", "them,us")));
    ASSERT_TRUE(take(Writer::insert(1, row("1", "x", "y"))));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    EXPECT_EQ(sink_.lines, Lines{"schema public.t"});
    EXPECT_EQ(assembler_->looped(), 1U);
    ASSERT_TRUE(take(Writer::begin(0x300, 12)));
    ASSERT_TRUE(take(Writer::insert(1, row("1", "x", "y"))));
    ASSERT_TRUE(take(Writer::logical("qiao.origin", "us")));
    ASSERT_TRUE(take(Writer::commit(0x300, 0x320)));
    EXPECT_EQ(sink_.lines.back(), "commit 0/320");
}

// Source: rules 1
TEST_F(Assembler, TheTransactionItGoesOnByComesAgainAndIsDropped) {
    options_.after = 0x210;
    options_.anchor = Anchor::of(0x200, 11, from_postgres_time(1'000'000));
    assembler_.emplace(options_);
    relation(1, "t");
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    ASSERT_TRUE(take(Writer::insert(1, row("1", "x", "y"))));
    ASSERT_TRUE(take(Writer::truncate({1}, '\0')));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x208)));
    EXPECT_EQ(sink_.lines, Lines{"schema public.t"});
    EXPECT_EQ(anchor_of(assembler_->at(0x210)), options_.anchor) << "it still proves this place";
    ASSERT_TRUE(take(Writer::begin(0x300, 12)));
    ASSERT_TRUE(take(Writer::insert(1, row("1", "x", "y"))));
    ASSERT_TRUE(take(Writer::commit(0x300, 0x320)));
    EXPECT_EQ(sink_.lines.back(), "commit 0/320");
    EXPECT_EQ(anchor_of(assembler_->at(0x300))->commit, 0x300U);
    EXPECT_EQ(anchor_of(assembler_->at(0x300 + (17U << 20U))), std::nullopt) << "far back";
}

// Source: rules 1
TEST_F(Assembler, AnotherTransactionInItsPlaceIsAnotherHistory) {
    options_.after = 0x210;
    options_.anchor = Anchor::of(0x200, 11, from_postgres_time(1'000'000));
    for (const auto& [commit, xid] : {std::pair{0x200U, 12U}, std::pair{0x300U, 11U}}) {
        assembler_.emplace(options_);
        const auto taken = take(Writer::begin(commit, xid));
        ASSERT_FALSE(taken);
        EXPECT_TRUE(taken.error().is(ErrorCode::CaptureIdentity));
    }
    assembler_.emplace(options_);
    EXPECT_TRUE(assembler_->passed(0x200));
    EXPECT_TRUE(assembler_->passed(0x201).error().is(ErrorCode::CaptureIdentity));
}

// Source: rules 6
TEST_F(Assembler, AHeartbeatOfOurStreamComesOutAtItsPlaceAndOthersDoNot) {
    HeartbeatNote note;
    note.stream = options_.stream;
    note.written_at = {42};
    note.catalogue_digest = "abc";
    note.changed = {{"public", "t"}};
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    ASSERT_TRUE(take(Writer::logical("qiao.heartbeat", format_note(note))));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    ASSERT_EQ(sink_.beats.size(), 1U);
    EXPECT_EQ(sink_.beats[0].position.to_string(), "0/200");
    EXPECT_EQ(sink_.beats[0].written_at.us, 42);
    EXPECT_EQ(sink_.beats[0].catalogue_digest, "abc");
    ASSERT_EQ(sink_.beats[0].notices.size(), 1U);
    EXPECT_EQ(sink_.beats[0].notices[0].table.to_string(), "public.t");
    note.stream.bytes[1] = std::byte{1};
    for (const auto& content :
         {format_note(note),
          std::string("{}"),
          std::string("nonsense"),
          std::string("{\"v\":1,\"stream\":\"00\"}"),
          std::string("[1]")}) {
        ASSERT_TRUE(take(Writer::begin(0x300, 12)));
        ASSERT_TRUE(take(Writer::logical("qiao.heartbeat", content)));
        ASSERT_TRUE(take(Writer::commit(0x300, 0x320)));
    }
    EXPECT_EQ(sink_.beats.size(), 1U);
}

// Source: rules 4
TEST_F(Assembler, WithholdsAValueOverTheLimitAndSendsTheRestOfItsRow) {
    relation(1, "t");
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    const std::string big(101, 'x');
    ASSERT_TRUE(take(Writer::insert(1, row("77", "a", big.c_str()))));
    ASSERT_TRUE(take(Writer::insert(1, row("78", "a", big.substr(1).c_str()))));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    const auto& lines = sink_.lines;
    EXPECT_NE(std::ranges::find(lines, "insert - t77,ta,w101,"), lines.end());
    EXPECT_NE(std::ranges::find(lines, "insert - t78,ta,t" + big.substr(1) + ","), lines.end());
}

TEST_F(Assembler, RefusesMessagesOutOfPlace) {
    relation(1, "t");
    EXPECT_FALSE(take(Writer::insert(1, row("1", "a", "b")))) << "outside a transaction";
    EXPECT_FALSE(take(Writer::commit(1, 2)));
    ASSERT_TRUE(take(Writer::begin(0x200, 11)));
    EXPECT_FALSE(take(Writer::begin(0x300, 12)));
    EXPECT_FALSE(take(Writer::insert(9, row("1", "a", "b")))) << "an unknown relation";
    model::TupleBuilder narrow(1);
    narrow.null();
    EXPECT_FALSE(take(Writer::insert(1, std::move(narrow).take()))) << "another width";
}

TEST_F(Assembler, WidensTransactionIdsAcrossTheEdgeOfThirtyTwoBits) {
    relation(1, "t");
    uint64_t at = (5ULL << 32U) + 10;
    testing::ManualWorld world(3);
    for (int i = 0; i < 2000; ++i) {
        at += world.number() % (1U << 30U);
        const auto seen = at - world.number() % 1000;  // commit order is not id order
        ASSERT_TRUE(take(Writer::begin(0x200, static_cast<uint32_t>(seen))));
        ASSERT_TRUE(take(Writer::insert(1, row("1", "a", "b"))));
        ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
        ASSERT_EQ(sink_.xid, seen);
    }
}

TEST(StartStatement, QuotesNamesAndAsksForMessages) {
    StartRequest request;
    request.slot = "qiao_a";
    request.from = 0x16B3748;
    request.protocol = 3;
    request.binary = true;
    request.publications = {"p", "o'q\"r"};
    EXPECT_EQ(
        start_statement(request),
        "START_REPLICATION SLOT \"qiao_a\" LOGICAL 0/16B3748 (proto_version '3', "
        "publication_names '\"p\",\"o''q\"\"r\"', messages 'true', binary 'true')"
    );
}

TEST(OwnNames, AreToldFromThoseOfOthers) {
    StreamId id;
    id.bytes[0] = std::byte{0xab};
    EXPECT_EQ(slot_name(id), "qiao_ab0000000000");
    for (const auto& name : {slot_name(id), insert_publication_name(id), load_slot_name(id, 5)}) {
        EXPECT_TRUE(is_own_name(name)) << name;
    }
    for (const auto* name :
         {"qiao_",
          "qiao_ab000000000",
          "qiao_ab0000000000x",
          "qiao_AB0000000000",
          "qiaoab00000000000",
          "pgcopydb",
          ""}) {
        EXPECT_FALSE(is_own_name(name)) << name;
    }
}

TEST(Lsn, PrintsAndParses) {
    EXPECT_EQ(parse_lsn("16/B374D848"), 0x16B374D848U);
    EXPECT_EQ(format_lsn(0x16B374D848), "16/B374D848");
    for (const auto* text : {"", "/", "1/", "/1", "1/2/3", "x/1", "123456789/0", "1/-1"}) {
        EXPECT_FALSE(parse_lsn(text)) << text;
    }
    const SystemIdentity identity{3, 2};
    EXPECT_EQ(lsn_of(identity.at(77)), 77U);
    EXPECT_FALSE(lsn_of({}));
}

TEST(CutIntoParts, CoversEveryPageOnceAndLeavesTheEndOpen) {
    SourceTable table;
    table.leaves = {
        {5, {"s", "a"}, 0, 0, true},
        {6, {"s", "b"}, 100 * 8192, 1000, true},
        {7, {"s", "c"}, 100 * 8192, 1000, false}
    };
    const auto parts = cut_into_parts(table, 40 * 8192, 8192);
    std::vector<std::string> ranges;
    for (const auto& part : parts) {
        EXPECT_EQ(part.number, ranges.size());
        EXPECT_EQ(part.parts, parts.size());
        ranges.push_back(part.range);
    }
    const std::vector<std::string> expected{"5:0-", "6:0-40", "6:40-80", "6:80-", "7:0-"};
    EXPECT_EQ(ranges, expected);
}

class StreamedTransactions : public Assembler {
protected:
    StreamedTransactions() { decoder_ = Decoder(Decoder::Streaming::On); }

    void block(uint32_t xid, const std::vector<std::pair<uint32_t, const char*>>& rows) {
        ASSERT_TRUE(take(Writer::stream_start(xid, true)));
        for (const auto& [sub_xid, id] : rows) {
            ASSERT_TRUE(take(Writer::insert_of(sub_xid, 1, row(id, "a", "b"))));
        }
        ASSERT_TRUE(take(Writer::stream_stop()));
    }
};

// Spec. Source: rules 14
TEST_F(StreamedTransactions, ComeInBlocksBesideEachOtherAndCommitInTheirOrder) {
    relation(1, "t");
    block(20, {{20, "1"}, {21, "2"}});
    block(30, {{30, "3"}});
    ASSERT_TRUE(take(Writer::begin(0x200, 25)));
    ASSERT_TRUE(take(Writer::insert(1, row("9", "a", "b"))));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    block(20, {{20, "4"}});
    ASSERT_TRUE(take(Writer::stream_abort(20, 21)));
    ASSERT_TRUE(take(Writer::stream_commit(30, 0x300, 0x310)));
    EXPECT_EQ(assembler_->last_told(), 0x300U);
    ASSERT_TRUE(take(Writer::stream_commit(20, 0x400, 0x410)));
    EXPECT_EQ(assembler_->last_commit(), 0x400U);
    block(40, {{40, "5"}});
    ASSERT_TRUE(take(Writer::stream_abort(40, 40)));
    const auto wide = [](uint32_t xid) { return std::to_string((5ULL << 32U) + xid); };
    const Lines expected{
        "schema public.t",
        "block " + wide(20),
        "insert - t1,ta,tb,",
        "insert - t2,ta,tb,",
        "end",
        "block " + wide(30),
        "insert - t3,ta,tb,",
        "end",
        "begin 0/200",
        "insert - t9,ta,tb,",
        "commit 0/220",
        "block " + wide(20),
        "insert - t4,ta,tb,",
        "end",
        "undo " + wide(20) + " 21",
        "committed " + wide(30) + " 0/300",
        "committed " + wide(20) + " 0/400",
        "block " + wide(40),
        "insert - t5,ta,tb,",
        "end",
        "undo " + wide(40) + " 0"
    };
    EXPECT_EQ(sink_.lines, expected);
}

// Source: rules 14
TEST_F(StreamedTransactions, ATablesNewFormIsTheTransactionsOwnUntilItCommits) {
    relation(1, "t");
    ASSERT_TRUE(take(Writer::stream_start(20, true)));
    relation(1, "inside", {}, 21);
    ASSERT_TRUE(take(Writer::insert_of(21, 1, row("1", "a", "b"))));
    ASSERT_TRUE(take(Writer::stream_stop()));
    const auto told = sink_.lines.size();
    ASSERT_TRUE(take(Writer::begin(0x200, 25)));
    ASSERT_TRUE(take(Writer::insert(1, row("9", "a", "b"))));
    ASSERT_TRUE(take(Writer::commit(0x200, 0x220)));
    relation(1, "t");
    EXPECT_EQ(sink_.lines.size(), told + 3) << "outside it is still the old one";
    // The savepoint that altered it is rolled back: the rest is of the old form again.
    ASSERT_TRUE(take(Writer::stream_abort(20, 21)));
    ASSERT_TRUE(take(Writer::stream_start(20, false)));
    const auto before = sink_.lines.size();
    relation(1, "t", {}, 20);
    EXPECT_EQ(sink_.lines.size(), before);
    relation(1, "kept", {}, 20);
    ASSERT_TRUE(take(Writer::stream_stop()));
    ASSERT_TRUE(take(Writer::stream_commit(20, 0x300, 0x310)));
    const auto after = sink_.lines.size();
    relation(1, "kept");
    EXPECT_EQ(sink_.lines.size(), after) << "with the commit it is everybody's";
}

// Source: rules 1, 14
// Found by the fuzzer of sessions: the sink may be told of it between transactions only.
TEST_F(StreamedTransactions, AreNotUndoneInsideATransactionOrABlock) {
    relation(1, "t");
    block(20, {{20, "1"}});
    const auto expect_refused = [this] {
        const auto undone = assembler_->take(StreamAbortMessage{.xid = 20, .sub_xid = 20}, sink_);
        ASSERT_FALSE(undone);
        EXPECT_TRUE(undone.error().is(ErrorCode::CaptureProtocol));
        EXPECT_FALSE(sink_.lines.back().starts_with("undo"));
    };
    ASSERT_TRUE(take(Writer::stream_start(20, false)));
    expect_refused();
    ASSERT_TRUE(take(Writer::insert_of(20, 1, row("2", "a", "b"))));
    ASSERT_TRUE(take(Writer::stream_stop()));
    ASSERT_TRUE(take(Writer::begin(0x200, 25)));
    ASSERT_TRUE(take(Writer::insert(1, row("3", "a", "b"))));
    expect_refused();
}

// The server can be asked which of them it has rolled back without a word. Source: rules 14
TEST_F(StreamedTransactions, KnowTheirSubTransactionsThatWereNotUndone) {
    constexpr uint64_t kWide = 5ULL << 32U;
    relation(1, "t");
    block(20, {{20, "1"}, {21, "2"}, {22, "3"}, {21, "4"}, {23, "5"}});
    block(30, {{31, "6"}});
    ASSERT_TRUE(take(Writer::stream_abort(20, 22)));
    EXPECT_EQ(assembler_->sub_transactions(20), (std::vector{kWide + 21, kWide + 23}));
    EXPECT_EQ(assembler_->sub_transactions(30), std::vector{kWide + 31});
    EXPECT_TRUE(assembler_->sub_transactions(40).empty());
    assembler_->undo(20, 23, sink_);
    EXPECT_EQ(sink_.lines.back(), "undo " + std::to_string(kWide + 20) + " 23");
    for (uint32_t sub_xid = 100; sub_xid < 4000; ++sub_xid) {
        block(20, {{sub_xid, "7"}, {99, "8"}});
    }
    EXPECT_EQ(assembler_->sub_transactions(20).size(), 3903U);
}

TEST_F(StreamedTransactions, ThatWereDeliveredBeforeAreUndone) {
    options_.after = 0x210;
    options_.anchor = Anchor::of(0x200, 20, from_postgres_time(1'000'000));
    assembler_.emplace(options_);
    relation(1, "t");
    block(20, {{20, "1"}});
    ASSERT_TRUE(take(Writer::stream_commit(20, 0x200, 0x208)));
    EXPECT_EQ(sink_.lines.back(), "undo " + std::to_string((5ULL << 32U) + 20) + " 0");
    EXPECT_EQ(assembler_->last_told(), 0U);
    block(30, {{30, "2"}});
    ASSERT_TRUE(take(Writer::stream_commit(30, 0x300, 0x310)));
    EXPECT_EQ(anchor_of(assembler_->at(0x300)), std::nullopt) << "much to send once more";
}

// Source: rules 16
TEST_F(StreamedTransactions, ThatHavePassedUsAreDroppedAndHeartbeatsCount) {
    relation(1, "t");
    ASSERT_TRUE(take(Writer::stream_start(20, true)));
    Writer origin('M');
    origin.number(uint32_t{20}).letter('\1').number(uint64_t{1}).text("qiao.origin");
    ASSERT_TRUE(take(origin.number(uint32_t{2}).append(as_bytes("us")).take()));
    ASSERT_TRUE(take(Writer::insert_of(20, 1, row("1", "a", "b"))));
    ASSERT_TRUE(take(Writer::stream_stop()));
    ASSERT_TRUE(take(Writer::stream_commit(20, 0x300, 0x310)));
    EXPECT_EQ(sink_.lines, (Lines{"schema public.t"}));
    EXPECT_EQ(assembler_->looped(), 1U);
    EXPECT_EQ(assembler_->last_commit(), 0x300U);
    EXPECT_FALSE(take(Writer::stream_commit(20, 0x400, 0x410))) << "nothing is open by that name";
}

}  // namespace
}  // namespace qiao::capture::postgres
