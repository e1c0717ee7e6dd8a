#include "qiao/capture/timestamp_snapshot.h"

#include "qiao/capture/timestamp_check.h"

namespace qiao::capture {
namespace {

using Verdict = drivers::Finding::Verdict;

drivers::LeftOutRows deleted_rows(const TimestampOptions& options) {
    drivers::LeftOutRows rows{options.flag, {}};
    for (const auto& [value, validity] : options.flag_values) {
        if (validity == RowValidity::Deleted) {
            rows.values.push_back(value);
        }
    }
    return rows;
}

class BulkReader final : public SnapshotSession::Reader {
public:
    BulkReader(std::unique_ptr<drivers::RowQuery> query, size_t chunk_bytes, size_t value_bytes_max)
        : query_(std::move(query)), chunk_bytes_(chunk_bytes), value_bytes_max_(value_bytes_max) {}

    Task<Result<LoadChunk>> next(StopSignal& stop) override {
        QIAO_CO_TRY(auto bulk, co_await query_->next_bulk(chunk_bytes_, value_bytes_max_, stop));
        co_return LoadChunk{std::move(bulk.rows), bulk.count, bulk.last, std::move(bulk.withheld)};
    }

private:
    std::unique_ptr<drivers::RowQuery> query_;
    size_t chunk_bytes_;
    size_t value_bytes_max_;
};

class Session final : public SnapshotSession {
public:
    Session(
        TimestampOptions options,
        drivers::RowDatabase& database,
        drivers::LoadFormat format,
        LoadPart part
    )
        : options_(std::move(options)),
          database_(database),
          format_(format),
          joined_at_(Watermark{}.position(timestamp_history(options_.table))),
          parts_{std::move(part)} {}

    const model::SourcePosition& joined_at() const override { return joined_at_; }

    const std::vector<LoadPart>& parts() const override { return parts_; }

    drivers::LoadFormat format(const LoadPart& /*part*/) const override { return format_; }

    Task<Result<std::unique_ptr<Reader>>> read(LoadPart /*part*/, size_t chunk_bytes) override {
        QIAO_CO_TRY(auto query, co_await database_.connect());
        QIAO_CO_TRY(const auto now, co_await query->now(options_.table));
        auto deleted = deleted_rows(options_);
        QIAO_CO_CHECK(co_await query->begin_bulk(options_.table, reach_of(now), std::move(deleted))
        );
        co_return std::make_unique<BulkReader>(
            std::move(query), chunk_bytes, options_.value_bytes_max
        );
    }

private:
    TimestampOptions options_;
    drivers::RowDatabase& database_;
    drivers::LoadFormat format_;
    model::SourcePosition joined_at_;
    std::vector<LoadPart> parts_;
};

}  // namespace

Task<Result<std::unique_ptr<SnapshotSession>>> TimestampSnapshotSource::open(
    std::vector<model::TableName> /*tables*/, StopSignal& stop
) {
    QIAO_CO_TRY(const auto query, co_await database_.connect());
    QIAO_CO_TRY(auto schema, co_await query->describe(options_.table));
    QIAO_CO_TRY(const auto facts, co_await query->probe(options_.table));
    for (const auto& finding : judge_timed_table(options_, facts)) {
        if (finding.verdict == Verdict::Bad) {
            co_return Error(ErrorCode::CaptureTable, finding.subject + ": " + finding.message_en);
        }
    }
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    if (!progress_->begin_at) {
        QIAO_CO_TRY(const auto now, co_await query->now(options_.table));
        progress_->begin_at = newest_allowed(now, options_.overlap);
    }
    LoadPart part;
    part.schema = std::move(schema);
    part.rows_estimated = facts.rows;
    co_return std::make_unique<Session>(options_, database_, query->bulk_format(), std::move(part));
}

}  // namespace qiao::capture
