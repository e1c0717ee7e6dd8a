#include "qiao/link/call.h"

#include "qiao/link/frame.h"
#include "qiao/link/two_nodes_test.h"

namespace qiao::link {
namespace {

using namespace testing;

Task<Status> echo(Bytes argument, ReplySink& sink) { return sink.send(std::move(argument)); }

Task<Status> fail(Bytes /*argument*/, ReplySink& /*sink*/) {
    co_return Error(ErrorCode::StorageFull, "/var/lib/qiao");
}

/// Answers with as many bytes as the argument says, counting what it was allowed to send.
class BigAnswer {
public:
    Task<Status> answer(Bytes argument, ReplySink& sink) {
        auto left = ByteReader(argument).get<uint64_t>();
        while (left > 0) {
            const auto size = std::min<uint64_t>(left, 700'000);
            Bytes part(size);
            for (auto& byte : part) {
                byte = static_cast<std::byte>(sent++ % 251);
            }
            const auto taken = co_await sink.send(std::move(part));
            if (!taken) {
                end = taken.error();
                co_return *end;
            }
            left -= size;
        }
        co_return Status{};
    }

    Method method() {
        return
            [this](Bytes argument, ReplySink& sink) { return answer(std::move(argument), sink); };
    }

    uint64_t sent = 0;
    std::optional<Error> end;
};

Bytes number(uint64_t value) {
    ByteWriter writer;
    writer.put(value);
    return std::move(writer).take();
}

class Calls : public ::testing::Test {
protected:
    Calls() {
        nodes.b->register_method("echo", echo);
        nodes.b->register_method("fail", fail);
        nodes.b->register_method("big", big.method());
        nodes.start();
    }

    Deadline in(Duration time) { return {nodes.world.now() + time}; }

    BigAnswer big;
    TwoNodes nodes;
};

TEST_F(Calls, AreAnswered) {
    const auto argument = to_bytes(as_bytes("桥"));
    const auto answer = nodes.world.run(nodes.a->call("echo", argument, Deadline::never()));
    ASSERT_TRUE(answer) << answer.error().to_string();
    EXPECT_EQ(*answer, argument);
    const auto empty = nodes.world.run(nodes.a->call("echo", {}, Deadline::never()));
    ASSERT_TRUE(empty);
    EXPECT_TRUE(empty->empty());
}

TEST_F(Calls, KeepTheCodeOfAFailure) {
    const auto answer = nodes.world.run(nodes.a->call("fail", {}, Deadline::never()));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), ErrorCode::StorageFull);
    EXPECT_EQ(answer.error().detail(), "b: /var/lib/qiao");
}

TEST_F(Calls, OfAnUnknownMethodAreRefused) {
    const auto answer = nodes.world.run(nodes.a->call("dance", {}, Deadline::never()));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), ErrorCode::LinkUnknownMethod);
}

Task<void> call_echo(Session& session, Bytes argument, size_t& right) {
    const auto answer = co_await session.call("echo", argument, Deadline::never());
    right += answer && *answer == argument ? 1 : 0;
}

TEST_F(Calls, RunBesideEachOtherUpToABoundAndWaitAboveIt) {
    std::mt19937_64 random(3);
    size_t right = 0;
    for (size_t i = 0; i < 500; ++i) {
        nodes.spawn(call_echo(*nodes.a, random_bytes(random, random() % 20'000), right));
    }
    nodes.wait(std::chrono::seconds(1));
    EXPECT_EQ(right, 500U);
}

TEST_F(Calls, CollectAnAnswerUpToItsLimit) {
    const auto fits =
        nodes.world.run(nodes.a->call("big", number(kReplyBytesMax), Deadline::never()));
    ASSERT_TRUE(fits) << fits.error().to_string();
    ASSERT_EQ(fits->size(), kReplyBytesMax);
    for (size_t i = 0; i < fits->size(); ++i) {
        ASSERT_EQ((*fits)[i], static_cast<std::byte>(i % 251));
    }
    const auto large =
        nodes.world.run(nodes.a->call("big", number(kReplyBytesMax + 1), Deadline::never()));
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code(), ErrorCode::LinkTooLarge);
}

Task<uint64_t> read_slowly(
    ManualWorld& world, Session& session, uint64_t size, uint64_t most_ahead, const uint64_t& sent
) {
    auto reply = co_await session.call_streamed("big", number(size), Deadline::never());
    uint64_t got = 0;
    StopSignal never;
    while (auto part = (co_await (*reply)->next()).value()) {
        for (const auto byte : *part) {
            if (byte != static_cast<std::byte>(got++ % 251)) {
                co_return 0;
            }
        }
        (void)co_await sleep_for(world, world, std::chrono::milliseconds(10), never);
        if (sent > got + most_ahead) {
            co_return 0;
        }
    }
    co_return got;
}

TEST_F(Calls, StreamLargeAnswersNoFasterThanTheyAreRead) {
    constexpr uint64_t kSize = 50'000'000;
    EXPECT_EQ(
        nodes.world.run(read_slowly(nodes.world, *nodes.a, kSize, 4'000'000, big.sent)), kSize
    );
}

Task<bool> read_one_part(Session& session) {
    auto reply = co_await session.call_streamed("big", number(1'000'000'000), Deadline::never());
    const auto part = co_await (*reply)->next();
    co_return part && part->has_value();
}

TEST_F(Calls, StopTheAnswerWhenTheCallerGoes) {
    EXPECT_TRUE(nodes.world.run(read_one_part(*nodes.a)));
    nodes.wait(std::chrono::seconds(1));
    ASSERT_TRUE(big.end);
    EXPECT_EQ(big.end->code(), ErrorCode::Cancelled);
}

Task<Status> hang(Event& released) {
    co_await released.wait();
    co_return Status{};
}

TEST_F(Calls, EndAtTheirDeadline) {
    Event released(nodes.world);
    nodes.b->register_method("hang", [&](Bytes /*argument*/, ReplySink& /*sink*/) {
        return hang(released);
    });
    const auto before = nodes.world.now();
    const auto answer = nodes.world.run(nodes.a->call("hang", {}, in(std::chrono::seconds(5))));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), ErrorCode::DeadlinePassed);
    EXPECT_EQ(nodes.world.now() - before, std::chrono::seconds(5));
    released.set();
}

Task<void> call_into(Session& session, std::optional<Error>& end) {
    const auto answer = co_await session.call("hang", {}, Deadline::never());
    end = answer ? Error(ErrorCode::Config) : answer.error();
}

TEST_F(Calls, EndWithTheSession) {
    Event released(nodes.world);
    nodes.b->register_method("hang", [&](Bytes /*argument*/, ReplySink& /*sink*/) {
        return hang(released);
    });
    std::optional<Error> end;
    nodes.spawn(call_into(*nodes.a, end));
    nodes.wait(std::chrono::seconds(1));
    nodes.network.cut();
    released.set();
    nodes.wait_for_end();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->code(), ErrorCode::NetworkClosed);
}

}  // namespace
}  // namespace qiao::link
