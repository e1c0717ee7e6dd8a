#include "qiao/engine/packer.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::engine {
namespace {

using model::Change;
using model::SourcePosition;
using packet::Kind;
using testing::ManualWorld;

const crypto::Suite& suite() { return *crypto::find_suite(crypto::SuiteId::Gm); }

/// A sender and the receiver of its packets, with everything opened and put together again.
class Line {
public:
    explicit Line(uint64_t seed, size_t packet_bytes = 400)
        : world(seed),
          receiver(crypto::PrivateKey::generate(crypto::KeyKind::Sm2)),
          ring({receiver}),
          packet_bytes_(packet_bytes) {
        restart();
    }

    /// A new incarnation of the sender goes on from the receiver's tip.
    void restart() {
        auto key = crypto::SealingKey::make(suite(), world);
        const auto body = packet::wrap_for(key, {receiver->public_key()});
        PackerOptions options{.source = "s", .path = {"a"}};
        options.packet_bytes = packet_bytes_;
        packer.emplace(std::move(options), std::move(key), tip, world, world);
        std::optional<packet::EpochBody> epoch;
        if (tip.point.epoch == Epoch{0}) {
            epoch = packet::EpochBody{.reason = "first"};
        }
        packer->open(*body, epoch);
    }

    void deliver() {
        for (auto& out : packer->take()) {
            const auto view = packet::PacketView::parse(out.wire);
            ASSERT_TRUE(view);
            EXPECT_LT(out.wire.size(), packet_bytes_ + 1000);
            const auto verdict = admit(tip, {}, *view);
            ASSERT_TRUE(verdict) << verdict.error().to_string();
            ASSERT_EQ(*verdict, Verdict::Next);
            tip = *tip_of(*view);
            EXPECT_EQ(tip.digest, out.digest);
            take(*view);
        }
    }

    void take(const packet::PacketView& view) {
        if (view.origin.kind == Kind::Key) {
            ASSERT_TRUE(ring.add(view));
        }
        if (view.origin.kind == Kind::Key) {
            return;
        }
        const auto body = ring.open(view);
        ASSERT_TRUE(body) << body.error().to_string();
        if (view.origin.kind != Kind::Rows) {
            return;
        }
        packet::RowsReader reader(*body);
        for (auto record = reader.next(); record && *record; record = reader.next()) {
            if (const auto* begin = std::get_if<packet::RowsReader::Begin>(&**record)) {
                if (begin->fragment == 0) {
                    open.clear();
                }
            } else if (const auto* change = std::get_if<Change>(&**record)) {
                open += to_hex(change->new_row.bytes()) + ",";
            } else {
                told += std::exchange(open, {}) + ";";
            }
        }
    }

    ManualWorld world;
    std::shared_ptr<const crypto::PrivateKey> receiver;
    packet::KeyRing ring;
    std::optional<Packer> packer;
    ChainTip tip;
    std::string open, told;

private:
    size_t packet_bytes_;
};

struct Transaction {
    model::TransactionHead head;
    std::vector<Bytes> rows;
};

std::vector<Transaction> make_history(std::mt19937_64& random, size_t count) {
    std::vector<Transaction> history(count);
    uint64_t lsn = 1000;
    for (auto& transaction : history) {
        transaction.head.xid = lsn;
        transaction.head.commit = SourcePosition::lsn(1, 1, lsn);
        transaction.head.end = SourcePosition::lsn(1, 1, lsn + 5);
        lsn += 10 + random() % 100;
        const size_t rows = random() % 10 == 0 ? 60 : 1 + random() % 5;
        for (size_t i = 0; i < rows; ++i) {
            model::TupleBuilder row(1);
            row.text(std::to_string(lsn) + std::string(random() % 60, 'x'));
            transaction.rows.push_back(std::move(row).take());
        }
    }
    return history;
}

std::string tell(const std::vector<Transaction>& history) {
    std::string told;
    for (const auto& transaction : history) {
        for (const auto& row : transaction.rows) {
            told += to_hex(row) + ",";
        }
        told += ";";
    }
    return told;
}

/// Feeds a part of a transaction and says whether it was fed to its commit.
bool feed(Packer& packer, const Transaction& transaction, size_t rows) {
    packer.begin(transaction.head);
    for (size_t i = 0; i < std::min(rows, transaction.rows.size()); ++i) {
        Change change;
        change.new_row = *model::Tuple::parse(transaction.rows[i]);
        packer.change(change);
    }
    if (rows < transaction.rows.size()) {
        return false;
    }
    packer.commit(transaction.head);
    return true;
}

// Spec
TEST(Packer, CarriesTheHistoryOnceAndInOrderOverSourceBreaksAndRestarts) {
    for (uint64_t seed = 1; seed <= 15; ++seed) {
        std::mt19937_64 random(seed);
        const auto history = make_history(random, 60);
        Line line(seed);
        size_t next = 0;
        while (next < history.size()) {
            const auto& transaction = history[next];
            const bool breaks = random() % 8 == 0;
            const size_t rows = breaks ? random() % (transaction.rows.size() + 1) : SIZE_MAX;
            const bool whole = feed(*line.packer, transaction, rows);
            next += whole ? 1 : 0;
            if (random() % 3 == 0 || random() % 5 == 0) {
                line.packer->flush();
                line.deliver();
            }
            if (!whole) {
                line.packer->discard_open();
            }
            // The process dies: what was not delivered is gone, and the source begins earlier.
            if (random() % 15 == 0) {
                line.restart();
                next = 0;
            }
        }
        line.packer->flush();
        line.deliver();
        EXPECT_EQ(line.told, tell(history)) << "seed " << seed;
    }
}

// Spec: R-21
/// Whoever holds the key alone has not been told yet that something may be missing. Source: rules 1
TEST(Packer, OnlyTheEpochsRecordGoesToWhereANewHistoryBegins) {
    testing::ManualWorld world(1);
    const auto receiver = crypto::PrivateKey::generate(crypto::KeyKind::Sm2);
    const auto before = model::SourcePosition::lsn(7, 1, 0x100);
    const auto start = model::SourcePosition::lsn(7, 1, 0x900);
    const ChainTip tip{{Epoch{3}, Sequence{5}}, {}, before};
    auto key = crypto::SealingKey::make(suite(), world);
    const auto body = packet::wrap_for(key, {receiver->public_key()});
    Packer packer({.source = "s", .path = {"a"}}, std::move(key), tip, world, world);
    packet::EpochBody epoch;
    epoch.reason = "reopened";
    epoch.previous = tip.point;
    epoch.previous_position = before;
    epoch.gap = packet::Gap::Certain;
    packer.open(*body, epoch, Packer::NewHistory{Epoch{4}, start});
    const auto out = packer.take();
    ASSERT_EQ(out.size(), 2U);
    EXPECT_EQ(out[0].origin.kind, Kind::Key);
    EXPECT_EQ(out[0].origin.last, before);
    EXPECT_EQ(out[1].origin.kind, Kind::Epoch);
    EXPECT_EQ(out[1].origin.last, start);
}

TEST(Admit, RefusesForeignForkedAndSkippedPackets) {
    std::mt19937_64 random(1);
    const auto history = make_history(random, 5);
    Line line(1);
    line.deliver();
    const auto before = line.tip;
    feed(*line.packer, history[0], SIZE_MAX);
    line.packer->flush();
    auto first = line.packer->take();
    feed(*line.packer, history[1], SIZE_MAX);
    line.packer->flush();
    auto second = line.packer->take();
    const auto one = *packet::PacketView::parse(first.back().wire);
    const auto two = *packet::PacketView::parse(second.back().wire);
    const auto code = [&](const ChainTip& tip, const packet::PacketView& view, StreamId stream) {
        const auto verdict = admit(tip, stream, view);
        return verdict ? ErrorCode::Cancelled : verdict.error().code();
    };
    EXPECT_EQ(code(before, two, {}), ErrorCode::EngineOutOfChain);
    EXPECT_EQ(code(before, one, line.world.make_id<StreamId>()), ErrorCode::EngineForeignStream);
    auto forked = *tip_of(one);
    forked.digest = line.world.make_id<Digest>();
    EXPECT_EQ(code(forked, two, {}), ErrorCode::EngineForked);
    EXPECT_EQ(code(forked, one, {}), ErrorCode::EngineForked);
    EXPECT_EQ(*admit(*tip_of(one), {}, one), Verdict::Duplicate);
    EXPECT_EQ(*admit(*tip_of(two), {}, one), Verdict::Duplicate);
}

}  // namespace
}  // namespace qiao::engine
