#include "qiao/drivers/model/model_database.h"

#include "qiao/common/assert.h"
#include "qiao/drivers/model/model_session.h"

#include <algorithm>

namespace qiao::drivers::model_db {

ModelDatabase::ModelDatabase(Executor& executor, Clock& clock, uint64_t seed)
    : executor_(executor), clock_(clock), random_(seed) {}

ModelDatabase::~ModelDatabase() = default;

Task<Result<std::unique_ptr<TargetSession>>> ModelDatabase::connect() {
    if (strikes(faults.connect_refused)) {
        co_return Error(ErrorCode::DbConnect, display());
    }
    co_return std::make_unique<ModelSession>(*this);
}

Status ModelDatabase::welcomes(const model::TableName& table, const Row& row) const {
    for (const auto& refusal : refusals) {
        const bool met = refusal.meets ? refusal.meets(row) : refusal.row == row;
        if (refusal.table == table && met) {
            return Error(refusal.code, refusal.table.to_string());
        }
    }
    return {};
}

void ModelDatabase::create_table(TargetTable table) {
    const auto name = table.name;
    const bool made =
        committed_.tables.emplace(name, std::make_shared<ModelTable>(std::move(table))).second;
    QIAO_ASSERT(made);
}

void ModelDatabase::alter_table(TargetTable table) {
    auto& place = committed_.tables.at(table.name);
    auto altered = std::make_shared<ModelTable>(std::move(table));
    for (auto& row : place->rows()) {
        QIAO_ASSERT(altered->insert(std::move(row)).has_value());
    }
    place = std::move(altered);
}

void ModelDatabase::add_foreign_key(ForeignKey key) {
    auto child =
        rows(key.child).empty() ? committed_.tables.at(key.child)->target() : TargetTable{};
    QIAO_ASSERT(!child.columns.empty());
    child.foreign_keys_out = true;
    alter_table(std::move(child));
    auto parent = committed_.tables.at(key.parent)->target();
    parent.foreign_keys_in = true;
    alter_table(std::move(parent));
    foreign_keys_.push_back(std::move(key));
}

std::vector<Row> ModelDatabase::rows(const model::TableName& table) const {
    return committed_.tables.at(table)->rows();
}

void ModelDatabase::foreign_insert(const model::TableName& table, Row row) {
    auto& place = committed_.tables.at(table);
    auto changed = std::make_shared<ModelTable>(*place);
    QIAO_ASSERT(changed->insert(std::move(row)).has_value());
    place = std::move(changed);
}

void ModelDatabase::foreign_clear(const model::TableName& table) {
    auto& place = committed_.tables.at(table);
    auto changed = std::make_shared<ModelTable>(*place);
    changed->clear();
    place = std::move(changed);
}

bool ModelDatabase::foreign_change(
    const model::TableName& table, const Row& gone, const Row& come
) {
    auto changed = std::make_shared<ModelTable>(*committed_.tables.at(table));
    const bool free = !table_locks_.contains(table);
    if (!free || (!gone.empty() && !changed->erase(gone)) ||
        (!come.empty() && !changed->insert(come))) {
        return false;
    }
    auto next = committed_;
    next.tables[table] = std::move(changed);
    const bool refers = std::ranges::all_of(foreign_keys_, [&](const ForeignKey& key) {
        return check(next, key).has_value();
    });
    if (refers) {
        committed_ = std::move(next);
    }
    return refers;
}

bool ModelDatabase::foreign_alter(
    TargetTable table, const std::map<std::string, std::string>& names
) {
    if (table_locks_.contains(table.name)) {
        return false;
    }
    auto& place = committed_.tables.at(table.name);
    const auto& before = place->target().columns;
    auto altered = std::make_shared<ModelTable>(std::move(table));
    for (const auto& old_row : place->rows()) {
        Row row;
        for (const auto& column : altered->target().columns) {
            const auto name = names.find(column.name);
            const auto from = name == names.end()
                                  ? before.end()
                                  : std::ranges::find(before, name->second, &TargetColumn::name);
            row.push_back(
                from == before.end() ? Cell() : old_row[static_cast<size_t>(from - before.begin())]
            );
        }
        QIAO_ASSERT(altered->insert(std::move(row)).has_value());
    }
    place = std::move(altered);
    return true;
}

Status ModelDatabase::check(const State& state, const ForeignKey& key) const {
    const auto& parent = *state.tables.at(key.parent);
    for (const auto& wanted : state.tables.at(key.child)->project(key.columns)) {
        if (!parent.contains(wanted)) {
            return Error(
                ErrorCode::DbConstraint,
                key.child.to_string() + ": foreign key to " + key.parent.to_string()
            );
        }
    }
    return {};
}

void ModelDatabase::finish(Backend& backend, bool publish) {
    if (publish) {
        const auto& view = backend.view;
        last_passed_ = backend.passed;
        // All of it or nothing, also when memory ends on the way.
        auto next = committed_;
        const auto take = [](const auto& keys, auto& to, const auto& from) {
            for (const auto& key : keys) {
                to[key] = from.at(key);
            }
        };
        take(view.tables, next.tables, view.state.tables);
        take(view.table_states, next.table_states, view.state.table_states);
        take(view.schemas, next.schemas, view.state.schemas);
        for (const auto& stream : backend.checkpoints) {
            const auto row = view.state.checkpoints.find(stream);
            if (row != view.state.checkpoints.end()) {
                next.checkpoints[stream] = row->second;
            }
            const auto count = view.state.interventions.find(stream);
            if (count != view.state.interventions.end()) {
                next.interventions[stream] = count->second;
            }
        }
        for (const auto number : view.errors) {
            const auto error = view.state.errors.find(number);
            if (error == view.state.errors.end()) {
                next.errors.erase(number);
            } else {
                next.errors.insert_or_assign(number, error->second);
            }
        }
        committed_ = std::move(next);
        ++counters_.commits;
        counters_.rows_written += view.rows;
        counters_.most_rows_in_commit = std::max(counters_.most_rows_in_commit, view.rows);
        counters_.unlocked_commits += !view.tables.empty() && backend.checkpoints.empty();
    }
    std::erase_if(checkpoint_locks_, [&](const auto& lock) { return lock.second == &backend; });
    std::erase_if(table_locks_, [&](const auto& lock) { return lock.second == &backend; });
}

void ModelDatabase::restore(State state) {
    ++life_;
    abandoned_.clear();
    checkpoint_locks_.clear();
    table_locks_.clear();
    committed_ = std::move(state);
}

void ModelDatabase::abandon(std::shared_ptr<Backend> backend, bool publish) {
    const auto linger = static_cast<uint64_t>(faults.backend_lingers.count()) + 1;
    const auto end = clock_.now() + Duration(static_cast<int64_t>(random_() % linger));
    auto timer = clock_.make_timer();
    auto* raw = backend.get();
    timer->start(end, [this, raw, publish] { finish(*raw, publish); });
    abandoned_.emplace_back(std::move(backend), std::move(timer));
}

}  // namespace qiao::drivers::model_db
