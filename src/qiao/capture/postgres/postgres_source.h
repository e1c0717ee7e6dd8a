#pragma once

#include "qiao/capture/postgres/heartbeat.h"
#include "qiao/capture/postgres/transaction_assembler.h"
#include "qiao/common/async/scope.h"
#include "qiao/model/withhold.h"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qiao::capture::postgres {

struct PostgresSourceOptions {
    StreamId stream;
    std::vector<ChosenTable> tables;
    std::vector<std::string> own_origins;
    /// Where all captured columns may; else text. pgoutput takes the form once for a session, not
    /// for a relation, so that one column of another type makes the whole stream text.
    bool binary = true;
    /// Transactions above the server's logical_decoding_work_mem come before they commit; else the
    /// server writes them to its own disk and sends them afterwards.
    bool streaming = true;
    Duration heartbeat_every = std::chrono::seconds(10);
    bool heartbeat = true;  ///< false: nothing is ever written to the source
    std::shared_ptr<KeptDigests> kept_digests = nullptr;  ///< see HeartbeatOptions
    size_t value_bytes_max = model::kValueBytesMost;
};

/// Log capture of one PostgreSQL database by pgoutput: one slot, two publications, one stream.
/// source_setup.h makes slot and publications. Spec. Source: rules 11, 12, 15
class PostgresStreamingSource final : public StreamingSource {
public:
    /// Everything outlives the source; so does `rng`. `stop` ends its connections.
    PostgresStreamingSource(
        PostgresSourceOptions options,
        SourceDatabase& database,
        Executor& executor,
        Clock& clock,
        Rng& rng,
        StopSignal& stop
    );

    /// Errors: capture.identity, capture.slot_missing, capture.slot_busy, capture.position_lost,
    /// capture.table, drivers.*
    Task<Status> start(model::SourcePosition from) override;

    /// Errors: drivers.lost and other drivers.*; capture.protocol; packet.too_large;
    /// capture.format_changed when a table got a column that must not travel in binary form: the
    /// next start() takes text.
    Task<Status> pump(TransactionSink& sink, StopSignal& stop) override;

    void allow_ahead(bool allowed) override { ahead_allowed_ = allowed; }

    void confirm(model::SourcePosition position) override;
    Backlog backlog() const override;
    Task<void> close() override;

    bool binary() const { return binary_; }

    /// Transactions dropped because they had passed us before.
    uint64_t looped() const { return assembler_ ? assembler_->looped() : 0; }

    /// The last trouble of heartbeats and guard, for status; empty when the last beat was good.
    const std::optional<Error>& heartbeat_error() const { return heartbeat_.last_error(); }

private:
    /// Where a session begins.
    struct Place {
        Lsn begin = 0;
        Lsn after = 0;  ///< what was committed up to here has been delivered
        std::optional<Anchor> anchor;
    };

    struct Early {
        LogMessage message;
        Bytes body;
    };

    Task<Result<Place>> find_place(const model::SourcePosition& from);
    Task<Status> see_anchor(const Place& place);
    Result<std::optional<LogMessage>> next();
    Task<Status> look_at_tables();
    Task<Result<size_t>> drain(TransactionSink& sink);
    Task<Status> take_data(ByteView body, TransactionSink& sink);
    enum class Urgency : uint8_t { WhenDue, Now };
    bool tell_progress(Urgency urgency, TransactionSink& sink);
    Task<Status> wait(StopSignal& stop);
    Task<Status> undo_unsaid(uint32_t xid, TransactionSink& sink);
    Task<Status> take_relation(const RelationMessage& message, TransactionSink& sink);
    const ChosenTable* find_chosen(const model::TableName& name) const;
    Task<Result<const ChosenTable*>> find_renamed(const RelationMessage& message);
    Task<Result<std::vector<model::Column>>> columns_of(
        const RelationMessage& message, bool& binary_safe
    );
    Task<void> end_session();

    PostgresSourceOptions options_;
    SourceDatabase& database_;
    Executor& executor_;
    Clock& clock_;
    Rng& rng_;
    StopSignal& stop_;
    HeartbeatWriter heartbeat_;

    std::unique_ptr<SourceSession> session_;
    std::unique_ptr<SourceCatalogue> catalogue_;
    std::optional<TransactionAssembler> assembler_;
    Decoder decoder_;
    std::deque<Early> early_;                                ///< read by start()
    Early current_;                                          ///< whose body is being read
    std::map<uint32_t, std::string> type_names_;             ///< of this session
    std::map<model::TableName, const ChosenTable*> chosen_;  ///< into the options
    std::map<uint32_t, model::TableName> chosen_names_;  ///< by the server's number of the table
    bool ahead_allowed_ = true;                          ///< what is open may be streamed
    bool binary_ = false;
    bool text_only_ = false;  ///< a column that must not travel in binary form has been seen
    Lsn sent_ = 0;            ///< how far the server says that it has sent
    Lsn told_ = 0;            ///< the newest position that the sink has been given
    Lsn confirmed_ = 0;       ///< one past the newest position in custody
    Lsn kept_from_ = 0;       ///< the anchor of that position, or the same
    Lsn reached_ = 0;         ///< nothing of ours up to here is left to come; told when it is time
    WallTime reached_at_;
    bool behind_ = false;  ///< there was much to drain last
    MonoTime told_at_;
    StopSignal* wake_ = nullptr;  ///< ends the wait under way
    std::unique_ptr<TaskScope> scope_;
};

}  // namespace qiao::capture::postgres
