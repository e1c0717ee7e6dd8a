#include "qiao/capture/postgres/internal/copy_rows.h"

#include "qiao/capture/postgres/internal/big_endian.h"

namespace qiao::capture::postgres::internal {
namespace {

constexpr std::string_view kSignature("PGCOPY\n\377\r\n\0", 11);
constexpr std::string_view kTrailer("\377\377", 2);

Error malformed() { return {ErrorCode::CaptureProtocol, "COPY data"}; }

}  // namespace

Result<ByteView> CopyRows::without_header(ByteView message) {
    ByteReader in(message);
    const auto signature = in.take(kSignature.size());
    big_endian<uint32_t>(in);  // flags: none that a query of ours sets
    in.take(big_endian<uint32_t>(in));
    if (!in.ok() || as_text(signature) != kSignature) {
        return malformed();
    }
    header_seen_ = true;
    return in.rest();
}

Result<std::optional<ByteView>> CopyRows::row(ByteView message) {
    if (format_ == drivers::LoadFormat::PgCopyBinary) {
        if (!header_seen_) {
            QIAO_TRY(message, without_header(message));
        }
        if (message.empty() || as_text(message) == kTrailer) {
            return std::optional<ByteView>();
        }
    } else if (message.empty() || message.back() != std::byte{'\n'}) {
        return malformed();
    }
    return std::optional(message);
}

}  // namespace qiao::capture::postgres::internal
