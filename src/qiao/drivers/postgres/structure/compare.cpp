#include "qiao/drivers/postgres/structure/compare.h"

#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace qiao::drivers::postgres {
namespace {

using Verdict = Finding::Verdict;

/// `character varying(20)` in its parts.
struct TypeParts {
    std::string name;              ///< without modifier
    std::vector<int32_t> numbers;  ///< of the modifier
};

TypeParts parts_of(std::string_view type) {
    TypeParts parts;
    const auto open = type.find('(');
    const auto close = type.find(')', open);
    if (open == std::string_view::npos || close == std::string_view::npos) {
        parts.name = type;
        return parts;
    }
    parts.name = fmt::format("{}{}", type.substr(0, open), type.substr(close + 1));
    const auto* at = type.data() + open + 1;
    const auto* end = type.data() + close;
    while (at < end) {
        int32_t number = 0;
        const auto [next, error] = std::from_chars(at, end, number);
        if (error != std::errc()) {
            break;
        }
        parts.numbers.push_back(number);
        at = next + 1;
    }
    return parts;
}

enum class Fit : uint8_t { Fits, TooShort, TooNarrow, Other };

/// Types that hold every value of the one before them, in the same text.
bool is_wider(std::string_view source, std::string_view target) {
    static constexpr std::array<std::array<std::string_view, 2>, 9> kWider = {{
        {"smallint", "integer"},
        {"smallint", "bigint"},
        {"integer", "bigint"},
        {"smallint", "numeric"},
        {"integer", "numeric"},
        {"bigint", "numeric"},
        {"character varying", "text"},
        {"character", "text"},
        {"bit", "bit varying"},
    }};
    return std::ranges::any_of(kWider, [&](const auto& pair) {
        return pair[0] == source && pair[1] == target;
    });
}

Fit fit_numeric(const TypeParts& source, const TypeParts& target) {
    if (target.numbers.empty()) {
        return Fit::Fits;
    }
    if (source.numbers.size() < 2 || target.numbers.size() < 2) {
        return Fit::TooNarrow;
    }
    // Another scale changes the text: 1.0 is not 1.00.
    const bool same_scale = source.numbers[1] == target.numbers[1];
    if (!same_scale) {
        return target.numbers[1] < source.numbers[1] ? Fit::TooNarrow : Fit::Other;
    }
    return target.numbers[0] < source.numbers[0] ? Fit::TooNarrow : Fit::Fits;
}

Fit fit_of(const ColumnShape& source, const ColumnShape& target, int32_t needed) {
    const auto from = parts_of(source.base);
    const auto to = parts_of(target.base);
    if (!source.labels.empty() && !target.labels.empty()) {
        const bool all = std::ranges::all_of(source.labels, [&target](const auto& label) {
            return std::ranges::find(target.labels, label) != target.labels.end();
        });
        return all ? Fit::Fits : Fit::TooNarrow;
    }
    if (from.name != to.name) {
        const bool wider = is_wider(from.name, to.name) && to.numbers.empty();
        const bool shorter =
            to.name == "character varying" && (from.name == "text" || from.name == "character");
        const bool text =
            shorter && (target.length < 0 || (needed >= 0 && target.length >= needed));
        return wider || text ? Fit::Fits : shorter ? Fit::TooShort : Fit::Other;
    }
    if (from.name == "numeric") {
        return fit_numeric(from, to);
    }
    if (target.length >= 0) {
        // char(n) pads, and bit(n) is exact: only the same length means the same text.
        const bool exact = from.name == "character" || from.name == "bit";
        const bool enough = needed >= 0 && target.length >= needed;
        return !enough ? Fit::TooShort : exact && target.length != needed ? Fit::Other : Fit::Fits;
    }
    if (source.length >= 0 || from.numbers == to.numbers || to.numbers.empty()) {
        return Fit::Fits;
    }
    return Fit::TooNarrow;
}

std::string list_of(const std::vector<std::string>& columns) {
    std::string list;
    for (const auto& column : columns) {
        list += (list.empty() ? "" : ", ") + quote_identifier(column);
    }
    return list;
}

/// Compares one table; gathers what it finds.
class TableComparison {
public:
    TableComparison(
        const TableShape& source,
        const TableShape& target,
        const DatabaseShape& source_database,
        const DatabaseShape& target_database
    )
        : source_(source),
          target_(target),
          from_(source_database.characters),
          to_(target_database.characters),
          table_(quote_identifier(target.name.schema) + "." + quote_identifier(target.name.name)) {}

    std::vector<Finding> run() {
        for (const auto& column : source_.columns) {
            const auto at = find(target_, column.name);
            at ? compare(column, *at) : missing(column);
        }
        for (const auto& column : target_.columns) {
            if (!find(source_, column.name)) {
                extra(column);
            }
        }
        compare_keys();
        return std::move(findings_);
    }

private:
    static const ColumnShape* find(const TableShape& table, const std::string& name) {
        const auto at = std::ranges::find(table.columns, name, &ColumnShape::name);
        return at == table.columns.end() ? nullptr : &*at;
    }

    void add(
        Verdict verdict, const std::string& column, std::string en, std::string zh, std::string mend
    ) {
        Finding finding;
        finding.verdict = verdict;
        finding.subject = target_.name.to_string() + (column.empty() ? "" : "." + column);
        finding.message_en = std::move(en);
        finding.message_zh = std::move(zh);
        finding.mend = std::move(mend);
        findings_.push_back(std::move(finding));
    }

    std::string alter(const ColumnShape& column, std::string_view action) const {
        return fmt::format(
            "ALTER TABLE {} ALTER COLUMN {} {};", table_, quote_identifier(column.name), action
        );
    }

    void missing(const ColumnShape& column) {
        const auto generated =
            column.generated.empty()
                ? std::string()
                : fmt::format(" GENERATED ALWAYS AS ({}) STORED", column.generated);
        add(Verdict::Bad,
            column.name,
            "the target has no such column",
            "目标端没有该列",
            fmt::format(
                "ALTER TABLE {} ADD COLUMN {} {}{};",
                table_,
                quote_identifier(column.name),
                column.type,
                generated
            ));
    }

    void compare(const ColumnShape& source, const ColumnShape& target) {
        compare_generation(source, target);
        compare_type(source, target);
        const bool only_target = target.not_null && !source.not_null;
        // A column of the primary key cannot be null; that shows as a missing key.
        const bool in_key =
            std::ranges::find(target_.primary_key, target.name) != target_.primary_key.end();
        if (only_target && !in_key) {
            add(Verdict::Bad,
                source.name,
                "NOT NULL at the target, but the source has no such rule",
                "目标端为 NOT NULL,而源端允许空值",
                alter(source, "DROP NOT NULL"));
        }
    }

    void compare_generation(const ColumnShape& source, const ColumnShape& target) {
        if (source.generated.empty() && !target.generated.empty()) {
            add(Verdict::Bad,
                source.name,
                "computed by the target, but an ordinary column at the source",
                "目标端为生成列,而源端为普通列",
                alter(source, "DROP EXPRESSION"));
        }
        if (!source.generated.empty() && target.generated.empty()) {
            add(Verdict::Bad,
                source.name,
                "computed by the source, but nothing fills it at the target",
                "源端为生成列,目标端无人填充该列",
                fmt::format(
                    "ALTER TABLE {0} DROP COLUMN {1}, ADD COLUMN {1} {2} GENERATED ALWAYS AS ({3}) "
                    "STORED;",
                    table_,
                    quote_identifier(source.name),
                    source.type,
                    source.generated
                ));
        }
    }

    void compare_type(const ColumnShape& source, const ColumnShape& target) {
        const auto needed = length_needed(source.length, from_, to_);
        const auto fit = fit_of(source, target, needed);
        if (fit == Fit::Fits) {
            return;
        }
        if (fit == Fit::TooNarrow && !source.labels.empty() && !target.labels.empty()) {
            missing_labels(source, target);
            return;
        }
        auto type = source.type;
        const bool by_encoding = fit == Fit::TooShort && needed >= 0 && needed != source.length;
        if (by_encoding) {
            type = fmt::format("{}({})", parts_of(source.base).name, needed);
        }
        const auto sql =
            fmt::format("TYPE {} USING {}::{}", type, quote_identifier(source.name), type);
        const auto both_en = fmt::format("{} at the source, {} here", source.type, target.type);
        const auto both_zh = fmt::format("源端 {},目标端 {}", source.type, target.type);
        if (fit == Fit::TooShort) {
            add(Verdict::Bad,
                source.name,
                fmt::format("too short: {}; {} is needed", both_en, type),
                fmt::format("长度不足:{};需要 {}", both_zh, type),
                alter(source, sql));
            // Padded to another length, character(n) would be another text.
            findings_.back().lengthens =
                by_encoding && parts_of(source.base).name == "character varying";
        } else if (fit == Fit::TooNarrow) {
            add(Verdict::Bad,
                source.name,
                fmt::format("too narrow: {}", both_en),
                fmt::format("取值范围不足:{}", both_zh),
                alter(source, sql));
        } else {
            add(Verdict::Bad,
                source.name,
                fmt::format("another type: {}", both_en),
                fmt::format("类型不同:{}", both_zh),
                alter(source, sql));
        }
    }

    void missing_labels(const ColumnShape& source, const ColumnShape& target) {
        for (const auto& label : source.labels) {
            if (std::ranges::find(target.labels, label) == target.labels.end()) {
                add(Verdict::Bad,
                    source.name,
                    fmt::format("the type {} has no label {}", target.base, quote_literal(label)),
                    fmt::format("类型 {} 缺少枚举值 {}", target.base, quote_literal(label)),
                    fmt::format(
                        "ALTER TYPE {} ADD VALUE IF NOT EXISTS {};",
                        target.base,
                        quote_literal(label)
                    ));
            }
        }
    }

    void extra(const ColumnShape& column) {
        const bool filled = column.has_default || column.identity || !column.generated.empty();
        if (column.not_null && !filled) {
            add(Verdict::Bad,
                column.name,
                "NOT NULL without a default, and not at the source",
                "源端没有该列,而目标端要求非空且无默认值",
                alter(column, "DROP NOT NULL"));
        }
    }

    /// Changes find their rows by the source's key: the target needs one over the same columns.
    void compare_keys() {
        const auto& wanted = !source_.primary_key.empty()      ? source_.primary_key
                             : source_.unique_keys.size() == 1 ? source_.unique_keys.front()
                                                               : source_.primary_key;
        if (wanted.empty()) {
            return;
        }
        const auto same = [&wanted](const std::vector<std::string>& key) {
            return std::ranges::is_permutation(key, wanted);
        };
        if (same(target_.primary_key) || std::ranges::any_of(target_.unique_keys, same)) {
            return;
        }
        const auto word =
            !target_.primary_key.empty() || source_.primary_key.empty() ? "UNIQUE" : "PRIMARY KEY";
        add(Verdict::Bad,
            "",
            fmt::format("no key over {}, which the source has", list_of(wanted)),
            fmt::format("缺少源端所有的键 {}", list_of(wanted)),
            fmt::format("ALTER TABLE {} ADD {} ({});", table_, word, list_of(wanted)));
    }

    const TableShape& source_;
    const TableShape& target_;
    const CharacterSet& from_;
    const CharacterSet& to_;
    std::string table_;
    std::vector<Finding> findings_;
};

/// A plain table of the same columns and key; `--create` makes it with all that belongs to it.
std::string table_sql(const TableShape& shape, const model::TableName& name) {
    std::string lines;
    for (const auto& column : shape.columns) {
        lines += fmt::format(
            "{}    {} {}{}{}",
            lines.empty() ? "" : ",\n",
            quote_identifier(column.name),
            column.type,
            column.generated.empty()
                ? ""
                : fmt::format(" GENERATED ALWAYS AS ({}) STORED", column.generated),
            column.not_null ? " NOT NULL" : ""
        );
    }
    if (!shape.primary_key.empty()) {
        lines += fmt::format(",\n    PRIMARY KEY ({})", list_of(shape.primary_key));
    }
    return fmt::format(
        "CREATE TABLE {}.{} (\n{}\n);",
        quote_identifier(name.schema),
        quote_identifier(name.name),
        lines
    );
}

Finding missing_table(const model::TableName& name, std::string en, std::string zh) {
    Finding finding;
    finding.verdict = Verdict::Bad;
    finding.subject = name.to_string();
    finding.message_en = std::move(en);
    finding.message_zh = std::move(zh);
    return finding;
}

std::optional<Finding> compare_characters(const CharacterSet& source, const CharacterSet& target) {
    if (source.name == target.name || target.name == "UTF8") {
        return std::nullopt;
    }
    Finding finding;
    finding.verdict = Verdict::Warning;
    finding.subject = "encoding";
    finding.message_en = fmt::format(
        "{} at the source, {} at the target: a character that the target lacks stops its row",
        source.name,
        target.name
    );
    finding.message_zh = fmt::format(
        "源端编码 {},目标端编码 {}:目标端没有的字符会使该行无法写入", source.name, target.name
    );
    finding.mend = "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;";
    return finding;
}

}  // namespace

int32_t length_needed(int32_t length, const CharacterSet& source, const CharacterSet& target) {
    const bool grows = length >= 0 && target.counts_bytes && !source.counts_bytes;
    return grows ? length * static_cast<int32_t>(source.bytes_max) : length;
}

std::vector<Finding> compare_shapes(
    const std::vector<TablePair>& tables, const DatabaseShape& source, const DatabaseShape& target
) {
    std::vector<Finding> findings;
    if (auto finding = compare_characters(source.characters, target.characters)) {
        findings.push_back(*std::move(finding));
    }
    for (size_t i = 0; i < tables.size(); ++i) {
        const auto& from = source.tables.at(i);
        const auto& to = target.tables.at(i);
        if (!from) {
            findings.push_back(
                missing_table(tables[i].source, "the source has no such table", "源端没有该表")
            );
        } else if (!to) {
            findings.push_back(missing_table(
                tables[i].target,
                "the target has no such table; --create makes it",
                "目标端没有该表;可用 --create 创建"
            ));
            findings.back().mend = table_sql(*from, tables[i].target);
        } else {
            auto found = TableComparison(*from, *to, source, target).run();
            std::ranges::move(found, std::back_inserter(findings));
        }
    }
    return findings;
}

Task<Result<std::vector<Finding>>> compare_structure(
    Connection& source, Connection& target, std::vector<TablePair> tables
) {
    std::vector<model::TableName> from;
    std::vector<model::TableName> to;
    for (const auto& pair : tables) {
        from.push_back(pair.source);
        to.push_back(pair.target);
    }
    QIAO_CO_TRY(const auto source_shape, co_await read_shape(source, std::move(from)));
    QIAO_CO_TRY(const auto target_shape, co_await read_shape(target, std::move(to)));
    co_return compare_shapes(tables, source_shape, target_shape);
}

}  // namespace qiao::drivers::postgres
