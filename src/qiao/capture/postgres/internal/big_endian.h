#pragma once

#include "qiao/common/bytes.h"

#include <algorithm>
#include <concepts>
#include <string_view>

namespace qiao::capture::postgres::internal {

/// The next integer in the server's byte order; zero and a bad reader past the end.
template <std::unsigned_integral T>
T big_endian(ByteReader& in) {
    T value = 0;
    for (const auto byte : in.take(sizeof(T))) {
        value = static_cast<T>(value << 8U | std::to_integer<T>(byte));
    }
    return value;
}

template <std::unsigned_integral T>
void append_big_endian(Bytes& out, T value) {
    for (size_t left = sizeof(T); left-- > 0;) {
        out.push_back(static_cast<std::byte>(value >> (8U * left)));
    }
}

/// Text up to its zero byte, which is passed; a bad reader when there is none.
inline std::string_view c_string(ByteReader& in) {
    const auto rest = in.rest();
    const auto zero = std::ranges::find(rest, std::byte{0});
    if (zero == rest.end()) {
        in.fail();
        return {};
    }
    const auto length = static_cast<size_t>(zero - rest.begin());
    return as_text(in.take(length + 1).first(length));
}

}  // namespace qiao::capture::postgres::internal
