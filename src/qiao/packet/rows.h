#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/model/change.h"
#include "qiao/packet/header.h"

#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

namespace qiao::packet {

/// A slice of a large change.
struct PieceOfChange {
    bool last = false;
    ByteView bytes;
};

/// What has travelled ahead of a transaction's commit, in provisional packets of the same stream
/// and epoch, and which of its sub-transactions were undone since.
struct Ahead {
    /// Sub-transactions from `first` to `last`.
    struct Range {
        uint32_t first = 0, last = 0;
        bool operator==(const Range&) const = default;
    };

    std::vector<Sequence> packets;  ///< ascending
    std::vector<Range> undone;      ///< ascending, disjoint
    bool operator==(const Ahead&) const = default;

    bool is_undone(uint32_t sub_xid) const;
};

/// Builds the body of a Rows or a Provisional packet: whole transactions, or a fragment of one. Row
/// images are copied as they came from the source. Layout: docs/reference/formats/packet.md
class RowsBuilder {
public:
    /// `fragment` 0 starts the transaction; more go on with it in a new packet.
    void begin(const model::TransactionHead& head, uint32_t fragment);
    void change(const model::Change& change);
    /// One piece of a change that is too large to lie whole in a packet: a slice of what
    /// encode_alone() gives, in order, no other change between. Source: rules 4
    void piece(const PieceOfChange& piece, std::optional<model::Op> counted);
    /// The transaction's changes lie in these provisional packets. Source: rules 5
    void ahead(const Ahead& ahead);
    /// The transaction is complete; `head.end` is known now.
    void commit(const model::TransactionHead& head);

    /// A change that stands for itself, to be cut into pieces.
    static Bytes encode_alone(const model::Change& change);

    /// Forgets the transaction that was begun and not committed, as if it had never been: its
    /// source will send it again from its begin. Source: rules 14
    void discard_open();

    size_t size() const { return out_.size(); }

    bool empty() const { return out_.size() == 0; }

    const ChangeCounts& counts() const { return counts_; }

    /// The body; the builder is empty again.
    Bytes take();

private:
    uint16_t table_index(const model::SchemaId& schema);

    ByteWriter out_;
    ChangeCounts counts_;
    std::unordered_map<model::SchemaId, uint16_t> tables_;

    /// How things stood before the open transaction.
    struct Mark {
        size_t size = 0;
        ChangeCounts counts;
        size_t tables = 0;
    };

    std::optional<Mark> open_;
};

/// Reads the body of a Rows or a Provisional packet record by record; views point into the body.
/// Foreign bytes are checked as they are read.
class RowsReader {
public:
    explicit RowsReader(ByteView body) : in_(body) {}

    struct Begin {
        model::TransactionHead head;
        uint32_t fragment = 0;
    };

    struct Commit {
        model::TransactionHead head;
    };

    using Record = std::variant<Begin, model::Change, PieceOfChange, Ahead, Commit>;

    /// Empty at the end. Errors: packet.malformed.
    Result<std::optional<Record>> next();

    /// What RowsBuilder::encode_alone() made; views point into `bytes`. Errors: packet.malformed.
    static Result<model::Change> decode_alone(ByteView bytes);

private:
    Result<model::Change> read_change(model::Op op);
    Result<model::Change> read_truncate();
    Result<std::optional<Record>> read_record(uint8_t mark);
    Result<Record> read_begin();
    Result<Record> read_ahead();
    bool read_table(model::SchemaId& schema);

    ByteReader in_;
    std::vector<model::SchemaId> tables_;
    std::optional<model::TransactionHead> open_;
};

}  // namespace qiao::packet
