#include "qiao/engine/source_flow.h"

#include "qiao/common/async/sleep.h"
#include "qiao/trail/cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace qiao::engine {
namespace {

/// How often the target is asked whether a carried load has come in.
constexpr Duration kAskForLoadEvery = std::chrono::seconds(2);

using StatesByTable = std::map<model::TableName, const drivers::TableState*>;

StatesByTable by_table(const TargetState& target) {
    StatesByTable states;
    for (const auto& state : target.tables) {
        states.emplace(state.table, &state);
    }
    return states;
}

const drivers::TableState* find_state(const StatesByTable& states, const model::TableName& table) {
    const auto found = states.find(table);
    return found == states.end() ? nullptr : found->second;
}

/// How often the target is asked whether somebody wants a table to be loaded anew.
constexpr Duration kAskForResyncEvery = std::chrono::seconds(2);

/// A table that was left out of step is begun again.
bool is_loaded(const drivers::TableState* state) {
    using drivers::TableStatus;
    return state != nullptr &&
           (state->status == TableStatus::Live || state->status == TableStatus::Unproven ||
            state->status == TableStatus::Paused);
}

uint32_t next_generation(const TargetState& target) {
    uint32_t highest = 0;
    for (const auto& state : target.tables) {
        highest = std::max(highest, state.generation);
    }
    return highest + 1;
}

/// Before everything that a stream without a packet still has to bring: its loaded tables hold what
/// lies before. A source that cannot deliver from there (its slot was dropped and made again) says
/// so instead of leaving a gap. Source: rules 1
model::SourcePosition joined_after(const TargetState& target) {
    model::SourcePosition least;
    for (const auto& state : target.tables) {
        const bool counts = is_loaded(&state) && state.joined_at.kind == model::PositionKind::Lsn;
        if (counts && (least.empty() || model::compare(state.joined_at, least) < 0)) {
            least = state.joined_at;
        }
    }
    return least.empty() ? least : least.predecessor();
}

Error went_back_to(StreamPoint target, StreamPoint removed) {
    return {
        ErrorCode::EngineCustodyWentBack,
        fmt::format(
            "the target holds epoch {} sequence {}, but everything up to epoch {} sequence {} was "
            "acknowledged and removed here",
            target.epoch.value,
            target.sequence.value,
            removed.epoch.value,
            removed.sequence.value
        )
    };
}

}  // namespace

using Phase = SourceFlowStatus::Phase;

SourceFlow::SourceFlow(Parts parts, SourceFlowOptions options)
    : parts_(parts),
      options_(std::move(options)),
      first_load_(parts.executor, parts.target, options_.load),
      following_(parts.executor) {}

SourceFlow::~SourceFlow() = default;

SourceFlow::Capture::Capture(
    std::unique_ptr<capture::StreamingSource> opened, Parts& parts, StreamId stream, Packer packer
)
    : source(std::move(opened)),
      line(
          {parts.executor, parts.clock, parts.rng, parts.trail, parts.keys, *source, parts.log},
          stream,
          std::move(packer)
      ) {}

const SourceFlowStatus& SourceFlow::status() const {
    status_.load = first_load_.status();
    return status_;
}

Task<Status> SourceFlow::acknowledged(Custody level, StreamPoint point) {
    // Kept over the wait: a retry may put another in its place meanwhile.
    const auto capture = capture_;
    if (level == Custody::End) {
        applied(point);
    }
    if (level != options_.custody || capture == nullptr) {
        co_return Status{};
    }
    co_return co_await capture->line.release(point);
}

Task<Status> SourceFlow::run(StopSignal& stop) {
    Backoff backoff;
    while (true) {
        const auto ended = co_await run_once(stop);
        following_.reset();
        if (stop.requested()) {
            status_.phase = Phase::Stopped;
            co_return Status{};
        }
        status_.last_error = ended.error();
        if (!ended.error().transient()) {
            status_.phase = Phase::Failed;
            co_return ended.error();
        }
        status_.phase = Phase::Retrying;
        ++status_.tries;
        const auto pause = backoff.next(parts_.rng);
        (void)co_await sleep_for(parts_.executor, parts_.clock, pause, stop);
    }
}

Task<Status> SourceFlow::run_once(StopSignal& stop) {
    status_.phase = Phase::Connecting;
    applied_ = {};
    QIAO_CO_TRY(auto choice, co_await parts_.source.choose(options_.tables));
    status_.tables = std::move(choice.tables);
    status_.findings = std::move(choice.findings);
    QIAO_CO_TRY(auto target, co_await target_state(stop));
    // What was acknowledged before this try is not acknowledged again.
    applied(target.applied);
    status_.phase = Phase::Creating;
    // Before capture, which must not bring rows of tables that cannot be there.
    QIAO_CO_CHECK(co_await create(drivers::StructurePhase::BeforeLoad));
    QIAO_CO_CHECK(leave_out_missing());
    QIAO_CO_CHECK(co_await parts_.target.announce_loads(missing(target).all()));
    QIAO_CO_CHECK(co_await parts_.source.prepare(options_.stream, status_.tables));
    QIAO_CO_CHECK(co_await start_capture(target));

    TaskScope scope(parts_.executor);
    const auto forward = [&scope] { scope.request_stop(); };
    StopSignal::Hook hook(stop, forward);
    Status captured;
    scope.spawn(run_capture(captured, scope));
    auto loaded = co_await load_missing(std::move(target), scope.stop());
    if (loaded) {
        status_.phase = Phase::Following;
        status_.tries = 0;
        following_.set();
        loaded = co_await load_what_is_asked(scope.stop());
    }
    scope.request_stop();
    co_await scope.join();
    // What ended first is the cause; a cancelled load only follows from it.
    if (!loaded && !loaded.error().is(ErrorCode::Cancelled)) {
        co_return loaded.error();
    }
    QIAO_CO_CHECK(captured);
    co_return Error(ErrorCode::Cancelled);
}

Task<void> SourceFlow::run_capture(Status& ended, TaskScope& scope) {
    const auto capture = capture_;
    ended = co_await capture->line.run(scope.stop());
    scope.request_stop();
}

/// What the target holds last is a packet of ours, byte for byte, as far as it is still held here.
Task<Status> SourceFlow::see_one_history(const ChainTip& target) {
    if (target.point <= parts_.trail.held_after(options_.stream)) {
        co_return Status{};
    }
    const auto record = co_await parts_.trail.find(options_.stream, target.point);
    const bool there = record || record.error().is(ErrorCode::TrailOutOfOrder);
    if (!there) {
        const bool passes =
            record.error().is(ErrorCode::TrailDamaged) || record.error().is(ErrorCode::TrailGone);
        co_return passes ? Status{} : record.error();  // told when it is to be sent
    }
    Digest digest;
    if (record) {
        QIAO_CO_TRY(const auto view, packet::PacketView::parse(record->payload()));
        QIAO_CO_TRY(digest, view.digest());
    }
    if (digest == target.digest) {
        co_return Status{};
    }
    co_return Error(
        ErrorCode::EngineForked,
        fmt::format(
            "epoch {} sequence {} is another packet at the target",
            target.point.epoch.value,
            target.point.sequence.value
        )
    );
}

/// The tip of what this side holds durably. When its last packet was released and removed since, as
/// happens to a stream that stands still, the target's word for it serves: it holds the same one.
Task<Result<ChainTip>> SourceFlow::own_tip(const TargetState& target) {
    QIAO_CO_CHECK(co_await parts_.trail.sync());  // only durable records can be read back
    const auto tail = parts_.trail.tail(options_.stream);
    if (!tail || *tail < target.tip.point) {
        co_return ChainTip{};
    }
    QIAO_CO_CHECK(co_await see_one_history(target.tip));
    const auto record = co_await parts_.trail.find(options_.stream, *tail);
    if (record) {
        QIAO_CO_TRY(const auto view, packet::PacketView::parse(record->payload()));
        co_return tip_of(view);
    }
    if (!record.error().is(ErrorCode::TrailGone)) {
        co_return record.error();
    }
    if (*tail == target.tip.point) {
        co_return target.tip;
    }
    co_return went_back_to(target.tip.point, *tail);
}

/// With a first load that is carried, waits until all of it is in. Tables that have no state while
/// others have one, or that were announced by this flow, were not in it: they come as those that
/// are added to any flow. Spec: R-11
Task<Result<TargetState>> SourceFlow::target_state(StopSignal& stop) {
    while (true) {
        QIAO_CO_TRY(auto target, co_await parts_.target.state());
        if (!options_.carried) {
            co_return target;
        }
        const auto states = by_table(target);
        const auto unfinished = [&states](const model::TableName& table) {
            const auto* state = find_state(states, table);
            return state != nullptr && state->generation != 0 && !is_loaded(state);
        };
        if (!states.empty() && std::ranges::none_of(status_.tables, unfinished)) {
            co_return target;
        }
        status_.phase = Phase::AwaitingLoad;
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kAskForLoadEvery, stop));
    }
}

/// Whether the source can still tell everything that commits behind `from`.
Task<Result<bool>> SourceFlow::source_still_has(model::SourcePosition from) {
    const auto probe = parts_.source.streaming(options_.stream);
    const auto started = co_await probe->start(std::move(from));
    co_await probe->close();
    if (started) {
        co_return true;
    }
    const auto& error = started.error();
    const bool lost = error.is(ErrorCode::CapturePositionLost) ||
                      error.is(ErrorCode::CaptureSlotMissing) ||
                      error.is(ErrorCode::CaptureIdentity);
    if (!lost) {
        co_return error;
    }
    co_return false;
}

/// Where a new history begins, if the old one cannot be gone on with behind `from`.
Task<Result<std::optional<model::SourcePosition>>> SourceFlow::renew_if_lost(
    model::SourcePosition from
) {
    QIAO_CO_TRY(const bool has, co_await source_still_has(std::move(from)));
    if (has) {
        co_return std::nullopt;
    }
    QIAO_CO_TRY(auto begin, co_await parts_.source.renew(options_.stream));
    co_return begin;
}

/// What the target lacks of what this side holds.
Task<Status> SourceFlow::can_read_behind(StreamPoint point) {
    auto cursor = parts_.trail.read(options_.stream, point);
    while (true) {
        QIAO_CO_TRY(const auto record, co_await cursor.try_next());
        if (!record) {
            co_return Status{};
        }
    }
}

Task<Status> SourceFlow::start_capture(const TargetState& target) {
    auto own = co_await own_tip(target);
    if (own && target.tip.point < parts_.trail.held_after(options_.stream)) {
        own = went_back_to(target.tip.point, parts_.trail.held_after(options_.stream));
    }
    if (own && options_.reopen) {
        const auto readable = co_await can_read_behind(target.tip.point);
        own = readable ? std::move(own) : Result<ChainTip>(readable.error());
    }
    const bool went_back = !own && own.error().is(ErrorCode::EngineCustodyWentBack);
    const bool parted = went_back || (!own && (own.error().is(ErrorCode::EngineForked) ||
                                               own.error().is(ErrorCode::TrailDamaged)));
    // What the target has lost is not here any more, but may be at the source: its log is released
    // as far as the flow's custody says, which the node that lost it need not have reached.
    bool again = false;
    if (went_back && target.tip.point != StreamPoint{}) {
        QIAO_CO_TRY(again, co_await source_still_has(target.tip.position));
    }
    const bool begin_anew = parted && (options_.reopen || again);
    if (!own && !begin_anew) {
        co_return own.error();
    }
    // What is held does not join what the target has: the stream goes on behind that.
    auto tip = begin_anew ? ChainTip{} : *std::move(own);
    const auto tail = parts_.trail.tail(options_.stream);
    const bool lost = begin_anew || tip.point < target.tip.point;
    if (lost) {
        // The stream goes on behind what the target holds; the source still has all after it,
        // which start() proves, so nothing is missing between the two epochs.
        tip = target.tip;
        QIAO_CO_CHECK(co_await parts_.trail.restart(options_.stream, tip.point));
    }
    if (tip.point == StreamPoint{}) {
        tip.position = joined_after(target);
    }
    std::optional<model::SourcePosition> begin;
    if (options_.reopen && tip.point != StreamPoint{}) {
        QIAO_CO_TRY(begin, co_await renew_if_lost(tip.position));
    }
    const bool gap = begin || (begin_anew && !again);
    std::optional<Packer::NewHistory> history;
    if (gap || again) {
        const auto highest = std::max(tip.point.epoch, tail ? tail->epoch : Epoch{});
        history = {highest.next(), begin.value_or(tip.position)};
    }
    const auto held_after = parts_.trail.held_after(options_.stream);
    QIAO_CO_CHECK(co_await parts_.keys.remove_unused(held_after));
    auto key = parts_.keys.take_own(*options_.suite, parts_.rng);
    QIAO_CO_TRY(const auto wrapped, packet::wrap_for(key, options_.receivers));
    PackerOptions packing;
    packing.stream = options_.stream;
    packing.source = parts_.source.identity();
    packing.path = {options_.node};
    packing.compression = options_.compression;
    packing.release = options_.release;
    packing.packet_bytes = options_.packet_bytes;
    packing.pending_bytes = 4 * options_.packet_bytes;
    Packer packer(std::move(packing), std::move(key), tip, parts_.clock, parts_.rng);
    std::optional<packet::EpochBody> epoch;
    if (gap || lost || tip.point == StreamPoint{}) {
        epoch = packet::EpochBody{
            .reason = gap    ? "reopened"
                      : lost ? "state_lost"
                             : "first",
            .source_identity = parts_.source.identity(),
            .previous = tip.point,
            .previous_digest = tip.digest,
            .previous_position = tip.position,
            .gap = gap ? packet::Gap::Certain : packet::Gap::No,
        };
    }
    packer.open(wrapped, std::move(epoch), std::move(history));
    epoch_ = packer.tip().point.epoch;
    options_.reopen = false;
    capture_.reset();
    capture_ = std::make_shared<Capture>(
        parts_.source.streaming(options_.stream), parts_, options_.stream, std::move(packer)
    );
    co_return Status{};
}

Task<Status> SourceFlow::create(drivers::StructurePhase phase) {
    if (!options_.create) {
        co_return Status{};
    }
    if (!structure_ || phase == drivers::StructurePhase::BeforeLoad) {
        std::vector<drivers::TablePair> pairs;
        for (const auto& table : status_.tables) {
            const auto renamed = options_.renamed.find(table);
            pairs.push_back({table, renamed == options_.renamed.end() ? table : renamed->second});
        }
        QIAO_CO_TRY(structure_, co_await parts_.source.structure(std::move(pairs)));
        status_.left_out = structure_->left_out;
    }
    QIAO_CO_TRY(auto report, co_await parts_.target.create(*structure_, phase));
    if (status_.created && phase == drivers::StructurePhase::AfterLoad) {
        std::ranges::copy(report.made, std::back_inserter(status_.created->made));
        std::ranges::copy(report.failed, std::back_inserter(status_.created->failed));
    } else {
        status_.created = std::move(report);
    }
    co_return Status{};
}

/// A star takes what can be brought, and says what cannot; a table that was named must come.
Status SourceFlow::leave_out_missing() {
    if (!status_.created) {
        return {};
    }
    const bool star = std::ranges::any_of(options_.tables, [](const auto& pattern) {
        return pattern.find('*') != std::string::npos;
    });
    const auto& missing = status_.created->missing_tables;
    if (!missing.empty() && !star) {
        const auto name = missing.front().to_string();
        const auto why =
            std::ranges::find(status_.created->findings, name, &drivers::Finding::subject);
        return Error(
            ErrorCode::DbNoTable,
            name + (why == status_.created->findings.end() ? "" : ": " + why->message_en)
        );
    }
    const std::set<model::TableName> absent(missing.begin(), missing.end());
    std::erase_if(status_.tables, [&](const model::TableName& table) {
        const auto renamed = options_.renamed.find(table);
        return absent.contains(renamed == options_.renamed.end() ? table : renamed->second);
    });
    std::ranges::copy(status_.created->findings, std::back_inserter(status_.findings));
    return {};
}

Task<Status> SourceFlow::adopt(capture::SnapshotSession& snapshot, uint32_t generation) {
    LoadSession session{generation, snapshot.joined_at(), {}, {}};
    std::vector<model::TableSchema> schemas;
    for (const auto& part : snapshot.parts()) {
        if (part.number == 0) {
            session.tables.push_back(part.schema.table);
            schemas.push_back(part.schema);
        }
    }
    session.names = options_.load.names.of(session.tables);
    co_return co_await parts_.target.adopt(std::move(session), std::move(schemas));
}

Task<Status> SourceFlow::load(
    std::vector<model::TableName> tables, uint32_t generation, How how, StopSignal& stop
) {
    if (tables.empty()) {
        co_return Status{};
    }
    status_.phase = Phase::Loading;
    const auto source = parts_.source.snapshot(options_.stream);
    QIAO_CO_TRY(const auto snapshot, co_await source->open(std::move(tables), stop));
    co_return how == How::Adopt ? co_await adopt(*snapshot, generation)
                                : co_await first_load_.run(*snapshot, generation, stop);
}

SourceFlow::Missing SourceFlow::missing(const TargetState& target) const {
    Missing tables;
    const auto states = by_table(target);
    for (const auto& table : status_.tables) {
        const auto* state = find_state(states, table);
        if (!is_loaded(state)) {
            const bool never = state == nullptr || state->status == drivers::TableStatus::Pending;
            (never ? tables.fresh : tables.again).push_back(table);
        }
    }
    return tables;
}

std::vector<model::TableName> SourceFlow::Missing::all() const {
    auto tables = fresh;
    tables.insert(tables.end(), again.begin(), again.end());
    return tables;
}

/// A load joins the newest epoch. Under the rest of an older one, which may be of a history that is
/// no more, its rows would be altered: that is applied before. Source: rules 1, 13
Task<Status> SourceFlow::reach_epoch(StopSignal& stop) {
    const auto first = Epoch{}.next();
    while (epoch_ > first && applied_.epoch < epoch_) {
        status_.phase = Phase::AwaitingEpoch;
        // Again each time: a load of an earlier life can break off as late as now.
        QIAO_CO_CHECK(co_await parts_.target.start_apply());
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kAskForResyncEvery, stop));
    }
    co_return Status{};
}

Task<Status> SourceFlow::load_missing(TargetState target, StopSignal& stop) {
    auto tables = missing(target);
    if (!tables.all().empty()) {
        QIAO_CO_CHECK(co_await reach_epoch(stop));
        QIAO_CO_CHECK(co_await parts_.target.announce_loads(tables.all()));
        QIAO_CO_TRY(target, co_await parts_.target.state());
        tables = missing(target);
    }
    const auto generation = next_generation(target);
    if (options_.existing) {
        auto fresh = std::exchange(tables.fresh, {});
        QIAO_CO_CHECK(co_await load(std::move(fresh), generation, How::Adopt, stop));
    }
    QIAO_CO_CHECK(co_await load(tables.all(), generation, How::Read, stop));
    // Also when nothing was missing: a crash may lie between the last table and its keys.
    status_.phase = Phase::Indexing;
    QIAO_CO_CHECK(co_await create(drivers::StructurePhase::AfterLoad));
    co_return co_await parts_.target.start_apply();
}

/// Until stop. The stream goes on beside such a load. A carried flow's loads come by folder.
Task<Status> SourceFlow::load_what_is_asked(StopSignal& stop) {
    while (true) {
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kAskForResyncEvery, stop));
        auto asked = co_await parts_.target.resyncs_asked();
        if (!asked || options_.carried) {
            continue;  // a link that is down mends itself; then it is asked again
        }
        const std::set<model::TableName> ours(status_.tables.begin(), status_.tables.end());
        std::erase_if(*asked, [&ours](const auto& table) { return !ours.contains(table); });
        if (asked->empty()) {
            continue;
        }
        QIAO_CO_CHECK(co_await reach_epoch(stop));
        QIAO_CO_CHECK(co_await parts_.target.announce_loads(*asked));
        // Those that were taken out of the stream, because they had lost their key, come back.
        QIAO_CO_CHECK(co_await parts_.source.prepare(options_.stream, status_.tables));
        QIAO_CO_TRY(const auto target, co_await parts_.target.state());
        QIAO_CO_CHECK(co_await load(*std::move(asked), next_generation(target), How::Read, stop));
        status_.phase = Phase::Following;
    }
}

}  // namespace qiao::engine
