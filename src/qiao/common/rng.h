#pragma once

#include "qiao/common/bytes.h"

namespace qiao {

/// Chance as a seam. In production the kernel's cryptographic generator; from a seed in tests.
class Rng {
public:
    virtual ~Rng() = default;
    virtual void fill(MutableByteView bytes) = 0;

    template <class StrongId>
    StrongId make_id() {
        StrongId id;
        fill(id.bytes);
        return id;
    }

    uint64_t number() {
        uint64_t value = 0;
        fill(std::as_writable_bytes(std::span(&value, 1)));
        return value;
    }
};

/// The kernel's generator. Ends the process when the kernel has none to give.
Rng& system_rng();

}  // namespace qiao
