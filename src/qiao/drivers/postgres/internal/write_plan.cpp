#include "qiao/drivers/postgres/internal/write_plan.h"

#include "qiao/drivers/postgres/types.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres::internal {
namespace {

/// Lengths and precisions as SQL writes them, for the types where they are common.
std::string written_type(const model::Column& column) {
    constexpr int32_t kHeader = 4;
    const auto type = quote_type(column.type);
    const auto bits = static_cast<uint32_t>(column.modifier - kHeader);
    if (column.modifier < kHeader) {
        return type;
    }
    if (column.type == "pg_catalog.varchar" || column.type == "pg_catalog.bpchar") {
        return fmt::format("{}({})", type, bits);
    }
    if (column.type == "pg_catalog.numeric") {
        return fmt::format("{}({},{})", type, bits >> 16U, bits & 0x7FFU);
    }
    return type;
}

Error missing_column(const TargetTable& table, const model::Column& column) {
    return {
        ErrorCode::ApplyColumns,
        fmt::format(
            "ALTER TABLE {} ADD COLUMN {} {};",
            quote_table(table.name),
            quote_identifier(column.name),
            written_type(column)
        )
    };
}

BoundColumn bind_column(
    const model::Column& source, size_t index, const TargetColumn& target, const ColumnFacts& facts
) {
    BoundColumn bound;
    bound.source = index;
    bound.name = quote_identifier(source.name);
    bound.display = source.name;
    bound.type = quote_type(facts.base_type);
    bound.oid = facts.base_oid;
    // unnest() takes row values apart: they travel as text, or one by one.
    bound.array_oid = facts.composite ? 0 : facts.base_array_oid;
    bound.array = facts.array;
    bound.same_type = source.type == target.type || source.type == facts.base_type;
    bound.text_is_binary = facts.text_is_binary;
    bound.source_text_is_binary =
        text_is_binary(source.type) || (bound.same_type && facts.text_is_binary);
    bound.key = source.key;
    bound.identity_always = target.identity_always;
    return bound;
}

/// The target's key that names rows for changes of this schema; null: none does.
const KeyFacts* choose_key(const model::TableSchema& schema, const CatalogueTable& target) {
    std::vector<std::string> names;
    const bool full = schema.identity == model::Identity::Full;
    for (const auto& column : schema.columns) {
        if ((column.key || full) && !column.generated) {
            names.push_back(column.name);
        }
    }
    const auto* key = target.key_within(names);
    // A whole old row may hold null in a unique column: then the key does not name it.
    return key != nullptr && full && !key->not_null ? nullptr : key;
}

/// Meets rows by the source's identity where that contains a key of the target; with the whole old
/// row the target's own key is enough.
void set_key(WritePlan& plan, const model::TableSchema& schema, const KeyFacts& key) {
    const bool full = schema.identity == model::Identity::Full;
    for (size_t i = 0; i < plan.columns.size(); ++i) {
        const auto& column = plan.columns[i];
        const auto of_key = std::ranges::find(key.columns, column.display);
        if (of_key != key.columns.end()) {
            plan.key.push_back(i);
            plan.equals.push_back(key.equals[static_cast<size_t>(of_key - key.columns.begin())]);
        } else if (!full && column.key) {
            plan.key.push_back(i);
            plan.equals.emplace_back("=");
        }
    }
}

Error no_key(const model::TableSchema& schema, const TargetTable& table) {
    std::string columns;
    for (const auto& column : schema.columns) {
        if (column.key) {
            columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
        }
    }
    if (columns.empty()) {
        return {
            ErrorCode::ApplyNoKey,
            fmt::format("{}: the source sends no identity of its rows", table.name.to_string())
        };
    }
    return {
        ErrorCode::ApplyNoKey,
        fmt::format("ALTER TABLE {} ADD UNIQUE ({});", quote_table(table.name), columns)
    };
}

}  // namespace

Result<WritePlan> make_plan(
    const model::TableSchema& schema, const TargetRelation& relation, model::Op op
) {
    WritePlan plan;
    plan.relation = &relation;
    const auto& target = relation.table;
    for (size_t i = 0; i < schema.columns.size(); ++i) {
        const auto& source = schema.columns[i];
        if (source.generated) {
            continue;
        }
        const auto found = std::ranges::find(target.columns, source.name, &TargetColumn::name);
        if (found == target.columns.end()) {
            return missing_column(target, source);
        }
        if (found->generated) {
            continue;
        }
        const auto at = static_cast<size_t>(found - target.columns.begin());
        plan.columns.push_back(bind_column(source, i, *found, relation.catalogue.columns[at]));
        plan.columns.back().target = at;
        plan.overriding = plan.overriding || found->identity_always;
    }
    if (op == model::Op::Insert) {
        return plan;
    }
    if (const auto* key = choose_key(schema, relation.catalogue)) {
        set_key(plan, schema, *key);
    } else if (schema.identity != model::Identity::Full) {
        return no_key(schema, target);
    }
    return plan;
}

Result<Form> form_of(const BoundColumn& column, const model::Value& value) {
    switch (value.kind) {
        case model::ValueKind::Null:
            return Form::Null;
        case model::ValueKind::Text:
            // libpq would end the value there.
            if (!column.text_is_binary &&
                as_text(value.bytes).find('\0') != std::string_view::npos) {
                return Error(
                    ErrorCode::DbValue, fmt::format("column {}: a zero byte", column.display)
                );
            }
            return Form::Text;
        case model::ValueKind::Binary:
            if (column.same_type) {
                return Form::Binary;
            }
            if (column.source_text_is_binary) {
                return Form::Text;
            }
            return Error(
                ErrorCode::DbValue,
                fmt::format("column {}: sent in a binary form that differs here", column.display)
            );
        case model::ValueKind::Withheld: {
            const auto told = model::WithheldValue::of(value);
            return Error(
                ErrorCode::PacketTooLarge,
                fmt::format("column {}: {} bytes, limit {}", column.display, told.bytes, told.most)
            );
        }
        case model::ValueKind::Unchanged:
            break;
    }
    return Error(
        ErrorCode::ApplyIncompleteRow, fmt::format("column {} was not sent", column.display)
    );
}

}  // namespace qiao::drivers::postgres::internal
