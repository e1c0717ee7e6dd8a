#include "qiao/common/async/event_loop.h"

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/posix_storage.h"
#include "qiao/testing/temp_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <sys/socket.h>
#include <unistd.h>

namespace qiao {
namespace {

Task<void> echo_once(Listener& listener) {
    auto connection = co_await listener.accept();
    if (!connection) {
        co_return;
    }
    Bytes buffer(64);
    const auto got = co_await (*connection)->read_some(buffer);
    if (got) {
        (void)co_await (*connection)->write_all(ByteView(buffer).first(*got));
    }
}

Task<Result<std::string>> talk(EventLoop& loop, Endpoint to, TaskScope& scope) {
    const Deadline deadline{loop.now() + std::chrono::seconds(30)};
    QIAO_CO_TRY(
        const auto connection, co_await loop.transport().connect(to, deadline, scope.stop())
    );
    QIAO_CO_CHECK(co_await connection->write_all(as_bytes("桥")));
    Bytes buffer(64);
    QIAO_CO_TRY(const auto got, co_await connection->read_some(buffer));
    co_await scope.join();
    co_return std::string(as_text(ByteView(buffer).first(got)));
}

// Spec: R-76
TEST(EventLoop, CarriesBytesOverIpv4AndIpv6) {
    for (const auto* host : {"127.0.0.1", "::1"}) {
        EventLoop loop;
        auto listener = loop.transport().listen({"*", 0});
        ASSERT_TRUE(listener) << listener.error().to_string();
        TaskScope scope(loop);
        scope.spawn(echo_once(**listener));
        const auto answer = loop.run(talk(loop, {host, (*listener)->local().port}, scope));
        ASSERT_TRUE(answer) << answer.error().to_string();
        EXPECT_EQ(*answer, "桥");
    }
}

/// The two ends of a connection that nobody closes but the test.
std::array<int, 2> make_pair_of_sockets() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    return ends;
}

Task<Status> drop_and_write(std::unique_ptr<Poller::Watch>& watch, int to) {
    watch.reset();
    EXPECT_EQ(::write(to, "x", 1), 1);
    co_return Status{};
}

Task<Status> wait_for_a_byte(EventLoop& loop, Poller::Watch& watch, StopSignal& stop) {
    const Deadline deadline{loop.now() + std::chrono::seconds(20)};
    return watch.wait(Poller::Interest::Read, deadline, stop);
}

/// The wait is under way when the other one begins.
Task<Status> wait_beside(EventLoop& loop, Task<Status> wait, Task<Status> other) {
    TaskScope scope(loop);
    Status waited, done;
    const auto keep = [](Task<Status> task, Status& result) -> Task<void> {
        result = co_await std::move(task);
    };
    scope.spawn(keep(std::move(wait), waited));
    scope.spawn(keep(std::move(other), done));
    co_await scope.join();
    QIAO_CO_CHECK(done);
    co_return waited;
}

// A library closes its socket when it sees a connection lost, and asks nobody: libpq does.
TEST(EventLoop, AWatchOfAClosedSocketTakesNothingFromTheNextOneOfItsNumber) {
    EventLoop loop;
    StopSignal stop;
    const auto lost = make_pair_of_sockets();
    auto old = loop.watch(lost[0]);
    ::close(lost[0]);
    const auto next = make_pair_of_sockets();
    ASSERT_EQ(next[0], lost[0]) << "the number is given out again";
    const auto watch = loop.watch(next[0]);
    const auto waited = loop.run(
        wait_beside(loop, wait_for_a_byte(loop, *watch, stop), drop_and_write(old, next[1]))
    );
    EXPECT_TRUE(waited) << waited.error().to_string();
    for (const int end : {lost[1], next[0], next[1]}) {
        ::close(end);
    }
}

Task<Result<Bytes>> write_and_read(Storage& storage, std::string folder) {
    QIAO_CO_CHECK(co_await storage.make_folder(folder));
    QIAO_CO_CHECK(co_await write_file_atomically(storage, folder + "/x", to_bytes(as_bytes("old")))
    );
    QIAO_CO_CHECK(co_await write_file_atomically(storage, folder + "/x", to_bytes(as_bytes("new")))
    );
    co_return co_await read_file(storage, folder + "/x");
}

TEST(PosixStorage, ReplacesASmallFileWhole) {
    EventLoop loop;
    const testing::TempFolder folder;
    const auto storage = make_posix_storage(loop);
    const auto content = loop.run(write_and_read(*storage, folder / "a/b"));
    ASSERT_TRUE(content) << content.error().to_string();
    EXPECT_EQ(as_text(*content), "new");
}

TEST(PosixStorage, TellsTheOwnerOfALock) {
    EventLoop loop;
    const testing::TempFolder folder;
    const auto storage = make_posix_storage(loop);
    const auto first = loop.run(storage->lock(folder / "lock"));
    ASSERT_TRUE(first);
    const auto second = loop.run(storage->lock(folder / "lock"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), ErrorCode::StorageLocked);
}

}  // namespace
}  // namespace qiao
