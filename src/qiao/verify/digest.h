#pragma once

#include "qiao/common/id.h"
#include "qiao/common/rng.h"
#include "qiao/model/tuple.h"

#include <cstdint>
#include <vector>

namespace qiao::verify {

/// The secret of one run's digests, chosen by whoever compares and told to both sides. Digests of
/// two runs have nothing in common, so that kept reports tell nobody which values were equal.
using RunKey = StrongBytes<struct RunKeyTag, 192>;

/// XXH3-128 under the run's key: a keyed, non-cryptographic hash. It finds what failed, between
/// ends that are honest; it is no proof against an end that forges. docs/adr/0012-verification.md
using RowDigest = StrongBytes<struct RowDigestTag, 16>;

/// A multiset of row digests: how many, and their sum modulo 2^128. The order does not matter, and
/// unlike with XOR a pair of equal rows does not cancel out. Spec: R-35
struct Fold {
    uint64_t count = 0;
    uint64_t low = 0, high = 0;

    bool operator==(const Fold&) const = default;

    void add(const RowDigest& row);
    void add(const Fold& other);
};

/// The first `bits` bits of a digest: the bucket that it falls into. At most 48 bits.
uint64_t bucket_of(const RowDigest& digest, uint8_t bits);

/// Digests of rows under one run's key. Keeps a buffer: one for each scan.
class Digester {
public:
    explicit Digester(const RunKey& key) : key_(key) {}

    /// Over all columns with their null marks and lengths: NULL and '' differ, and so do
    /// ('ab','c') and ('a','bc'), and values that changed places.
    RowDigest row(const model::Tuple& row) const;

    /// Over the columns of the key, in the order of the row. `columns`: ascending places.
    RowDigest key(const model::Tuple& row, const std::vector<uint16_t>& columns);

    /// Of each column alone, to name those that differ; bound to the column's place.
    std::vector<uint64_t> columns(const model::Tuple& row);

    /// Of a value that is not compared; never 0.
    uint64_t version(const model::Value& value);

private:
    void append(const model::Value& value);

    RunKey key_;
    Bytes buffer_;
};

/// The columns of a key out of a row, as a tuple. `columns`: ascending places.
Bytes key_tuple(const model::Tuple& row, const std::vector<uint16_t>& columns);

}  // namespace qiao::verify
