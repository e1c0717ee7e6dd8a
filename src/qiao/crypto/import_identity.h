#pragma once

#include "qiao/common/result.h"
#include "qiao/common/secret.h"

#include <string>
#include <vector>

namespace qiao::crypto {

/// What a node shows to others, as PEM texts.
struct ImportedIdentity {
    std::string name;             ///< the certificate's common name
    std::string certificate_pem;  ///< own first, then those between it and the authority
    Secret private_key_pem;       ///< PKCS#8, not encrypted
    std::string authorities_pem;  ///< self-signed ones that came along; empty: none
};

/// Takes a key and its certificates out of what another authority or tool gave: PKCS#12 files, and
/// PEM files with certificates or a key in any order, with or without a password. Certificates of
/// others are left out. Errors: crypto.bad_identity: wrong password, no key, no certificate that
/// belongs to it, no name. Spec: R-32
Result<ImportedIdentity> import_identity(const std::vector<Bytes>& files, const Secret& password);

}  // namespace qiao::crypto
