#include "qiao/drivers/postgres/types.h"

#include <algorithm>
#include <array>

namespace qiao::drivers::postgres {
namespace {

constexpr std::string_view kBuiltIn = "pg_catalog.";

/// Sorted. Left out on purpose: xml (its binary form is re-encoded), oid, xid, tid, reg*, aclitem,
/// int2vector and oidvector, refcursor, and whatever names an object.
constexpr auto kSafe = std::to_array<std::string_view>({
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "path",
    "point",
    "polygon",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "uuid",
    "varbit",
    "varchar",
});
static_assert(std::ranges::is_sorted(kSafe));

constexpr auto kTextual =
    std::to_array<std::string_view>({"bpchar", "json", "name", "text", "varchar"});

}  // namespace

bool binary_safe_type(std::string_view canonical_type) {
    if (!canonical_type.starts_with(kBuiltIn)) {
        return false;
    }
    auto name = canonical_type.substr(kBuiltIn.size());
    if (name.starts_with('_')) {
        name.remove_prefix(1);
    }
    return std::ranges::binary_search(kSafe, name);
}

bool text_is_binary(std::string_view canonical_type) {
    return canonical_type.starts_with(kBuiltIn) &&
           std::ranges::binary_search(kTextual, canonical_type.substr(kBuiltIn.size()));
}

}  // namespace qiao::drivers::postgres
