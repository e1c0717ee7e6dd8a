#pragma once

#include "qiao/agent/reader_in_front.h"
#include "qiao/agent/timed_choice.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::agent {

/// A table or view that is captured by time of change, as a comparison has to see it: its key is
/// the declared one, and rows that are flagged as deleted are not there. Spec: R-35, H-30, H-31
class TimedReader final : public ReaderInFront {
public:
    TimedReader(std::unique_ptr<drivers::TableReader> reader, TimedChoice timed)
        : ReaderInFront(std::move(reader)), options_(std::move(timed.options)) {}

    Task<Result<Shape>> describe(model::TableName table) override;

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
    std::vector<drivers::CanonicalColumn> with_flag(std::vector<drivers::CanonicalColumn> columns
    ) const;
    Visit valid_rows(const Visit& visit) const;

    capture::TimestampOptions options_;
};

}  // namespace qiao::agent
