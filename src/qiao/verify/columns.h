#pragma once

#include "qiao/verify/part.h"
#include "qiao/verify/report.h"
#include "qiao/verify/side.h"

#include <string>
#include <vector>

namespace qiao::verify {

/// Two tables to be compared.
struct TablePair {
    model::TableName source, target;
    std::vector<std::string> columns;  ///< to compare, by name; empty: all
    Part part{};
};

/// How both sides read a pair of tables.
struct Plan {
    TableSpec source, target;
    model::TableSchema source_schema;  ///< by the source's catalogue
    std::vector<ColumnFinding> findings;
};

struct MatchOptions {
    bool skip_generated = false;
    RunKey run_key;
};

/// Matches the columns of both tables by name. A column is compared in binary form only if both
/// catalogues call it safe and name the same type; key columns always as text, so that a person
/// can read them and either side can look them up. A table whose source names no key, or one that
/// is not wholly compared, is compared as a multiset of rows.
/// Errors: verify.nothing_comparable. Spec: R-35
Result<Plan> match_columns(
    const TablePair& pair,
    const drivers::TableReader::Shape& source,
    const drivers::TableReader::Shape& target,
    const MatchOptions& options
);

}  // namespace qiao::verify
