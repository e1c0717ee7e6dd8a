#include "person.h"

#include "qiao/capture/postgres/internal/big_endian.h"
#include "qiao/model/tuple.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

namespace qiao::hot {
namespace {

struct ColumnKind {
    std::string_view name;
    std::string_view type;
    uint32_t oid;
    uint32_t array_oid;
    bool text;  ///< both forms are the same bytes
};

constexpr auto kColumns = std::to_array<ColumnKind>(
    {{"id", "int8", 20, 1016, false},
     {"name", "varchar", 1043, 1015, true},
     {"pinyin", "varchar", 1043, 1015, true},
     {"id_number", "bpchar", 1042, 1014, true},
     {"sex", "int2", 21, 1005, false},
     {"birth_date", "date", 1082, 1182, false},
     {"nation", "varchar", 1043, 1015, true},
     {"address", "varchar", 1043, 1015, true},
     {"phone", "varchar", 1043, 1015, true},
     {"email", "varchar", 1043, 1015, true},
     {"state", "int4", 23, 1007, false},
     {"score", "numeric", 1700, 1231, false},
     {"ratio", "float8", 701, 1022, false},
     {"unit", "int8", 20, 1016, false},
     {"created", "timestamptz", 1184, 1185, false},
     {"changed", "timestamptz", 1184, 1185, false},
     {"active", "bool", 16, 1000, false},
     {"token", "uuid", 2950, 2951, false},
     {"remark", "text", 25, 1009, true},
     {"attributes", "jsonb", 3802, 3807, false}}
);

template <class T>
void add(model::TupleBuilder& row, T number) {
    Bytes bytes;
    capture::postgres::internal::append_big_endian(bytes, number);
    row.binary(bytes);
}

void add(model::TupleBuilder& row, const std::string& text) { row.binary(as_bytes(text)); }

/// 12 digits of a numeric with two behind the point, as the server sends it.
void add_numeric(model::TupleBuilder& row, uint64_t hundredths) {
    Bytes bytes;
    const auto put = [&bytes](uint16_t number) {
        capture::postgres::internal::append_big_endian(bytes, number);
    };
    constexpr uint64_t kBase = 10'000;
    put(3);
    put(1);
    put(0);
    put(2);
    put(static_cast<uint16_t>(hundredths / 100 / kBase % kBase));
    put(static_cast<uint16_t>(hundredths / 100 % kBase));
    put(static_cast<uint16_t>(hundredths % 100 * 100));
    row.binary(bytes);
}

}  // namespace

model::TableSchema person_schema() {
    model::TableSchema schema;
    schema.table = {"public", "person"};
    schema.identity = model::Identity::PrimaryKey;
    for (const auto& kind : kColumns) {
        model::Column column;
        column.name = kind.name;
        column.type = "pg_catalog." + std::string(kind.type);
        column.type_id = kind.oid;
        column.key = column.not_null = kind.name == "id";
        schema.columns.push_back(std::move(column));
    }
    return schema;
}

Bytes person_row(uint64_t id, uint64_t version) {
    const uint64_t h = id * 0x9E3779B97F4A7C15U >> 33U;
    model::TupleBuilder row(kColumns.size());
    add(row, id);
    add(row, fmt::format("王伟建{}", h % 10));
    add(row, fmt::format("xing {} ming {}", h % 97, h % 89));
    add(row, fmt::format("{:018}", h));
    add(row, static_cast<uint16_t>(1 + h % 2));
    add(row, static_cast<uint32_t>(h % 25'000));
    add(row, std::string("汉族"));
    add(row, fmt::format("四川省成都市武侯区人民南路{}号院{}号楼{}室", h % 999, h % 60, h % 2800));
    add(row, fmt::format("1{:010}", h % 10'000'000'000));
    add(row, fmt::format("user{}@example.org", id));
    add(row, static_cast<uint32_t>(version));
    add_numeric(row, h % 100'000'000 + 100 * version);
    add(row, h);
    add(row, h % 50'000);
    add(row, h * 7);
    add(row, h * 7 + version);
    row.binary(Bytes(1, std::byte{h % 3 == 0}));
    row.binary(Bytes(16, static_cast<std::byte>(h)));
    add(row, std::string(192, static_cast<char>('a' + h % 16)));
    add(row,
        fmt::format(
            "\1{{\"k\": {}, \"tags\": [{}, {}], \"level\": \"甲\"}}", h % 1000, h % 17, h % 19
        ));
    return std::move(row).take();
}

Bytes person_key(uint64_t id) {
    model::TupleBuilder row(kColumns.size());
    add(row, id);
    for (size_t i = 1; i < kColumns.size(); ++i) {
        row.null();
    }
    return std::move(row).take();
}

drivers::TargetTable person_target() {
    drivers::TargetTable table;
    table.name = {"public", "person"};
    table.primary_key = {"id"};
    for (const auto& column : person_schema().columns) {
        table.columns.push_back({.name = column.name, .type = column.type});
    }
    return table;
}

apply::BoundTable person_bound() {
    apply::BoundTable bound;
    bound.schema = bound.written = std::make_shared<const model::TableSchema>(person_schema());
    bound.target = person_target();
    bound.key = bound.fold_key = {0};
    bound.has_key = bound.key_is_bytes = bound.sets_of_inserts = bound.replaceable = true;
    return bound;
}

drivers::postgres::internal::TargetRelation person_relation() {
    drivers::postgres::internal::TargetRelation relation;
    relation.table = person_target();
    relation.catalogue.schema = person_schema();
    for (const auto& kind : kColumns) {
        drivers::postgres::ColumnFacts facts;
        facts.type_oid = facts.base_oid = kind.oid;
        facts.base_type = "pg_catalog." + std::string(kind.type);
        facts.base_array_oid = kind.array_oid;
        facts.text_is_binary = kind.text;
        facts.binary_safe = true;
        relation.catalogue.columns.push_back(std::move(facts));
    }
    drivers::postgres::KeyFacts key;
    key.index = "person_pkey";
    key.columns = {"id"};
    key.equals = {"="};
    key.primary = key.replica_identity = key.not_null = true;
    relation.catalogue.keys.push_back(std::move(key));
    relation.row_type_oid = 1 << 14U;
    relation.reads_rows = true;
    return relation;
}

}  // namespace qiao::hot
