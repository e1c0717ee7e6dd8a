#pragma once

#include "qiao/drivers/table_reader.h"
#include "qiao/model/mapping.h"

#include <memory>
#include <vector>

namespace qiao::agent {

/// A target database whose columns are asked for and described by the names that they have at the
/// source; tables go by their names here. Spec
class RenamedReader final : public drivers::TableReader {
public:
    RenamedReader(std::unique_ptr<drivers::TableReader> reader, model::Mapping names)
        : reader_(std::move(reader)), names_(std::move(names)) {}

    Task<Result<Shape>> describe(model::TableName table) override;

    Task<Result<model::SourcePosition>> begin_snapshot() override {
        return reader_->begin_snapshot();
    }

    Task<Status> end_snapshot() override { return reader_->end_snapshot(); }

    Task<Status> scan(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        const Visit& visit,
        StopSignal& stop
    ) override;
    Task<Status> read_keys(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        std::vector<drivers::CanonicalColumn> key_columns,
        std::vector<Bytes> keys,
        const Visit& visit
    ) override;

    Task<Result<uint64_t>> count(model::TableName table) override {
        return reader_->count(std::move(table));
    }

    Task<Result<model::SourcePosition>> current_position() override {
        return reader_->current_position();
    }

    void set_pace(Pace pace) override { reader_->set_pace(std::move(pace)); }

private:
    /// Null: no column of this table has another name.
    const model::Mapping::Renamed* find(const model::TableName& table) const;
    std::vector<drivers::CanonicalColumn> here(
        const model::TableName& table, std::vector<drivers::CanonicalColumn> columns
    ) const;

    std::unique_ptr<drivers::TableReader> reader_;
    model::Mapping names_;
};

}  // namespace qiao::agent
