#include "qiao/agent/flow_retry.h"

namespace qiao::agent {

Task<bool> FlowRetry::after(Error error, StopSignal& stop) {
    const auto kind = error.info().error_class;
    const bool by_itself = kind == ErrorClass::Transient || kind == ErrorClass::Environment;
    error_ = std::move(error);
    ++tries_;
    waiting_ = true;
    asked_ = false;
    const auto timer = clock_.make_timer();
    const auto wake = [this] { woken_.pulse(); };
    if (by_itself) {
        at_ = clock_.now() + backoff_.next(rng_);
        timer->start(*at_, wake);
    }
    {
        const StopSignal::Hook hook(stop, wake);
        while (!stop.requested() && !asked_ && !(at_ && clock_.now() >= *at_)) {
            co_await woken_.wait();
        }
    }
    waiting_ = false;
    at_.reset();
    co_return !stop.requested();
}

void FlowRetry::worked() {
    error_.reset();
    tries_ = 0;
    backoff_.reset();
}

void FlowRetry::now() {
    asked_ = true;
    backoff_.reset();
    woken_.pulse();
}

}  // namespace qiao::agent
