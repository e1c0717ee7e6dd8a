#pragma once

#include "qiao/capture/timestamp_source.h"

#include <string>

namespace qiao::agent {

/// A source that is captured by the time of change that its rows carry. Spec: H-28, H-30, H-31
struct TimedChoice {
    capture::TimestampOptions options;  ///< without the table's name
    std::string zone;                   ///< of stamps that have none; empty: the database's own
};

/// Enters a value of the validity column that means a deleted row, also as databases print it.
inline void add_deleted_value(TimedChoice& timed, const std::string& value) {
    auto& values = timed.options.flag_values;
    values[value] = capture::RowValidity::Deleted;
    if (value == "true" || value == "false") {
        values[value.substr(0, 1)] = capture::RowValidity::Deleted;
    }
}

}  // namespace qiao::agent
