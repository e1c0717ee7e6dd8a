#include "qiao/agent/identity.h"

#include "qiao/crypto/suite.h"

#include <fmt/format.h>

namespace qiao::agent {
namespace {

constexpr size_t kPemBytesMost = size_t{1} << 20U;
constexpr size_t kFingerprintBytes = 16;

template <class T>
Result<T> about(const std::string& path, Result<T> result) {
    if (!result) {
        return result.error().within(path);
    }
    return result;
}

Task<Result<std::string>> read_text(Storage& storage, std::string path) {
    QIAO_CO_TRY(const auto bytes, co_await read_file(storage, path, kPemBytesMost));
    co_return std::string(as_text(bytes));
}

Task<Result<Secret>> read_secret(Storage& storage, std::string path) {
    QIAO_CO_TRY(auto bytes, co_await read_file(storage, path, kPemBytesMost));
    co_return Secret(std::move(bytes));
}

Task<Status> load_tls(Storage& storage, const AgentConfig& config, Identity& identity) {
    const auto& files = config.tls;
    crypto::TlsIdentity tls;
    QIAO_CO_TRY(tls.certificate_chain_pem, co_await read_text(storage, files.certificate));
    QIAO_CO_TRY(tls.private_key_pem, co_await read_secret(storage, files.key));
    QIAO_CO_TRY(tls.trusted_ca_pem, co_await read_text(storage, files.ca));
    QIAO_CO_TRY(
        identity.certificate,
        about(files.certificate, crypto::read_certificate(tls.certificate_chain_pem))
    );
    const auto name = common_name(identity.certificate.subject);
    if (name != config.node) {
        co_return Error(
            ErrorCode::AgentIdentity,
            fmt::format(
                "{} is the certificate of `{}`, the node is `{}`",
                files.certificate,
                name,
                config.node
            )
        );
    }
    QIAO_CO_TRY(identity.tls, about(files.certificate, crypto::TlsContext::make(tls)));
    co_return Status{};
}

Task<Status> load_receiver(Storage& storage, const FlowConfig& flow, Identity& identity) {
    QIAO_CO_TRY(const auto pem, co_await read_text(storage, flow.receiver_key));
    QIAO_CO_TRY(const auto key, about(flow.receiver_key, crypto::PublicKey::from_pem(pem)));
    const auto wanted = flow.suite == "gm" ? crypto::KeyKind::Sm2 : crypto::KeyKind::P256;
    if (key->kind() != wanted) {
        co_return Error(
            ErrorCode::AgentIdentity,
            fmt::format(
                "{} is not of suite `{}`, which flow `{}` uses: make the receiver's key with "
                "`qiao key wrap --suite {}`",
                flow.receiver_key,
                flow.suite,
                flow.name,
                flow.suite
            )
        );
    }
    identity.receivers[flow.name] = key;
    co_return Status{};
}

}  // namespace

std::string common_name(std::string_view subject) {
    std::string value;
    bool in_name = subject.starts_with("CN=");
    for (size_t i = in_name ? 3 : 0; i < subject.size(); ++i) {
        const char c = subject[i];
        if (c == '\\' && i + 1 < subject.size()) {
            ++i;
            value += in_name ? std::string(1, subject[i]) : "";
        } else if (c == ',' || c == '+') {
            if (in_name) {
                return value;
            }
            in_name = subject.substr(i + 1).starts_with("CN=");
            i += in_name ? 3 : 0;
        } else if (in_name) {
            value += c;
        }
    }
    return value;
}

std::string key_fingerprint(const crypto::PublicKey& key) {
    const auto pem = key.to_pem();
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(pem)});
    return to_hex(digest.view().first(kFingerprintBytes));
}

Task<Result<packet::ReceiverKeys>> load_wrapping_keys(
    Storage& storage, std::vector<std::string> paths
) {
    packet::ReceiverKeys keys;
    for (const auto& path : paths) {
        QIAO_CO_TRY(const auto pem, co_await read_secret(storage, path));
        QIAO_CO_TRY(auto key, about(path, crypto::PrivateKey::from_pem(pem)));
        keys.push_back(std::move(key));
    }
    co_return keys;
}

Task<Result<Identity>> load_identity(Storage& storage, const AgentConfig& config) {
    Identity identity;
    QIAO_CO_CHECK(co_await load_tls(storage, config, identity));
    QIAO_CO_TRY(identity.wrapping, co_await load_wrapping_keys(storage, config.wrapping_keys));
    for (const auto& flow : config.flows) {
        if (flow.role == FlowRole::Source) {
            QIAO_CO_CHECK(co_await load_receiver(storage, flow, identity));
        }
    }
    co_return identity;
}

}  // namespace qiao::agent
