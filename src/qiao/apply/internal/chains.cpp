#include "qiao/apply/internal/chains.h"

#include "qiao/apply/key.h"

#include <algorithm>

namespace qiao::apply {
namespace {

constexpr std::string_view kAnyRow = "*";

}  // namespace

void ErrorChains::load(std::vector<drivers::ErrorKey> keys) {
    open_.clear();
    size_ = 0;
    for (auto& key : keys) {
        size_ += open_[key.table].insert(std::move(key.key_text)).second;
    }
    added_.clear();
}

std::vector<std::string> ErrorChains::keys_of(
    const BoundTable& table, const model::Change& change
) {
    if (table.key.empty() || change.op == model::Op::Truncate) {
        return {std::string(kAnyRow)};
    }
    std::vector keys{key_text(*table.schema, table.key, identifying_row(change))};
    if (changes_key(change, table.key)) {
        keys.push_back(key_text(*table.schema, table.key, change.new_row));
    }
    return keys;
}

bool ErrorChains::contains(const model::TableName& table, const std::string& key) const {
    const auto keys = open_.find(table);
    return keys != open_.end() && keys->second.contains(key);
}

bool ErrorChains::diverts(const BoundTable& table, const model::Change& change) const {
    const auto& name = table.schema->table;
    if (change.op == model::Op::Truncate || !has_open(name)) {
        return false;
    }
    if (!table.key_is_bytes || contains(name, std::string(kAnyRow))) {
        return true;
    }
    return std::ranges::any_of(keys_of(table, change), [&](const auto& key) {
        return contains(name, key);
    });
}

void ErrorChains::add(const model::TableName& table, std::string key) {
    if (open_[table].insert(key).second) {
        ++size_;
        added_.push_back({table, std::move(key)});
    }
}

void ErrorChains::forget_added() {
    for (const auto& key : added_) {
        auto& keys = open_[key.table];
        size_ -= keys.erase(key.key_text);
        if (keys.empty()) {
            open_.erase(key.table);
        }
    }
    added_.clear();
}

}  // namespace qiao::apply
