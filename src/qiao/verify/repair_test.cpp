#include "qiao/verify/repair.h"

#include "qiao/verify/two_sides_test.h"

#include <gtest/gtest.h>

namespace qiao::verify {
namespace {

ModelRow read_row(const model::Tuple& image) {
    ModelRow row;
    for (const auto& value : image.values()) {
        row.push_back(
            value.kind == model::ValueKind::Null ? Cell() : Cell(std::string(as_text(value.bytes)))
        );
    }
    return row;
}

/// What an applier does with the changes of a plan.
void carry_out(const RepairPlan& plan, ModelTable& target) {
    const auto same_key = [&](const ModelRow& row) {
        return [&target, key = target.layout.key_of(row)](const ModelRow& other) {
            return target.layout.key_of(other) == key;
        };
    };
    for (const auto& change : plan.changes) {
        EXPECT_EQ(change.schema, plan.schema.id());
        EXPECT_EQ(change.tolerant, target.layout.keyed && change.op != model::Op::Truncate);
        if (change.op == model::Op::Truncate) {
            EXPECT_FALSE(target.layout.keyed);
            target.rows.clear();
        } else if (change.op == model::Op::Delete) {
            EXPECT_TRUE(target.layout.keyed);
            std::erase_if(target.rows, same_key(read_row(change.old_row)));
        } else {
            const auto row = read_row(change.new_row);
            if (change.tolerant) {
                std::erase_if(target.rows, same_key(row));
            }
            target.rows.insert(row);
        }
    }
}

uint64_t repair(TwoSides& sides, RepairList list, RepairOptions options) {
    uint64_t left_out = 0;
    while (!list.rows.empty()) {
        auto reading = read_repair(sides.source_reader, std::move(list), options, sides.stop);
        auto plan = sides.world.run(std::move(reading)).value();
        const auto moved = std::move(plan);
        carry_out(moved, sides.target);
        left_out += moved.left_out;
        list = moved.rest;
    }
    return left_out;
}

// Spec: R-35
TEST(Repair, MakesAKeyedTableEqual) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        TwoSides sides(seed);
        for (uint64_t id = 0; id < 60; ++id) {
            sides.source.rows.insert(random_row(sides.random, id));
            sides.target.rows.insert(random_row(sides.random, id + 5));
        }
        auto outcome = sides.run();
        EXPECT_EQ(outcome.report.verdict, Verdict::Different);
        RepairOptions options;
        options.bytes_max = 1 + sides.random() % 2000;
        options.keys_of_one_read = 1 + sides.random() % 20;
        EXPECT_EQ(repair(sides, std::move(outcome.repair), options), 0U);
        EXPECT_EQ(sides.source.rows, sides.target.rows);
        EXPECT_EQ(sides.run().report.verdict, Verdict::Equal);
    }
}

// Spec: R-35
TEST(Repair, MakesAKeylessTableEqualWhateverTheTargetHasTooMuchOf) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        TwoSides sides(seed);
        sides.set_keyed(false);
        for (int i = 0; i < 20; ++i) {
            const auto row = random_row(sides.random, sides.random() % 1000);
            for (uint64_t left = 1 + sides.random() % 3; left > 0; --left) {
                sides.source.rows.insert(row);
            }
            const uint64_t most = seed % 3 == 0 ? 2 : 4;
            for (uint64_t left = sides.random() % most; left > 0; --left) {
                sides.target.rows.insert(row);
            }
        }
        if (seed % 2 == 0) {
            sides.target.rows.insert(random_row(sides.random, 5000));
        }
        if (seed % 20 == 0) {
            sides.source.rows.clear();
        }
        auto outcome = sides.run();
        RepairOptions options;
        options.bytes_max = 50 + sides.random() % 500;
        EXPECT_EQ(repair(sides, std::move(outcome.repair), options), 0U);
        EXPECT_EQ(sides.source.rows, sides.target.rows);
    }
}

TEST(Repair, RefusesAKeylessTableThatIsTooLargeToBeSentAgain) {
    TwoSides sides(1);
    sides.set_keyed(false);
    for (uint64_t id = 0; id < 100; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.target.rows = sides.source.rows;
    sides.target.rows.insert(random_row(sides.random, 5000));
    auto outcome = sides.run();
    RepairOptions options;
    options.table_bytes_max = 500;
    auto reading = read_repair(sides.source_reader, std::move(outcome.repair), options, sides.stop);
    const auto plan = sides.world.run(std::move(reading));
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code(), ErrorCode::VerifyRepairTooLarge);
}

TEST(Repair, LeavesGeneratedColumnsToTheTarget) {
    TwoSides sides(1);
    for (auto* table : {&sides.source, &sides.target}) {
        table->shape.schema.columns[3].generated = true;
    }
    sides.source.rows.insert(random_row(sides.random, 1));
    auto outcome = sides.run();
    auto reading = read_repair(sides.source_reader, std::move(outcome.repair), {}, sides.stop);
    const auto plan = sides.world.run(std::move(reading)).value();
    EXPECT_EQ(plan.schema.columns.size(), 5U);
    EXPECT_FALSE(plan.schema.find_column("b"));
    EXPECT_EQ(plan.changes.at(0).new_row.column_count(), 5U);
}

TEST(Repair, RefusesAListThatIsNotComplete) {
    TwoSides sides(1);
    RepairList list;
    list.complete = false;
    auto reading = read_repair(sides.source_reader, std::move(list), {}, sides.stop);
    const auto plan = sides.world.run(std::move(reading));
    ASSERT_FALSE(plan.has_value());
    EXPECT_EQ(plan.error().code(), ErrorCode::VerifyRepairTooLarge);
}

// A repair read at a position stands behind all that commits before it and before all else, however
// far the capture had come: neither does it undo a later change, nor is it undone by an earlier
// one. Source: rules 13
TEST(RepairPlacement, PutsARepairWhereItWasRead) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        std::mt19937_64 random(seed);
        RepairPlacement placement;
        std::vector<uint64_t> order;  // of the stream: commits even, repairs odd
        uint64_t read_at = 1;
        for (uint64_t commit = 2; commit < 100; commit += 2) {
            if (random() % 4 == 0 && commit > read_at) {
                read_at = std::max(read_at, commit - 1 + 2 * (random() % 5));
                RepairPlan plan;
                plan.position = model::SourcePosition::lsn(1, 1, read_at);
                placement.add(std::move(plan));
            }
            for (const auto& plan : placement.before(model::SourcePosition::lsn(1, 1, commit))) {
                order.push_back(std::to_integer<uint64_t>(plan.position.order.back()));
            }
            order.push_back(commit);
        }
        for (const auto& plan : placement.delivered(model::SourcePosition::lsn(1, 1, 200))) {
            order.push_back(std::to_integer<uint64_t>(plan.position.order.back()));
        }
        EXPECT_TRUE(placement.empty());
        EXPECT_TRUE(std::ranges::is_sorted(order));
    }
}

TEST(RepairPlacement, KeepsRepairsOfAnotherHistoryBack) {
    RepairPlacement placement;
    RepairPlan plan;
    plan.position = model::SourcePosition::lsn(1, 1, 5);
    placement.add(std::move(plan));
    EXPECT_TRUE(placement.before(model::SourcePosition::lsn(1, 2, 900)).empty());
    placement.forget();
    EXPECT_TRUE(placement.empty());
}

}  // namespace
}  // namespace qiao::verify
