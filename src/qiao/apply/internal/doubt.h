#pragma once

#include "qiao/drivers/target_session.h"

#include <string_view>

namespace qiao::apply {

/// As of `place` the table may differ from its source: it is unproven, or will be when it goes on
/// after a pause. False: it stands in a way that no doubt changes.
bool put_in_doubt(drivers::TableState& state, model::SourcePosition place, std::string_view why);

/// Whether the table is unproven, and both ends were found equal as of a position that lies behind
/// what is in doubt and behind what its load holds.
bool is_settled(const drivers::TableState& state, const model::SourcePosition& equal_at);

}  // namespace qiao::apply
