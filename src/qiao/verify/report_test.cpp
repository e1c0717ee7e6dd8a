#include "qiao/verify/report.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace qiao::verify {
namespace {

TableReport different() {
    TableReport report;
    report.source = {"public", "person"};
    report.target = {"public", "person"};
    report.verdict = Verdict::Different;
    report.source_rows = 10;
    report.target_rows = 9;
    report.confirmed = 3;
    Difference one;
    one.key = {{"id", "5"}, {"name", "O'Neil\x1b[2J"}};
    one.columns = {"birthday", "address"};
    report.differences.push_back(one);
    one.kind = Difference::Kind::MissingAtTarget;
    one.key = {{"id", std::nullopt}};
    report.differences.push_back(one);
    return report;
}

TEST(VerifyReport, NamesTableKeyAndColumn) {
    const auto text = render(different(), Language::English);
    EXPECT_EQ(
        text,
        "public.person: DIFFERENT, 3 differences, 10 / 9 rows, 0.0 s\n"
        "  id='5', name='O''Neil\\x1b[2J': differs in birthday, address\n"
        "  id=NULL: missing at the target\n"
        "  and 1 more\n"
    );
}

// Spec: R-36
TEST(VerifyReport, SaysWhichPartItSpeaksOf) {
    auto table = different();
    table.verdict = Verdict::Equal;
    table.differences.clear();
    table.confirmed = 0;
    table.part.share = 500;
    table.part.seed = 123;
    table.part.range = {{"updated_at", "2026-11-20 19:00:00+00", "2026-11-22"}, std::nullopt};
    EXPECT_EQ(
        render(table, Language::English),
        "public.person: equal in part, 10 / 9 rows, 0.0 s\n"
        "  only: 5 % of rows (seed 123); public.person.updated_at from '2026-11-20 19:00:00+00' to "
        "'2026-11-22'\n"
    );
    VerifyReport report;
    report.tables.push_back(table);
    EXPECT_FALSE(report.whole());
    const auto text = render(report, Language::English);
    EXPECT_NE(text.find("this proves nothing of the other rows"), std::string::npos);
    const auto json = nlohmann::json::parse(to_json(report));
    EXPECT_EQ(json["whole"], false);
    const auto& part = json["tables"][0]["part"];
    EXPECT_EQ(part["sample_percent"], 5);
    EXPECT_EQ(part["sample_seed"], 123);
    EXPECT_EQ(part["range"]["column"], "updated_at");
    EXPECT_EQ(part["range"]["to"], "2026-11-22");
}

TEST(VerifyReport, NamesSharesAndTimesInTheirOwnUnits) {
    Part part;
    part.share = 25;
    EXPECT_EQ(render(part, "", Language::English), "0.25 % of rows");
    part.share = 0;
    for (const auto& [hours, text] : {std::pair(48, "2d"), std::pair(36, "36h")}) {
        part.range = {{"at", std::nullopt, std::nullopt}, std::chrono::hours(hours)};
        EXPECT_EQ(render(part, "", Language::English), std::string("at of the last ") + text);
        EXPECT_EQ(render(part, "", Language::Chinese), std::string("at 最近 ") + text);
    }
}

TEST(VerifyReport, SpeaksChinese) {
    const auto text = render(different(), Language::Chinese);
    EXPECT_NE(text.find("public.person: 不一致, 3 处差异"), std::string::npos);
    EXPECT_NE(text.find("目标端缺失"), std::string::npos);
    EXPECT_NE(text.find("另有 1 处"), std::string::npos);
}

TEST(VerifyReport, EndsWithTheWorstVerdict) {
    VerifyReport report;
    EXPECT_EQ(report.exit_code(), 0);
    report.tables.emplace_back().verdict = Verdict::Equal;
    EXPECT_EQ(report.exit_code(), 0);
    report.tables.emplace_back().verdict = Verdict::CouldNotTell;
    EXPECT_EQ(report.exit_code(), 2);
    report.tables.push_back(different());
    EXPECT_EQ(report.exit_code(), 1);
    const auto text = render(report, Language::English);
    EXPECT_NE(text.find("1 equal, 1 different, 1 could not be told"), std::string::npos);
}

TEST(VerifyReport, SaysWhyItCannotTell) {
    TableReport report;
    report.verdict = Verdict::CouldNotTell;
    for (const auto doubt : {Doubt::Failed, Doubt::NotApplied, Doubt::Moving, Doubt::TooMany}) {
        report.doubt = doubt;
        report.error = Error(ErrorCode::DbLost, "source");
        for (const auto language : {Language::English, Language::Chinese}) {
            EXPECT_GT(render(report, language).size(), 30U);
        }
    }
}

TEST(VerifyReport, TellsTheNextStepAfterAnError) {
    TableReport report;
    report.doubt = Doubt::Failed;
    report.error = Error(ErrorCode::DbBound, "invalid input syntax");
    EXPECT_NE(render(report, Language::English).find("→ Correct the range"), std::string::npos);
    EXPECT_NE(render(report, Language::Chinese).find("→ 请更正范围"), std::string::npos);
}

TEST(VerifyReport, IsOneJsonObject) {
    VerifyReport report;
    report.tables.push_back(different());
    report.tables[0].differences[0].key[0].value = "\xff\xfe";  // not UTF-8
    const auto json = nlohmann::json::parse(to_json(report));
    EXPECT_EQ(json["verdict"], "different");
    const auto& table = json["tables"][0];
    EXPECT_EQ(table["source"], "public.person");
    EXPECT_EQ(table["confirmed"], 3);
    EXPECT_TRUE(table["part"].is_null());
    EXPECT_EQ(json["whole"], true);
    EXPECT_EQ(table["differences"][0]["columns"][1], "address");
    EXPECT_TRUE(table["differences"][1]["key"]["id"].is_null());
}

}  // namespace
}  // namespace qiao::verify
