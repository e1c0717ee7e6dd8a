#include "qiao/apply/internal/table_states.h"

#include <algorithm>

namespace qiao::apply {

using drivers::TableState;
using drivers::TableStatus;

namespace {

bool is_live(const TableState& state) {
    return state.status == TableStatus::Live || state.status == TableStatus::Unproven;
}

}  // namespace

void TableStates::load(std::vector<TableState> states) {
    states_.clear();
    joins_.clear();
    restless_ = 0;
    for (auto& state : states) {
        put(std::move(state));
    }
    changed_.pulse();
}

void TableStates::set(TableState state) {
    put(std::move(state));
    changed_.pulse();
}

void TableStates::put(TableState state) {
    auto& place = states_.try_emplace(state.table).first->second;
    if (!place.table.name.empty()) {
        discount(place);
    }
    count(state);
    place = std::move(state);
}

void TableStates::count(const TableState& state) {
    if (!is_live(state)) {
        ++restless_;
        return;
    }
    const auto join = std::ranges::find(joins_, state.joined_at, &Join::at);
    if (join == joins_.end()) {
        joins_.push_back({state.joined_at, 1});
    } else {
        ++join->tables;
    }
}

void TableStates::discount(const TableState& state) {
    if (!is_live(state)) {
        --restless_;
        return;
    }
    const auto join = std::ranges::find(joins_, state.joined_at, &Join::at);
    if (--join->tables == 0) {
        joins_.erase(join);
    }
}

const TableState* TableStates::find(const model::TableName& table) const {
    const auto met = states_.find(table);
    return met == states_.end() ? nullptr : &met->second;
}

std::vector<TableState> TableStates::all() const {
    std::vector<TableState> states;
    for (const auto& [name, state] : states_) {
        states.push_back(state);
    }
    return states;
}

std::vector<TableState> TableStates::doubtful() const {
    std::vector<TableState> states;
    for (const auto& [name, state] : states_) {
        if (state.status > TableStatus::Live) {
            states.push_back(state);
        }
    }
    return states;
}

Due TableStates::due(const model::TableName& table, const model::SourcePosition& commit) const {
    if (expected_.contains(table)) {
        return Due::AfterLoad;
    }
    const auto* state = find(table);
    if (state == nullptr) {
        return Due::Apply;
    }
    const bool before = model::compare(commit, state->joined_at) == std::partial_ordering::less;
    switch (state->status) {
        case TableStatus::Pending:
            // Its load, not announced yet, will be joined after everything that was handed over so
            // far.
            return Due::Contained;
        case TableStatus::Loading:
            return before || is_broken_off(*state) ? Due::Contained : Due::AfterLoad;
        case TableStatus::Live:
        case TableStatus::Unproven:
            return before ? Due::Contained : Due::Apply;
        case TableStatus::Paused:
            return before ? Due::Contained : Due::Park;
        case TableStatus::NeedsResync:
        case TableStatus::ResyncAsked:
            return Due::OutOfStep;
    }
    return Due::OutOfStep;
}

bool TableStates::need_looking(const model::SourcePosition& position) const {
    return restless_ != 0 || !expected_.empty() ||
           std::ranges::any_of(joins_, [&position](const Join& join) {
               return model::compare(join.at, position) != std::partial_ordering::less;
           });
}

TableStates::Load* TableStates::find_load(const model::TableName& table) {
    const auto met = loads_.find(table);
    return met == loads_.end() ? nullptr : &met->second;
}

void TableStates::expect_loads(const std::vector<model::TableName>& tables) {
    expected_.insert(tables.begin(), tables.end());
}

void TableStates::adopt(const model::TableName& table) { expected_.erase(table); }

void TableStates::expect_none() {
    expected_.clear();
    note_broken_off();
    changed_.pulse();
}

void TableStates::note_broken_off() {
    for (const auto& [table, state] : states_) {
        if (state.status == TableStatus::Loading && !loads_.contains(table)) {
            broken_off_.insert_or_assign(table, state.generation);
        }
    }
}

bool TableStates::is_broken_off(const TableState& state) const {
    const auto met = broken_off_.find(state.table);
    return met != broken_off_.end() && met->second == state.generation;
}

TableStates::Load& TableStates::begin_load(const model::TableName& table, uint32_t generation) {
    expected_.erase(table);
    broken_off_.erase(table);
    return loads_.insert_or_assign(table, Load{.generation = generation}).first->second;
}

void TableStates::end_load(const model::TableName& table) { loads_.erase(table); }

void TableStates::end_loads() {
    loads_.clear();
    note_broken_off();
    changed_.pulse();
}

}  // namespace qiao::apply
