#pragma once

#include <string_view>

namespace qiao::drivers::postgres {

/// Whether the binary form of a type (`pg_catalog.int4`, `pg_catalog._int4`) means the same in any
/// database: built-in scalars, and arrays and ranges of them. Domains are judged by their base.
/// Not: oid and reg* (they name things of one database), enums, composites, extension types, and
/// arrays of those, which embed OIDs that differ at the other end. Source: rules 15
bool binary_safe_type(std::string_view canonical_type);

/// Whether the binary form of values of the type is their text form, byte for byte; so one may be
/// sent as the other. By name for the source's types, whose catalogue is not at hand.
bool text_is_binary(std::string_view canonical_type);

}  // namespace qiao::drivers::postgres
