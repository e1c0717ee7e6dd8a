#include "qiao/engine/target_service.h"

#include "qiao/engine/create_report_codec.h"
#include "qiao/engine/remote_target.h"
#include "qiao/packet/compression.h"

#include <fmt/format.h>

namespace qiao::engine {
namespace {

constexpr size_t kStructureBytesMost = size_t{512} << 20U;
constexpr size_t kPiecesBytesMost = size_t{64} << 20U;

}  // namespace

void TargetService::attach(link::Session& session) {
    session.set_stream_handler(*this);
    for (const auto* method :
         {kStateMethod,
          kCreatePieceMethod,
          kCreateMethod,
          kAdvanceSequencesMethod,
          kBeginLoadMethod,
          kFinishLoadMethod,
          kAdoptMethod,
          kAnnounceMethod,
          kResyncsAskedMethod,
          kStartApplyMethod}) {
        session.register_method(
            method,
            [this, name = std::string(method)](Bytes argument, link::ReplySink& sink) {
                return reply(name, std::move(argument), sink);
            }
        );
    }
}

Result<TargetFlow*> TargetService::find(std::string_view flow, const StreamId* stream) const {
    const auto found = flows_.find(std::string(flow));
    const bool known = found != flows_.end() && found->second->options().peer == peer_ &&
                       (stream == nullptr || found->second->options().stream == *stream);
    if (!known) {
        return Error(
            ErrorCode::LinkRefused,
            fmt::format("flow `{}` is not received here from `{}`", flow, peer_)
        );
    }
    if (!found->second->opened()) {
        return Error(ErrorCode::LinkBusy, fmt::format("flow `{}` is starting", flow));
    }
    return found->second;
}

Task<void> TargetService::serve(link::IncomingStream& stream) {
    const auto metadata = OfferMetadata::decode(stream.offer().metadata);
    if (!metadata) {
        stream.refuse(metadata.error());
        co_return;
    }
    const bool log = metadata->role == OfferMetadata::Role::Log;
    const auto flow = find(metadata->flow, log ? &stream.offer().stream : nullptr);
    if (!flow) {
        stream.refuse(flow.error());
        co_return;
    }
    co_await (*flow)->serve(stream, metadata->role);
}

Task<Status> TargetService::reply(std::string method, Bytes argument, link::ReplySink& sink) {
    QIAO_CO_TRY(auto bytes, co_await answer(std::move(method), std::move(argument)));
    co_return co_await sink.send(std::move(bytes));
}

Status TargetService::gather_piece(const std::string& flow, ByteView rest) {
    ByteReader in(rest);
    const bool first = in.get<uint8_t>() != 0;
    auto& gathered = pieces_[flow];
    if (first) {
        gathered.clear();
    }
    if (!in.ok() || gathered.size() + in.rest().size() > kPiecesBytesMost) {
        pieces_.erase(flow);
        return Error(ErrorCode::LinkProtocol, "a piece of a structure");
    }
    gathered.insert(gathered.end(), in.rest().begin(), in.rest().end());
    return {};
}

Task<Result<Bytes>> TargetService::create(
    const std::string& flow, FlowTarget& target, ByteView rest
) {
    ByteReader in(rest);
    const auto phase = in.get<uint8_t>();
    const bool compressed = in.get<uint8_t>() != 0;
    const bool pieces = in.get<uint8_t>() != 0;
    const auto size = in.get<uint32_t>();
    if (!in.ok() || phase < 1 || phase > 2 || size > kStructureBytesMost) {
        co_return Error(ErrorCode::LinkProtocol, "structure");
    }
    auto whole = pieces ? std::exchange(pieces_[flow], {}) : Bytes();
    whole.insert(whole.end(), in.rest().begin(), in.rest().end());
    if (compressed) {
        QIAO_CO_TRY(whole, packet::decompress(whole, packet::Compression::Zstd, size));
    }
    QIAO_CO_TRY(auto structure, drivers::Structure::decode(whole));
    const auto when = static_cast<drivers::StructurePhase>(phase);
    QIAO_CO_TRY(const auto report, co_await target.create(std::move(structure), when));
    co_return encode_report(report);
}

Task<Status> TargetService::adopt(FlowTarget& target, ByteView rest) {
    ByteReader in(rest);
    const auto session_bytes = in.get_sized();
    if (!in.ok()) {
        co_return Error(ErrorCode::LinkProtocol, "tables that are there already");
    }
    QIAO_CO_TRY(auto session, LoadSession::decode(session_bytes));
    QIAO_CO_TRY(auto body, packet::SchemaBody::decode(in.rest()));
    co_return co_await target.adopt(std::move(session), std::move(body.schemas));
}

Task<Result<Bytes>> TargetService::answer(std::string method, Bytes argument) {
    ByteReader in(argument);
    const auto name = in.get_text();
    if (!in.ok()) {
        co_return Error(ErrorCode::LinkProtocol, "call argument");
    }
    QIAO_CO_TRY(auto* flow, find(name, nullptr));
    auto& target = flow->target();
    if (method == kStateMethod) {
        QIAO_CO_CHECK(co_await flow->settle());
        QIAO_CO_TRY(const auto state, co_await target.state());
        co_return state.encode();
    }
    if (method == kCreatePieceMethod) {
        QIAO_CO_CHECK(gather_piece(std::string(name), in.rest()));
        co_return Bytes{};
    }
    if (method == kCreateMethod) {
        co_return co_await create(std::string(name), target, in.rest());
    }
    if (method == kAdvanceSequencesMethod) {
        QIAO_CO_TRY(auto values, decode_sequences(in.rest()));
        QIAO_CO_TRY(const auto report, co_await target.advance_sequences(std::move(values)));
        co_return encode_report(report);
    }
    if (method == kBeginLoadMethod || method == kFinishLoadMethod) {
        QIAO_CO_TRY(auto session, LoadSession::decode(in.rest()));
        const bool begins = method == kBeginLoadMethod;
        auto task = begins ? target.begin_load(session) : target.finish_load(session);
        QIAO_CO_CHECK(co_await std::move(task));
        co_return Bytes{};
    }
    if (method == kAnnounceMethod) {
        QIAO_CO_TRY(auto tables, decode_tables(in.rest()));
        QIAO_CO_CHECK(co_await target.announce_loads(std::move(tables)));
        co_return Bytes{};
    }
    if (method == kResyncsAskedMethod) {
        QIAO_CO_TRY(const auto asked, co_await target.resyncs_asked());
        co_return encode_tables(asked);
    }
    if (method == kAdoptMethod) {
        QIAO_CO_CHECK(co_await adopt(target, in.rest()));
        co_return Bytes{};
    }
    QIAO_CO_CHECK(co_await target.start_apply());
    co_return Bytes{};
}

}  // namespace qiao::engine
