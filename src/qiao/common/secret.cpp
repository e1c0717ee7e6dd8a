#include "qiao/common/secret.h"

#include <cstring>

namespace qiao {

void wipe(MutableByteView bytes) {
    if (!bytes.empty()) {
        explicit_bzero(bytes.data(), bytes.size());
    }
}

}  // namespace qiao
