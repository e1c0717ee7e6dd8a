#include "model_source.h"

#include "qiao/capture/postgres/postgres_source.h"
#include "qiao/model/withhold.h"
#include "qiao/testing/turn.h"

#include "model_replication.h"

#include <algorithm>

namespace qiao::sim {
namespace {

using capture::postgres::ChosenTable;
using capture::postgres::ColumnFact;
using capture::postgres::HeartbeatNote;
using capture::postgres::SlotInfo;
using capture::postgres::SourceTable;
using capture::postgres::TransactionFate;

std::string type_name(uint32_t type) {
    return type == kVarchar ? "pg_catalog.varchar" : "pg_catalog.text";
}

class ModelCatalogue final : public capture::postgres::SourceCatalogue {
public:
    explicit ModelCatalogue(ModelServer& server)
        : server_(server), ended_before_(server.sessions_ended()) {}

    Task<Result<std::optional<SlotInfo>>> slot(std::string name) override {
        QIAO_CO_CHECK(co_await enter());
        const auto found = server_.slots.find(name);
        if (found == server_.slots.end()) {
            co_return std::nullopt;
        }
        const auto& slot = found->second;
        SlotInfo info;
        info.name = slot.name;
        info.confirmed = slot.confirmed;
        info.invalid = slot.invalid;
        if (slot.holder != 0 || slot.held_until > server_.world().now()) {
            info.active_pid = 1;
        }
        co_return info;
    }

    Task<Result<std::vector<SourceTable>>> tables(std::vector<ChosenTable> chosen) override {
        QIAO_CO_CHECK(co_await enter());
        std::vector<SourceTable> found;
        for (const auto& one : chosen) {
            if (const auto* table = find(one.name)) {
                SourceTable source;
                source.oid = table->oid;
                source.schema = schema_of(*table);
                source.binary_safe = false;
                found.push_back(std::move(source));
            }
        }
        co_return found;
    }

    Task<Result<std::vector<ColumnFact>>> columns(uint32_t oid) override {
        QIAO_CO_CHECK(co_await enter());
        std::vector<ColumnFact> facts;
        const auto& tables = server_.tables();
        const auto table = std::ranges::find(tables, oid, &ServerTable::oid);
        if (table != tables.end()) {
            for (const auto& column : schema_of(*table).columns) {
                ColumnFact fact;
                fact.name = column.name;
                fact.type = column.type;
                fact.type_id = column.type_id;
                fact.key = column.key;
                fact.not_null = column.not_null;
                fact.binary_safe = false;
                facts.push_back(std::move(fact));
            }
        }
        co_return facts;
    }

    Task<Result<std::map<uint32_t, std::string>>> type_names(std::vector<uint32_t> types) override {
        QIAO_CO_CHECK(co_await enter());
        std::map<uint32_t, std::string> names;
        for (const auto type : types) {
            names[type] = type_name(type);
        }
        co_return names;
    }

    Task<Result<uint64_t>> wide_xid() override {
        QIAO_CO_CHECK(co_await enter());
        co_return uint64_t{server_.next_xid()};
    }

    Task<Result<std::map<uint64_t, TransactionFate>>> not_committed(std::vector<uint64_t> wide_xids
    ) override {
        QIAO_CO_CHECK(co_await enter());
        std::map<uint64_t, TransactionFate> fates;
        for (const auto& record : server_.log()) {
            const bool undone = record.kind == LogRecord::Kind::Abort;
            if (undone && std::ranges::find(wide_xids, record.xid) != wide_xids.end()) {
                fates[record.xid] = TransactionFate::Undone;
            }
        }
        co_return fates;
    }

    Task<Result<Lsn>> newest() override {
        QIAO_CO_CHECK(co_await enter());
        co_return server_.end();
    }

    Task<Result<std::map<model::TableName, std::string>>> digests(
        std::vector<model::TableName> tables
    ) override {
        QIAO_CO_CHECK(co_await enter());
        std::map<model::TableName, std::string> digests;
        for (const auto& name : tables) {
            if (const auto* table = find(name)) {
                digests[name] = schema_of(*table).id().to_string();
            }
        }
        co_return digests;
    }

    Task<Result<std::map<uint32_t, model::TableName>>> numbers(std::vector<model::TableName> tables
    ) override {
        QIAO_CO_CHECK(co_await enter());
        std::map<uint32_t, model::TableName> numbers;
        for (auto& name : tables) {
            if (const auto* table = find(name)) {
                numbers[table->oid] = std::move(name);
            }
        }
        co_return numbers;
    }

    Task<Result<std::vector<model::TableName>>> guard(StreamId /*stream*/) override {
        QIAO_CO_CHECK(co_await enter());
        co_return std::vector<model::TableName>{};
    }

    Task<Status> write_note(HeartbeatNote note) override {
        QIAO_CO_CHECK(co_await enter());
        note.written_at = server_.world().wall_now();
        server_.write_message(
            std::string(capture::postgres::kHeartbeatPrefix), capture::postgres::format_note(note)
        );
        co_return Status{};
    }

private:
    /// An answer takes a turn, and may not come.
    Task<Status> enter() {
        co_await testing::turn(server_.world());
        server_.count_answer();
        if (server_.sessions_ended() != ended_before_ || server_.strikes(server_.lost)) {
            co_return Error(ErrorCode::DbLost, "by chance");
        }
        co_return Status{};
    }

    const ServerTable* find(const model::TableName& name) const {
        const auto found = std::ranges::find(server_.tables(), name, &ServerTable::name);
        return found == server_.tables().end() ? nullptr : &*found;
    }

    ModelServer& server_;
    uint64_t ended_before_;
};

/// Everything as committed now.
class ModelSnapshot final : public capture::SnapshotSession {
public:
    ModelSnapshot(
        ModelServer& server, const std::vector<model::TableName>& tables, size_t value_bytes_max
    )
        : server_(server),
          value_bytes_max_(value_bytes_max),
          content_(server.content()),
          joined_at_(server.identity().at(server.end())),
          ended_before_(server.sessions_ended()) {
        for (size_t i = 0; i < server.tables().size(); ++i) {
            const auto& table = server.tables()[i];
            if (std::ranges::find(tables, table.name) == tables.end()) {
                continue;
            }
            for (uint32_t number = 0; number < kParts; ++number) {
                capture::LoadPart part;
                part.schema = schema_of(table);
                part.number = number;
                part.parts = kParts;
                part.rows_estimated = content_[i].size() / kParts;
                part.range = std::to_string(i);
                parts_.push_back(std::move(part));
            }
        }
    }

    const model::SourcePosition& joined_at() const override { return joined_at_; }

    const std::vector<capture::LoadPart>& parts() const override { return parts_; }

    drivers::LoadFormat format(const capture::LoadPart& /*part*/) const override {
        return drivers::LoadFormat::Tuples;
    }

    Task<Result<std::unique_ptr<Reader>>> read(
        capture::LoadPart part, size_t /*chunk_bytes*/
    ) override {
        std::vector<capture::LoadChunk> chunks;
        size_t number = 0;
        for (const auto& [key, row] : content_.at(std::stoul(part.range))) {
            if (number++ % kParts != part.number) {
                continue;
            }
            model::TupleBuilder builder(static_cast<uint16_t>(row.size()));
            for (const auto& value : row) {
                value ? builder.text(*value) : builder.null();
            }
            auto bytes = std::move(builder).take();
            const auto tuple = model::Tuple::parse(bytes).value();
            if (auto rest = model::withhold(part.schema, tuple, value_bytes_max_)) {
                chunks.push_back({{}, 1, false, *std::move(rest)});
            } else {
                chunks.push_back({std::move(bytes), 1, false, {}});
            }
        }
        chunks.push_back({{}, 0, true, {}});
        co_return std::make_unique<ChunkReader>(*this, std::move(chunks));
    }

private:
    static constexpr uint32_t kParts = 2;

    class ChunkReader final : public Reader {
    public:
        ChunkReader(ModelSnapshot& snapshot, std::vector<capture::LoadChunk> chunks)
            : snapshot_(snapshot), chunks_(std::move(chunks)) {}

        Task<Result<capture::LoadChunk>> next(StopSignal& stop) override {
            auto& server = snapshot_.server_;
            co_await testing::turn(server.world());
            if (stop.requested()) {
                co_return Error(ErrorCode::Cancelled);
            }
            if (server.sessions_ended() != snapshot_.ended_before_ || server.strikes(server.lost)) {
                co_return Error(ErrorCode::DbLost, "by chance");
            }
            co_return std::move(chunks_.at(next_++));
        }

    private:
        ModelSnapshot& snapshot_;
        std::vector<capture::LoadChunk> chunks_;
        size_t next_ = 0;
    };

    ModelServer& server_;
    size_t value_bytes_max_;
    ModelServer::Content content_;
    model::SourcePosition joined_at_;
    uint64_t ended_before_;
    std::vector<capture::LoadPart> parts_;
};

class ModelSnapshotSource final : public capture::SnapshotSource {
public:
    ModelSnapshotSource(ModelServer& server, size_t value_bytes_max)
        : server_(server), value_bytes_max_(value_bytes_max) {}

    Task<Result<std::unique_ptr<capture::SnapshotSession>>> open(
        std::vector<model::TableName> tables, StopSignal& /*stop*/
    ) override {
        co_await testing::turn(server_.world());
        if (server_.strikes(server_.lost)) {
            co_return Error(ErrorCode::DbLost, "by chance");
        }
        co_return std::make_unique<ModelSnapshot>(server_, tables, value_bytes_max_);
    }

private:
    ModelServer& server_;
    size_t value_bytes_max_;
};

}  // namespace

model::TableSchema schema_of(const ServerTable& table) {
    model::TableSchema schema;
    schema.table = table.name;
    schema.identity = table.identity == 'f' ? model::Identity::Full : model::Identity::PrimaryKey;
    for (size_t i = 0; i < table.columns.size(); ++i) {
        const bool key = std::ranges::find(table.key, i) != table.key.end();
        schema.columns.push_back({
            .name = table.columns[i],
            .type = type_name(table.types[i]),
            .type_id = table.types[i],
            .key = key,
            .not_null = key,
        });
    }
    return schema;
}

drivers::TargetTable target_table(const ServerTable& table) {
    drivers::TargetTable target;
    target.name = table.name;
    for (size_t i = 0; i < table.columns.size(); ++i) {
        const bool key = std::ranges::find(table.key, i) != table.key.end();
        target.columns.push_back(
            {.name = table.columns[i], .type = type_name(table.types[i]), .not_null = key}
        );
        if (key) {
            target.primary_key.push_back(table.columns[i]);
        }
    }
    if (table.unique) {
        target.unique_keys.push_back({table.columns[*table.unique]});
    }
    return target;
}

Task<Result<std::unique_ptr<capture::postgres::SourceSession>>> ModelSourceDatabase::open_session(
    StopSignal& stop
) {
    co_await testing::turn(server_.world());
    if (stop.requested() || server_.strikes(server_.lost)) {
        co_return Error(ErrorCode::DbLost, "by chance");
    }
    co_return std::make_unique<ModelReplication>(server_);
}

Task<Result<std::unique_ptr<capture::postgres::SourceCatalogue>>>
ModelSourceDatabase::open_catalogue(StopSignal& stop) {
    co_await testing::turn(server_.world());
    if (stop.requested() || server_.strikes(server_.lost)) {
        co_return Error(ErrorCode::DbLost, "by chance");
    }
    co_return std::make_unique<ModelCatalogue>(server_);
}

Task<Result<capture::DataSource::Choice>> ModelDataSource::choose(
    std::vector<std::string> /*patterns*/
) {
    Choice choice;
    for (const auto& table : parts_.server.tables()) {
        choice.tables.push_back(table.name);
    }
    co_return choice;
}

/// A slot begins where no transaction is open that was open when it was asked for.
Task<Status> ModelDataSource::prepare(StreamId stream, std::vector<model::TableName> /*tables*/) {
    auto& server = parts_.server;
    const auto name = capture::postgres::slot_name(stream);
    if (server.slots.contains(name)) {
        co_return Status{};
    }
    server.end_transactions();
    ServerSlot slot;
    slot.name = name;
    slot.confirmed = slot.on_disk = server.end();
    server.slots[name] = std::move(slot);
    co_return Status{};
}

Task<Status> ModelDataSource::beat(StreamId stream) {
    if (!parts_.beats) {
        co_return Status{};
    }
    ModelCatalogue catalogue(parts_.server);
    HeartbeatNote note;
    note.stream = stream;
    note.nonce = parts_.rng.number();
    co_return co_await catalogue.write_note(std::move(note));
}

std::unique_ptr<capture::StreamingSource> ModelDataSource::streaming(StreamId stream) {
    capture::postgres::PostgresSourceOptions options;
    options.stream = stream;
    for (const auto& table : parts_.server.tables()) {
        options.tables.push_back({table.name});
    }
    options.heartbeat_every = parts_.heartbeat;
    options.own_origins = {"province"};
    options.value_bytes_max = parts_.value_bytes_max;
    options.kept_digests = std::make_shared<capture::postgres::KeptDigests>(
        parts_.storage, parts_.folder + "/catalogue.json"
    );
    auto& world = parts_.server.world();
    return std::make_unique<capture::postgres::PostgresStreamingSource>(
        std::move(options), database_, world, world, parts_.rng, parts_.stop
    );
}

std::unique_ptr<capture::SnapshotSource> ModelDataSource::snapshot(StreamId /*stream*/) {
    return std::make_unique<ModelSnapshotSource>(parts_.server, parts_.value_bytes_max);
}

Task<Result<model::SourcePosition>> ModelDataSource::flushed_position() {
    co_return parts_.server.identity().at(parts_.server.end());
}

Task<Result<std::vector<capture::Leftover>>> ModelDataSource::leftovers(StreamId /*stream*/) {
    co_return std::vector<capture::Leftover>{};
}

Task<Result<model::SourcePosition>> ModelDataSource::renew(StreamId stream) {
    parts_.server.slots.erase(capture::postgres::slot_name(stream));
    QIAO_CO_CHECK(co_await prepare(stream, {}));
    co_return parts_.server.identity().at(parts_.server.end());
}

Task<Result<std::vector<std::string>>> ModelDataSource::drop(StreamId stream) {
    const auto name = capture::postgres::slot_name(stream);
    std::vector<std::string> gone;
    if (parts_.server.slots.erase(name) != 0) {
        gone.push_back(name);
    }
    co_return gone;
}

}  // namespace qiao::sim
