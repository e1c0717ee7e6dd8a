#include "qiao/engine/unpacker.h"

#include "qiao/packet/rows.h"

#include <fmt/format.h>

namespace qiao::engine {

using packet::Kind;
using packet::RowsReader;

Unpacker::Unpacker(ChainTip from) : tip_(std::move(from)) {}

Result<std::vector<apply::Input>> Unpacker::take(const packet::PacketView& view, Bytes body) {
    QIAO_TRY(const auto verdict, admit(tip_, view.origin.stream, view));
    if (verdict != Verdict::Next) {
        return Error(ErrorCode::EngineOutOfChain, "a packet that was taken before");
    }
    QIAO_TRY(auto tip, tip_of(view));
    const apply::StreamMark mark{tip.point, tip.digest};
    std::vector<apply::Input> out;
    switch (view.origin.kind) {
        case Kind::Rows:
            QIAO_CHECK(take_rows(std::move(body), mark, out));
            break;
        case Kind::Schema: {
            QIAO_TRY(auto schemas, packet::SchemaBody::decode(body));
            for (auto& schema : schemas.schemas) {
                out.emplace_back(apply::SchemaDefinition{std::move(schema)});
            }
            break;
        }
        case Kind::Heartbeat: {
            // A source beats between transactions: one that is open here was given up, and comes
            // again from its begin.
            open_ = false;
            QIAO_TRY(heartbeat_, packet::HeartbeatBody::decode(body));
            break;
        }
        case Kind::Epoch: {
            QIAO_TRY(const auto epoch, packet::EpochBody::decode(body));
            open_ = false;
            out.emplace_back(
                apply::EpochOpened{mark, view.origin.last, epoch.gap != packet::Gap::No}
            );
            break;
        }
        case Kind::Key:
            break;
        default:
            return Error(
                ErrorCode::PacketTooNew,
                fmt::format("packet kind {}", static_cast<int>(view.origin.kind))
            );
    }
    const bool moves_alone = view.origin.kind != Kind::Rows && view.origin.kind != Kind::Epoch;
    if (moves_alone && !open_) {
        out.emplace_back(apply::Progress{mark, view.origin.last});
    }
    tip_ = std::move(tip);
    return out;
}

Status Unpacker::take_rows(
    Bytes body, const apply::StreamMark& mark, std::vector<apply::Input>& out
) {
    const auto kept = std::make_shared<const Bytes>(std::move(body));
    const apply::StreamMark before{tip_.point, tip_.digest};
    RowsReader reader(*kept);
    apply::Fragment fragment;
    const auto finish = [&](bool last) {
        fragment.head = open_head_;
        fragment.number = fragment_;
        fragment.last = last;
        fragment.keep = kept;
        // Until something behind it turns up, everything of this packet has been handed over.
        fragment.mark = mark;
        out.emplace_back(std::exchange(fragment, {}));
    };
    while (true) {
        QIAO_TRY(auto record, reader.next());
        if (!record) {
            break;
        }
        if (auto* begin = std::get_if<RowsReader::Begin>(&*record)) {
            // What was handed over before this begin leaves this packet unfinished.
            if (!out.empty()) {
                std::get<apply::Fragment>(out.back()).mark = before;
            }
            open_ = true;
            open_head_ = std::move(begin->head);
            fragment_ = begin->fragment;
        } else if (auto* change = std::get_if<model::Change>(&*record)) {
            fragment.changes.push_back(std::move(*change));
        } else {
            open_head_ = std::move(std::get<RowsReader::Commit>(*record).head);
            open_ = false;
            finish(true);
        }
    }
    if (open_) {
        finish(false);
    }
    if (!out.empty()) {
        const auto share = kept->size() / out.size();
        for (auto& input : out) {
            std::get<apply::Fragment>(input).bytes = share;
        }
    }
    return {};
}

}  // namespace qiao::engine
