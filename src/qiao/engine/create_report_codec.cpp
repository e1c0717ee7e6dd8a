#include "qiao/engine/create_report_codec.h"

namespace qiao::engine {
namespace {

void put_texts(ByteWriter& out, const std::vector<std::string>& texts) {
    out.put(static_cast<uint32_t>(texts.size()));
    for (const auto& text : texts) {
        out.put_sized(text);
    }
}

std::vector<std::string> get_texts(ByteReader& in) {
    std::vector<std::string> texts;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        texts.emplace_back(in.get_text());
    }
    return texts;
}

void put_tables(ByteWriter& out, const std::vector<model::TableName>& tables) {
    out.put(static_cast<uint32_t>(tables.size()));
    for (const auto& table : tables) {
        out.put_sized(table.schema);
        out.put_sized(table.name);
    }
}

std::vector<model::TableName> get_tables(ByteReader& in) {
    std::vector<model::TableName> tables;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        auto& table = tables.emplace_back();
        table.schema = in.get_text();
        table.name = in.get_text();
    }
    return tables;
}

drivers::Finding get_finding(ByteReader& in) {
    drivers::Finding finding;
    const auto verdict = in.get<uint8_t>();
    if (verdict > static_cast<uint8_t>(drivers::Finding::Verdict::Bad)) {
        in.fail();
    }
    finding.verdict = static_cast<drivers::Finding::Verdict>(verdict);
    finding.subject = in.get_text();
    finding.message_en = in.get_text();
    finding.message_zh = in.get_text();
    finding.mend = in.get_text();
    return finding;
}

}  // namespace

Bytes encode_report(const drivers::CreateReport& report) {
    ByteWriter out;
    put_texts(out, report.made);
    put_texts(out, report.existed);
    put_tables(out, report.existing_tables);
    put_tables(out, report.missing_tables);
    out.put(static_cast<uint32_t>(report.failed.size()));
    for (const auto& failed : report.failed) {
        out.put_sized(failed.object);
        out.put_sized(failed.sql);
        out.put_sized(failed.error);
    }
    out.put(static_cast<uint32_t>(report.findings.size()));
    for (const auto& finding : report.findings) {
        out.put(static_cast<uint8_t>(finding.verdict));
        out.put_sized(finding.subject);
        out.put_sized(finding.message_en);
        out.put_sized(finding.message_zh);
        out.put_sized(finding.mend);
    }
    return std::move(out).take();
}

Result<drivers::CreateReport> decode_report(ByteView bytes) {
    ByteReader in(bytes);
    drivers::CreateReport report;
    report.made = get_texts(in);
    report.existed = get_texts(in);
    report.existing_tables = get_tables(in);
    report.missing_tables = get_tables(in);
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        auto& failed = report.failed.emplace_back();
        failed.object = in.get_text();
        failed.sql = in.get_text();
        failed.error = in.get_text();
    }
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        report.findings.push_back(get_finding(in));
    }
    if (!in.ok() || !in.at_end()) {
        return Error(ErrorCode::LinkProtocol, "create report");
    }
    return report;
}

}  // namespace qiao::engine
