#include "qiao/apply/applier.h"
#include "qiao/apply/history_test.h"

#include <gtest/gtest.h>

#include <map>

namespace qiao::apply {
namespace {

using history::Bench;
using history::History;
using history::table;

// Spec: R-01
TEST(ForeignChange, IsReportedOrOverwrittenAsIsWanted) {
    for (const bool reported : {true, false}) {
        SCOPED_TRACE(reported);
        History history(1);
        for (int i = 0; i < 10; ++i) {
            history.insert("plain", {std::to_string(i), "a", "x"});
        }
        history.commit();
        Bench bench(history, 1);
        bench.options.policy = DivergencePolicy::RepairLater;
        bench.options.seal = [](const model::TransactionHead&, const model::Change&) {
            return Bytes(1);
        };
        bench.options.report_foreign_changes = reported;
        ASSERT_TRUE(bench.run());
        bench.database().foreign_clear(table("plain"));
        const auto before = history.at(history.transactions().back().head.commit);
        for (auto row : before.at(table("plain"))) {
            row[1] = row[0] == "4" || row[0] == "5" ? "theirs" : row[1];
            bench.database().foreign_insert(table("plain"), row);
        }
        history.whole_old_rows = true;
        history.update("plain", "3", {"3", "ours", "x"});
        history.update("plain", "4", {"4", "ours", "x"});
        history.update("plain", "4", {"4", "later", "x"});
        history.erase("plain", "5");
        history.erase("plain", "6");
        history.commit();
        ASSERT_TRUE(bench.run());
        std::vector<std::string> told;
        for (const auto& row : bench.diverged_rows) {
            told.push_back(row.key_text + " " + row.code);
        }
        std::vector<std::string> wanted;
        if (reported) {
            wanted = {
                "id=4 apply.foreign_change", "id=4 apply.diverted", "id=5 apply.foreign_change"
            };
        }
        EXPECT_EQ(told, wanted);
        std::map<std::string, std::string> names;
        for (const auto& row : bench.database().rows(table("plain"))) {
            names[*row[0]] = *row[1];
        }
        EXPECT_EQ(names["3"], "ours");
        EXPECT_EQ(names["4"], reported ? "theirs" : "later");
        EXPECT_EQ(names.contains("5"), reported);
        EXPECT_FALSE(names.contains("6"));
    }
}

}  // namespace
}  // namespace qiao::apply
