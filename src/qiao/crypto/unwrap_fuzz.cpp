// Foreign bytes as a wrapped data key, by a receiver of each kind. Only the golden envelopes open.

#include "qiao/common/assert.h"
#include "qiao/crypto/data_key.h"
#include "qiao/crypto/golden_keys_test.h"

namespace qiao::crypto {
namespace {

void check(SuiteId suite, const PrivateKey& receiver, ByteView wrapped, std::string_view golden) {
    const auto opened = unwrap(*find_suite(suite), golden::key_id(), wrapped, receiver);
    QIAO_ASSERT(opened.has_value() == (to_hex(wrapped) == golden));
    QIAO_ASSERT(opened || opened.error().is(ErrorCode::CryptoWrongKey));
}

void check_all(ByteView wrapped) {
    static const auto sm2 = PrivateKey::from_pem(Secret(golden::kSm2Private)).value();
    static const auto p256 = PrivateKey::from_pem(Secret(golden::kP256Private)).value();
    check(SuiteId::Gm, *sm2, wrapped, golden::kSm2Wrapped);
    check(SuiteId::Intl, *p256, wrapped, golden::kP256Wrapped);
}

}  // namespace
}  // namespace qiao::crypto

// NOLINTNEXTLINE(readability-identifier-naming): the engine's name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    qiao::crypto::check_all(std::as_bytes(std::span(data, size)));
    return 0;
}
