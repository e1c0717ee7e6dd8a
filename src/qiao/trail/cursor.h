#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/trail/trail.h"

#include <memory>
#include <optional>

namespace qiao::trail {

/// One reader's way through one stream: durable records only, in order, each once. The newest come
/// from memory, older ones from disk in blocks. It holds nothing back: that is a consumer's point.
/// After an error the cursor stands where it stood; asking again gives the same answer.
/// Context: the trail's executor; one call at a time; dies before the trail.
/// Spec: R-33. Source: rules 9
class Cursor {
public:
    Cursor(Cursor&&) noexcept;
    Cursor& operator=(Cursor&&) noexcept;
    ~Cursor();

    /// The next record; waits until there is a durable one.
    /// Errors: common.cancelled, trail.gone (retention was faster), trail.damaged (records behind
    /// position() are lost or wrong; skip_damage() goes past them), trail.closed, common.storage_*.
    Task<Result<Record>> next(StopSignal& stop);

    /// The next record if there is one durable now. Errors: as next().
    Task<Result<std::optional<Record>>> try_next();

    /// After trail.damaged: stands before the first readable record behind the damage, and names it
    /// (empty: there is none yet). The caller owns what that loses.
    Task<Result<std::optional<StreamPoint>>> skip_damage();

    /// The point of the last record given out.
    StreamPoint position() const;

private:
    friend class Trail;
    struct State;
    explicit Cursor(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace qiao::trail
