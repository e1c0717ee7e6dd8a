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

TEST(VerifyReport, IsOneJsonObject) {
    VerifyReport report;
    report.tables.push_back(different());
    report.tables[0].differences[0].key[0].value = "\xff\xfe";  // not UTF-8
    const auto json = nlohmann::json::parse(to_json(report));
    EXPECT_EQ(json["verdict"], "different");
    const auto& table = json["tables"][0];
    EXPECT_EQ(table["source"], "public.person");
    EXPECT_EQ(table["confirmed"], 3);
    EXPECT_EQ(table["differences"][0]["columns"][1], "address");
    EXPECT_TRUE(table["differences"][1]["key"]["id"].is_null());
}

}  // namespace
}  // namespace qiao::verify
