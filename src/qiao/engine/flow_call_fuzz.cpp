#include "qiao/engine/flow_target.h"

#include <cstdlib>

namespace {

template <class Decode, class Encode>
void same_again(qiao::ByteView bytes, const Decode& decode, const Encode& encode) {
    const auto taken = decode(bytes);
    if (!taken) {
        return;
    }
    const auto again = decode(encode(*taken));
    if (!again || encode(*again) != encode(*taken)) {
        std::abort();
    }
}

}  // namespace

/// Foreign bytes as what the two ends of a flow tell each other by calls; the first byte chooses.
/// What is taken must come out the same again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace qiao;
    using namespace qiao::engine;
    if (size == 0) {
        return 0;
    }
    const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    switch (data[0] % 4) {
        case 0:
            same_again(bytes, TargetState::decode, [](const auto& state) {
                return state.encode();
            });
            break;
        case 1:
            same_again(bytes, LoadSession::decode, [](const auto& load) { return load.encode(); });
            break;
        case 3:
            same_again(bytes, decode_sequences, encode_sequences);
            break;
        default:
            same_again(bytes, decode_tables, encode_tables);
            break;
    }
    return 0;
}
