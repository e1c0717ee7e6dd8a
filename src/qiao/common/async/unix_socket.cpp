#include "qiao/common/async/unix_socket.h"

#include "qiao/common/async/stop.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace qiao {
namespace {

constexpr mode_t kSocketMode = 0600;
constexpr int kBacklog = 128;

class Socket {
public:
    explicit Socket(int fd) : fd_(fd) {}

    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

    Socket& operator=(Socket&&) = delete;

    ~Socket() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    int get() const { return fd_; }

private:
    int fd_;
};

Error failed(ErrorCode code, std::string_view doing, const std::string& path) {
    return {code, fmt::format("{} {}: {}", doing, path, std::strerror(errno))};
}

Socket make_socket() {
    return Socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return Error(
            ErrorCode::Config,
            fmt::format(
                "a socket's path has at most {} bytes: {}", sizeof(address.sun_path) - 1, path
            )
        );
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

int connect_to(const Socket& socket, const sockaddr_un& address) {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

/// A socket and its waits: for reading and for writing, because a watch waits once at a time.
class UnixConnection final : public Connection {
public:
    UnixConnection(Poller& poller, Socket socket, std::string path)
        : socket_(std::move(socket)),
          path_(std::move(path)),
          readable_(poller.watch(socket_.get())),
          writable_(poller.watch(socket_.get())) {}

    Task<Result<size_t>> read_some(MutableByteView into) override {
        while (true) {
            const auto got = ::recv(socket_.get(), into.data(), into.size(), 0);
            if (got > 0) {
                co_return static_cast<size_t>(got);
            }
            if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
                co_return Error(ErrorCode::NetworkClosed, path_);
            }
            const auto ready =
                co_await readable_->wait(Poller::Interest::Read, Deadline::never(), closed_);
            if (!ready) {
                co_return Error(ErrorCode::NetworkClosed, path_);
            }
        }
    }

    Task<Status> write_all(ByteView bytes) override {
        while (!bytes.empty()) {
            const auto put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (put >= 0) {
                bytes = bytes.subspan(static_cast<size_t>(put));
                continue;
            }
            if (errno != EAGAIN && errno != EINTR) {
                co_return Error(ErrorCode::NetworkClosed, path_);
            }
            const auto ready =
                co_await writable_->wait(Poller::Interest::Write, Deadline::never(), closed_);
            if (!ready) {
                co_return Error(ErrorCode::NetworkClosed, path_);
            }
        }
        co_return Status{};
    }

    void close() override {
        ::shutdown(socket_.get(), SHUT_RDWR);
        closed_.request();
    }

    Endpoint peer() const override { return {path_, 0}; }

private:
    Socket socket_;
    std::string path_;
    StopSignal closed_;
    std::unique_ptr<Poller::Watch> readable_, writable_;
};

class UnixListener final : public Listener {
public:
    UnixListener(Poller& poller, Socket socket, std::string path)
        : poller_(poller),
          socket_(std::move(socket)),
          path_(std::move(path)),
          watch_(poller.watch(socket_.get())) {}

    ~UnixListener() override { ::unlink(path_.c_str()); }

    Task<Result<std::unique_ptr<Connection>>> accept() override {
        while (true) {
            const auto waited =
                co_await watch_->wait(Poller::Interest::Read, Deadline::never(), closed_);
            if (!waited) {
                co_return Error(ErrorCode::Cancelled);
            }
            Socket peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (peer.get() >= 0) {
                co_return std::make_unique<UnixConnection>(poller_, std::move(peer), path_);
            }
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                co_return failed(ErrorCode::NetworkClosed, "accept on", path_);
            }
        }
    }

    void close() override { closed_.request(); }

    Endpoint local() const override { return {path_, 0}; }

private:
    Poller& poller_;
    Socket socket_;
    std::string path_;
    StopSignal closed_;
    std::unique_ptr<Poller::Watch> watch_;
};

}  // namespace

Result<std::unique_ptr<Listener>> listen_unix(Poller& poller, std::string path) {
    QIAO_TRY(const auto address, address_of(path));
    {
        const auto probe = make_socket();
        if (connect_to(probe, address) == 0) {
            return Error(ErrorCode::Config, fmt::format("another process listens on {}", path));
        }
        if (errno == ECONNREFUSED) {
            ::unlink(path.c_str());
        }
    }
    auto socket = make_socket();
    // The mode that the file gets at bind(): nobody else can connect in between.
    if (socket.get() < 0 || ::fchmod(socket.get(), kSocketMode) != 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(socket.get(), kBacklog) != 0) {
        return failed(ErrorCode::StorageIo, "socket", path);
    }
    return std::make_unique<UnixListener>(poller, std::move(socket), std::move(path));
}

Task<Result<std::unique_ptr<Connection>>> connect_unix(Poller& poller, std::string path) {
    QIAO_CO_TRY(const auto address, address_of(path));
    auto socket = make_socket();
    if (socket.get() < 0 || connect_to(socket, address) != 0) {
        co_return failed(ErrorCode::NetworkUnreachable, "socket", path);
    }
    co_return std::make_unique<UnixConnection>(poller, std::move(socket), std::move(path));
}

}  // namespace qiao
