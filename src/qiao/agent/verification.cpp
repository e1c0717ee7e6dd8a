#include "qiao/agent/verification.h"

#include "qiao/agent/verify_part.h"
#include "qiao/common/async/sleep.h"
#include "qiao/verify/remote_side.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace qiao::agent {
namespace {

using Json = nlohmann::ordered_json;

/// A call takes as long as the far end's scan of a table; a link that is cut ends it at once.
constexpr Duration kCallMost = std::chrono::hours(24);
constexpr Duration kCutMost = std::chrono::seconds(60);
/// For a flow to connect, make a slot and follow.
constexpr Duration kReopenMost = std::chrono::minutes(5);
/// Of a switchover, for what the target has not applied yet.
constexpr Duration kSettleMost = std::chrono::hours(1);
constexpr Duration kCutPause = std::chrono::milliseconds(500);
constexpr size_t kKept = 16;

const char* name(ComparisonProgress::Phase phase) {
    switch (phase) {
        case ComparisonProgress::Phase::Starting:
            return "starting";
        case ComparisonProgress::Phase::Comparing:
            return "comparing";
        case ComparisonProgress::Phase::Repairing:
            return "repairing";
        case ComparisonProgress::Phase::Done:
            break;
    }
    return "done";
}

bool names_one_table(const std::vector<std::string>& patterns) {
    return patterns.size() == 1 && patterns.front().find('*') == std::string::npos;
}

}  // namespace

Result<VerifyRequest> VerifyRequest::parse(std::string_view json) {
    const auto object = Json::parse(json, nullptr, false);
    if (object.is_discarded() || !object.is_object()) {
        return Error(ErrorCode::Config, "verify wants one JSON object");
    }
    VerifyRequest request;
    try {
        request.flow = object.value("flow", "");
        request.tables = object.value("tables", std::vector<std::string>());
        const auto level = object.value("level", "field");
        if (level != "field" && level != "table") {
            return Error(ErrorCode::Config, "level: field or table");
        }
        auto& options = request.options;
        options.verify.level = level == "table" ? verify::Level::Table : verify::Level::Field;
        options.verify.withhold_keys = object.value("withhold_keys", false);
        options.verify.skip_generated = object.value("skip_generated", false);
        options.rows_per_second = object.value("rows_per_second", uint64_t{0});
        options.repair = object.value("repair", false);
        request.reopen = object.value("reopen", false);
        request.switchover = object.value("switchover", false);
        if (object.contains("part") && !object["part"].is_null()) {
            QIAO_TRY(options.part, parse_part(object["part"]));
        }
    } catch (const Json::exception&) {
        return Error(ErrorCode::Config, "a value of another type");
    }
    std::erase(request.tables, "*");
    const bool in_part = !request.tables.empty() || !request.options.part.whole() ||
                         request.options.verify.level != verify::Level::Field;
    if (request.switchover && in_part) {
        return Error(ErrorCode::Config, "a switchover compares all of a flow");
    }
    const auto& range = request.options.part.range;
    if (range && !range->within && !names_one_table(request.tables)) {
        return Error(ErrorCode::Config, "a range is of one table, which is named");
    }
    return request;
}

Verification::Verification(Parts parts, VerifyRequest request, std::string id)
    : parts_(parts), request_(std::move(request)), id_(std::move(id)) {}

Verification::~Verification() = default;

ComparisonProgress Verification::progress() const {
    return comparison_ ? comparison_->progress() : ComparisonProgress{};
}

/// Calls may be repeated, so a link that is cut for a moment ends no comparison.
Task<Result<Bytes>> Verification::ask(std::string method, Bytes request, StopSignal& stop) {
    auto& target = parts_.line.remote_target();
    const Deadline deadline{parts_.clock.now() + kCutMost};
    while (true) {
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        auto answer = co_await target.call(method, request, kCallMost);
        const bool cut = !answer && (answer.error().is(ErrorCode::NetworkUnreachable) ||
                                     answer.error().is(ErrorCode::NetworkClosed) ||
                                     answer.error().is(ErrorCode::LinkBusy));
        if (!cut || deadline.passed(parts_.clock.now())) {
            co_return answer;
        }
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kCutPause, stop));
    }
}

/// The tables of the flow that are meant, under their names at both ends.
Task<Result<std::vector<verify::TablePair>>> Verification::pairs() {
    const auto& config = parts_.line.config();
    const auto* flow = parts_.line.flow();
    if (flow == nullptr || flow->status().phase != engine::SourceFlowStatus::Phase::Following) {
        co_return Error(ErrorCode::EngineNotFollowing, config.name);
    }
    QIAO_CO_TRY(const auto source, parts_.databases.source(config, stop_));
    QIAO_CO_TRY(const auto carried, co_await source->choose(config.tables));
    auto wanted = carried;
    if (!request_.tables.empty()) {
        QIAO_CO_TRY(wanted, co_await source->choose(request_.tables));
    }
    std::vector<verify::TablePair> pairs;
    for (const auto& table : wanted.tables) {
        if (std::ranges::find(carried.tables, table) != carried.tables.end()) {
            pairs.push_back({table, config.names.target_of(table), {}});
        }
    }
    if (pairs.empty()) {
        co_return Error(ErrorCode::DbNoTable, "none of the flow's tables is meant");
    }
    co_return pairs;
}

/// A flow that stopped because its source or target went back begins anew, and is compared then.
Task<Status> Verification::reopen() {
    parts_.line.reopen();
    const Deadline deadline{parts_.clock.now() + kReopenMost};
    const auto following = [this] {
        const auto* flow = parts_.line.flow();
        return flow != nullptr &&
               flow->status().phase == engine::SourceFlowStatus::Phase::Following;
    };
    while (!following()) {
        if (deadline.passed(parts_.clock.now())) {
            const auto* flow = parts_.line.flow();
            const auto cause = flow == nullptr ? std::nullopt : flow->status().last_error;
            co_return cause.value_or(Error(ErrorCode::EngineNotFollowing, parts_.line.config().name)
            );
        }
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kCutPause, stop_));
    }
    co_return Status{};
}

Task<Result<ComparisonReport>> Verification::compare() {
    if (request_.reopen) {
        QIAO_CO_CHECK(co_await reopen());
    }
    QIAO_CO_TRY(auto tables, co_await pairs());
    QIAO_CO_TRY(const auto reader, co_await parts_.databases.reader(parts_.line.config(), stop_));
    const auto& options = request_.options;
    verify::LocalSide source({parts_.executor, parts_.clock, *reader}, options.rows_per_second);
    verify::RemoteSide target([this](std::string method, Bytes request, StopSignal& stop) {
        return ask(std::move(method), std::move(request), stop);
    });
    verify::Flow flow;
    flow.wait_applied = [this](model::SourcePosition at, Deadline deadline, StopSignal& stop) {
        return parts_.line.wait_applied(std::move(at), deadline, stop);
    };
    if (parts_.line.config().timed) {
        flow.position = [this](StopSignal& stop) { return parts_.line.position(stop); };
    }
    const auto repair = [this, &reader](verify::RepairList list, StopSignal& stop) {
        return parts_.line.repair(*reader, std::move(list), stop);
    };
    const auto prove = [this](
                           model::TableName table, model::SourcePosition position, StopSignal& stop
                       ) { return parts_.line.prove(std::move(table), std::move(position), stop); };
    comparison_ = std::make_unique<Comparison>(
        Comparison::Parts{
            parts_.executor,
            parts_.clock,
            parts_.rng,
            source,
            target,
            std::move(flow),
            repair,
            prove
        },
        options
    );
    auto report = co_await comparison_->run(std::move(tables), stop_);
    comparison_.reset();
    co_return report;
}

/// Remembers how far the target has come. A link that is cut for a moment ends nothing.
Task<Status> Verification::settle() {
    const Deadline cut{parts_.clock.now() + kCutMost};
    while (true) {
        auto settled =
            co_await parts_.line.settle(Deadline{parts_.clock.now() + kSettleMost}, stop_);
        if (settled) {
            if (!settled->sequences.failed.empty()) {
                const auto& failed = settled->sequences.failed.front();
                co_return Error(ErrorCode::DbStatement, failed.object + ": " + failed.error);
            }
            settled_ = *std::move(settled);
            co_return Status{};
        }
        const auto& error = settled.error();
        const bool brief = error.transient() || error.is(ErrorCode::Cancelled);
        if (!brief || stop_.requested() || cut.passed(parts_.clock.now())) {
            co_return settled.error();
        }
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kCutPause, stop_));
    }
}

/// Once more; nothing may have come since.
Task<Status> Verification::settle_at_rest() {
    const auto before = *settled_;
    QIAO_CO_CHECK(co_await settle());
    if (settled_->life != before.life) {
        co_return Error(ErrorCode::EngineNotFollowing, "it was started again meanwhile");
    }
    if (settled_->changes != before.changes) {
        co_return Error(
            ErrorCode::CliStillWritten,
            fmt::format("{} changes since it had caught up", settled_->changes - before.changes)
        );
    }
    if (settled_->open != 0) {
        co_return Error(ErrorCode::CliStillWritten, "a large transaction is under way");
    }
    co_return Status{};
}

Task<Result<ComparisonReport>> Verification::switch_over() {
    if (parts_.line.config().timed) {
        co_return Error(
            ErrorCode::Config, "by timestamp a flow cannot tell that it has everything"
        );
    }
    QIAO_CO_CHECK(co_await settle());
    QIAO_CO_CHECK(co_await settle_at_rest());  // differences would only be what is late
    QIAO_CO_TRY(auto report, co_await compare());
    QIAO_CO_CHECK(co_await settle_at_rest());
    co_return report;
}

Task<void> Verification::run(StopSignal& stop) {
    const auto forward = [this] { stop_.request(); };
    const StopSignal::Hook hook(stop, forward);
    auto outcome = request_.switchover ? co_await switch_over() : co_await compare();
    comparison_.reset();
    outcome_.emplace(std::move(outcome));
    ended_at_ = parts_.clock.wall_now();
}

Result<std::string> Verifications::start(SourceLine& line, VerifyRequest request) {
    const auto busy = [&request](const auto& one) {
        return !one->done() && one->request().flow == request.flow;
    };
    if (std::ranges::any_of(all_, busy)) {
        return Error(ErrorCode::VerifyBusy, request.flow);
    }
    const auto ended = [](const auto& one) { return one->done(); };
    while (all_.size() >= kKept) {
        const auto oldest = std::ranges::find_if(all_, ended);
        if (oldest == all_.end()) {
            return Error(ErrorCode::VerifyBusy, "too many at a time");
        }
        all_.erase(oldest);
    }
    auto& part = request.options.part;
    if (part.share != 0 && !part.seed) {
        part.seed = static_cast<uint32_t>(parts_.rng.number());
    }
    all_.push_back(std::make_unique<Verification>(
        Verification::Parts{parts_.executor, parts_.clock, parts_.rng, parts_.databases, line},
        std::move(request),
        fmt::format("{:016x}", parts_.rng.number())
    ));
    scope_.spawn(run(*all_.back()));
    return all_.back()->id();
}

Verification* Verifications::find(std::string_view id) {
    const auto found = std::ranges::find(all_, id, [](const auto& one) { return one->id(); });
    return found == all_.end() ? nullptr : found->get();
}

const Verification* Verifications::newest(std::string_view flow) const {
    const auto found = std::ranges::find(all_.rbegin(), all_.rend(), flow, [](const auto& one) {
        return std::string_view(one->request().flow);
    });
    return found == all_.rend() ? nullptr : found->get();
}

void Verifications::keep_calendar(const std::vector<std::unique_ptr<SourceLine>>& lines) {
    for (const auto& line : lines) {
        const auto& schedule = line->config().verify;
        const auto& flow = line->config().name;
        const auto now = parts_.clock.wall_now();
        if (!schedule || !line->following() || !calendars_[flow].due(*schedule, now)) {
            continue;
        }
        VerifyRequest request;
        request.flow = flow;
        request.options.repair = schedule->repair;
        request.options.rows_per_second = schedule->rows_per_second;
        request.options.part = schedule->part;
        (void)start(*line, std::move(request));
    }
}

Task<void> Verifications::close() {
    scope_.request_stop();
    co_await scope_.join();
}

Task<void> Verifications::run(Verification& verification) {
    co_await verification.run(scope_.stop());
    note(verification);
    // A disk that takes no report takes no packets either, and that is told elsewhere.
    (void)co_await keep(verification);
    co_await parts_.different.save(scope_.stop());
}

Task<Status> Verifications::open() {
    QIAO_CO_CHECK(co_await parts_.different.open());
    scope_.spawn(parts_.different.save(scope_.stop()));
    co_return Status{};
}

void Verifications::note(const Verification& verification) {
    if (verification.outcome()) {
        const auto& request = verification.request();
        const bool all_tables = request.tables.empty() && !verification.cancelled();
        parts_.different.note(request.flow, verification.outcome()->report, all_tables);
    }
}

std::vector<model::TableName> Verifications::different(const std::string& flow) const {
    return parts_.different.tables(flow);
}

Task<Status> Verifications::keep(const Verification& verification) {
    if (!verification.outcome()) {
        co_return Status{};
    }
    QIAO_CO_CHECK(co_await parts_.storage.make_folder(parts_.folder));
    const auto path = fmt::format(
        "{}/verify-{}-{}.json",
        parts_.folder,
        verification.request().flow,
        parts_.clock.wall_now().to_string()
    );
    const auto text = to_json(*verification.outcome());
    co_return co_await write_file_atomically(parts_.storage, path, to_bytes(as_bytes(text)));
}

std::string to_json(const Verification& verification) {
    Json answer;
    answer["run"] = verification.id();
    answer["done"] = verification.done();
    if (const auto& settled = verification.settled()) {
        answer["settled"] = {
            {"at", settled->at.to_string()}, {"sequences", settled->sequences.made.size()}
        };
    }
    if (!verification.done()) {
        const auto progress = verification.progress();
        answer["progress"] = {
            {"phase", name(progress.phase)},
            {"tables", progress.tables},
            {"tables_done", progress.tables_done},
            {"table", progress.table},
            {"rows_read", progress.rows_read}
        };
    } else if (const auto& outcome = verification.outcome()) {
        answer["exit_code"] = outcome->report.exit_code();
        answer["report"] = Json::parse(to_json(*outcome));
        answer["text_en"] = render(*outcome, Language::English);
        answer["text_zh"] = render(*outcome, Language::Chinese);
    } else {
        const auto& error = outcome.error();
        answer["error"] = {{"code", error.info().name}, {"detail", error.detail()}};
    }
    return answer.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace qiao::agent
