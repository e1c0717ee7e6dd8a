#include "qiao/apply/key.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace qiao::apply {
namespace {

constexpr std::string_view kCatalog = "pg_catalog.";

constexpr auto kIntegers = std::to_array<std::string_view>({"int2", "int4", "int8"});
constexpr auto kTexts = std::to_array<std::string_view>({"text", "varchar"});
/// One representation a value, in both forms, under the session settings of rules 15.
constexpr auto kExact = std::to_array<std::string_view>(
    {"oid",
     "bool",
     "uuid",
     "bytea",
     "date",
     "time",
     "timestamp",
     "timestamptz",
     "macaddr",
     "macaddr8",
     "name",
     "char"}
);

bool among(std::string_view type, const auto& types) {
    return type.starts_with(kCatalog) &&
           std::ranges::find(types, type.substr(kCatalog.size())) != types.end();
}

/// Collations that a user made may be non-deterministic; the system's own are not.
bool deterministic(std::string_view collation) {
    return collation.empty() || collation.starts_with(kCatalog);
}

std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
        out += c == '\'' ? "''" : std::string(1, c);
    }
    return out;
}

std::string value_text(const model::Column& column, const model::Value& value) {
    if (value.kind != model::ValueKind::Text && value.kind != model::ValueKind::Binary) {
        return "NULL";
    }
    const bool integer = among(column.type, kIntegers);
    if (value.kind == model::ValueKind::Text || among(column.type, kTexts)) {
        const auto text = as_text(value.bytes);
        return integer ? std::string(text) : fmt::format("'{}'", printable(text));
    }
    if (integer && !value.bytes.empty() && value.bytes.size() <= sizeof(int64_t)) {
        const bool negative = (value.bytes.front() & std::byte{0x80}) != std::byte{0};
        uint64_t number = negative ? ~uint64_t{0} : 0;
        for (const auto byte : value.bytes) {
            number = number << 8U | std::to_integer<uint64_t>(byte);
        }
        return fmt::format("{}", static_cast<int64_t>(number));
    }
    return "x" + to_hex(value.bytes);
}

}  // namespace

bool key_bytes_are_identity(const model::Column& source, const drivers::TargetColumn& target) {
    // A narrower modifier at the target could cut two keys to one.
    const bool kept = target.modifier == -1 || target.modifier == source.modifier;
    if (among(source.type, kIntegers)) {
        return among(target.type, kIntegers);
    }
    if (among(source.type, kTexts)) {
        return kept && among(target.type, kTexts) && deterministic(source.collation);
    }
    return kept && source.type == target.type && among(source.type, kExact);
}

KeyBytes key_of(const model::Tuple& row, const std::vector<size_t>& columns) {
    KeyBytes key;
    if (columns.empty()) {
        key.complete = false;
        return key;
    }
    // Key columns mostly stand first and in order: one walk, stopped at the last of them.
    std::array<model::Value, 8> few;
    std::vector<model::Value> many;
    const auto last = *std::ranges::max_element(columns);
    if (last >= few.size()) {
        many.resize(last + 1);
    }
    const auto values = many.empty() ? std::span(few) : std::span(many);
    auto cursor = model::Tuple::Cursor(row);
    for (size_t i = 0; i <= last && cursor.more(); ++i) {
        values[i] = cursor.next();
    }
    for (const auto column : columns) {
        const auto& value = values[column];
        const bool here =
            value.kind == model::ValueKind::Text || value.kind == model::ValueKind::Binary;
        key.complete = key.complete && here;
        key.text = key.text || value.kind == model::ValueKind::Text;
        key.binary = key.binary || value.kind == model::ValueKind::Binary;
        const auto length = static_cast<uint32_t>(value.bytes.size());
        key.bytes.append(1, static_cast<char>(value.kind));
        key.bytes.append(reinterpret_cast<const char*>(&length), sizeof(length));
        key.bytes.append(as_text(value.bytes));
    }
    return key;
}

const model::Tuple& identifying_row(const model::Change& change) {
    const bool by_new =
        change.op == model::Op::Insert ||
        (change.op == model::Op::Update && change.old_image == model::OldImage::Absent);
    return by_new ? change.new_row : change.old_row;
}

bool changes_key(const model::Change& change, const std::vector<size_t>& columns) {
    if (change.op != model::Op::Update || change.old_image == model::OldImage::Absent) {
        return false;
    }
    const auto before = change.old_row.values();
    const auto after = change.new_row.values();
    return std::ranges::any_of(columns, [&](size_t i) {
        return after[i].kind != model::ValueKind::Unchanged &&
               (before[i].kind != after[i].kind ||
                !std::ranges::equal(before[i].bytes, after[i].bytes));
    });
}

std::string key_text(
    const model::TableSchema& schema, const std::vector<size_t>& columns, const model::Tuple& row
) {
    const auto values = row.values();
    std::string text;
    for (const auto i : columns) {
        text += fmt::format(
            "{}{}={}",
            text.empty() ? "" : ", ",
            schema.columns[i].name,
            value_text(schema.columns[i], values[i])
        );
    }
    return text;
}

}  // namespace qiao::apply
