#include "qiao/crypto/internal/openssl.h"

#include "qiao/common/assert.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <array>

namespace qiao::crypto {
namespace {

template <auto read, class Owned>
Result<Owned> parse_pem(std::string_view pem, std::string_view what) {
    if (pem.size() > kPemBytesMax) {
        return Error(ErrorCode::CryptoBadIdentity, std::string(what) + ": the text is too long");
    }
    ERR_clear_error();
    const auto bio = read_bio(pem);
    Owned object(read(bio.get(), nullptr, no_passphrase, nullptr));
    if (object == nullptr) {
        return openssl_error(ErrorCode::CryptoBadIdentity, what);
    }
    return object;
}

}  // namespace

int no_passphrase(char* /*into*/, int /*room*/, int /*writing*/, void* /*user*/) { return -1; }

std::string take_reason() {
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) {
        return "no reason given";
    }
    if (const auto* reason = ERR_reason_error_string(code)) {
        return reason;
    }
    std::array<char, 128> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return text.data();
}

Error openssl_error(ErrorCode code, std::string_view what) {
    return {code, std::string(what) + ": " + take_reason()};
}

OwnedBio read_bio(std::string_view text) {
    // An empty text may come without a pointer, which OpenSSL takes for an error.
    const auto* start = text.empty() ? "" : text.data();
    OwnedBio bio(BIO_new_mem_buf(start, static_cast<int>(text.size())));
    QIAO_ASSERT(bio != nullptr);
    return bio;
}

ByteView written(BIO* bio) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio, &data);
    return as_bytes({data, static_cast<size_t>(size)});
}

Result<OwnedCertificate> parse_certificate(std::string_view pem) {
    return parse_pem<PEM_read_bio_X509, OwnedCertificate>(pem, "certificate");
}

Result<OwnedKey> parse_private_key(std::string_view pem) {
    return parse_pem<PEM_read_bio_PrivateKey, OwnedKey>(pem, "private key");
}

Result<OwnedKey> parse_public_key(std::string_view pem) {
    return parse_pem<PEM_read_bio_PUBKEY, OwnedKey>(pem, "public key");
}

Result<Bytes> write_private_key(const EVP_PKEY* key) {
    // The secmem kind wipes its buffers when they grow and when they go.
    const OwnedBio bio(BIO_new(BIO_s_secmem()));
    QIAO_ASSERT(bio != nullptr);
    ERR_clear_error();
    if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return openssl_error(ErrorCode::CryptoBadIdentity, "private key");
    }
    return to_bytes(written(bio.get()));
}

OwnedKey generate_key(const char* algorithm, const char* curve) {
    ERR_clear_error();
    const OwnedKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, algorithm, nullptr));
    QIAO_ASSERT(context != nullptr);
    QIAO_ASSERT(EVP_PKEY_keygen_init(context.get()) == 1);
    QIAO_ASSERT(EVP_PKEY_CTX_set_group_name(context.get(), curve) == 1);
    EVP_PKEY* key = nullptr;
    QIAO_ASSERT(EVP_PKEY_generate(context.get(), &key) == 1);
    return OwnedKey(key);
}

std::string fingerprint(const X509* certificate) {
    std::array<std::byte, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    QIAO_ASSERT(X509_digest(certificate, EVP_sha256(), raw_out(digest), &size) == 1);
    return to_hex(ByteView(digest).first(size));
}

Result<WallTime> wall_time(const ASN1_TIME* time) {
    using OwnedTime = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
    constexpr int64_t kSecond = 1'000'000;
    constexpr int64_t kDay = 86'400 * kSecond;
    const OwnedTime epoch(ASN1_TIME_set(nullptr, 0));
    int days = 0;
    int rest = 0;
    ERR_clear_error();
    if (ASN1_TIME_diff(&days, &rest, epoch.get(), time) != 1) {
        return openssl_error(ErrorCode::CryptoBadIdentity, "certificate: time of validity");
    }
    return WallTime{days * kDay + rest * kSecond};
}

std::string common_name(const X509* certificate) {
    const auto* subject = X509_get_subject_name(certificate);
    const int first = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (first < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, first) >= 0) {
        return {};
    }
    const auto* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, first));
    unsigned char* text = nullptr;
    const int size = ASN1_STRING_to_UTF8(&text, value);
    if (size < 0) {
        ERR_clear_error();
        return {};
    }
    std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
    OPENSSL_free(text);
    return name;
}

}  // namespace qiao::crypto
