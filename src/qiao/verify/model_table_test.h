#pragma once

#include "qiao/common/async/sleep.h"
#include "qiao/drivers/table_reader.h"
#include "qiao/testing/manual_world.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace qiao::verify {

using Cell = std::optional<std::string>;
using ModelRow = std::vector<Cell>;
using ModelRows = std::multiset<ModelRow>;

/// The columns of the model's table: two of the key, four others.
struct ModelShape {
    bool keyed = true;
    std::vector<std::string> names = {"region", "id", "a", "b", "c", "d"};
    std::vector<size_t> key = {0, 1};

    drivers::TableReader::Shape shape(const model::TableName& table) const {
        drivers::TableReader::Shape shape;
        shape.schema.table = table;
        shape.schema.identity = keyed ? model::Identity::PrimaryKey : model::Identity::None;
        for (size_t i = 0; i < names.size(); ++i) {
            model::Column column;
            column.name = names[i];
            column.type = "pg_catalog.text";
            column.key = keyed && (i == 0 || i == 1);
            shape.schema.columns.push_back(column);
        }
        shape.binary_safe = {"a", "c", "id"};
        return shape;
    }

    ModelRow key_of(const ModelRow& row) const { return {row[0], row[1]}; }
};

/// One row's change; a transaction is several of them.
struct ModelChange {
    std::optional<ModelRow> gone, come;
};

using ModelCommit = std::vector<ModelChange>;

/// One table in memory with a position that grows with each commit.
struct ModelTable {
    model::TableName name{"public", "t"};
    ModelShape layout;
    drivers::TableReader::Shape shape = layout.shape(name);
    ModelRows rows;
    /// Of the row with this id, as many as it was written; where the shape says so.
    std::map<std::string, uint64_t> versions;
    uint64_t lsn = 100;
};

/// Reads a ModelTable as a driver would: in snapshots, with pauses of virtual time in between, in
/// which others write.
class ModelReader final : public drivers::TableReader {
public:
    ModelReader(testing::ManualWorld& world, ModelTable& table, uint64_t seed)
        : world_(world), table_(table), random_(seed) {}

    /// The call after so many others fails once.
    std::optional<uint64_t> fail_after;
    uint64_t calls = 0;
    uint64_t scans = 0;
    Duration pause_most = std::chrono::milliseconds(3);

    Task<Result<Shape>> describe(model::TableName /*table*/) override {
        QIAO_CO_CHECK(co_await call());
        auto shape = table_.shape;
        if (described) {
            described();
        }
        co_return shape;
    }

    /// Happens when the columns have just been looked up.
    std::function<void()> described;

    Task<Result<model::SourcePosition>> begin_snapshot() override {
        QIAO_ASSERT(!snapshot_);
        QIAO_CO_CHECK(co_await call());
        snapshot_ = table_.rows;
        snapshot_versions_ = table_.versions;
        const auto position = here();
        co_await nap();
        co_return position;
    }

    Task<Status> end_snapshot() override {
        QIAO_ASSERT(snapshot_);
        snapshot_.reset();
        co_return co_await call();
    }

    /// The model's present time, for ranges within it.
    int64_t seconds_now = 0;
    uint64_t rows_sent = 0;

    Task<Result<drivers::RowRange>> settle_range(
        model::TableName /*table*/, drivers::RangeWanted wanted
    ) override {
        QIAO_CO_CHECK(co_await call());
        if (!has_column(wanted.range.column)) {
            co_return Error(ErrorCode::DbNoTable, wanted.range.column);
        }
        if (wanted.within) {
            const auto within = std::chrono::duration_cast<std::chrono::seconds>(*wanted.within);
            wanted.range.from = std::to_string(seconds_now - within.count());
        }
        co_return wanted.range;
    }

    Task<Status> scan(
        model::TableName /*table*/,
        std::vector<drivers::CanonicalColumn> columns,
        drivers::TablePart part,
        const Visit& visit,
        StopSignal& stop
    ) override {
        QIAO_CO_CHECK(co_await call());
        ++scans;
        uint64_t batch = 0;
        if (part.range && !has_column(part.range->column)) {
            co_return Error(ErrorCode::DbNoTable, part.range->column);
        }
        for (const auto& row : *snapshot_) {
            if (is_in(part, row)) {
                ++rows_sent;
                visit_row(row, columns, visit);
            }
            if (++batch % kBatch == 0) {
                co_await nap();
                if (pace_) {
                    QIAO_CO_CHECK(co_await pace_(kBatch));
                }
            }
            if (stop.requested()) {
                co_return Error(ErrorCode::Cancelled);
            }
        }
        co_return Status{};
    }

    Task<Status> read_keys(
        model::TableName /*table*/,
        std::vector<drivers::CanonicalColumn> columns,
        std::vector<drivers::CanonicalColumn> /*key_columns*/,
        std::vector<Bytes> keys,
        const Visit& visit
    ) override {
        QIAO_CO_CHECK(co_await call());
        std::set<ModelRow> wanted;
        for (const auto& key : keys) {
            ModelRow cells;
            for (const auto& value : model::Tuple::parse(key).value().values()) {
                QIAO_ASSERT(value.kind == model::ValueKind::Text);
                cells.emplace_back(std::string(as_text(value.bytes)));
            }
            wanted.insert(cells);
        }
        for (const auto& row : *snapshot_) {
            if (wanted.contains(table_.layout.key_of(row))) {
                visit_row(row, columns, visit);
            }
        }
        co_return Status{};
    }

    Task<Result<uint64_t>> count(model::TableName /*table*/, drivers::TablePart part) override {
        QIAO_CO_CHECK(co_await call());
        co_return std::ranges::count_if(*snapshot_, [&](const ModelRow& row) {
            return is_in(part, row);
        });
    }

    Task<Result<model::SourcePosition>> current_position() override {
        QIAO_CO_CHECK(co_await call());
        co_return here();
    }

    void set_pace(Pace pace) override { pace_ = std::move(pace); }

private:
    static constexpr uint64_t kBatch = 10;

    model::SourcePosition here() const { return model::SourcePosition::lsn(1, 1, table_.lsn); }

    Task<Status> call() {
        co_await nap();
        if (fail_after && calls++ == *fail_after) {
            co_return Error(ErrorCode::DbLost);
        }
        co_return Status{};
    }

    Task<void> nap() {
        const auto most = static_cast<uint64_t>(pause_most.count()) + 1;
        const Duration pause(static_cast<int64_t>(random_() % most));
        (void)co_await sleep_for(world_, world_, pause, never_);
    }

    bool has_column(const std::string& name) const {
        const auto& names = table_.layout.names;
        return std::ranges::find(names, name) != names.end();
    }

    const Cell& cell_of(const ModelRow& row, const std::string& column) const {
        const auto& names = table_.layout.names;
        const auto place = std::ranges::find(names, column) - names.begin();
        return row.at(static_cast<size_t>(place));
    }

    /// A digest of its own in the place of MD5.
    bool is_in(const drivers::RowSample& sample, const ModelRow& row) const {
        auto text = std::to_string(sample.seed);
        for (const auto& column : sample.columns) {
            text += '\x1F' + cell_of(row, column).value_or("");
        }
        uint64_t digest = 0xcbf29ce484222325;
        for (const char c : text) {
            digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3;
        }
        return (digest >> 32U) % drivers::RowSample::kAll < sample.share;
    }

    /// Numbers of one length, as text.
    bool is_in(const drivers::TablePart& part, const ModelRow& row) const {
        if (part.sample && !is_in(*part.sample, row)) {
            return false;
        }
        if (!part.range) {
            return true;
        }
        const auto& cell = cell_of(row, part.range->column);
        return cell && (!part.range->from || *cell >= *part.range->from) &&
               (!part.range->to || *cell < *part.range->to);
    }

    void visit_row(
        const ModelRow& row,
        const std::vector<drivers::CanonicalColumn>& columns,
        const Visit& visit
    ) {
        model::TupleBuilder builder(static_cast<uint16_t>(columns.size()));
        for (const auto& column : columns) {
            if (column.name == table_.shape.version_column) {
                const auto version = snapshot_versions_.find(*row[1]);
                builder.text(
                    std::to_string(version == snapshot_versions_.end() ? 0 : version->second)
                );
                continue;
            }
            const auto& names = table_.layout.names;
            const auto place = std::find(names.begin(), names.end(), column.name) - names.begin();
            const auto& cell = row.at(static_cast<size_t>(place));
            if (!cell) {
                builder.null();
            } else if (column.form == drivers::CanonicalColumn::Form::Binary) {
                builder.binary(as_bytes(*cell));
            } else {
                builder.text(*cell);
            }
        }
        const auto bytes = std::move(builder).take();
        visit(model::Tuple::parse(bytes).value());
    }

    testing::ManualWorld& world_;
    ModelTable& table_;
    std::mt19937_64 random_;
    std::optional<ModelRows> snapshot_;
    std::map<std::string, uint64_t> snapshot_versions_;
    Pace pace_;
    StopSignal never_;
};

/// Values that careless comparisons take for equal.
inline Cell random_cell(std::mt19937_64& random) {
    static const std::vector<Cell> kCells = {
        std::nullopt,
        "",
        "0",
        "-0",
        "0.0",
        "-0.0",
        "1.0",
        "1.00",
        "ab",
        "a",
        "b",
        "AB",
        "NULL",
        "\xE5\xBC\xA0",
        "1e1",
        "10"
    };
    return kCells[random() % kCells.size()];
}

inline ModelRow random_row(std::mt19937_64& random, uint64_t id) {
    ModelRow row = {std::to_string(id % 7), std::to_string(id)};
    while (row.size() < ModelShape().names.size()) {
        row.push_back(random_cell(random));
    }
    return row;
}

}  // namespace qiao::verify
