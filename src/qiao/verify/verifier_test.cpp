#include "qiao/verify/two_sides_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::verify {
namespace {

using Kind = Difference::Kind;

/// A keyed difference as text, for comparing sets.
using Planted = std::tuple<std::string, std::string, Kind, std::vector<std::string>>;

std::set<Planted> reported(const TableReport& report) {
    std::set<Planted> all;
    for (const auto& one : report.differences) {
        EXPECT_EQ(one.key.size(), 2U);
        all.emplace(one.key[0].value.value(), one.key[1].value.value(), one.kind, one.columns);
    }
    EXPECT_EQ(all.size(), report.differences.size());
    return all;
}

/// The oracle: what differs between two keyed tables, by comparing them whole.
std::set<Planted> difference(const ModelTable& source, const ModelTable& target) {
    std::map<ModelRow, std::pair<const ModelRow*, const ModelRow*>> by_key;
    for (const auto& row : source.rows) {
        by_key[source.layout.key_of(row)].first = &row;
    }
    for (const auto& row : target.rows) {
        by_key[target.layout.key_of(row)].second = &row;
    }
    std::set<Planted> all;
    for (const auto& [key, rows] : by_key) {
        const auto& [one, other] = rows;
        if (one == nullptr || other == nullptr) {
            const auto kind = other == nullptr ? Kind::MissingAtTarget : Kind::ExtraAtTarget;
            all.emplace(*key[0], *key[1], kind, std::vector<std::string>());
        } else if (*one != *other) {
            std::vector<std::string> columns;
            for (size_t i = 0; i < one->size(); ++i) {
                if ((*one)[i] != (*other)[i]) {
                    columns.push_back(source.layout.names[i]);
                }
            }
            all.emplace(*key[0], *key[1], Kind::Differs, columns);
        }
    }
    return all;
}

void replace(ModelRows& rows, ModelRows::iterator row, ModelRow by) {
    rows.erase(row);
    rows.insert(std::move(by));
}

ModelRows::iterator pick(ModelRows& rows, std::mt19937_64& random) {
    return std::next(rows.begin(), static_cast<std::ptrdiff_t>(random() % rows.size()));
}

/// One careless thing that can happen to a row of a table.
void plant(ModelTable& table, std::mt19937_64& random) {
    if (table.rows.empty()) {
        return;
    }
    const auto row = pick(table.rows, random);
    auto changed = *row;
    switch (random() % 6) {
        case 0:
            table.rows.erase(row);
            return;
        case 1:
            table.rows.insert(random_row(random, 100'000 + random() % 1'000'000));
            return;
        case 2:
            std::swap(changed[2 + random() % 4], changed[2 + random() % 4]);
            break;
        case 3: {
            const auto other = pick(table.rows, random);
            auto other_changed = *other;
            if (row == other) {
                return;
            }
            const auto column = 2 + random() % 4;
            std::swap(changed[column], other_changed[column]);
            replace(table.rows, other, other_changed);
            break;
        }
        case 4:
            changed[2 + random() % 4] = changed[2] ? std::nullopt : Cell("");
            break;
        default:
            changed[2 + random() % 4] = random_cell(random);
    }
    replace(table.rows, row, changed);
}

void choose_ways(TwoSides& sides) {
    auto& random = sides.random;
    sides.remote_source = random() % 2 == 0;
    sides.remote_target = random() % 2 == 0;
    sides.options.first_bits = static_cast<uint8_t>(random() % 10);
    sides.options.list_rows = 4 + static_cast<uint32_t>(random() % 100);
    sides.options.look_rows = 1 + random() % 20;
    sides.options.scan_look_rows = 1 + random() % 30;
}

// Every planted difference is found, by key and column, and nothing else.
// Spec: R-35
TEST(Verifier, FindsEveryPlantedDifferenceAndNothingElse) {
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE(seed);
        TwoSides sides(seed);
        const auto rows = sides.random() % 200;
        for (uint64_t id = 0; id < rows; ++id) {
            sides.source.rows.insert(random_row(sides.random, id));
        }
        sides.target.rows = sides.source.rows;
        for (auto left = sides.random() % 12; left > 0; --left) {
            plant(sides.target, sides.random);
        }
        choose_ways(sides);
        const auto expected = difference(sides.source, sides.target);
        const auto outcome = sides.run();
        ASSERT_EQ(outcome.report.error.has_value(), false) << outcome.report.error->to_string();
        EXPECT_EQ(outcome.report.verdict, expected.empty() ? Verdict::Equal : Verdict::Different);
        EXPECT_EQ(reported(outcome.report), expected);
        EXPECT_EQ(outcome.report.confirmed, expected.size());
        EXPECT_EQ(outcome.report.source_rows, sides.source.rows.size());
        EXPECT_EQ(outcome.report.target_rows, sides.target.rows.size());
        EXPECT_EQ(outcome.repair.rows.size(), expected.size());
        EXPECT_TRUE(outcome.repair.complete);
    }
}

/// Distinct rows whose number of copies differs.
size_t keyless_difference(const ModelRows& source, const ModelRows& target) {
    std::set<ModelRow> all(source.begin(), source.end());
    all.insert(target.begin(), target.end());
    const auto differs = [&](const ModelRow& row) {
        return source.count(row) != target.count(row);
    };
    return static_cast<size_t>(std::ranges::count_if(all, differs));
}

// A keyless table is compared as a multiset: a lost or doubled copy of a row that is there more
// than once is found.
// Spec: R-35
TEST(Verifier, ComparesKeylessTablesWithTheNumberOfCopies) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(seed);
        TwoSides sides(seed);
        sides.set_keyed(false);
        for (uint64_t left = sides.random() % 80; left > 0; --left) {
            auto row = random_row(sides.random, sides.random() % 30);
            for (uint64_t copies = 1 + sides.random() % 4; copies > 0; --copies) {
                sides.source.rows.insert(row);
            }
        }
        sides.target.rows = sides.source.rows;
        for (auto left = sides.random() % 6; left > 0; --left) {
            plant(sides.target, sides.random);
            if (!sides.target.rows.empty()) {
                sides.target.rows.insert(*pick(sides.target.rows, sides.random));
            }
        }
        choose_ways(sides);
        const auto expected = keyless_difference(sides.source.rows, sides.target.rows);
        const auto outcome = sides.run();
        ASSERT_FALSE(outcome.report.error);
        EXPECT_TRUE(outcome.report.keyless);
        EXPECT_EQ(outcome.report.verdict, expected == 0 ? Verdict::Equal : Verdict::Different);
        const auto told_as_one =
            std::ranges::count(outcome.report.differences, Kind::Differs, &Difference::kind);
        EXPECT_EQ(outcome.report.confirmed, outcome.report.differences.size());
        EXPECT_EQ(outcome.report.confirmed + static_cast<size_t>(told_as_one), expected);
        EXPECT_EQ(outcome.repair.rows.size(), expected);
    }
}

TEST(Verifier, NamesTheColumnOfAChangedByteInAKeylessTable) {
    TwoSides sides(1);
    sides.set_keyed(false);
    for (uint64_t id = 0; id < 50; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.target.rows = sides.source.rows;
    const auto row = pick(sides.target.rows, sides.random);
    auto changed = *row;
    changed[4] = "1.000";
    replace(sides.target.rows, row, changed);
    const auto report = sides.run().report;
    ASSERT_EQ(report.differences.size(), 1U);
    EXPECT_EQ(report.differences[0].kind, Kind::Differs);
    EXPECT_THAT(report.differences[0].columns, ::testing::ElementsAre("c"));
}

// A target without the unique key can hold a row twice.
TEST(Verifier, NamesADoubledRowByItsKey) {
    TwoSides sides(1);
    for (uint64_t id = 0; id < 50; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.target.rows = sides.source.rows;
    sides.target.rows.insert(*pick(sides.target.rows, sides.random));
    const auto report = sides.run().report;
    ASSERT_EQ(report.differences.size(), 1U);
    EXPECT_EQ(report.differences[0].kind, Kind::Copies);
    EXPECT_EQ(report.differences[0].target_copies, 2U);
    EXPECT_EQ(report.differences[0].key.size(), 2U);
}

// Two rows that exchange their values leave every column's values as they were.
TEST(Verifier, NoticesValuesThatChangedPlacesBetweenRows) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        TwoSides sides(seed);
        auto one = random_row(sides.random, 1);
        auto other = random_row(sides.random, 2);
        one[3] = "x";
        other[3] = "y";
        sides.source.rows = {one, other};
        std::swap(one[3], other[3]);
        sides.target.rows = {one, other};
        sides.options.first_bits = static_cast<uint8_t>(seed % 17);
        EXPECT_EQ(sides.run().report.confirmed, 2U);
    }
}

TEST(Verifier, LeavesKeysAtHomeWhenTheyAreWithheld) {
    TwoSides sides(3);
    for (uint64_t id = 0; id < 60; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.target.rows = sides.source.rows;
    auto secret = random_row(sides.random, 7);
    secret[1] = "110101199003070000";
    sides.source.rows.insert(secret);
    sides.remote_source = sides.remote_target = true;
    sides.options.withhold_keys = true;
    const auto report = sides.run().report;
    ASSERT_EQ(report.differences.size(), 1U);
    EXPECT_TRUE(report.differences[0].key.empty());
    EXPECT_EQ(report.differences[0].kind, Kind::MissingAtTarget);
    for (const auto& bytes : sides.crossed) {
        EXPECT_EQ(bytes.find("110101199003070000"), std::string::npos);
    }
}

// Spec: R-35
TEST(Verifier, LetsNoValueCrossALink) {
    TwoSides sides(3);
    for (uint64_t id = 0; id < 60; ++id) {
        auto row = random_row(sides.random, id);
        row[5] = "a-secret-value";
        sides.source.rows.insert(row);
        row[3] = "another-secret";
        sides.target.rows.insert(row);
    }
    sides.remote_source = sides.remote_target = true;
    EXPECT_EQ(sides.run().report.confirmed, 60U);
    EXPECT_GT(sides.calls_over_link, 100U);
    for (const auto& bytes : sides.crossed) {
        EXPECT_EQ(bytes.find("secret"), std::string::npos);
    }
}

TEST(Verifier, CountsAllAndShowsTheFirst) {
    TwoSides sides(5);
    for (uint64_t id = 0; id < 150; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.options.differences_shown = 10;
    sides.options.repair_rows_max = 20;
    const auto outcome = sides.run();
    EXPECT_EQ(outcome.report.confirmed, 150U);
    EXPECT_EQ(outcome.report.differences.size(), 10U);
    EXPECT_FALSE(outcome.repair.complete);
}

TEST(Verifier, SaysWhatItDidNotLookInto) {
    TwoSides sides(5);
    for (uint64_t id = 0; id < 150; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.options.list_rows = 20;
    sides.options.candidates_max = 30;
    const auto report = sides.run().report;
    EXPECT_EQ(report.verdict, Verdict::Different);
    EXPECT_EQ(report.confirmed, 30U);
    EXPECT_GT(report.unexamined, 0U);
}

TEST(Verifier, TreatsAMissingColumnAsADifference) {
    TwoSides sides(1);
    sides.target.shape.schema.columns.pop_back();
    const auto report = sides.run().report;
    EXPECT_EQ(report.verdict, Verdict::Different);
    ASSERT_EQ(report.findings.size(), 1U);
    EXPECT_EQ(report.findings[0].kind, ColumnFinding::Kind::MissingAtTarget);
    EXPECT_EQ(report.findings[0].column, "d");
}

// An error at any call: never a false verdict, and every snapshot is ended (the model asserts it).
TEST(Verifier, CannotTellWhenADatabaseFails) {
    for (uint64_t call = 0; call < 40; ++call) {
        SCOPED_TRACE(call);
        TwoSides sides(call);
        for (uint64_t id = 0; id < 30; ++id) {
            sides.source.rows.insert(random_row(sides.random, id));
        }
        sides.target.rows = sides.source.rows;
        sides.target.rows.erase(sides.target.rows.begin());
        auto& reader = call % 2 == 0 ? sides.source_reader : sides.target_reader;
        reader.fail_after = call / 2;
        const auto report = sides.run().report;
        if (report.error) {
            EXPECT_EQ(report.error->code(), ErrorCode::DbLost);
            EXPECT_NE(report.verdict, Verdict::Equal);
        } else {
            EXPECT_EQ(report.confirmed, 1U);
        }
    }
}

TEST(Verifier, StopsWhenAsked) {
    TwoSides sides(1);
    for (uint64_t id = 0; id < 200; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.stop.request();
    const auto report = sides.run().report;
    EXPECT_EQ(report.verdict, Verdict::CouldNotTell);
    EXPECT_TRUE(report.error && report.error->is(ErrorCode::Cancelled));
}

TEST(Verifier, ReadsNoFasterThanItsBrakeAllows) {
    TwoSides sides(1);
    for (uint64_t id = 0; id < 1000; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.target.rows = sides.source.rows;
    sides.rows_per_second = 100;
    const auto report = sides.run().report;
    EXPECT_EQ(report.verdict, Verdict::Equal);
    EXPECT_GE(report.seconds, 9.5);
    EXPECT_LE(report.seconds, 15.0);
}

TEST(Verifier, ComparesTheNumberOfRowsAtTableLevel) {
    for (uint64_t missing = 0; missing < 3; ++missing) {
        TwoSides sides(1);
        for (uint64_t id = 0; id < 20; ++id) {
            sides.source.rows.insert(random_row(sides.random, id));
        }
        sides.target.rows = sides.source.rows;
        for (uint64_t i = 0; i < missing; ++i) {
            sides.target.rows.erase(sides.target.rows.begin());
        }
        sides.options.level = Level::Table;
        const auto report = sides.run().report;
        EXPECT_EQ(report.verdict, missing == 0 ? Verdict::Equal : Verdict::Different);
        EXPECT_EQ(report.source_rows, 20U);
        EXPECT_EQ(report.target_rows, 20 - missing);
    }
}

TEST(Verifier, ReadsEqualTablesOnce) {
    TwoSides sides(1);
    for (uint64_t id = 0; id < 100; ++id) {
        sides.source.rows.insert(random_row(sides.random, id));
    }
    sides.target.rows = sides.source.rows;
    EXPECT_EQ(sides.run().report.verdict, Verdict::Equal);
    EXPECT_EQ(sides.source_reader.scans, 1U);
    EXPECT_EQ(sides.target_reader.scans, 1U);
}

}  // namespace
}  // namespace qiao::verify
