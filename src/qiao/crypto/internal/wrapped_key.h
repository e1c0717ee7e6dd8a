#pragma once

#include "qiao/common/result.h"
#include "qiao/common/secret.h"
#include "qiao/crypto/private_key.h"

namespace qiao::crypto {

// The envelope of docs/reference/formats/wrapped_key.md: a one-time key, made for the receiver by
// its public-key algorithm, and the secret sealed under it with header and context as associated
// data. Sealing binds the context, which SM2 encryption alone cannot.

/// The parts of an envelope, views into its bytes.
struct WrappedKey {
    KeyKind kind{};
    ByteView encapsulated;
    ByteView head;  ///< all that comes before the sealed secret
    ByteView sealed;
    ByteView tag;
};

/// `one_time_key` must be used for this one envelope only: its nonce is zero.
Bytes seal_envelope(
    KeyKind kind,
    ByteView encapsulated,
    const Secret& one_time_key,
    const Secret& secret,
    ByteView context
);

/// Errors: crypto.wrong_key.
Result<WrappedKey> parse_envelope(ByteView bytes);
Result<Secret> open_envelope(
    const WrappedKey& envelope, const Secret& one_time_key, ByteView context
);

}  // namespace qiao::crypto
