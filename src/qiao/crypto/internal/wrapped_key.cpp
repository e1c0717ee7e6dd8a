#include "qiao/crypto/internal/wrapped_key.h"

#include "qiao/common/assert.h"
#include "qiao/crypto/internal/suites.h"

#include <limits>

namespace qiao::crypto {
namespace {

constexpr uint8_t kVersion = 1;
// Numbers of the format, not of the enum. They never change.
constexpr uint8_t kSm2 = 1;
constexpr uint8_t kP256 = 2;

const Suite& suite_of(KeyKind kind) { return kind == KeyKind::Sm2 ? gm_suite() : intl_suite(); }

Bytes associated_data(ByteView head, ByteView context) {
    auto bytes = to_bytes(head);
    bytes.insert(bytes.end(), context.begin(), context.end());
    return bytes;
}

}  // namespace

Bytes seal_envelope(
    KeyKind kind,
    ByteView encapsulated,
    const Secret& one_time_key,
    const Secret& secret,
    ByteView context
) {
    QIAO_ASSERT(encapsulated.size() <= std::numeric_limits<uint16_t>::max());
    ByteWriter writer;
    writer.put(kVersion);
    writer.put(kind == KeyKind::Sm2 ? kSm2 : kP256);
    writer.put(static_cast<uint16_t>(encapsulated.size()));
    writer.append(encapsulated);
    const auto associated = associated_data(writer.view(), context);

    auto body = to_bytes(secret.reveal());
    const auto tag = suite_of(kind).make_aead(one_time_key)->seal(Nonce{}, associated, body);
    writer.append(body);
    writer.append(tag);
    return std::move(writer).take();
}

Result<WrappedKey> parse_envelope(ByteView bytes) {
    ByteReader reader(bytes);
    const auto version = reader.get<uint8_t>();
    const auto number = reader.get<uint8_t>();
    WrappedKey envelope;
    envelope.encapsulated = reader.take(reader.get<uint16_t>());
    if (!reader.ok() || reader.rest().size() < kTagBytes) {
        return Error(ErrorCode::CryptoWrongKey, "wrapped key: cut short");
    }
    if (version != kVersion) {
        return Error(ErrorCode::CryptoWrongKey, "wrapped key: unknown version");
    }
    if (number != kSm2 && number != kP256) {
        return Error(ErrorCode::CryptoWrongKey, "wrapped key: unknown kind");
    }
    envelope.kind = number == kSm2 ? KeyKind::Sm2 : KeyKind::P256;
    envelope.head = bytes.first(bytes.size() - reader.rest().size());
    envelope.sealed = reader.rest().first(reader.rest().size() - kTagBytes);
    envelope.tag = reader.rest().last(kTagBytes);
    return envelope;
}

Result<Secret> open_envelope(
    const WrappedKey& envelope, const Secret& one_time_key, ByteView context
) {
    const auto associated = associated_data(envelope.head, context);
    Tag tag{};
    std::ranges::copy(envelope.tag, tag.begin());
    auto body = to_bytes(envelope.sealed);
    const auto aead = suite_of(envelope.kind).make_aead(one_time_key);
    if (!aead->open(Nonce{}, associated, body, tag)) {
        return Error(
            ErrorCode::CryptoWrongKey, "wrapped key: altered, or made for another purpose"
        );
    }
    return Secret(std::move(body));
}

}  // namespace qiao::crypto
