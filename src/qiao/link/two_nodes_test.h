#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/link/plain_authenticator.h"
#include "qiao/link/session.h"
#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_transport.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace qiao::link::testing {

using qiao::testing::ManualWorld;
using qiao::testing::MemoryTransport;

inline SessionOptions named(const std::string& name) {
    SessionOptions options;
    options.node_name = name;
    options.incarnation.bytes.fill(static_cast<std::byte>(name.front()));
    return options;
}

inline StreamId stream_id(uint8_t number) {
    StreamId id;
    id.bytes.fill(static_cast<std::byte>(number));
    return id;
}

inline StreamOffer offer_of(uint8_t number) {
    return {stream_id(number), "stream " + std::to_string(number), {}};
}

inline StreamPoint point(uint64_t sequence) { return {Epoch{1}, Sequence{sequence}}; }

inline Bytes random_bytes(std::mt19937_64& random, size_t size) {
    Bytes bytes(size);
    for (auto& byte : bytes) {
        byte = static_cast<std::byte>(random());
    }
    return bytes;
}

/// A handler whose serve() is a function of the test.
class HandlerOf final : public StreamHandler {
public:
    explicit HandlerOf(std::function<Task<void>(IncomingStream&)> serve)
        : serve_(std::move(serve)) {}

    Task<void> serve(IncomingStream& stream) override { return serve_(stream); }

private:
    std::function<Task<void>(IncomingStream&)> serve_;
};

/// A user of sessions whose use() is a function of the test.
class UserOf final : public SessionUser {
public:
    explicit UserOf(std::function<Task<void>(Session&)> use) : use_(std::move(use)) {}

    Task<void> use(Session& session) override { return use_(session); }

private:
    std::function<Task<void>(Session&)> use_;
};

/// Two sessions, `a` and `b`, of one connection over the memory network.
class TwoNodes {
public:
    explicit TwoNodes(
        SessionOptions a_options = named("a"),
        SessionOptions b_options = named("b"),
        const std::string& a_certificate = "a"
    )
        : network(world, world),
          a_options_(std::move(a_options)),
          b_options_(std::move(b_options)),
          a_authenticator_(world, a_certificate),
          b_authenticator_(world, "b"),
          scope_(world) {
        listener_ = *network.listen({"", 1});
        scope_.spawn(open_b());
        scope_.spawn(open_a());
        world.run(scope_.join());
        if (!a_error && !b_error) {
            a = std::move(opened_a_);
            b = std::move(opened_b_);
        }
    }

    ~TwoNodes() { finish(); }

    /// Ends both sessions and all tasks. For tests whose tasks use what is declared after this.
    void finish() {
        if (running_) {
            a->close(Error(ErrorCode::LinkClosed, "the test is over"));
            world.run(scope_.join());
            running_ = false;
        }
    }

    /// Lets both sessions run from now on.
    void start() {
        running_ = true;
        scope_.spawn(run(*a, a_end));
        scope_.spawn(run(*b, b_end));
    }

    void spawn(Task<void> task) { scope_.spawn(std::move(task)); }

    /// So much virtual time passes.
    void wait(Duration duration) {
        StopSignal never;
        (void)world.run(sleep_for(world, world, duration, never));
    }

    void wait_for_end() { world.run(scope_.join()); }

    ManualWorld world;
    MemoryTransport network;
    std::unique_ptr<Session> a, b;
    std::optional<Error> a_error, b_error;  ///< of opening
    std::optional<Error> a_end, b_end;      ///< of run()

private:
    static Task<void> run(Session& session, std::optional<Error>& end) {
        end = co_await session.run();
    }

    Task<Result<std::unique_ptr<Session>>> open(
        std::unique_ptr<Connection> connection,
        Authenticator& authenticator,
        SessionOptions options,
        crypto::TlsRole role
    ) {
        const Deadline deadline{world.now() + std::chrono::seconds(10)};
        QIAO_CO_TRY(
            auto known,
            co_await authenticator.authenticate(std::move(connection), role, deadline, stop_)
        );
        co_return co_await Session::open(
            world, world, std::move(known), std::move(options), deadline, stop_
        );
    }

    Task<void> open_a() {
        const Deadline deadline{world.now() + std::chrono::seconds(10)};
        auto connection = co_await network.connect({"", 1}, deadline, stop_);
        auto session = co_await open(
            *std::move(connection), a_authenticator_, a_options_, crypto::TlsRole::Client
        );
        keep(std::move(session), opened_a_, a_error);
    }

    Task<void> open_b() {
        auto connection = co_await listener_->accept();
        auto session = co_await open(
            *std::move(connection), b_authenticator_, b_options_, crypto::TlsRole::Server
        );
        keep(std::move(session), opened_b_, b_error);
    }

    static void keep(
        Result<std::unique_ptr<Session>> session,
        std::unique_ptr<Session>& into,
        std::optional<Error>& error
    ) {
        if (session) {
            into = *std::move(session);
        } else {
            error = session.error();
        }
    }

    SessionOptions a_options_, b_options_;
    PlainAuthenticator a_authenticator_, b_authenticator_;
    std::unique_ptr<Listener> listener_;
    std::unique_ptr<Session> opened_a_, opened_b_;
    StopSignal stop_;
    bool running_ = false;
    TaskScope scope_;
};

}  // namespace qiao::link::testing
