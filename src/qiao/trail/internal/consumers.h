#pragma once

#include "qiao/trail/internal/format.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qiao::trail::internal {

/// Who still needs what. Pure state: Trail writes it to disk and acts on it.
/// Invariants: a point never goes back; an entry without consumers means that all were revoked;
/// no entry means that nobody asked yet, and then everything is kept.
class Consumers {
public:
    Consumers() = default;

    explicit Consumers(ConsumerTable table) : table_(std::move(table)) {}

    /// Errors: trail.consumer_went_back.
    Status enlist(StreamId stream, const std::string& name, StreamPoint released);
    /// Errors: trail.consumer_went_back, trail.unknown_consumer, trail.cut_off.
    Status release(StreamId stream, const std::string& name, StreamPoint released);
    /// Errors: trail.unknown_consumer.
    Status revoke(StreamId stream, const std::string& name);
    const Consumer* find(StreamId stream, const std::string& name) const;

    /// The point up to which nobody needs the stream; empty: nothing was released.
    /// A stream whose consumers were all revoked gives kEverything.
    std::optional<StreamPoint> released_by_all(StreamId stream) const;
    static constexpr StreamPoint kEverything{{UINT64_MAX}, {UINT64_MAX}};

    /// True when cutting off slow ones could release the stream up to `point`: at least one active
    /// consumer has it already. Source: rules 10
    bool can_cut_off(StreamId stream, StreamPoint point) const;
    /// Cuts off those that have not released `point`; gives their names.
    std::vector<std::string> cut_off(StreamId stream, StreamPoint point);

    const ConsumerTable& table() const { return table_; }

    /// Grows with every change: what has been written is compared with it.
    uint64_t version() const { return version_; }

private:
    Consumer* place(StreamId stream, const std::string& name);

    ConsumerTable table_;
    uint64_t version_ = 0;
};

}  // namespace qiao::trail::internal
