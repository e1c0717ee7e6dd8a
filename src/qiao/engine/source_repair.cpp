// SourceFlow::repair(): rows read anew and sent at their place in the stream.

#include "qiao/common/async/sleep.h"
#include "qiao/engine/source_flow.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {
namespace {

/// For the source to come to a standstill, and for a repair to find its place: each as long as a
/// slow heartbeat, at most.
constexpr Duration kHoldMost = std::chrono::seconds(60);
constexpr Duration kPlaceMost = std::chrono::seconds(120);
constexpr Duration kLookEvery = std::chrono::milliseconds(20);

/// Ends a hold in every case.
class Hold {
public:
    explicit Hold(CaptureLine& line) : line_(line) { line_.hold(); }

    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    ~Hold() {
        if (line_.holding()) {
            line_.resume();
        }
    }

private:
    CaptureLine& line_;
};

Task<Result<verify::RepairPlan>> read_while_held(
    CaptureLine& line,
    capture::DataSource& source,
    StreamId stream,
    Clock& clock,
    drivers::TableReader& reader,
    verify::RepairList list,
    StopSignal& stop
) {
    const Hold hold(line);
    QIAO_CO_CHECK(co_await source.beat(stream));
    QIAO_CO_CHECK(co_await line.held({clock.now() + kHoldMost}, stop));
    QIAO_CO_TRY(auto plan, co_await verify::read_repair(reader, std::move(list), {}, stop));
    // The packer would refuse such a row and end the flow with it; a repair must not.
    const auto too_large = [](const Bytes& image) { return image.size() > kChangeBytesMost; };
    if (std::ranges::any_of(plan.images, too_large)) {
        co_return Error(
            ErrorCode::VerifyRepairTooLarge,
            fmt::format("a row of {}", plan.schema.table.to_string())
        );
    }
    if (!plan.position.same_history(line.status().captured.position)) {
        co_return Error(ErrorCode::VerifyNoRepair, plan.schema.table.to_string());
    }
    co_return plan;
}

}  // namespace

Task<Result<SourceFlow::Repaired>> SourceFlow::repair(
    drivers::TableReader& reader, verify::RepairList list, StopSignal& stop
) {
    Repaired done;
    if (!list.complete) {
        co_return Error(ErrorCode::VerifyRepairTooLarge, list.plan.source.table.to_string());
    }
    while (!list.rows.empty()) {
        const auto capture = capture_;
        if (capture == nullptr || status_.phase != SourceFlowStatus::Phase::Following) {
            co_return Error(ErrorCode::EngineNotFollowing, options_.name);
        }
        if (capture->line.holding()) {
            co_return Error(ErrorCode::EngineNotFollowing, "another repair is under way");
        }
        QIAO_CO_TRY(
            auto plan,
            co_await read_while_held(
                capture->line,
                parts_.source,
                options_.stream,
                parts_.clock,
                reader,
                std::move(list),
                stop
            )
        );
        list = std::move(plan.rest);
        done.changes += plan.changes.size();
        done.left_out += plan.left_out;
        done.position = plan.position;
        const auto unplaced = capture->line.repairs_unplaced();
        capture->line.repair(std::move(plan));
        QIAO_CO_CHECK(co_await wait_placed(capture->line, stop));
        if (capture->line.repairs_unplaced() != unplaced) {
            co_return Error(ErrorCode::VerifySourceAtRest, options_.name);
        }
    }
    co_return done;
}

Task<Status> SourceFlow::wait_placed(CaptureLine& line, StopSignal& stop) {
    QIAO_CO_CHECK(co_await parts_.source.beat(options_.stream));
    const Deadline placed{parts_.clock.now() + kPlaceMost};
    while (line.repairing()) {
        if (placed.passed(parts_.clock.now())) {
            co_return Error(ErrorCode::DeadlinePassed, "the source delivers nothing");
        }
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kLookEvery, stop));
    }
    co_return Status{};
}

Task<Result<bool>> SourceFlow::prove(
    model::TableName table, model::SourcePosition position, StopSignal& stop
) {
    const auto capture = capture_;
    if (capture == nullptr || status_.phase != SourceFlowStatus::Phase::Following) {
        co_return Error(ErrorCode::EngineNotFollowing, options_.name);
    }
    QIAO_CO_TRY(const auto target, co_await parts_.target.state());
    const auto unproven = [&table](const drivers::TableState& state) {
        return state.table == table && state.status == drivers::TableStatus::Unproven;
    };
    if (std::ranges::none_of(target.tables, unproven)) {
        co_return false;
    }
    capture->line.prove(std::move(table), std::move(position));
    QIAO_CO_CHECK(co_await wait_placed(capture->line, stop));
    co_return true;
}

}  // namespace qiao::engine
