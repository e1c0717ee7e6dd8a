#include "qiao/apply/internal/core.h"
#include "qiao/apply/internal/doubt.h"

// What is taken from the input about the states of tables, until it is committed. Operators and
// loads change states meanwhile, so it is kept as what it says and looked at once more under the
// checkpoint's lock, where nobody else changes them.
namespace qiao::apply {

using drivers::TableState;
using drivers::TableStatus;

namespace {

/// What `state` becomes by a notice; none: it stays.
std::optional<TableState> noticed(TableState state, const model::TableNotice& notice) {
    using Kind = model::TableNotice::Kind;
    if (notice.kind == Kind::Proven) {
        if (!is_settled(state, notice.position)) {
            return std::nullopt;
        }
        state.status = TableStatus::Live;
        state.note.clear();
        state.doubted_at = {};
        return state;
    }
    if (!put_in_doubt(state, notice.position, "columns or partitions changed at the source")) {
        return std::nullopt;
    }
    if (notice.kind == Kind::Withdrawn) {
        state.status = TableStatus::NeedsResync;
        state.note.clear();
    }
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
        state_now.doubted_at = stand->doubted_at;
        set_unsaved(std::move(state_now));
    } else if (const auto* notice = std::get_if<model::TableNotice>(&marking)) {
        const auto* known = states.find(notice->table);
        auto state_now = known == nullptr ? std::nullopt : noticed(*known, *notice);
        if (state_now) {
            set_unsaved(*std::move(state_now));
        }
    } else if (const auto* gap = std::get_if<Gap>(&marking)) {
        take(*gap);
    } else {
        take(std::get<Beginning>(marking));
    }
}

void Applier::Core::take(const Gap& gap) {
    states.end_loads();
    for (auto state : states.all()) {
        if (!put_in_doubt(state, gap.start, "history has a gap")) {
            continue;
        }
        if (gap.begins_elsewhere) {
            state.joined_at = gap.start;
        }
        set_unsaved(std::move(state));
    }
}

/// Such a load is one that was carried, of an export whose slot is no more.
void Applier::Core::take(const Beginning& beginning) {
    for (auto state : states.all()) {
        const bool joins =
            state.joined_at.empty() || model::compare(beginning.start, state.joined_at) <= 0;
        if (!joins && put_in_doubt(state, beginning.start, "loaded before its stream begins")) {
            set_unsaved(std::move(state));
        }
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
