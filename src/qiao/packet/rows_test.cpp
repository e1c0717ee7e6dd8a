#include "qiao/packet/rows.h"

#include "qiao/packet/bodies.h"

#include <gtest/gtest.h>

#include <random>

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
            builder.begin(head, 0);
            text += "B" + std::to_string(head.xid) + head.commit.to_string();
            for (auto left = random_() % 5; left > 0; --left) {
                add_change();
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
        } else if (const auto* commit = std::get_if<RowsReader::Commit>(&**record)) {
            text += "C" + commit->head.end.to_string();
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
    const HeartbeatBody heartbeat{{123456}, position};
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
