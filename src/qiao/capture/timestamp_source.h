#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/capture/timestamp_text.h"
#include "qiao/common/async/executor.h"
#include "qiao/common/clock.h"
#include "qiao/drivers/row_query.h"
#include "qiao/model/withhold.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace qiao::capture {

/// What the value of a validity flag says about its row. Spec: H-31
enum class RowValidity : uint8_t {
    Valid,    ///< also every value that is not in the map, and null
    Invalid,  ///< kept at the target, with its flag
    Deleted,  ///< deleted at the target
};

struct TimestampOptions {
    drivers::TimedTable table;
    std::string flag;  ///< the validity column; empty: rows are never deleted
    std::map<std::string, RowValidity> flag_values;
    /// Every poll looks so far behind the newest stamp again: a transaction may commit so long
    /// after it took its stamp. Complaint C15.
    Duration overlap = std::chrono::minutes(10);
    Duration every = std::chrono::seconds(10);
    size_t page_rows = 2000;
    /// Rows of the overlap that are remembered, so that they are not sent again at every poll. One
    /// over the bound is sent again: more work, the same result.
    size_t remembered_rows = 500'000;
    size_t value_bytes_max = model::kValueBytesMost;
    /// The first poll reads everything once more: what came later than the overlap arrives.
    bool read_again = false;
};

/// The history of a timestamp source's positions.
std::string timestamp_history(const drivers::TimedTable& table);

/// What a timestamp source and the loads beside it tell each other.
struct TimestampProgress {
    /// Where a stream begins that has no position yet: rows with older stamps are in a load of this
    /// process. Empty: with the first row, because nobody knows what a load of another process had.
    /// Not set: a load may still come, and is waited for.
    std::optional<std::string> begin_at;

    WallTime last_poll;  ///< the moment of the last one that was begun
    /// Since when a transaction is open for longer than the overlap, as of that poll; empty: none
    /// is.
    std::string held_back_since;
};

/// Up to which stamp rows are taken now; what lies beyond is in the future.
std::string reach_of(const drivers::SourceNow& now);

/// How far a transaction that is open now lets the source look: as if rows up to then were the
/// newest, so that its rows are met after its end, however late that is.
std::string newest_allowed(const drivers::SourceNow& now, Duration overlap);

/// Capture of a table or view by the time of change that its rows carry. Every row is an Insert or
/// Delete with `tolerant`: it can come twice, and each page of a poll is one transaction. A restart
/// reads the overlap again.
///
/// Met is every row whose transaction the source still shows as open, or whose commit comes within
/// the overlap after its stamp. Not met are rows deleted without a flag, changes that leave the
/// stamp as it is, and stamps that lie further back than the overlap when their transaction begins:
/// reading everything again finds the latter, verification all. Spec: R-13, H-28, H-30, H-31
class TimestampSource final : public StreamingSource {
public:
    /// Everything outlives the source.
    TimestampSource(
        TimestampOptions options,
        drivers::RowDatabase& database,
        Executor& executor,
        Clock& clock,
        std::shared_ptr<TimestampProgress> progress
    );

    /// Errors: capture.identity when `from` belongs to another table; drivers.*
    Task<Status> start(model::SourcePosition from) override;
    /// Errors: drivers.*; capture.table for a row with a null in its key; packet.too_large.
    Task<Status> pump(TransactionSink& sink, StopSignal& stop) override;

    /// Nothing to tell: the source keeps its rows.
    void confirm(model::SourcePosition) override {}

    Backlog backlog() const override;
    Task<void> close() override;

    /// Rows that did not fit into the memory of the overlap, since the start.
    uint64_t forgotten() const { return forgotten_; }

private:
    struct Digest128 {
        uint64_t low = 0, high = 0;
        bool operator==(const Digest128&) const = default;
    };

    struct HashDigest {
        size_t operator()(const Digest128& digest) const { return digest.low; }
    };

    struct Remembered {
        Digest128 row;
        std::string stamp;
    };

    struct Poll {
        drivers::RowWindow window;
        drivers::SourceNow now;
        std::string newest_allowed;
        bool everything = false;
    };

    static Digest128 digest(ByteView bytes);
    Task<Status> wait_for_load(StopSignal& stop);
    Task<Status> begin_poll();
    Task<Status> read_page(TransactionSink& sink, StopSignal& stop);
    void take(std::string_view stamp, const model::Tuple& row, TransactionSink& sink);
    std::optional<Error> refusal(const std::vector<model::Value>& values) const;
    void emit(const model::Tuple& row, TransactionSink& sink);
    void open(TransactionSink& sink);
    void end_poll(TransactionSink& sink);
    bool is_news(std::string_view stamp, const model::Tuple& row);
    bool is_deleted(const std::vector<model::Value>& values) const;

    TimestampOptions options_;
    drivers::RowDatabase& database_;
    Executor& executor_;
    Clock& clock_;
    std::string history_;
    std::unique_ptr<drivers::RowQuery> query_;
    model::TableSchema schema_;
    model::SchemaId schema_id_;
    std::vector<size_t> key_columns_;  ///< in the order declared
    std::optional<size_t> flag_column_;
    bool schema_told_ = false;

    Watermark watermark_;
    bool new_stream_ = false;  ///< without a position, and no poll was begun
    std::optional<Poll> poll_;
    MonoTime next_poll_;
    std::optional<model::TransactionHead> head_;  ///< of the page under way
    std::optional<drivers::RowWindow::Place> last_row_;
    std::string page_newest_;
    std::optional<Error> refused_;  ///< a row of the page that cannot be taken
    std::unordered_map<Digest128, Remembered, HashDigest> remembered_;
    uint64_t forgotten_ = 0;
    std::shared_ptr<TimestampProgress> progress_;
};

}  // namespace qiao::capture
