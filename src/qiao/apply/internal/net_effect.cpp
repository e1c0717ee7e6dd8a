#include "qiao/apply/internal/net_effect.h"

#include "qiao/apply/key.h"

#include <unordered_map>

namespace qiao::apply {
namespace {

using model::Change;
using model::OldImage;
using model::Op;

class NetEffect {
public:
    NetEffect(const BoundTable& table, ChangeArena& arena) : table_(table), arena_(arena) {}

    void add(const Change& change) {
        const auto before = name(identifying_row(change));
        if (change.op == Op::Insert) {
            put(before, change, change.new_row);
            return;
        }
        const auto known = rows_.find(before);
        if (change.op == Op::Delete) {
            remove(before, change);
            return;
        }
        auto row = change.new_row;
        if (known != rows_.end() && !known->second.gone) {
            row = arena_.merge(row, known->second.image);
        }
        if (changes_key(change, table_.key)) {
            // What the row leaves out lies under its old key: never completed by another row.
            guess_ = guess_ || leaves_out_columns(row);
            remove(before, change);
            put(name(row), change, row);
        } else {
            put(before, change, row);
        }
    }

    std::vector<const Change*> take() {
        std::vector<const Change*> changes;
        if (guess_) {
            return changes;
        }
        for (const bool gone : {true, false}) {
            for (const auto& key : order_) {
                const auto& row = rows_.at(key);
                if (row.gone == gone) {
                    changes.push_back(arena_.make(as_change(row)));
                }
            }
        }
        return changes;
    }

private:
    struct Row {
        bool gone = false;
        const Change* last = nullptr;
        model::Tuple image;  ///< of a row that is there
    };

    std::string name(const model::Tuple& row) const {
        return key_text(*table_.schema, table_.key, row);
    }

    Row& row_of(const std::string& key) {
        const auto [place, added] = rows_.try_emplace(key);
        if (added) {
            order_.push_back(key);
        }
        return place->second;
    }

    void put(const std::string& key, const Change& change, const model::Tuple& image) {
        row_of(key) = {false, &change, image};
    }

    void remove(const std::string& key, const Change& change) { row_of(key) = {true, &change, {}}; }

    static Change as_change(const Row& row) {
        Change change;
        change.schema = row.last->schema;
        change.tolerant = true;
        if (row.gone) {
            change.op = Op::Delete;
            change.old_image = row.last->old_image;
            change.old_row = row.last->old_row;
        } else {
            change.op = Op::Insert;
            change.new_row = row.image;
        }
        return change;
    }

    const BoundTable& table_;
    ChangeArena& arena_;
    std::unordered_map<std::string, Row> rows_;
    std::vector<std::string> order_;
    bool guess_ = false;
};

}  // namespace

std::vector<const model::Change*> net_effect(
    const BoundTable& table, std::span<const model::Change* const> changes, ChangeArena& arena
) {
    const bool by_key = table.key_is_bytes && !table.target.primary_key.empty() &&
                        table.key.size() == table.target.primary_key.size();
    if (!by_key) {
        return {};
    }
    NetEffect effect(table, arena);
    for (const auto* change : changes) {
        effect.add(*change);
    }
    return effect.take();
}

}  // namespace qiao::apply
