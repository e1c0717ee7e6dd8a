#include "qiao/apply/internal/core.h"

// What is taken from the input about the states of tables, until it is committed. Operators and
// loads change states meanwhile, so it is kept as what it says and looked at once more under the
// checkpoint's lock, where nobody else changes them.
namespace qiao::apply {

using drivers::TableState;
using drivers::TableStatus;

namespace {

/// What `state` becomes by a notice; none: it stays.
std::optional<TableState> noticed(TableState state, model::TableNotice::Kind kind) {
    using Kind = model::TableNotice::Kind;
    const bool paused = state.status == TableStatus::Paused;
    if (!paused && state.status != TableStatus::Live && state.status != TableStatus::Unproven) {
        return std::nullopt;
    }
    if (kind == Kind::Withdrawn) {
        state.status = TableStatus::NeedsResync;
        state.note.clear();
        return state;
    }
    if (paused) {
        if (kind == Kind::Proven || !state.note.empty()) {
            return std::nullopt;
        }
        // So that it is unproven when it goes on.
        state.note = "columns or partitions changed at the source";
        return state;
    }
    state.status = kind == Kind::Proven ? TableStatus::Live : TableStatus::Unproven;
    state.note.clear();
    return state;
}

}  // namespace

void Applier::Core::mark(Marking marking) {
    take(marking);
    markings.push_back(std::move(marking));
}

void Applier::Core::take(const Marking& marking) {
    if (const auto* state = std::get_if<TableState>(&marking)) {
        set_unsaved(*state);
    } else if (const auto* stand = std::get_if<Stand>(&marking)) {
        const auto* known = states.find(stand->table);
        auto state_now = known == nullptr ? TableState{} : *known;
        state_now.table = stand->table;
        state_now.status = stand->status;
        state_now.note = stand->note;
        set_unsaved(std::move(state_now));
    } else if (const auto* notice = std::get_if<model::TableNotice>(&marking)) {
        const auto* known = states.find(notice->table);
        auto state_now = known == nullptr ? std::nullopt : noticed(*known, notice->kind);
        if (state_now) {
            set_unsaved(*std::move(state_now));
        }
    } else {
        take(std::get<Gap>(marking));
    }
}

void Applier::Core::take(const Gap& gap) {
    states.end_loads();
    for (auto state : states.all()) {
        const bool followed = state.status == TableStatus::Live ||
                              state.status == TableStatus::Unproven ||
                              state.status == TableStatus::Paused;
        if (!followed) {
            continue;
        }
        if (state.status == TableStatus::Live) {
            state.status = TableStatus::Unproven;
        }
        state.joined_at = gap.begins.value_or(state.joined_at);
        set_unsaved(std::move(state));
    }
}

void Applier::Core::set_unsaved(TableState state) {
    states.set(state);
    unsaved_states.push_back(std::move(state));
    unit.moved = true;
}

void Applier::Core::take_markings() {
    unsaved_states.clear();
    for (const auto& marking : markings) {
        take(marking);
    }
}

/// Before the rows that come behind what was marked: what their writing makes of a table stands.
Task<Status> Applier::Core::save_states() {
    for (const auto& state : std::exchange(unsaved_states, {})) {
        QIAO_CO_CHECK(co_await session->save_table_state(options.stream, state));
    }
    co_return Status{};
}

}  // namespace qiao::apply
