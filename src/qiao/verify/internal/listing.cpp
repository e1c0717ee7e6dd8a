#include "qiao/verify/internal/listing.h"

#include <algorithm>

namespace qiao::verify::internal {

void Listing::add(const RowDigest& key_digest, const RowDigest& row_digest, const Bytes& key) {
    if (overflow_) {
        return;
    }
    // Twice the room that is asked for, so that folding is rare.
    if (rows_.size() >= 2 * rows_max_ + 2) {
        fold();
        overflow_ = rows_.size() > rows_max_;
    }
    if (overflow_) {
        rows_ = {};
        keys_ = {};
        return;
    }
    Kept kept;
    kept.entry.key = key_digest;
    kept.entry.rows.add(row_digest);
    kept.key_at = keys_.size();
    kept.key_bytes = static_cast<uint32_t>(key.size());
    keys_.insert(keys_.end(), key.begin(), key.end());
    rows_.push_back(kept);
}

void Listing::fold() {
    const auto by_key = [](const Kept& a, const Kept& b) { return a.entry.key < b.entry.key; };
    std::ranges::sort(rows_, by_key);
    size_t last = 0;
    for (size_t i = 1; i < rows_.size(); ++i) {
        if (rows_[i].entry.key == rows_[last].entry.key) {
            rows_[last].entry.rows.add(rows_[i].entry.rows);
        } else {
            rows_[++last] = rows_[i];
        }
    }
    rows_.resize(rows_.empty() ? 0 : last + 1);
}

std::vector<Entry> Listing::finish() {
    fold();
    overflow_ = overflow_ || rows_.size() > rows_max_;
    std::vector<Entry> entries;
    if (overflow_) {
        return entries;
    }
    entries.reserve(rows_.size());
    for (const auto& kept : rows_) {
        entries.push_back(kept.entry);
    }
    return entries;
}

ByteView Listing::key_of(const RowDigest& digest) const {
    const auto key = [](const Kept& kept) -> const RowDigest& { return kept.entry.key; };
    const auto place = std::ranges::lower_bound(rows_, digest, {}, key);
    if (place == rows_.end() || place->entry.key != digest) {
        return {};
    }
    return ByteView(keys_).subspan(place->key_at, place->key_bytes);
}

}  // namespace qiao::verify::internal
