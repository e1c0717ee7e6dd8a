#include "qiao/cli/process_title.h"

#include <gtest/gtest.h>

namespace qiao::cli {
namespace {

std::string hidden(const std::string& word) {
    std::string title = word;
    char* words[] = {title.data()};
    EXPECT_EQ(take_words(1, words).front(), word);
    return title;
}

// Spec: R-75
TEST(ProcessTitle, HidesThePasswordOfAUrl) {
    EXPECT_EQ(hidden("postgresql://me:secret@db/shop"), "postgresql://me:xxxxxx@db/shop");
    EXPECT_EQ(
        hidden("postgresql://me:a%40b@[::1]:5432/shop"), "postgresql://me:xxxxx@[::1]:5432/shop"
    );
    EXPECT_EQ(hidden("--from=postgresql://me:s@db/shop"), "--from=postgresql://me:x@db/shop");
}

TEST(ProcessTitle, HidesPasswordsThatShouldHaveBeenEncoded) {
    EXPECT_EQ(hidden("postgresql://me:s/e?c@db/shop"), "postgresql://me:xxxxx@db/shop");
    EXPECT_EQ(hidden("postgresql://me:s@e@db/shop"), "postgresql://me:xxx@db/shop");
}

TEST(ProcessTitle, HidesThePasswordParameter) {
    EXPECT_EQ(
        hidden("postgresql://me@db/shop?a=b&password=secret&c=d"),
        "postgresql://me@db/shop?a=b&password=xxxxxx&c=d"
    );
    EXPECT_EQ(hidden("postgresql://me@db/shop?password=s"), "postgresql://me@db/shop?password=x");
}

TEST(ProcessTitle, LeavesEverythingElse) {
    for (const std::string word :
         {"sync",
          "",
          "postgresql://db/shop",
          "postgresql://me@db:5432/shop",
          "postgresql://me:@file@db/shop",
          "postgresql://me:@db/shop",
          "public.*",
          "a:b@c"}) {
        EXPECT_EQ(hidden(word), word);
    }
}

}  // namespace
}  // namespace qiao::cli
