#pragma once

#include "qiao/common/result.h"
#include "qiao/common/secret.h"
#include "qiao/crypto/internal/openssl.h"
#include "qiao/crypto/private_key.h"

namespace qiao::crypto {

/// A one-time key and the bytes from which only the receiver's private key makes it again.
struct Encapsulated {
    Bytes bytes;
    Secret key;
};

/// SM2: 16 random bytes, encrypted by GB/T 32918.4 in the DER form of GM/T 0009 (SM2Cipher).
/// P-256: an ephemeral point (65 bytes, uncompressed); the 32-byte key is HKDF-SHA256 of the ECDH
/// secret, bound to both points.
Result<Encapsulated> encapsulate(KeyKind kind, EVP_PKEY* receiver);

/// Errors: crypto.wrong_key. `encapsulated` may be foreign.
Result<Secret> decapsulate(KeyKind kind, EVP_PKEY* own, ByteView encapsulated);

}  // namespace qiao::crypto
