#pragma once

#include "qiao/model/source_position.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qiao::capture::postgres {

/// A place in PostgreSQL's log, as a number that orders within one timeline.
using Lsn = uint64_t;

/// `0/16B3748`; empty on anything else.
std::optional<Lsn> parse_lsn(std::string_view text);
std::string format_lsn(Lsn lsn);

/// Which history a cluster's positions belong to. Source: rules 1
struct SystemIdentity {
    uint64_t system_id = 0;
    uint32_t timeline = 0;
    bool operator==(const SystemIdentity&) const = default;

    model::SourcePosition at(Lsn lsn) const {
        return model::SourcePosition::lsn(system_id, timeline, lsn);
    }

    std::string to_string() const;
};

/// The number in a position of kind Lsn; empty for other kinds and malformed ones.
std::optional<Lsn> lsn_of(const model::SourcePosition& position);

}  // namespace qiao::capture::postgres
