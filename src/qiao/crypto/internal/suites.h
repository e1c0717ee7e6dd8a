#pragma once

#include "qiao/crypto/suite.h"

namespace qiao::crypto {

/// SM4-GCM and SM3 by libgcrypt. Sets libgcrypt up at the first call, from any thread.
const Suite& gm_suite();

/// AES-256-GCM and SHA-256 by OpenSSL.
const Suite& intl_suite();

}  // namespace qiao::crypto
