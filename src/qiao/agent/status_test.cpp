#include "qiao/agent/status.h"

#include "qiao/agent/identity.h"
#include "qiao/agent/internal/http_reply.h"
#include "qiao/testing/golden.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>

namespace qiao::agent {
namespace {

/// Every field has a value of its own, so that a mix-up shows.
AgentStatus sample() {
    AgentStatus status;
    status.node = "city";
    status.version = "1.2.3";
    status.incarnation.bytes.fill(std::byte{0xAB});
    status.at = {1'700'000'000'000'000};
    status.uptime_seconds = 61.5;
    status.resident_bytes = 50'000'000;
    status.certificate = "CN=city";
    status.certificate_until = {1'702'000'000'000'000};  // 23 days
    status.listening = "*:7440";
    status.trail = {"pushing_back", 7'000'000'000, 8'589'934'592, 12, 3, 1};
    status.transfer_log = {1000, 2, Error(ErrorCode::StorageFull, "state/transfer-log")};

    LinkStatus up;
    up.peer = "province";
    up.direction = "dialled";
    up.state = "up";
    up.address = "[2001:db8::1]:7440";
    up.round_trip_ms = 12.5;
    up.bytes_in = 1000;
    up.bytes_out = 2'000'000;
    up.rate_limit = 2U << 20U;
    up.certificate_until = {1'700'500'000'000'000};  // 5 days
    up.streams = 2;
    up.sessions = 4;
    LinkStatus down;
    down.peer = "county \"7\"";
    down.direction = "accepted";
    down.state = "down";
    down.tries = 5;
    down.last_error = Error(ErrorCode::NetworkUnreachable, "county:7440: refused");
    status.links = {up, down};

    FlowStatus flow;
    flow.name = "persons";
    flow.role = "source";
    flow.state = "following";
    flow.peer = "province";
    flow.database = "postgresql://qiao@db:5432/city";
    flow.stream.bytes.fill(std::byte{1});
    flow.moving = Moving::Yes;
    flow.green = true;
    flow.lag_seconds = 1.25;
    flow.lag_bytes = 4096;
    flow.rate_limit = 512U << 10U;
    flow.source_usage = drivers::SourceUsage{
        {8, 20'000, std::chrono::minutes(10)}, 4, 7, 12'345, std::chrono::milliseconds(1234)
    };
    flow.comparison = {"equal", {1'699'990'000'000'000}, std::nullopt};
    flow.comparison->part.share = 50;
    flow.comparison->part.seed = 123;
    auto& recent = flow.comparison->part.range.emplace();
    recent.range.column = "updated_at";
    recent.within = std::chrono::hours(48);
    flow.comparison->different = {"public.parcels"};
    flow.last_out_seconds = 0.5;
    StageStatus capture;
    capture.name = "capture";
    capture.state = "moving";
    capture.point = {Epoch{1}, Sequence{42}};
    capture.position = "0/16B3748";
    capture.rows = 100;
    capture.bytes = 20'000;
    capture.rows_per_second = 33.4;
    capture.queue = 6;
    flow.stages = {capture};
    flow.load = {true, 2, 8, 3, 5000, 20'000, 900'000};

    FlowStatus failed;
    failed.name = "parcels";
    failed.role = "target";
    failed.state = "failed";
    failed.peer = "county";
    failed.database = "postgresql://db/p";
    failed.moving = Moving::No;
    failed.divergences = 2;
    failed.open_errors = 1;
    failed.laid_aside = 3;
    failed.doubtful = {
        {"public.owner", "unproven"},
        {"public.parcel", "needs_resync"},
        {"public.map", "paused", "ALTER TABLE \"public\".\"map\" DROP COLUMN \"x\""}
    };
    failed.tries = 3;
    failed.needs_operator = true;
    failed.last_error = Error(ErrorCode::DbValue, "parcels.area");
    FlowStatus waiting;
    waiting.name = "roads";
    waiting.role = "target";
    waiting.state = "retrying";
    waiting.peer = "county";
    waiting.next_try_seconds = 12;
    waiting.tries = 1;
    status.flows = {flow, failed, waiting};
    return status;
}

/// The golden file's content; written anew when QIAO_GOLDEN is set.
std::string golden(const std::string& name, const std::string& now) {
    const auto path = testing::golden_folder("agent") + "/" + name;
    if (std::getenv("QIAO_GOLDEN") != nullptr) {
        std::ofstream(path) << now;
    }
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

TEST(AgentStatus, ItsTextInBothLanguagesIsTheGoldenOne) {
    const auto english = to_text(sample(), Language::English);
    EXPECT_EQ(english, golden("status.en.txt", english));
    const auto chinese = to_text(sample(), Language::Chinese);
    EXPECT_EQ(chinese, golden("status.zh.txt", chinese));
}

TEST(AgentStatus, ItsFiguresForPrometheusAreTheGoldenOnes) {
    const auto text = to_prometheus(sample());
    EXPECT_EQ(text, golden("status.prometheus.txt", text));
}

TEST(AgentStatus, ItsJsonIsOneLineAndTheGoldenOne) {
    const auto text = to_json(sample());
    EXPECT_EQ(text.find('\n'), std::string::npos);
    const auto pretty = nlohmann::ordered_json::parse(text).dump(2) + "\n";
    EXPECT_EQ(pretty, golden("status.json", pretty));
}

TEST(AgentStatus, BytesOfAForeignEncodingDoNotBreakTheJson) {
    auto status = sample();
    status.last_error = Error(ErrorCode::DbStatement, "\xC4\xE3");
    EXPECT_TRUE(nlohmann::json::accept(to_json(status)));
}

TEST(HttpReply, AnswersMetricsAndRefusesEverythingElse) {
    using internal::http_reply;
    const auto good = http_reply("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "qiao_up 1\n");
    ASSERT_TRUE(good);
    EXPECT_TRUE(good->starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_TRUE(good->ends_with("\r\n\r\nqiao_up 1\n"));
    EXPECT_NE(good->find("Content-Length: 10\r\n"), std::string::npos);
    EXPECT_TRUE(http_reply("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "m")->starts_with("HTTP/1.0 200"));
    EXPECT_TRUE(http_reply("GET / HTTP/1.1\r\n\r\n", "m")->starts_with("HTTP/1.1 404"));
    EXPECT_TRUE(http_reply("POST /metrics HTTP/1.1\r\n\r\n", "m")->starts_with("HTTP/1.1 405"));
    EXPECT_TRUE(http_reply("nonsense\r\n\r\n", "m")->starts_with("HTTP/1.1 400"));
    EXPECT_FALSE(http_reply("GET /metrics HTTP/1.1\r\nHost:", "m"));
}

TEST(CommonName, IsFoundInTheFormOfRfc2253) {
    EXPECT_EQ(common_name("CN=city"), "city");
    EXPECT_EQ(common_name("O=x,CN=city"), "city");
    EXPECT_EQ(common_name("CN=city,O=x"), "city");
    EXPECT_EQ(common_name("O=CN\\=no,CN=a\\,b"), "a,b");
    EXPECT_EQ(common_name("CN=市局"), "市局");
    EXPECT_EQ(common_name("O=x"), "");
    EXPECT_EQ(common_name(""), "");
}

TEST(AgentStatus, TellsTheEndOfACertificateSixtyThirtyAndSevenDaysBefore) {
    const WallTime until{1'800'000'000'000'000};
    const auto left = [&](double days) {
        constexpr double kDay = 24.0 * 3600 * 1e6;
        return expiry_notice(until, {until.us - static_cast<int64_t>(days * kDay)});
    };
    EXPECT_FALSE(left(61));
    EXPECT_EQ(left(59.9), 60);
    EXPECT_EQ(left(30.1), 60);
    EXPECT_EQ(left(29), 30);
    EXPECT_EQ(left(6.5), 7);
    EXPECT_EQ(left(0.1), 7);
    EXPECT_EQ(left(-1), 0);
}

}  // namespace
}  // namespace qiao::agent
