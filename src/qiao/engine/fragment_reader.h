#pragma once

#include "qiao/apply/input.h"
#include "qiao/packet/rows.h"

#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace qiao::engine {

/// Reads the bodies of one stream's Rows or Provisional packets, one after the other, and puts
/// changes that came in pieces together again. Of a transaction that it has not read from its begin
/// (one that was applied before, whose end lies in the packet where a restart goes on) it drops the
/// pieces, which cannot become whole; apply refuses the rest if it was not applied. Source: rules 4
class FragmentReader {
public:
    struct Begin {
        model::TransactionHead head;
        uint32_t fragment = 0;
    };

    struct Commit {
        model::TransactionHead head;
    };

    using Record = std::variant<Begin, model::Change, packet::Ahead, Commit>;

    /// The next packet's body.
    void open(Bytes body);

    /// Empty at the end of the body. Errors: packet.malformed.
    Result<std::optional<Record>> next();

    /// Holds what the changes of this body point into.
    std::shared_ptr<const void> keep() const { return kept_; }

    /// Memory that keep() holds.
    size_t bytes() const { return bytes_; }

private:
    struct Kept {
        Bytes body;
        std::vector<Bytes> large;
    };

    Result<std::optional<model::Change>> add(const packet::PieceOfChange& piece);

    std::shared_ptr<Kept> kept_;
    size_t bytes_ = 0;
    std::optional<packet::RowsReader> reader_;
    bool from_begin_ = false;  ///< the transaction under way was read from its begin
    Bytes pieces_;             ///< of the change that is not whole yet
};

}  // namespace qiao::engine
