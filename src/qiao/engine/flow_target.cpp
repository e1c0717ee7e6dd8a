#include "qiao/engine/flow_target.h"

namespace qiao::engine {
namespace {

void put_table(ByteWriter& out, const model::TableName& table) {
    out.put_sized(table.schema);
    out.put_sized(table.name);
}

model::TableName get_table(ByteReader& in) {
    model::TableName table;
    table.schema = in.get_text();
    table.name = in.get_text();
    return table;
}

void put_names(ByteWriter& out, const model::Mapping& names) {
    out.put(static_cast<uint32_t>(names.tables().size()));
    for (const auto& [source, renamed] : names.tables()) {
        put_table(out, source);
        put_table(out, renamed.table);
        out.put(static_cast<uint32_t>(renamed.columns.size()));
        for (const auto& [from, to] : renamed.columns) {
            out.put_sized(from);
            out.put_sized(to);
        }
    }
}

model::Mapping get_names(ByteReader& in) {
    model::Mapping names;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        auto source = get_table(in);
        model::Mapping::Renamed renamed{get_table(in), {}};
        for (auto columns = in.get<uint32_t>(); columns > 0 && in.ok(); --columns) {
            std::string from(in.get_text());
            renamed.columns[std::move(from)] = in.get_text();
        }
        names.rename(std::move(source), std::move(renamed));
    }
    return names;
}

Status whole(const ByteReader& in, std::string_view what) {
    if (!in.ok() || !in.at_end()) {
        return Error(ErrorCode::LinkProtocol, std::string(what));
    }
    return {};
}

drivers::TableState get_state(ByteReader& in) {
    drivers::TableState state;
    state.table = get_table(in);
    state.generation = in.get<uint32_t>();
    const auto status = in.get<uint8_t>();
    if (status > static_cast<uint8_t>(drivers::TableStatus::ResyncAsked)) {
        in.fail();
    }
    state.status = static_cast<drivers::TableStatus>(status);
    state.joined_at = model::SourcePosition::decode(in);
    return state;
}

}  // namespace

Bytes encode_tables(const std::vector<model::TableName>& tables) {
    ByteWriter out;
    out.put(static_cast<uint32_t>(tables.size()));
    for (const auto& table : tables) {
        put_table(out, table);
    }
    return std::move(out).take();
}

Result<std::vector<model::TableName>> decode_tables(ByteView bytes) {
    ByteReader in(bytes);
    std::vector<model::TableName> tables;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        tables.push_back(get_table(in));
    }
    QIAO_CHECK(whole(in, "tables"));
    return tables;
}

Bytes encode_sequences(const std::vector<drivers::SequenceValue>& values) {
    ByteWriter out;
    out.put(static_cast<uint32_t>(values.size()));
    for (const auto& value : values) {
        put_table(out, value.table);
        out.put_sized(value.column);
        out.put_sized(value.sequence);
        out.put(static_cast<uint64_t>(value.last));
    }
    return std::move(out).take();
}

Result<std::vector<drivers::SequenceValue>> decode_sequences(ByteView bytes) {
    ByteReader in(bytes);
    std::vector<drivers::SequenceValue> values;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        drivers::SequenceValue value;
        value.table = get_table(in);
        value.column = in.get_text();
        value.sequence = in.get_text();
        value.last = static_cast<int64_t>(in.get<uint64_t>());
        values.push_back(std::move(value));
    }
    QIAO_CHECK(whole(in, "values of sequences"));
    return values;
}

Bytes TargetState::encode() const {
    ByteWriter out;
    out.put(tip.point.epoch.value);
    out.put(tip.point.sequence.value);
    out.append(tip.digest.view());
    tip.position.encode(out);
    out.put(applied.epoch.value);
    out.put(applied.sequence.value);
    out.put(static_cast<uint32_t>(tables.size()));
    for (const auto& state : tables) {
        put_table(out, state.table);
        out.put(state.generation);
        out.put(static_cast<uint8_t>(state.status));
        state.joined_at.encode(out);
    }
    out.put(static_cast<uint8_t>(accepts.size()));
    for (const auto format : accepts) {
        out.put(static_cast<uint8_t>(format));
    }
    return std::move(out).take();
}

Result<TargetState> TargetState::decode(ByteView bytes) {
    ByteReader in(bytes);
    TargetState state;
    state.tip.point.epoch = {in.get<uint64_t>()};
    state.tip.point.sequence = {in.get<uint64_t>()};
    state.tip.digest = Digest::from(in.take(Digest::kSize));
    state.tip.position = model::SourcePosition::decode(in);
    state.applied.epoch = {in.get<uint64_t>()};
    state.applied.sequence = {in.get<uint64_t>()};
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        state.tables.push_back(get_state(in));
    }
    for (auto left = in.get<uint8_t>(); left > 0 && in.ok(); --left) {
        state.accepts.push_back(static_cast<drivers::LoadFormat>(in.get<uint8_t>()));
    }
    QIAO_CHECK(whole(in, "target state"));
    return state;
}

Bytes LoadSession::encode() const {
    ByteWriter out;
    out.put(generation);
    joined_at.encode(out);
    out.put(static_cast<uint32_t>(tables.size()));
    for (const auto& table : tables) {
        put_table(out, table);
    }
    put_names(out, names);
    return std::move(out).take();
}

Result<LoadSession> LoadSession::decode(ByteView bytes) {
    ByteReader in(bytes);
    LoadSession session;
    session.generation = in.get<uint32_t>();
    session.joined_at = model::SourcePosition::decode(in);
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        session.tables.push_back(get_table(in));
    }
    session.names = get_names(in);
    QIAO_CHECK(whole(in, "load session"));
    return session;
}

}  // namespace qiao::engine
