#pragma once

#include "qiao/verify/side.h"

#include <vector>

namespace qiao::verify::internal {

/// Rows gathered by key digest while a table is scanned, in bounded memory, with their keys for a
/// later look. Equal digests are folded together when room runs out, so that a million copies of
/// one row take the room of one.
class Listing {
public:
    /// @param rows_max distinct key digests that are kept.
    explicit Listing(size_t rows_max) : rows_max_(rows_max) {}

    /// `key`: empty for rows without one. Ignored after an overflow.
    void add(const RowDigest& key_digest, const RowDigest& row_digest, const Bytes& key);

    /// No more rows come. Ascending by key digest.
    std::vector<Entry> finish();

    bool overflow() const { return overflow_; }

    /// The key of a row, by its digest; empty when it is not here. After finish().
    ByteView key_of(const RowDigest& digest) const;

    /// Whether the keys still have room, so that the caller need not build one in vain.
    bool keeps_keys() const { return keys_.size() < kKeyBytesMax; }

private:
    static constexpr size_t kKeyBytesMax = size_t{64} << 20U;

    struct Kept {
        Entry entry;
        size_t key_at = 0;
        uint32_t key_bytes = 0;
    };

    void fold();

    size_t rows_max_;
    bool overflow_ = false;
    std::vector<Kept> rows_;
    Bytes keys_;
};

}  // namespace qiao::verify::internal
