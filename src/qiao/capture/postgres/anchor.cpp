#include "qiao/capture/postgres/anchor.h"

#include "qiao/capture/postgres/internal/big_endian.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace qiao::capture::postgres {

using internal::append_big_endian;
using internal::big_endian;

Anchor Anchor::of(Lsn commit, uint32_t xid, WallTime commit_time) {
    Bytes told;
    append_big_endian(told, xid);
    append_big_endian(told, static_cast<uint64_t>(commit_time.us));
    return {commit, static_cast<uint32_t>(XXH3_64bits(told.data(), told.size()))};
}

model::SourcePosition with_anchor(model::SourcePosition position, const Anchor& anchor) {
    position.anchor.clear();
    append_big_endian(position.anchor, anchor.commit);
    append_big_endian(position.anchor, anchor.check);
    return position;
}

std::optional<Anchor> anchor_of(const model::SourcePosition& position) {
    if (!lsn_of(position) || position.anchor.size() != sizeof(Lsn) + sizeof(uint32_t)) {
        return std::nullopt;
    }
    ByteReader in(position.anchor);
    Anchor anchor;
    anchor.commit = big_endian<Lsn>(in);
    anchor.check = big_endian<uint32_t>(in);
    return anchor;
}

Status AnchorCheck::see(const Anchor& commit) {
    if (!awaited_ || commit.commit < awaited_->commit) {
        return {};
    }
    if (commit != *awaited_) {
        return other_history();
    }
    awaited_.reset();
    return {};
}

Status AnchorCheck::passed(Lsn end) const {
    return awaited_ && end > awaited_->commit ? Status(other_history()) : Status{};
}

Error AnchorCheck::other_history() const {
    return {
        ErrorCode::CaptureIdentity,
        fmt::format(
            "the source no longer has the transaction at {} by which this flow stands: it was put "
            "back",
            format_lsn(awaited_->commit)
        )
    };
}

}  // namespace qiao::capture::postgres
