#include "qiao/engine/unpacker.h"

#include "qiao/common/plant.h"

#include <fmt/format.h>

namespace qiao::engine {

using packet::Kind;

namespace {

size_t memory_of(const apply::Fragment& fragment, size_t rows) {
    return rows + fragment.changes.size() * sizeof(model::Change);
}

/// The transaction is handed over, but this packet has more behind it.
void leave_at(std::variant<apply::Input, Recall>& out, const apply::StreamMark& mark) {
    if (auto* recall = std::get_if<Recall>(&out)) {
        recall->mark = mark;
    } else {
        std::get<apply::Fragment>(std::get<apply::Input>(out)).mark = mark;
    }
}

}  // namespace

Unpacker::Unpacker(ChainTip from) : tip_(std::move(from)) {}

Result<std::vector<std::variant<apply::Input, Recall>>> Unpacker::take(
    const packet::PacketView& view, Bytes body
) {
    QIAO_TRY(const auto verdict, admit(tip_, view.origin.stream, view));
    if (verdict != Verdict::Next) {
        return Error(ErrorCode::EngineOutOfChain, "a packet that was taken before");
    }
    QIAO_TRY(auto tip, tip_of(view));
    const apply::StreamMark mark{tip.point, tip.digest};
    const auto kind = view.origin.kind;
    Out out;
    switch (kind) {
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
        case Kind::Epoch:
            QIAO_CHECK(take_epoch(view, body, mark, out));
            break;
        default:
            QIAO_CHECK(take_control(view, body));
            break;
    }
    if (kind == Kind::Heartbeat) {
        for (auto& notice : heartbeat_->notices) {
            out.emplace_back(apply::Input(notice));
        }
    }
    const bool moves_alone = kind != Kind::Rows && kind != Kind::Epoch && kind != Kind::Provisional;
    if (moves_alone && !open_) {
        out.emplace_back(apply::Progress{held_back(mark), view.origin.last});
    }
    tip_ = std::move(tip);
    return out;
}

Status Unpacker::take_epoch(
    const packet::PacketView& view, ByteView body, const apply::StreamMark& mark, Out& out
) {
    QIAO_TRY(const auto epoch, packet::EpochBody::decode(body));
    open_ = false;
    ahead_.clear();
    const auto& start = view.origin.last;
    const bool gap = epoch.gap != packet::Gap::No;
    const bool elsewhere = gap && !(start == epoch.previous_position);
    out.emplace_back(apply::EpochOpened{mark, start, gap, elsewhere});
    return {};
}

Status Unpacker::take_control(const packet::PacketView& view, ByteView body) {
    switch (view.origin.kind) {
        case Kind::Heartbeat: {
            // A source beats between transactions: one that is open here was given up, and comes
            // again from its begin.
            open_ = false;
            QIAO_TRY(heartbeat_, packet::HeartbeatBody::decode(body));
            return {};
        }
        case Kind::Provisional:
            // Looked into when its transaction commits.
            ahead_.try_emplace(
                view.origin.fragment_xid, apply::StreamMark{tip_.point, tip_.digest}
            );
            return {};
        case Kind::Abort: {
            QIAO_TRY(const auto abort, packet::AbortBody::decode(body));
            abort.xid == 0 ? ahead_.clear() : void(ahead_.erase(abort.xid));
            return {};
        }
        case Kind::Key:
            return {};
        default:
            return Error(
                ErrorCode::PacketTooNew,
                fmt::format("packet kind {}", static_cast<int>(view.origin.kind))
            );
    }
}

apply::StreamMark Unpacker::held_back(const apply::StreamMark& mark) const {
    const auto* least = &mark;
    for (const auto& [xid, before] : ahead_) {
        if (before.point < least->point) {
            least = &before;
        }
    }
    return *least;
}

Status Unpacker::take_rows(Bytes body, const apply::StreamMark& mark, Out& out) {
    reader_.open(std::move(body));
    const apply::StreamMark before{tip_.point, tip_.digest};
    apply::Fragment fragment;
    std::optional<packet::Ahead> recalled;
    const auto finish = [&](bool last) {
        if (recalled) {
            ahead_.erase(open_head_.xid);
            out.emplace_back(
                Recall{open_head_, *std::exchange(recalled, {}), mark.point.epoch, held_back(mark)}
            );
            return;
        }
        fragment.head = open_head_;
        fragment.number = fragment_;
        fragment.last = last;
        fragment.keep = reader_.keep();
        // Until something behind it turns up, everything of this packet has been handed over.
        fragment.mark = held_back(mark);
        out.emplace_back(std::exchange(fragment, {}));
    };
    while (true) {
        QIAO_TRY(auto record, reader_.next());
        if (!record) {
            break;
        }
        if (auto* begin = std::get_if<FragmentReader::Begin>(&*record)) {
            // What was handed over before this begin leaves this packet unfinished.
            if (!out.empty()) {
                leave_at(out.back(), held_back(before));
            }
            open_ = true;
            open_head_ = std::move(begin->head);
            fragment_ = begin->fragment;
        } else if (auto* change = std::get_if<model::Change>(&*record)) {
            fragment.changes.push_back(std::move(*change));
        } else if (auto* ahead = std::get_if<packet::Ahead>(&*record)) {
            if (ahead->packets.empty()) {
                return Error(ErrorCode::PacketMalformed, "a commit that names no packet");
            }
            recalled = std::move(*ahead);
        } else {
            open_head_ = std::move(std::get<FragmentReader::Commit>(*record).head);
            open_ = false;
            finish(true);
        }
    }
    if (open_) {
        finish(false);
    }
    for (auto& each : out) {
        if (auto* input = std::get_if<apply::Input>(&each)) {
            auto& handed = std::get<apply::Fragment>(*input);
            handed.bytes = memory_of(handed, reader_.bytes() / out.size());
        }
    }
    return {};
}

Result<apply::Fragment> recall_fragment(
    FragmentReader& reader,
    const Recall& recall,
    size_t number,
    const packet::PacketView& view,
    Bytes body
) {
    if (view.origin.kind != Kind::Provisional || view.origin.fragment_xid != recall.head.xid) {
        return Error(ErrorCode::PacketMalformed, "a commit names a packet of something else");
    }
    apply::Fragment fragment;
    fragment.head = recall.head;
    fragment.number = static_cast<uint32_t>(number);
    fragment.last = number + 1 == recall.ahead.packets.size();
    fragment.mark = recall.mark;
    reader.open(std::move(body));
    while (true) {
        QIAO_TRY(auto record, reader.next());
        if (!record) {
            break;
        }
        auto* change = std::get_if<model::Change>(&*record);
        const bool undone = change != nullptr && recall.ahead.is_undone(change->sub_xid);
        if (change != nullptr && (!undone || is_planted(Plant::UndoneSubtransactionKept))) {
            fragment.changes.push_back(std::move(*change));
        }
    }
    fragment.keep = reader.keep();
    fragment.bytes = memory_of(fragment, reader.bytes());
    return fragment;
}

}  // namespace qiao::engine
