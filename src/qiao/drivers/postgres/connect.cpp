#include "qiao/common/async/event.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/connect_parameters.h"
#include "qiao/drivers/postgres/sqlstate.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <array>
#include <netdb.h>
#include <sys/socket.h>

namespace qiao::drivers::postgres {
namespace {

using internal::ConnectParameters;

/// Shared with a thread that may outlive the wait for it.
struct Lookup {
    explicit Lookup(Executor& executor) : settled(executor) {}

    Event settled;
    bool done = false;
};

struct Addresses {
    std::vector<std::string> found;
    std::string failure;
};

Addresses look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    Addresses addresses;
    if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
        addresses.failure = fmt::format("host name {}: {}", host, ::gai_strerror(code));
        return addresses;
    }
    for (const auto* item = list; item != nullptr; item = item->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        const int code = ::getnameinfo(
            item->ai_addr, item->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST
        );
        if (code == 0) {
            addresses.found.emplace_back(text.data());
        }
    }
    ::freeaddrinfo(list);
    return addresses;
}

/// The addresses of a host, looked up away from the loop; a slow resolver delays nobody else.
Task<Result<std::vector<std::string>>> resolve(
    Runtime runtime, std::string host, Deadline deadline, StopSignal& stop
) {
    const auto lookup = std::make_shared<Lookup>(runtime.executor);
    const auto addresses = std::make_shared<Addresses>();
    const auto work = [addresses, host] { *addresses = look_up(host); };
    const auto done = [lookup] {
        lookup->done = true;
        lookup->settled.set();
    };
    const auto give_up = [lookup] { lookup->settled.set(); };
    runtime.executor.run_blocking(work, done);
    const auto timer = runtime.clock.make_timer();
    timer->start(deadline.at, give_up);
    StopSignal::Hook hook(stop, give_up);
    co_await lookup->settled.wait();
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    if (!lookup->done) {
        co_return Error(ErrorCode::DbConnect, fmt::format("host name {}: no answer in time", host));
    }
    if (!addresses->failure.empty()) {
        co_return Error(ErrorCode::DbConnect, addresses->failure);
    }
    co_return std::move(addresses->found);
}

/// A place to try: a host as libpq knows it, and its address where it had to be looked up.
struct Place {
    std::string host;
    std::string address;
};

/// Every address of every host, in order. Fails when no host can be looked up.
Task<Result<std::vector<Place>>> find_places(
    Runtime runtime, std::string hosts, Duration timeout, StopSignal& stop
) {
    std::vector<Place> places;
    std::optional<Error> failure;
    while (true) {
        const auto host = hosts.substr(0, hosts.find(','));
        // Empty: libpq's own default. A path: the folder of a socket.
        if (host.empty() || host.front() == '/') {
            places.push_back({host, {}});
        } else {
            const Deadline deadline{runtime.clock.now() + timeout};
            const auto addresses = co_await resolve(runtime, host, deadline, stop);
            if (!addresses) {
                failure = addresses.error();
            } else {
                for (const auto& address : *addresses) {
                    places.push_back({host, address});
                }
            }
        }
        if (host.size() == hosts.size()) {
            break;
        }
        hosts.erase(0, host.size() + 1);
    }
    if (places.empty() && failure) {
        co_return *std::move(failure);
    }
    co_return places;
}

}  // namespace

Task<Result<std::unique_ptr<Connection>>> Connection::open(
    Runtime runtime, const DataSourceUrl& url, ConnectOptions options, StopSignal& stop
) {
    SourceCaps::Place place;
    if (runtime.caps != nullptr) {
        QIAO_CO_TRY(place, runtime.caps->take_place());
        const auto most = runtime.caps->limits().statement_time;
        if (most != Duration::zero() && !options.replication) {
            const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(most).count();
            options.settings.emplace_back("statement_timeout", std::to_string(milliseconds));
        }
    }
    QIAO_CO_TRY(const auto parameters, ConnectParameters::make(url, options));
    const auto where = url.display();
    const auto timeout = parameters.connect_timeout().value_or(options.connect_timeout);
    const auto places = co_await find_places(runtime, url.host, timeout, stop);
    if (!places) {
        co_return places.error().within(where);
    }
    Error failure(ErrorCode::DbConnect, where + ": no address");
    for (const auto& address : *places) {
        std::unique_ptr<Connection> connection(new Connection(runtime, stop));
        connection->replication_ = options.replication;
        connection->connection_.reset(parameters.start(address.host, address.address));
        const Deadline deadline{runtime.clock.now() + timeout};
        const auto connected = co_await connection->poll_until_connected(deadline);
        if (connected) {
            connection->place_ = std::move(place);
            co_return connection;
        }
        failure = connected.error().within(where);
        // A server that answered and refused would refuse at its other address too.
        if (!failure.is(ErrorCode::DbConnect)) {
            break;
        }
    }
    co_return failure;
}

Task<Status> Connection::poll_until_connected(Deadline deadline) {
    auto* const raw = connection_.get();
    QIAO_ASSERT(raw != nullptr);
    PQsetErrorVerbosity(raw, PQERRORS_VERBOSE);
    // libpq says: behave as if the last poll had asked to write.
    auto next = PQstatus(raw) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        const auto interest =
            next == PGRES_POLLING_READING ? Poller::Interest::Read : Poller::Interest::Write;
        // The socket can be another one after each poll, even with the same number.
        watch_ = runtime_.poller.watch(PQsocket(raw));
        const auto ready = co_await watch_->wait(interest, deadline, *stop_);
        watch_.reset();
        if (!ready && ready.error().is(ErrorCode::DeadlinePassed)) {
            co_return Error(ErrorCode::DbConnect, "no answer in time");
        }
        QIAO_CO_CHECK(ready);
        next = PQconnectPoll(raw);
    }
    if (next != PGRES_POLLING_OK) {
        co_return error_of(raw, true);
    }
    PQsetErrorVerbosity(raw, PQERRORS_DEFAULT);
    if (PQsetnonblocking(raw, 1) != 0) {
        co_return error_of(raw, true);
    }
    // Notices repeat names and values of rows; nobody reads them.
    PQsetNoticeReceiver(raw, [](void*, const pg_result*) {}, nullptr);
    watch_ = runtime_.poller.watch(PQsocket(raw));
    co_return Status{};
}

}  // namespace qiao::drivers::postgres
