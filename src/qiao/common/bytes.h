#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qiao {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;
using MutableByteView = std::span<std::byte>;

inline ByteView as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline Bytes to_bytes(ByteView view) { return Bytes(view.begin(), view.end()); }

/// The integer that begins at `at`, in the byte order of networks and of PostgreSQL.
template <std::unsigned_integral T>
T load_big_endian(const std::byte* at) {
    static_assert(std::endian::native == std::endian::little, "little-endian machines only");
    T value = 0;
    std::memcpy(&value, at, sizeof(value));
    return std::byteswap(value);
}

template <std::unsigned_integral T>
void store_big_endian(std::byte* at, T value) {
    value = std::byteswap(value);
    std::memcpy(at, &value, sizeof(value));
}

/// Lower-case hexadecimal, two digits a byte.
std::string to_hex(ByteView bytes);

/// Appends fixed-width little-endian integers and length-prefixed fields to a buffer it owns.
/// The counterpart of ByteReader; every format of ours (packet, trail, link) is written with it.
class ByteWriter {
public:
    ByteWriter() = default;

    explicit ByteWriter(Bytes&& reuse) : bytes_(std::move(reuse)) {}

    template <std::unsigned_integral T>
    void put(T value) {
        const auto little = to_little(value);
        append(std::as_bytes(std::span(&little, 1)));
    }

    /// Overwrites an integer written before, for lengths known only at the end.
    template <std::unsigned_integral T>
    void patch(size_t offset, T value) {
        const auto little = to_little(value);
        std::memcpy(bytes_.data() + offset, &little, sizeof(little));
    }

    void append(ByteView view) { bytes_.insert(bytes_.end(), view.begin(), view.end()); }

    /// u32 length, then the bytes.
    void put_sized(ByteView view) {
        put(static_cast<uint32_t>(view.size()));
        append(view);
    }

    void put_sized(std::string_view text) { put_sized(as_bytes(text)); }

    /// Drops what was written from `size` on.
    void truncate(size_t size) { bytes_.resize(size); }

    size_t size() const { return bytes_.size(); }

    ByteView view() const { return bytes_; }

    Bytes take() && { return std::move(bytes_); }

private:
    template <std::unsigned_integral T>
    static T to_little(T value) {
        static_assert(std::endian::native == std::endian::little, "little-endian machines only");
        return value;
    }

    Bytes bytes_;
};

/// Reads what ByteWriter wrote, from bytes that may be foreign. Never reads past the end: the
/// first read that would turns the reader bad for good, and it then yields zeros and empty views.
/// Check ok() once after a group of reads.
class ByteReader {
public:
    explicit ByteReader(ByteView bytes) : rest_(bytes) {}

    template <std::unsigned_integral T>
    T get() {
        const auto view = take(sizeof(T));
        T value = 0;
        if (view.size() == sizeof(T)) {
            std::memcpy(&value, view.data(), sizeof(T));
        }
        return value;
    }

    /// The next `count` bytes, a view into the input.
    ByteView take(size_t count) {
        if (count > rest_.size()) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        const auto head = rest_.first(count);
        rest_ = rest_.subspan(count);
        return head;
    }

    ByteView get_sized() { return take(get<uint32_t>()); }

    std::string_view get_text() { return as_text(get_sized()); }

    bool ok() const { return ok_; }

    bool at_end() const { return rest_.empty(); }

    ByteView rest() const { return rest_; }

    /// For decoders that find a value out of range: bad for good, like a short read.
    void fail() {
        ok_ = false;
        rest_ = {};
    }

private:
    ByteView rest_;
    bool ok_ = true;
};

}  // namespace qiao
