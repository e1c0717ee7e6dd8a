#pragma once

#include "qiao/common/result.h"
#include "qiao/common/secret.h"
#include "qiao/common/time.h"

#include <string>
#include <string_view>
#include <vector>

namespace qiao::crypto {

struct IssuedCertificate {
    std::string certificate_pem;
    Secret private_key_pem;
};

/// Whether a text can be the common name of a certificate: UTF-8, 1 to 64 characters, none of them
/// a control character. Names that come from outside are asked about first.
bool is_certificate_name(std::string_view name);

/// A certificate authority for a first try: self-signed P-256, ten years. Used by `qiao key`.
/// `name` passes is_certificate_name().
IssuedCertificate make_authority(const std::string& name, WallTime now);

/// A node's certificate (client and server use), 825 days or as long as the authority's, with these
/// DNS names and IP addresses (both families). Valid from an hour before `now`, for clocks that
/// differ. Errors: crypto.bad_identity when the authority's PEM texts or a name cannot be used.
Result<IssuedCertificate> issue_certificate(
    const IssuedCertificate& authority,
    const std::string& node_name,
    const std::vector<std::string>& hosts,
    WallTime now
);

/// Names as in RFC 2253, in UTF-8; the fingerprint in lower-case hexadecimal.
struct CertificateInfo {
    std::string subject, issuer, fingerprint_sha256;
    WallTime not_before, not_after;
};

/// Reads the first certificate of a PEM text, expired or not. Errors: crypto.bad_identity.
Result<CertificateInfo> read_certificate(const std::string& pem);

}  // namespace qiao::crypto
