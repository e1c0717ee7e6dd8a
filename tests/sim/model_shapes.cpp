#include "model_server.h"

#include <algorithm>

// Tables whose shape changes.
namespace qiao::sim {
namespace {

constexpr uint64_t kRowsBeside = 16;

/// One of the columns for which it is true.
template <typename Is>
std::optional<size_t> pick(const ServerTable& table, uint64_t chance, Is is) {
    std::vector<size_t> found;
    for (size_t i = table.key.size(); i < table.columns.size(); ++i) {
        if (is(i)) {
            found.push_back(i);
        }
    }
    return found.empty() ? std::nullopt : std::optional(found[chance % found.size()]);
}

}  // namespace

const ServerTable& ModelServer::shape_at(size_t table, Lsn at) const {
    const auto& past = past_shapes_[table];
    const auto next =
        std::ranges::upper_bound(past, at, {}, [](const auto& shape) { return shape.first; });
    return *std::prev(next)->second;
}

uint32_t ModelServer::column_number(size_t table, const std::string& name) const {
    return column_numbers_[table].at(name);
}

std::string ModelServer::new_name(size_t table, uint32_t number) {
    auto& names = column_numbers_[table];
    auto name = "column" + std::to_string(names.size());
    names.emplace(name, number);
    return name;
}

void ModelServer::end_users_of(size_t table) {
    std::set<uint32_t> users;
    for (const auto& [row, xid] : locks_) {
        if (row.first == table) {
            users.insert(xid);
        }
    }
    if (const auto whole = table_locks_.find(table); whole != table_locks_.end()) {
        users.insert(whole->second);
    }
    for (const auto xid : users) {
        commit(*std::ranges::find(open_, xid, &Transaction::xid));
    }
}

void ModelServer::alter(size_t table, Alteration what, bool undone) {
    end_users_of(table);
    const auto before = tables_[table];
    auto& transaction = begin();
    transaction.altered = true;
    table_locks_[table] = transaction.xid;
    const auto work = [&](uint64_t rows) {
        while (rows-- > 0) {
            change(transaction, table);
        }
    };
    work(below(3));
    if (undone) {
        set_savepoint(transaction);
    }
    reshape(transaction, table, what);
    work(below(3) == 0 ? kRowsBeside : below(3));
    if (undone) {
        end_savepoint(transaction, true);
        tables_[table] = before;
        shapes_[table] = std::make_shared<ServerTable>(before);
        work(below(3));
    }
    commit(transaction);
    past_shapes_[table].emplace_back(log_.back().lsn, shapes_[table]);
}

std::map<Row, Row> ModelServer::all_rows(const Transaction& transaction, size_t table) const {
    std::map<Row, Row> rows;
    for (const auto& [key, row] : committed_[table]) {
        if (auto seen = see(transaction, table, key)) {
            rows[key] = *std::move(seen);
        }
    }
    for (const auto& [key, row] : transaction.overlay[table].rows) {
        if (row) {
            rows[key] = *row;
        }
    }
    return rows;
}

/// Every row is another one then, and no record tells it.
void ModelServer::reshape(Transaction& transaction, size_t table, Alteration what) {
    constexpr size_t kColumnsMost = 8;
    auto& shape = tables_[table];
    const bool adds = what == Alteration::Add || what == Alteration::AddWithValue;
    auto place = std::optional(shape.columns.size());
    if (what == Alteration::Drop) {
        const bool last = shape.columns.size() == shape.key.size() + 1;
        place =
            pick(shape, below(100), [&](size_t i) { return !last && !shape.is_constrained(i); });
    } else if (what == Alteration::Widen) {
        place = pick(shape, below(100), [&](size_t i) { return shape.types[i] == kVarchar; });
    } else if (what == Alteration::Rename) {
        place = pick(shape, below(100), [&](size_t i) { return !shape.is_constrained(i); });
    } else if (shape.columns.size() == kColumnsMost) {
        return;
    }
    if (!place) {
        return;
    }
    auto rows = all_rows(transaction, table);
    const auto at = static_cast<ptrdiff_t>(*place);
    if (adds) {
        const auto number = static_cast<uint32_t>(1000 + column_numbers_[table].size());
        shape.columns.push_back(new_name(table, number));
        if (what == Alteration::AddWithValue) {
            filled_.emplace(table, number);
        }
        shape.types.push_back(kVarchar);
    } else if (what == Alteration::Widen) {
        shape.types[*place] = kText;
    } else if (what == Alteration::Rename) {
        shape.columns[*place] = new_name(table, column_number(table, shape.columns[*place]));
    } else {
        shape.columns.erase(shape.columns.begin() + at);
        shape.types.erase(shape.types.begin() + at);
        if (shape.wide >= place) {
            shape.wide = shape.wide == place ? std::nullopt : std::optional(*shape.wide - 1);
        }
    }
    auto& overlay = transaction.overlay[table];
    overlay = {true, {}};
    for (auto& [key, row] : rows) {
        if (adds) {
            row.emplace_back(what == Alteration::Add ? std::nullopt : Cell("new"));
        } else if (what == Alteration::Drop) {
            row.erase(row.begin() + at);
        }
        overlay.rows[key] = std::move(row);
    }
    shapes_[table] = std::make_shared<ServerTable>(shape);
}

}  // namespace qiao::sim
