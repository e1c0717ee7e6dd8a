#include "qiao/drivers/postgres/structure/structure_fixture.h"

#include <algorithm>
#include <sstream>

namespace qiao::drivers::postgres {
namespace {

/// The statements of a dump.
std::set<std::string> statements_of(const std::string& dump) {
    std::set<std::string> list;
    for (size_t begin = 0; begin < dump.size();) {
        const auto end = std::min(dump.find(";\n", begin), dump.size());
        list.insert(dump.substr(begin, end - begin));
        begin = end + 2;
    }
    return list;
}

bool has_any(const std::string& statement, std::initializer_list<const char*> words) {
    return std::ranges::any_of(words, [&statement](const char* word) {
        return statement.find(word) != std::string::npos;
    });
}

/// What of a dump must be the same at both ends: all that belongs to tables, but for what the
/// structure says itself that it changes or leaves out.
class Expected {
public:
    explicit Expected(const Structure& structure) {
        for (const auto& entry : structure.left_out) {
            const auto name = entry.object.substr(0, entry.object.find(" of "));
            if (entry.kind == "inheritance" || entry.kind == "typed table") {
                changed_.insert(name);
            } else if (entry.kind == "table") {
                absent_.insert(name);
            }
        }
    }

    bool at_both_ends(const std::string& statement) const {
        if (statement.starts_with("CREATE MATERIALIZED") || mentions(statement, absent_) ||
            has_any(statement, {"ROW LEVEL SECURITY", " TRIGGER", " RULE ", "LOGGED\n"})) {
            return false;
        }
        const bool shape = statement.starts_with("CREATE TABLE") ||
                           has_any(statement, {"SET DEFAULT", " CHECK (", "GENERATED"});
        return !shape || !mentions(statement, changed_);
    }

private:
    static bool mentions(const std::string& statement, const std::set<std::string>& names) {
        return std::ranges::any_of(names, [&statement](const std::string& name) {
            const auto at = statement.find(" " + name);
            return at != std::string::npos &&
                   std::string("\n (.").find(statement[at + 1 + name.size()]) != std::string::npos;
        });
    }

    std::set<std::string> changed_;
    std::set<std::string> absent_;
};

bool is_of_table(const std::string& statement) {
    return std::ranges::any_of(
        std::initializer_list<const char*>{
            "ALTER TABLE",
            "CREATE TABLE",
            "CREATE UNLOGGED TABLE",
            "CREATE INDEX",
            "CREATE UNIQUE INDEX",
            "ALTER INDEX",
            "CREATE STATISTICS"
        },
        [&statement](const char* word) { return statement.starts_with(word); }
    );
}

class SampleTest : public StructureTest {
protected:
    void expect_sample_arrives(const std::string& database);
};

void SampleTest::expect_sample_arrives(const std::string& database) {
    const auto sample_url = url_of(0, database);
    source_ = connect(sample_url);
    const auto tables = all_tables();
    EXPECT_GT(tables.size(), 50U);
    auto structure = read(tables);
    create(structure, StructurePhase::BeforeLoad);
    create(structure, StructurePhase::AfterLoad);

    // Materialized views have indexes too, and are no tables.
    const auto views =
        ask(*source_,
            "SELECT string_agg(format(' --exclude-table=%I.%I', n.nspname, c.relname), '') "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm'");
    const auto source = statements_of(dump(sample_url, views));
    const auto target = statements_of(dump(target_url_));
    const Expected expected(structure);
    for (const auto& statement : target) {
        const bool changed = has_any(statement, {"CREATE SEQUENCE", "AS IDENTITY"});
        if (expected.at_both_ends(statement) && !changed && !source.contains(statement)) {
            ADD_FAILURE() << "not at the source: " << statement;
        }
    }
    for (const auto& statement : source) {
        if (is_of_table(statement) && expected.at_both_ends(statement) &&
            !target.contains(statement)) {
            ADD_FAILURE() << "not at the target: " << statement;
        }
    }
}

TEST_F(SampleTest, BringsSchemasThatNobodyHereDesigned) {
    const auto* names = std::getenv("QIAO_SAMPLE_DATABASES");
    if (names == nullptr) {
        GTEST_SKIP() << "wants databases loaded by tools/sample_schemas.py on the first server";
    }
    std::istringstream list(names);
    for (std::string database; std::getline(list, database, ',');) {
        must(*connect(url_of(1, "postgres")), "DROP DATABASE IF EXISTS sample_" + database);
        must(
            *connect(url_of(1, "postgres")),
            "CREATE DATABASE sample_" + database + " TEMPLATE template0"
        );
        target_url_ = url_of(1, "sample_" + database);
        target_ = connect(target_url_);
        expect_sample_arrives(database);
    }
}

}  // namespace
}  // namespace qiao::drivers::postgres
