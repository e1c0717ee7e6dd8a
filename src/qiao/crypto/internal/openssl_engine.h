#pragma once

#include "qiao/crypto/internal/openssl.h"
#include "qiao/crypto/tls_engine.h"

namespace qiao::crypto {

/// An engine over two memory BIOs. Keeps `tls` alive by itself.
std::unique_ptr<TlsEngine> make_openssl_engine(SSL_CTX* tls, TlsRole role);

}  // namespace qiao::crypto
