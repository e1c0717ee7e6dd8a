#include "qiao/crypto/certificate.h"

#include "qiao/common/assert.h"
#include "qiao/common/rng.h"
#include "qiao/crypto/internal/openssl.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <optional>

namespace qiao::crypto {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kDay = 86'400 * kSecond;
constexpr int64_t kAuthorityLife = 3'652 * kDay;
// The longest that common TLS clients accept.
constexpr int64_t kNodeLife = 825 * kDay;
// Two machines' clocks may differ; a certificate must be good on both at once.
constexpr int64_t kClockSlack = 3'600 * kSecond;
constexpr size_t kSerialBytes = 16;
constexpr size_t kNameCharactersMax = 64;  // RFC 5280, ub-common-name
constexpr size_t kHostBytesMax = 253;

using OwnedNumber = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using OwnedExtension = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using OwnedName = std::unique_ptr<GENERAL_NAME, FreeWith<GENERAL_NAME_free>>;
using OwnedNames = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

Error bad_identity(std::string_view what) {
    return openssl_error(ErrorCode::CryptoBadIdentity, what);
}

time_t seconds(WallTime time) { return static_cast<time_t>(time.us / kSecond); }

std::string printed(const X509_NAME* name) {
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    // RFC 2253 escapes all that is not ASCII, and Chinese names with it.
    constexpr unsigned long kFlags =
        XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
    QIAO_ASSERT(bio != nullptr && X509_NAME_print_ex(bio.get(), name, 0, kFlags) >= 0);
    return std::string(as_text(written(bio.get())));
}

void set_serial(X509* certificate) {
    std::array<std::byte, kSerialBytes> bytes{};
    system_rng().fill(bytes);
    const OwnedNumber number(BN_bin2bn(raw(bytes), kSerialBytes, nullptr));
    QIAO_ASSERT(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void set_common_name(X509* certificate, std::string_view name) {
    auto* subject = X509_get_subject_name(certificate);
    const auto added = X509_NAME_add_entry_by_NID(
        subject,
        NID_commonName,
        MBSTRING_UTF8,
        raw(as_bytes(name)),
        static_cast<int>(name.size()),
        -1,
        0
    );
    QIAO_ASSERT(added == 1);
}

/// `text` is ours, never a user's: OpenSSL's extension language can read files.
void add_extension(X509* certificate, X509* issuer, int nid, const char* text) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const OwnedExtension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, text));
    QIAO_ASSERT(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

/// A version 3 certificate, all but extensions and signature.
OwnedCertificate blank(std::string_view name, EVP_PKEY* key, WallTime from, WallTime to) {
    ERR_clear_error();
    OwnedCertificate certificate(X509_new());
    QIAO_ASSERT(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
    set_serial(certificate.get());
    set_common_name(certificate.get(), name);
    QIAO_ASSERT(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), seconds(from)) != nullptr);
    QIAO_ASSERT(ASN1_TIME_set(X509_getm_notAfter(certificate.get()), seconds(to)) != nullptr);
    QIAO_ASSERT(X509_set_pubkey(certificate.get(), key) == 1);
    return certificate;
}

IssuedCertificate in_pem(X509* certificate, const EVP_PKEY* key) {
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    QIAO_ASSERT(bio != nullptr && PEM_write_bio_X509(bio.get(), certificate) == 1);
    auto key_pem = write_private_key(key);
    QIAO_ASSERT(key_pem.has_value());
    return {
        .certificate_pem = std::string(as_text(written(bio.get()))),
        .private_key_pem = Secret(std::move(*key_pem)),
    };
}

bool is_dns_name(std::string_view host) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    };
    return !host.empty() && host.size() <= kHostBytesMax && std::ranges::all_of(host, allowed) &&
           host.front() != '.' && host.front() != '-' && host.find("..") == std::string_view::npos;
}

Result<OwnedName> host_name(const std::string& host) {
    OwnedName name(GENERAL_NAME_new());
    QIAO_ASSERT(name != nullptr);
    if (host.find('\0') == std::string::npos) {
        if (auto* address = a2i_IPADDRESS(host.c_str())) {
            GENERAL_NAME_set0_value(name.get(), GEN_IPADD, address);
            return name;
        }
        ERR_clear_error();
    }
    if (!is_dns_name(host)) {
        return Error(ErrorCode::CryptoBadIdentity, "host: neither a DNS name nor an IP address");
    }
    auto* text = ASN1_IA5STRING_new();
    QIAO_ASSERT(ASN1_STRING_set(text, host.data(), static_cast<int>(host.size())) == 1);
    GENERAL_NAME_set0_value(name.get(), GEN_DNS, text);
    return name;
}

Status add_hosts(X509* certificate, const std::vector<std::string>& hosts) {
    if (hosts.empty()) {
        return {};
    }
    const OwnedNames names(GENERAL_NAMES_new());
    for (const auto& host : hosts) {
        QIAO_TRY(auto name, host_name(host));
        QIAO_ASSERT(sk_GENERAL_NAME_push(names.get(), name.release()) > 0);
    }
    const auto added =
        X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT);
    QIAO_ASSERT(added == 1);
    return {};
}

struct Authority {
    OwnedCertificate certificate;
    OwnedKey key;
    WallTime not_after;
};

Result<Authority> read_authority(const IssuedCertificate& pem, WallTime now) {
    Authority authority;
    QIAO_TRY(authority.certificate, parse_certificate(pem.certificate_pem));
    QIAO_TRY(authority.key, parse_private_key(pem.private_key_pem.reveal_text()));
    ERR_clear_error();
    if (X509_check_private_key(authority.certificate.get(), authority.key.get()) != 1) {
        return bad_identity("authority");
    }
    if (X509_check_ca(authority.certificate.get()) == 0) {
        return Error(ErrorCode::CryptoBadIdentity, "authority: may not issue certificates");
    }
    QIAO_TRY(authority.not_after, wall_time(X509_get0_notAfter(authority.certificate.get())));
    if (authority.not_after <= now) {
        return Error(
            ErrorCode::CryptoBadIdentity, "authority: expired " + authority.not_after.to_string()
        );
    }
    return authority;
}

/// The length in characters; none when the text is not UTF-8 or holds a control character.
std::optional<size_t> readable_characters(std::string_view text) {
    size_t characters = 0;
    while (!text.empty()) {
        unsigned long character = 0;
        const int bytes = UTF8_getc(raw(as_bytes(text)), static_cast<int>(text.size()), &character);
        if (bytes <= 0 || character < 0x20 || (character >= 0x7F && character < 0xA0)) {
            return std::nullopt;
        }
        ++characters;
        text.remove_prefix(static_cast<size_t>(bytes));
    }
    return characters;
}

}  // namespace

bool is_certificate_name(std::string_view name) {
    // Four bytes a character at most; also keeps the length within an int.
    if (name.empty() || name.size() > 4 * kNameCharactersMax) {
        return false;
    }
    const auto characters = readable_characters(name);
    return characters && *characters <= kNameCharactersMax;
}

IssuedCertificate make_authority(const std::string& name, WallTime now) {
    QIAO_ASSERT(is_certificate_name(name));
    const auto key = generate_key("EC", "prime256v1");
    const auto certificate =
        blank(name, key.get(), {now.us - kClockSlack}, {now.us + kAuthorityLife});
    auto* own = certificate.get();
    QIAO_ASSERT(X509_set_issuer_name(own, X509_get_subject_name(own)) == 1);
    add_extension(own, own, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(own, own, NID_subject_key_identifier, "hash");
    add_extension(own, own, NID_authority_key_identifier, "keyid:always");
    QIAO_ASSERT(X509_sign(own, key.get(), EVP_sha256()) > 0);
    return in_pem(own, key.get());
}

Result<IssuedCertificate> issue_certificate(
    const IssuedCertificate& authority,
    const std::string& node_name,
    const std::vector<std::string>& hosts,
    WallTime now
) {
    if (!is_certificate_name(node_name)) {
        return Error(
            ErrorCode::CryptoBadIdentity, "node name: 1 to 64 characters of UTF-8 are possible"
        );
    }
    QIAO_TRY(const auto issuer, read_authority(authority, now));
    const auto key = generate_key("EC", "prime256v1");
    const auto not_after = std::min(now.us + kNodeLife, issuer.not_after.us);
    const auto certificate = blank(node_name, key.get(), {now.us - kClockSlack}, {not_after});
    auto* own = certificate.get();
    auto* above = issuer.certificate.get();
    QIAO_ASSERT(X509_set_issuer_name(own, X509_get_subject_name(above)) == 1);
    add_extension(own, above, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(own, above, NID_key_usage, "critical,digitalSignature");
    add_extension(own, above, NID_ext_key_usage, "serverAuth,clientAuth");
    add_extension(own, above, NID_subject_key_identifier, "hash");
    add_extension(own, above, NID_authority_key_identifier, "keyid");
    QIAO_CHECK(add_hosts(own, hosts));
    ERR_clear_error();
    if (X509_sign(own, issuer.key.get(), EVP_sha256()) <= 0) {
        return bad_identity("authority: signing");
    }
    return in_pem(own, key.get());
}

Result<CertificateInfo> read_certificate(const std::string& pem) {
    QIAO_TRY(const auto certificate, parse_certificate(pem));
    QIAO_TRY(const auto not_before, wall_time(X509_get0_notBefore(certificate.get())));
    QIAO_TRY(const auto not_after, wall_time(X509_get0_notAfter(certificate.get())));
    return CertificateInfo{
        .subject = printed(X509_get_subject_name(certificate.get())),
        .issuer = printed(X509_get_issuer_name(certificate.get())),
        .fingerprint_sha256 = fingerprint(certificate.get()),
        .not_before = not_before,
        .not_after = not_after,
    };
}

}  // namespace qiao::crypto
