#include "qiao/apply/applier.h"
#include "qiao/apply/history_test.h"

#include <gtest/gtest.h>

namespace qiao::apply {
namespace {

using drivers::model_db::Faults;
using history::Bench;
using history::History;
using history::table;

void expect_clean(Bench& bench) {
    bench.world().run();
    EXPECT_EQ(bench.target(), bench.expected());
    EXPECT_EQ(bench.database().counters().doubled_keys, 0U);
    EXPECT_EQ(bench.database().counters().unlocked_commits, 0U);
    EXPECT_EQ(bench.database().counters().unlocked_writes, 0U);
}

/// Names chosen to meet the ones that they replace: a swap of two tables and of two columns.
model::Mapping other_names() {
    model::Mapping names;
    names.rename(table("plain"), {table("contact"), {{"name", "note"}, {"note", "name"}}});
    names.rename(table("contact"), {table("plain"), {{"email", "e mail"}}});
    names.rename(table("decimal"), {{"archive", "decimal"}, {{"id", "number"}}});
    names.rename(table("purchase"), {table("bought"), {{"customer", "id_of_customer"}}});
    names.rename(table("journal"), {{"archive", "journal"}, {}});
    return names;
}

// Goal: other names at the target change nothing else, under faults and restarts, truncations and
// rows that stray.
// Spec: R-25
TEST(ApplierNames, OfTablesAndColumnsChangeNothingElse) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(80, seed % 3 == 0 ? 40 : 8);
        Bench bench(history, seed, other_names());
        if (seed % 3 == 0) {
            bench.options.transaction_bytes_max = 150;
        }
        bench.options.fold = seed % 2 == 0;
        bench.database().faults = Faults{.lost = 4, .serialization = 10, .commit_unknown = 80};
        for (int restart = 0; restart < 8; ++restart) {
            const auto end = bench.run(std::chrono::milliseconds(1 + history.random()() % 1500));
            expect_clean(bench);
            ASSERT_TRUE(end || end.error().transient()) << end.error().to_string();
        }
        bench.database().faults = {};
        const auto end = bench.run();
        EXPECT_TRUE(end) << end.error().to_string();
        EXPECT_EQ(bench.position(), history.transactions().back().head.commit);
        expect_clean(bench);
    }
}

// Spec: R-25
TEST(ApplierNames, ToldOfAMissingColumnPeopleReadTheTargetsNames) {
    History history(1);
    history.insert("plain", {"1", "a", "b"});
    history.commit();
    model::Mapping names;
    names.rename(table("plain"), {table("faces"), {{"note", "remark"}}});
    Bench bench(history, 1, names);
    bench.options.names.rename(table("plain"), {table("faces"), {{"note", "absent"}}});
    EXPECT_FALSE(bench.run(std::chrono::seconds(1)));
    ASSERT_TRUE(bench.last_status.last_error);
    EXPECT_EQ(
        bench.last_status.last_error->detail(),
        "ALTER TABLE public.faces ADD COLUMN \"absent\" pg_catalog.text"
    );
}

}  // namespace
}  // namespace qiao::apply
