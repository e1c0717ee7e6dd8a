#pragma once

#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/model/source_position.h"
#include "qiao/model/table.h"
#include "qiao/verify/part.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::verify {

/// What is compared: the number of rows, or every field of every row. Spec: R-35
enum class Level : uint8_t { Table, Field };

enum class Verdict : uint8_t { Equal, Different, CouldNotTell };

/// Why a table was not told to be equal or different.
enum class Doubt : uint8_t {
    None,
    Failed,      ///< an error: `TableReport::error`
    NotApplied,  ///< the target did not come to the source's position in time; `error` tells more
    Moving,      ///< rows, or their number, kept changing while they were looked at
    TooMany,     ///< more differs than was looked at in full, and nothing of that was confirmed
};

/// Something about the columns of the two tables.
struct ColumnFinding {
    enum class Kind : uint8_t {
        MissingAtTarget,  ///< counts as a difference
        MissingAtSource,  ///< counts as a difference
        TypesDiffer,      ///< compared as text
    };
    Kind kind = Kind::MissingAtTarget;
    std::string column;
    std::string source_type, target_type;
};

/// A column of a row's key and its value as text; no value: NULL.
struct KeyPart {
    std::string column;
    std::optional<std::string> value;
};

/// One confirmed difference. Holds no values but those of the key.
struct Difference {
    enum class Kind : uint8_t {
        MissingAtTarget,
        ExtraAtTarget,
        Differs,  ///< in `columns`; without a key: the rows nearest to each other
        Copies,   ///< rows that are the same, in another number
    };
    Kind kind = Kind::Differs;
    std::vector<KeyPart> key;          ///< empty: no key, or keys are withheld
    std::string row;                   ///< short digest; means something within this run only
    std::vector<std::string> columns;  ///< that differ, where it can be told
    uint64_t source_copies = 0, target_copies = 0;
};

/// How one table came out. Counts refer to rows; for a keyless table, to distinct rows.
struct TableReport {
    model::TableName source, target;
    Level level = Level::Field;
    Verdict verdict = Verdict::CouldNotTell;
    Doubt doubt = Doubt::None;
    std::optional<Error> error;

    /// The rows that all of this speaks of, the ends of a range as the source settled them.
    Part part;
    uint64_t source_rows = 0, target_rows = 0;  ///< of the part, in the snapshots that were read
    model::SourcePosition source_position;      ///< of the source's snapshot
    /// What is told holds as of here: the source was asked for it before its columns were looked
    /// up, and the target had applied it before its rows were read.
    model::SourcePosition as_of;

    uint64_t columns = 0;          ///< compared
    uint64_t buckets = 0;          ///< with rows in them
    uint64_t unequal_buckets = 0;  ///< at first sight
    uint64_t candidates = 0;       ///< rows that were looked at again
    uint64_t settled = 0;          ///< of them, those that turned out equal
    uint64_t confirmed = 0;        ///< and different
    uint64_t unsettled = 0;        ///< and neither: they kept changing
    uint64_t unexamined = 0;       ///< buckets that differed and were not looked into

    bool keyless = false;
    std::vector<ColumnFinding> findings;
    std::vector<Difference> differences;  ///< the first of `confirmed`
    double seconds = 0;
};

/// What `qiao verify` found. No row values; kept as evidence.
struct VerifyReport {
    Level level = Level::Field;
    WallTime started;
    std::vector<TableReport> tables;
    double seconds = 0;

    /// Different if any table is; else could not tell if any is.
    Verdict verdict() const;
    /// Whether all rows of every table were compared.
    bool whole() const;
    /// 0 equal, 1 different, 2 could not tell.
    int exit_code() const;
};

/// For people, several lines: every table with its differences by key and column.
std::string render(const VerifyReport& report, Language language);
std::string render(const TableReport& report, Language language);

/// One JSON object with the same content, the same in every language. Spec: R-35
std::string to_json(const VerifyReport& report);

}  // namespace qiao::verify
