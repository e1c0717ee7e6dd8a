#include "qiao/engine/carried_manifest.h"

#include <cstdlib>

/// Foreign bytes as the manifest of a carried load; what is taken must come out the same again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace qiao;
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto manifest = engine::CarriedManifest::decode(bytes);
    if (!manifest) {
        return 0;
    }
    const auto again = engine::CarriedManifest::decode(manifest->encode());
    if (!again || again->encode() != manifest->encode()) {
        std::abort();
    }
    return 0;
}
