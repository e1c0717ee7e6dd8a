#include "qiao/engine/durable_writer.h"

#include "qiao/common/plant.h"

#include <utility>

namespace qiao::engine {

Task<Status> DurableWriter::append(ChainTip tip, ByteView wire, StopSignal& stop) {
    QIAO_CO_CHECK(co_await trail_.append(stream_, tip.point, wire, stop));
    unsynced_ = std::move(tip);
    appended_.pulse();
    co_return Status{};
}

Task<Status> DurableWriter::run(StopSignal& stop) {
    const auto wake = [this] { appended_.pulse(); };
    StopSignal::Hook hook(stop, wake);
    while (true) {
        while (!unsynced_ && !stop.requested()) {
            co_await appended_.wait();
        }
        if (!unsynced_) {
            co_return Error(ErrorCode::Cancelled);
        }
        const auto tip = *std::exchange(unsynced_, std::nullopt);
        syncing_ = true;
        if (is_planted(Plant::AcknowledgeBeforeSync)) {
            on_durable_(tip);
        }
        QIAO_CO_CHECK(co_await trail_.sync());
        syncing_ = false;
        on_durable_(tip);
    }
}

}  // namespace qiao::engine
