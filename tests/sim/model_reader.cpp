#include "model_reader.h"

#include "qiao/testing/turn.h"

#include "model_source.h"

#include <algorithm>
#include <set>

namespace qiao::sim {
namespace {

using Snapshot = std::map<model::TableName, std::vector<Row>>;

/// One end, as a reader needs it.
class End {
public:
    virtual ~End() = default;
    virtual Snapshot rows() = 0;
    /// In a thousandth: of calls that lose their connection.
    virtual uint32_t lost() const = 0;

    /// Another number: every session has ended.
    virtual uint64_t life() const { return 0; }
};

class SourceEnd final : public End {
public:
    explicit SourceEnd(ModelServer& server) : server_(server) {}

    Snapshot rows() override {
        Snapshot all;
        for (size_t i = 0; i < server_.tables().size(); ++i) {
            auto& rows = all[server_.tables()[i].name];
            for (const auto& [key, row] : server_.content()[i]) {
                rows.push_back(row);
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

    Snapshot rows() override {
        Snapshot all;
        for (const auto& [name, table] : database_.committed().tables) {
            all[name] = table->rows();
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
        const auto* found = find(table);
        if (found == nullptr) {
            co_return Error(ErrorCode::DbNoTable, table.to_string());
        }
        Shape shape;
        shape.schema = schema_of(*found);
        co_return shape;
    }

    Task<Result<model::SourcePosition>> begin_snapshot() override {
        QIAO_CO_CHECK(co_await enter());
        snapshot_ = end_->rows();
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
        for (const auto& row : (*snapshot_)[table]) {
            if (number++ % kBatch == 0) {
                QIAO_CO_CHECK(co_await enter());
            }
            if (stop.requested()) {
                co_return Error(ErrorCode::Cancelled);
            }
            show(*find(table), row, columns, visit);
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
        const auto* found = find(table);
        std::set<Row> wanted;
        for (const auto& key : keys) {
            Row cells;
            for (const auto& value : model::Tuple::parse(key).value().values()) {
                cells.emplace_back(std::string(as_text(value.bytes)));
            }
            wanted.insert(std::move(cells));
        }
        for (const auto& row : (*snapshot_)[table]) {
            Row key;
            for (const auto& column : key_columns) {
                key.push_back(row[place_of(*found, column.name)]);
            }
            if (wanted.contains(key)) {
                show(*found, row, columns, visit);
            }
        }
        co_return Status{};
    }

    Task<Result<uint64_t>> count(model::TableName table, drivers::TablePart /*part*/) override {
        QIAO_CO_CHECK(co_await enter());
        co_return (*snapshot_)[table].size();
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

    const ServerTable* find(const model::TableName& name) const {
        const auto found = std::ranges::find(server_.tables(), name, &ServerTable::name);
        return found == server_.tables().end() ? nullptr : &*found;
    }

    static size_t place_of(const ServerTable& table, const std::string& column) {
        return static_cast<size_t>(
            std::ranges::find(table.columns, column) - table.columns.begin()
        );
    }

    static void show(
        const ServerTable& table,
        const Row& row,
        const std::vector<drivers::CanonicalColumn>& columns,
        const Visit& visit
    ) {
        model::TupleBuilder builder(static_cast<uint16_t>(columns.size()));
        for (const auto& column : columns) {
            const auto& cell = row[place_of(table, column.name)];
            cell ? builder.text(*cell) : builder.null();
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
