#include "qiao/apply/internal/chains.h"

#include "qiao/apply/key.h"

#include <algorithm>

namespace qiao::apply {
namespace {

constexpr std::string_view kAnyRow = "*";

using Columns = std::vector<size_t>;

/// Of a row image, when it tells all of the columns: `id=5`.
void add_name(
    std::vector<std::string>& names,
    const model::TableSchema& schema,
    const Columns& columns,
    const model::Tuple& row
) {
    if (!row.empty() && key_of(row, columns).complete) {
        auto name = key_text(schema, columns, row);
        if (std::ranges::find(names, name) == names.end()) {
            names.push_back(std::move(name));
        }
    }
}

/// Places of the target's unique key in the source's rows; none when a column is not the source's.
Columns places_of(const BoundTable& table, const std::vector<std::string>& unique_key) {
    Columns places;
    for (const auto& name : unique_key) {
        const auto place = table.written->find_column(name);
        if (!place) {
            return {};
        }
        places.push_back(*place);
    }
    return places;
}

/// How many of the names that keys_of() gave are those of rows by their key: it is in front, and
/// behind it the one to which the row moves.
size_t rows_among(const std::vector<std::string>& names) {
    const auto& front = names.front();
    if (front == kAnyRow) {
        return 0;
    }
    const auto column = std::string_view(front).substr(0, front.find('=') + 1);
    return names.size() > 1 && names[1].starts_with(column) ? 2 : 1;
}

}  // namespace

void ErrorChains::load(drivers::OpenErrors open) {
    open_.clear();
    for (auto& [table, rows] : open.rows) {
        open_[table].rows = rows;
    }
    for (auto& key : open.keys) {
        open_[key.table].keys.insert(std::move(key.key));
    }
    size_ = open.keys.size();
    stale_ = false;
    before_.clear();
    added_.clear();
}

std::vector<std::string> ErrorChains::keys_of(
    const BoundTable& table, const model::Change& change
) {
    const bool untold = table.target.opaque_unique || table.target.exclusion;
    if (table.key.empty() || change.op == model::Op::Truncate) {
        return {std::string(kAnyRow)};
    }
    std::vector keys{key_text(*table.schema, table.key, identifying_row(change))};
    if (changes_key(change, table.key)) {
        keys.push_back(key_text(*table.schema, table.key, change.new_row));
    }
    for (const auto& unique_key : table.target.unique_keys) {
        const auto places = places_of(table, unique_key);
        if (change.old_image == model::OldImage::Full) {
            add_name(keys, *table.schema, places, change.old_row);
        }
        if (change.op != model::Op::Delete) {
            add_name(keys, *table.schema, places, change.new_row);
        }
    }
    if (untold) {
        keys.emplace_back(kAnyRow);
    }
    return keys;
}

bool ErrorChains::diverts(const BoundTable& table, const model::Change& change) const {
    const auto found = open_.find(table.schema->table);
    if (change.op == model::Op::Truncate || found == open_.end()) {
        return false;
    }
    const auto& keys = found->second.keys;
    if (!table.key_is_bytes || keys.contains(std::string(kAnyRow))) {
        return true;
    }
    return std::ranges::any_of(keys_of(table, change), [&](const auto& key) {
        return keys.contains(key);
    });
}

uint64_t ErrorChains::rows(const model::TableName& table) const {
    const auto found = open_.find(table);
    return found == open_.end() ? 0 : found->second.rows;
}

uint64_t ErrorChains::rows() const {
    uint64_t rows = 0;
    for (const auto& [name, table] : open_) {
        rows += table.rows;
    }
    return rows;
}

void ErrorChains::add(const model::TableName& table, const std::vector<std::string>& keys) {
    auto& open = open_[table];
    auto& added = added_[table];
    ++open.rows;
    ++added.rows;
    for (const auto& key : keys) {
        if (open.keys.insert(key).second) {
            ++size_;
            added.keys.insert(key);
        }
    }
}

/// How the table was before this transaction, for forget_changes().
void ErrorChains::save(const model::TableName& table) {
    if (before_.contains(table)) {
        return;
    }
    auto before = open_[table];
    for (const auto& key : added_[table].keys) {
        before.keys.erase(key);
    }
    before.rows -= added_[table].rows;
    before_.emplace(table, std::move(before));
}

void ErrorChains::remove(const model::TableName& table, const std::string& key) {
    save(table);
    size_ -= open_[table].keys.erase(key);
    stale_ = true;
}

void ErrorChains::remove_all(const model::TableName& table) {
    save(table);
    size_ -= open_[table].keys.size();
    open_.erase(table);
}

void ErrorChains::keep_changes() {
    before_.clear();
    added_.clear();
}

void ErrorChains::forget_changes() {
    for (auto& [name, added] : added_) {
        if (before_.contains(name)) {
            continue;
        }
        auto& open = open_[name];
        for (const auto& key : added.keys) {
            size_ -= open.keys.erase(key);
        }
        open.rows -= added.rows;
        if (open.rows == 0) {
            open_.erase(name);
        }
    }
    for (auto& [name, before] : before_) {
        size_ -= open_[name].keys.size();
        size_ += before.keys.size();
        if (before.rows == 0) {
            open_.erase(name);
        } else {
            open_[name] = std::move(before);
        }
    }
    keep_changes();
}

Task<Result<std::vector<std::string>>> drop_chain(
    drivers::TargetSession& session, StreamId stream, model::TableName table, std::string key
) {
    std::vector names{std::move(key)};
    for (size_t i = 0; i < names.size(); ++i) {
        QIAO_CO_TRY(const auto dropped, co_await session.drop_errors(stream, table, names[i]));
        for (const auto& keys : dropped) {
            for (size_t row = 0; row < rows_among(keys); ++row) {
                if (std::ranges::find(names, keys[row]) == names.end()) {
                    names.push_back(keys[row]);
                }
            }
        }
    }
    co_return names;
}

}  // namespace qiao::apply
