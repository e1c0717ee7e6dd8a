#pragma once

#include "qiao/agent/timed_choice.h"
#include "qiao/drivers/table_reader.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::agent {

/// A table or view that is captured by time of change, as a comparison has to see it: its key is
/// the declared one, and rows that are flagged as deleted are not there. Spec: R-35, H-30, H-31
class TimedReader final : public drivers::TableReader {
public:
    TimedReader(std::unique_ptr<drivers::TableReader> reader, TimedChoice timed)
        : reader_(std::move(reader)), options_(std::move(timed.options)) {}

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
    Task<Result<uint64_t>> count(model::TableName table) override;

    Task<Result<model::SourcePosition>> current_position() override {
        return reader_->current_position();
    }

    void set_pace(Pace pace) override { reader_->set_pace(std::move(pace)); }

private:
    std::vector<drivers::CanonicalColumn> with_flag(std::vector<drivers::CanonicalColumn> columns
    ) const;
    Visit valid_rows(const Visit& visit) const;

    std::unique_ptr<drivers::TableReader> reader_;
    capture::TimestampOptions options_;
};

}  // namespace qiao::agent
