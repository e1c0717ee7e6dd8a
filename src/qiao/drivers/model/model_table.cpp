#include "qiao/drivers/model/model_table.h"

#include "qiao/common/assert.h"

#include <algorithm>

namespace qiao::drivers::model_db {
namespace {

Cell cell_of(const model::Value& value) {
    if (value.kind == model::ValueKind::Text || value.kind == model::ValueKind::Binary) {
        return std::string(as_text(value.bytes));
    }
    return std::nullopt;
}

Row pick(const Row& row, const std::vector<size_t>& places) {
    Row picked;
    picked.reserve(places.size());
    for (const auto place : places) {
        picked.push_back(row[place]);
    }
    return picked;
}

bool has_null(const Row& row) { return std::ranges::count(row, Cell()) != 0; }

}  // namespace

ModelTable::ModelTable(TargetTable target)
    : target_(std::move(target)), key_(places(target_.primary_key)) {
    for (const auto& unique : target_.unique_keys) {
        unique_.push_back(places(unique));
    }
}

std::vector<size_t> ModelTable::places(const std::vector<std::string>& columns) const {
    std::vector<size_t> found;
    for (const auto& name : columns) {
        const auto at = std::ranges::find(target_.columns, name, &TargetColumn::name);
        QIAO_ASSERT(at != target_.columns.end());
        found.push_back(static_cast<size_t>(at - target_.columns.begin()));
    }
    return found;
}

Row ModelTable::key_of(const Row& row) const { return key_.empty() ? row : pick(row, key_); }

std::vector<Row> ModelTable::rows() const {
    std::vector<Row> all;
    for (const auto& [key, row] : rows_) {
        all.push_back(row);
    }
    std::ranges::sort(all);
    return all;
}

std::vector<Row> ModelTable::project(const std::vector<std::string>& columns) const {
    const auto at = places(columns);
    std::vector<Row> all;
    for (const auto& [key, row] : rows_) {
        if (auto picked = pick(row, at); !has_null(picked)) {
            all.push_back(std::move(picked));
        }
    }
    return all;
}

Status ModelTable::check_unique(const Row& row) const {
    for (size_t i = 0; i < row.size(); ++i) {
        if (target_.columns[i].not_null && !row[i]) {
            return Error(ErrorCode::DbConstraint, name() + ": " + target_.columns[i].name);
        }
    }
    for (const auto& unique : unique_) {
        const auto wanted = pick(row, unique);
        const auto taken = [&](const auto& other) { return pick(other.second, unique) == wanted; };
        if (!has_null(wanted) && std::ranges::any_of(rows_, taken)) {
            return Error(ErrorCode::DbConstraint, name() + ": unique key");
        }
    }
    return {};
}

Status ModelTable::insert(Row row) {
    auto key = key_of(row);
    if (!key_.empty() && (has_null(key) || rows_.contains(key))) {
        return Error(has_null(key) ? ErrorCode::DbConstraint : ErrorCode::ApplyExistingRow, name());
    }
    QIAO_CHECK(check_unique(row));
    rows_.emplace(std::move(key), std::move(row));
    return {};
}

Result<Row> ModelTable::read(const model::TableSchema& schema, const model::Tuple& tuple) const {
    Row row(target_.columns.size());
    const auto values = tuple.values();
    for (size_t i = 0; i < values.size(); ++i) {
        const auto& column = schema.columns[i].name;
        if (schema.columns[i].generated) {
            continue;  // never written
        }
        const auto at = std::ranges::find(target_.columns, column, &TargetColumn::name);
        if (at == target_.columns.end()) {
            return Error(ErrorCode::DbNoTable, name() + "." + column);
        }
        if (values[i].kind == model::ValueKind::Withheld) {
            return Error(ErrorCode::PacketTooLarge, name() + "." + column);
        }
        row[static_cast<size_t>(at - target_.columns.begin())] = cell_of(values[i]);
    }
    return row;
}

/// By the schema's key columns alone, as the seam says for every image.
ModelTable::Rows::iterator ModelTable::find(
    const model::TableSchema& schema, const model::Tuple& image
) {
    std::vector<std::string> names;
    Row wanted;
    const auto values = image.values();
    for (const auto column : schema.key_columns()) {
        names.push_back(schema.columns[column].name);
        wanted.push_back(cell_of(values[column]));
    }
    const auto at = places(names);
    if (at == key_) {
        return rows_.find(wanted);
    }
    return std::ranges::find_if(rows_, [&](const auto& entry) {
        return pick(entry.second, at) == wanted;
    });
}

Result<bool> ModelTable::has_old_row(
    const model::TableSchema& schema, const model::Change& change
) {
    if (change.old_image != model::OldImage::Full) {
        return true;
    }
    const auto met = find(schema, change.old_row);
    QIAO_TRY(const auto image, read(schema, change.old_row));
    if (met == rows_.end()) {
        return false;
    }
    return std::ranges::all_of(schema.columns, [&](const auto& column) {
        const auto place = column.generated ? 0 : places({column.name}).front();
        return column.generated || met->second[place] == image[place];
    });
}

Result<bool> ModelTable::update(const model::TableSchema& schema, const model::Change& change) {
    const bool same_key = change.old_image == model::OldImage::Absent;
    const auto met = find(schema, same_key ? change.new_row : change.old_row);
    if (met == rows_.end()) {
        return false;
    }
    QIAO_TRY(const auto image, read(schema, change.new_row));
    auto old_row = std::move(met->second);
    rows_.erase(met);
    auto row = old_row;
    const auto values = change.new_row.values();
    for (size_t i = 0; i < values.size(); ++i) {
        if (values[i].kind != model::ValueKind::Unchanged && !schema.columns[i].generated) {
            const auto place = places({schema.columns[i].name}).front();
            row[place] = image[place];
        }
    }
    if (auto done = insert(std::move(row)); !done) {
        rows_.emplace(key_of(old_row), std::move(old_row));
        return Error(ErrorCode::DbConstraint, done.error().detail());
    }
    return true;
}

Result<bool> ModelTable::erase(const model::TableSchema& schema, const model::Change& change) {
    const auto met = find(schema, change.old_row);
    if (met == rows_.end()) {
        return false;
    }
    rows_.erase(met);
    return true;
}

bool ModelTable::erase(const Row& row) {
    const auto same = std::ranges::find(rows_, row, &Rows::value_type::second);
    if (same == rows_.end()) {
        return false;
    }
    rows_.erase(same);
    return true;
}

}  // namespace qiao::drivers::model_db
