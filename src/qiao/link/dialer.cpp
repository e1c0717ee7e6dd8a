#include "qiao/link/dialer.h"

#include "qiao/common/async/sleep.h"

namespace qiao::link {
namespace {

/// A session that lasted this long counts as a success; one that ended sooner (refused after its
/// Hello, say) counts as a failed try, or two nodes that refuse each other would dial all the time.
constexpr Duration kSettled = std::chrono::seconds(1);

}  // namespace

Dialer::Dialer(
    Executor& executor,
    Clock& clock,
    Rng& rng,
    Transport& transport,
    Authenticator& authenticator,
    DialerOptions options,
    SessionUser& user
)
    : executor_(executor),
      clock_(clock),
      rng_(rng),
      transport_(transport),
      authenticator_(authenticator),
      options_(std::move(options)),
      user_(user),
      woken_(executor) {}

Task<void> Dialer::run(StopSignal& stop) {
    auto& backoff = options_.backoff;
    while (!stop.requested()) {
        status_.state = DialerState::Connecting;
        auto session = co_await connect(stop);
        if (session) {
            const auto since = clock_.now();
            co_await use(*std::move(session), stop);
            if (clock_.now() - since >= kSettled) {
                backoff.reset();
            }
        } else if (!stop.requested()) {
            status_.last_error = session.error();
        }
        if (!stop.requested()) {
            status_.state = DialerState::Waiting;
            status_.next_try = clock_.now() + backoff.next(rng_);
            status_.tries = backoff.tries();
            co_await pause(stop);
        }
    }
    status_.state = DialerState::Stopped;
}

Task<Result<std::unique_ptr<Session>>> Dialer::connect(StopSignal& stop) {
    const Deadline deadline{clock_.now() + options_.connect_deadline};
    QIAO_CO_TRY(auto raw, co_await transport_.connect(options_.to, deadline, stop));
    QIAO_CO_TRY(
        auto known,
        co_await authenticator_.authenticate(
            std::move(raw), crypto::TlsRole::Client, deadline, stop
        )
    );
    co_return co_await Session::open(
        executor_, clock_, std::move(known), options_.session, deadline, stop
    );
}

Task<void> Dialer::use(std::unique_ptr<Session> session, StopSignal& stop) {
    status_.state = DialerState::Up;
    status_.session = session.get();
    ++status_.sessions;
    {
        const StopSignal::Hook hook(stop, [&session] {
            session->close(Error(ErrorCode::LinkClosed, "this node stops"));
        });
        co_await user_.use(*session);
    }
    status_.session = nullptr;
    status_.last_error = session->ended();
}

Task<void> Dialer::pause(StopSignal& stop) {
    woken_.reset();
    const auto timer = clock_.make_timer();
    const auto wake = [this] { woken_.set(); };
    timer->start(status_.next_try, wake);
    const StopSignal::Hook hook(stop, wake);
    co_await woken_.wait();
}

void Dialer::retry_now() { woken_.set(); }

}  // namespace qiao::link
