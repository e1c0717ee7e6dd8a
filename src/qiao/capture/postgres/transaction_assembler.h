#pragma once

#include "qiao/capture/postgres/decoder.h"
#include "qiao/capture/postgres/source_database.h"
#include "qiao/capture/streaming_source.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace qiao::capture::postgres {

struct AssemblerOptions {
    SystemIdentity identity;
    StreamId stream;
    /// Transactions whose `qiao.origin` path holds one of these have passed us and are dropped.
    std::vector<std::string> own_origins;
    size_t value_bytes_max = 64U << 20U;
    uint64_t wide_xid = 0;  ///< any 64-bit transaction id of now
};

/// How rows of one relation of the session become rows of ours.
struct RelationPlan {
    model::TableSchema schema;
    /// Which of the server's columns are kept, ascending; empty: all.
    std::vector<size_t> kept;
    size_t server_columns = 0;
};

/// Turns decoded messages of one session into transactions for the sink, row by row: nothing of a
/// transaction is kept here, so its size does not matter. Belongs to one session, like the
/// server's relation messages. Source: rules 14, 15, 16. Spec
class TransactionAssembler {
public:
    explicit TransactionAssembler(AssemblerOptions options);

    /// All messages but RelationMessage and TypeMessage. Streamed transactions are not asked for.
    /// Errors: capture.protocol; packet.too_large with table and key.
    Status take(const Message& message, TransactionSink& sink);

    /// What a relation message came to; without a plan its changes are left out.
    void set_relation(uint32_t relation, std::optional<RelationPlan> plan, TransactionSink& sink);

    /// Outside any transaction.
    bool idle() const { return !head_; }

    /// The last commit of any transaction, also of those that had nothing for the sink.
    Lsn last_commit() const { return last_commit_; }

    /// The last commit that the sink was given, as such or as a heartbeat's position.
    Lsn last_told() const { return last_told_; }

    /// Transactions dropped because they had passed us before.
    uint64_t looped() const { return looped_; }

private:
    struct Relation {
        RelationPlan plan;
        model::SchemaId id;
    };

    struct Images {
        OldRow old_kind = OldRow::None;
        model::Tuple old_row;
        model::Tuple new_row;
    };

    Status begin(const BeginMessage& message);
    Status commit(const CommitMessage& message, TransactionSink& sink);
    Status change(model::Op op, uint32_t relation, const Images& images, TransactionSink& sink);
    Status truncate(const TruncateMessage& message, TransactionSink& sink);
    void logical(const LogicalMessage& message);
    void open(TransactionSink& sink);
    Status check_size(const Relation& relation, const model::Tuple& row) const;
    model::Tuple shaped(
        const Relation& relation, const model::Tuple& row, const model::Tuple& fill, Bytes& keep
    ) const;
    uint64_t widen(uint32_t xid);
    bool is_own_origin(std::string_view path) const;

    AssemblerOptions options_;
    std::unordered_map<uint32_t, std::optional<Relation>> relations_;
    std::optional<model::TransactionHead> head_;
    bool opened_ = false;  ///< the sink has been told of the transaction
    bool looping_ = false;
    std::optional<HeartbeatNote> note_;
    Lsn last_commit_ = 0;
    Lsn last_told_ = 0;
    uint64_t looped_ = 0;
    model::Change change_;
    Bytes old_bytes_, new_bytes_;
};

}  // namespace qiao::capture::postgres
