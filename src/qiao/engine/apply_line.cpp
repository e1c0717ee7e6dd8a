#include "qiao/engine/apply_line.h"

#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

namespace qiao::engine {
namespace {

/// To one checkpoint in a row: from the same place it comes to the same end, unless the database
/// was the cause.
constexpr uint32_t kRewindsMost = 8;

}  // namespace

ApplyLine::ApplyLine(
    Parts parts,
    apply::ApplierOptions options,
    OnApplied on_applied,
    std::function<void()> on_doubted
)
    : parts_(parts),
      stream_(options.stream),
      on_applied_(std::move(on_applied)),
      on_doubted_(std::move(on_doubted)),
      ring_(parts.receivers),
      applier_(std::make_unique<apply::Applier>(
          parts.database, parts.executor, parts.clock, parts.rng, std::move(options), *this
      )),
      unsettled_(parts.log, HandOverKind::Applied) {}

ApplyLineStatus ApplyLine::status() const {
    auto status = status_;
    status.applied = applied_;
    status.applier = applier_->status();
    status.doubtful = applier_->doubtful_tables();
    if (unpacker_) {
        status.heartbeat = unpacker_->heartbeat();
    }
    return status;
}

void ApplyLine::set_checkpoint(const drivers::CheckpointRow& row) {
    applied_ = {row.point, row.digest, row.position};
    unpacker_.emplace(applied_);
    unsettled_.forget();
}

Task<Status> ApplyLine::open() {
    QIAO_CO_TRY(const auto row, co_await applier_->open());
    set_checkpoint(row);
    parts_.keys.fill(ring_);
    co_return Status{};
}

void ApplyLine::applied(const apply::Applied& applied) {
    applied_ = {applied.point, applied.digest, applied.position};
    unsettled_.settle(applied.point);
    if (applied.newest_commit.us != 0) {
        status_.newest_commit = applied.newest_commit;
    }
    // The consumer's point may lag behind; it is only for retention.
    (void)parts_.trail.release(stream_, kApplyConsumer, applied.point);
    on_applied_(applied_);
}

void ApplyLine::doubted() { on_doubted_(); }

Task<Status> ApplyLine::hold_back_retention() {
    for (const auto& consumer : parts_.trail.consumers(stream_)) {
        if (consumer.name == kApplyConsumer) {
            co_return Status{};
        }
    }
    co_return co_await parts_.trail.register_consumer(
        stream_, kApplyConsumer, parts_.trail.held_after(stream_)
    );
}

Task<Status> ApplyLine::run(StopSignal& stop) {
    QIAO_CO_CHECK(co_await hold_back_retention());
    std::optional<StreamPoint> rewound_to;
    uint32_t rewinds = 0;
    Backoff backoff;
    while (true) {
        Status fed;
        TaskScope scope(parts_.executor);
        const auto forward = [&scope] { scope.request_stop(); };
        StopSignal::Hook hook(stop, forward);
        scope.spawn(feed(fed, scope.stop()));
        const auto ended = co_await applier_->run(scope.stop());
        scope.request_stop();
        applier_->input().close();
        co_await scope.join();
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        if (!ended && ended.error().is(ErrorCode::ApplyRewind)) {
            QIAO_CO_TRY(const auto row, co_await rewind(stop));
            set_checkpoint(row);
            status_.last_error = ended.error();
            const bool moved = std::exchange(rewound_to, row.point) != row.point;
            rewinds = moved ? 0 : rewinds + 1;
            if (rewinds >= kRewindsMost) {
                co_return ended.error();
            }
            if (!moved) {
                const auto pause = backoff.next(parts_.rng);
                (void)co_await sleep_for(parts_.executor, parts_.clock, pause, stop);
            } else {
                backoff.reset();
            }
            continue;
        }
        status_.last_error = fed ? std::nullopt : std::optional(fed.error());
        if (!ended && !ended.error().is(ErrorCode::Cancelled)) {
            status_.last_error = ended.error();
        }
        co_return status_.last_error ? Status(*status_.last_error) : Status{};
    }
}

/// A target that went away inside a transaction is away now, too: asked until it is back.
Task<Result<drivers::CheckpointRow>> ApplyLine::rewind(StopSignal& stop) {
    Backoff backoff;
    while (true) {
        auto row = co_await applier_->rewind();
        if (row || !row.error().transient()) {
            co_return row;
        }
        status_.last_error = row.error();
        const auto pause = backoff.next(parts_.rng);
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, pause, stop));
    }
}

Task<void> ApplyLine::feed(Status& ended, StopSignal& stop) {
    status_.feeding = true;
    ended = co_await feed_all(stop);
    status_.feeding = false;
    applier_->input().close();
}

Task<Status> ApplyLine::feed_all(StopSignal& stop) {
    auto cursor = parts_.trail.read(stream_, unpacker_->tip().point);
    while (true) {
        const auto record = co_await cursor.next(stop);
        if (!record) {
            co_return went_back(record.error(), cursor.position());
        }
        QIAO_CO_TRY(auto unpacked, co_await unpack(*record));
        for (auto& each : unpacked) {
            if (auto* what = std::get_if<Recall>(&each)) {
                QIAO_CO_CHECK(co_await recall(std::move(*what)));
            } else {
                QIAO_CO_CHECK(co_await send(std::move(std::get<apply::Input>(each))));
            }
        }
    }
}

Task<Status> ApplyLine::send(apply::Input input) {
    const auto* fragment = std::get_if<apply::Fragment>(&input);
    const size_t weight = fragment == nullptr ? 1 : fragment->bytes + 1;
    if (!co_await applier_->input().send(std::move(input), weight)) {
        co_return Error(ErrorCode::ChannelClosed);
    }
    co_return Status{};
}

/// Reads what has travelled ahead of a commit once more, now that it counts.
Task<Status> ApplyLine::recall(Recall what) {
    if (model::compare(what.head.commit, applier_->checkpoint().position) <= 0) {
        apply::Fragment passed;
        passed.head = what.head;
        passed.mark = what.mark;
        co_return co_await send(std::move(passed));
    }
    FragmentReader reader;
    for (size_t i = 0; i < what.ahead.packets.size(); ++i) {
        const StreamPoint point{what.epoch, what.ahead.packets[i]};
        QIAO_CO_TRY(const auto record, co_await parts_.trail.find(stream_, point));
        QIAO_CO_TRY(const auto view, packet::PacketView::parse(record.payload()));
        QIAO_CO_TRY(auto body, co_await open_body(view));
        QIAO_CO_TRY(auto fragment, recall_fragment(reader, what, i, view, std::move(body)));
        QIAO_CO_CHECK(co_await send(std::move(fragment)));
    }
    co_return Status{};
}

/// Records that were removed after this target had applied them: its checkpoint is an older one.
Error ApplyLine::went_back(const Error& gone, StreamPoint at) const {
    for (const auto& consumer : parts_.trail.consumers(stream_)) {
        if (gone.is(ErrorCode::TrailGone) && consumer.name == kApplyConsumer &&
            at < consumer.released) {
            return {
                ErrorCode::EngineCustodyWentBack,
                fmt::format(
                    "the target's checkpoint is at epoch {} sequence {}, but it had applied epoch "
                    "{} "
                    "sequence {}, and what lies between was removed",
                    at.epoch.value,
                    at.sequence.value,
                    consumer.released.epoch.value,
                    consumer.released.sequence.value
                )
            };
        }
    }
    return gone;
}

Task<Result<ApplyLine::Unpacked>> ApplyLine::unpack(const trail::Record& record) {
    QIAO_CO_TRY(const auto view, packet::PacketView::parse(record.payload()));
    auto inputs = co_await take(view, record.payload());
    if (inputs) {
        unsettled_.add(view.origin, record.payload().size(), unpacker_->tip().digest);
    } else {
        const auto why = inputs.error().code();
        parts_.log.record(HandOverKind::Refused, view, record.payload().size(), why);
    }
    co_return inputs;
}

Task<Result<ApplyLine::Unpacked>> ApplyLine::take(const packet::PacketView& view, ByteView wire) {
    Bytes body;
    if (view.origin.kind == packet::Kind::Key) {
        QIAO_CO_CHECK(co_await parts_.keys.keep(wire));
        QIAO_CO_CHECK(ring_.add(view));
    } else {
        QIAO_CO_TRY(body, co_await open_body(view));
    }
    co_return unpacker_->take(view, std::move(body));
}

/// A key may have come with an offer after the ring was filled.
Task<Result<Bytes>> ApplyLine::open_body(const packet::PacketView& view) {
    if (!ring_.knows(view.hop.key)) {
        parts_.keys.fill(ring_);
    }
    co_return ring_.open(view);
}

}  // namespace qiao::engine
