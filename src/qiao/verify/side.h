#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/table_reader.h"
#include "qiao/verify/digest.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::verify {

/// Buckets of one pass: 65,536 of 24 bytes are the most that a side keeps or sends.
constexpr uint8_t kBucketBits = 16;
constexpr size_t kBucketsMax = size_t{1} << kBucketBits;
constexpr uint8_t kBitsMax = 48;
/// Rows of a listing; a side refuses to list more at once.
constexpr uint32_t kListRowsMax = 1'000'000;
constexpr size_t kLookRowsMax = 50'000;

/// How one side reads a table for one run: the same columns in the same order and forms on both
/// sides, under each side's own names.
struct TableSpec {
    model::TableName table;
    std::vector<drivers::CanonicalColumn> columns;
    std::vector<uint16_t> key;   ///< ascending places in `columns`; empty: rows have no key
    std::string version_column;  ///< as in TableReader::Shape; empty: none
    RunKey run_key;
    drivers::TablePart part;  ///< the rows to read, unless they are looked up by key

    bool keyless() const { return key.empty(); }
};

struct SettleRequest {
    model::TableName table;
    drivers::RangeWanted wanted;
};

struct CountRequest {
    model::TableName table;
    drivers::TablePart part;
};

struct Counted {
    model::SourcePosition position;  ///< of the snapshot
    uint64_t rows = 0;
};

/// Sums of the buckets of `bits` bits that lie in the buckets `within` of `within_bits` bits. All
/// rows of the part are bucket 0 of 0 bits.
struct SumRequest {
    TableSpec spec;
    uint8_t bits = kBucketBits;
    uint8_t within_bits = 0;
    std::vector<uint64_t> within = {0};  ///< ascending
};

struct Bucket {
    uint64_t id = 0;
    Fold rows;
};

struct Summed {
    model::SourcePosition position;
    uint64_t rows = 0;            ///< of the whole part
    std::vector<Bucket> buckets;  ///< ascending, without empty ones
};

/// The rows of some buckets.
struct ListRequest {
    TableSpec spec;
    uint8_t bits = 0;
    std::vector<uint64_t> buckets;  ///< ascending
    uint32_t rows_max = kListRowsMax;
};

/// All rows of one key (one, unless the database has no unique key), or of one row digest.
struct Entry {
    RowDigest key;
    Fold rows;
};

struct Listed {
    bool overflow = false;       ///< more than asked for; the entries mean nothing
    std::vector<Entry> entries;  ///< ascending by key
};

/// A row to be looked at again. Without `key` it is found by reading the whole table.
struct Wanted {
    RowDigest digest;
    Bytes key;  ///< tuple of the key columns in their canonical form
};

struct LookRequest {
    TableSpec spec;
    std::vector<Wanted> rows;
};

struct Seen {
    Fold rows;
    /// Of the versions of the rows: the same twice, and nobody wrote them in between. 0: not known.
    uint64_t version = 0;
    /// Digest of each column, when the rows that were met are one row, or copies of one.
    std::vector<uint64_t> columns;
};

struct Looked {
    model::SourcePosition position;
    std::vector<Seen> rows;  ///< in the order asked for
};

/// One database as the comparison sees it; in this process or across a link. Row values never pass
/// here: counts and keyed digests do, and the keys of rows that were seen to differ. One call at a
/// time. Every call has a snapshot of its own, and may be repeated. Spec: R-35. Source: design 3.10
class Side {
public:
    virtual ~Side() = default;

    virtual Task<Result<drivers::TableReader::Shape>> describe(
        model::TableName table, StopSignal& stop
    ) = 0;
    /// A range as both sides are to read it; see TableReader::settle_range().
    virtual Task<Result<drivers::RowRange>> settle(SettleRequest request, StopSignal& stop) = 0;
    virtual Task<Result<Counted>> count(CountRequest request, StopSignal& stop) = 0;
    virtual Task<Result<Summed>> sum(SumRequest request, StopSignal& stop) = 0;
    virtual Task<Result<Listed>> list(ListRequest request, StopSignal& stop) = 0;
    /// Keys of rows of the last list(), which the side still holds; empty where it does not.
    virtual Task<Result<std::vector<Bytes>>> keys(
        std::vector<RowDigest> digests, StopSignal& stop
    ) = 0;
    virtual Task<Result<Looked>> look(LookRequest request, StopSignal& stop) = 0;
    /// Every commit that a call before has seen lies at or before it.
    virtual Task<Result<model::SourcePosition>> position(StopSignal& stop) = 0;
};

}  // namespace qiao::verify
