#include "qiao/trail/internal/trail_impl.h"

#include <fmt/format.h>

/// The part of Trail that speaks of consumers; who removes what is in upkeep.cpp.
namespace qiao::trail {
namespace {

Error beyond_tail(StreamId stream, const std::string& name) {
    return {
        ErrorCode::TrailOutOfOrder,
        fmt::format("{} releases more of stream {} than is durable", name, stream.to_string())
    };
}

}  // namespace

Task<Status> Trail::register_consumer(StreamId id, std::string name, StreamPoint released) {
    auto& self = *impl_;
    QIAO_CO_CHECK(self.writable());
    const Impl::Inside inside(self);
    const auto& stream = self.index->stream(id);
    if (released < stream.floor) {
        co_return Error(ErrorCode::TrailGone, fmt::format("{} of stream {}", name, id.to_string()));
    }
    if (released > stream.durable) {
        co_return beyond_tail(id, name);
    }
    QIAO_CO_CHECK(self.consumers.enlist(id, name, released));
    co_return co_await self.save_now();
}

Status Trail::release(StreamId id, const std::string& name, StreamPoint released) {
    auto& self = *impl_;
    const auto* stream = self.index->find(id);
    const auto* consumer = self.consumers.find(id, name);
    if (consumer != nullptr && consumer->state == ConsumerState::Active &&
        released > consumer->released && (stream == nullptr || released > stream->durable)) {
        return beyond_tail(id, name);
    }
    const auto before = self.consumers.version();
    QIAO_CHECK(self.consumers.release(id, name, released));
    if (self.consumers.version() != before) {
        self.note_release();
    }
    return {};
}

Task<Status> Trail::revoke(StreamId id, std::string name) {
    auto& self = *impl_;
    QIAO_CO_CHECK(self.writable());
    const Impl::Inside inside(self);
    QIAO_CO_CHECK(self.consumers.revoke(id, name));
    co_return co_await self.save_now();
}

std::vector<Consumer> Trail::consumers(StreamId id) const {
    const auto found = impl_->consumers.table().find(id);
    return found == impl_->consumers.table().end() ? std::vector<Consumer>{} : found->second;
}

}  // namespace qiao::trail
