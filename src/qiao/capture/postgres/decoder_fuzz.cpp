#include "qiao/capture/postgres/decoder.h"

#include "qiao/common/assert.h"

namespace {

using namespace qiao;
using namespace qiao::capture::postgres;

/// Touches every byte of a tuple, so that a view outside the message is seen by a sanitizer.
void walk(const model::Tuple& tuple) {
    size_t columns = 0;
    unsigned sum = 0;
    if (tuple.empty()) {
        return;
    }
    tuple.for_each([&](size_t, const model::Value& value) {
        ++columns;
        for (const auto byte : value.bytes) {
            sum += std::to_integer<unsigned>(byte);
        }
    });
    QIAO_ASSERT(columns == tuple.column_count() && sum + 1 != 0);
}

void look(const Message& message) {
    if (const auto* insert = std::get_if<InsertMessage>(&message)) {
        walk(insert->new_row);
    } else if (const auto* update = std::get_if<UpdateMessage>(&message)) {
        walk(update->old_row);
        walk(update->new_row);
    } else if (const auto* gone = std::get_if<DeleteMessage>(&message)) {
        walk(gone->old_row);
    }
}

}  // namespace

/// Input: a byte that says how the session streams, then messages, each after a u16 length. A bare
/// recorded message is reached through the second half.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto input = std::as_bytes(std::span(data, size));
    ByteReader in(input);
    const auto streaming = static_cast<Decoder::Streaming>(in.get<uint8_t>() % 3);
    Decoder decoder(streaming);
    while (in.ok() && !in.at_end()) {
        const auto bytes = to_bytes(in.take(in.get<uint16_t>()));
        if (const auto message = decoder.decode(bytes)) {
            look(*message);
        }
    }
    if (const auto message = Decoder().decode(input)) {
        look(*message);
    }
    return 0;
}
