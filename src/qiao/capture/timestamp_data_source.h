#pragma once

#include "qiao/capture/data_source.h"
#include "qiao/capture/timestamp_source.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::capture {

/// One table or view of a database that is captured by the time of change that its rows carry.
/// Nothing is made in the source, and nothing stays there. Spec: R-13, H-28, H-29, H-30, H-31
class TimestampDataSource final : public DataSource {
public:
    /// @param options   without the table's name, which choose() finds
    /// @param identity  system and database, for headers and people
    /// `executor` and `clock` outlive the object and its sources.
    TimestampDataSource(
        TimestampOptions options,
        std::unique_ptr<drivers::RowDatabase> database,
        std::string identity,
        Executor& executor,
        Clock& clock
    );

    /// Errors: common.config unless exactly one table or view is meant; capture.table when no key
    /// is declared and it has no primary key; drivers.no_table for a missing column.
    Task<Status> reach() override;
    Task<Result<Choice>> choose(std::vector<std::string> patterns) override;
    Task<Status> prepare(StreamId stream, std::vector<model::TableName> tables) override;
    std::unique_ptr<StreamingSource> streaming(StreamId stream) override;
    std::unique_ptr<SnapshotSource> snapshot(StreamId stream) override;
    Task<Result<drivers::Structure>> structure(std::vector<drivers::TablePair> tables) override;
    Task<Result<model::SourcePosition>> flushed_position() override;
    std::vector<drivers::Finding> notes() const override;
    Task<Result<std::vector<Leftover>>> leftovers(StreamId stream) override;
    Task<Result<std::vector<std::string>>> drop(StreamId stream) override;

    std::string identity() const override { return identity_; }

private:
    TimestampOptions options_;
    std::unique_ptr<drivers::RowDatabase> database_;
    std::string identity_;
    Executor& executor_;
    Clock& clock_;
    std::shared_ptr<TimestampProgress> progress_ = std::make_shared<TimestampProgress>();
};

}  // namespace qiao::capture
