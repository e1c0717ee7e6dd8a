#include "qiao/common/async/unix_socket.h"

#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/scope.h"
#include "qiao/testing/temp_folder.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

namespace qiao {
namespace {

/// Sends back what comes, until the other side closes.
Task<void> echo(Listener& listener) {
    auto connection = co_await listener.accept();
    Bytes buffer(100'000);
    while (true) {
        const auto got = co_await (*connection)->read_some(buffer);
        if (!got) {
            co_return;
        }
        (void)co_await (*connection)->write_all(ByteView(buffer).first(*got));
    }
}

Task<void> send(Connection& connection, ByteView bytes) {
    (void)co_await connection.write_all(bytes);
}

Task<Bytes> talk(EventLoop& loop, std::string path, Bytes bytes) {
    auto listener = listen_unix(loop, path);
    EXPECT_TRUE(listener);
    TaskScope scope(loop);
    scope.spawn(echo(**listener));
    Bytes all;
    {
        auto connection = co_await connect_unix(loop, path);
        EXPECT_TRUE(connection);
        // Written beside the reading: more than the kernel's buffers hold.
        scope.spawn(send(**connection, bytes));
        Bytes buffer(65'536);
        while (all.size() < bytes.size()) {
            const auto got = co_await (*connection)->read_some(buffer);
            EXPECT_TRUE(got);
            if (!got) {
                break;
            }
            all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<long>(*got));
        }
        (*connection)->close();
        co_await scope.join();
    }
    co_return all;
}

TEST(UnixSocket, CarriesBytesBothWaysAtOnce) {
    EventLoop loop;
    testing::TempFolder folder;
    Bytes bytes(3'000'000);
    for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(i * 7 / 3);
    }
    EXPECT_EQ(loop.run(talk(loop, folder / "s", bytes)), bytes);
}

TEST(UnixSocket, ItsFileIsTheOwnersAloneAndGoesWithTheListener) {
    EventLoop loop;
    testing::TempFolder folder;
    const auto path = folder / "s";

    struct stat info{};

    {
        auto listener = listen_unix(loop, path);
        ASSERT_TRUE(listener);
        ASSERT_EQ(::stat(path.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777U, 0600U);
        const auto second = listen_unix(loop, path);
        ASSERT_FALSE(second);
        EXPECT_TRUE(second.error().is(ErrorCode::Config));
    }

    EXPECT_NE(::stat(path.c_str(), &info), 0);
    const auto nobody = loop.run(connect_unix(loop, path));
    ASSERT_FALSE(nobody);
    EXPECT_TRUE(nobody.error().is(ErrorCode::NetworkUnreachable));
}

TEST(UnixSocket, ReplacesTheFileOfAKilledProcess) {
    EventLoop loop;
    testing::TempFolder folder;
    const auto path = folder / "s";
    {
        auto listener = listen_unix(loop, path);
        ASSERT_TRUE(listener);
        ASSERT_EQ(::rename(path.c_str(), (path + ".left").c_str()), 0);
    }
    // Now a file that no process listens on, as kill -9 leaves it.
    ASSERT_EQ(::rename((path + ".left").c_str(), path.c_str()), 0);
    EXPECT_TRUE(listen_unix(loop, path));
}

TEST(UnixSocket, APathThatIsTooLongIsRefused) {
    EventLoop loop;
    const auto listener = listen_unix(loop, "/tmp/" + std::string(200, 'x'));
    ASSERT_FALSE(listener);
    EXPECT_TRUE(listener.error().is(ErrorCode::Config));
}

}  // namespace
}  // namespace qiao
