#include "qiao/link/internal/frame_reader.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::link::internal {

Task<Result<size_t>> FrameReader::read_once(MutableByteView into) {
    auto got = co_await connection_.read_some(into);
    if (got) {
        last_heard_ = clock_.now();
        bytes_ += *got;
    }
    co_return got;
}

Task<Status> FrameReader::fill(size_t wanted) {
    while (buffered() < wanted) {
        if (begin_ != 0) {
            std::memmove(buffer_.data(), buffer_.data() + begin_, buffered());
            end_ -= begin_;
            begin_ = 0;
        }
        QIAO_CO_TRY(const auto got, co_await read_once(MutableByteView(buffer_).subspan(end_)));
        end_ += got;
    }
    co_return Status{};
}

Task<Status> FrameReader::read_into(MutableByteView into) {
    const auto ready = std::min(buffered(), into.size());
    std::copy_n(buffer_.begin() + static_cast<ptrdiff_t>(begin_), ready, into.begin());
    begin_ += ready;
    into = into.subspan(ready);
    while (into.size() >= kBufferBytes / 2) {
        QIAO_CO_TRY(const auto got, co_await read_once(into));
        into = into.subspan(got);
    }
    if (!into.empty()) {
        QIAO_CO_CHECK(co_await fill(into.size()));
        std::copy_n(buffer_.begin() + static_cast<ptrdiff_t>(begin_), into.size(), into.begin());
        begin_ += into.size();
    }
    co_return Status{};
}

Task<Result<RawFrame>> FrameReader::next() {
    QIAO_CO_CHECK(co_await fill(kFrameHeadBytes));
    ByteReader head(ByteView(buffer_).subspan(begin_, kFrameHeadBytes));
    const auto length = head.get<uint32_t>();
    RawFrame frame;
    frame.type = head.get<uint8_t>();
    begin_ += kFrameHeadBytes;

    const auto fields = field_bytes(frame.type);
    if (length < fields || length > std::min(bound_, payload_bytes_max(frame.type))) {
        co_return Error(
            ErrorCode::LinkProtocol,
            fmt::format("a frame of type {} and {} bytes", frame.type, length)
        );
    }
    frame.fields.resize(fields);
    frame.body.resize(length - fields);
    QIAO_CO_CHECK(co_await read_into(frame.fields));
    QIAO_CO_CHECK(co_await read_into(frame.body));
    co_return frame;
}

}  // namespace qiao::link::internal
