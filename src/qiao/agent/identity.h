#pragma once

#include "qiao/agent/config.h"
#include "qiao/crypto/certificate.h"
#include "qiao/crypto/private_key.h"
#include "qiao/crypto/tls_engine.h"
#include "qiao/packet/seal.h"

#include <map>
#include <memory>
#include <string>

namespace qiao::agent {

/// What a node shows, trusts and opens packets with, read from the files of its configuration.
struct Identity {
    std::shared_ptr<const crypto::TlsContext> tls;
    crypto::CertificateInfo certificate;
    packet::ReceiverKeys wrapping;  ///< the one in use first; none where no flow ends here
    /// By the name of the source flow.
    std::map<std::string, std::shared_ptr<const crypto::PublicKey>> receivers;
};

/// Errors: common.storage_* and crypto.bad_identity naming the file; agent.identity when the
/// certificate is not this node's, or a receiver's key is not of the flow's suite. Spec: R-32
Task<Result<Identity>> load_identity(Storage& storage, const AgentConfig& config);

/// The private wrapping keys in PEM files. Errors: common.storage_*, crypto.bad_identity.
Task<Result<packet::ReceiverKeys>> load_wrapping_keys(
    Storage& storage, std::vector<std::string> paths
);

/// The common name of a subject as RFC 2253 writes it; empty when there is none.
std::string common_name(std::string_view subject);

/// First 16 bytes, in hexadecimal, of the SHA-256 of a public wrapping key's PEM: what packets tell
/// receivers apart by.
std::string key_fingerprint(const crypto::PublicKey& key);

}  // namespace qiao::agent
