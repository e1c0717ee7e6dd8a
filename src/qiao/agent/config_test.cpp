#include "qiao/agent/config.h"

#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

constexpr std::string_view kSource = R"(node: city
state: state
tls:
  certificate: city.crt
  key: /keys/city.key
  ca: ca.crt
peers:
  - name: province
    address: "[2001:db8::1]:7440"
trail:
  budget: 2GiB
  grace: 36h
flows:
  - name: persons
    role: source
    peer: province
    database: postgresql://qiao@db/city
    tables: [public.person, archive.*]
    rename: {public.person: city.person}
    create: true
    custody: end
    suite: intl
    receiver_key: province.pub
    heartbeat: 500ms
    readers: 4
)";

constexpr std::string_view kTarget = R"(node: province
state: /var/lib/qiao
tls: {certificate: a, key: b, ca: c}
wrapping_key: province.pem
listen: "*:7440"
status:
  socket: /run/qiao.sock
  http: 9440
flows:
  - {name: persons, role: target, peer: city, database: "postgresql://qiao@db/province"}
)";

/// The source's file with one line replaced.
std::string with(std::string_view line, std::string_view instead) {
    std::string text(kSource);
    const auto at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    return text.replace(at, line.size(), instead);
}

std::string refusal(const std::string& yaml) {
    const auto config = parse_config(yaml, "etc/qiao.yaml");
    if (config) {
        return "taken";
    }
    EXPECT_TRUE(config.error().is(ErrorCode::Config));
    return config.error().detail();
}

TEST(AgentConfig, BindsEverySettingOfASource) {
    const auto config = parse_config(kSource, "etc/qiao.yaml");
    ASSERT_TRUE(config) << config.error().to_string();
    EXPECT_EQ(config->node, "city");
    EXPECT_EQ(config->state, "etc/state");
    EXPECT_EQ(config->tls.certificate, "etc/city.crt");
    EXPECT_EQ(config->tls.key, "/keys/city.key");
    ASSERT_EQ(config->peers.size(), 1U);
    EXPECT_EQ(config->peers[0].address.to_string(), "[2001:db8::1]:7440");
    EXPECT_EQ(config->status.socket, "etc/state/status.sock");
    EXPECT_FALSE(config->status.http);
    EXPECT_FALSE(config->listen);
    EXPECT_EQ(config->trail.budget_bytes, 2ULL << 30U);
    EXPECT_EQ(config->trail.grace, std::chrono::hours(36));
    ASSERT_EQ(config->flows.size(), 1U);
    const auto& flow = config->flows[0];
    EXPECT_EQ(flow.role, FlowRole::Source);
    EXPECT_EQ(flow.database.database, "city");
    EXPECT_EQ(flow.tables, (std::vector<std::string>{"public.person", "archive.*"}));
    EXPECT_EQ(
        flow.names.table_names().at({"public", "person"}),
        (model::TableName{.schema = "city", .name = "person"})
    );
    EXPECT_TRUE(flow.create);
    EXPECT_EQ(flow.custody, engine::Custody::End);
    EXPECT_EQ(flow.suite, "intl");
    EXPECT_EQ(flow.receiver_key, "etc/province.pub");
    EXPECT_EQ(flow.heartbeat, std::chrono::milliseconds(500));
    EXPECT_EQ(flow.readers, 4U);
    EXPECT_EQ(flow.value_bytes_max, model::kValueBytesMost);
    const auto wide = parse_config(with("readers: 4", "value_limit: 100MiB"), "a");
    ASSERT_TRUE(wide);
    EXPECT_EQ(wide->flows[0].value_bytes_max, 100U << 20U);
}

// Spec: R-11
TEST(AgentConfig, TheFirstLoadComesByTheLinkUnlessItIsCarried) {
    EXPECT_FALSE(parse_config(kSource, "a")->flows[0].carried);
    EXPECT_TRUE(parse_config(with("create: true", "load: carried"), "a")->flows[0].carried);
}

// Spec: R-25
TEST(AgentConfig, NamesOfTablesAndColumnsStandAtBothEnds) {
    const auto source = parse_config(
        with(
            "{public.person: city.person}\n    create: true",
            "{public.person: {to: city.person, columns: {id: number}}, public.x: {}, a.b: c.d}"
        ),
        "a"
    );
    ASSERT_TRUE(source) << source.error().to_string();
    const auto& names = source->flows[0].names.tables();
    EXPECT_EQ(names.size(), 3U);
    EXPECT_EQ(names.at({"public", "person"}).table, (model::TableName{"city", "person"}));
    EXPECT_EQ(names.at({"public", "person"}).columns.at("id"), "number");
    EXPECT_EQ(names.at({"public", "x"}).table, (model::TableName{"public", "x"}));
    std::string text(kTarget);
    text.replace(text.rfind('}'), 1, ", rename: {a.b: {to: c.d, columns: {x: y}}}}");
    const auto target = parse_config(text, "b");
    ASSERT_TRUE(target) << target.error().to_string();
    EXPECT_EQ(target->flows[0].names.tables().at({"a", "b"}).columns.at("x"), "y");
}

TEST(AgentConfig, WhatAFlowTakesOfItsSourceHasBounds) {
    const auto config = parse_config(
        with(
            "readers: 4",
            "readers: 4\n    source_limits: {connections: 7, rows_per_second: 500, statement_time: "
            "90s}"
        ),
        "a"
    );
    ASSERT_TRUE(config) << config.error().to_string();
    const auto& flow = config->flows[0];
    EXPECT_EQ(flow.source_limits, (drivers::SourceLimits{7, 500, std::chrono::seconds(90)}));
    EXPECT_EQ(flow.readers, 2U) << "five others are needed";
    const auto few = refusal(with("readers: 4", "source_limits: {connections: 5}"));
    EXPECT_NE(few.find("6 at least"), std::string::npos) << few;
}

// Spec: R-12
TEST(AgentConfig, AFlowChoosesColumnsAndRows) {
    const std::string choice =
        "load: link\n    select: {public.person: {columns: [id, name], where: \"id > 5\"}, a.b: "
        "{where: x is null}}";
    const auto config = parse_config(with("create: true", choice), "a");
    ASSERT_TRUE(config) << config.error().to_string();
    const auto& selection = config->flows[0].selection;
    EXPECT_EQ(
        selection.at({"public", "person"}), (model::TableSelection{{"id", "name"}, "id > 5"})
    );
    EXPECT_EQ(selection.at({"a", "b"}), (model::TableSelection{{}, "x is null"}));
    const auto refused = [](const std::string& text) {
        return refusal(with("create: true", text));
    };
    EXPECT_NE(refused("select: {a.b: {}}").find("chooses nothing"), std::string::npos);
    EXPECT_NE(refused("select: {a.b: 5}").find("columns: [a, b]"), std::string::npos);
    EXPECT_NE(refused("select: {a.b: {rows: 5}}").find(".a.b.rows`"), std::string::npos);
    const auto both = refused("create: true\n    select: {a.b: {columns: [x]}}");
    EXPECT_NE(both.find("makes whole tables"), std::string::npos) << both;
}

// Spec: H-28, H-30, H-31
TEST(AgentConfig, AFlowByTimestampDeclaresItsColumnsKeyAndFlag) {
    const std::string tables = "tables: [public.person, archive.*]";
    const std::string timed =
        "tables: [public.v_people]\n    mode: timestamp\n    timestamp: {column: at, key: [id, "
        "part],"
        " valid: is_valid, deleted: [D, \"false\"], overlap: 1h, every: 5s, zone: Asia/Shanghai}";
    const auto config = parse_config(with(tables, timed), "a");
    ASSERT_TRUE(config) << config.error().to_string();
    const auto& choice = *config->flows[0].timed;
    EXPECT_EQ(choice.options.table.stamp, "at");
    EXPECT_EQ(choice.options.table.keys, (std::vector<std::string>{"id", "part"}));
    EXPECT_EQ(choice.options.flag, "is_valid");
    EXPECT_EQ(choice.options.flag_values.size(), 3U) << "PostgreSQL prints false as f";
    EXPECT_EQ(choice.options.flag_values.at("f"), capture::RowValidity::Deleted);
    EXPECT_EQ(choice.options.overlap, std::chrono::hours(1));
    EXPECT_EQ(choice.options.every, std::chrono::seconds(5));
    EXPECT_EQ(choice.zone, "Asia/Shanghai");
    EXPECT_FALSE(parse_config(kSource, "a")->flows[0].timed);

    const auto says = [&](const std::string& instead, const char* what) {
        const auto told = refusal(with(tables, instead));
        EXPECT_NE(told.find(what), std::string::npos) << instead << " → " << told;
    };
    const std::string one = "tables: [a.b]\n    mode: timestamp\n    timestamp: ";
    says(one + "{key: [id]}", "timestamp.column`: is missing");
    says(one + "{column: at, valid: v}", "timestamp.valid`: `valid` names");
    says(one + "{column: at, deleted: [D]}", "timestamp.deleted`: `valid` names");
    says(one + "{column: at, every: 0}", "timestamp.every`: more");
    says("tables: [a.b]\n    mode: timestamp", "timestamp`: is missing");
    says("tables: [a.b]\n    timestamp: {column: at}", "belongs to `mode: timestamp`");
    says("tables: [a.*]\n    mode: timestamp\n    timestamp: {column: at}", "one table or view");
}

// Spec: R-76
TEST(AgentConfig, ListensOnBothFamiliesAndShowsFiguresToThisMachineOnly) {
    const auto config = parse_config(kTarget, "/etc/qiao/qiao.yaml");
    ASSERT_TRUE(config) << config.error().to_string();
    EXPECT_EQ(config->listen->to_string(), "*:7440");
    EXPECT_EQ(config->status.http->to_string(), "127.0.0.1:9440");
    EXPECT_EQ(config->status.socket, "/run/qiao.sock");
    EXPECT_EQ(config->wrapping_keys, (std::vector<std::string>{"/etc/qiao/province.pem"}));
    EXPECT_EQ(config->flows[0].heartbeat, std::chrono::seconds(10));
    EXPECT_TRUE(config->expects("city"));
    EXPECT_FALSE(config->expects("county"));
}

TEST(AgentConfig, BothEndsOfAFlowDeriveTheSameStream) {
    const auto source = parse_config(kSource, "a");
    const auto target = parse_config(kTarget, "b");
    ASSERT_TRUE(source && target);
    const auto stream = flow_stream(*source, source->flows[0]);
    EXPECT_EQ(stream, flow_stream(*target, target->flows[0]));
    EXPECT_EQ(stream.to_string(), "3556c0a9637f8a8f1b7e013b71efe702");
    EXPECT_NE(stream, flow_stream("persons", "province", "city"));
}

TEST(AgentConfig, RefusesAnUnknownKeyWithTheNearestKnownOne) {
    EXPECT_EQ(
        refusal(with("    custody: end", "    custdy: end")),
        "etc/qiao.yaml:21: `flow `persons`.custdy`: there is no such setting; the nearest is "
        "`custody`"
    );
    EXPECT_EQ(
        refusal(with("peers:", "peer:")),
        "etc/qiao.yaml:7: `peer`: there is no such setting; the nearest is `peers`"
    );
    EXPECT_EQ(
        refusal(with("  grace: 36h", "  grce: 36h")),
        "etc/qiao.yaml:12: `trail.grce`: there is no such setting; the nearest is `grace`"
    );
}

TEST(AgentConfig, EveryBadSettingIsNamedWithItsLineAndKey) {
    struct Case {
        std::string_view line, instead, says;
    };

    const std::vector<Case> cases{
        {"node: city", "", "etc/qiao.yaml:2: `node`: is missing"},
        {"node: city", "node: ", "`node`: is missing"},
        {"node: city", "node: \"a\\nb\"", "etc/qiao.yaml:1: `node`: a name has"},
        {"node: city", "node: [a]", "etc/qiao.yaml:1: `node`: one value"},
        {"  key: /keys/city.key", "", "etc/qiao.yaml:4: `tls.key`: is missing"},
        {"\"[2001:db8::1]:7440\"", "nonsense", "etc/qiao.yaml:9: `peers[0].address`: write host"},
        {"\"[2001:db8::1]:7440\"", "\"*:7\"", "etc/qiao.yaml:9: `peers[0].address`: a host and"},
        {"  - name: province", "  - name: city", "etc/qiao.yaml:7: `peers`: `city` twice, or"},
        {"budget: 2GiB", "budget: 2GB", "etc/qiao.yaml:11: `trail.budget`: a size"},
        {"budget: 2GiB", "segment: 1KiB", "etc/qiao.yaml:11: `trail.segment`: 64KiB to"},
        {"grace: 36h", "grace: long", "etc/qiao.yaml:12: `trail.grace`: `long` is not a number"},
        {"grace: 36h", "grace: 36w", "etc/qiao.yaml:12: `trail.grace`: a time"},
        {"role: source", "role: both", "etc/qiao.yaml:15: `flow `persons`.role`: `both` is not"},
        {"peer: province", "peer: county", "etc/qiao.yaml:13: `flows`: the peer `county`"},
        {"peer: province", "peer: city", "etc/qiao.yaml:13: `flows`: the peer of flow"},
        {"qiao@db/city", "qiao@db:x/city", "etc/qiao.yaml:17: `flow `persons`.database`: "},
        {"[public.person, archive.*]", "[]", "etc/qiao.yaml:18: `flow `persons`.tables`: at"},
        {"[public.person, archive.*]", "a", "etc/qiao.yaml:18: `flow `persons`.tables`: a list"},
        {"city.person}",
         "person}",
         "etc/qiao.yaml:19: `flow `persons`.rename.public.person`: `person` is"},
        {"city.person}", "{to: a.b, columns: {x: z, y: z}}}", "two columns become z"},
        {"city.person}", "{to: a.b, columns: {x: z}}}", "`flow `persons`.create`: makes columns"},
        {"city.person}", "a.b, x.y: a.b}", "`flow `persons`.rename.x.y`: two tables become a.b"},
        {"create: true", "create: maybe", "etc/qiao.yaml:20: `flow `persons`.create`: `maybe`"},
        {"create: true", "load: dragged", "etc/qiao.yaml:20: `flow `persons`.load`: `dragged`"},
        {"suite: intl", "suite: null_", "etc/qiao.yaml:22: `flow `persons`.suite`: `null_`"},
        {"    receiver_key: province.pub\n", "", "receiver_key`: is missing"},
        {"readers: 4", "readers: 0", "etc/qiao.yaml:25: `flow `persons`.readers`: 1 to 64"},
        {"readers: 4", "value_limit: 241MiB", "`flow `persons`.value_limit`: 1MiB to 240"},
        {"readers: 4", "readers: 4x", "etc/qiao.yaml:25: `flow `persons`.readers`: a whole"},
        {"readers: 4", "suite: gm", "etc/qiao.yaml:25: `flows[0].suite`: stands here twice"},
        {"tls:", "tls: [", "etc/qiao.yaml:"},
    };
    for (const auto& bad : cases) {
        EXPECT_NE(refusal(with(bad.line, bad.instead)).find(bad.says), std::string::npos)
            << bad.instead << " → " << refusal(with(bad.line, bad.instead));
    }
}

// Spec: R-77
TEST(AgentConfig, RatesHoldForAPeerAndHours) {
    const auto rates = [](const std::string& rules) {
        return std::string(kTarget) + "rates:\n" + rules;
    };
    const auto config = parse_config(
        rates("  - {rate: 2MiB, peer: city, from: \"08:30\", to: \"18:00\"}\n  - {rate: 8MiB}\n"),
        "etc/qiao.yaml"
    );
    ASSERT_TRUE(config) << config.error().to_string();
    const std::vector<RateRule> wanted{{"city", 2U << 20U, 510, 1080}, {"", 8U << 20U, 0, 0}};
    EXPECT_EQ(config->rates, wanted);
    EXPECT_NE(refusal(rates("  - {peer: city}\n")).find("bytes a second"), std::string::npos);
    EXPECT_NE(
        refusal(rates("  - {rate: 1MiB, from: \"25:00\"}\n")).find("time of the day"),
        std::string::npos
    );
    EXPECT_NE(
        refusal(rates("  - {rate: 1MiB, peer: nobody}\n")).find("peer of no flow"),
        std::string::npos
    );
}

// Spec: R-35
TEST(AgentConfig, AFlowIsComparedByItsCalendar) {
    const auto config = parse_config(
        with(
            "    readers: 4\n",
            "    verify: {at: \"02:30\", days: [mon, thu], repair: true, rows_per_second: 500}\n"
        ),
        "etc/qiao.yaml"
    );
    ASSERT_TRUE(config) << config.error().to_string();
    const auto& verify = config->flows[0].verify;
    ASSERT_TRUE(verify);
    EXPECT_EQ(verify->minute, 150U);
    EXPECT_EQ(verify->days, (std::array{false, true, false, false, true, false, false}));
    EXPECT_TRUE(verify->repair);
    EXPECT_EQ(verify->rows_per_second, 500U);
    const auto refused = [](const std::string& text) {
        return refusal(with("    readers: 4\n", "    verify: " + text + "\n"));
    };
    EXPECT_TRUE(verify->part.whole());
    EXPECT_NE(refused("{days: [mon]}").find("verify.at`: is missing"), std::string::npos);
    EXPECT_NE(refused("{at: noon}").find("time of the day"), std::string::npos);
    EXPECT_NE(refused("{at: \"02:30\", days: [monday]}").find("sun, mon"), std::string::npos);
}

// Spec: R-36
TEST(AgentConfig, ACalendarMayNameAPartOfTheTables) {
    const auto parsed = [](const std::string& part) {
        return parse_config(
            with("    readers: 4\n", "    verify: {at: \"02:30\", " + part + "}\n"), "etc/qiao.yaml"
        );
    };
    const auto config = parsed("sample: 0.5, recent: {column: updated_at, within: 2d}");
    ASSERT_TRUE(config) << config.error().to_string();
    const auto& part = config->flows[0].verify->part;
    EXPECT_EQ(part.share, 50U);
    EXPECT_FALSE(part.seed) << "another one each time";
    EXPECT_EQ(part.range->range.column, "updated_at");
    EXPECT_EQ(part.range->within, std::chrono::hours(48));
    const auto refused = [&parsed](const std::string& text) {
        const auto config = parsed(text);
        return config ? std::string() : config.error().detail();
    };
    EXPECT_NE(refused("sample: 0").find("0.01 to 100"), std::string::npos);
    EXPECT_NE(refused("sample: all").find("0.01 to 100"), std::string::npos);
    EXPECT_NE(refused("recent: {column: at, within: 2w}").find("2h or 7d"), std::string::npos);
    EXPECT_NE(refused("recent: {within: 2d}").find("recent.column"), std::string::npos);
    EXPECT_NE(refused("recent: {column: at, within: 2d, to: 5}").find("`"), std::string::npos);
}

TEST(AgentConfig, ATargetLetsItsSourceMakeTablesOnlyWhenItSaysSo) {
    auto text = std::string(kTarget);
    EXPECT_FALSE(parse_config(text, "a")->flows[0].create);
    text.insert(text.rfind('}'), ", create: true");
    EXPECT_TRUE(parse_config(text, "a")->flows[0].create);
}

TEST(AgentConfig, WhatBelongsToTheSourceIsRefusedAtTheTarget) {
    auto text = std::string(kTarget);
    text.insert(text.rfind('}'), ", custody: end");
    EXPECT_NE(refusal(text).find("belongs into the file of the flow's source"), std::string::npos);
    EXPECT_NE(
        refusal(with("    readers: 4\n", "    on_error: stop\n")).find("of the flow's target"),
        std::string::npos
    );
    text = std::string(kTarget);
    text.erase(text.find("wrapping_key"), std::string("wrapping_key: province.pem\n").size());
    EXPECT_NE(refusal(text).find("qiao key wrap"), std::string::npos);
}

TEST(AgentConfig, APasswordComesFromItsFileAndIsNoPartOfMessages) {
    testing::ManualWorld world;
    testing::MemoryStorage storage(world);
    const auto secret = std::string("postgresql://qiao:hush@db/city");
    auto yaml = with("postgresql://qiao@db/city", secret);
    storage.put("qiao.yaml", to_bytes(as_bytes(yaml)));
    const auto in_url = world.run(load_config(storage, "qiao.yaml"));
    ASSERT_TRUE(in_url) << in_url.error().to_string();
    EXPECT_TRUE(in_url->flows[0].database.password_in_url);
    EXPECT_EQ(in_url->flows[0].database.password.reveal_text(), "hush");

    yaml = with("postgresql://qiao@db/city", "postgresql://qiao:@%2Fkeys%2Fpw@db/city");
    storage.put("qiao.yaml", to_bytes(as_bytes(yaml)));
    storage.put("/keys/pw", to_bytes(as_bytes("deep\n")));
    const auto in_file = world.run(load_config(storage, "qiao.yaml"));
    ASSERT_TRUE(in_file) << in_file.error().to_string();
    EXPECT_EQ(in_file->flows[0].database.password.reveal_text(), "deep");

    const auto bad = refusal(with("postgresql://qiao@db/city", "postgresql://qiao:hush@db:x/city"));
    EXPECT_EQ(bad.find("hush"), std::string::npos) << bad;
}

}  // namespace
}  // namespace qiao::agent
