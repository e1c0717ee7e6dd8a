#include "qiao/apply/internal/table_states.h"

namespace qiao::apply {

using drivers::TableState;
using drivers::TableStatus;

void TableStates::load(std::vector<TableState> states) {
    states_.clear();
    for (auto& state : states) {
        auto name = state.table;
        states_.insert_or_assign(std::move(name), std::move(state));
    }
    changed_.pulse();
}

void TableStates::set(TableState state) {
    auto name = state.table;
    states_.insert_or_assign(std::move(name), std::move(state));
    changed_.pulse();
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

Due TableStates::due(const model::TableName& table, const model::SourcePosition& commit) const {
    const auto* state = find(table);
    if (state == nullptr) {
        return Due::Apply;
    }
    const bool before = model::compare(commit, state->joined_at) == std::partial_ordering::less;
    switch (state->status) {
        case TableStatus::Pending:
            // Its load will be joined after everything that was handed over so far.
            return Due::Contained;
        case TableStatus::Loading:
            return before ? Due::Contained : Due::AfterLoad;
        case TableStatus::Live:
        case TableStatus::Unproven:
            return before ? Due::Contained : Due::Apply;
        case TableStatus::Paused:
            return before ? Due::Contained : Due::Park;
        case TableStatus::NeedsResync:
            return Due::OutOfStep;
    }
    return Due::OutOfStep;
}

bool TableStates::need_looking(const model::SourcePosition& position) const {
    for (const auto& [name, state] : states_) {
        const bool live =
            state.status == TableStatus::Live || state.status == TableStatus::Unproven;
        if (!live || model::compare(state.joined_at, position) != std::partial_ordering::less) {
            return true;
        }
    }
    return false;
}

TableStates::Load* TableStates::find_load(const model::TableName& table) {
    const auto met = loads_.find(table);
    return met == loads_.end() ? nullptr : &met->second;
}

TableStates::Load& TableStates::begin_load(const model::TableName& table, uint32_t generation) {
    return loads_.insert_or_assign(table, Load{.generation = generation}).first->second;
}

void TableStates::end_load(const model::TableName& table) { loads_.erase(table); }

}  // namespace qiao::apply
