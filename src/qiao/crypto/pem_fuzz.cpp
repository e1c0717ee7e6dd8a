// Foreign text wherever PEM is read: keys, certificates, a whole TLS identity. What is taken must
// come back from its own text.

#include "qiao/common/assert.h"
#include "qiao/crypto/certificate.h"
#include "qiao/crypto/private_key.h"
#include "qiao/crypto/tls_engine.h"

namespace qiao::crypto {
namespace {

void read_keys(std::string_view text) {
    if (const auto key = PrivateKey::from_pem(Secret(text))) {
        const auto again = PrivateKey::from_pem((*key)->to_pem().value());
        QIAO_ASSERT(again && (*again)->public_key()->to_pem() == (*key)->public_key()->to_pem());
    }
    if (const auto key = PublicKey::from_pem(text)) {
        const auto encrypted = (*key)->encrypt(Secret(std::string_view("secret")), {});
        QIAO_ASSERT(encrypted.has_value());
        QIAO_ASSERT(PublicKey::from_pem((*key)->to_pem()).has_value());
    }
}

void read_identity(const std::string& text) {
    (void)read_certificate(text);
    const IssuedCertificate both{.certificate_pem = text, .private_key_pem = Secret(text)};
    (void)issue_certificate(both, "node", {"localhost"}, WallTime{});
    (void)TlsContext::make(
        {.certificate_chain_pem = text, .private_key_pem = Secret(text), .trusted_ca_pem = text}
    );
}

}  // namespace
}  // namespace qiao::crypto

// NOLINTNEXTLINE(readability-identifier-naming): the engine's name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    qiao::crypto::read_keys(text);
    qiao::crypto::read_identity(text);
    return 0;
}
