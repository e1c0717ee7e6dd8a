#include "qiao/drivers/structure.h"

#include <utility>

namespace qiao::drivers {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kNotNull = 1;
constexpr uint8_t kHasDefault = 2;
constexpr uint8_t kIdentity = 4;

template <class T, class Encode>
void put_list(ByteWriter& out, const std::vector<T>& items, Encode encode) {
    out.put(static_cast<uint32_t>(items.size()));
    for (const auto& item : items) {
        encode(out, item);
    }
}

/// Stops at the first bad item, so that a forged count costs nothing.
template <class T, class Decode>
std::vector<T> get_list(ByteReader& in, Decode decode) {
    const auto count = in.get<uint32_t>();
    std::vector<T> items;
    for (uint32_t i = 0; i < count && in.ok(); ++i) {
        items.push_back(decode(in));
    }
    return items;
}

void put_text(ByteWriter& out, const std::string& text) { out.put_sized(text); }

std::string get_text(ByteReader& in) { return std::string(in.get_text()); }

void put_texts(ByteWriter& out, const std::vector<std::string>& texts) {
    put_list(out, texts, put_text);
}

std::vector<std::string> get_texts(ByteReader& in) { return get_list<std::string>(in, get_text); }

void put_name(ByteWriter& out, const model::TableName& name) {
    out.put_sized(name.schema);
    out.put_sized(name.name);
}

model::TableName get_name(ByteReader& in) {
    model::TableName name;
    name.schema = in.get_text();
    name.name = in.get_text();
    return name;
}

void put_pair(ByteWriter& out, const TablePair& pair) {
    put_name(out, pair.source);
    put_name(out, pair.target);
}

TablePair get_pair(ByteReader& in) {
    TablePair pair;
    pair.source = get_name(in);
    pair.target = get_name(in);
    return pair;
}

void put_statement(ByteWriter& out, const StructureStatement& statement) {
    out.put(static_cast<uint8_t>(statement.phase));
    out.put_sized(statement.kind);
    out.put_sized(statement.object);
    put_name(out, statement.table);
    out.put_sized(statement.probe);
    out.put_sized(statement.sql);
}

StructureStatement get_statement(ByteReader& in) {
    StructureStatement statement;
    statement.phase = static_cast<StructurePhase>(in.get<uint8_t>());
    if (statement.phase != StructurePhase::BeforeLoad &&
        statement.phase != StructurePhase::AfterLoad) {
        in.fail();
    }
    statement.kind = in.get_text();
    statement.object = in.get_text();
    statement.table = get_name(in);
    statement.probe = in.get_text();
    statement.sql = in.get_text();
    return statement;
}

void put_left_out(ByteWriter& out, const LeftOut& left_out) {
    out.put_sized(left_out.object);
    out.put_sized(left_out.kind);
    out.put_sized(left_out.reason_en);
    out.put_sized(left_out.reason_zh);
}

LeftOut get_left_out(ByteReader& in) {
    LeftOut left_out;
    left_out.object = in.get_text();
    left_out.kind = in.get_text();
    left_out.reason_en = in.get_text();
    left_out.reason_zh = in.get_text();
    return left_out;
}

void put_column(ByteWriter& out, const ColumnShape& column) {
    const auto flags = static_cast<uint8_t>(
        (column.not_null ? kNotNull : 0) | (column.has_default ? kHasDefault : 0) |
        (column.identity ? kIdentity : 0)
    );
    out.put_sized(column.name);
    out.put_sized(column.type);
    out.put_sized(column.base);
    out.put(static_cast<uint32_t>(column.length));
    out.put(flags);
    out.put_sized(column.generated);
    put_texts(out, column.labels);
}

ColumnShape get_column(ByteReader& in) {
    ColumnShape column;
    column.name = in.get_text();
    column.type = in.get_text();
    column.base = in.get_text();
    column.length = static_cast<int32_t>(in.get<uint32_t>());
    const auto flags = in.get<uint8_t>();
    column.not_null = (flags & kNotNull) != 0;
    column.has_default = (flags & kHasDefault) != 0;
    column.identity = (flags & kIdentity) != 0;
    column.generated = in.get_text();
    column.labels = get_texts(in);
    return column;
}

void put_table(ByteWriter& out, const std::optional<TableShape>& table) {
    out.put(static_cast<uint8_t>(table ? 1 : 0));
    if (!table) {
        return;
    }
    put_name(out, table->name);
    put_list(out, table->columns, put_column);
    put_texts(out, table->primary_key);
    put_list(out, table->unique_keys, put_texts);
}

std::optional<TableShape> get_table(ByteReader& in) {
    const auto present = in.get<uint8_t>();
    if (present > 1) {
        in.fail();
    }
    if (present == 0) {
        return std::nullopt;
    }
    TableShape table;
    table.name = get_name(in);
    table.columns = get_list<ColumnShape>(in, get_column);
    table.primary_key = get_texts(in);
    table.unique_keys = get_list<std::vector<std::string>>(in, get_texts);
    return table;
}

void put_shape(ByteWriter& out, const DatabaseShape& shape) {
    out.put_sized(shape.characters.name);
    out.put(shape.characters.bytes_max);
    out.put(static_cast<uint8_t>(shape.characters.counts_bytes ? 1 : 0));
    put_list(out, shape.tables, put_table);
}

DatabaseShape get_shape(ByteReader& in) {
    DatabaseShape shape;
    shape.characters.name = in.get_text();
    shape.characters.bytes_max = in.get<uint32_t>();
    shape.characters.counts_bytes = in.get<uint8_t>() != 0;
    shape.tables = get_list<std::optional<TableShape>>(in, get_table);
    return shape;
}

Status check_version(ByteReader& in) {
    if (const auto version = in.get<uint8_t>(); in.ok() && version != kVersion) {
        return Error(ErrorCode::PacketTooNew, "structure version " + std::to_string(version));
    }
    return {};
}

Status check_end(const ByteReader& in) {
    if (!in.ok() || !in.at_end()) {
        return Error(ErrorCode::PacketMalformed, "structure");
    }
    return {};
}

}  // namespace

Bytes Structure::encode() const {
    ByteWriter out;
    out.put(kVersion);
    put_list(out, tables, put_pair);
    put_list(out, statements, put_statement);
    put_list(out, left_out, put_left_out);
    put_shape(out, shape);
    return std::move(out).take();
}

Result<Structure> Structure::decode(ByteView bytes) {
    ByteReader in(bytes);
    QIAO_CHECK(check_version(in));
    Structure structure;
    structure.tables = get_list<TablePair>(in, get_pair);
    structure.statements = get_list<StructureStatement>(in, get_statement);
    structure.left_out = get_list<LeftOut>(in, get_left_out);
    structure.shape = get_shape(in);
    QIAO_CHECK(check_end(in));
    return structure;
}

Bytes encode_shape(const DatabaseShape& shape) {
    ByteWriter out;
    out.put(kVersion);
    put_shape(out, shape);
    return std::move(out).take();
}

Result<DatabaseShape> decode_shape(ByteView bytes) {
    ByteReader in(bytes);
    QIAO_CHECK(check_version(in));
    auto shape = get_shape(in);
    QIAO_CHECK(check_end(in));
    return shape;
}

}  // namespace qiao::drivers
