#pragma once

#include "qiao/link/authenticator.h"

namespace qiao::link {

/// For tests and the simulator only: no encryption, and the peer is believed its name. Header
/// only, so that no library of the program holds it.
class PlainAuthenticator final : public Authenticator {
public:
    PlainAuthenticator(Clock& clock, std::string name) : clock_(clock), name_(std::move(name)) {}

    Task<Result<AuthenticatedConnection>> authenticate(
        std::unique_ptr<Connection> connection,
        crypto::TlsRole /*role*/,
        Deadline deadline,
        StopSignal& stop
    ) override {
        auto& raw = *connection;
        const StopSignal::Hook hook(stop, [&raw] { raw.close(); });
        const auto timer = clock_.make_timer();
        timer->start(deadline.at, [&raw] { raw.close(); });

        auto peer = co_await exchange_names(raw);
        if (!peer) {
            const bool late = deadline.passed(clock_.now());
            co_return late ? Error(ErrorCode::DeadlinePassed) : peer.error();
        }
        co_return AuthenticatedConnection{std::move(connection), *std::move(peer), "plain"};
    }

private:
    Task<Result<std::string>> exchange_names(Connection& connection) {
        ByteWriter ours;
        ours.put(static_cast<uint8_t>(name_.size()));
        ours.append(as_bytes(name_));
        QIAO_CO_CHECK(co_await connection.write_all(ours.view()));
        Bytes length(1);
        QIAO_CO_CHECK(co_await read_all(connection, length));
        Bytes name(std::to_integer<size_t>(length.front()));
        QIAO_CO_CHECK(co_await read_all(connection, name));
        co_return std::string(as_text(name));
    }

    static Task<Status> read_all(Connection& connection, MutableByteView into) {
        while (!into.empty()) {
            QIAO_CO_TRY(const auto got, co_await connection.read_some(into));
            into = into.subspan(got);
        }
        co_return Status{};
    }

    Clock& clock_;
    std::string name_;
};

}  // namespace qiao::link
