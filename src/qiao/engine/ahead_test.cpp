#include "qiao/engine/packer.h"
#include "qiao/engine/unpacker.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

// Open transactions that travel ahead of their commit, from a source to an applier, with sessions
// that end, senders that die and receivers that start again anywhere.
namespace qiao::engine {
namespace {

using model::SourcePosition;
using packet::Kind;
using testing::ManualWorld;

struct Row {
    uint32_t sub_xid = 0;
    bool undone = false;
    Bytes image;
};

struct Transaction {
    model::TransactionHead head;
    bool streamed = false;
    bool aborted = false;
    std::vector<Row> rows;
};

class History {
public:
    explicit History(uint64_t seed) : random(seed) {
        for (uint64_t number = 1; number <= 40; ++number) {
            Transaction one;
            one.head.xid = number;
            one.head.commit = SourcePosition::lsn(1, 1, number * 100);
            one.head.end = one.head.commit;
            one.streamed = random() % 3 == 0;
            one.aborted = one.streamed && random() % 5 == 0;
            const auto groups = 1 + random() % (one.streamed ? 8 : 3);
            for (uint32_t group = 0; group < groups; ++group) {
                add_group(one, group);
            }
            transactions.push_back(std::move(one));
        }
    }

    std::string tell() const {
        std::string told;
        for (const auto& one : transactions) {
            if (!one.aborted) {
                told += tell(one);
            }
        }
        return told;
    }

    std::mt19937_64 random;
    std::vector<Transaction> transactions;

private:
    void add_group(Transaction& one, uint32_t group) {
        const auto sub_xid = group == 0 ? 0 : static_cast<uint32_t>(one.head.xid * 100 + group);
        const bool undone = one.streamed && sub_xid != 0 && random() % 3 == 0;
        for (auto left = 1 + random() % 5; left > 0; --left) {
            model::TupleBuilder row(1);
            // Some are larger than a packet.
            const size_t size = random() % 12 == 0 ? 400 + random() % 3000 : random() % 60;
            row.text(std::to_string(random()) + std::string(size, 'x'));
            one.rows.push_back({sub_xid, undone, std::move(row).take()});
        }
    }

    static std::string tell(const Transaction& one) {
        std::string told;
        for (const auto& row : one.rows) {
            told += row.undone ? "" : to_hex(row.image) + ",";
        }
        return told + ";";
    }
};

class Sender {
public:
    Sender(ManualWorld& world, std::shared_ptr<const crypto::PrivateKey> receiver)
        : world_(world), receiver_(std::move(receiver)) {}

    /// A new process goes on from what is held.
    void start(const ChainTip& tip) {
        auto key = crypto::SealingKey::make(*crypto::find_suite(crypto::SuiteId::Intl), world_);
        const auto body = packet::wrap_for(key, {receiver_->public_key()});
        PackerOptions options{.source = "s", .path = {"a"}};
        options.packet_bytes = 300;
        packer.emplace(std::move(options), std::move(key), tip, world_, world_);
        std::optional<packet::EpochBody> epoch;
        if (tip.point.epoch == Epoch{0}) {
            epoch = packet::EpochBody{.reason = "first"};
        }
        packer->open(*body, epoch);
        sent_.clear();
    }

    void end_session() {
        packer->discard_open();
        sent_.clear();
    }

    /// Up to `count` more rows of an open transaction, and what was undone of them.
    void block(const Transaction& one, size_t count) {
        auto& next = sent_[one.head.xid];
        const auto end = std::min(one.rows.size(), next + count);
        packer->begin_block(one.head.xid);
        const auto from = next;
        for (; next < end; ++next) {
            change(one.rows[next]);
        }
        packer->end_block();
        for (auto i = from; i < end; ++i) {
            const bool ends =
                i + 1 == one.rows.size() || one.rows[i + 1].sub_xid != one.rows[i].sub_xid;
            if (one.rows[i].undone && ends) {
                packer->undo_ahead(one.head.xid, one.rows[i].sub_xid);
            }
        }
    }

    void finish(const Transaction& one) {
        if (!one.streamed) {
            packer->begin(one.head);
            for (const auto& row : one.rows) {
                change(row);
            }
            packer->commit(one.head);
        } else if (one.aborted) {
            packer->undo_ahead(one.head.xid, 0);
        } else {
            block(one, one.rows.size());
            packer->commit_ahead(one.head);
        }
    }

    std::optional<Packer> packer;

private:
    void change(const Row& row) {
        model::Change change;
        change.sub_xid = row.sub_xid;
        change.new_row = *model::Tuple::parse(row.image);
        packer->change(change);
    }

    ManualWorld& world_;
    std::shared_ptr<const crypto::PrivateKey> receiver_;
    std::map<uint64_t, size_t> sent_;
};

/// Holds the packets and hands them over as an applying line does, from its last mark on.
class Receiver {
public:
    explicit Receiver(const std::shared_ptr<const crypto::PrivateKey>& key) : ring_({key}) {}

    /// One by one: between any two the receiver may start again, or what is released be removed.
    void keep(std::vector<OutPacket> packets, std::mt19937_64& random) {
        for (auto& out : packets) {
            if (::testing::Test::HasFailure()) {
                return;
            }
            EXPECT_LT(out.wire.size(), 1400U) << "whatever the size of a row";
            tip = {{out.origin.epoch, out.origin.sequence}, out.digest, out.origin.last};
            wires_.push_back(std::move(out));
            read();
            if (random() % 4 == 0) {
                restart();
            }
            forget();
        }
    }

    /// What was read and is not behind the mark is read again.
    void restart() {
        unpacker_ = Unpacker({mark_.point, mark_.digest, {}});
        open_.clear();
        next_ = 0;
        while (next_ < wires_.size() && point_of(wires_[next_]) <= mark_.point) {
            ++next_;
        }
        while (next_ < wires_.size() && !::testing::Test::HasFailure()) {
            read();
        }
    }

    /// As retention does: nothing before the mark is held.
    void forget() {
        while (!wires_.empty() && point_of(wires_.front()) <= mark_.point) {
            wires_.erase(wires_.begin());
            --next_;
        }
    }

    ChainTip tip;
    std::string told;
    size_t recalled = 0;

private:
    static StreamPoint point_of(const OutPacket& out) {
        return {out.origin.epoch, out.origin.sequence};
    }

    void read() {
        const auto view = *packet::PacketView::parse(wires_[next_++].wire);
        auto unpacked = unpacker_.take(view, open(view));
        ASSERT_TRUE(unpacked) << unpacked.error().to_string();
        for (auto& each : *unpacked) {
            if (const auto* recall = std::get_if<Recall>(&each)) {
                this->recall(*recall);
                continue;
            }
            auto& input = std::get<apply::Input>(each);
            if (auto* fragment = std::get_if<apply::Fragment>(&input)) {
                apply(*fragment);
            } else if (auto* progress = std::get_if<apply::Progress>(&input)) {
                move(progress->mark);
            }
        }
    }

    Bytes open(const packet::PacketView& view) {
        if (view.origin.kind == Kind::Key) {
            EXPECT_TRUE(ring_.add(view));
            return {};
        }
        auto body = ring_.open(view);
        EXPECT_TRUE(body);
        return std::move(*body);
    }

    void recall(const Recall& recall) {
        if (model::compare(recall.head.commit, applied_) <= 0) {
            move(recall.mark);
            return;
        }
        FragmentReader reader;
        for (size_t i = 0; i < recall.ahead.packets.size(); ++i) {
            const auto it = std::ranges::find_if(wires_, [&](const OutPacket& out) {
                return out.origin.epoch == recall.epoch &&
                       out.origin.sequence == recall.ahead.packets[i];
            });
            ASSERT_NE(it, wires_.end()) << "what has travelled ahead is not held any more";
            const auto view = *packet::PacketView::parse(it->wire);
            auto fragment = recall_fragment(reader, recall, i, view, open(view));
            ASSERT_TRUE(fragment) << fragment.error().to_string();
            apply(*fragment);
        }
        ++recalled;
    }

    void apply(const apply::Fragment& fragment) {
        if (fragment.number == 0) {
            open_.clear();
        }
        for (const auto& change : fragment.changes) {
            open_ += to_hex(change.new_row.bytes()) + ",";
        }
        if (fragment.last) {
            if (model::compare(fragment.head.commit, applied_) > 0) {
                told += open_ + ";";
                applied_ = fragment.head.commit;
            }
            open_.clear();
            move(fragment.mark);
        }
    }

    void move(const apply::StreamMark& mark) {
        if (mark.point > mark_.point) {
            mark_ = mark;
        }
    }

    packet::KeyRing ring_;
    std::vector<OutPacket> wires_;
    size_t next_ = 0;
    Unpacker unpacker_{{}};
    apply::StreamMark mark_;
    SourcePosition applied_;
    std::string open_;
};

// Spec. Source: rules 4, 5, 14
TEST(TravellingAhead, OnlyCommittedWorkArrivesOnceWhoeverStartsAgain) {
    size_t recalled = 0;
    for (uint64_t seed = 1; seed <= 20 && !HasFailure(); ++seed) {
        ManualWorld world(seed);
        const auto key = crypto::PrivateKey::generate(crypto::KeyKind::P256);
        History history(seed);
        auto& random = history.random;
        Sender sender(world, key);
        Receiver receiver(key);
        sender.start({});
        for (size_t next = 0; next < history.transactions.size() && !HasFailure();) {
            const auto ahead = std::min(history.transactions.size(), next + 6);
            for (auto i = next; i < ahead; ++i) {
                if (history.transactions[i].streamed && random() % 3 == 0) {
                    sender.block(history.transactions[i], random() % 6);
                }
            }
            if (random() % 2 == 0) {
                sender.finish(history.transactions[next++]);
            }
            if (random() % 4 == 0) {
                sender.packer->flush();
                receiver.keep(sender.packer->take(), random);
            }
            if (random() % 12 == 0) {
                sender.end_session();
                // The source may begin earlier than it must.
                next -= std::min<size_t>(next, random() % 3);
            } else if (random() % 15 == 0) {
                sender.start(receiver.tip);
                next = 0;
            }
            if (random() % 6 == 0) {
                receiver.restart();
            }
            receiver.forget();
        }
        sender.packer->flush();
        receiver.keep(sender.packer->take(), random);
        ASSERT_EQ(receiver.told, history.tell()) << "seed " << seed;
        EXPECT_EQ(sender.packer->travelling(), 0U);
        recalled += receiver.recalled;
    }
    EXPECT_GT(recalled, 100U);
}

}  // namespace
}  // namespace qiao::engine
