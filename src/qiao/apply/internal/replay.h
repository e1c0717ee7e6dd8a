#pragma once

#include "qiao/apply/internal/writer.h"
#include "qiao/apply/intervention.h"
#include "qiao/common/async/stop.h"

#include <optional>
#include <set>

namespace qiao::apply {

/// Applies what is laid aside of a stream: each row's changes in their order, then, if one of them
/// is refused, their net effect; else as far as they go. Rows of different names do not wait for
/// each other, and are tried again as long as others make way for them. Tables that stand are left
/// out but for the one that is to go on. Each batch is one target
/// transaction under the checkpoint's lock, so that the stream's owner may run meanwhile: a change
/// that comes is before or behind it. Source: rules 20, 21. Spec: R-51
class Replay {
public:
    /// The session is used until run() ends.
    Replay(drivers::TargetSession& session, Clock& clock, ReplayOptions options);

    /// Once. What was committed before an error stays. Errors: apply.no_stream, those of `open`,
    /// drivers.*; common.cancelled between two batches.
    Task<Result<ReplayReport>> run(StopSignal& stop);

private:
    struct Item {
        drivers::ErrorRow row;
        LaidAside opened;
        const BoundTable* table = nullptr;
        std::vector<std::string> keys;
    };

    /// Places in a batch of changes that share names, in order.
    using Chain = std::vector<size_t>;

    enum class Batch : uint8_t { Done, Again, End };

    Task<Status> pass(StopSignal& stop);
    Task<Result<Batch>> batch();
    Task<Result<Batch>> batch_within(const std::string& origin);
    Task<Result<std::vector<Item>>> read(size_t rows_most);
    Task<Status> bind(std::vector<Item>& items);
    Task<Status> leave_out_standing(std::vector<Item>& items);
    std::vector<Chain> chains_of(const std::vector<Item>& items) const;
    bool is_meant(const std::vector<Item>& items, const Chain& chain) const;
    bool is_blocked(const std::vector<Item>& items, const Chain& chain) const;
    Task<Status> replay(const std::vector<Item>& items, const Chain& chain);
    /// As much of the chain as goes; the error of what comes next.
    Task<Result<std::optional<Error>>> replay_front(
        const std::vector<Item>& items, const Chain& chain, size_t& done
    );
    // The result is an error when the transaction is of no use any more.
    Task<Result<std::optional<Error>>> attempt(
        const std::vector<Item>& items, std::span<const size_t> places
    );
    Task<Result<std::optional<Error>>> attempt_net(
        const std::vector<Item>& items, std::span<const size_t> places
    );
    Task<Result<std::optional<Error>>> write(
        std::vector<Work> works, std::vector<Writer::Place> where
    );
    void block(const std::vector<Item>& items, const Chain& chain, size_t from);
    Task<Status> commit();
    Task<Status> let_go_on();

    drivers::TargetSession& session_;
    ReplayOptions options_;
    Catalogue catalogue_;
    ApplierOptions in_order_;
    size_t rows_most_ = 0;  ///< of a batch

    uint64_t after_ = 0;
    bool paused_ = false;  ///< the table is to go on when nothing waits behind `after_`
    std::set<drivers::ErrorKey> blocked_;
    ReplayReport report_;
    uint64_t applied_now_ = 0, kept_now_ = 0;  ///< of the batch under way
};

}  // namespace qiao::apply
