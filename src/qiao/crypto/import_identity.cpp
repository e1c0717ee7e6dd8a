#include "qiao/crypto/import_identity.h"

#include "qiao/common/assert.h"
#include "qiao/crypto/internal/openssl.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include <algorithm>
#include <cstring>

namespace qiao::crypto {
namespace {

using OwnedPkcs12 = std::unique_ptr<PKCS12, FreeWith<PKCS12_free>>;

struct CertificateStackFree {
    void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};

using OwnedStack = std::unique_ptr<STACK_OF(X509), CertificateStackFree>;

struct Found {
    OwnedKey key;
    std::vector<OwnedCertificate> certificates;
};

int give_password(char* into, int room, int /*writing*/, void* user) {
    const auto text = static_cast<const Secret*>(user)->reveal_text();
    const auto length = std::min(text.size(), static_cast<size_t>(room));
    std::memcpy(into, text.data(), length);
    return static_cast<int>(length);
}

Status take_pkcs12(const PKCS12* container, const Secret& password, Found& found) {
    std::string text(password.reveal_text());
    EVP_PKEY* key = nullptr;
    X509* own = nullptr;
    STACK_OF(X509)* others = nullptr;
    const auto parsed =
        PKCS12_parse(const_cast<PKCS12*>(container), text.c_str(), &key, &own, &others);
    wipe(MutableByteView(reinterpret_cast<std::byte*>(text.data()), text.size()));
    if (parsed != 1) {
        return openssl_error(ErrorCode::CryptoBadIdentity, "PKCS#12: wrong password, or damaged");
    }
    if (key != nullptr) {
        found.key.reset(key);
    }
    if (own != nullptr) {
        found.certificates.emplace_back(own);
    }
    const OwnedStack stack(others);
    while (stack && sk_X509_num(stack.get()) > 0) {
        found.certificates.emplace_back(sk_X509_shift(stack.get()));
    }
    return {};
}

Status take_pem(std::string_view text, const Secret& password, Found& found) {
    const auto certificates = read_bio(text);
    while (auto* one = PEM_read_bio_X509(certificates.get(), nullptr, no_passphrase, nullptr)) {
        found.certificates.emplace_back(one);
    }
    ERR_clear_error();
    if (text.find("PRIVATE KEY-----") == std::string_view::npos) {
        return {};
    }
    const auto keys = read_bio(text);
    auto* secret = const_cast<Secret*>(&password);
    found.key.reset(PEM_read_bio_PrivateKey(keys.get(), nullptr, give_password, secret));
    if (!found.key) {
        return openssl_error(
            ErrorCode::CryptoBadIdentity, "private key: wrong password, or damaged"
        );
    }
    return {};
}

Status take(ByteView file, const Secret& password, Found& found) {
    if (file.size() > kPemBytesMax) {
        return Error(ErrorCode::CryptoBadIdentity, "too large for keys and certificates");
    }
    ERR_clear_error();
    const auto* at = raw(file);
    const OwnedPkcs12 container(d2i_PKCS12(nullptr, &at, static_cast<long>(file.size())));
    ERR_clear_error();
    return container ? take_pkcs12(container.get(), password, found)
                     : take_pem(as_text(file), password, found);
}

bool issued(const X509* above, const X509* below) {
    return X509_check_issued(const_cast<X509*>(above), const_cast<X509*>(below)) == X509_V_OK;
}

void append_pem(const X509* certificate, std::string& pem) {
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    QIAO_ASSERT(bio != nullptr && PEM_write_bio_X509(bio.get(), certificate) == 1);
    pem += as_text(written(bio.get()));
}

/// From the node's own upwards, as far as there are any.
void put_chain(const X509* own, const Found& found, ImportedIdentity& identity) {
    const auto* last = own;
    append_pem(own, identity.certificate_pem);
    for (size_t steps = 0; steps < found.certificates.size() && !issued(last, last); ++steps) {
        const auto above = std::ranges::find_if(found.certificates, [last](const auto& one) {
            return issued(one.get(), last);
        });
        if (above == found.certificates.end()) {
            return;
        }
        last = above->get();
        append_pem(last, issued(last, last) ? identity.authorities_pem : identity.certificate_pem);
    }
}

}  // namespace

Result<ImportedIdentity> import_identity(const std::vector<Bytes>& files, const Secret& password) {
    Found found;
    for (const auto& file : files) {
        QIAO_CHECK(take(file, password, found));
    }
    if (!found.key) {
        return Error(ErrorCode::CryptoBadIdentity, "no private key in these files");
    }
    const auto own = std::ranges::find_if(found.certificates, [&found](const auto& one) {
        return X509_check_private_key(one.get(), found.key.get()) == 1;
    });
    ERR_clear_error();
    if (own == found.certificates.end()) {
        return Error(
            ErrorCode::CryptoBadIdentity, "no certificate that belongs to the private key"
        );
    }
    ImportedIdentity identity;
    identity.name = common_name(own->get());
    if (identity.name.empty()) {
        return Error(ErrorCode::CryptoBadIdentity, "the certificate has not one common name");
    }
    put_chain(own->get(), found, identity);
    QIAO_TRY(auto key, write_private_key(found.key.get()));
    identity.private_key_pem = Secret(std::move(key));
    return identity;
}

}  // namespace qiao::crypto
