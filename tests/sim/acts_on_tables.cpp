#include "performance.h"

#include <algorithm>

// What happens to tables as a whole: at the source, and by operators at the target.
namespace qiao::sim {

using drivers::TableStatus;

void Performance::act_on_tables(const Act& act) {
    ++tables_touched_;
    const auto number = act.b % world_.server.tables().size();
    const auto& name = world_.server.tables()[number].name;
    const auto chance = act.b / world_.server.tables().size();
    if (act.kind == ActKind::AlterTable) {
        world_.server.alter(number, static_cast<Alteration>(act.a % kAlterations), chance % 6 == 0);
    } else if (act.kind == ActKind::FollowShape) {
        tend_tables();
    } else if (act.kind == ActKind::PauseTable) {
        operator_.pause(name);
        later(act.a, [this] { operator_.resume(); });
    } else if (!world_.server.tables()[number].child) {
        // Rows that others refer to do not go to come again.
        operator_.resync(name);
    }
}

/// Everything that the server did since has never been.
void Performance::restore_source(const Act& act) {
    world_.server.restore(sources_[outcome_.at_act], act.b % 2 == 1);
    referee_.forget_history();
}

/// The target's owner follows every change of shape, and what stands goes on.
void Performance::tend_tables() {
    for (size_t i = 0; i < world_.server.tables().size(); ++i) {
        if (!has_shape(world_, i)) {
            follow_shape(world_, i);
        }
    }
    for (const auto& [of, state] : world_.target_database.committed().table_states) {
        if (state.status == TableStatus::Paused) {
            operator_.resume();
        } else if (state.status == TableStatus::NeedsResync) {
            operator_.resync(state.table);
        }
    }
}

/// A table of which the product says that it may differ.
bool Performance::is_doubtful() const {
    const auto& states = world_.target_database.committed().table_states;
    return std::ranges::any_of(states, [](const auto& state) {
        return state.second.status > TableStatus::Live;
    });
}

/// Nothing of the tables themselves says that the ends may differ.
bool Performance::is_alike() const {
    bool alike = !is_doubtful() && referee_.doubtful_columns().empty();
    for (size_t i = 0; i < world_.server.tables().size(); ++i) {
        alike = alike && has_shape(world_, i);
    }
    return alike;
}

}  // namespace qiao::sim
