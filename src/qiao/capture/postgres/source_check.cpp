#include "qiao/capture/postgres/source_check.h"

#include "qiao/capture/postgres/publication.h"
#include "qiao/capture/postgres/slot.h"
#include "qiao/drivers/postgres/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace qiao::capture::postgres {
namespace {

using drivers::Finding;
using drivers::postgres::Connection;
using drivers::postgres::Parameter;
using drivers::postgres::quote_identifier;

using Verdict = Finding::Verdict;

constexpr int kVersionLeast = 140000;
constexpr int kVersionMost = 190000;
/// A load needs a slot and a sender of its own beside the stream's.
constexpr int64_t kNeeded = 2;

constexpr std::string_view kFacts =
    "SELECT current_setting('wal_level'), current_setting('max_replication_slots'),"
    " (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders'),"
    " (SELECT count(*) FROM pg_stat_get_wal_senders()),"
    " (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),"
    " (SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'),"
    " current_setting('server_encoding'), r.rolname, r.rolreplication OR r.rolsuper,"
    " has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(),"
    " EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1), current_database()"
    " FROM pg_roles r WHERE r.rolname = current_user";

int64_t number(std::string_view text) {
    int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

Finding good(std::string subject, std::string en, std::string zh) {
    return {Verdict::Good, std::move(subject), std::move(en), std::move(zh), ""};
}

void judge_server(const SourceFacts& facts, std::vector<Finding>& findings) {
    const bool known = facts.version >= kVersionLeast && facts.version < kVersionMost;
    const auto version = fmt::format("{}.{}", facts.version / 10000, facts.version % 10000);
    findings.push_back(
        {known ? Verdict::Good : Verdict::Bad,
         "version",
         fmt::format("PostgreSQL {}{}", version, known ? "" : "; 14 to 18 are supported"),
         fmt::format("PostgreSQL {}{}", version, known ? "" : ";支持 14 至 18"),
         ""}
    );
    if (facts.wal_level == "logical") {
        findings.push_back(good("wal_level", "logical", "logical"));
    } else {
        findings.push_back(
            {Verdict::Bad,
             "wal_level",
             fmt::format("is {}; log capture needs logical", facts.wal_level),
             fmt::format("当前为 {},日志采集需要 logical", facts.wal_level),
             "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server"}
        );
    }
    if (facts.encoding == "SQL_ASCII") {
        findings.push_back(
            {Verdict::Warning,
             "server_encoding",
             "SQL_ASCII promises nothing about characters; bytes that are not UTF-8 stop the flow",
             "SQL_ASCII 不保证字符编码,遇到非 UTF-8 字节时流将停止",
             ""}
        );
    } else {
        findings.push_back(good("server_encoding", facts.encoding, facts.encoding));
    }
}

void judge_room(
    const std::string& setting,
    int64_t most,
    int64_t used,
    int64_t needed,
    std::vector<Finding>& findings
) {
    const auto free = most - used;
    const bool enough = free >= needed;
    findings.push_back(
        {enough      ? Verdict::Good
         : free >= 1 ? Verdict::Warning
                     : Verdict::Bad,
         setting,
         fmt::format("{} of {} free, {} needed while tables load", free, most, needed),
         fmt::format("共 {1} 个,空闲 {0} 个,装载期间需要 {2} 个", free, most, needed),
         enough ? ""
                : fmt::format(
                      "ALTER SYSTEM SET {} = {}; -- then restart the server; or: qiao slots",
                      setting,
                      used + needed
                  )}
    );
}

void judge_log(const SourceFacts& facts, std::vector<Finding>& findings) {
    constexpr int64_t kSmallMb = 1024;
    if (facts.slot_keep_mb < 0) {
        findings.push_back(
            {Verdict::Warning,
             "max_slot_wal_keep_size",
             "no limit: a stopped flow keeps the log until the disk is full",
             "未设上限:流停止时日志会一直保留,直至磁盘写满",
             "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();"
             " -- a size that the disk has; beyond it the flow is repaired by comparison"}
        );
    } else {
        findings.push_back(
            {facts.slot_keep_mb < kSmallMb ? Verdict::Warning : Verdict::Good,
             "max_slot_wal_keep_size",
             fmt::format("{} MB of log are kept for a stopped flow", facts.slot_keep_mb),
             fmt::format("流停止时最多保留 {} MB 日志", facts.slot_keep_mb),
             ""}
        );
    }
    constexpr int64_t kShortMs = 5000;
    const bool fine = facts.sender_timeout_ms == 0 || facts.sender_timeout_ms >= kShortMs;
    findings.push_back(
        {fine ? Verdict::Good : Verdict::Warning,
         "wal_sender_timeout",
         fmt::format("{} ms{}", facts.sender_timeout_ms, fine ? "" : "; short for a slow link"),
         fmt::format("{} 毫秒{}", facts.sender_timeout_ms, fine ? "" : ";对慢速链路偏短"),
         fine ? "" : "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();"}
    );
}

void judge_role(
    const SourceFacts& facts, const std::vector<SourceTable>& tables, std::vector<Finding>& findings
) {
    const auto role = quote_identifier(facts.role);
    findings.push_back(
        {facts.may_replicate ? Verdict::Good : Verdict::Bad,
         "REPLICATION",
         facts.may_replicate ? facts.role + " may replicate" : facts.role + " may not replicate",
         facts.role + (facts.may_replicate ? " 具有复制权限" : " 没有复制权限"),
         facts.may_replicate ? "" : fmt::format("ALTER ROLE {} REPLICATION;", role)}
    );
    if (facts.publications_right) {
        findings.push_back(good("publications", "as they should be", "发布已就绪"));
        return;
    }
    if (!facts.may_create) {
        findings.push_back(
            {Verdict::Bad,
             "publications",
             facts.role + " may not create publications",
             facts.role + " 无权创建发布",
             fmt::format(
                 "GRANT CREATE ON DATABASE {} TO {};", quote_identifier(facts.database), role
             )}
        );
    }
    for (const auto& table : tables) {
        if (!table.owned && !table.refusal) {
            findings.push_back(
                {Verdict::Bad,
                 table.name().to_string(),
                 fmt::format("only its owner, {}, can publish it", table.owner),
                 fmt::format("只有属主 {} 才能发布该表", table.owner),
                 fmt::format("GRANT {} TO {};", quote_identifier(table.owner), role)}
            );
        }
    }
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

}  // namespace

Finding judge_identity(const SourceTable& table) {
    const auto name = table.name().to_string();
    if (table.schema.identity == model::Identity::None) {
        return {
            Verdict::Warning,
            name,
            "no key: only INSERT and TRUNCATE are captured; UPDATE and DELETE stay possible",
            "没有主键:只采集 INSERT 与 TRUNCATE;应用的 UPDATE 与 DELETE 不受影响",
            fmt::format(
                "ALTER TABLE {0} ADD PRIMARY KEY (…);"
                " -- or: ALTER TABLE {0} REPLICA IDENTITY FULL;",
                drivers::postgres::quote_table(table.name())
            )
        };
    }
    const bool full = table.schema.identity == model::Identity::Full;
    return good(
        name,
        full ? "identified by the whole row" : "identified by its key",
        full ? "以整行标识" : "以键标识"
    );
}

namespace {

void judge_table(const SourceTable& table, std::vector<Finding>& findings) {
    const auto name = table.name().to_string();
    if (table.refusal) {
        findings.push_back(
            {Verdict::Bad,
             name,
             table.refusal->reason_en,
             table.refusal->reason_zh,
             table.refusal->mend}
        );
        return;
    }
    findings.push_back(judge_identity(table));
    if (!table.text_columns.empty()) {
        findings.push_back(
            {Verdict::Good,
             name,
             "the stream goes as text because of: " + joined(table.text_columns),
             "因以下列,数据流以文本传输:" + joined(table.text_columns),
             ""}
        );
    }
}

}  // namespace

Task<Result<SourceFacts>> read_source_facts(
    Connection& connection, StreamId stream, std::vector<SourceTable> tables
) {
    std::vector<Parameter> parameters{Parameter::of_text(slot_name(stream))};
    QIAO_CO_TRY(
        const auto rows, co_await connection.query(std::string(kFacts), std::move(parameters))
    );
    if (rows.size() != 1) {
        co_return Error(ErrorCode::DbStatement, "the current role is not in pg_roles");
    }
    SourceFacts facts;
    facts.version = connection.server_version();
    facts.wal_level = rows.text(0, 0);
    facts.slots_max = number(rows.text(0, 1));
    facts.slots_used = number(rows.text(0, 2));
    facts.senders_max = number(rows.text(0, 3));
    facts.senders_used = number(rows.text(0, 4));
    facts.slot_keep_mb = number(rows.text(0, 5));
    facts.sender_timeout_ms = number(rows.text(0, 6));
    facts.encoding = rows.text(0, 7);
    facts.role = rows.text(0, 8);
    facts.may_replicate = rows.flag(0, 9);
    facts.may_create = rows.flag(0, 10);
    facts.in_recovery = rows.flag(0, 11);
    facts.slot_exists = rows.flag(0, 12);
    facts.database = rows.text(0, 13);
    QIAO_CO_TRY(const auto plan, co_await plan_publications(connection, stream, std::move(tables)));
    facts.publications_right = plan.transactions.empty();
    co_return facts;
}

std::vector<Finding> judge_source(
    const SourceFacts& facts, const std::vector<SourceTable>& tables
) {
    std::vector<Finding> findings;
    judge_server(facts, findings);
    // The stream's own slot and sender are there already when it has run before.
    const auto needed = kNeeded - (facts.slot_exists ? 1 : 0);
    judge_room("max_replication_slots", facts.slots_max, facts.slots_used, needed, findings);
    judge_room("max_wal_senders", facts.senders_max, facts.senders_used, kNeeded, findings);
    judge_log(facts, findings);
    if (facts.in_recovery) {
        findings.push_back(
            {Verdict::Warning,
             "standby",
             "a standby takes no heartbeats and no publications; make them on its primary",
             "备库不能写入心跳或创建发布,请在主库上执行",
             ""}
        );
    }
    judge_role(facts, tables, findings);
    for (const auto& table : tables) {
        judge_table(table, findings);
    }
    return findings;
}

Task<Result<std::vector<Finding>>> check_source(
    Connection& connection, StreamId stream, std::vector<ChosenTable> chosen
) {
    QIAO_CO_TRY(const auto tables, co_await read_source_tables(connection, std::move(chosen)));
    QIAO_CO_TRY(const auto facts, co_await read_source_facts(connection, stream, tables));
    co_return judge_source(facts, tables);
}

}  // namespace qiao::capture::postgres
