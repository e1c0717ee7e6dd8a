#include "qiao/crypto/certificate.h"

#include "qiao/crypto/internal/openssl.h"

#include <gtest/gtest.h>

#include <set>

namespace qiao::crypto {
namespace {

constexpr WallTime kNow{1'794'000'000'000'000};  // 2026-11-06
constexpr int64_t kDay = 86'400'000'000;

std::string extension(const std::string& pem, int nid) {
    const auto certificate = parse_certificate(pem).value();
    const int at = X509_get_ext_by_NID(certificate.get(), nid, -1);
    if (at < 0) {
        return "none";
    }
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    auto* found = X509_get_ext(certificate.get(), at);
    X509V3_EXT_print(bio.get(), found, 0, 0);
    return std::string(X509_EXTENSION_get_critical(found) != 0 ? "critical " : "") +
           std::string(as_text(written(bio.get())));
}

TEST(Certificate, OfAnAuthorityIsSelfSignedAndGoodForTenYears) {
    const auto made = make_authority("第一机构 CA", kNow);
    const auto info = read_certificate(made.certificate_pem).value();
    EXPECT_EQ(info.subject, "CN=第一机构 CA");
    EXPECT_EQ(info.issuer, info.subject);
    EXPECT_EQ(info.fingerprint_sha256.size(), 64U);
    EXPECT_LE(info.not_before, kNow);
    EXPECT_GT(info.not_before.us, kNow.us - kDay);
    EXPECT_GE(info.not_after.us, kNow.us + 3'650 * kDay);
    EXPECT_EQ(extension(made.certificate_pem, NID_basic_constraints), "critical CA:TRUE");
    EXPECT_EQ(
        extension(made.certificate_pem, NID_key_usage), "critical Certificate Sign, CRL Sign"
    );
    EXPECT_EQ(
        extension(made.certificate_pem, NID_authority_key_identifier),
        extension(made.certificate_pem, NID_subject_key_identifier)
    );
}

TEST(Certificate, OfANodeNamesItsHostsAndServesBothSides) {
    const auto authority = make_authority("CA", kNow);
    const std::vector<std::string> hosts{"node-1.example.cn", "10.1.2.3", "fd00::12"};
    const auto issued = issue_certificate(authority, "县民政 1", hosts, kNow).value();
    const auto& pem = issued.certificate_pem;
    const auto info = read_certificate(pem).value();
    EXPECT_EQ(info.subject, "CN=县民政 1");
    EXPECT_EQ(info.issuer, "CN=CA");
    EXPECT_EQ(info.not_after.us, kNow.us + 825 * kDay);
    EXPECT_EQ(
        extension(pem, NID_subject_alt_name),
        "DNS:node-1.example.cn, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:12"
    );
    EXPECT_EQ(extension(pem, NID_basic_constraints), "critical CA:FALSE");
    EXPECT_EQ(extension(pem, NID_key_usage), "critical Digital Signature");
    EXPECT_EQ(
        extension(pem, NID_ext_key_usage),
        "TLS Web Server Authentication, TLS Web Client Authentication"
    );
    EXPECT_EQ(
        extension(pem, NID_authority_key_identifier),
        extension(authority.certificate_pem, NID_subject_key_identifier)
    );
    const auto certificate = parse_certificate(pem).value();
    const auto above = parse_certificate(authority.certificate_pem).value();
    const auto key = parse_private_key(issued.private_key_pem.reveal_text()).value();
    EXPECT_EQ(X509_verify(certificate.get(), X509_get0_pubkey(above.get())), 1);
    EXPECT_EQ(X509_check_private_key(certificate.get(), key.get()), 1);
}

TEST(Certificate, WithoutHostsHasNoAlternativeNames) {
    const auto authority = make_authority("CA", kNow);
    const auto issued = issue_certificate(authority, "node", {}, kNow).value();
    EXPECT_EQ(extension(issued.certificate_pem, NID_subject_alt_name), "none");
}

TEST(Certificate, SerialsAreRandomAndPositive) {
    const auto authority = make_authority("CA", kNow);
    std::set<std::string> seen;
    for (int i = 0; i < 20; ++i) {
        const auto issued = issue_certificate(authority, "node", {}, kNow).value();
        const auto certificate = parse_certificate(issued.certificate_pem).value();
        const auto* serial = X509_get0_serialNumber(certificate.get());
        EXPECT_EQ(ASN1_STRING_type(serial), V_ASN1_INTEGER) << "a negative one has another type";
        EXPECT_LE(ASN1_STRING_length(serial), 16);
        const auto* bytes = ASN1_STRING_get0_data(serial);
        seen.emplace(bytes, bytes + ASN1_STRING_length(serial));
    }
    EXPECT_EQ(seen.size(), 20U);
}

TEST(Certificate, NeverOutlivesItsAuthority) {
    const auto authority = make_authority("CA", kNow);
    const auto end = read_certificate(authority.certificate_pem)->not_after;
    const auto late = WallTime{end.us - 10 * kDay};
    const auto issued = issue_certificate(authority, "node", {}, late).value();
    EXPECT_EQ(read_certificate(issued.certificate_pem)->not_after, end);
    EXPECT_TRUE(
        issue_certificate(authority, "node", {}, end).error().is(ErrorCode::CryptoBadIdentity)
    );
}

TEST(Certificate, IsNotIssuedForHostsThatAreNone) {
    const auto authority = make_authority("CA", kNow);
    const std::vector<std::string> bad{
        "",
        "two words",
        "a,DNS:b",
        ".leading",
        "a..b",
        "-a",
        std::string(254, 'a'),
        "10.1.2.3/8",
        std::string("a\0b", 3),
        "例子"
    };
    for (const auto& host : bad) {
        const auto issued = issue_certificate(authority, "node", {"good", host}, kNow);
        ASSERT_FALSE(issued) << host;
        EXPECT_TRUE(issued.error().is(ErrorCode::CryptoBadIdentity));
    }
}

TEST(Certificate, NamesAreOneToSixtyFourReadableCharacters) {
    const auto authority = make_authority("CA", kNow);
    std::string longest;
    for (int i = 0; i < 64; ++i) {
        longest += "桥";
    }
    for (const auto& name : {std::string("a"), longest, std::string("a/b, c=d")}) {
        EXPECT_TRUE(is_certificate_name(name));
        EXPECT_TRUE(issue_certificate(authority, name, {}, kNow)) << name;
    }
    const std::vector<std::string> bad{
        "", longest + "桥", std::string(65, 'a'), "\xff", "\xe6\xa1", "a\nb", std::string("a\0b", 3)
    };
    for (const auto& name : bad) {
        EXPECT_FALSE(is_certificate_name(name));
        EXPECT_TRUE(
            issue_certificate(authority, name, {}, kNow).error().is(ErrorCode::CryptoBadIdentity)
        );
    }
}

TEST(Certificate, IsIssuedByAnAuthorityOnly) {
    const auto authority = make_authority("CA", kNow);
    const auto node = issue_certificate(authority, "node", {}, kNow).value();
    const auto refused = [](const IssuedCertificate& issuer) {
        const auto issued = issue_certificate(issuer, "other", {}, kNow);
        return !issued && issued.error().is(ErrorCode::CryptoBadIdentity);
    };
    EXPECT_FALSE(refused(authority));
    EXPECT_TRUE(refused(node));
    EXPECT_TRUE(refused({authority.certificate_pem, node.private_key_pem}));
    EXPECT_TRUE(refused({"", authority.private_key_pem}));
    EXPECT_TRUE(refused({authority.certificate_pem, Secret{}}));
}

TEST(Certificate, OfTheKeyMakesNoInfo) {
    const auto authority = make_authority("CA", kNow);
    const auto text = std::string(authority.private_key_pem.reveal_text());
    EXPECT_TRUE(read_certificate(text).error().is(ErrorCode::CryptoBadIdentity));
    EXPECT_TRUE(read_certificate("").error().is(ErrorCode::CryptoBadIdentity));
}

}  // namespace
}  // namespace qiao::crypto
