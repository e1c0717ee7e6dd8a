#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Where a row version lies: a table or a partition (tableoid), and a line of a page (ctid).
struct Place {
    uint32_t leaf = 0;
    uint32_t block = 0;
    uint16_t line = 0;
    bool operator==(const Place&) const = default;
};

/// Digest of a row → the places where such rows lie, each as often as it was put in. Any number of
/// places can have one digest; putting in and taking out cost the same then. Grows bucket by bucket
/// in small pieces, so that it never holds two copies of itself: about 26 bytes a place.
/// A place of the 65 536th and further leaves is not kept. Spec: R-24. Source: rules 22
class RowMap {
public:
    void put(uint64_t digest, const Place& place);

    /// The place put in last of those of this digest; it is in the map no more.
    std::optional<Place> take(uint64_t digest);

    bool contains(uint64_t digest) const { return find(digest) != kNone; }

    size_t size() const { return size_; }

    /// Memory held, by allocation.
    size_t bytes() const;

private:
    static constexpr uint32_t kNone = UINT32_MAX;
    static constexpr size_t kPiece = 256;

    struct Node {
        uint64_t digest = 0;
        uint32_t block = 0;
        uint16_t line = 0;
        uint16_t leaf = 0;        ///< index into leaves_
        uint32_t next = kNone;    ///< of the bucket, another digest; of a free node: the next free
        uint32_t equals = kNone;  ///< more places of this digest
    };

    static_assert(sizeof(Node) == 24);

    /// An array in pieces that never move.
    template <class T>
    class Pieces {
    public:
        T& operator[](size_t i) { return (*pieces_[i / kPiece])[i % kPiece]; }

        const T& operator[](size_t i) const { return (*pieces_[i / kPiece])[i % kPiece]; }

        void add(const T& value) {
            if (size_ % kPiece == 0) {
                pieces_.push_back(std::make_unique<std::array<T, kPiece>>());
            }
            (*this)[size_++] = value;
        }

        size_t size() const { return size_; }

        size_t bytes() const {
            return pieces_.size() * sizeof(T) * kPiece + pieces_.capacity() * sizeof(void*);
        }

    private:
        std::vector<std::unique_ptr<std::array<T, kPiece>>> pieces_;
        size_t size_ = 0;
    };

    size_t bucket_of(uint64_t digest) const;
    uint32_t find(uint64_t digest) const;
    std::optional<uint16_t> leaf_index(uint32_t leaf);
    uint32_t new_node();
    void free_node(uint32_t node);
    void unlink(uint32_t node);
    /// Linear hashing: the next bucket in turn gives half of what it holds to a new one.
    void split();

    Pieces<Node> nodes_;
    Pieces<uint32_t> buckets_;
    std::vector<uint32_t> leaves_;
    std::unordered_map<uint32_t, uint16_t> leaf_indexes_;
    uint32_t free_ = kNone;
    size_t size_ = 0;
    size_t digests_ = 0;
    size_t round_ = 1;  ///< buckets at the begin of this round of splits; a power of two
};

}  // namespace qiao::drivers::postgres::internal
