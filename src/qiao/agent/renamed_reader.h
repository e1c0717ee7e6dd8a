#pragma once

#include "qiao/agent/reader_in_front.h"
#include "qiao/model/mapping.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::agent {

/// A target database whose columns are asked for and described by the names that they have at the
/// source; tables go by their names here. Spec
class RenamedReader final : public ReaderInFront {
public:
    RenamedReader(std::unique_ptr<drivers::TableReader> reader, model::Mapping names)
        : ReaderInFront(std::move(reader)), names_(std::move(names)) {}

    Task<Result<Shape>> describe(model::TableName table) override;

    Task<Result<drivers::RowRange>> settle_range(
        model::TableName table, drivers::RangeWanted wanted
    ) override;
    Task<Status> scan(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        drivers::TablePart part,
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
    Task<Result<uint64_t>> count(model::TableName table, drivers::TablePart part) override;

private:
    /// Null: no column of this table has another name.
    const model::Mapping::Renamed* find(const model::TableName& table) const;
    std::string here(const model::TableName& table, const std::string& column) const;
    std::vector<drivers::CanonicalColumn> here(
        const model::TableName& table, std::vector<drivers::CanonicalColumn> columns
    ) const;
    drivers::TablePart here(const model::TableName& table, drivers::TablePart part) const;

    model::Mapping names_;
};

}  // namespace qiao::agent
