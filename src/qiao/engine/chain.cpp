#include "qiao/engine/chain.h"

#include "qiao/common/plant.h"

#include <fmt/format.h>

namespace qiao::engine {
namespace {

std::string place(const packet::OriginHeader& origin) {
    return fmt::format(
        "stream {} epoch {} sequence {}",
        origin.stream.to_string(),
        origin.epoch.value,
        origin.sequence.value
    );
}

}  // namespace

Result<ChainTip> tip_of(const packet::PacketView& packet) {
    QIAO_TRY(const auto digest, packet.digest());
    const auto& origin = packet.origin;
    return ChainTip{{origin.epoch, origin.sequence}, digest, origin.last};
}

Result<Verdict> admit(const ChainTip& tip, StreamId stream, const packet::PacketView& packet) {
    const auto& origin = packet.origin;
    if (origin.stream != stream && !is_planted(Plant::OtherStreamAdmitted)) {
        return Error(ErrorCode::EngineForeignStream, place(origin));
    }
    const bool one_epoch = is_planted(Plant::EpochIgnored) && tip.point != StreamPoint{};
    const StreamPoint point{one_epoch ? tip.point.epoch : origin.epoch, origin.sequence};
    if (point <= tip.point) {
        if (point == tip.point) {
            QIAO_TRY(const auto digest, packet.digest());
            if (digest != tip.digest && !is_planted(Plant::OtherContentAdmitted)) {
                return Error(ErrorCode::EngineForked, place(origin));
            }
        }
        return Verdict::Duplicate;
    }
    const bool same_epoch = origin.epoch == tip.point.epoch;
    const bool follows =
        same_epoch ? origin.sequence == tip.point.sequence.next() : origin.sequence == Sequence{1};
    if (!follows || origin.previous_sequence != tip.point.sequence) {
        return Error(
            ErrorCode::EngineOutOfChain,
            fmt::format("{} after sequence {}", place(origin), tip.point.sequence.value)
        );
    }
    if (origin.previous_digest != tip.digest && !is_planted(Plant::OtherContentAdmitted)) {
        return Error(ErrorCode::EngineForked, place(origin));
    }
    return Verdict::Next;
}

bool shows_life(packet::Kind kind) {
    using packet::Kind;
    return kind == Kind::Rows || kind == Kind::Provisional || kind == Kind::Heartbeat;
}

}  // namespace qiao::engine
