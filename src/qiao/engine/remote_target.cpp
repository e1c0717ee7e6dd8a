#include "qiao/engine/remote_target.h"

#include "qiao/engine/create_report_codec.h"
#include "qiao/engine/load_chunks.h"
#include "qiao/engine/offer.h"
#include "qiao/engine/packer.h"
#include "qiao/packet/compression.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {
namespace {

/// Of a structure that goes over in several calls.
constexpr size_t kPieceBytes = size_t{512} << 10U;

/// Names that one call can carry, however long they are.
constexpr size_t kTablesOfOneCall = 2000;

constexpr size_t kSequencesOfOneCall = 1000;

template <class T>
std::vector<std::vector<T>> in_pieces(std::vector<T> all, size_t most = kTablesOfOneCall) {
    std::vector<std::vector<T>> pieces;
    for (auto& one : all) {
        if (pieces.empty() || pieces.back().size() == most) {
            pieces.emplace_back();
        }
        pieces.back().push_back(std::move(one));
    }
    return pieces;
}

/// Seals the chunks of one part and sends them on a stream of its own.
class RemotePart final : public FlowTarget::Part {
public:
    RemotePart(
        RemoteTarget::Parts parts,
        crypto::SealingKey key,
        capture::LoadPart part,
        drivers::LoadFormat format,
        LoadSession session
    )
        : parts_(std::move(parts)),
          key_(std::move(key)),
          part_(std::move(part)),
          session_(std::move(session)),
          stream_(parts_.rng.make_id<StreamId>()),
          chunks_(part_, format, session_.joined_at) {}

    Task<Status> start(link::Session& session) {
        QIAO_CO_TRY(const auto wrapped, packet::wrap_for(key_, parts_.receivers));
        auto origin = next_origin(packet::Kind::Key);
        OfferMetadata metadata{OfferMetadata::Role::Load, parts_.flow, {}};
        metadata.key_packets.push_back(packet::frame_key_packet(origin, key_.suite(), wrapped).wire
        );
        outgoing_ = session.offer({stream_, parts_.flow + " load", metadata.encode()});
        QIAO_CO_TRY(const auto state, co_await outgoing_->state());
        const packet::SchemaBody schema{{part_.schema}};
        co_return co_await send(packet::Kind::Schema, schema.encode());
    }

    Task<Status> write(capture::LoadChunk chunk) override {
        for (const auto& body : chunks_.cut(chunk)) {
            QIAO_CO_CHECK(co_await send(packet::Kind::LoadChunk, body.encode()));
        }
        co_return Status{};
    }

    Task<Status> finish() override {
        while (true) {
            QIAO_CO_TRY(const auto reached, co_await outgoing_->next_acknowledgement());
            if (reached.reached.level == link::AckLevel::Applied &&
                reached.reached.point == tip_.point && reached.reached.digest == tip_.digest) {
                co_return Status{};
            }
        }
    }

private:
    packet::OriginHeader next_origin(packet::Kind kind) {
        packet::OriginHeader origin;
        origin.kind = kind;
        origin.stream = stream_;
        origin.epoch = {1};
        origin.sequence = tip_.point.sequence.next();
        origin.previous_sequence = tip_.point.sequence;
        origin.previous_digest = tip_.digest;
        origin.first = origin.last = session_.joined_at;
        origin.captured = parts_.clock.wall_now();
        origin.trace = parts_.rng.make_id<TraceId>();
        origin.generation = session_.generation;
        return origin;
    }

    Task<Status> send(packet::Kind kind, Bytes body) {
        if (body.size() > packet::kPacketBytesMax) {
            co_return Error(
                ErrorCode::PacketTooLarge,
                fmt::format("a row of {} bytes in {}", body.size(), part_.schema.table.to_string())
            );
        }
        const auto origin = next_origin(kind);
        auto sealed = packet::seal(origin, {}, std::move(body), key_, parts_.compression);
        tip_ = {{origin.epoch, origin.sequence}, sealed.digest, origin.last};
        if (parts_.pacer != nullptr) {
            StopSignal never;
            const auto over = [this] { return outgoing_->ended().has_value(); };
            const auto earned = co_await parts_.pacer->earn(sealed.wire.size(), never, over);
            if (!earned) {
                co_return *outgoing_->ended();
            }
        }
        co_return co_await outgoing_->send(tip_.point, std::move(sealed.wire));
    }

    RemoteTarget::Parts parts_;
    crypto::SealingKey key_;
    capture::LoadPart part_;
    LoadSession session_;
    StreamId stream_;
    ChainTip tip_;
    LoadChunks chunks_;
    std::unique_ptr<link::OutgoingStream> outgoing_;
};

}  // namespace

Task<Result<Bytes>> RemoteTarget::call(std::string method, Bytes rest, Duration deadline) {
    if (session_ == nullptr) {
        co_return Error(ErrorCode::NetworkUnreachable, "the link is down");
    }
    ByteWriter argument;
    argument.put_sized(parts_.flow);
    argument.append(rest);
    const Deadline until{parts_.clock.now() + deadline};
    co_return co_await session_->call(std::move(method), std::move(argument).take(), until);
}

Task<Result<TargetState>> RemoteTarget::state() {
    QIAO_CO_TRY(const auto reply, co_await call(kStateMethod, {}));
    co_return TargetState::decode(reply);
}

Task<Result<drivers::CreateReport>> RemoteTarget::create(
    drivers::Structure structure, drivers::StructurePhase phase
) {
    const auto whole = structure.encode();
    const auto small = packet::compress(whole, packet::Compression::Zstd);
    ByteView rest = small.empty() ? whole : small;
    // What one call cannot carry goes before it, piece by piece.
    const bool pieces = rest.size() > kPieceBytes;
    for (bool first = true; rest.size() > kPieceBytes; first = false) {
        ByteWriter piece;
        piece.put(static_cast<uint8_t>(first ? 1 : 0));
        piece.append(rest.first(kPieceBytes));
        QIAO_CO_TRY(const auto taken, co_await call(kCreatePieceMethod, std::move(piece).take()));
        rest = rest.subspan(kPieceBytes);
    }
    ByteWriter argument;
    argument.put(static_cast<uint8_t>(phase));
    argument.put(static_cast<uint8_t>(small.empty() ? 0 : 1));
    argument.put(static_cast<uint8_t>(pieces ? 1 : 0));
    argument.put(static_cast<uint32_t>(whole.size()));
    argument.append(rest);
    QIAO_CO_TRY(
        const auto reply,
        co_await call(kCreateMethod, std::move(argument).take(), parts_.create_deadline)
    );
    co_return decode_report(reply);
}

Task<Result<drivers::CreateReport>> RemoteTarget::advance_sequences(
    std::vector<drivers::SequenceValue> values
) {
    drivers::CreateReport all;
    for (const auto& some : in_pieces(std::move(values), kSequencesOfOneCall)) {
        QIAO_CO_TRY(
            const auto reply, co_await call(kAdvanceSequencesMethod, encode_sequences(some))
        );
        QIAO_CO_TRY(const auto report, decode_report(reply));
        std::ranges::copy(report.made, std::back_inserter(all.made));
        std::ranges::copy(report.failed, std::back_inserter(all.failed));
    }
    co_return all;
}

Task<Status> RemoteTarget::announce_loads(std::vector<model::TableName> tables) {
    for (const auto& some : in_pieces(std::move(tables))) {
        QIAO_CO_TRY(const auto reply, co_await call(kAnnounceMethod, encode_tables(some)));
    }
    co_return Status{};
}

Task<Status> RemoteTarget::call_for(std::string method, LoadSession session) {
    const auto names = std::move(session.names);
    for (auto& some : in_pieces(std::move(session.tables))) {
        session.names = names.of(some);
        session.tables = std::move(some);
        QIAO_CO_TRY(const auto reply, co_await call(method.c_str(), session.encode()));
    }
    co_return Status{};
}

Task<Status> RemoteTarget::begin_load(LoadSession session) {
    return call_for(kBeginLoadMethod, std::move(session));
}

Task<Result<std::unique_ptr<FlowTarget::Part>>> RemoteTarget::open_part(
    capture::LoadPart part, drivers::LoadFormat format, LoadSession session
) {
    if (session_ == nullptr) {
        co_return Error(ErrorCode::NetworkUnreachable, "the link is down");
    }
    auto remote = std::make_unique<RemotePart>(
        parts_,
        crypto::SealingKey::make(parts_.suite, parts_.rng),
        std::move(part),
        format,
        std::move(session)
    );
    QIAO_CO_CHECK(co_await remote->start(*session_));
    co_return std::unique_ptr<Part>(std::move(remote));
}

Task<Status> RemoteTarget::finish_load(LoadSession session) {
    return call_for(kFinishLoadMethod, std::move(session));
}

Task<Status> RemoteTarget::adopt(LoadSession session, std::vector<model::TableSchema> schemas) {
    ByteWriter argument;
    argument.put_sized(session.encode());
    argument.append(packet::SchemaBody{std::move(schemas)}.encode());
    QIAO_CO_TRY(const auto reply, co_await call(kAdoptMethod, std::move(argument).take()));
    co_return Status{};
}

Task<Result<std::vector<model::TableName>>> RemoteTarget::resyncs_asked() {
    QIAO_CO_TRY(const auto reply, co_await call(kResyncsAskedMethod, {}));
    co_return decode_tables(reply);
}

Task<Status> RemoteTarget::start_apply() {
    QIAO_CO_TRY(const auto reply, co_await call(kStartApplyMethod, {}));
    co_return Status{};
}

}  // namespace qiao::engine
