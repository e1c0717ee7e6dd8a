#include "qiao/common/rng.h"

#include "qiao/common/assert.h"

#include <sys/random.h>

namespace qiao {
namespace {

class SystemRng final : public Rng {
public:
    void fill(MutableByteView bytes) override {
        while (!bytes.empty()) {
            const auto got = getrandom(bytes.data(), bytes.size(), 0);
            QIAO_ASSERT(got > 0);
            bytes = bytes.subspan(static_cast<size_t>(got));
        }
    }
};

}  // namespace

Rng& system_rng() {
    static SystemRng rng;
    return rng;
}

}  // namespace qiao
