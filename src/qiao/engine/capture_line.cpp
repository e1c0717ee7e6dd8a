#include "qiao/engine/capture_line.h"

#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/plant.h"

namespace qiao::engine {

CaptureLine::CaptureLine(Parts parts, StreamId stream, Packer packer)
    : parts_(parts),
      stream_(stream),
      packer_(std::move(packer)),
      feed_(packer_, packer_.tip().position, parts.clock, parts.rng),
      writer_(
          parts.executor, parts.trail, stream, [this](const ChainTip& tip) { became_durable(tip); }
      ),
      unsettled_(parts.log, HandOverKind::Captured),
      moved_(parts.executor),
      room_(parts.executor),
      hold_changed_(parts.executor),
      scope_(parts.executor) {
    status_.captured = packer_.tip();
}

void CaptureLine::became_durable(const ChainTip& tip) {
    status_.durable = tip;
    if (is_planted(Plant::FreedBeforeCustody)) {
        parts_.source.confirm(tip.position);
    }
    unsettled_.settle(tip.point);
    moved_.pulse();  // the disk is free for what has gathered
}

Task<void> CaptureLine::keep_durable(std::optional<Error>& failure) {
    const auto ended = co_await writer_.run(written_);
    if (!ended && !ended.error().is(ErrorCode::Cancelled)) {
        failure = ended.error();
        scope_.request_stop();
    }
}

/// Nothing is removed from the trail before custody has passed on.
Task<Status> CaptureLine::hold_back_retention() {
    for (const auto& consumer : parts_.trail.consumers(stream_)) {
        if (consumer.name == kCustodyConsumer) {
            released_ = consumer.released;
            co_return Status{};
        }
    }
    co_return co_await parts_.trail.register_consumer(
        stream_, kCustodyConsumer, parts_.trail.held_after(stream_)
    );
}

bool CaptureLine::may_write() const {
    return packer_.has_closed() || (packer_.has_whole() && (writer_.idle() || !pumping_));
}

Task<Status> CaptureLine::append_closed() {
    for (const auto& out : packer_.take()) {
        if (out.origin.kind == packet::Kind::Key) {
            QIAO_CO_CHECK(co_await parts_.keys.keep(out.wire));
        }
        const ChainTip tip{{out.origin.epoch, out.origin.sequence}, out.digest, out.origin.last};
        unsettled_.add(out.origin, out.wire.size(), out.digest);
        QIAO_CO_CHECK(co_await writer_.append(tip, out.wire, scope_.stop()));
        status_.captured = tip;
        if (shows_life(out.origin.kind)) {
            status_.alive = tip.point;
        }
        status_.counts.inserts += out.origin.counts.inserts;
        status_.counts.updates += out.origin.counts.updates;
        status_.counts.deletes += out.origin.counts.deletes;
        status_.counts.truncates += out.origin.counts.truncates;
        status_.counts.transactions += out.origin.counts.transactions;
        status_.bytes += out.wire.size();
        if (out.origin.event_last.us != 0) {
            status_.last_event = out.origin.event_last;
        }
    }
    co_return Status{};
}

Task<Status> CaptureLine::write_all() {
    while (true) {
        while (!may_write() && pumping_) {
            co_await moved_.wait();
        }
        if (!may_write()) {
            co_return Status{};
        }
        if (writer_.idle() || !pumping_) {
            packer_.flush_whole();
        }
        appending_ = true;
        QIAO_CO_CHECK(co_await append_closed());
        appending_ = false;
        room_.pulse();
        free_idle();
    }
}

Task<void> CaptureLine::write(std::optional<Error>& failure) {
    const auto ended = co_await write_all();
    if (!ended && !ended.error().is(ErrorCode::Cancelled)) {
        failure = ended.error();
    }
    scope_.request_stop();
    written_.request();
}

/// When everything captured was released, what the source reports as empty may go too, so that an
/// idle or filtered database never holds its log. Not while anything delivered is still on its way
/// to the trail: the source's progress covers that as well.
void CaptureLine::free_idle() {
    const bool nothing_open =
        released_ == status_.captured.point && packer_.drained() && !appending_;
    if (nothing_open && model::compare(packer_.progress(), status_.freed) > 0) {
        status_.freed = packer_.progress();
        parts_.source.confirm(status_.freed);
    }
}

/// Nothing behind what travels ahead can leave the trail. A transaction that stays open for hours
/// must not fill it, because its commit could not come any more then.
bool CaptureLine::ahead_holds_too_much() {
    if (packer_.travelling() == 0) {
        ahead_since_.reset();
        return false;
    }
    if (!ahead_since_) {
        ahead_since_ = status_.bytes;
    }
    constexpr size_t kUndoneMost = 500'000;
    if (packer_.most_undone() > kUndoneMost) {
        return true;
    }
    const auto budget = parts_.trail.status().disk_budget_bytes;
    return budget != 0 && status_.bytes - *ahead_since_ > budget / 4;
}

Task<Status> CaptureLine::pump_until_error(StopSignal& stop) {
    const auto wake = [this] { room_.pulse(); };
    const StopSignal::Hook hook(stop, wake);
    QIAO_CO_CHECK(co_await parts_.source.start(packer_.tip().position));
    while (true) {
        co_await stand_still(stop);
        const auto pumped = co_await parts_.source.pump(feed_, stop);
        if (!pumped || packer_.refused()) {
            packer_.discard_open();
        }
        moved_.pulse();
        if (packer_.refused()) {
            co_return *packer_.refused();
        }
        QIAO_CO_CHECK(pumped);
        status_.state = CaptureStatus::State::Moving;
        status_.tries = 0;
        status_.last_error.reset();
        free_idle();
        if (ahead_holds_too_much()) {
            parts_.source.allow_ahead(false);
            packer_.discard_open();
            moved_.pulse();
            co_return Error(ErrorCode::EngineAheadHeld);
        }
        while (packer_.full() && !stop.requested()) {
            co_await room_.wait();
        }
        if (stop.requested()) {
            packer_.discard_open();
            co_return Error(ErrorCode::Cancelled);
        }
    }
}

Task<void> CaptureLine::stand_still(StopSignal& stop) {
    const auto wake = [this] { hold_changed_.pulse(); };
    const StopSignal::Hook hook(stop, wake);
    while (hold_wanted_ && !stop.requested()) {
        standing_ = true;
        hold_changed_.pulse();
        co_await hold_changed_.wait();
    }
    standing_ = false;
}

void CaptureLine::hold() {
    QIAO_ASSERT(!hold_wanted_);
    hold_wanted_ = true;
}

Task<Status> CaptureLine::held(Deadline deadline, StopSignal& stop) {
    const auto wake = [this] { hold_changed_.pulse(); };
    const StopSignal::Hook hook(stop, wake);
    const auto timer = parts_.clock.make_timer();
    timer->start(deadline.at, wake);
    const auto given_up = [&] { return stop.requested() || deadline.passed(parts_.clock.now()); };
    while (!standing_ && !given_up()) {
        co_await hold_changed_.wait();
    }
    timer->cancel();
    if (standing_) {
        co_return Status{};
    }
    resume();
    co_return Error(stop.requested() ? ErrorCode::Cancelled : ErrorCode::DeadlinePassed);
}

void CaptureLine::resume() {
    hold_wanted_ = false;
    hold_changed_.pulse();
}

Task<Status> CaptureLine::pump_with_retries() {
    QIAO_CO_CHECK(co_await hold_back_retention());
    Backoff backoff;
    while (!scope_.stop().requested()) {
        const auto pumped = co_await pump_until_error(scope_.stop());
        if (status_.tries == 0) {
            backoff.reset();
        }
        if (pumped || pumped.error().is(ErrorCode::Cancelled)) {
            break;
        }
        status_.last_error = pumped.error();
        if (!pumped.error().transient()) {
            co_return pumped.error();
        }
        ++status_.tries;
        status_.state = CaptureStatus::State::Retrying;
        const auto pause = backoff.next(parts_.rng);
        (void)co_await sleep_for(parts_.executor, parts_.clock, pause, scope_.stop());
    }
    co_return Status{};
}

Task<Status> CaptureLine::run(StopSignal& stop) {
    const auto forward = [this] { scope_.request_stop(); };
    StopSignal::Hook hook(stop, forward);
    std::optional<Error> disk_failure;
    std::optional<Error> append_failure;
    scope_.spawn(keep_durable(disk_failure));
    scope_.spawn(write(append_failure));  // also what the packer was told before: epoch and key
    const auto ended = co_await pump_with_retries();
    co_await parts_.source.close();
    pumping_ = false;
    moved_.pulse();
    co_await scope_.join();
    status_.state = CaptureStatus::State::Stopped;
    parts_.keys.give_back(std::move(packer_).take_key());
    if (disk_failure) {
        co_return *disk_failure;
    }
    if (append_failure) {
        co_return *append_failure;
    }
    co_return ended;
}

Task<Status> CaptureLine::release(StreamPoint point) {
    if (point <= released_) {
        co_return Status{};
    }
    released_ = point;
    QIAO_CO_CHECK(parts_.trail.release(stream_, kCustodyConsumer, point));
    const auto found = co_await parts_.trail.find(stream_, point);
    if (!found) {
        co_return Status{};  // removed since: a later release has freed more already
    }
    QIAO_CO_TRY(const auto view, packet::PacketView::parse(found->payload()));
    if (model::compare(view.origin.last, status_.freed) > 0) {
        status_.freed = view.origin.last;
        parts_.source.confirm(status_.freed);
    }
    free_idle();
    co_return Status{};
}

}  // namespace qiao::engine
