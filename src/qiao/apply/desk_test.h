#pragma once

#include "qiao/apply/history_test.h"
#include "qiao/apply/intervention.h"

#include <gtest/gtest.h>

#include <deque>

namespace qiao::apply::history {

/// Seals changes by keeping them; what lies in the error table is their number.
class Shelf {
public:
    SealChange seal() {
        return [this](const model::TransactionHead& head, const model::Change& change) {
            auto rows = std::make_shared<std::vector<Bytes>>();
            rows->push_back(to_bytes(change.old_row.bytes()));
            rows->push_back(to_bytes(change.new_row.bytes()));
            LaidAside one{head, change, rows};
            const auto parse = [](const Bytes& bytes) {
                return bytes.empty() ? model::Tuple() : *model::Tuple::parse(bytes);
            };
            one.change.old_row = parse(rows->front());
            one.change.new_row = parse(rows->back());
            kept_.push_back(std::move(one));
            return to_bytes(as_bytes(std::to_string(kept_.size() - 1)));
        };
    }

    OpenChange open() const {
        return [this](ByteView sealed) -> Result<LaidAside> {
            return kept_.at(std::stoul(std::string(as_text(sealed))));
        };
    }

private:
    std::deque<LaidAside> kept_;
};

/// A bench whose applier lays aside, and an operator.
struct Desk {
    Desk(History& history, uint64_t seed) : bench(history, seed) {
        bench.options.policy = DivergencePolicy::RepairLater;
        bench.options.seal = shelf.seal();
    }

    Intervention intervention() { return {bench.database(), bench.world(), bench.options.stream}; }

    ReplayOptions replay_options() const {
        ReplayOptions options;
        options.stream = bench.options.stream;
        options.open = shelf.open();
        options.batch_rows = 7;
        return options;
    }

    Result<ReplayReport> replay() {
        StopSignal stop;
        auto desk = intervention();
        return bench.world().run(desk.replay(replay_options(), stop));
    }

    size_t waiting() { return bench.database().committed().errors.size(); }

    drivers::TableStatus status_of(const std::string& name) {
        const auto& states = bench.database().committed().table_states;
        const auto found = states.find({bench.options.stream, table(name)});
        return found == states.end() ? drivers::TableStatus::Pending : found->second.status;
    }

    const drivers::TableState& state_of(const std::string& name) {
        const auto& states = bench.database().committed().table_states;
        return states.at({bench.options.stream, table(name)});
    }

    void skip(const std::string& key) {
        auto operation = intervention();
        const auto dropped = bench.world().run(operation.skip(table("plain"), key));
        ASSERT_TRUE(dropped) << dropped.error().to_string();
        EXPECT_EQ(*dropped, 1U);
    }

    /// As a first load leaves it.
    void make_live(const std::string& name) {
        auto session = *bench.world().run(bench.database().connect());
        ASSERT_TRUE(bench.world().run(session->claim(bench.options.stream, {})));
        ASSERT_TRUE(bench.world().run(session->begin({})));
        const drivers::TableState state{table(name), 1, drivers::TableStatus::Live, {}};
        ASSERT_TRUE(bench.world().run(session->save_table_state(bench.options.stream, state)));
        ASSERT_EQ(
            bench.world().run(session->commit()).kind, drivers::CommitOutcome::Kind::Committed
        );
    }

    Shelf shelf;
    Bench bench;
};

}  // namespace qiao::apply::history
