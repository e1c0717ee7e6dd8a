#pragma once

#include "qiao/common/bytes.h"

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace qiao {

/// A number with a meaning: two kinds cannot be mixed by accident. Arithmetic is spelled out.
template <class Tag>
struct StrongNumber {
    uint64_t value = 0;
    auto operator<=>(const StrongNumber&) const = default;

    StrongNumber next() const { return {value + 1}; }
};

/// A fixed number of opaque bytes with a meaning.
template <class Tag, size_t N>
struct StrongBytes {
    static constexpr size_t kSize = N;
    std::array<std::byte, N> bytes{};

    auto operator<=>(const StrongBytes&) const = default;

    bool empty() const { return *this == StrongBytes{}; }

    ByteView view() const { return bytes; }

    std::string to_string() const { return to_hex(bytes); }

    static StrongBytes from(ByteView view) {
        StrongBytes id;
        if (view.size() == N) {
            std::ranges::copy(view, id.bytes.begin());
        }
        return id;
    }
};

/// A claim of unbroken history of one stream. Rules 1.
using Epoch = StrongNumber<struct EpochTag>;
/// The place of a packet within its epoch: 1, 2, 3 … Transport only; truth is the position.
/// Rules 2.
using Sequence = StrongNumber<struct SequenceTag>;

using StreamId = StrongBytes<struct StreamIdTag, 16>;
using TraceId = StrongBytes<struct TraceIdTag, 16>;
/// One start of one process; also the owner token of fencing. Rules 17.
using Incarnation = StrongBytes<struct IncarnationTag, 16>;
/// 32 bytes of SM3 or SHA-256, by the stream's suite.
using Digest = StrongBytes<struct DigestTag, 32>;
/// Names a data key without telling it.
using KeyId = StrongBytes<struct KeyIdTag, 16>;

/// Where a packet stands in a stream: compared epoch first.
struct StreamPoint {
    Epoch epoch;
    Sequence sequence;
    auto operator<=>(const StreamPoint&) const = default;
};

}  // namespace qiao

template <class Tag, size_t N>
struct std::hash<qiao::StrongBytes<Tag, N>> {
    size_t operator()(const qiao::StrongBytes<Tag, N>& id) const noexcept {
        size_t hash = 0;
        std::memcpy(&hash, id.bytes.data(), sizeof(hash));
        return hash;
    }
};
