#include "qiao/apply/internal/slices.h"

#include <algorithm>

namespace qiao::apply {

std::span<const Step> Slices::steps() {
    while (steps_.empty() && !works_.empty()) {
        const auto count = std::min(kWorks, works_.size());
        auto& plan = plans_.emplace_back(options_);
        for (const auto& work : works_.first(count)) {
            plan.add(work);
        }
        works_ = works_.subspan(count);
        steps_ = plan.finish();
    }
    return steps_;
}

}  // namespace qiao::apply
