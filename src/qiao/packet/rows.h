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

/// Builds the body of a Rows packet: whole transactions, or a fragment of one. Row images are
/// copied as they came from the source. Layout: docs/reference/formats/packet.md
class RowsBuilder {
public:
    /// `fragment` 0 starts the transaction; more go on with it in a new packet.
    void begin(const model::TransactionHead& head, uint32_t fragment);
    void change(const model::Change& change);
    /// The transaction is complete; `head.end` is known now.
    void commit(const model::TransactionHead& head);

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

/// Reads the body of a Rows packet record by record; views point into the body. Foreign bytes are
/// checked as they are read.
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

    using Record = std::variant<Begin, model::Change, Commit>;

    /// Empty at the end. Errors: packet.malformed.
    Result<std::optional<Record>> next();

private:
    Result<model::Change> read_change(model::Op op);
    Result<model::Change> read_truncate();
    bool read_table(model::SchemaId& schema);

    ByteReader in_;
    std::vector<model::SchemaId> tables_;
    std::optional<model::TransactionHead> open_;
};

}  // namespace qiao::packet
