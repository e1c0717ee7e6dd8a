#include "qiao/capture/postgres/decoder.h"

#include "qiao/capture/postgres/internal/pgoutput_writer.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

namespace qiao::capture::postgres {
namespace {

using Writer = internal::PgoutputWriter;

template <class T>
T decoded(ByteView bytes, Decoder decoder = Decoder()) {
    auto message = decoder.decode(bytes);
    EXPECT_TRUE(message) << message.error().to_string();
    EXPECT_TRUE(message && std::holds_alternative<T>(*message));
    return message && std::holds_alternative<T>(*message) ? std::get<T>(*message) : T{};
}

Bytes row(std::initializer_list<const char*> values) {
    model::TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (const auto* value : values) {
        if (value == nullptr) {
            builder.null();
        } else {
            builder.text(value);
        }
    }
    return std::move(builder).take();
}

/// One message of every kind outside streamed blocks, with random content.
Bytes random_message(Rng& rng) {
    const auto word = [&rng] { return to_hex(as_bytes(std::to_string(rng.number() % 10'000))); };
    const auto name = word();
    model::TupleBuilder builder(3);
    builder.text(name).null().unchanged();
    const auto tuple = std::move(builder).take();
    const auto id = static_cast<uint32_t>(rng.number());
    switch (rng.number() % 10) {
        case 0:
            return Writer::begin(rng.number(), id);
        case 1:
            return Writer::commit(rng.number(), rng.number());
        case 2:
            return Writer::relation(id, name, 'd', {{name, 23, true}, {"rest", id, false, 12}});
        case 3:
            return Writer('Y').number(id).text("public").text(name).take();
        case 4:
            return Writer::insert(id, tuple);
        case 5:
            return Writer::update(id, rng.number() % 2 == 0 ? 'K' : 'O', tuple, tuple);
        case 6:
            return Writer::erase(id, 'K', tuple);
        case 7:
            return Writer::truncate({id, id + 1}, '\3');
        case 8:
            return Writer::logical("qiao.heartbeat", name);
        default:
            return Writer('O').number(rng.number()).text(name).take();
    }
}

TEST(Decoder, ReadsTheFrameOfATransaction) {
    const auto bytes = Writer::begin(0x16B3748, 731);
    const auto begin = decoded<BeginMessage>(bytes);
    EXPECT_EQ(begin.commit, 0x16B3748U);
    EXPECT_EQ(begin.xid, 731U);
    EXPECT_EQ(begin.commit_time.to_string(), "2000-01-01T00:00:01.000000Z");
    const auto end = Writer::commit(0x16B3748, 0x16B3780);
    EXPECT_EQ(decoded<CommitMessage>(end).commit, 0x16B3748U);
    EXPECT_EQ(decoded<CommitMessage>(end).end, 0x16B3780U);
}

TEST(Decoder, ReadsARelationAndSpellsOutTheCatalogueSchema) {
    const auto bytes =
        Writer::relation(16'384, "person", 'i', {{"id", 23, true}, {"name", 1043, false, 24}}, "");
    const auto relation = decoded<RelationMessage>(bytes);
    EXPECT_EQ(relation.id, 16'384U);
    EXPECT_EQ(relation.schema, "pg_catalog");
    EXPECT_EQ(relation.name, "person");
    EXPECT_EQ(relation.replica_identity, 'i');
    ASSERT_EQ(relation.columns.size(), 2U);
    EXPECT_TRUE(relation.columns[0].key);
    EXPECT_EQ(relation.columns[0].modifier, -1);
    EXPECT_EQ(relation.columns[1].name, "name");
    EXPECT_EQ(relation.columns[1].modifier, 24);
}

TEST(Decoder, TuplesAreViewsOfTheMessageAndNotCopies) {
    const auto tuple = row({"7", nullptr, "北京"});
    const auto bytes = Writer::insert(5, tuple);
    const auto insert = decoded<InsertMessage>(bytes);
    EXPECT_EQ(insert.relation, 5U);
    EXPECT_EQ(to_bytes(insert.new_row.bytes()), tuple);
    EXPECT_EQ(insert.new_row.bytes().data(), bytes.data() + 6);
}

TEST(Decoder, TellsApartTheOldImagesOfAnUpdate) {
    const auto old_row = row({"1", nullptr});
    const auto new_row = row({"2", "b"});
    const auto plain_bytes = Writer::update(9, '\0', {}, new_row);
    const auto plain = decoded<UpdateMessage>(plain_bytes);
    EXPECT_EQ(plain.old_kind, OldRow::None);
    EXPECT_TRUE(plain.old_row.empty());
    const auto key_bytes = Writer::update(9, 'K', old_row, new_row);
    const auto key = decoded<UpdateMessage>(key_bytes);
    EXPECT_EQ(key.old_kind, OldRow::Key);
    EXPECT_EQ(to_bytes(key.old_row.bytes()), old_row);
    EXPECT_EQ(to_bytes(key.new_row.bytes()), new_row);
    const auto full_bytes = Writer::update(9, 'O', old_row, new_row);
    EXPECT_EQ(decoded<UpdateMessage>(full_bytes).old_kind, OldRow::Full);
    const auto gone_bytes = Writer::erase(9, 'O', old_row);
    EXPECT_EQ(decoded<DeleteMessage>(gone_bytes).old_kind, OldRow::Full);
}

TEST(Decoder, ReadsTruncateOfSeveralTablesAndLogicalMessages) {
    const auto bytes = Writer::truncate({4, 5, 6}, '\2');
    const auto truncate = decoded<TruncateMessage>(bytes);
    EXPECT_EQ(truncate.relations, (std::vector<uint32_t>{4, 5, 6}));
    EXPECT_TRUE(truncate.restart_identity);
    EXPECT_FALSE(truncate.cascade);
    const auto note = Writer::logical("qiao.origin", "a,b", 77);
    const auto logical = decoded<LogicalMessage>(note);
    EXPECT_TRUE(logical.transactional);
    EXPECT_EQ(logical.lsn, 77U);
    EXPECT_EQ(logical.prefix, "qiao.origin");
    EXPECT_EQ(as_text(logical.content), "a,b");
}

TEST(Decoder, MessagesInAStreamedBlockCarryTheirSubTransaction) {
    Decoder decoder(Decoder::Streaming::Parallel);
    const auto start = Writer('S').number(900U).letter('\1').take();
    EXPECT_TRUE(decoded<StreamStartMessage>(start, decoder).first_segment);
    ASSERT_TRUE(decoder.decode(start));
    const auto tuple = row({"1"});
    const auto insert = Writer('I').number(901U).number(5U).letter('N').append(tuple).take();
    const auto message = decoder.decode(insert);
    ASSERT_TRUE(message);
    EXPECT_EQ(std::get<InsertMessage>(*message).xid, 901U);
    EXPECT_EQ(std::get<InsertMessage>(*message).relation, 5U);
    EXPECT_FALSE(decoder.decode(start)) << "blocks do not nest";
    EXPECT_TRUE(decoder.decode(Writer('E').take()));
    const auto abort =
        Writer('A').number(900U).number(901U).number(uint64_t{8}).number(uint64_t{0});
    const auto aborted = decoder.decode(Writer(abort).take());
    ASSERT_TRUE(aborted);
    EXPECT_EQ(std::get<StreamAbortMessage>(*aborted).sub_xid, 901U);
    EXPECT_EQ(std::get<StreamAbortMessage>(*aborted).abort, 8U);
    const auto commit = Writer('c').number(900U).letter('\0').number(uint64_t{10});
    const auto committed =
        decoder.decode(Writer(commit).number(uint64_t{20}).number(uint64_t{0}).take());
    ASSERT_TRUE(committed);
    EXPECT_EQ(std::get<StreamCommitMessage>(*committed).end, 20U);
}

TEST(Decoder, RefusesWhatWasNotAskedFor) {
    const auto start = Writer('S').number(900U).letter('\1').take();
    const auto prepare = Writer('b').number(uint64_t{1}).take();
    for (const auto& bytes : {start, prepare, Bytes{}, Writer('?').take()}) {
        const auto message = Decoder().decode(bytes);
        ASSERT_FALSE(message);
        EXPECT_TRUE(message.error().is(ErrorCode::CaptureProtocol));
    }
}

// Spec: R-19
TEST(Decoder, EveryCutAndEveryAddedByteOfAMessageIsRefused) {
    testing::ManualWorld world(7);
    for (int round = 0; round < 300; ++round) {
        const auto whole = random_message(world);
        ASSERT_TRUE(Decoder().decode(whole));
        for (size_t length = 0; length < whole.size(); ++length) {
            // A buffer of its own size, so that a sanitizer sees a read past the end.
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
            const auto message = Decoder().decode(cut);
            ASSERT_FALSE(message) << to_hex(cut);
            EXPECT_TRUE(message.error().is(ErrorCode::CaptureProtocol));
        }
        auto longer = whole;
        longer.push_back(std::byte{0});
        EXPECT_FALSE(Decoder().decode(longer));
    }
}

TEST(Decoder, DamagedMessagesAreDecodedOrRefusedButNeverMore) {
    testing::ManualWorld world(8);
    for (int round = 0; round < 20'000; ++round) {
        auto bytes = random_message(world);
        bytes[world.number() % bytes.size()] = static_cast<std::byte>(world.number());
        const auto message = Decoder(Decoder::Streaming::On).decode(bytes);
        if (message && std::holds_alternative<InsertMessage>(*message)) {
            const auto& tuple = std::get<InsertMessage>(*message).new_row;
            EXPECT_EQ(tuple.values().size(), tuple.column_count());
        }
    }
}

TEST(Decoder, TimesOfTheServerAndOursAreTheSameMoment) {
    EXPECT_EQ(to_postgres_time(from_postgres_time(123'456'789)), 123'456'789U);
    EXPECT_EQ(from_postgres_time(0).to_string(), "2000-01-01T00:00:00.000000Z");
}

}  // namespace
}  // namespace qiao::capture::postgres
