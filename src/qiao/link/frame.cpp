#include "qiao/link/frame.h"

#include <fmt/format.h>

#include <limits>

namespace qiao::link {
namespace {

constexpr size_t kNodeNameBytesMax = 256;
constexpr size_t kDetailBytesMax = size_t{2} << 10U;
constexpr uint8_t kReplyLast = 1;

/// A head of which the payload's length is filled in at the end.
class HeadWriter : public ByteWriter {
public:
    explicit HeadWriter(FrameType type) : type_(static_cast<uint8_t>(type)) {
        put(uint32_t{0});
        put(type_);
    }

    template <class Id>
    void put_id(const Id& id) {
        append(id.view());
    }

    void put_point(const StreamPoint& point) {
        put(point.epoch.value);
        put(point.sequence.value);
    }

    void put_level_point(const LevelPoint& level) {
        put(static_cast<uint8_t>(level.level));
        put_point(level.point);
        put_id(level.digest);
        put_sized(level.consumer);
    }

    OutFrame finish(Bytes body = {}) && {
        const auto length = size() - kFrameHeadBytes + body.size();
        QIAO_ASSERT(length <= payload_bytes_max(type_));
        patch(0, static_cast<uint32_t>(length));
        return {std::move(*this).take(), std::move(body)};
    }

private:
    uint8_t type_;
};

template <class Id>
Id get_id(ByteReader& reader) {
    return Id::from(reader.take(Id::kSize));
}

StreamPoint get_point(ByteReader& reader) {
    const Epoch epoch{reader.get<uint64_t>()};
    const Sequence sequence{reader.get<uint64_t>()};
    return {epoch, sequence};
}

/// A length-prefixed field that is not longer than allowed.
ByteView get_bounded(ByteReader& reader, size_t most) {
    const auto view = reader.get_sized();
    if (view.size() > most) {
        reader.fail();
        return {};
    }
    return view;
}

std::string get_bounded_text(ByteReader& reader, size_t most) {
    return std::string(as_text(get_bounded(reader, most)));
}

LevelPoint get_level_point(ByteReader& reader) {
    LevelPoint level;
    const auto number = reader.get<uint8_t>();
    if (number != static_cast<uint8_t>(AckLevel::Held) &&
        number != static_cast<uint8_t>(AckLevel::Applied)) {
        reader.fail();
        return level;
    }
    level.level = static_cast<AckLevel>(number);
    level.point = get_point(reader);
    level.digest = get_id<Digest>(reader);
    level.consumer = get_bounded_text(reader, kConsumerBytesMax);
    return level;
}

/// Text for people is cut, not refused.
std::string_view cut(std::string_view text) {
    if (text.size() <= kDetailBytesMax) {
        return text;
    }
    auto length = kDetailBytesMax;
    while (length > 0 && (static_cast<uint8_t>(text[length]) & 0xC0U) == 0x80U) {
        --length;  // not inside a UTF-8 character
    }
    return text.substr(0, length);
}

HelloFrame decode_hello(ByteReader& reader) {
    HelloFrame frame;
    if (reader.get<uint32_t>() != kHelloMagic) {
        reader.fail();
    }
    frame.major = reader.get<uint16_t>();
    frame.minor = reader.get<uint16_t>();
    frame.features_required = reader.get<uint64_t>();
    frame.features_optional = reader.get<uint64_t>();
    frame.incarnation = get_id<Incarnation>(reader);
    frame.node_name = get_bounded_text(reader, kNodeNameBytesMax);
    return frame;
}

OfferFrame decode_offer(ByteReader& reader) {
    OfferFrame frame;
    frame.content.stream = get_id<StreamId>(reader);
    frame.offer = reader.get<uint32_t>();
    frame.content.label = get_bounded_text(reader, kLabelBytesMax);
    frame.content.metadata = to_bytes(get_bounded(reader, kMetadataBytesMax));
    return frame;
}

StateFrame decode_state(ByteReader& reader) {
    StateFrame frame;
    frame.stream = get_id<StreamId>(reader);
    frame.offer = reader.get<uint32_t>();
    frame.allowed = reader.get<uint64_t>();
    frame.state.held = get_point(reader);
    frame.state.digest = get_id<Digest>(reader);
    frame.state.fragment = reader.get<uint32_t>();
    frame.state.position = to_bytes(get_bounded(reader, kPositionBytesMax));
    const auto count = reader.get<uint16_t>();
    if (count > kLevelPointsMax) {
        reader.fail();
    }
    for (uint16_t i = 0; i < count && reader.ok(); ++i) {
        frame.state.points.push_back(get_level_point(reader));
    }
    return frame;
}

AckFrame decode_ack(ByteReader& reader) {
    AckFrame frame;
    frame.stream = get_id<StreamId>(reader);
    frame.content.reached = get_level_point(reader);
    frame.content.signer = to_bytes(get_bounded(reader, kSignerBytesMax));
    return frame;
}

template <class StreamFrame>
StreamFrame decode_stream_and_offer(ByteReader& reader) {
    StreamFrame frame;
    frame.stream = get_id<StreamId>(reader);
    frame.offer = reader.get<uint32_t>();
    return frame;
}

WindowFrame decode_window(ByteReader& reader) {
    auto frame = decode_stream_and_offer<WindowFrame>(reader);
    frame.allowed = reader.get<uint64_t>();
    return frame;
}

RefuseFrame decode_refuse(ByteReader& reader) {
    auto frame = decode_stream_and_offer<RefuseFrame>(reader);
    frame.code = reader.get<uint16_t>();
    frame.detail = get_bounded_text(reader, kDetailBytesMax);
    return frame;
}

CallFrame decode_call(ByteReader& reader) {
    CallFrame frame;
    frame.request = reader.get<uint64_t>();
    frame.allowed = reader.get<uint64_t>();
    frame.method = get_bounded_text(reader, kMethodNameBytesMax);
    frame.argument = to_bytes(get_bounded(reader, kArgumentBytesMax));
    return frame;
}

DataFrame decode_data(ByteReader& fields, Bytes body) {
    DataFrame frame;
    frame.stream = get_id<StreamId>(fields);
    frame.offer = fields.get<uint32_t>();
    frame.point = get_point(fields);
    frame.packet = std::move(body);
    return frame;
}

ReplyFrame decode_reply(ByteReader& fields, Bytes body) {
    ReplyFrame frame;
    frame.request = fields.get<uint64_t>();
    frame.last = (fields.get<uint8_t>() & kReplyLast) != 0;
    frame.code = fields.get<uint16_t>();
    if (body.size() > (frame.code == 0 ? kReplyPartBytesMax : kDetailBytesMax)) {
        fields.fail();
    }
    frame.part = std::move(body);
    return frame;
}

Result<Frame> decode_known(FrameType type, ByteReader& reader, Bytes& body) {
    switch (type) {
        case FrameType::Hello:
            return decode_hello(reader);
        case FrameType::Offer:
            return decode_offer(reader);
        case FrameType::State:
            return decode_state(reader);
        case FrameType::Data:
            return decode_data(reader, std::move(body));
        case FrameType::Ack:
            return decode_ack(reader);
        case FrameType::Window:
            return decode_window(reader);
        case FrameType::Withdraw:
            return decode_stream_and_offer<WithdrawFrame>(reader);
        case FrameType::Refuse:
            return decode_refuse(reader);
        case FrameType::Call:
            return decode_call(reader);
        case FrameType::Reply:
            return decode_reply(reader, std::move(body));
        case FrameType::ReplyWindow: {
            const auto request = reader.get<uint64_t>();
            return ReplyWindowFrame{request, reader.get<uint64_t>()};
        }
        case FrameType::Cancel:
            return CancelFrame{reader.get<uint64_t>()};
        case FrameType::Ping:
            return PingFrame{reader.get<uint64_t>()};
        case FrameType::Pong:
            return PongFrame{reader.get<uint64_t>()};
        case FrameType::Goodbye: {
            const auto code = reader.get<uint16_t>();
            return GoodbyeFrame{code, get_bounded_text(reader, kDetailBytesMax)};
        }
    }
    return Error(ErrorCode::LinkProtocol, fmt::format("frame type {}", static_cast<int>(type)));
}

}  // namespace

OutFrame encode(const HelloFrame& frame) {
    HeadWriter writer(FrameType::Hello);
    writer.put(kHelloMagic);
    writer.put(frame.major);
    writer.put(frame.minor);
    writer.put(frame.features_required);
    writer.put(frame.features_optional);
    writer.put_id(frame.incarnation);
    writer.put_sized(frame.node_name);
    return std::move(writer).finish();
}

OutFrame encode(const OfferFrame& frame) {
    HeadWriter writer(FrameType::Offer);
    writer.put_id(frame.content.stream);
    writer.put(frame.offer);
    writer.put_sized(frame.content.label);
    writer.put_sized(frame.content.metadata);
    return std::move(writer).finish();
}

OutFrame encode(const StateFrame& frame) {
    HeadWriter writer(FrameType::State);
    writer.put_id(frame.stream);
    writer.put(frame.offer);
    writer.put(frame.allowed);
    writer.put_point(frame.state.held);
    writer.put_id(frame.state.digest);
    writer.put(frame.state.fragment);
    writer.put_sized(frame.state.position);
    writer.put(static_cast<uint16_t>(frame.state.points.size()));
    for (const auto& level : frame.state.points) {
        writer.put_level_point(level);
    }
    return std::move(writer).finish();
}

OutFrame encode(DataFrame frame) {
    HeadWriter writer(FrameType::Data);
    writer.put_id(frame.stream);
    writer.put(frame.offer);
    writer.put_point(frame.point);
    return std::move(writer).finish(std::move(frame.packet));
}

OutFrame encode(const AckFrame& frame) {
    HeadWriter writer(FrameType::Ack);
    writer.put_id(frame.stream);
    writer.put_level_point(frame.content.reached);
    writer.put_sized(frame.content.signer);
    return std::move(writer).finish();
}

OutFrame encode(const WindowFrame& frame) {
    HeadWriter writer(FrameType::Window);
    writer.put_id(frame.stream);
    writer.put(frame.offer);
    writer.put(frame.allowed);
    return std::move(writer).finish();
}

OutFrame encode(const WithdrawFrame& frame) {
    HeadWriter writer(FrameType::Withdraw);
    writer.put_id(frame.stream);
    writer.put(frame.offer);
    return std::move(writer).finish();
}

OutFrame encode(const RefuseFrame& frame) {
    HeadWriter writer(FrameType::Refuse);
    writer.put_id(frame.stream);
    writer.put(frame.offer);
    writer.put(frame.code);
    writer.put_sized(cut(frame.detail));
    return std::move(writer).finish();
}

OutFrame encode(CallFrame frame) {
    HeadWriter writer(FrameType::Call);
    writer.put(frame.request);
    writer.put(frame.allowed);
    writer.put_sized(frame.method);
    writer.put(static_cast<uint32_t>(frame.argument.size()));
    return std::move(writer).finish(std::move(frame.argument));
}

OutFrame encode(ReplyFrame frame) {
    HeadWriter writer(FrameType::Reply);
    writer.put(frame.request);
    writer.put(frame.last ? kReplyLast : uint8_t{0});
    writer.put(frame.code);
    if (frame.code != 0) {
        frame.part.resize(cut(as_text(frame.part)).size());
    }
    return std::move(writer).finish(std::move(frame.part));
}

OutFrame encode(const ReplyWindowFrame& frame) {
    HeadWriter writer(FrameType::ReplyWindow);
    writer.put(frame.request);
    writer.put(frame.allowed);
    return std::move(writer).finish();
}

OutFrame encode(const CancelFrame& frame) {
    HeadWriter writer(FrameType::Cancel);
    writer.put(frame.request);
    return std::move(writer).finish();
}

OutFrame encode(const PingFrame& frame) {
    HeadWriter writer(FrameType::Ping);
    writer.put(frame.sent_ns);
    return std::move(writer).finish();
}

OutFrame encode(const PongFrame& frame) {
    HeadWriter writer(FrameType::Pong);
    writer.put(frame.sent_ns);
    return std::move(writer).finish();
}

OutFrame encode(const GoodbyeFrame& frame) {
    HeadWriter writer(FrameType::Goodbye);
    writer.put(frame.code);
    writer.put_sized(cut(frame.detail));
    return std::move(writer).finish();
}

size_t field_bytes(uint8_t type) {
    switch (static_cast<FrameType>(type)) {
        case FrameType::Data:
            return kDataFieldBytes;
        case FrameType::Reply:
            return kReplyFieldBytes;
        default:
            return 0;
    }
}

size_t payload_bytes_max(uint8_t type) {
    return static_cast<FrameType>(type) == FrameType::Data ? kFrameBytesMax : kControlBytesMax;
}

Result<Frame> decode(RawFrame raw) {
    if (raw.type >= kOptionalTypes) {
        return SkippedFrame{};
    }
    const bool fielded = field_bytes(raw.type) != 0;
    ByteReader reader(fielded ? raw.fields : raw.body);
    auto frame = decode_known(static_cast<FrameType>(raw.type), reader, raw.body);
    if (!frame || reader.ok()) {
        return frame;
    }
    return Error(ErrorCode::LinkProtocol, fmt::format("malformed frame of type {}", raw.type));
}

}  // namespace qiao::link
