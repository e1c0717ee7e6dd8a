#pragma once

#include "qiao/common/bytes.h"

#include <cstdint>

namespace qiao {

/// CRC-32C (Castagnoli) of `bytes`, going on from an earlier value. Tells damage, not forgery.
uint32_t crc32c(ByteView bytes, uint32_t before = 0);

}  // namespace qiao
