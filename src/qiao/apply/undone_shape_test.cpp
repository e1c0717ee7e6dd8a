#include "qiao/apply/applier.h"
#include "qiao/apply/history_test.h"

#include <gtest/gtest.h>

namespace qiao::apply {
namespace {

using drivers::TableStatus;
using history::Bench;
using history::History;
using history::table;

// A savepoint altered the table, and was rolled back: its shape has come, and no row of it.
// Source: rules 14. Spec: R-48
TEST(UndoneShape, IsNotTheTablesUnlessARowThatCountsHasIt) {
    History history(1);
    for (const auto* id : {"1", "2", "3"}) {
        history.insert("plain", {id, "a", "b"});
        history.commit();
    }
    Bench bench(history, 1);
    bench.options.seal = [](const model::TransactionHead&, const model::Change&) {
        return Bytes(1);
    };
    bench.edit = [](std::vector<Input> inputs) {
        const drivers::TableState state{table("plain"), 1, TableStatus::Live, {}};
        std::vector<Input> edited{TableStateChange{state}};
        model::TableSchema altered;
        for (auto& input : inputs) {
            const auto* definition = std::get_if<SchemaDefinition>(&input);
            if (definition != nullptr && definition->schema.table == table("plain")) {
                altered = definition->schema;
            }
            const bool row = std::holds_alternative<Fragment>(input);
            edited.push_back(std::move(input));
            if (row) {
                altered.columns.push_back({.name = "x" + std::to_string(edited.size())});
                edited.emplace_back(SchemaDefinition{altered});
            }
        }
        return edited;
    };
    ASSERT_TRUE(bench.run());
    EXPECT_EQ(bench.database().committed().table_states.begin()->second.status, TableStatus::Live);
    EXPECT_EQ(bench.target(), bench.expected());
    EXPECT_EQ(bench.target().at(table("plain")).size(), 3U);
}

}  // namespace
}  // namespace qiao::apply
