#include "qiao/drivers/postgres/structure/closure.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace qiao::drivers::postgres::structure {
namespace {

/// $1: OIDs of chosen tables. Rows of kind N are objects, with the object that stands for them
/// (an array type: its element's; the row type of a table: the table); rows of kind E are needs.
///
/// `IS TRUE` keeps the server from joining all of the family to each object: with very many tables
/// it is a look into a hash table.
///
/// Not followed: built-in objects (below 16384; `public` is one, and can be missing at a target),
/// the members of extensions, a partition's way up to its parent, a child's to the table it
/// inherits from, a sequence's to the table that owns it, and any table that was not chosen.
constexpr std::string_view kClosure = R"(
WITH RECURSIVE family(oid) AS (
    SELECT unnest($1::pg_catalog.oid[])
  UNION
    SELECT i.inhrelid FROM family f
    JOIN pg_inherits i ON i.inhparent = f.oid
    JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
), need(classid, objid) AS (
    SELECT 'pg_class'::regclass::oid, oid FROM family
  UNION
    SELECT x.classid, x.objid FROM need n CROSS JOIN LATERAL (
        SELECT d.refclassid AS classid, d.refobjid AS objid FROM pg_depend d
        WHERE d.classid = n.classid AND d.objid = n.objid AND d.deptype NOT IN ('P', 'S')
          AND (d.deptype = 'e' OR NOT EXISTS (
              SELECT FROM pg_depend e WHERE e.classid = n.classid AND e.objid = n.objid
                AND e.deptype = 'e'))
          AND NOT (n.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                   AND (SELECT c.relkind FROM pg_class c WHERE c.oid = n.objid)
                       IN ('r', 'p', 'f', 'S'))
      UNION ALL
        SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a
        WHERE n.classid = 'pg_class'::regclass AND a.adrelid = n.objid
          AND (n.objid IN (SELECT oid FROM family)) IS TRUE
      UNION ALL
        SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
        WHERE n.classid = 'pg_class'::regclass AND k.conrelid = n.objid
          AND k.contype IN ('c', 'p', 'u', 'x')
          AND (n.objid IN (SELECT oid FROM family)) IS TRUE
      UNION ALL
        SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
        WHERE n.classid = 'pg_type'::regclass AND k.contypid = n.objid AND k.contype = 'c'
      UNION ALL
        SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i
        WHERE n.classid = 'pg_class'::regclass AND i.indrelid = n.objid
          AND (n.objid IN (SELECT oid FROM family)) IS TRUE
      UNION ALL
        SELECT d.classid, d.objid FROM pg_depend d
        JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE n.classid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = n.objid
          AND d.deptype IN ('a', 'i')
          AND (n.objid IN (SELECT oid FROM family)) IS TRUE
      UNION ALL
        SELECT 'pg_statistic_ext'::regclass, s.oid FROM pg_statistic_ext s
        WHERE n.classid = 'pg_class'::regclass AND s.stxrelid = n.objid
          AND (n.objid IN (SELECT oid FROM family)) IS TRUE
      UNION ALL
        SELECT 'pg_type'::regclass, t.typelem FROM pg_type t
        WHERE n.classid = 'pg_type'::regclass AND t.oid = n.objid AND t.typelem <> 0
          AND EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid)
      UNION ALL
        SELECT 'pg_class'::regclass, t.typrelid FROM pg_type t
        WHERE n.classid = 'pg_type'::regclass AND t.oid = n.objid AND t.typrelid <> 0
    ) x
    WHERE (x.objid >= 16384 OR (x.classid = 'pg_namespace'::regclass AND x.objid = 2200))
      AND (n.classid <> 'pg_class'::regclass
           OR (SELECT c.relkind FROM pg_class c WHERE c.oid = n.objid) IN ('c', 'S', 'i', 'I')
           OR n.objid IN (SELECT oid FROM family))
), node AS (
    SELECT n.classid, n.objid, i.type, i.identity, n.objid IN (SELECT oid FROM family)
           AND n.classid = 'pg_class'::regclass AS chosen,
           coalesce(ext.classid, up.classid) AS up_class, coalesce(ext.objid, up.objid) AS up_oid,
           CASE n.classid
               WHEN 'pg_class'::regclass THEN (SELECT relkind FROM pg_class WHERE oid = n.objid)
               WHEN 'pg_type'::regclass THEN (SELECT typtype FROM pg_type WHERE oid = n.objid)
               WHEN 'pg_constraint'::regclass THEN
                   (SELECT contype FROM pg_constraint WHERE oid = n.objid)
               WHEN 'pg_proc'::regclass THEN
                   (SELECT CASE WHEN l.lanname IN ('c', 'internal') THEN 'c' ELSE p.prokind END
                    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = n.objid)
               ELSE ' ' END AS sort
    FROM need n
    CROSS JOIN LATERAL pg_identify_object(n.classid, n.objid, 0) i
    LEFT JOIN LATERAL (
        SELECT e.refclassid AS classid, e.refobjid AS objid FROM pg_depend e
        WHERE e.classid = n.classid AND e.objid = n.objid AND e.deptype = 'e'
    ) ext ON true
    LEFT JOIN LATERAL (
        SELECT 'pg_type'::regclass::oid AS classid, t.typelem AS objid FROM pg_type t
        JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
        WHERE n.classid = 'pg_type'::regclass AND t.oid = n.objid
      UNION ALL
        SELECT 'pg_class'::regclass, t.typrelid FROM pg_type t
        WHERE n.classid = 'pg_type'::regclass AND t.oid = n.objid AND t.typrelid <> 0
      UNION ALL
        SELECT 'pg_type'::regclass, r.rngtypid FROM pg_range r
        WHERE n.classid = 'pg_type'::regclass AND r.rngmultitypid = n.objid
      UNION ALL
        SELECT 'pg_type'::regclass, k.contypid FROM pg_constraint k
        WHERE n.classid = 'pg_constraint'::regclass AND k.oid = n.objid AND k.contypid <> 0
      UNION ALL
        SELECT 'pg_class'::regclass, a.adrelid FROM pg_attrdef a
        JOIN pg_attribute c ON c.attrelid = a.adrelid AND c.attnum = a.adnum
        WHERE n.classid = 'pg_attrdef'::regclass AND a.oid = n.objid AND c.attgenerated <> ''
    ) up ON true
)
SELECT 'N', c.relname, n.objid, n.type, n.identity, n.sort::text, n.chosen, u.relname, n.up_oid
FROM node n JOIN pg_class c ON c.oid = n.classid LEFT JOIN pg_class u ON u.oid = n.up_class
UNION ALL
SELECT DISTINCT 'E', dc.relname, d.objid, NULL, NULL, NULL, NULL::boolean, rc.relname, d.refobjid
FROM need n JOIN pg_depend d ON d.classid = n.classid AND d.objid = n.objid
JOIN need r ON r.classid = d.refclassid AND r.objid = d.refobjid
JOIN pg_class dc ON dc.oid = d.classid JOIN pg_class rc ON rc.oid = d.refclassid
WHERE d.deptype NOT IN ('P', 'S')
  AND NOT (n.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
           AND (SELECT c.relkind FROM pg_class c WHERE c.oid = n.objid) IN ('r', 'p', 'f', 'S'))
)";

ObjectId object_id(const Rows& rows, size_t row, size_t column) {
    return {
        .catalogue = std::string(rows.text(row, column)),
        .oid = static_cast<uint32_t>(rows.number(row, column + 1)),
    };
}

/// What we know how to make. Everything else is left out with what needs it.
bool can_be_made(const Object& object) {
    const auto& catalogue = object.id.catalogue;
    if (catalogue == "pg_class") {
        return object.sort == 'S' || object.sort == 'i' || object.sort == 'I' ||
               object.sort == 'c' || (object.chosen && (object.sort == 'r' || object.sort == 'p'));
    }
    if (catalogue == "pg_type") {
        return object.sort == 'e' || object.sort == 'd' || object.sort == 'r';
    }
    if (catalogue == "pg_proc") {
        return object.sort == 'f';
    }
    static const std::set<std::string, std::less<>> kOthers = {
        "pg_namespace",
        "pg_extension",
        "pg_collation",
        "pg_attrdef",
        "pg_constraint",
        "pg_statistic_ext",
    };
    return kOthers.contains(catalogue);
}

/// A chosen table, or something that a statement of its own adds to one.
bool is_of_table(const Object& object) {
    const auto& catalogue = object.id.catalogue;
    return object.chosen || catalogue == "pg_attrdef" || catalogue == "pg_constraint" ||
           catalogue == "pg_statistic_ext" ||
           (catalogue == "pg_class" &&
            (object.sort == 'i' || object.sort == 'I' || object.sort == 'S'));
}

LeftOut left_out_entry(const Object& object) {
    const auto& cause = *object.obstacle;
    LeftOut entry;
    entry.object = object.identity;
    entry.kind = object.kind;
    if (&cause == &object) {
        entry.reason_en = "this kind of object is not brought";
        entry.reason_zh = "不迁移此类对象";
    } else if (cause.kind == "table") {
        entry.reason_en = fmt::format("it needs table {}, which was not chosen", cause.identity);
        entry.reason_zh = fmt::format("它依赖未选择的表 {}", cause.identity);
    } else {
        entry.reason_en =
            fmt::format("it needs {} {}, which is not brought", cause.kind, cause.identity);
        entry.reason_zh = fmt::format("它依赖不迁移的 {} {}", cause.kind, cause.identity);
    }
    return entry;
}

std::string array_literal(const std::vector<uint32_t>& oids) {
    return fmt::format("{{{}}}", fmt::join(oids, ","));
}

}  // namespace

Task<Result<Closure>> Closure::read(Connection& connection, std::vector<uint32_t> tables) {
    std::vector<Parameter> parameters{Parameter::of_text(array_literal(tables))};
    QIAO_CO_TRY(
        const Rows rows, co_await connection.query(std::string(kClosure), std::move(parameters))
    );
    Closure closure;
    std::map<ObjectId, ObjectId> up;
    for (size_t row = 0; row < rows.size(); ++row) {
        const auto id = object_id(rows, row, 1);
        if (rows.text(row, 0) != "N") {
            continue;
        }
        if (!rows.is_null(row, 8)) {
            up.emplace(id, object_id(rows, row, 7));
            continue;
        }
        auto& object = closure.objects_[id];
        object.id = id;
        object.kind = rows.text(row, 3);
        object.identity = rows.text(row, 4);
        object.sort = rows.text(row, 5).empty() ? ' ' : rows.text(row, 5).front();
        object.chosen = rows.flag(row, 6);
    }
    const auto stands_for = [&up](ObjectId id) {
        for (auto next = up.find(id); next != up.end(); next = up.find(id)) {
            id = next->second;
        }
        return id;
    };
    for (size_t row = 0; row < rows.size(); ++row) {
        if (rows.text(row, 0) != "E") {
            continue;
        }
        const auto from = closure.objects_.find(stands_for(object_id(rows, row, 1)));
        auto to = stands_for(object_id(rows, row, 7));
        if (from == closure.objects_.end() || from->first == to || !closure.objects_.contains(to)) {
            continue;
        }
        // How the target stores a table is its own affair, unless an extension says it.
        if (!(from->second.chosen && to.catalogue == "pg_am")) {
            from->second.needs.push_back(std::move(to));
        }
    }
    closure.find_obstacles();
    closure.sort();
    // Pointers to objects stay good: moving a map leaves its nodes where they are.
    co_return std::move(closure);
}

/// Until nothing changes: what needs something that is not brought is not brought either.
void Closure::find_obstacles() {
    for (auto& [id, object] : objects_) {
        object.obstacle = can_be_made(object) ? nullptr : &object;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (auto& [id, object] : objects_) {
            for (size_t i = 0; object.obstacle == nullptr && i < object.needs.size(); ++i) {
                object.obstacle = objects_.at(object.needs[i]).obstacle;
                changed = changed || object.obstacle != nullptr;
            }
        }
    }
}

void Closure::sort() {
    std::map<ObjectId, int> marks;
    for (const auto& [id, object] : objects_) {
        visit(object, marks);
    }
}

/// Depth first; a need that leads back to an object under way is passed over.
void Closure::visit(const Object& object, std::map<ObjectId, int>& marks) {
    if (object.obstacle != nullptr || marks[object.id]++ != 0) {
        return;
    }
    for (const auto& need : object.needs) {
        visit(objects_.at(need), marks);
    }
    order_.push_back(&object);
}

std::string Closure::array_of(std::string_view catalogue) const {
    std::vector<uint32_t> oids;
    for (const auto* object : order_) {
        if (object->id.catalogue == catalogue) {
            oids.push_back(object->id.oid);
        }
    }
    return array_literal(oids);
}

std::string Closure::table_array() const {
    std::vector<uint32_t> oids;
    for (const auto* object : order_) {
        if (object->chosen) {
            oids.push_back(object->id.oid);
        }
    }
    return array_literal(oids);
}

/// Parts of a table that is left out say nothing more.
bool Closure::shows_elsewhere(const Object& object) const {
    return std::ranges::any_of(object.needs, [this](const auto& need) {
        const auto& needed = objects_.at(need);
        return needed.obstacle != nullptr && is_of_table(needed);
    });
}

std::vector<LeftOut> Closure::left_out() const {
    std::vector<LeftOut> list;
    for (const auto& [id, object] : objects_) {
        if (object.obstacle != nullptr && is_of_table(object) && !shows_elsewhere(object)) {
            list.push_back(left_out_entry(object));
        }
    }
    return list;
}

}  // namespace qiao::drivers::postgres::structure
