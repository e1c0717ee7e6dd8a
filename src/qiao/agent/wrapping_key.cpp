#include "qiao/agent/wrapping_key.h"

namespace qiao::agent {

Task<Result<std::shared_ptr<const crypto::PrivateKey>>> load_or_make_wrapping_key(
    Storage& storage, std::string path, crypto::KeyKind kind
) {
    auto content = co_await read_file(storage, path);
    if (content) {
        co_return crypto::PrivateKey::from_pem(Secret(std::move(*content)));
    }
    if (!content.error().is(ErrorCode::StorageMissing)) {
        co_return content.error();
    }
    auto key = crypto::PrivateKey::generate(kind);
    QIAO_CO_TRY(const auto pem, key->to_pem());
    QIAO_CO_CHECK(co_await write_file_atomically(storage, path, to_bytes(pem.reveal())));
    co_return key;
}

}  // namespace qiao::agent
