#include "qiao/agent/verify_part.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

using std::chrono::hours;

// Spec: R-36
TEST(VerifyPart, ASampleIsAShareWithTwoDecimalsAtMost) {
    EXPECT_EQ(parse_share("5").value(), 500U);
    EXPECT_EQ(parse_share("0.01").value(), 1U);
    EXPECT_EQ(parse_share("12.5").value(), 1250U);
    EXPECT_EQ(parse_share("100").value(), drivers::RowSample::kAll);
    EXPECT_EQ(parse_share("100.00").value(), drivers::RowSample::kAll);
    for (const auto* text :
         {"",
          "0",
          "0.00",
          "100.01",
          "101",
          "-5",
          "5%",
          ".5",
          "5.",
          "0.001",
          "5.5.5",
          "1e1",
          "99999999999999999999"}) {
        const auto share = parse_share(text);
        ASSERT_FALSE(share) << text;
        EXPECT_EQ(share.error().code(), ErrorCode::Config);
    }
}

TEST(VerifyPart, ARangeHasAColumnAndAtLeastOneEnd) {
    const auto both = parse_range("updated_at=2026-11-01 08:00..2026-11-02").value();
    EXPECT_EQ(both.range.column, "updated_at");
    EXPECT_EQ(both.range.from, "2026-11-01 08:00");
    EXPECT_EQ(both.range.to, "2026-11-02");
    EXPECT_EQ(parse_range("id=5..")->range.to, std::nullopt);
    EXPECT_EQ(parse_range("id=..5")->range.from, std::nullopt);
    EXPECT_EQ(parse_range("note=it's..\"x\"")->range.from, "it's");
    EXPECT_EQ(parse_range("ratio=0.5..1.5")->range.to, "1.5");
    for (const auto* text : {"", "id", "id=", "=1..2", "id=..", "id=5", "id=5.6"}) {
        EXPECT_FALSE(parse_range(text)) << text;
    }
}

TEST(VerifyPart, ARecentRangeIsATimeInOneUnit) {
    EXPECT_EQ(parse_recent("at=2d")->within, hours(48));
    EXPECT_EQ(parse_recent("at=2h")->within, hours(2));
    EXPECT_EQ(parse_recent("at=90s")->within, std::chrono::seconds(90));
    for (const auto* text :
         {"at", "at=", "at=d", "at=0h", "at=2", "at=2w", "=2d", "at=9999d", "at=-1h", "at=1h30m"}) {
        EXPECT_FALSE(parse_recent(text)) << text;
    }
}

TEST(VerifyPart, ComesBackFromAQuestionAsItWas) {
    verify::Part part;
    EXPECT_TRUE(to_json(part).is_null());
    part.share = 25;
    EXPECT_EQ(parse_part(to_json(part)).value(), part);
    part.seed = 4'294'967'295U;
    part.range = parse_range("id=5..").value();
    EXPECT_EQ(parse_part(to_json(part)).value(), part);
    part.range = parse_recent("at=2d").value();
    EXPECT_EQ(parse_part(to_json(part)).value(), part);
}

TEST(VerifyPart, AQuestionThatSaysNothingClearIsRefused) {
    for (const auto* text :
         {R"({"share": 0})",
          R"({"share": 10001})",
          R"({"share": "5"})",
          R"({"range": {"column": "id"}})",
          R"({"range": {"column": "", "from": "5"}})",
          R"({"range": {"column": "id", "from": "5", "within_seconds": 5}})",
          R"({"range": {"column": "id", "from": 5}})",
          R"({"range": {"column": "id", "within_seconds": 0}})",
          R"({"range": 5})"}) {
        EXPECT_FALSE(parse_part(nlohmann::ordered_json::parse(text))) << text;
    }
}

}  // namespace
}  // namespace qiao::agent
