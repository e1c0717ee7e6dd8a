#pragma once

#include "qiao/capture/postgres/anchor.h"
#include "qiao/capture/postgres/decoder.h"
#include "qiao/capture/postgres/source_database.h"
#include "qiao/capture/streaming_source.h"
#include "qiao/model/withhold.h"

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
    size_t value_bytes_max = model::kValueBytesMost;
    uint64_t wide_xid = 0;  ///< any 64-bit transaction id of now
    /// Commits up to here were delivered before this session: dropped.
    Lsn after = 0;
    /// The transaction that comes again before anything new, if the history is still the same.
    std::optional<Anchor> anchor;
};

/// How rows of one relation of the session become rows of ours.
struct RelationPlan {
    model::TableSchema schema;
    /// Which of the server's columns are kept, ascending; empty: all.
    std::vector<size_t> kept;
    size_t server_columns = 0;
};

/// Turns decoded messages of one session into transactions for the sink, row by row: no row of a
/// transaction is kept here, so its size does not matter. Belongs to one session, like the
/// server's relation messages and its streamed transactions. A relation message inside a streamed
/// transaction is that transaction's own until it commits, and gone with the sub-transaction that
/// brought it. Source: rules 14, 15, 16. Spec
class TransactionAssembler {
public:
    explicit TransactionAssembler(AssemblerOptions options);

    /// All messages but RelationMessage and TypeMessage. Errors: capture.protocol; packet.too_large
    /// with table and key; capture.identity when another transaction stands where the anchor was.
    Status take(const Message& message, TransactionSink& sink);

    /// What a relation message came to; without a plan its changes are left out.
    /// `xid`: of the message.
    void set_relation(
        uint32_t relation, uint32_t xid, std::optional<RelationPlan> plan, TransactionSink& sink
    );

    /// Of a streamed transaction, those of its sub-transactions of which the sink has something
    /// and which the server has not said to be rolled back; 64 bits wide.
    std::vector<uint64_t> sub_transactions(uint32_t xid) const;

    /// One of them was rolled back all the same. What its blocks told of relations stays: the
    /// server takes it for told.
    void undo(uint32_t xid, uint32_t sub_xid, TransactionSink& sink);

    /// Outside any transaction and any block of one.
    bool idle() const { return !head_ && block_ == nullptr; }

    /// The server has sent everything before `end`. Errors: capture.identity when the anchor was
    /// not among it.
    Status passed(Lsn end) const { return check_.passed(end); }

    /// A position of this session, with the anchor that proves it.
    model::SourcePosition at(Lsn lsn) const;

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

    /// A relation as a streamed transaction has it; none: not ours.
    struct OwnRelation {
        uint32_t id = 0;
        uint32_t sub_xid = 0;
        std::optional<Relation> relation;
    };

    /// A streamed transaction that is open.
    struct Streamed {
        uint64_t wide_xid = 0;
        bool told = false;  ///< the sink has something of it
        bool looping = false;
        std::string origin;
        std::optional<HeartbeatNote> note;
        std::vector<OwnRelation> relations;  ///< as they came
        std::vector<uint32_t> sub_xids;      ///< that the sink was told of; some more than once
        size_t sub_xids_most = 1024;         ///< before those that came again are left out
        std::vector<uint32_t> undone;
    };

    Status begin(const BeginMessage& message);
    Status commit(const CommitMessage& message, TransactionSink& sink);
    Status begin_block(const StreamStartMessage& message);
    Status end_block(TransactionSink& sink);
    Status commit_streamed(const StreamCommitMessage& message, TransactionSink& sink);
    Status abort_streamed(const StreamAbortMessage& message, TransactionSink& sink);
    void tell_committed(
        const model::TransactionHead& head,
        Lsn commit,
        bool looping,
        const std::optional<HeartbeatNote>& note,
        TransactionSink& sink
    );
    Status take_frame(const Message& message, TransactionSink& sink);
    const std::optional<Relation>* find_relation(uint32_t id) const;
    Status change(
        model::Op op, uint32_t relation, uint32_t xid, const Images& images, TransactionSink& sink
    );
    Status truncate(const TruncateMessage& message, TransactionSink& sink);
    void logical(const LogicalMessage& message);
    void note_sub_transaction(uint32_t sub_xid);
    void open(uint32_t sub_xid, TransactionSink& sink);
    uint32_t sub_xid_of(uint32_t xid) const;

    /// Of a transaction that is not delivered: it passed us before, or it was delivered before.
    bool dropping() const { return block_ != nullptr ? block_->looping : looping_ || known_; }

    model::Tuple within_limit(const Relation& relation, const model::Tuple& row, Bytes& keep) const;
    model::Tuple shaped(
        const Relation& relation, const model::Tuple& row, const model::Tuple& fill, Bytes& keep
    ) const;
    uint64_t widen(uint32_t xid);
    bool is_own_origin(std::string_view path) const;

    AssemblerOptions options_;
    std::unordered_map<uint32_t, std::optional<Relation>> relations_;
    std::unordered_map<uint32_t, Streamed> streamed_;
    Streamed* block_ = nullptr;  ///< whose block is being read
    uint32_t block_xid_ = 0;
    bool block_told_ = false;  ///< the sink has begun this block
    std::optional<model::TransactionHead> head_;
    bool opened_ = false;  ///< the sink has been told of the transaction
    bool looping_ = false;
    bool known_ = false;  ///< it was delivered before this session
    std::optional<HeartbeatNote> note_;
    AnchorCheck check_;
    std::optional<Anchor> anchor_;  ///< the newest
    Lsn last_commit_ = 0;
    Lsn last_told_ = 0;
    uint64_t looped_ = 0;
    model::Change change_;
    Bytes old_bytes_, new_bytes_, old_withheld_, new_withheld_;
};

}  // namespace qiao::capture::postgres
