#include "qiao/trail/internal/consumers.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::trail::internal {
namespace {

Error unknown(StreamId stream, const std::string& name) {
    return {
        ErrorCode::TrailUnknownConsumer, fmt::format("{} of stream {}", name, stream.to_string())
    };
}

Error went_back(const Consumer& consumer, StreamPoint to) {
    return {
        ErrorCode::TrailConsumerWentBack,
        fmt::format(
            "{} released {}.{} before and {}.{} now",
            consumer.name,
            consumer.released.epoch.value,
            consumer.released.sequence.value,
            to.epoch.value,
            to.sequence.value
        )
    };
}

}  // namespace

Consumer* Consumers::place(StreamId stream, const std::string& name) {
    const auto of_stream = table_.find(stream);
    if (of_stream == table_.end()) {
        return nullptr;
    }
    const auto found = std::ranges::find(of_stream->second, name, &Consumer::name);
    return found == of_stream->second.end() ? nullptr : &*found;
}

const Consumer* Consumers::find(StreamId stream, const std::string& name) const {
    return const_cast<Consumers*>(this)->place(stream, name);
}

Status Consumers::enlist(StreamId stream, const std::string& name, StreamPoint released) {
    auto* consumer = place(stream, name);
    if (consumer == nullptr) {
        table_[stream].push_back({name, released, ConsumerState::Active});
    } else if (released < consumer->released) {
        return went_back(*consumer, released);
    } else {
        consumer->released = released;
        consumer->state = ConsumerState::Active;
    }
    ++version_;
    return {};
}

Status Consumers::release(StreamId stream, const std::string& name, StreamPoint released) {
    auto* consumer = place(stream, name);
    if (consumer == nullptr) {
        return unknown(stream, name);
    }
    if (consumer->state == ConsumerState::CutOff) {
        return Error(
            ErrorCode::TrailCutOff, fmt::format("{} of stream {}", name, stream.to_string())
        );
    }
    if (released < consumer->released) {
        return went_back(*consumer, released);
    }
    if (released > consumer->released) {
        consumer->released = released;
        ++version_;
    }
    return {};
}

Status Consumers::revoke(StreamId stream, const std::string& name) {
    if (place(stream, name) == nullptr) {
        return unknown(stream, name);
    }
    std::erase_if(table_[stream], [&](const Consumer& consumer) { return consumer.name == name; });
    ++version_;
    return {};
}

std::optional<StreamPoint> Consumers::released_by_all(StreamId stream) const {
    const auto of_stream = table_.find(stream);
    if (of_stream == table_.end()) {
        return std::nullopt;
    }
    auto least = kEverything;
    for (const auto& consumer : of_stream->second) {
        if (consumer.state == ConsumerState::Active) {
            least = std::min(least, consumer.released);
        }
    }
    return least;
}

bool Consumers::can_cut_off(StreamId stream, StreamPoint point) const {
    const auto of_stream = table_.find(stream);
    return of_stream != table_.end() &&
           std::ranges::any_of(of_stream->second, [&](const Consumer& consumer) {
               return consumer.state == ConsumerState::Active && consumer.released >= point;
           });
}

std::vector<std::string> Consumers::cut_off(StreamId stream, StreamPoint point) {
    std::vector<std::string> names;
    for (auto& consumer : table_[stream]) {
        if (consumer.state == ConsumerState::Active && consumer.released < point) {
            consumer.state = ConsumerState::CutOff;
            names.push_back(consumer.name);
            ++version_;
        }
    }
    return names;
}

}  // namespace qiao::trail::internal
