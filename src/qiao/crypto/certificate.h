#pragma once

#include "qiao/common/result.h"
#include "qiao/common/secret.h"
#include "qiao/common/time.h"

#include <string>
#include <vector>

namespace qiao::crypto {

struct IssuedCertificate {
    std::string certificate_pem;
    Secret private_key_pem;
};

/// A certificate authority for a first try: self-signed P-256, ten years. Used by `qiao key`.
IssuedCertificate make_authority(const std::string& name, WallTime now);

/// A node's certificate (client and server use), 825 days, with these DNS names and IP addresses.
/// Errors: crypto.bad_identity when the authority's PEM texts cannot be used.
Result<IssuedCertificate> issue_certificate(
    const IssuedCertificate& authority, const std::string& node_name,
    const std::vector<std::string>& hosts, WallTime now
);

struct CertificateInfo {
    std::string subject, issuer, fingerprint_sha256;
    WallTime not_before, not_after;
};

/// Errors: crypto.bad_identity.
Result<CertificateInfo> read_certificate(const std::string& pem);

}  // namespace qiao::crypto
