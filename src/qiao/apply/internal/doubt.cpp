#include "qiao/apply/internal/doubt.h"

#include <utility>

namespace qiao::apply {

using drivers::TableStatus;

bool put_in_doubt(drivers::TableState& state, model::SourcePosition place, std::string_view why) {
    switch (state.status) {
        case TableStatus::Live:
        case TableStatus::Unproven:
            state.status = TableStatus::Unproven;
            state.note.clear();
            break;
        case TableStatus::Paused:
            // A note says that it is unproven when it goes on; it may have one that tells more.
            state.note = state.note.empty() ? why : state.note;
            break;
        default:
            return false;
    }
    state.doubted_at = std::move(place);
    return true;
}

bool is_settled(const drivers::TableState& state, const model::SourcePosition& equal_at) {
    return state.status == TableStatus::Unproven &&
           model::compare(state.doubted_at, equal_at) <= 0 &&
           !(model::compare(equal_at, state.joined_at) < 0);
}

}  // namespace qiao::apply
