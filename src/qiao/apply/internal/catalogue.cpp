#include "qiao/apply/internal/catalogue.h"

#include "qiao/apply/key.h"
#include "qiao/drivers/adoption.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::apply {
namespace {

using drivers::TargetColumn;
using drivers::TargetTable;

Status check_columns(const model::TableSchema& schema, const TargetTable& target) {
    for (const auto& column : schema.columns) {
        const auto met = std::ranges::find(target.columns, column.name, &TargetColumn::name);
        if (met == target.columns.end() && !column.generated) {
            return Error(
                ErrorCode::ApplyColumns,
                fmt::format(
                    "ALTER TABLE {} ADD COLUMN \"{}\" {}",
                    target.name.to_string(),
                    column.name,
                    column.type
                )
            );
        }
    }
    return {};
}

bool is_key_column(const model::TableSchema& schema, const std::string& name) {
    return std::ranges::any_of(schema.columns, [&](const model::Column& column) {
        return column.key && column.name == name;
    });
}

bool covers(const model::TableSchema& schema, const std::vector<std::string>& names) {
    return !names.empty() && std::ranges::all_of(names, [&](const auto& name) {
        return is_key_column(schema, name);
    });
}

bool identity_by_bytes(
    const model::TableSchema& schema, const TargetTable& target, const std::vector<size_t>& columns
) {
    return std::ranges::all_of(columns, [&](size_t i) {
        const auto& column = schema.columns[i];
        const auto met = std::ranges::find(target.columns, column.name, &TargetColumn::name);
        return met != target.columns.end() && key_bytes_are_identity(column, *met);
    });
}

std::vector<size_t> name_key_of(const model::TableSchema& schema, const TargetTable& target) {
    if (!covers(schema, target.primary_key)) {
        return schema.identity == model::Identity::Full ? std::vector<size_t>{}
                                                        : schema.key_columns();
    }
    std::vector<size_t> places;
    for (const auto& name : target.primary_key) {
        places.push_back(*schema.find_column(name));
    }
    return places;
}

/// The primary key of the target as places in the source's rows, where every change of the source
/// tells it and its bytes are its identity.
std::vector<size_t> fold_key_of(const model::TableSchema& schema, const TargetTable& target) {
    if (!target.plain() || !covers(schema, target.primary_key)) {
        return {};
    }
    // A key wider than the target's could say "no such row" where a narrower one meets it.
    const auto keys = schema.key_columns();
    if (schema.identity != model::Identity::Full && keys.size() != target.primary_key.size()) {
        return {};
    }
    auto places = name_key_of(schema, target);
    return identity_by_bytes(schema, target, places) ? places : std::vector<size_t>{};
}

/// Places of columns are the same under both names.
BoundTable match(
    std::shared_ptr<const model::TableSchema> schema,
    std::shared_ptr<const model::TableSchema> written,
    TargetTable target
) {
    BoundTable table;
    table.key = name_key_of(*written, target);
    table.fold_key = fold_key_of(*written, target);
    table.has_key = covers(*written, target.primary_key) ||
                    std::ranges::any_of(target.unique_keys, [&](const auto& unique) {
                        return covers(*written, unique);
                    });
    table.key_is_bytes = !table.key.empty() && identity_by_bytes(*written, target, table.key);
    table.watches_others = target.row_triggers || target.rules || target.row_security;
    table.sets_of_inserts = !table.watches_others;
    table.replaceable = std::ranges::all_of(target.columns, [&](const TargetColumn& column) {
        return column.generated || written->find_column(column.name).has_value();
    });
    table.written = std::move(written);
    table.schema = std::move(schema);
    table.target = std::move(target);
    return table;
}

}  // namespace

void Catalogue::add(model::TableSchema schema) {
    const auto id = schema.id();
    schemas_.try_emplace(id, std::make_shared<const model::TableSchema>(std::move(schema)));
}

bool Catalogue::use(const model::SchemaId& id) {
    const auto known = schema(id);
    if (!known) {
        return false;
    }
    auto& shapes = shapes_[known->table];
    if (!shapes.empty() && shapes.back() == id) {
        return false;
    }
    const bool first = shapes.empty();
    std::erase(shapes, id);
    shapes.push_back(id);
    bound_.erase(id);  // was bound when another was the newest
    return !first;
}

std::shared_ptr<const model::TableSchema> Catalogue::before(
    const model::SchemaId& id, const TargetTable& target
) const {
    std::shared_ptr<const model::TableSchema> found;
    std::shared_ptr<const model::TableSchema> last;
    const auto shapes = shapes_.find(schema(id)->table);
    if (shapes == shapes_.end()) {
        return nullptr;
    }
    for (const auto& other : shapes->second) {
        if (other == id) {
            break;
        }
        last = schema(other);
        if (drivers::fits(names_.target_of(*last), target)) {
            found = last;
        }
    }
    return found ? found : last;
}

/// What the newest shape has not any more is passed over where the target has it not either.
model::TableSchema Catalogue::without_lost_columns(
    model::TableSchema written, const model::TableSchema& shape, const TargetTable& target
) const {
    const auto shapes = shapes_.find(shape.table);
    if (shapes == shapes_.end()) {
        return written;
    }
    const auto newest = schema(shapes->second.back());
    for (size_t i = 0; i < shape.columns.size(); ++i) {
        auto& column = written.columns[i];
        const bool there = std::ranges::find(target.columns, column.name, &TargetColumn::name) !=
                           target.columns.end();
        if (!there && !newest->find_column(shape.columns[i].name)) {
            column.generated = true;
        }
    }
    return written;
}

Status Catalogue::bind_apart(const model::SchemaId& id) {
    auto shape = schema(id);
    if (!shape) {
        return Error(ErrorCode::ApplyUnknownSchema, id.to_string());
    }
    if (bound_.empty()) {
        asked_at_ = clock_.now();
    }
    BoundTable table;
    table.key =
        shape->identity == model::Identity::Full ? std::vector<size_t>{} : shape->key_columns();
    table.written = shape;
    table.schema = std::move(shape);
    table.apart = true;
    bound_.insert_or_assign(id, std::move(table));
    return {};
}

std::shared_ptr<const model::TableSchema> Catalogue::schema(const model::SchemaId& id) const {
    const auto met = schemas_.find(id);
    return met == schemas_.end() ? nullptr : met->second;
}

Task<Status> Catalogue::bind(drivers::TargetSession& session, model::SchemaId id) {
    if (const auto met = bound_.find(id); met != bound_.end() && !met->second.apart) {
        co_return Status{};
    }
    const auto shape = schema(id);
    if (!shape) {
        co_return Error(ErrorCode::ApplyUnknownSchema, id.to_string());
    }
    if (bound_.empty()) {
        asked_at_ = clock_.now();
    }
    auto named = names_.empty() ? *shape : names_.target_of(*shape);
    QIAO_CO_TRY(auto target, co_await session.describe(named.table));
    const auto written = std::make_shared<const model::TableSchema>(
        without_lost_columns(std::move(named), *shape, target)
    );
    QIAO_CO_CHECK(check_columns(*written, target));
    bound_.insert_or_assign(id, match(shape, written, std::move(target)));
    co_return Status{};
}

void Catalogue::clear() {
    bound_.clear();
    schemas_.clear();
    shapes_.clear();
}

void Catalogue::forget() { bound_.clear(); }

void Catalogue::forget_older_than(Duration age) {
    if (clock_.now() - asked_at_ >= age) {
        forget();
    }
}

}  // namespace qiao::apply
