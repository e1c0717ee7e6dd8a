#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/crypto/internal/free_with.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

namespace qiao::crypto {

using OwnedBio = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using OwnedKey = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using OwnedKeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using OwnedCertificate = std::unique_ptr<X509, FreeWith<X509_free>>;

/// Longest PEM text that is looked at; a chain of certificates and CRLs fits many times.
constexpr size_t kPemBytesMax = 4 << 20;

inline const unsigned char* raw(ByteView bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}

inline unsigned char* raw_out(MutableByteView bytes) {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

/// The passphrase callback of every PEM read: gives none. Without it OpenSSL asks on the terminal.
int no_passphrase(char* into, int room, int writing, void* user);

/// Takes the whole error queue of this thread and says the first reason in OpenSSL's words.
/// Never the queue's extra data, which can quote the input.
std::string take_reason();

/// An error with `what` and OpenSSL's reason.
Error openssl_error(ErrorCode code, std::string_view what);

/// Views `text`, which must outlive the BIO.
OwnedBio read_bio(std::string_view text);

/// What was written to a memory BIO.
ByteView written(BIO* bio);

/// The first certificate of a PEM text. Errors: crypto.bad_identity.
Result<OwnedCertificate> parse_certificate(std::string_view pem);

/// A private key of any kind that OpenSSL reads; an encrypted one is refused, because nobody is
/// there to type a passphrase. Errors: crypto.bad_identity.
Result<OwnedKey> parse_private_key(std::string_view pem);

/// A public key (SPKI) of any kind that OpenSSL reads. Errors: crypto.bad_identity.
Result<OwnedKey> parse_public_key(std::string_view pem);

/// PKCS#8, not encrypted. The buffer that the text passes through is wiped.
Result<Bytes> write_private_key(const EVP_PKEY* key);

/// Fresh key on a named curve: `SM2` or `prime256v1`.
OwnedKey generate_key(const char* algorithm, const char* curve);

/// SHA-256 of the certificate's DER form, lower-case hexadecimal.
std::string fingerprint(const X509* certificate);

/// Errors: crypto.bad_identity.
Result<WallTime> wall_time(const ASN1_TIME* time);

/// The subject's common name; empty unless there is exactly one, since it names a node.
std::string common_name(const X509* certificate);

}  // namespace qiao::crypto
