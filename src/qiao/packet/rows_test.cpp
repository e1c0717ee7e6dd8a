#include "qiao/packet/rows.h"

#include "qiao/packet/bodies.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace qiao::packet {
namespace {

using model::Change;
using model::Op;

/// A random history kept twice: as the bytes it was made of, and as the body built from it.
class History {
public:
    explicit History(uint64_t seed) : random_(seed) {}

    Bytes make(size_t transactions) {
        for (size_t i = 0; i < transactions; ++i) {
            head.xid = random_();
            head.commit = model::SourcePosition::lsn(1, 1, random_());
            head.end = model::SourcePosition::lsn(1, 1, random_());
            head.commit_time = {static_cast<int64_t>(random_() >> 8U)};
            head.origin = random_() % 4 == 0 ? "a,b" : "";
            builder.begin(head, 0);
            text += "B" + std::to_string(head.xid) + head.commit.to_string() + head.origin;
            for (auto left = random_() % 5; left > 0; --left) {
                add_change();
            }
            if (random_() % 3 == 0) {
                add_ahead();
            }
            builder.commit(head);
            text += "C" + head.end.to_string();
        }
        return builder.take();
    }

    static std::string tell(const Change& change) {
        std::string told = "O" + std::to_string(static_cast<int>(change.op)) +
                           change.schema.to_string() + to_hex(change.old_row.bytes()) + "/" +
                           to_hex(change.new_row.bytes()) + (change.tolerant ? "t" : "");
        for (const auto& table : change.more_tables) {
            told += table.to_string();
        }
        return told;
    }

    static std::string tell(const Ahead& ahead) {
        std::string told = "P";
        for (const auto packet : ahead.packets) {
            told += std::to_string(packet.value) + ",";
        }
        for (const auto& range : ahead.undone) {
            told += std::to_string(range.first) + "-" + std::to_string(range.last) + ",";
        }
        return told;
    }

    RowsBuilder builder;
    model::TransactionHead head;
    std::string text;

private:
    void add_change() {
        Change change;
        change.op = static_cast<Op>(1 + random_() % 4);
        change.schema.bytes[0] = static_cast<std::byte>(random_() % 3);
        const auto old_row = row();
        const auto new_row = row();
        if (change.op == Op::Truncate) {
            change.more_tables.resize(random_() % 3);
        } else if (change.op == Op::Delete || (change.op == Op::Update && random_() % 2 == 0)) {
            change.old_image = model::OldImage::Key;
            change.old_row = *model::Tuple::parse(old_row);
        }
        if (change.op == Op::Insert || change.op == Op::Update) {
            change.new_row = *model::Tuple::parse(new_row);
            change.tolerant = random_() % 2 == 0;
        }
        builder.change(change);
        text += tell(change);
    }

    void add_ahead() {
        Ahead ahead;
        uint64_t sequence = 0;
        uint32_t sub_xid = 0;
        for (auto left = random_() % 4; left > 0; --left) {
            ahead.packets.push_back({sequence += 1 + random_() % 9});
        }
        for (auto left = random_() % 4; left > 0; --left) {
            const auto first = sub_xid += 1 + static_cast<uint32_t>(random_() % 9);
            ahead.undone.push_back({first, sub_xid += static_cast<uint32_t>(random_() % 9)});
        }
        builder.ahead(ahead);
        text += tell(ahead);
    }

    Bytes row() {
        model::TupleBuilder builder_(3);
        builder_.text(std::string(random_() % 20, 'x')).null();
        builder_.binary(as_bytes(std::to_string(random_())));
        return std::move(builder_).take();
    }

    std::mt19937_64 random_;
};

std::string read_back(ByteView body) {
    RowsReader reader(body);
    std::string text;
    while (true) {
        auto record = reader.next();
        if (!record) {
            return record.error().to_string();
        }
        if (!*record) {
            return text;
        }
        if (const auto* begin = std::get_if<RowsReader::Begin>(&**record)) {
            text += "B" + std::to_string(begin->head.xid) + begin->head.commit.to_string();
            text += begin->head.origin;
        } else if (const auto* commit = std::get_if<RowsReader::Commit>(&**record)) {
            text += "C" + commit->head.end.to_string();
        } else if (const auto* ahead = std::get_if<Ahead>(&**record)) {
            text += History::tell(*ahead);
        } else {
            text += History::tell(std::get<Change>(**record));
        }
    }
}

// Spec
TEST(Rows, AreReadBackInOrderAndWhole) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        History history(seed);
        const auto body = history.make(1 + seed % 7);
        EXPECT_EQ(read_back(body), history.text) << "seed " << seed;
    }
}

/// A large change comes back from slices of any size.
// Source: rules 4
TEST(Rows, AChangeInPiecesIsTheChangeAgain) {
    std::mt19937_64 random(5);
    Change change;
    change.op = Op::Truncate;
    change.schema.bytes[0] = std::byte{7};
    change.more_tables.resize(40);
    const auto whole = RowsBuilder::encode_alone(change);
    for (int round = 0; round < 50; ++round) {
        RowsBuilder builder;
        builder.begin({}, 0);
        for (size_t at = 0; at < whole.size();) {
            const auto size = std::min<size_t>(1 + random() % 300, whole.size() - at);
            const bool last = at + size == whole.size();
            builder.piece({last, ByteView(whole).subspan(at, size)}, std::nullopt);
            at += size;
        }
        const auto body = builder.take();
        RowsReader reader(body);
        Bytes together;
        bool complete = false;
        for (auto record = reader.next(); record && *record; record = reader.next()) {
            if (const auto* piece = std::get_if<PieceOfChange>(&**record)) {
                EXPECT_FALSE(complete);
                together.insert(together.end(), piece->bytes.begin(), piece->bytes.end());
                complete = piece->last;
            }
        }
        EXPECT_TRUE(complete);
        const auto again = RowsReader::decode_alone(together);
        ASSERT_TRUE(again) << again.error().to_string();
        EXPECT_EQ(History::tell(*again), History::tell(change));
    }
    EXPECT_FALSE(RowsReader::decode_alone(ByteView(whole).first(whole.size() - 1)));
}

TEST(Rows, UndoneRangesAreLookedUpExactly) {
    std::mt19937 random(6);
    for (int round = 0; round < 200; ++round) {
        Ahead ahead;
        std::set<uint32_t> undone;
        uint32_t next = 0;
        for (auto left = random() % 6; left > 0; --left) {
            const auto first = next += 1 + static_cast<uint32_t>(random() % 5);
            next += static_cast<uint32_t>(random() % 5);
            ahead.undone.push_back({first, next});
            for (auto id = first; id <= next; ++id) {
                undone.insert(id);
            }
        }
        for (uint32_t id = 0; id < 60; ++id) {
            EXPECT_EQ(ahead.is_undone(id), undone.contains(id));
        }
    }
}

TEST(Rows, EveryCutAndEveryFlippedByteIsReadWithoutHarm) {
    History history(7);
    const auto body = history.make(5);
    for (size_t i = 0; i < body.size(); ++i) {
        (void)read_back(ByteView(body).first(i));
        auto flipped = body;
        flipped[i] ^= std::byte{0x55};
        (void)read_back(flipped);
    }
}

TEST(Rows, ABuilderIsEmptyAfterItsBodyIsTaken) {
    History history(3);
    (void)history.make(2);
    EXPECT_TRUE(history.builder.empty());
    EXPECT_EQ(history.builder.counts(), ChangeCounts{});
}

// Spec: R-30
TEST(Rows, ADiscardedTransactionLeavesNoTrace) {
    History with(11);
    History without(11);
    auto body = without.make(3);
    (void)with.make(0);
    RowsBuilder& builder = with.builder;
    model::TransactionHead head;
    Change change;
    const auto row = std::move(model::TupleBuilder(1).text("x")).take();
    change.new_row = *model::Tuple::parse(row);
    change.schema.bytes[5] = std::byte{5};
    builder.begin(head, 0);
    builder.change(change);
    builder.discard_open();
    EXPECT_TRUE(builder.empty());
    EXPECT_EQ(with.make(3), body);
}

TEST(Bodies, AreReadBack) {
    const auto position = model::SourcePosition::lsn(5, 1, 77);
    using Kind = model::TableNotice::Kind;
    const HeartbeatBody heartbeat{
        {123456},
        position,
        {{Kind::Withdrawn, {"s", "t"}, position},
         {Kind::Proven, {"s", "u"}, model::SourcePosition::lsn(5, 1, 70)},
         {Kind::CatalogueChanged, {"s", "v"}, position}}
    };
    EXPECT_EQ(*HeartbeatBody::decode(heartbeat.encode()), heartbeat);
    const EpochBody epoch{"first", "5/1", {{1}, {9}}, {}, position, Gap::Possible};
    EXPECT_EQ(*EpochBody::decode(epoch.encode()), epoch);
    SchemaBody schema;
    schema.schemas.push_back({{"a", "b"}, model::Identity::Full, {{.name = "c"}}});
    EXPECT_EQ(*SchemaBody::decode(schema.encode()), schema);
    EXPECT_FALSE(EpochBody::decode(heartbeat.encode()));
}

}  // namespace
}  // namespace qiao::packet
