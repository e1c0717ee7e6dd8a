#include "qiao/drivers/postgres/structure/definitions.h"

#include <array>

namespace qiao::drivers::postgres::structure {
namespace {

constexpr auto kBefore = StructurePhase::BeforeLoad;

constexpr std::string_view kSchemas = R"(
SELECT 0, s.name, NULL, NULL,
       format('EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %L)', s.name),
       format('CREATE SCHEMA %I', s.name)
FROM (SELECT schema AS name FROM rel
      UNION SELECT nspname FROM want JOIN pg_namespace USING (oid)) s
ORDER BY s.name
)";

constexpr std::string_view kExtensions = R"(
SELECT e.oid, e.extname, NULL, NULL,
       format('EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = %L)', e.extname),
       format('CREATE EXTENSION %I SCHEMA %I', e.extname, n.nspname)
FROM want JOIN pg_extension e USING (oid) JOIN pg_namespace n ON n.oid = e.extnamespace
)";

// Columns of pg_collation have changed names between versions: by JSON a missing one is null.
constexpr std::string_view kCollations = R"(
SELECT c.oid, format('%s.%s', n.nspname, c.collname), NULL, NULL,
       format('EXISTS (SELECT FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n '
              'ON n.oid = c.collnamespace WHERE n.nspname = %L AND c.collname = %L)',
              n.nspname, c.collname),
       format('CREATE COLLATION %I.%I (PROVIDER = %s, %s%s%s)', n.nspname, c.collname,
           CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
           CASE WHEN c.collprovider = 'c'
               THEN format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype)
               ELSE format('LOCALE = %L', coalesce(j ->> 'colllocale', j ->> 'colliculocale',
                                                   c.collcollate)) END,
           CASE WHEN c.collisdeterministic THEN '' ELSE ', DETERMINISTIC = false' END,
           ', RULES = ' || quote_literal(j ->> 'collicurules'))
FROM want JOIN pg_collation c USING (oid) JOIN pg_namespace n ON n.oid = c.collnamespace
CROSS JOIN LATERAL to_jsonb(c) j
)";

constexpr std::string_view kEnumsAndRanges = R"(
SELECT t.oid, format('%s.%s', n.nspname, t.typname), NULL, NULL,
       format('pg_catalog.to_regtype(%L) IS NOT NULL', format('%I.%I', n.nspname, t.typname)),
       CASE t.typtype WHEN 'e' THEN
           format('CREATE TYPE %I.%I AS ENUM (%s)', n.nspname, t.typname,
               (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                FROM pg_enum e WHERE e.enumtypid = t.oid))
       ELSE
           format('CREATE TYPE %I.%I AS RANGE (SUBTYPE = %s, MULTIRANGE_TYPE_NAME = %s%s%s%s)',
               n.nspname, t.typname, format_type(r.rngsubtype, NULL),
               (SELECT format('%I.%I', mn.nspname, m.typname) FROM pg_type m
                JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE m.oid = r.rngmultitypid),
               (SELECT format(', SUBTYPE_OPCLASS = %I.%I', ons.nspname, o.opcname)
                FROM pg_opclass o JOIN pg_namespace ons ON ons.oid = o.opcnamespace
                WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
               (SELECT format(', COLLATION = %I.%I', cn.nspname, c.collname)
                FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace
                JOIN pg_type s ON s.oid = r.rngsubtype
                WHERE c.oid = r.rngcollation AND c.oid <> s.typcollation),
               (SELECT format(', SUBTYPE_DIFF = %I.%I', pn.nspname, p.proname)
                FROM pg_proc p JOIN pg_namespace pn ON pn.oid = p.pronamespace
                WHERE p.oid = r.rngsubdiff))
       END
FROM want JOIN pg_type t USING (oid) JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.typtype IN ('e', 'r')
)";

constexpr std::string_view kDomains = R"(
SELECT t.oid, format('%s.%s', n.nspname, t.typname), NULL, NULL,
       format('pg_catalog.to_regtype(%L) IS NOT NULL', format('%I.%I', n.nspname, t.typname)),
       format('CREATE DOMAIN %I.%I AS %s%s%s%s%s', n.nspname, t.typname,
           format_type(t.typbasetype, t.typtypmod),
           (SELECT format(' COLLATE %I.%I', cn.nspname, c.collname)
            FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace
            JOIN pg_type b ON b.oid = t.typbasetype
            WHERE c.oid = t.typcollation AND c.oid <> b.typcollation),
           ' DEFAULT ' || coalesce(pg_get_expr(t.typdefaultbin, 'pg_type'::regclass),
                                   quote_literal(t.typdefault)),
           CASE WHEN t.typnotnull THEN ' NOT NULL' END,
           (SELECT string_agg(format(E';\nALTER DOMAIN %I.%I ADD CONSTRAINT %I %s', n.nspname,
                       t.typname, k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname)
            FROM pg_constraint k
            WHERE k.contypid = t.oid AND k.contype = 'c' AND k.convalidated))
FROM want JOIN pg_type t USING (oid) JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'd'
)";

constexpr std::string_view kComposites = R"(
SELECT c.oid, format('%s.%s', n.nspname, c.relname), NULL, NULL,
       format('pg_catalog.to_regtype(%L) IS NOT NULL', format('%I.%I', n.nspname, c.relname)),
       format('CREATE TYPE %I.%I AS (%s)', n.nspname, c.relname,
           (SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                       (SELECT format(' COLLATE %I.%I', ln.nspname, l.collname)
                        FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace
                        JOIN pg_type b ON b.oid = a.atttypid
                        WHERE l.oid = a.attcollation AND l.oid <> b.typcollation)),
                   ', ' ORDER BY a.attnum)
            FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM want JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'c'
)";

constexpr std::string_view kFunctions = R"(
SELECT p.oid, p.oid::regprocedure::text, NULL, NULL,
       format('pg_catalog.to_regprocedure(%L) IS NOT NULL', p.oid::regprocedure::text),
       pg_get_functiondef(p.oid)
FROM want JOIN pg_proc p USING (oid)
)";

// Those of identity columns are made with their column.
constexpr std::string_view kSequences = R"(
SELECT r.oid, format('%s.%s', r.schema, r.name), NULL, NULL,
       format('pg_catalog.to_regclass(%L) IS NOT NULL', r.q),
       format('CREATE SEQUENCE %s AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s '
              'CACHE %s%s', r.q, format_type(s.seqtypid, NULL), s.seqincrement, s.seqmin,
              s.seqmax, s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' END)
FROM want JOIN rel r USING (oid) JOIN pg_sequence s ON s.seqrelid = r.oid
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = r.oid AND d.deptype = 'i')
)";

// A column that may hold nulls in spite of an unproven NOT NULL is made without it; the constraint
// follows after the load. Storage and the like are set in the same breath, before any row comes.
// Of column options only those that users set: from 15.20 on the server keeps a stamp of its own
// among them (pg_attver), which pg_dump hides and which means nothing at another server.
constexpr std::string_view kTables = R"(
SELECT r.oid, format('%s.%s', r.schema, r.name), r.schema, r.name,
       format('pg_catalog.to_regclass(%L) IS NOT NULL', r.q),
       format(E'CREATE %sTABLE %s (\n    %s\n)%s%s%s%s',
           CASE WHEN c.relpersistence = 'u' AND c.relkind = 'r' THEN 'UNLOGGED ' END, r.q,
           string_agg(CASE WHEN a.attnum > 0 THEN format('%I %s%s%s%s',
               a.attname, format_type(a.atttypid, a.atttypmod),
               (SELECT format(' COLLATE %I.%I', ln.nspname, l.collname)
                FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace
                WHERE l.oid = a.attcollation AND l.oid <> b.typcollation),
               CASE a.attgenerated
                   WHEN 's' THEN format(' GENERATED ALWAYS AS (%s) STORED',
                                        pg_get_expr(g.adbin, g.adrelid))
                   WHEN 'v' THEN format(' GENERATED ALWAYS AS (%s) VIRTUAL',
                                        pg_get_expr(g.adbin, g.adrelid)) END,
               CASE WHEN a.attnotnull AND nn.convalidated IS NOT FALSE THEN
                   coalesce(' CONSTRAINT ' || quote_ident(nn.conname), '') || ' NOT NULL' ||
                   CASE WHEN nn.connoinherit THEN ' NO INHERIT' ELSE '' END END) END,
               E',\n    ' ORDER BY a.attnum),
           CASE WHEN c.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) END,
           (SELECT format(' USING %I', m.amname) FROM pg_am m
            WHERE m.oid = c.relam AND c.relkind = 'r'
              AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_am'::regclass
                          AND e.objid = m.oid AND e.deptype = 'e')),
           (SELECT format(' WITH (%s)', string_agg(
                       split_part(o, '=', 1) || ' = ' ||
                       quote_literal(substr(o, strpos(o, '=') + 1)), ', '))
            FROM (SELECT unnest(c.reloptions) AS o
                  UNION ALL SELECT 'toast.' || unnest(t.reloptions) FROM pg_class t
                  WHERE t.oid = c.reltoastrelid) opts
            HAVING count(*) > 0),
           string_agg(concat(
               CASE WHEN a.attstorage <> b.typstorage THEN
                   format(E';\nALTER TABLE ONLY %s ALTER COLUMN %I SET STORAGE %s', r.q, a.attname,
                       CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                         WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END,
               CASE WHEN a.attcompression IN ('p', 'l') THEN
                   format(E';\nALTER TABLE ONLY %s ALTER COLUMN %I SET COMPRESSION %s', r.q,
                       a.attname, CASE a.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END) END,
               CASE WHEN a.attstattarget >= 0 THEN
                   format(E';\nALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS %s', r.q,
                       a.attname, a.attstattarget) END,
               (SELECT format(E';\nALTER TABLE ONLY %s ALTER COLUMN %I SET (%s)', r.q, a.attname,
                           string_agg(o, ', '))
                FROM unnest(a.attoptions) o
                WHERE split_part(o, '=', 1) IN ('n_distinct', 'n_distinct_inherited')
                HAVING count(*) > 0)),
               '' ORDER BY a.attnum))
FROM want JOIN rel r USING (oid) JOIN pg_class c ON c.oid = r.oid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type b ON b.oid = a.atttypid
LEFT JOIN pg_attrdef g ON g.adrelid = c.oid AND g.adnum = a.attnum AND a.attgenerated <> ''
LEFT JOIN pg_constraint nn ON nn.conrelid = c.oid AND nn.contype = 'n'
                          AND nn.conkey = ARRAY[a.attnum]
WHERE c.relkind IN ('r', 'p')
GROUP BY r.oid, r.schema, r.name, r.q, c.oid, c.relpersistence, c.relkind, c.relam, c.reloptions,
         c.reltoastrelid
)";

constexpr std::array kGround = {
    Definition{kBefore, "schema", "pg_namespace", kSchemas},
    Definition{kBefore, "extension", "pg_extension", kExtensions},
};

constexpr std::array kObjects = {
    Definition{kBefore, "collation", "pg_collation", kCollations},
    Definition{kBefore, "type", "pg_type", kEnumsAndRanges},
    Definition{kBefore, "domain", "pg_type", kDomains},
    Definition{kBefore, "type", "pg_class", kComposites},
    Definition{kBefore, "function", "pg_proc", kFunctions},
    Definition{kBefore, "sequence", "pg_class", kSequences},
    Definition{kBefore, "table", "pg_class", kTables},
};

}  // namespace

std::span<const Definition> ground_definitions() { return kGround; }

std::span<const Definition> object_definitions() { return kObjects; }

}  // namespace qiao::drivers::postgres::structure
