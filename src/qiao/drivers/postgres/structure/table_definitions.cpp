#include "qiao/drivers/postgres/structure/definitions.h"

#include <array>

namespace qiao::drivers::postgres::structure {
namespace {

constexpr auto kBefore = StructurePhase::BeforeLoad;
constexpr auto kAfter = StructurePhase::AfterLoad;

// Probes: a phase that was interrupted goes on where it was.
#define QIAO_KEY_PROBE \
    R"(format('EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = '
              'pg_catalog.to_regclass(%L) AND conname = %L)', r.q, k.conname))"
#define QIAO_COLUMN_PROBE(condition)                                        \
    R"(format('EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '
              'pg_catalog.to_regclass(%L) AND attname = %L AND )" condition \
    R"()', r.q, a.attname))"
#define QIAO_PARTITION_PROBE \
    R"(format('EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = '
              'pg_catalog.to_regclass(%L))', r.q))"

// A sequence that moves to another schema with its table is named in the text of the default.
constexpr std::string_view kDefaults = R"(
SELECT d.oid, format('%s.%s.%s', r.schema, r.name, a.attname), r.schema, r.name,
       )" QIAO_COLUMN_PROBE("atthasdef") R"(,
       format('ALTER TABLE ONLY %s ALTER COLUMN %I SET DEFAULT %s', r.q, a.attname,
           coalesce(replace(e.text, quote_literal(s.old_q), quote_literal(s.q)), e.text))
FROM want JOIN pg_attrdef d USING (oid) JOIN rel r ON r.oid = d.adrelid
JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
CROSS JOIN LATERAL (SELECT pg_get_expr(d.adbin, d.adrelid) AS text) e
LEFT JOIN LATERAL (
    SELECT m.old_q, m.q FROM pg_depend p JOIN rel m ON m.oid = p.refobjid AND m.relkind = 'S'
    WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
      AND p.refclassid = 'pg_class'::regclass LIMIT 1
) s ON true
ORDER BY r.q, a.attnum
)";

// Each partition has its parent's checks before it is attached; attaching makes them inherited.
// Rows that are there may break one that is not validated, so it waits until they are in.
constexpr std::string_view kChecks = R"(
SELECT k.oid, format('%s on %s.%s', k.conname, r.schema, r.name), r.schema, r.name,
       )" QIAO_KEY_PROBE R"(,
       format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', r.q, k.conname,
              pg_get_constraintdef(k.oid))
FROM want JOIN pg_constraint k USING (oid) JOIN rel r ON r.oid = k.conrelid
WHERE k.contype = 'c' AND k.convalidated
ORDER BY r.q, k.conname
)";

constexpr std::string_view kOwnedBy = R"(
SELECT s.oid, format('%s.%s', s.schema, s.name), r.schema, r.name, NULL,
       format('ALTER SEQUENCE %s OWNED BY %s.%I', s.q, r.q, a.attname)
FROM want JOIN rel s USING (oid)
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype = 'a'
                AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
JOIN rel r ON r.oid = d.refobjid
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S'
ORDER BY s.q
)";

constexpr std::string_view kPartitions = R"(
SELECT c.oid, format('%s.%s', r.schema, r.name), r.schema, r.name,
       )" QIAO_PARTITION_PROBE R"(,
       format('ALTER TABLE ONLY %s ATTACH PARTITION %s %s', p.q, r.q,
              pg_get_expr(c.relpartbound, c.oid))
FROM want JOIN rel r USING (oid) JOIN pg_class c ON c.oid = r.oid AND c.relispartition
JOIN pg_inherits i ON i.inhrelid = c.oid JOIN rel p ON p.oid = i.inhparent
ORDER BY p.q, r.q
)";

// Not ONLY: from version 17 on the partitions of a table share its identity.
constexpr std::string_view kIdentities = R"(
SELECT s.oid, format('%s.%s.%s', r.schema, r.name, a.attname), r.schema, r.name,
       )" QIAO_COLUMN_PROBE("attidentity <> ''''") R"(,
       format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s '
              'INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s)', r.q, a.attname,
              CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, s.q,
              q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache,
              CASE WHEN q.seqcycle THEN ' CYCLE' END)
FROM want JOIN rel s USING (oid) JOIN pg_sequence q ON q.seqrelid = s.oid
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype = 'i'
                AND d.refclassid = 'pg_class'::regclass
JOIN rel r ON r.oid = d.refobjid
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid AND a.attidentity <> ''
ORDER BY r.q, a.attnum
)";

// ONLY leaves the index of a partitioned table empty until those of its partitions are attached.
#define QIAO_KEYS(contypes, probe) \
    R"(
SELECT k.oid, format('%s on %s.%s', k.conname, r.schema, r.name), r.schema, r.name,
       )" probe R"(,
       format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s%s%s', r.q, k.conname,
           pg_get_constraintdef(k.oid),
           (SELECT format(E';\nALTER INDEX %I.%I SET (%s)', r.schema, i.relname, string_agg(
                       split_part(o, '=', 1) || ' = ' ||
                       quote_literal(substr(o, strpos(o, '=') + 1)), ', '))
            FROM pg_class i CROSS JOIN LATERAL unnest(i.reloptions) o
            WHERE i.oid = k.conindid GROUP BY i.relname),
           (SELECT format(E';\nALTER TABLE %s CLUSTER ON %I', r.q, k.conname)
            FROM pg_index x WHERE x.indexrelid = k.conindid AND x.indisclustered))
FROM want JOIN pg_constraint k USING (oid) JOIN rel r ON r.oid = k.conrelid
WHERE k.contype IN ()" contypes R"()
ORDER BY r.q, k.conname
)"
// A partition that joins a table which was there has got its keys and indexes with that, perhaps
// under other names.
#define QIAO_OTHER_KEY_PROBE \
    "concat(" QIAO_KEY_PROBE R"(, (
           SELECT format(' OR EXISTS (SELECT FROM pg_catalog.pg_constraint k '
                  'JOIN pg_catalog.pg_constraint p ON p.oid = k.conparentid WHERE k.conrelid = '
                  'pg_catalog.to_regclass(%L) AND p.conrelid = pg_catalog.to_regclass(%L) '
                  'AND p.conname = %L)', r.q, pr.q, pk.conname)
           FROM pg_constraint pk JOIN rel pr ON pr.oid = pk.conrelid
           WHERE pk.oid = k.conparentid)))"
#define QIAO_PRIMARY_PROBE \
    R"(format('EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = '
              'pg_catalog.to_regclass(%L) AND indisprimary)', r.q))"
#define QIAO_ATTACH(condition) \
    R"(
SELECT x.indexrelid, format('%s.%s', r.schema, c.relname), r.schema, r.name,
       format('EXISTS (SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_index m '
              'ON m.indexrelid = h.inhrelid WHERE m.indrelid = pg_catalog.to_regclass(%L) '
              'AND h.inhparent = pg_catalog.to_regclass(%L))',
              r.q, format('%I.%I', pr.schema, pc.relname)),
       format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', pr.schema, pc.relname, r.schema,
              c.relname)
FROM want JOIN pg_index x ON x.indexrelid = want.oid JOIN rel r ON r.oid = x.indrelid
JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_inherits i ON i.inhrelid = x.indexrelid
JOIN pg_index px ON px.indexrelid = i.inhparent JOIN rel pr ON pr.oid = px.indrelid
JOIN pg_class pc ON pc.oid = px.indexrelid
WHERE )" condition R"(
ORDER BY pr.q, r.q, c.relname
)"

constexpr std::string_view kPrimaryKeys = QIAO_KEYS("'p'", QIAO_PRIMARY_PROBE);
constexpr std::string_view kOtherKeys = QIAO_KEYS("'u', 'x'", QIAO_OTHER_KEY_PROBE);
constexpr std::string_view kAttachPrimaryKeys = QIAO_ATTACH("px.indisprimary");
constexpr std::string_view kAttachIndexes = QIAO_ATTACH("NOT px.indisprimary");

constexpr std::string_view kIndexes = R"(
SELECT x.indexrelid, format('%s.%s', r.schema, c.relname), r.schema, r.name,
       concat(
           format('pg_catalog.to_regclass(%L) IS NOT NULL', format('%I.%I', r.schema, c.relname)),
           (SELECT format(' OR EXISTS (SELECT FROM pg_catalog.pg_inherits h '
                  'JOIN pg_catalog.pg_index m ON m.indexrelid = h.inhrelid WHERE m.indrelid = '
                  'pg_catalog.to_regclass(%L) AND h.inhparent = pg_catalog.to_regclass(%L))',
                  r.q, format('%I.%I', pr.schema, pc.relname))
            FROM pg_inherits i JOIN pg_index px ON px.indexrelid = i.inhparent
            JOIN rel pr ON pr.oid = px.indrelid JOIN pg_class pc ON pc.oid = px.indexrelid
            WHERE i.inhrelid = x.indexrelid)),
       concat(replace(replace(pg_get_indexdef(x.indexrelid),
                   ' ON ' || r.old_q || ' USING ', ' ON ' || r.q || ' USING '),
                   ' ON ONLY ' || r.old_q || ' USING ', ' ON ONLY ' || r.q || ' USING '),
           (SELECT string_agg(format(E';\nALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s',
                       r.schema, c.relname, a.attnum, a.attstattarget), '' ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0),
           CASE WHEN x.indisclustered THEN
               format(E';\nALTER TABLE %s CLUSTER ON %I', r.q, c.relname) END)
FROM want JOIN pg_index x ON x.indexrelid = want.oid JOIN rel r ON r.oid = x.indrelid
JOIN pg_class c ON c.oid = x.indexrelid
WHERE (x.indisvalid OR c.relkind = 'I')
  AND NOT EXISTS (SELECT FROM pg_constraint k
                  WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY r.q, c.relname
)";

// Those of a partition come with its parent's.
constexpr std::string_view kUnprovenChecks = R"(
SELECT k.oid, format('%s on %s.%s', k.conname, r.schema, r.name), r.schema, r.name,
       )" QIAO_KEY_PROBE R"(,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.q, k.conname, pg_get_constraintdef(k.oid))
FROM want JOIN pg_constraint k USING (oid) JOIN rel r ON r.oid = k.conrelid
JOIN pg_class c ON c.oid = r.oid
WHERE k.contype = 'c' AND NOT k.convalidated AND NOT (c.relispartition AND k.coninhcount > 0)
ORDER BY r.q, k.conname
)";

constexpr std::string_view kUnprovenDomainChecks = R"(
SELECT k.oid, format('%s on %s.%s', k.conname, n.nspname, t.typname), NULL, NULL,
       format('EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE contypid = '
              'pg_catalog.to_regtype(%L) AND conname = %L)',
              format('%I.%I', n.nspname, t.typname), k.conname),
       format('ALTER DOMAIN %I.%I ADD CONSTRAINT %I %s', n.nspname, t.typname, k.conname,
              pg_get_constraintdef(k.oid))
FROM want JOIN pg_constraint k ON k.contypid = want.oid AND k.contype = 'c' AND NOT k.convalidated
JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
ORDER BY n.nspname, t.typname, k.conname
)";

constexpr std::string_view kUnprovenNotNulls = R"(
SELECT k.oid, format('%s on %s.%s', k.conname, r.schema, r.name), r.schema, r.name,
       )" QIAO_KEY_PROBE R"(,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.q, k.conname, pg_get_constraintdef(k.oid))
FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid
WHERE k.contype = 'n' AND NOT k.convalidated
ORDER BY r.q, k.conname
)";

// Constraints that a partition has from its parent come with the parent's.
constexpr std::string_view kForeignKeys = R"(
SELECT k.oid, format('%s on %s.%s', k.conname, r.schema, r.name), r.schema, r.name,
       )" QIAO_KEY_PROBE R"(,
       format('ALTER TABLE %s%s ADD CONSTRAINT %I %s',
           CASE WHEN r.relkind = 'p' THEN '' ELSE 'ONLY ' END, r.q, k.conname,
           replace(pg_get_constraintdef(k.oid), ' REFERENCES ' || f.old_q || '(',
                   ' REFERENCES ' || f.q || '('))
FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid JOIN rel f ON f.oid = k.confrelid
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY r.q, k.conname
)";

constexpr std::string_view kStatistics = R"(
SELECT s.oid, format('%s.%s', n.nspname, s.stxname), r.schema, r.name,
       format('EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n '
              'ON n.oid = s.stxnamespace WHERE n.nspname = %L AND s.stxname = %L)',
              n.nspname, s.stxname),
       replace(pg_get_statisticsobjdef(s.oid), ' FROM ' || r.old_q, ' FROM ' || r.q)
FROM want JOIN pg_statistic_ext s USING (oid) JOIN rel r ON r.oid = s.stxrelid
JOIN pg_namespace n ON n.oid = s.stxnamespace
ORDER BY n.nspname, s.stxname
)";

constexpr std::string_view kReplicaIdentities = R"(
SELECT r.oid, format('%s.%s', r.schema, r.name), r.schema, r.name,
       format('(SELECT relreplident FROM pg_catalog.pg_class '
              'WHERE oid = pg_catalog.to_regclass(%L)) = %L', r.q, c.relreplident),
       format('ALTER TABLE ONLY %s REPLICA IDENTITY %s', r.q,
           CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE
               (SELECT format('USING INDEX %I', i.relname) FROM pg_index x
                JOIN pg_class i ON i.oid = x.indexrelid
                WHERE x.indrelid = r.oid AND x.indisreplident) END)
FROM want JOIN rel r USING (oid) JOIN pg_class c ON c.oid = r.oid
WHERE c.relkind IN ('r', 'p') AND c.relreplident <> 'd'
ORDER BY r.q
)";

#undef QIAO_KEYS
#undef QIAO_KEY_PROBE
#undef QIAO_COLUMN_PROBE
#undef QIAO_PARTITION_PROBE
#undef QIAO_OTHER_KEY_PROBE
#undef QIAO_PRIMARY_PROBE
#undef QIAO_ATTACH

constexpr std::string_view kRelationComments = R"(
SELECT d.objoid, format('%s.%s', r.schema, r.name), CASE WHEN r.relkind <> 'S' THEN r.schema END,
       CASE WHEN r.relkind <> 'S' THEN r.name END, NULL,
       CASE WHEN d.objsubid > 0 THEN
           format('COMMENT ON COLUMN %s.%I IS %L', r.q, a.attname, d.description)
       ELSE
           format('COMMENT ON %s %s IS %L', CASE WHEN r.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE'
                  END, r.q, d.description) END
FROM want JOIN rel r USING (oid)
JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = r.oid
LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.objsubid
ORDER BY r.q, d.objsubid
)";

constexpr std::string_view kIndexComments = R"(
SELECT d.objoid, format('%s.%s', r.schema, c.relname), r.schema, r.name, NULL,
       format('COMMENT ON INDEX %I.%I IS %L', r.schema, c.relname, d.description)
FROM want JOIN pg_index x ON x.indexrelid = want.oid JOIN rel r ON r.oid = x.indrelid
JOIN pg_class c ON c.oid = x.indexrelid AND (x.indisvalid OR c.relkind = 'I')
JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
ORDER BY r.q, c.relname
)";

constexpr std::string_view kConstraintComments = R"(
SELECT k.oid, format('%s on %s.%s', k.conname, r.schema, r.name), r.schema, r.name, NULL,
       format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, r.q, d.description)
FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid
JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid
WHERE k.oid IN (SELECT oid FROM want)
   OR k.contype = 'f' AND k.conparentid = 0 AND k.confrelid IN (SELECT oid FROM rel)
ORDER BY r.q, k.conname
)";

// The rest is called at the target as it is here.
#define QIAO_COMMENTS(catalogue, keyword) \
    R"(
SELECT d.objoid, i.identity, NULL, NULL, NULL,
       format('COMMENT ON )" keyword R"( %s IS %L', i.identity, d.description)
FROM want JOIN pg_description d ON d.objoid = want.oid AND d.objsubid = 0
                               AND d.classoid = ')" catalogue R"('::regclass
CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, 0) i
WHERE d.objoid >= 16384
ORDER BY i.identity
)"

constexpr std::string_view kCompositeComments = R"(
SELECT d.objoid, i.identity, NULL, NULL, NULL,
       format('COMMENT ON TYPE %s IS %L', i.identity, d.description)
FROM want JOIN pg_class c ON c.oid = want.oid AND c.relkind = 'c'
JOIN pg_description d ON d.classoid = 'pg_type'::regclass AND d.objoid = c.reltype
CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, 0) i
ORDER BY i.identity
)";

constexpr std::string_view kDomainConstraintComments = R"(
SELECT k.oid, i.identity, NULL, NULL, NULL,
       format('COMMENT ON CONSTRAINT %I ON DOMAIN %s IS %L', k.conname, i.identity, d.description)
FROM want JOIN pg_constraint k ON k.contypid = want.oid
JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid
CROSS JOIN LATERAL pg_identify_object('pg_type'::regclass, k.contypid, 0) i
ORDER BY i.identity, k.conname
)";

// Only forward: a target that has gone on by itself is not set back.
constexpr std::string_view kSequenceValues = R"(
SELECT s.oid, format('%s.%s', s.schema, s.name), NULL, NULL, NULL,
       format('SELECT pg_catalog.setval(%L, %s, true) FROM %s AS s '
              'WHERE NOT s.is_called OR s.last_value %s %s', s.q, v.last, s.q,
              CASE WHEN p.seqincrement > 0 THEN '<' ELSE '>' END, v.last)
FROM want JOIN rel s USING (oid) JOIN pg_sequence p ON p.seqrelid = s.oid
CROSS JOIN LATERAL (SELECT CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE')
                           THEN pg_sequence_last_value(s.oid) END AS last) v
WHERE v.last IS NOT NULL
ORDER BY s.q
)";

constexpr std::array kTableParts = {
    Definition{kBefore, "default", "pg_attrdef", kDefaults},
    Definition{kBefore, "check", "pg_constraint", kChecks},
    Definition{kBefore, "sequence owner", "pg_class", kOwnedBy},
    Definition{kBefore, "partition", "pg_class", kPartitions},
    Definition{kBefore, "identity", "pg_class", kIdentities},
    Definition{kBefore, "primary key", "pg_constraint", kPrimaryKeys},
    Definition{kBefore, "index of partition", "pg_class", kAttachPrimaryKeys},
};

constexpr std::array kAfterLoad = {
    Definition{kAfter, "constraint", "pg_constraint", kOtherKeys},
    Definition{kAfter, "index", "pg_class", kIndexes},
    Definition{kAfter, "index of partition", "pg_class", kAttachIndexes},
    Definition{kAfter, "check", "pg_constraint", kUnprovenChecks},
    Definition{kAfter, "check", "pg_type", kUnprovenDomainChecks},
    Definition{kAfter, "not null", "pg_class", kUnprovenNotNulls},
    Definition{kAfter, "foreign key", "pg_class", kForeignKeys},
    Definition{kAfter, "statistics", "pg_statistic_ext", kStatistics},
    Definition{kAfter, "replica identity", "pg_class", kReplicaIdentities},
    Definition{kAfter, "comment", "pg_namespace", QIAO_COMMENTS("pg_namespace", "SCHEMA")},
    Definition{kAfter, "comment", "pg_collation", QIAO_COMMENTS("pg_collation", "COLLATION")},
    Definition{kAfter, "comment", "pg_type", QIAO_COMMENTS("pg_type", "TYPE")},
    Definition{kAfter, "comment", "pg_class", kCompositeComments},
    Definition{kAfter, "comment", "pg_type", kDomainConstraintComments},
    Definition{kAfter, "comment", "pg_proc", QIAO_COMMENTS("pg_proc", "FUNCTION")},
    Definition{kAfter, "comment", "pg_class", kRelationComments},
    Definition{kAfter, "comment", "pg_class", kIndexComments},
    Definition{kAfter, "comment", "pg_constraint", kConstraintComments},
    Definition{
        kAfter, "comment", "pg_statistic_ext", QIAO_COMMENTS("pg_statistic_ext", "STATISTICS")
    },
    Definition{kAfter, "sequence value", "pg_class", kSequenceValues},
};

#undef QIAO_COMMENTS

}  // namespace

std::span<const Definition> table_part_definitions() { return kTableParts; }

std::span<const Definition> after_load_definitions() { return kAfterLoad; }

}  // namespace qiao::drivers::postgres::structure
