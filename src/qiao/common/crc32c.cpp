#include "qiao/common/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace qiao {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
    constexpr uint32_t kPolynomial = 0x82F63B78U;
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc & 1U) != 0 ? (crc >> 1U) ^ kPolynomial : crc >> 1U;
        }
        table[i] = crc;
    }
    return table;
}

uint32_t by_table(ByteView bytes, uint32_t crc) {
    static constexpr auto kTable = make_table();
    for (const auto byte : bytes) {
        crc = kTable[(crc ^ std::to_integer<uint32_t>(byte)) & 0xFFU] ^ (crc >> 8U);
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(ByteView bytes, uint32_t crc) {
    uint64_t wide = crc;
    while (bytes.size() >= sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data(), sizeof(word));
        wide = _mm_crc32_u64(wide, word);
        bytes = bytes.subspan(sizeof(word));
    }
    return by_table(bytes, static_cast<uint32_t>(wide));
}
#endif

}  // namespace

uint32_t crc32c(ByteView bytes, uint32_t before) {
    const uint32_t crc = ~before;
#if defined(__x86_64__)
    static const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
    if (kHasInstruction) {
        return ~by_instruction(bytes, crc);
    }
#endif
    return ~by_table(bytes, crc);
}

}  // namespace qiao
