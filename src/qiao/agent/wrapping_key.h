#pragma once

#include "qiao/common/storage.h"
#include "qiao/crypto/private_key.h"

#include <memory>
#include <string>

namespace qiao::agent {

/// The private wrapping key of a node, made at its first start. The file is 0600.
/// Errors: common.storage_*, crypto.bad_identity.
Task<Result<std::shared_ptr<const crypto::PrivateKey>>> load_or_make_wrapping_key(
    Storage& storage, std::string path, crypto::KeyKind kind
);

}  // namespace qiao::agent
