#pragma once

#include <string_view>

namespace qiao::capture::postgres::internal {

// Pieces of catalogue SQL that several files build on. All expect an empty search_path, where
// pg_catalog is looked at first.

/// The index that identifies rows of pg_class `c`, or null. As RelationGetIndexList judges: a
/// deferrable or invalid one does not count, and neither does one over a generated column, which
/// the stream leaves out.
inline constexpr std::string_view kIdentityIndex =
    "(SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid"
    " AND i.indimmediate AND i.indisunique AND CASE c.relreplident WHEN 'd' THEN i.indisprimary"
    " WHEN 'i' THEN i.indisreplident ELSE false END"
    " AND NOT EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = c.oid"
    " AND g.attnum = ANY (i.indkey) AND g.attgenerated <> '') LIMIT 1)";

/// Whether UPDATE and DELETE of pg_class `c` work while it is published with them: with FULL, the
/// old row comes whole. The leaves of a partitioned table are judged by themselves, and must be of
/// the same kind as their root, because the stream tells the root's.
inline constexpr std::string_view kHasIdentity =
    "(CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false"
    " ELSE {index} IS NOT NULL END AND NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) p"
    " JOIN pg_class l ON l.oid = p.relid WHERE c.relkind = 'p' AND p.isleaf"
    " AND (l.relreplident <> c.relreplident OR l.relreplident <> 'f' AND NOT EXISTS"
    " (SELECT FROM pg_index i WHERE i.indrelid = l.oid AND i.indisvalid AND i.indimmediate"
    " AND i.indisunique AND CASE l.relreplident WHEN 'd' THEN i.indisprimary"
    " WHEN 'i' THEN i.indisreplident ELSE false END))))";

}  // namespace qiao::capture::postgres::internal
