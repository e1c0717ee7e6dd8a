#include "qiao/verify/internal/field_check.h"

#include "qiao/verify/internal/ask_both.h"

#include <algorithm>

namespace qiao::verify::internal {
namespace {

/// Finer sums are worth a scan only if they leave much less to list.
constexpr uint64_t kRowsWorthRefining = 4;

std::vector<uint64_t> ids_of(const auto& unequal) {
    std::vector<uint64_t> ids;
    ids.reserve(unequal.size());
    for (const auto& bucket : unequal) {
        ids.push_back(bucket.id);
    }
    return ids;
}

uint64_t rows_of(const auto& unequal) {
    uint64_t rows = 0;
    for (const auto& bucket : unequal) {
        rows += bucket.rows;
    }
    return rows;
}

/// Walks two ascending lists side by side; an element that is on one side only meets an empty Fold.
template <class Item, class Key, class Visit>
void walk_both(
    const std::vector<Item>& a, const std::vector<Item>& b, Key Item::* key, const Visit& visit
) {
    const Fold none;
    auto left = a.begin();
    auto right = b.begin();
    while (left != a.end() || right != b.end()) {
        const bool take_left = right == b.end() || (left != a.end() && *left.*key <= *right.*key);
        const bool take_right = left == a.end() || (right != b.end() && *right.*key <= *left.*key);
        visit(
            take_left ? *left.*key : *right.*key,
            take_left ? left->rows : none,
            take_right ? right->rows : none
        );
        left += take_left ? 1 : 0;
        right += take_right ? 1 : 0;
    }
}

}  // namespace

Task<Status> FieldCheck::run(StopSignal& stop) {
    QIAO_CO_CHECK(co_await catch_up(parts_, options_, stop));
    QIAO_CO_CHECK(co_await sum(options_.first_bits, 0, stop));
    report_.unequal_buckets = unequal_.size();
    QIAO_CO_CHECK(co_await refine(stop));
    co_return co_await examine(stop);
}

Task<Status> FieldCheck::sum(uint8_t bits, uint8_t within_bits, StopSignal& stop) {
    SumRequest source{plan_.source, bits, within_bits, {0}};
    SumRequest target{plan_.target, bits, within_bits, {0}};
    if (within_bits != 0) {
        source.within = ids_of(unequal_);
        target.within = source.within;
    }
    std::pair requests(std::move(source), std::move(target));
    QIAO_CO_TRY(
        const auto summed,
        co_await ask_both(parts_.executor, sides(), &Side::sum, std::move(requests), stop)
    );
    bits_ = bits;
    unequal_.clear();
    uint64_t filled = 0;
    const auto compare = [&](uint64_t id, const Fold& one, const Fold& other) {
        ++filled;
        if (one != other) {
            unequal_.push_back({id, std::max(one.count, other.count)});
        }
    };
    walk_both(summed.first.buckets, summed.second.buckets, &Bucket::id, compare);
    if (within_bits == 0) {
        report_.source_rows = summed.first.rows;
        report_.target_rows = summed.second.rows;
        report_.source_position = summed.first.position;
        report_.buckets = filled;
    }
    co_return Status{};
}

Task<Status> FieldCheck::refine(StopSignal& stop) {
    while (rows_of(unequal_) > options_.list_rows &&
           rows_of(unequal_) > kRowsWorthRefining * unequal_.size()) {
        uint8_t split = 0;
        while (bits_ + split < kBitsMax && unequal_.size() << (split + 1U) <= kBucketsMax) {
            ++split;
        }
        if (split < 2) {
            break;
        }
        QIAO_CO_CHECK(co_await sum(static_cast<uint8_t>(bits_ + split), bits_, stop));
    }
    co_return Status{};
}

std::deque<FieldCheck::Group> FieldCheck::groups() const {
    std::deque<Group> groups;
    uint64_t rows = 0;
    for (const auto& bucket : unequal_) {
        if (groups.empty() || rows + bucket.rows > options_.list_rows) {
            groups.emplace_back();
            rows = 0;
        }
        groups.back().push_back(bucket);
        rows += bucket.rows;
    }
    return groups;
}

Task<Status> FieldCheck::examine(StopSignal& stop) {
    waiting_ = groups();
    while (!waiting_.empty()) {
        auto group = std::move(waiting_.front());
        waiting_.pop_front();
        if (report_.candidates >= options_.candidates_max) {
            report_.unexamined += group.size();
            continue;
        }
        QIAO_CO_CHECK(co_await examine_group(std::move(group), stop));
    }
    co_return Status{};
}

Task<Status> FieldCheck::examine_group(Group group, StopSignal& stop) {
    const auto rows_max = std::min(2 * options_.list_rows, kListRowsMax);
    const auto ids = ids_of(group);
    std::pair requests(
        ListRequest{plan_.source, bits_, ids, rows_max},
        ListRequest{plan_.target, bits_, ids, rows_max}
    );
    QIAO_CO_TRY(
        const auto listed,
        co_await ask_both(parts_.executor, sides(), &Side::list, std::move(requests), stop)
    );
    if (listed.first.overflow || listed.second.overflow) {
        if (group.size() == 1) {
            ++report_.unexamined;
            co_return Status{};
        }
        const auto middle = group.begin() + static_cast<std::ptrdiff_t>(group.size() / 2);
        waiting_.emplace_back(group.begin(), middle);
        waiting_.emplace_back(middle, group.end());
        co_return Status{};
    }
    std::vector<Candidate> candidates;
    const auto compare = [&](const RowDigest& key, const Fold& one, const Fold& other) {
        if (one != other) {
            Candidate candidate;
            candidate.digest = key;
            candidate.source.rows = one;
            candidate.target.rows = other;
            candidates.push_back(std::move(candidate));
        }
    };
    walk_both(listed.first.entries, listed.second.entries, &Entry::key, compare);
    const auto room = options_.candidates_max - report_.candidates;
    if (candidates.size() > room) {
        candidates.resize(room);
        report_.unexamined += group.size();
    }
    report_.candidates += candidates.size();
    QIAO_CO_TRY(candidates, co_await fetch_keys(std::move(candidates), stop));
    Recheck recheck(parts_, options_, plan_);
    auto status = co_await recheck.run(candidates, stop);
    keep(std::move(candidates));
    co_return status;
}

Task<Result<std::vector<Candidate>>> FieldCheck::fetch_keys(
    std::vector<Candidate> candidates, StopSignal& stop
) {
    if (plan_.source.keyless() || options_.withhold_keys) {
        co_return candidates;
    }
    std::vector<Candidate*> at_source;
    std::vector<Candidate*> at_target;
    for (auto& candidate : candidates) {
        (candidate.source.rows.count != 0 ? at_source : at_target).push_back(&candidate);
    }
    QIAO_CO_CHECK(co_await fetch_keys(parts_.source, std::move(at_source), stop));
    QIAO_CO_CHECK(co_await fetch_keys(parts_.target, std::move(at_target), stop));
    // Rows whose keys a side did not keep are looked for by reading the table, all together.
    std::ranges::partition(candidates, [](const auto& one) { return !one.key.empty(); });
    co_return candidates;
}

Task<Status> FieldCheck::fetch_keys(Side& side, std::vector<Candidate*> rows, StopSignal& stop) {
    for (size_t begin = 0; begin < rows.size(); begin += kLookRowsMax) {
        const auto end = std::min(rows.size(), begin + kLookRowsMax);
        std::vector<RowDigest> digests;
        for (size_t i = begin; i < end; ++i) {
            digests.push_back(rows[i]->digest);
        }
        QIAO_CO_TRY(auto keys, co_await side.keys(std::move(digests), stop));
        for (size_t i = begin; i < end; ++i) {
            rows[i]->key = std::move(keys[i - begin]);
        }
    }
    co_return Status{};
}

void FieldCheck::keep(std::vector<Candidate> candidates) {
    const auto most = std::max(options_.differences_shown, options_.repair_rows_max);
    for (auto& candidate : candidates) {
        switch (candidate.state) {
            case Candidate::State::Open:
                ++report_.unsettled;
                break;
            case Candidate::State::Settled:
                ++report_.settled;
                break;
            case Candidate::State::Confirmed:
                ++report_.confirmed;
                if (confirmed_.size() >= options_.differences_shown) {
                    candidate.source.columns = {};
                    candidate.target.columns = {};
                }
                if (confirmed_.size() < most) {
                    confirmed_.push_back(std::move(candidate));
                }
                break;
        }
    }
}

}  // namespace qiao::verify::internal
