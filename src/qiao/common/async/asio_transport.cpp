#include "qiao/common/async/internal/event_loop_impl.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace qiao {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

Endpoint to_endpoint(const tcp::endpoint& address) {
    auto ip = address.address();
    if (ip.is_v6() && ip.to_v6().is_v4_mapped()) {
        ip = asio::ip::make_address_v4(asio::ip::v4_mapped, ip.to_v6());
    }
    return {ip.to_string(), address.port()};
}

/// What an asynchronous call gave, and the event that says so. Lives in the awaiting frame, which
/// always waits for the completion, so the handler's reference stays good.
struct Completion {
    explicit Completion(Executor& executor) : done(executor) {}

    auto handler() {
        return [this](error_code code, auto... rest) {
            failure = code;
            if constexpr (sizeof...(rest) == 1) {
                (assign(rest), ...);
            }
            done.set();
        };
    }

    void assign(size_t count) { bytes = count; }

    void assign(tcp::resolver::results_type found) { addresses = std::move(found); }

    void assign(const tcp::endpoint& /*chosen*/) {}

    Event done;
    error_code failure;
    size_t bytes = 0;
    tcp::resolver::results_type addresses;
};

class AsioConnection final : public Connection {
public:
    AsioConnection(Executor& executor, tcp::socket socket)
        : executor_(executor), socket_(std::move(socket)) {
        error_code ignored;
        socket_.set_option(tcp::no_delay(true), ignored);
        peer_ = to_endpoint(socket_.remote_endpoint(ignored));
    }

    Task<Result<size_t>> read_some(MutableByteView into) override {
        Completion completion(executor_);
        socket_.async_read_some(asio::buffer(into.data(), into.size()), completion.handler());
        co_await completion.done.wait();
        if (completion.failure) {
            co_return Error(ErrorCode::NetworkClosed, completion.failure.message());
        }
        co_return completion.bytes;
    }

    Task<Status> write_all(ByteView bytes) override {
        Completion completion(executor_);
        asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), completion.handler());
        co_await completion.done.wait();
        if (completion.failure) {
            co_return Error(ErrorCode::NetworkClosed, completion.failure.message());
        }
        co_return Status{};
    }

    void close() override {
        error_code ignored;
        socket_.shutdown(tcp::socket::shutdown_both, ignored);
        socket_.close(ignored);
    }

    Endpoint peer() const override { return peer_; }

private:
    Executor& executor_;
    tcp::socket socket_;
    Endpoint peer_;
};

class AsioListener final : public Listener {
public:
    AsioListener(Executor& executor, tcp::acceptor acceptor)
        : executor_(executor), acceptor_(std::move(acceptor)) {}

    Task<Result<std::unique_ptr<Connection>>> accept() override {
        tcp::socket socket(acceptor_.get_executor());
        Completion completion(executor_);
        acceptor_.async_accept(socket, completion.handler());
        co_await completion.done.wait();
        if (completion.failure) {
            co_return acceptor_.is_open()
                ? Error(ErrorCode::NetworkClosed, completion.failure.message())
                : Error(ErrorCode::Cancelled);
        }
        co_return std::make_unique<AsioConnection>(executor_, std::move(socket));
    }

    void close() override {
        error_code ignored;
        acceptor_.close(ignored);
    }

    Endpoint local() const override {
        error_code ignored;
        return to_endpoint(acceptor_.local_endpoint(ignored));
    }

private:
    Executor& executor_;
    tcp::acceptor acceptor_;
};

class AsioTransport final : public Transport {
public:
    AsioTransport(EventLoop& loop, asio::io_context& io) : loop_(loop), io_(io) {}

    Task<Result<std::unique_ptr<Connection>>> connect(
        Endpoint to, Deadline deadline, StopSignal& stop
    ) override {
        tcp::resolver resolver(io_);
        tcp::socket socket(io_);
        const auto abort = [&] {
            error_code ignored;
            resolver.cancel();
            socket.close(ignored);
        };
        StopSignal::Hook hook(stop, abort);
        const auto timer = loop_.make_timer();
        timer->start(deadline.at, abort);

        Completion resolved(loop_);
        resolver.async_resolve(to.host, std::to_string(to.port), resolved.handler());
        co_await resolved.done.wait();
        if (resolved.failure) {
            co_return failure(to, resolved.failure, deadline, stop);
        }
        Completion connected(loop_);
        asio::async_connect(socket, resolved.addresses, connected.handler());
        co_await connected.done.wait();
        if (connected.failure) {
            co_return failure(to, connected.failure, deadline, stop);
        }
        co_return std::make_unique<AsioConnection>(loop_, std::move(socket));
    }

    Result<std::unique_ptr<Listener>> listen(Endpoint at) override {
        const bool any = at.host.empty() || at.host == "*";
        error_code failure;
        const auto address = any ? asio::ip::address(asio::ip::address_v6::any())
                                 : asio::ip::make_address(at.host, failure);
        tcp::acceptor acceptor(io_);
        const tcp::endpoint local(address, at.port);
        const auto step = [&](auto&& action) {
            if (!failure) {
                action();
            }
        };
        step([&] { acceptor.open(local.protocol(), failure); });
        step([&] { acceptor.set_option(tcp::acceptor::reuse_address(true), failure); });
        if (any) {
            step([&] { acceptor.set_option(asio::ip::v6_only(false), failure); });
        }
        step([&] { acceptor.bind(local, failure); });
        step([&] { acceptor.listen(asio::socket_base::max_listen_connections, failure); });
        if (failure) {
            return Error(
                ErrorCode::Config,
                fmt::format("cannot listen on {}: {}", at.to_string(), failure.message())
            );
        }
        return std::make_unique<AsioListener>(loop_, std::move(acceptor));
    }

private:
    Error failure(const Endpoint& to, error_code code, Deadline deadline, StopSignal& stop) const {
        if (stop.requested()) {
            return Error(ErrorCode::Cancelled);
        }
        if (deadline.passed(loop_.now())) {
            return {ErrorCode::DeadlinePassed, fmt::format("connecting to {}", to.to_string())};
        }
        return {
            ErrorCode::NetworkUnreachable, fmt::format("{}: {}", to.to_string(), code.message())
        };
    }

    EventLoop& loop_;
    asio::io_context& io_;
};

}  // namespace

std::unique_ptr<Transport> make_asio_transport(EventLoop& loop, asio::io_context& io) {
    return std::make_unique<AsioTransport>(loop, io);
}

}  // namespace qiao
