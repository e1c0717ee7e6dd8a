#include "qiao/agent/movement.h"

#include <algorithm>

namespace qiao::agent {

void Movement::sample(MonoTime now, const In& in, StreamPoint out) {
    if (in.point > newest_in_.point) {
        newest_in_ = in;
        if (waiting_.empty() || ++unsampled_ >= stride_) {
            unsampled_ = 0;
            waiting_.push_back({in, now});
        }
    }
    if (waiting_.size() == kSamplesMost) {
        // Far behind: every second sample is enough to tell lag and movement, from now on too.
        for (size_t i = 0; i < waiting_.size() / 2; ++i) {
            waiting_[i] = waiting_[2 * i];
        }
        waiting_.resize(waiting_.size() / 2);
        stride_ *= 2;
    }
    while (!waiting_.empty() && waiting_.front().in.point <= out) {
        newest_out_ = waiting_.front().in;
        last_out_ = changed_ = now;
        waiting_.pop_front();
    }
    if (newest_out_ && waiting_.empty()) {
        stride_ = 1;
        newest_out_ = out >= newest_in_.point ? newest_in_ : *newest_out_;
    }
}

Moving Movement::moving(MonoTime now) const {
    if (last_out_ && now - *last_out_ <= patience()) {
        return Moving::Yes;
    }
    const bool stuck = !waiting_.empty() && now - waiting_.front().at > patience();
    const bool silent = heartbeat_ != Duration::zero() && now - changed_ > patience();
    return stuck || silent ? Moving::No : Moving::Unknown;
}

std::optional<Duration> Movement::lag(WallTime now) const {
    if (!newest_out_ || newest_out_->event.us == 0) {
        return std::nullopt;
    }
    return std::chrono::microseconds(std::max<int64_t>(now.us - newest_out_->event.us, 0));
}

uint64_t Movement::lag_bytes() const {
    const auto out = newest_out_ ? newest_out_->bytes : 0;
    return newest_in_.bytes < out ? 0 : newest_in_.bytes - out;
}

}  // namespace qiao::agent
