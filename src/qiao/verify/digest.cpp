#include "qiao/verify/digest.h"

#include "qiao/common/assert.h"

#include <xxhash.h>

namespace qiao::verify {
namespace {

static_assert(RunKey::kSize >= XXH3_SECRET_SIZE_MIN);
constexpr unsigned kBitsOfByte = 8;
constexpr unsigned kBitsOfNumber = 64;

RowDigest digest(ByteView bytes, const RunKey& key) {
    const auto hash =
        XXH3_128bits_withSecret(bytes.data(), bytes.size(), key.bytes.data(), RunKey::kSize);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    return RowDigest::from(std::as_bytes(std::span(canonical.digest)));
}

/// Eight bytes as a number, the first the most significant.
uint64_t big_endian(ByteView bytes) {
    uint64_t value = 0;
    for (const auto byte : bytes) {
        value = value << kBitsOfByte | std::to_integer<uint64_t>(byte);
    }
    return value;
}

void append_length(Bytes& out, uint64_t length) {
    const auto bytes = std::as_bytes(std::span(&length, 1));
    out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace

void Fold::add(const Fold& other) {
    count += other.count;
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
}

void Fold::add(const RowDigest& row) {
    const auto bytes = row.view();
    constexpr size_t kHalf = RowDigest::kSize / 2;
    add(Fold{1, big_endian(bytes.subspan(kHalf)), big_endian(bytes.first(kHalf))});
}

uint64_t bucket_of(const RowDigest& digest, uint8_t bits) {
    const auto prefix = big_endian(digest.view().first(sizeof(uint64_t)));
    return bits == 0 ? 0 : prefix >> (kBitsOfNumber - bits);
}

RowDigest Digester::row(const model::Tuple& row) const {
    // A tuple's own bytes hold count, kinds and lengths: no two rows have the same.
    return digest(row.bytes(), key_);
}

void Digester::append(const model::Value& value) {
    buffer_.push_back(static_cast<std::byte>(value.kind));
    append_length(buffer_, value.bytes.size());
    buffer_.insert(buffer_.end(), value.bytes.begin(), value.bytes.end());
}

RowDigest Digester::key(const model::Tuple& row, const std::vector<uint16_t>& columns) {
    buffer_.clear();
    size_t next = 0;
    row.for_each([&](size_t place, const model::Value& value) {
        if (next < columns.size() && columns[next] == place) {
            append(value);
            ++next;
        }
    });
    QIAO_ASSERT(next == columns.size());
    return digest(buffer_, key_);
}

std::vector<uint64_t> Digester::columns(const model::Tuple& row) {
    std::vector<uint64_t> digests;
    digests.reserve(row.column_count());
    row.for_each([&](size_t place, const model::Value& value) {
        buffer_.clear();
        append_length(buffer_, place);
        append(value);
        digests.push_back(
            XXH3_64bits_withSecret(buffer_.data(), buffer_.size(), key_.bytes.data(), RunKey::kSize)
        );
    });
    return digests;
}

uint64_t Digester::version(const model::Value& value) {
    buffer_.clear();
    append(value);
    const auto hash =
        XXH3_64bits_withSecret(buffer_.data(), buffer_.size(), key_.bytes.data(), RunKey::kSize);
    return hash == 0 ? 1 : hash;
}

Bytes key_tuple(const model::Tuple& row, const std::vector<uint16_t>& columns) {
    model::TupleBuilder builder(static_cast<uint16_t>(columns.size()));
    size_t next = 0;
    row.for_each([&](size_t place, const model::Value& value) {
        if (next < columns.size() && columns[next] == place) {
            builder.add(value);
            ++next;
        }
    });
    return std::move(builder).take();
}

}  // namespace qiao::verify
