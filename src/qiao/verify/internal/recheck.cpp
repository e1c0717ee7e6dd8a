#include "qiao/verify/internal/recheck.h"

#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"

namespace qiao::verify::internal {
namespace {

/// Of a look's keys, so that a request fits into one call of a link.
constexpr size_t kKeyBytesOfLook = size_t{256} << 10U;
/// A row that is pinned is confirmed by two looks, another one by four.
constexpr double kPinned = 1.5;
constexpr double kUnpinned = 0.75;

std::vector<Candidate*> still_open(std::vector<Candidate>& candidates) {
    std::vector<Candidate*> open;
    for (auto& candidate : candidates) {
        if (candidate.state == Candidate::State::Open) {
            open.push_back(&candidate);
        }
    }
    return open;
}

}  // namespace

Task<Status> catch_up(Verifier::Parts& parts, const VerifyOptions& options, StopSignal& stop) {
    QIAO_CO_TRY(auto position, co_await parts.source.position(stop));
    if (parts.flow.wait_applied) {
        const Deadline deadline{parts.clock.now() + options.wait_limit};
        QIAO_CO_CHECK(co_await parts.flow.wait_applied(position, deadline, stop));
    }
    co_return Status{};
}

Task<Status> Recheck::run(std::vector<Candidate>& candidates, StopSignal& stop) {
    Backoff pauses(options_.first_pause, options_.most_pause);
    for (uint32_t round = 0; round < options_.rounds; ++round) {
        auto open = still_open(candidates);
        if (open.empty()) {
            break;
        }
        if (round != 0) {
            const auto pause = pauses.next(parts_.rng);
            QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, pause, stop));
        }
        for (size_t begin = 0; begin < open.size();) {
            const auto end = page_end(open, begin);
            QIAO_CO_CHECK(co_await look(Page(open).subspan(begin, end - begin), stop));
            begin = end;
        }
    }
    co_return Status{};
}

size_t Recheck::page_end(const std::vector<Candidate*>& open, size_t begin) const {
    const bool by_key = !open[begin]->key.empty();
    const auto most = begin + (by_key ? options_.look_rows : options_.scan_look_rows);
    size_t end = begin;
    size_t bytes = 0;
    // Rows with and without a key are not mixed: one without makes the whole look a scan.
    while (end < open.size() && end < most && bytes < kKeyBytesOfLook &&
           open[end]->key.empty() != by_key) {
        bytes += open[end]->key.size();
        ++end;
    }
    return end;
}

Task<Result<std::vector<Seen>>> Recheck::read(
    Side& side, const TableSpec& spec, Page page, StopSignal& stop
) {
    LookRequest request;
    request.spec = spec;
    // A row that lies in the range at one end only is there at the other one, too.
    request.spec.part.range.reset();
    for (const auto* candidate : page) {
        request.rows.push_back({candidate->digest, candidate->key});
    }
    QIAO_CO_TRY(auto looked, co_await side.look(std::move(request), stop));
    co_return std::move(looked.rows);
}

Task<Status> Recheck::look(Page page, StopSignal& stop) {
    QIAO_CO_TRY(const auto before, co_await parts_.source.position(stop));
    QIAO_CO_TRY(auto first, co_await read(parts_.source, plan_.source, page, stop));
    QIAO_CO_CHECK(co_await catch_up(parts_, options_, stop));
    QIAO_CO_TRY(auto target, co_await read(parts_.target, plan_.target, page, stop));
    QIAO_CO_TRY(auto second, co_await read(parts_.source, plan_.source, page, stop));
    QIAO_CO_TRY(const auto after, co_await parts_.source.position(stop));
    const bool quiet = !before.empty() && before == after;
    for (size_t i = 0; i < page.size(); ++i) {
        judge(*page[i], {std::move(first[i]), std::move(target[i]), std::move(second[i]), quiet});
    }
    co_return Status{};
}

double Recheck::weigh(const Candidate& last, const Readings& now) {
    if (now.source_first.rows != now.source.rows) {
        return 0;
    }
    const bool versions = now.source.version != 0 || now.target.version != 0;
    if (now.quiet || !versions) {
        return now.quiet ? kPinned : kUnpinned;
    }
    if (now.source.version != 0) {
        return now.source_first.version == now.source.version ? kPinned : 0;
    }
    return last.target.version == now.target.version ? kPinned : kUnpinned;
}

void Recheck::judge(Candidate& candidate, Readings now) const {
    const bool same =
        candidate.source.rows == now.source.rows && candidate.target.rows == now.target.rows;
    const bool same_copy = candidate.target.version == now.target.version;
    const auto weight = weigh(candidate, now);
    const bool gone_at_source = now.source.rows.count == 0;
    candidate.source = std::move(now.source);
    candidate.target = std::move(now.target);
    if (candidate.source.rows == candidate.target.rows) {
        candidate.state = Candidate::State::Settled;
        return;
    }
    // A row that came anew at the target while the source has none: it goes to and fro.
    const bool goes_on = same && weight != 0 && (!gone_at_source || same_copy);
    candidate.agreement = (goes_on ? candidate.agreement : 0) + weight;
    if (candidate.agreement >= options_.confirmation) {
        candidate.state = Candidate::State::Confirmed;
    }
}

}  // namespace qiao::verify::internal
