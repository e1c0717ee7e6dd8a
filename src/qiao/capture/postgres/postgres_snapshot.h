#pragma once

#include "qiao/capture/postgres/source_table.h"
#include "qiao/capture/snapshot_source.h"
#include "qiao/common/id.h"
#include "qiao/common/rng.h"
#include "qiao/model/withhold.h"

#include <memory>
#include <vector>

namespace qiao::capture::postgres {

struct PostgresSnapshotOptions {
    StreamId stream;
    std::vector<ChosenTable> tables;   ///< open() takes the columns from here
    bool binary = true;                ///< where all chosen columns of a table may; else text
    uint64_t part_bytes = 64U << 20U;  ///< tables beyond are read in ranges of so many bytes
    size_t value_bytes_max = model::kValueBytesMost;
};

/// First loads from PostgreSQL: the exported snapshot of a TEMPORARY slot, which joins the stream
/// at the slot's consistent point, and COPY by ranges of pages inside it. The stream's own slot is
/// made before (source_setup.h). Source: rules 13. Spec
class PostgresSnapshotSource final : public SnapshotSource {
public:
    PostgresSnapshotSource(
        drivers::postgres::Runtime runtime,
        drivers::DataSourceUrl url,
        PostgresSnapshotOptions options,
        Rng& rng
    );

    /// `stop` ends the session's connections and outlives it.
    /// Errors: capture.no_slot, capture.table, drivers.*; waits for the transactions that run now.
    Task<Result<std::unique_ptr<SnapshotSession>>> open(
        std::vector<model::TableName> tables, StopSignal& stop
    ) override;

private:
    std::vector<ChosenTable> chosen(const std::vector<model::TableName>& tables) const;

    drivers::postgres::Runtime runtime_;
    drivers::DataSourceUrl url_;
    PostgresSnapshotOptions options_;
    Rng& rng_;
};

/// Cuts a table into parts by its leaves' sizes; pure, for tests.
std::vector<LoadPart> cut_into_parts(
    const SourceTable& table, uint64_t part_bytes, uint64_t block_bytes
);

}  // namespace qiao::capture::postgres
