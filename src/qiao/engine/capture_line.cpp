#include "qiao/engine/capture_line.h"

#include "qiao/common/async/sleep.h"

namespace qiao::engine {

CaptureLine::CaptureLine(Parts parts, StreamId stream, Packer packer)
    : parts_(parts),
      stream_(stream),
      packer_(std::move(packer)),
      writer_(
          parts.executor, parts.trail, stream, [this](const ChainTip& tip) { became_durable(tip); }
      ),
      scope_(parts.executor) {
    status_.captured = packer_.tip();
}

void CaptureLine::became_durable(const ChainTip& tip) { status_.durable = tip; }

Task<void> CaptureLine::keep_durable(std::optional<Error>& failure) {
    const auto ended = co_await writer_.run(scope_.stop());
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

Task<Status> CaptureLine::write_out() {
    packer_.flush();
    for (const auto& out : packer_.take()) {
        const StreamPoint point{out.origin.epoch, out.origin.sequence};
        status_.captured = {point, out.digest, out.origin.last};
        status_.counts.inserts += out.origin.counts.inserts;
        status_.counts.updates += out.origin.counts.updates;
        status_.counts.deletes += out.origin.counts.deletes;
        status_.counts.truncates += out.origin.counts.truncates;
        status_.counts.transactions += out.origin.counts.transactions;
        status_.bytes += out.wire.size();
        if (out.origin.event_last.us != 0) {
            status_.last_event = out.origin.event_last;
        }
        if (out.origin.kind == packet::Kind::Key) {
            QIAO_CO_CHECK(co_await parts_.keys.keep(out.wire));
        }
        QIAO_CO_CHECK(co_await writer_.append(status_.captured, out.wire));
    }
    co_return Status{};
}

/// When everything captured was released, what the source reports as empty may go too, so that an
/// idle or filtered database never holds its log.
void CaptureLine::free_idle() {
    const bool nothing_open = released_ == status_.captured.point;
    if (nothing_open && model::compare(packer_.progress(), status_.freed) > 0) {
        status_.freed = packer_.progress();
        parts_.source.confirm(status_.freed);
    }
}

Task<Status> CaptureLine::pump_until_error(StopSignal& stop) {
    QIAO_CO_CHECK(co_await parts_.source.start(packer_.tip().position));
    while (true) {
        const auto pumped = co_await parts_.source.pump(packer_, stop);
        if (!pumped) {
            packer_.discard_open();
        }
        QIAO_CO_CHECK(co_await write_out());
        if (packer_.refused()) {
            co_return *packer_.refused();
        }
        QIAO_CO_CHECK(pumped);
        status_.state = CaptureStatus::State::Moving;
        status_.tries = 0;
        status_.last_error.reset();
        free_idle();
    }
}

Task<Status> CaptureLine::run(StopSignal& stop) {
    const auto forward = [this] { scope_.request_stop(); };
    StopSignal::Hook hook(stop, forward);
    std::optional<Error> disk_failure;
    scope_.spawn(keep_durable(disk_failure));
    Backoff backoff;
    Status ended = co_await write_out();  // what the packer was told before: epoch and key
    if (ended) {
        ended = co_await hold_back_retention();
    }
    while (ended && !scope_.stop().requested()) {
        const auto pumped = co_await pump_until_error(scope_.stop());
        if (status_.tries == 0) {
            backoff.reset();
        }
        if (pumped || pumped.error().is(ErrorCode::Cancelled)) {
            break;
        }
        status_.last_error = pumped.error();
        if (!pumped.error().transient()) {
            ended = pumped.error();
            break;
        }
        ++status_.tries;
        status_.state = CaptureStatus::State::Retrying;
        const auto pause = backoff.next(parts_.rng);
        (void)co_await sleep_for(parts_.executor, parts_.clock, pause, scope_.stop());
    }
    co_await parts_.source.close();
    scope_.request_stop();
    co_await scope_.join();
    status_.state = CaptureStatus::State::Stopped;
    if (disk_failure) {
        co_return *disk_failure;
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
