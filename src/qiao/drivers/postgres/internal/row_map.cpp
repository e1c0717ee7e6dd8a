#include "qiao/drivers/postgres/internal/row_map.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace qiao::drivers::postgres::internal {
namespace {

/// Digests a bucket holds on average.
constexpr size_t kLoad = 2;

}  // namespace

size_t RowMap::bucket_of(uint64_t digest) const {
    // The server's hash of a row of one column is that column's, times and plus a little.
    const uint64_t mixed = (digest ^ digest >> 32U) * 0x9E3779B97F4A7C15U >> 24U;
    const size_t wide = mixed & (2 * round_ - 1);
    return wide < buckets_.size() ? wide : mixed & (round_ - 1);
}

uint32_t RowMap::find(uint64_t digest) const {
    if (size_ == 0) {
        return kNone;
    }
    auto node = buckets_[bucket_of(digest)];
    while (node != kNone && nodes_[node].digest != digest) {
        node = nodes_[node].next;
    }
    return node;
}

std::optional<uint16_t> RowMap::leaf_index(uint32_t leaf) {
    if (!leaves_.empty() && leaves_.back() == leaf) {
        return static_cast<uint16_t>(leaves_.size() - 1);
    }
    const auto known = leaf_indexes_.find(leaf);
    if (known != leaf_indexes_.end()) {
        return known->second;
    }
    if (leaves_.size() > std::numeric_limits<uint16_t>::max()) {
        return std::nullopt;
    }
    const auto index = static_cast<uint16_t>(leaves_.size());
    leaves_.push_back(leaf);
    leaf_indexes_.emplace(leaf, index);
    return index;
}

uint32_t RowMap::new_node() {
    if (free_ == kNone) {
        nodes_.add({});
        return static_cast<uint32_t>(nodes_.size() - 1);
    }
    const auto node = free_;
    free_ = nodes_[node].next;
    nodes_[node] = {};
    return node;
}

void RowMap::free_node(uint32_t node) { nodes_[node].next = std::exchange(free_, node); }

void RowMap::put(uint64_t digest, const Place& place) {
    const auto leaf = leaf_index(place.leaf);
    if (!leaf) {
        return;
    }
    if (buckets_.size() == 0) {
        buckets_.add(kNone);
    }
    const auto first = find(digest);
    const auto added = new_node();
    auto& node = nodes_[added];
    node.digest = digest;
    node.block = place.block;
    node.line = place.line;
    node.leaf = *leaf;
    ++size_;
    if (first != kNone) {
        node.equals = std::exchange(nodes_[first].equals, added);
        return;
    }
    node.next = std::exchange(buckets_[bucket_of(digest)], added);
    if (++digests_ > kLoad * buckets_.size()) {
        split();
    }
}

std::optional<Place> RowMap::take(uint64_t digest) {
    const auto first = find(digest);
    if (first == kNone) {
        return std::nullopt;
    }
    auto taken = nodes_[first].equals;
    if (taken != kNone) {
        nodes_[first].equals = nodes_[taken].equals;
    } else {
        taken = first;
        unlink(first);
        --digests_;
    }
    const auto& node = nodes_[taken];
    const Place place{leaves_[node.leaf], node.block, node.line};
    free_node(taken);
    --size_;
    return place;
}

void RowMap::unlink(uint32_t node) {
    auto* link = &buckets_[bucket_of(nodes_[node].digest)];
    while (*link != node) {
        link = &nodes_[*link].next;
    }
    *link = nodes_[node].next;
}

void RowMap::split() {
    const auto from = buckets_.size() - round_;
    buckets_.add(kNone);
    auto node = std::exchange(buckets_[from], kNone);
    while (node != kNone) {
        auto& bucket = buckets_[bucket_of(nodes_[node].digest)];
        const auto next = std::exchange(nodes_[node].next, bucket);
        bucket = std::exchange(node, next);
    }
    if (buckets_.size() == 2 * round_) {
        round_ *= 2;
    }
}

size_t RowMap::bytes() const {
    constexpr size_t kLeafBytes = 48;
    return nodes_.bytes() + buckets_.bytes() + leaves_.size() * kLeafBytes;
}

}  // namespace qiao::drivers::postgres::internal
