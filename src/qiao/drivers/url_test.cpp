#include "qiao/drivers/url.h"

#include "qiao/common/async/event_loop.h"
#include "qiao/common/posix_storage.h"
#include "qiao/testing/temp_folder.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::drivers {
namespace {

DataSourceUrl parsed(std::string_view text) {
    auto url = DataSourceUrl::parse(text);
    EXPECT_TRUE(url) << text << ": " << url.error().to_string();
    return url ? *std::move(url) : DataSourceUrl{};
}

TEST(DataSourceUrl, HasItsParts) {
    const auto url = parsed("postgresql://ann@db.example:6543/files?sslmode=require&keepalives=0");
    EXPECT_EQ(url.scheme, "postgresql");
    EXPECT_EQ(url.user, "ann");
    EXPECT_EQ(url.host, "db.example");
    EXPECT_EQ(url.port, 6543);
    EXPECT_EQ(url.database, "files");
    EXPECT_EQ(url.options.at("sslmode"), "require");
    EXPECT_EQ(url.options.at("keepalives"), "0");
    EXPECT_TRUE(url.password.empty());
    EXPECT_FALSE(url.password_in_url);
}

// Spec: R-76
TEST(DataSourceUrl, TakesIpv6InBrackets) {
    const auto url = parsed("postgres://ann@[2001:db8::1]:5433/x");
    EXPECT_EQ(url.host, "2001:db8::1");
    EXPECT_EQ(url.port, 5433);
    EXPECT_EQ(url.display(), "postgresql://ann@[2001:db8::1]:5433/x");
    EXPECT_EQ(parsed("postgresql://[::1]/x").host, "::1");
    EXPECT_FALSE(DataSourceUrl::parse("postgresql://::1/x"));
    EXPECT_FALSE(DataSourceUrl::parse("postgresql://[::1/x"));
    EXPECT_FALSE(DataSourceUrl::parse("postgresql://[::1]x/x"));
}

TEST(DataSourceUrl, TakesTheFolderOfASocket) {
    EXPECT_EQ(parsed("postgresql://%2Frun%2Fpg/x").host, "/run/pg");
    EXPECT_EQ(parsed("postgresql:///x?host=/run/pg").host, "/run/pg");
    EXPECT_EQ(parsed("postgresql:///x").host, "");
}

TEST(DataSourceUrl, TakesSeveralHostsOfOnePort) {
    const auto url = parsed("postgresql://a:6000,[::1]:6000/x");
    EXPECT_EQ(url.host, "a,::1");
    EXPECT_EQ(url.port, 6000);
    EXPECT_FALSE(DataSourceUrl::parse("postgresql://a:6000,b:6001/x"));
}

TEST(DataSourceUrl, TakesOtherSchemes) {
    EXPECT_EQ(parsed("sqlite:///var/lib/a.db").database, "var/lib/a.db");
    EXPECT_EQ(parsed("mysql://h/d").scheme, "mysql");
    EXPECT_EQ(parsed("odbc:DSN=dm").database, "DSN=dm");
    EXPECT_EQ(parsed("odbc:DSN=dm;PWD=s3cret").display(), "odbc:DSN=dm");
    EXPECT_EQ(parsed("odbc:PWD=s3cret;DSN=dm").display(), "odbc:");
}

TEST(DataSourceUrl, WarnsOfAPasswordAndNeverShowsIt) {
    const auto url = parsed("postgresql://ann:s3cret%40x@h/d");
    EXPECT_EQ(url.password.reveal_text(), "s3cret@x");
    EXPECT_TRUE(url.password_in_url);
    EXPECT_EQ(url.display().find("s3cret"), std::string::npos);
    const auto option = parsed("postgresql://ann@h/d?password=s3cret");
    EXPECT_EQ(option.password.reveal_text(), "s3cret");
    EXPECT_TRUE(option.options.empty());
}

TEST(DataSourceUrl, NamesAPasswordFile) {
    const auto url = parsed("postgresql://ann:@/etc/qiao/pw@h:5432/d");
    EXPECT_EQ(url.password_file, "/etc/qiao/pw");
    EXPECT_EQ(url.user, "ann");
    EXPECT_EQ(url.host, "h");
    EXPECT_EQ(url.port, 5432);
    EXPECT_EQ(url.database, "d");
    EXPECT_FALSE(url.password_in_url);
    EXPECT_EQ(parsed("postgresql://ann@h/d?password=@pw").password_file, "pw");
    EXPECT_EQ(parsed("postgresql://ann:@/d").database, "d");
}

TEST(DataSourceUrl, RefusalsDoNotRepeatThePassword) {
    for (const auto* text :
         {"postgresql://ann:s3cret@h:port/d",
          "postgresql://ann:s3cret@h:0/d",
          "postgresql://ann:s3cret%4@h/d",
          "postgresql://ann:s3cret%00@h/d",
          "postgresql://ann:s3cret@h/d?x",
          "ann:s3cret@h/d",
          "",
          "postgresql:ann:s3cret@h"}) {
        const auto url = DataSourceUrl::parse(text);
        ASSERT_FALSE(url) << text;
        EXPECT_EQ(url.error().code(), ErrorCode::Config);
        EXPECT_EQ(url.error().to_string().find("s3cret"), std::string::npos) << text;
    }
}

std::string encoded(const std::string& text) {
    std::string all;
    for (const char c : text) {
        all += '%' + to_hex(as_bytes(std::string_view(&c, 1)));
    }
    return all;
}

TEST(DataSourceUrl, AnyPartSurvivesPercentEncoding) {
    std::mt19937 random(7);
    for (int i = 0; i < 500; ++i) {
        const auto make = [&random] {
            std::string text = "x";
            for (auto left = random() % 12; left > 0; --left) {
                text += static_cast<char>(1 + random() % 255);
            }
            return text;
        };
        const auto user = make(), password = make(), host = make(), database = make();
        const auto url = parsed(
            "postgresql://" + encoded(user) + ":" + encoded(password) + "@" + encoded(host) + "/" +
            encoded(database) + "?" + encoded("k") + "=" + encoded(user)
        );
        EXPECT_EQ(url.user, user);
        EXPECT_EQ(url.password.reveal_text(), password);
        EXPECT_EQ(url.host, host);
        EXPECT_EQ(url.database, database);
        EXPECT_EQ(url.options.at("k"), user);
    }
}

TEST(ResolvePassword, ReadsTheFirstLineOfTheFile) {
    EventLoop loop;
    const testing::TempFolder folder;
    const auto storage = make_posix_storage(loop);
    const auto path = folder / "pw";
    const auto content = to_bytes(as_bytes("s3cret \nrest"));
    ASSERT_TRUE(loop.run(write_file_atomically(*storage, path, content)));
    auto url = parsed("postgresql://ann:@" + path + "@h/d");
    const auto filled = loop.run(resolve_password(url, *storage));
    ASSERT_TRUE(filled) << filled.error().to_string();
    EXPECT_EQ(filled->password.reveal_text(), "s3cret ");
    url.password_file = folder / "none";
    const auto missing = loop.run(resolve_password(url, *storage));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::StorageMissing);
}

}  // namespace
}  // namespace qiao::drivers
