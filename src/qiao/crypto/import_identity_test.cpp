#include "qiao/crypto/import_identity.h"

#include "qiao/crypto/certificate.h"
#include "qiao/crypto/internal/openssl.h"

#include <gtest/gtest.h>
#include <openssl/pkcs12.h>

namespace qiao::crypto {
namespace {

constexpr WallTime kNow{1'794'000'000'000'000};
const Secret kPassword("p\xC3\xA4ss");

struct Given {
    IssuedCertificate authority = make_authority("CA", kNow);
    IssuedCertificate node = issue_certificate(authority, "县民政 1", {"10.1.2.3"}, kNow).value();
    IssuedCertificate stranger = issue_certificate(authority, "other", {}, kNow).value();

    Bytes pkcs12(const Secret& password) const {
        const auto key = parse_private_key(node.private_key_pem.reveal_text()).value();
        const auto own = parse_certificate(node.certificate_pem).value();
        const auto above = parse_certificate(authority.certificate_pem).value();
        auto* others = sk_X509_new_null();
        sk_X509_push(others, above.get());
        auto* made = PKCS12_create(
            std::string(password.reveal_text()).c_str(),
            "node",
            key.get(),
            own.get(),
            others,
            0,
            0,
            0,
            0,
            0
        );
        sk_X509_free(others);
        unsigned char* der = nullptr;
        const auto size = i2d_PKCS12(made, &der);
        Bytes bytes(size > 0 ? static_cast<size_t>(size) : 0);
        std::memcpy(bytes.data(), der, bytes.size());
        OPENSSL_free(der);
        PKCS12_free(made);
        return bytes;
    }
};

Bytes file(std::string_view text) { return to_bytes(as_bytes(text)); }

Bytes encrypted(const Secret& key_pem, const Secret& password) {
    const auto key = parse_private_key(key_pem.reveal_text()).value();
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    const auto text = password.reveal_text();
    PEM_write_bio_PKCS8PrivateKey(
        bio.get(),
        key.get(),
        EVP_aes_256_cbc(),
        text.data(),
        static_cast<int>(text.size()),
        nullptr,
        nullptr
    );
    return to_bytes(written(bio.get()));
}

void expect_node(const Result<ImportedIdentity>& imported, const Given& given) {
    ASSERT_TRUE(imported) << imported.error().to_string();
    EXPECT_EQ(imported->name, "县民政 1");
    EXPECT_EQ(imported->certificate_pem, given.node.certificate_pem);
    EXPECT_EQ(imported->authorities_pem, given.authority.certificate_pem);
    const auto key = parse_private_key(imported->private_key_pem.reveal_text());
    const auto own = parse_certificate(imported->certificate_pem);
    ASSERT_TRUE(key && own);
    EXPECT_EQ(X509_check_private_key(own->get(), key->get()), 1);
}

// Spec: R-32
TEST(ImportIdentity, TakesPkcs12WithItsPassword) {
    const Given given;
    expect_node(import_identity({given.pkcs12(kPassword)}, kPassword), given);
    const auto refused = import_identity({given.pkcs12(kPassword)}, Secret("other"));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::CryptoBadIdentity));
}

TEST(ImportIdentity, TakesPemFilesInAnyOrderWithAnEncryptedKey) {
    const Given given;
    // As they come: the authority first, a stranger's certificate among them, lines that end as in
    // DOS.
    auto bundle = "Bag Attributes\r\n" + given.authority.certificate_pem +
                  given.stranger.certificate_pem + given.node.certificate_pem;
    for (size_t at = 0; (at = bundle.find('\n', at)) != std::string::npos; at += 2) {
        bundle.replace(at, 1, bundle[at - 1] == '\r' ? "\n\n" : "\r\n");
    }
    const auto key = encrypted(given.node.private_key_pem, kPassword);
    expect_node(import_identity({file(bundle), key}, kPassword), given);
    EXPECT_FALSE(import_identity({file(bundle), key}, Secret("other")));
}

TEST(ImportIdentity, KeepsWhatStandsBetweenTheNodeAndItsAuthority) {
    const auto root = make_authority("root", kNow);
    const auto node = issue_certificate(root, "node", {}, kNow).value();
    const auto all = root.certificate_pem + node.certificate_pem + root.certificate_pem;
    const auto key = to_bytes(node.private_key_pem.reveal());
    const auto imported = import_identity({file(all), key}, {});
    ASSERT_TRUE(imported) << imported.error().to_string();
    EXPECT_EQ(imported->certificate_pem, node.certificate_pem);
    EXPECT_EQ(imported->authorities_pem, root.certificate_pem);
}

TEST(ImportIdentity, SaysWhatIsMissing) {
    const Given given;
    const auto key = to_bytes(given.node.private_key_pem.reveal());
    EXPECT_FALSE(import_identity({}, {}));
    EXPECT_FALSE(import_identity({file(given.node.certificate_pem)}, {})) << "no key";
    EXPECT_FALSE(import_identity({key}, {})) << "no certificate";
    EXPECT_FALSE(import_identity({key, file(given.stranger.certificate_pem)}, {})) << "another's";
    EXPECT_FALSE(import_identity({file("nonsense")}, {}));
    const auto container = given.pkcs12(kPassword);
    for (size_t cut = 0; cut < container.size(); cut += 7) {
        EXPECT_FALSE(import_identity(
            {Bytes(container.begin(), container.begin() + static_cast<long>(cut))}, kPassword
        ));
    }
}

}  // namespace
}  // namespace qiao::crypto
