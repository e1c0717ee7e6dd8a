#include "qiao/link/acceptor.h"

#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

namespace qiao::link {
namespace {

/// After a failed accept (no file descriptor left, say), so that the loop does not spin.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);

}  // namespace

Acceptor::Acceptor(
    Executor& executor,
    Clock& clock,
    Transport& transport,
    Authenticator& authenticator,
    AcceptorOptions options,
    SessionUser& user
)
    : executor_(executor),
      clock_(clock),
      transport_(transport),
      authenticator_(authenticator),
      options_(std::move(options)),
      user_(user),
      scope_(executor) {}

Acceptor::~Acceptor() = default;

Status Acceptor::listen() {
    QIAO_TRY(listener_, transport_.listen(options_.at));
    return {};
}

Task<void> Acceptor::run(StopSignal& stop) {
    QIAO_ASSERT(listener_ != nullptr);
    const StopSignal::Hook hook(stop, [this] {
        listener_->close();
        scope_.request_stop();
        close_all();
    });
    while (!stop.requested()) {
        auto connection = co_await listener_->accept();
        if (stop.requested()) {
            break;
        }
        if (!connection) {
            stats_.last_error = connection.error();
            (void)co_await sleep_for(executor_, clock_, kAcceptPause, stop);
            continue;
        }
        ++stats_.accepted;
        if (stats_.handshakes >= options_.handshakes_max) {
            ++stats_.turned_away;
            (*connection)->close();
            continue;
        }
        ++stats_.handshakes;
        scope_.spawn(handshake(*std::move(connection)));
    }
    co_await scope_.join();
}

Task<void> Acceptor::handshake(std::unique_ptr<Connection> connection) {
    auto session = co_await open(std::move(connection));
    Status admitted;
    if (session && options_.admit) {
        admitted = options_.admit((*session)->peer());
    }
    if (!session || !admitted) {
        ++stats_.failed;
        stats_.last_error = session ? admitted.error() : session.error();
    }
    if (session && admitted) {
        seat(*std::move(session));
    } else if (session) {
        (*session)->close(admitted.error());
        (void)co_await (*session)->run();
    }
    --stats_.handshakes;
}

Task<Result<std::unique_ptr<Session>>> Acceptor::open(std::unique_ptr<Connection> connection) {
    const Deadline deadline{clock_.now() + options_.handshake_deadline};
    const auto from = connection->peer().to_string();
    auto known = co_await authenticator_.authenticate(
        std::move(connection), crypto::TlsRole::Server, deadline, scope_.stop()
    );
    if (!known) {
        co_return known.error().within(from);
    }
    auto session = co_await Session::open(
        executor_, clock_, *std::move(known), options_.session, deadline, scope_.stop()
    );
    if (!session) {
        co_return session.error().within(from);
    }
    co_return session;
}

void Acceptor::seat(std::unique_ptr<Session> session) {
    const auto name = session->peer().name;
    auto place = seats_.find(name);
    if (place == seats_.end()) {
        place = seats_.emplace(name, Seat{}).first;
        scope_.spawn(serve(name));
    }
    auto& seat = place->second;
    const Error replaced(
        ErrorCode::LinkReplaced,
        fmt::format("`{}` connected again from {}", name, session->peer().address.to_string())
    );
    if (seat.at_work != nullptr) {
        ++stats_.replaced;
        seat.at_work->close(replaced);
    }
    if (seat.next) {
        ++stats_.replaced;
        seat.next->close(replaced);
        scope_.spawn(dismiss(std::move(seat.next)));
    }
    if (scope_.stop().requested()) {
        session->close(Error(ErrorCode::LinkClosed, "this node stops"));
    }
    seat.next = std::move(session);
}

Task<void> Acceptor::dismiss(std::unique_ptr<Session> session) { (void)co_await session->run(); }

Task<void> Acceptor::serve(std::string name) {
    auto& seat = seats_.at(name);
    while (seat.next) {
        const auto session = std::move(seat.next);
        seat.at_work = session.get();
        co_await user_.use(*session);
        seat.at_work = nullptr;
    }
    seats_.erase(name);
}

void Acceptor::close_all() {
    const Error stopping(ErrorCode::LinkClosed, "this node stops");
    for (const auto& [name, seat] : seats_) {
        if (seat.at_work != nullptr) {
            seat.at_work->close(stopping);
        }
        if (seat.next) {
            seat.next->close(stopping);
        }
    }
}

std::vector<const Session*> Acceptor::sessions() const {
    std::vector<const Session*> all;
    for (const auto& [name, seat] : seats_) {
        if (seat.at_work != nullptr) {
            all.push_back(seat.at_work);
        }
    }
    return all;
}

}  // namespace qiao::link
