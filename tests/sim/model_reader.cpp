#include "model_reader.h"

#include "qiao/testing/turn.h"

#include "model_source.h"

#include <algorithm>
#include <set>

namespace qiao::sim {
namespace {

struct ReadTable {
    model::TableSchema schema;
    std::vector<Row> rows;
};

using Snapshot = std::map<model::TableName, ReadTable>;

/// A table of the target as its reader tells it. Source: rules 19
model::TableSchema schema_of(const drivers::TargetTable& table) {
    model::TableSchema schema;
    schema.table = table.name;
    schema.identity = model::Identity::PrimaryKey;
    for (const auto& column : table.columns) {
        model::Column told;
        told.name = column.name;
        told.type = column.type;
        told.key = std::ranges::find(table.primary_key, column.name) != table.primary_key.end();
        told.not_null = column.not_null;
        schema.columns.push_back(std::move(told));
    }
    return schema;
}

/// One end, as a reader needs it.
class End {
public:
    virtual ~End() = default;
    virtual Snapshot read() = 0;
    /// In a thousandth: of calls that lose their connection.
    virtual uint32_t lost() const = 0;

    /// Another number: every session has ended.
    virtual uint64_t life() const { return 0; }
};

class SourceEnd final : public End {
public:
    explicit SourceEnd(ModelServer& server) : server_(server) {}

    Snapshot read() override {
        Snapshot all;
        for (size_t i = 0; i < server_.tables().size(); ++i) {
            auto& table = all[server_.tables()[i].name];
            table.schema = sim::schema_of(server_.tables()[i]);
            for (const auto& [key, row] : server_.content()[i]) {
                table.rows.push_back(row);
            }
        }
        return all;
    }

    uint32_t lost() const override { return server_.lost; }

    uint64_t life() const override { return server_.sessions_ended(); }

private:
    ModelServer& server_;
};

class TargetEnd final : public End {
public:
    explicit TargetEnd(drivers::model_db::ModelDatabase& database) : database_(database) {}

    Snapshot read() override {
        Snapshot all;
        for (const auto& [name, table] : database_.committed().tables) {
            all[name] = {schema_of(table->target()), table->rows()};
        }
        return all;
    }

    uint32_t lost() const override { return database_.faults.lost; }

private:
    drivers::model_db::ModelDatabase& database_;
};

class ModelReader final : public drivers::TableReader {
public:
    ModelReader(ModelServer& server, std::unique_ptr<End> end)
        : server_(server), end_(std::move(end)), life_(end_->life()) {}

    Task<Result<Shape>> describe(model::TableName table) override {
        QIAO_CO_CHECK(co_await enter());
        const auto all = end_->read();
        const auto found = all.find(table);
        if (found == all.end()) {
            co_return Error(ErrorCode::DbNoTable, table.to_string());
        }
        Shape shape;
        shape.schema = found->second.schema;
        co_return shape;
    }

    Task<Result<model::SourcePosition>> begin_snapshot() override {
        QIAO_CO_CHECK(co_await enter());
        snapshot_ = end_->read();
        co_return server_.identity().at(server_.end());
    }

    Task<Status> end_snapshot() override {
        snapshot_.reset();
        co_return co_await enter();
    }

    Task<Result<drivers::RowRange>> settle_range(
        model::TableName /*table*/, drivers::RangeWanted wanted
    ) override {
        co_return wanted.range;
    }

    Task<Status> scan(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        drivers::TablePart /*part*/,
        const Visit& visit,
        StopSignal& stop
    ) override {
        constexpr size_t kBatch = 10;
        size_t number = 0;
        const auto& read = (*snapshot_)[table];
        QIAO_CO_TRY(const auto places, places_of(read, columns));
        for (const auto& row : read.rows) {
            if (number++ % kBatch == 0) {
                QIAO_CO_CHECK(co_await enter());
            }
            if (stop.requested()) {
                co_return Error(ErrorCode::Cancelled);
            }
            show(row, places, visit);
        }
        co_return Status{};
    }

    Task<Status> read_keys(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        std::vector<drivers::CanonicalColumn> key_columns,
        std::vector<Bytes> keys,
        const Visit& visit
    ) override {
        QIAO_CO_CHECK(co_await enter());
        const auto& read = (*snapshot_)[table];
        QIAO_CO_TRY(const auto places, places_of(read, columns));
        QIAO_CO_TRY(const auto key_places, places_of(read, key_columns));
        std::set<Row> wanted;
        for (const auto& key : keys) {
            Row cells;
            for (const auto& value : model::Tuple::parse(key).value().values()) {
                cells.emplace_back(std::string(as_text(value.bytes)));
            }
            wanted.insert(std::move(cells));
        }
        for (const auto& row : read.rows) {
            Row key;
            for (const auto place : key_places) {
                key.push_back(row[place]);
            }
            if (wanted.contains(key)) {
                show(row, places, visit);
            }
        }
        co_return Status{};
    }

    Task<Result<uint64_t>> count(model::TableName table, drivers::TablePart /*part*/) override {
        QIAO_CO_CHECK(co_await enter());
        co_return (*snapshot_)[table].rows.size();
    }

    Task<Result<model::SourcePosition>> current_position() override {
        QIAO_CO_CHECK(co_await enter());
        co_return server_.identity().at(server_.end());
    }

private:
    Task<Status> enter() {
        co_await testing::turn(server_.world());
        server_.count_answer();
        if (end_->life() != life_ || server_.strikes(end_->lost())) {
            co_return Error(ErrorCode::DbLost, "by chance");
        }
        co_return Status{};
    }

    /// A column can be gone between two questions.
    static Result<std::vector<size_t>> places_of(
        const ReadTable& table, const std::vector<drivers::CanonicalColumn>& columns
    ) {
        std::vector<size_t> places;
        for (const auto& column : columns) {
            const auto place = table.schema.find_column(column.name);
            if (!place) {
                return Error(ErrorCode::DbNoTable, column.name);
            }
            places.push_back(*place);
        }
        return places;
    }

    static void show(const Row& row, const std::vector<size_t>& places, const Visit& visit) {
        model::TupleBuilder builder(static_cast<uint16_t>(places.size()));
        for (const auto place : places) {
            row[place] ? builder.text(*row[place]) : builder.null();
        }
        const auto bytes = std::move(builder).take();
        visit(model::Tuple::parse(bytes).value());
    }

    ModelServer& server_;
    std::unique_ptr<End> end_;
    uint64_t life_;
    std::optional<Snapshot> snapshot_;
};

}  // namespace

std::unique_ptr<drivers::TableReader> source_reader(ModelServer& server) {
    return std::make_unique<ModelReader>(server, std::make_unique<SourceEnd>(server));
}

std::unique_ptr<drivers::TableReader> target_reader(
    ModelServer& server, drivers::model_db::ModelDatabase& database
) {
    return std::make_unique<ModelReader>(server, std::make_unique<TargetEnd>(database));
}

}  // namespace qiao::sim
