#include "qiao/verify/verifier.h"

#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"
#include "qiao/verify/internal/ask_both.h"
#include "qiao/verify/internal/describe.h"
#include "qiao/verify/internal/field_check.h"

#include <algorithm>
#include <iterator>

namespace qiao::verify {
namespace {

double seconds_since(const Clock& clock, MonoTime start) {
    return std::chrono::duration<double>(clock.now() - start).count();
}

bool counts_as_difference(const ColumnFinding& finding) {
    return finding.kind != ColumnFinding::Kind::TypesDiffer;
}

Doubt doubt_of(const Error& error) {
    return error.is(ErrorCode::DeadlinePassed) ? Doubt::NotApplied : Doubt::Failed;
}

/// What was confirmed counts, whatever happened afterwards; without anything, doubts come first.
void conclude(TableReport& report, Status status) {
    if (!status) {
        report.doubt = doubt_of(status.error());
        report.error = std::move(status).error();
    } else if (report.unsettled != 0) {
        report.doubt = Doubt::Moving;
    } else if (report.unexamined != 0) {
        report.doubt = Doubt::TooMany;
    }
    const bool different =
        report.confirmed != 0 || std::ranges::any_of(report.findings, counts_as_difference);
    report.verdict = different                     ? Verdict::Different
                     : report.doubt == Doubt::None ? Verdict::Equal
                                                   : Verdict::CouldNotTell;
}

}  // namespace

Task<TableOutcome> Verifier::verify(TablePair pair, StopSignal& stop) {
    const auto start = parts_.clock.now();
    TableOutcome outcome;
    auto& report = outcome.report;
    report.source = pair.source;
    report.target = pair.target;
    report.level = options_.level;
    report.part = pair.part;
    if (report.part.share != 0 && !report.part.seed) {
        report.part.seed = static_cast<uint32_t>(parts_.rng.number());
    }
    auto status = co_await compare(std::move(pair), outcome, stop);
    conclude(report, std::move(status));
    report.seconds = seconds_since(parts_.clock, start);
    co_return outcome;
}

Task<Verifier::Outcome> Verifier::verify_all(std::vector<TablePair> pairs, StopSignal& stop) {
    const auto start = parts_.clock.now();
    Outcome all;
    all.report.level = options_.level;
    all.report.started = parts_.clock.wall_now();
    for (auto& pair : pairs) {
        auto outcome = co_await verify(std::move(pair), stop);
        all.report.tables.push_back(std::move(outcome.report));
        all.repairs.push_back(std::move(outcome.repair));
        if (stop.requested()) {
            break;
        }
    }
    all.report.seconds = seconds_since(parts_.clock, start);
    co_return all;
}

Task<Status> Verifier::count_rows(const Plan& plan, TableReport& report, StopSignal& stop) {
    const CountRequest source{plan.source.table, plan.source.part};
    const CountRequest target{plan.target.table, plan.target.part};
    Backoff pauses(options_.first_pause, options_.most_pause);
    uint64_t last_source = 0;
    uint64_t last_target = 0;
    uint32_t agreeing = 0;
    for (uint32_t round = 0; round < options_.rounds; ++round) {
        if (round != 0) {
            const auto pause = pauses.next(parts_.rng);
            QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, pause, stop));
        }
        QIAO_CO_TRY(const auto before, co_await parts_.source.count(source, stop));
        QIAO_CO_CHECK(co_await internal::catch_up(parts_, options_, stop));
        QIAO_CO_TRY(const auto there, co_await parts_.target.count(target, stop));
        QIAO_CO_TRY(const auto after, co_await parts_.source.count(source, stop));
        report.source_position = after.position;
        report.source_rows = after.rows;
        report.target_rows = there.rows;
        const bool rested = before.rows == after.rows;
        if (rested && there.rows == after.rows) {
            report.unsettled = 0;
            co_return Status{};
        }
        // A count that rests at another number, time after time, differs; see Recheck.
        const bool same = last_source == after.rows && last_target == there.rows;
        agreeing = !rested ? 0 : same ? agreeing + 1 : 1;
        last_source = after.rows;
        last_target = there.rows;
        if (agreeing >= options_.confirmation) {
            report.unsettled = 0;
            report.confirmed = 1;
            co_return Status{};
        }
        report.unsettled = 1;
    }
    co_return Status{};
}

/// Rows of the sample have the same key, or without one the same text, at both ends.
Task<Status> Verifier::settle_part(TableOutcome& outcome, StopSignal& stop) {
    auto& plan = outcome.repair.plan;
    auto& part = outcome.report.part;
    if (part.share != 0) {
        auto& sample = plan.source.part.sample.emplace();
        sample.share = part.share;
        sample.seed = part.seed.value_or(0);
        const auto& columns = plan.source.columns;
        if (plan.source.keyless()) {
            std::ranges::transform(
                columns, std::back_inserter(sample.columns), &drivers::CanonicalColumn::name
            );
        }
        for (const auto place : plan.source.key) {
            sample.columns.push_back(columns[place].name);
        }
    }
    if (part.range) {
        SettleRequest request{plan.source.table, *part.range};
        QIAO_CO_TRY(auto range, co_await parts_.source.settle(std::move(request), stop));
        part.range = drivers::RangeWanted{range, std::nullopt};
        plan.source.part.range = std::move(range);
    }
    plan.target.part = plan.source.part;
    co_return Status{};
}

/// Leaves the columns empty where there are none at all, and their number of rows is all there is.
Task<Status> Verifier::make_plan(TablePair pair, TableOutcome& outcome, StopSignal& stop) {
    const std::pair<Side&, Side&> sides(parts_.source, parts_.target);
    std::pair names(pair.source, pair.target);
    auto& plan = outcome.repair.plan;
    QIAO_CO_TRY(
        const auto shapes,
        co_await internal::ask_both(parts_.executor, sides, &Side::describe, std::move(names), stop)
    );
    const bool no_columns =
        shapes.first.schema.columns.empty() && shapes.second.schema.columns.empty();
    if (!no_columns) {
        MatchOptions match;
        match.skip_generated = options_.skip_generated;
        match.run_key = parts_.rng.make_id<RunKey>();
        QIAO_CO_TRY(plan, match_columns(pair, shapes.first, shapes.second, match));
    }
    plan.source.table = pair.source;
    plan.target.table = pair.target;
    co_return co_await settle_part(outcome, stop);
}

Task<Status> Verifier::compare(TablePair pair, TableOutcome& outcome, StopSignal& stop) {
    auto& plan = outcome.repair.plan;
    auto asking = parts_.flow.position ? parts_.flow.position(stop) : parts_.source.position(stop);
    QIAO_CO_TRY(outcome.report.as_of, co_await std::move(asking));
    if (options_.level == Level::Table && pair.part.whole()) {
        plan.source.table = std::move(pair.source);
        plan.target.table = std::move(pair.target);
        co_return co_await count_rows(plan, outcome.report, stop);
    }
    QIAO_CO_CHECK(co_await make_plan(std::move(pair), outcome, stop));
    if (options_.level == Level::Table || plan.source.columns.empty()) {
        co_return co_await count_rows(plan, outcome.report, stop);
    }
    co_return co_await compare_fields(outcome, stop);
}

Task<Status> Verifier::compare_fields(TableOutcome& outcome, StopSignal& stop) {
    auto& report = outcome.report;
    report.findings = outcome.repair.plan.findings;
    report.columns = outcome.repair.plan.source.columns.size();
    report.keyless = outcome.repair.plan.source.keyless();

    internal::FieldCheck check(parts_, options_, outcome.repair.plan, report);
    auto status = co_await check.run(stop);
    auto confirmed = check.take_confirmed();
    outcome.repair.complete = status && report.unexamined == 0 && report.unsettled == 0 &&
                              confirmed.size() == report.confirmed &&
                              confirmed.size() <= options_.repair_rows_max;
    internal::describe_differences(confirmed, outcome.repair.plan, options_, report);
    for (auto& one : confirmed) {
        outcome.repair.rows.push_back(
            {one.digest, std::move(one.key), one.source.rows.count, one.target.rows.count}
        );
    }
    co_return status;
}

}  // namespace qiao::verify
