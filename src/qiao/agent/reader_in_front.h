#pragma once

#include "qiao/drivers/table_reader.h"

#include <memory>
#include <utility>
#include <vector>

namespace qiao::agent {

/// Passes everything on to another reader; what stands in front of one for a reason derives from
/// this and changes what it must.
class ReaderInFront : public drivers::TableReader {
public:
    explicit ReaderInFront(std::unique_ptr<drivers::TableReader> reader)
        : reader_(std::move(reader)) {}

    Task<Result<Shape>> describe(model::TableName table) override {
        return reader_->describe(std::move(table));
    }

    Task<Result<model::SourcePosition>> begin_snapshot() override {
        return reader_->begin_snapshot();
    }

    Task<Status> end_snapshot() override { return reader_->end_snapshot(); }

    Task<Result<drivers::RowRange>> settle_range(
        model::TableName table, drivers::RangeWanted wanted
    ) override {
        return reader_->settle_range(std::move(table), std::move(wanted));
    }

    Task<Status> scan(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        drivers::TablePart part,
        const Visit& visit,
        StopSignal& stop
    ) override {
        return reader_->scan(std::move(table), std::move(columns), std::move(part), visit, stop);
    }

    Task<Status> read_keys(
        model::TableName table,
        std::vector<drivers::CanonicalColumn> columns,
        std::vector<drivers::CanonicalColumn> key_columns,
        std::vector<Bytes> keys,
        const Visit& visit
    ) override {
        return reader_->read_keys(
            std::move(table), std::move(columns), std::move(key_columns), std::move(keys), visit
        );
    }

    Task<Result<uint64_t>> count(model::TableName table, drivers::TablePart part) override {
        return reader_->count(std::move(table), std::move(part));
    }

    Task<Result<model::SourcePosition>> current_position() override {
        return reader_->current_position();
    }

    void set_pace(Pace pace) override { reader_->set_pace(std::move(pace)); }

private:
    std::unique_ptr<drivers::TableReader> reader_;
};

}  // namespace qiao::agent
