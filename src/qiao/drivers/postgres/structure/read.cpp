#include "qiao/drivers/postgres/structure/read.h"

#include "qiao/drivers/postgres/structure/closure.h"
#include "qiao/drivers/postgres/structure/definitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace qiao::drivers::postgres {
namespace structure {
namespace {

// One view of the catalogue. Definitions have every name qualified and quoted, so that they mean
// the same at any target and a name in them can be found by its exact text; what people read is
// plainer.
constexpr auto kBegin =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    "SET LOCAL search_path = ''";
constexpr auto kQuoteAll = "SET LOCAL quote_all_identifiers = on";
constexpr auto kQuoteWhereNeeded = "SET LOCAL quote_all_identifiers = off";

constexpr std::string_view kFindTables = R"(
SELECT coalesce(c.oid, 0)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(schema, name, place)
LEFT JOIN pg_namespace n ON n.nspname = t.schema
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
                    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY t.place
)";

// Tables and sequences with the table that their place follows: root of a partition, owner.
constexpr std::string_view kRelations = R"(
SELECT c.oid, n.nspname, c.relname,
       coalesce((SELECT i.inhparent FROM pg_inherits i
                 WHERE i.inhrelid = c.oid AND c.relispartition),
                (SELECT d.refobjid FROM pg_depend d
                 WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1), 0)
FROM unnest($1::pg_catalog.oid[]) AS o JOIN pg_class c ON c.oid = o
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S')
)";

struct Relation {
    model::TableName source;
    uint32_t follows = 0;
};

using Relations = std::map<uint32_t, Relation>;

/// A statement and the object that it makes, to be put in order.
struct Made {
    ObjectId id;
    StructureStatement statement;
};

/// Reads one structure; lives as long as that takes.
class Reader {
public:
    Reader(Connection& connection, std::vector<TablePair> tables)
        : connection_(connection), tables_(std::move(tables)) {
        for (const auto& pair : tables_) {
            targets_.emplace(pair.source, pair.target);
        }
    }

    Task<Result<Structure>> read();

private:
    Task<Result<std::vector<uint32_t>>> find_tables();
    Task<Status> name_relations(const Closure& closure);
    model::TableName target_name(const Relations& relations, uint32_t oid) const;
    Task<Result<Rows>> run(std::string_view body, std::string wanted);
    Task<Result<std::vector<Made>>> define(const Definition& definition, std::string wanted);
    void append_in_order(const Closure& closure, std::vector<Made> made);
    Task<Status> define_ground(const Closure& closure);
    Task<Status> define_objects(const Closure& closure);
    Task<Status> define_parts(const Closure& closure, std::span<const Definition> definitions);
    Task<Status> list_left_out(const Closure& closure);

    Connection& connection_;
    std::vector<TablePair> tables_;
    std::map<model::TableName, model::TableName> targets_;  ///< by name at the source
    std::string relation_oids_;                             ///< $1…$3 of the definitions
    std::string relation_schemas_;
    std::string relation_names_;
    Structure structure_;
};

Task<Result<Structure>> Reader::read() {
    QIAO_CO_TRY(auto oids, co_await find_tables());
    QIAO_CO_TRY(const auto closure, co_await Closure::read(connection_, std::move(oids)));
    QIAO_CO_CHECK(co_await name_relations(closure));
    QIAO_CO_CHECK(co_await connection_.execute(kQuoteAll));
    QIAO_CO_CHECK(co_await define_ground(closure));
    QIAO_CO_CHECK(co_await define_objects(closure));
    QIAO_CO_CHECK(co_await define_parts(closure, table_part_definitions()));
    QIAO_CO_CHECK(co_await define_parts(closure, after_load_definitions()));
    QIAO_CO_CHECK(co_await connection_.execute(kQuoteWhereNeeded));
    QIAO_CO_CHECK(co_await list_left_out(closure));
    std::vector<model::TableName> names;
    for (const auto& pair : tables_) {
        names.push_back(pair.source);
    }
    QIAO_CO_TRY(structure_.shape, co_await read_shape_here(connection_, std::move(names)));
    structure_.tables = std::move(tables_);
    co_return std::move(structure_);
}

Task<Result<std::vector<uint32_t>>> Reader::find_tables() {
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (const auto& pair : tables_) {
        schemas.push_back(pair.source.schema);
        names.push_back(pair.source.name);
    }
    std::vector<Parameter> parameters;
    parameters.push_back(Parameter::of_text(text_array(schemas)));
    parameters.push_back(Parameter::of_text(text_array(names)));
    QIAO_CO_TRY(
        const Rows rows, co_await connection_.query(std::string(kFindTables), std::move(parameters))
    );
    std::vector<uint32_t> oids;
    std::vector<std::string> missing;
    for (size_t i = 0; i < rows.size(); ++i) {
        oids.push_back(static_cast<uint32_t>(rows.number(i, 0)));
        if (oids.back() == 0) {
            missing.push_back(tables_[i].source.to_string());
        }
    }
    if (!missing.empty()) {
        co_return Error(ErrorCode::DbNoTable, fmt::format("{}", fmt::join(missing, ", ")));
    }
    co_return oids;
}

model::TableName Reader::target_name(const Relations& relations, uint32_t oid) const {
    const auto& relation = relations.at(oid);
    if (const auto chosen = targets_.find(relation.source); chosen != targets_.end()) {
        return chosen->second;
    }
    auto name = relation.source;
    const auto leader = relations.find(relation.follows);
    if (leader != relations.end() && leader->second.source.schema == name.schema) {
        name.schema = target_name(relations, leader->first).schema;
    }
    return name;
}

Task<Status> Reader::name_relations(const Closure& closure) {
    std::vector<Parameter> parameters{Parameter::of_text(closure.array_of("pg_class"))};
    QIAO_CO_TRY(
        const Rows rows, co_await connection_.query(std::string(kRelations), std::move(parameters))
    );
    Relations relations;
    for (size_t i = 0; i < rows.size(); ++i) {
        auto& relation = relations[static_cast<uint32_t>(rows.number(i, 0))];
        relation.source = {std::string(rows.text(i, 1)), std::string(rows.text(i, 2))};
        relation.follows = static_cast<uint32_t>(rows.number(i, 3));
    }
    std::vector<std::string> oids;
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (const auto& [oid, relation] : relations) {
        auto name = target_name(relations, oid);
        oids.push_back(std::to_string(oid));
        schemas.push_back(std::move(name.schema));
        names.push_back(std::move(name.name));
    }
    relation_oids_ = text_array(oids);
    relation_schemas_ = text_array(schemas);
    relation_names_ = text_array(names);
    co_return Status{};
}

Task<Result<Rows>> Reader::run(std::string_view body, std::string wanted) {
    std::vector<Parameter> parameters;
    parameters.push_back(Parameter::of_text(relation_oids_));
    parameters.push_back(Parameter::of_text(relation_schemas_));
    parameters.push_back(Parameter::of_text(relation_names_));
    parameters.push_back(Parameter::of_text(wanted));
    co_return co_await connection_.query(
        std::string(kDefinitionHead) + std::string(body), std::move(parameters)
    );
}

Task<Result<std::vector<Made>>> Reader::define(const Definition& definition, std::string wanted) {
    auto rows = co_await run(definition.sql, std::move(wanted));
    if (!rows) {
        co_return rows.error().within(fmt::format("definitions of {}", definition.kind));
    }
    std::vector<Made> list;
    for (size_t i = 0; i < rows->size(); ++i) {
        auto& made = list.emplace_back();
        made.id.catalogue = definition.catalogue;
        made.id.oid = static_cast<uint32_t>(rows->number(i, 0));
        made.statement.phase = definition.phase;
        made.statement.kind = definition.kind;
        made.statement.object = rows->text(i, 1);
        made.statement.table = {std::string(rows->text(i, 2)), std::string(rows->text(i, 3))};
        made.statement.probe = rows->text(i, 4);
        made.statement.sql = rows->text(i, 5);
    }
    co_return list;
}

/// In the order in which the objects need each other; what the closure does not know comes first.
void Reader::append_in_order(const Closure& closure, std::vector<Made> made) {
    std::map<ObjectId, size_t> places;
    for (const auto* object : closure.in_order()) {
        places.emplace(object->id, places.size() + 1);
    }
    std::multimap<size_t, StructureStatement> sorted;
    for (auto& item : made) {
        const auto found = places.find(item.id);
        sorted.emplace(found == places.end() ? 0 : found->second, std::move(item.statement));
    }
    for (auto& [place, statement] : sorted) {
        structure_.statements.push_back(std::move(statement));
    }
}

/// Schemas of what keeps its schema (types, functions) and of the target's tables; extensions.
Task<Status> Reader::define_ground(const Closure& closure) {
    static const std::set<std::string, std::less<>> kFollowTables = {
        "pg_attrdef", "pg_constraint", "pg_namespace"
    };
    std::set<uint32_t> schemas;
    for (const auto* object : closure.in_order()) {
        const bool moves = kFollowTables.contains(object->id.catalogue) ||
                           (object->id.catalogue == "pg_class" && object->sort != 'c');
        for (const auto& need : object->needs) {
            if (!moves && need.catalogue == "pg_namespace") {
                schemas.insert(need.oid);
            }
        }
    }
    for (const auto& definition : ground_definitions()) {
        auto wanted = definition.catalogue == "pg_namespace"
                          ? fmt::format("{{{}}}", fmt::join(schemas, ","))
                          : closure.array_of(definition.catalogue);
        QIAO_CO_TRY(auto made, co_await define(definition, std::move(wanted)));
        append_in_order(closure, std::move(made));
    }
    co_return Status{};
}

Task<Status> Reader::define_objects(const Closure& closure) {
    std::vector<Made> all;
    for (const auto& definition : object_definitions()) {
        auto wanted = closure.array_of(definition.catalogue);
        QIAO_CO_TRY(auto made, co_await define(definition, std::move(wanted)));
        std::ranges::move(made, std::back_inserter(all));
    }
    append_in_order(closure, std::move(all));
    co_return Status{};
}

/// Parts of tables keep the order of the list, and of each query.
Task<Status> Reader::define_parts(const Closure& closure, std::span<const Definition> definitions) {
    for (const auto& definition : definitions) {
        auto wanted = closure.array_of(definition.catalogue);
        QIAO_CO_TRY(auto made, co_await define(definition, std::move(wanted)));
        for (auto& item : made) {
            structure_.statements.push_back(std::move(item.statement));
        }
    }
    co_return Status{};
}

Task<Status> Reader::list_left_out(const Closure& closure) {
    structure_.left_out = closure.left_out();
    QIAO_CO_TRY(const Rows rows, co_await run(left_out_query(), "{}"));
    for (size_t i = 0; i < rows.size(); ++i) {
        LeftOut entry;
        entry.object = rows.text(i, 0);
        entry.kind = rows.text(i, 1);
        const auto reason = std::ranges::find(reasons(), entry.kind, &Reason::kind);
        QIAO_ASSERT(reason != reasons().end());
        entry.reason_en = reason->en;
        entry.reason_zh = reason->zh;
        structure_.left_out.push_back(std::move(entry));
    }
    co_return Status{};
}

}  // namespace

std::string text_array(const std::vector<std::string>& texts) {
    std::string array = "{";
    for (const auto& text : texts) {
        array += array.size() > 1 ? ",\"" : "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') {
                array += '\\';
            }
            array += c;
        }
        array += '"';
    }
    return array + "}";
}

std::vector<Parameter> name_arrays(const std::vector<model::TableName>& tables) {
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (const auto& table : tables) {
        schemas.push_back(table.schema);
        names.push_back(table.name);
    }
    std::vector<Parameter> parameters;
    parameters.push_back(Parameter::of_text(text_array(schemas)));
    parameters.push_back(Parameter::of_text(text_array(names)));
    return parameters;
}

}  // namespace structure

Task<Result<Structure>> read_structure(Connection& source, std::vector<TablePair> tables) {
    QIAO_CO_CHECK(co_await source.execute(structure::kBegin));
    structure::Reader reader(source, std::move(tables));
    auto result = co_await reader.read();
    if (source.alive()) {
        QIAO_CO_CHECK(co_await source.execute("ROLLBACK"));
    }
    co_return result;
}

Task<Result<DatabaseShape>> read_shape(
    Connection& connection, std::vector<model::TableName> tables
) {
    QIAO_CO_CHECK(co_await connection.execute(structure::kBegin));
    auto result = co_await structure::read_shape_here(connection, std::move(tables));
    if (connection.alive()) {
        QIAO_CO_CHECK(co_await connection.execute("ROLLBACK"));
    }
    co_return result;
}

}  // namespace qiao::drivers::postgres
