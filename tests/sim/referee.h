#pragma once

#include "world.h"

#include <string>

namespace qiao::sim {

/// Looks at what the target holds after each of its commits: exactly the source's committed history
/// up to the checkpoint, every change once and in order. Source: rules 2, 17, 20
class Referee {
public:
    explicit Referee(World& world) : world_(world) {}

    /// After every turn. False: something is wrong, failure() says what.
    bool look();

    const std::string& failure() const { return failure_; }

    /// The target's database was put back: its checkpoint may be behind.
    void forget() { position_ = {}; }

    /// Whether the target has everything that is committed.
    bool arrived();

private:
    void check();
    void check_table(size_t number, const drivers::TableState& state);

    void fail(std::string why) { failure_ = failure_.empty() ? std::move(why) : failure_; }

    World& world_;
    uint64_t commits_ = 0;
    model::SourcePosition position_;
    std::string failure_;
};

}  // namespace qiao::sim
