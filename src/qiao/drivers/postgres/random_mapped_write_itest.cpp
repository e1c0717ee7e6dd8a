#include "qiao/drivers/postgres/mapped_write_fixture.h"
#include "qiao/drivers/postgres/random_values.h"

#include <optional>

namespace qiao::drivers::postgres {
namespace {

using model::Change;
using model::Op;

struct Way {
    const char* name;
    SentForm form;
    const char* table;  ///< after the columns
    bool identity = false;
    size_t budget = kRowMapBudget;
};

/// Rows of many types in many copies, changed by chance, with everything in between that moves
/// them.
class RandomMappedWriteTest : public MappedWriteTest, public ::testing::WithParamInterface<Way> {
protected:
    static constexpr size_t kPool = 30;

    void start(uint32_t seed) {
        literals_ = Literals(seed);
        random_.seed(seed);
        form_ = GetParam().form;
        connect(GetParam().budget);
        std::string list;
        for (const auto& column : typed_columns()) {
            list += (list.empty() ? "" : ", ") + quote_identifier(column.name) + " " + column.type;
        }
        run("DROP TABLE IF EXISTS a.pool, b.t, b.other CASCADE");
        run(fmt::format("CREATE TABLE a.pool ({}, n int)", list));
        if (GetParam().identity) {
            list.insert(list.find(','), " GENERATED ALWAYS AS IDENTITY");
        }
        run(fmt::format("CREATE TABLE b.t ({}) {}", list, GetParam().table));
        if (std::string_view(GetParam().table).starts_with("PARTITION")) {
            for (int i = 0; i < 3; ++i) {
                run(fmt::format(
                    "CREATE TABLE b.t{0} PARTITION OF b.t FOR VALUES WITH (MODULUS 3, REMAINDER "
                    "{0}); CREATE INDEX place{0} ON b.t{0} (k1)",
                    i
                ));
            }
        } else {
            run("CREATE INDEX place ON b.t (k1)");
        }
        make_pool();
        read_pool();
    }

    /// Each second row differs from its neighbour in one column only.
    void make_pool() {
        const auto& typed = typed_columns();
        std::vector<std::string> values(typed.size());
        for (size_t i = 0; i < kPool; ++i) {
            const auto changed = literals_.below(typed.size());
            std::string list;
            for (size_t j = 0; j < typed.size(); ++j) {
                if (i % 2 == 0 || j == changed) {
                    values[j] = literals_.of(typed[j]);
                }
                list += values[j] + ", ";
            }
            run(fmt::format("INSERT INTO a.pool VALUES ({}{})", list, i));
        }
    }

    size_t any_row() { return random_() % kPool; }

    std::optional<size_t> any_present() {
        std::vector<size_t> present;
        for (size_t i = 0; i < copies_.size(); ++i) {
            if (copies_[i] > 0) {
                present.push_back(i);
            }
        }
        return present.empty() ? std::nullopt : std::optional(present[random_() % present.size()]);
    }

    void step() {
        const auto count = 1 + random_() % 40;
        const auto kind = random_() % 5;
        std::vector<Change> changes;
        for (size_t i = 0; i < count; ++i) {
            const auto row = any_present();
            if (kind < 2 || !row) {
                break;
            }
            --copies_[*row];
            if (kind == 2) {
                changes.push_back(deletion(*row));
            } else {
                const auto to = any_row();
                ++copies_[to];
                changes.push_back(update(*row, to));
            }
        }
        if (changes.empty()) {
            std::vector<size_t> rows(count);
            std::ranges::generate(rows, [this] { return any_row(); });
            insert_copies(rows);
        } else {
            ASSERT_EQ(apply(kind == 2 ? Op::Delete : Op::Update, changes).missed, 0);
        }
    }

    void transaction() {
        const auto before = copies_;
        begin();
        for (auto left = 1 + random_() % 4; left > 0 && !HasFailure(); --left) {
            if (random_() % 3 != 0) {
                step();
                continue;
            }
            const auto saved = copies_;
            ASSERT_TRUE(loop_.run(session_->savepoint()));
            step();
            if (random_() % 2 == 0) {
                ASSERT_TRUE(loop_.run(session_->rollback_to_savepoint()));
                copies_ = saved;
            }
            ASSERT_TRUE(loop_.run(session_->release_savepoint()));
            move_unlocked_rows();
        }
        if (random_() % 3 == 0) {
            ASSERT_TRUE(loop_.run(session_->rollback()));
            copies_ = before;
        } else {
            commit();
        }
    }

    std::string any_leaf() {
        return GetParam().identity || GetParam().table[0] != 'P' ? ""
                                                                 : std::to_string(random_() % 3);
    }

    /// A foreign writer between two statements of ours.
    void move_unlocked_rows() {
        const auto leaf = any_leaf();
        run(fmt::format(
            "UPDATE b.t{0} SET c_bool = c_bool WHERE ctid IN (SELECT ctid FROM b.t{0} WHERE"
            " random() < 0.5 FOR UPDATE SKIP LOCKED)",
            leaf
        ));
    }

    void disturb() {
        const auto leaf = any_leaf();
        switch (random_() % 8) {
            case 0:
                return run("VACUUM FULL b.t");
            case 1:
                return run(fmt::format("CLUSTER b.t{0} USING place{0}", leaf));
            case 2:
                run("UPDATE b.t SET c_int2 = c_int2");
                return run("VACUUM b.t");
            case 3:
                run("TRUNCATE b.t");
                copies_.assign(copies_.size(), 0);
                return;
            case 4:
                // Rows that are none of ours, and go again.
                run("CREATE TABLE b.other AS SELECT * FROM b.t");
                run(fmt::format(
                    "INSERT INTO b.t{} SELECT * FROM b.other",
                    GetParam().identity ? " OVERRIDING SYSTEM VALUE" : ""
                ));
                run("TRUNCATE b.t");
                run(fmt::format(
                    "INSERT INTO b.t{} SELECT * FROM b.other ORDER BY random()",
                    GetParam().identity ? " OVERRIDING SYSTEM VALUE" : ""
                ));
                return run("DROP TABLE b.other");
            case 5:
                session_.reset();
                return reconnect();
            case 6:
                begin();
                ASSERT_TRUE(loop_.run(session_->truncate({{"b", "t"}}, false)));
                if (random_() % 2 == 0) {
                    copies_.assign(copies_.size(), 0);
                    return commit();
                }
                ASSERT_TRUE(loop_.run(session_->rollback()));
                return;
            default:
                return;
        }
    }

    Literals literals_{0};
};

// Spec
// Source: rules 22
TEST_P(RandomMappedWriteTest, TheTargetHoldsExactlyWhatItShould) {
    for (uint32_t seed = 1; seed <= 4 && !HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        start(seed);
        for (int i = 0; i < 60 && !HasFailure(); ++i) {
            SCOPED_TRACE(i);
            transaction();
            expect_exact();
            if (i % 3 == 2) {
                disturb();
            }
        }
        EXPECT_EQ(figures().hits > 0, GetParam().budget != kNoRowMapBudget);
    }
}

constexpr const char* kParts = "PARTITION BY HASH (k1)";

INSTANTIATE_TEST_SUITE_P(
    Ways,
    RandomMappedWriteTest,
    ::testing::Values(
        Way{"AsText", SentForm::Text, ""},
        Way{"InBinary", SentForm::Binary, ""},
        Way{"Mixed", SentForm::Mixed, ""},
        Way{"PartitionedAsText", SentForm::Text, kParts},
        Way{"PartitionedInBinary", SentForm::Binary, kParts},
        Way{"IdentityMixed", SentForm::Mixed, "", true},
        Way{"OverTheBudget", SentForm::Binary, "", false, kNoRowMapBudget},
        Way{"PartitionedOverTheBudget", SentForm::Mixed, kParts, false, kNoRowMapBudget}
    ),
    [](const auto& way) { return way.param.name; }
);

}  // namespace
}  // namespace qiao::drivers::postgres
