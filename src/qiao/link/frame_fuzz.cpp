// Foreign bytes as a peer may send them: cut into frames and decoded. What is taken must come back
// from its own encoding.

#include "qiao/link/frame.h"

#include "qiao/common/assert.h"

#include <concepts>
#include <optional>

namespace {

using namespace qiao;
using namespace qiao::link;

struct Encode {
    OutFrame operator()(const SkippedFrame& /*frame*/) const { return {}; }

    template <class AnyFrame>
    OutFrame operator()(const AnyFrame& frame) const {
        return encode(frame);
    }
};

struct Same {
    template <class Left, class Right>
    bool operator()(const Left& /*left*/, const Right& /*right*/) const {
        return false;
    }

    template <std::equality_comparable AnyFrame>
    bool operator()(const AnyFrame& left, const AnyFrame& right) const {
        return left == right;
    }
};

/// The frame at the front of `reader`; none when its length is refused or not all of it is there.
std::optional<RawFrame> cut_frame(ByteReader& reader) {
    const auto length = reader.get<uint32_t>();
    RawFrame raw;
    raw.type = reader.get<uint8_t>();
    const auto fields = field_bytes(raw.type);
    if (!reader.ok() || length < fields || length > payload_bytes_max(raw.type)) {
        return std::nullopt;
    }
    raw.fields = to_bytes(reader.take(fields));
    raw.body = to_bytes(reader.take(length - fields));
    return reader.ok() ? std::optional(std::move(raw)) : std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    ByteReader reader(std::as_bytes(std::span(data, size)));
    while (auto raw = cut_frame(reader)) {
        const auto frame = decode(*std::move(raw));
        if (!frame || std::holds_alternative<SkippedFrame>(*frame)) {
            continue;
        }
        const auto written = std::visit(Encode{}, *frame);
        auto whole = written.head;
        whole.insert(whole.end(), written.body.begin(), written.body.end());
        ByteReader again(whole);
        const auto back = decode(cut_frame(again).value());
        QIAO_ASSERT(back.has_value() && std::visit(Same{}, *frame, *back));
    }
    return 0;
}
