#pragma once

#include "qiao/apply/internal/plan.h"

#include <deque>
#include <span>

namespace qiao::apply {

/// The steps of many works, planned a slice at a time: the target is busy with the first ones while
/// the next are planned. Steps stay where they are.
class Slices {
public:
    /// The works outlive it.
    Slices(std::span<const Work> works, Plan::Options options) : works_(works), options_(options) {}

    /// The steps at hand; plans the next slice when there are none. Empty at the end.
    std::span<const Step> steps();

    /// Passes over the first of them.
    void pass(size_t count) { steps_ = steps_.subspan(count); }

private:
    /// Enough for sets, little enough to be planned in a moment.
    static constexpr size_t kWorks = 1'000;

    std::span<const Work> works_;  ///< not planned yet
    Plan::Options options_;
    std::deque<Plan> plans_;
    std::span<const Step> steps_;
};

}  // namespace qiao::apply
