#pragma once

#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/link/call.h"
#include "qiao/link/statement.h"

#include <cstdint>
#include <string>
#include <variant>

namespace qiao::link {

/// The bytes of a link, as docs/reference/formats/link.md says them. Statements of state only: a
/// frame that is repeated, or comes for a stream that is gone, does no harm. Source: rules 28

constexpr uint16_t kProtocolMajor = 1;
constexpr uint16_t kProtocolMinor = 0;
constexpr uint32_t kHelloMagic = 0x4B4C4951;  ///< `QILK`

/// Payload length and type, before every payload.
constexpr size_t kFrameHeadBytes = 5;
/// Stream, offer number, epoch, sequence: before a packet.
constexpr size_t kDataFieldBytes = 16 + 4 + 8 + 8;
/// Request, flags, error code: before a part of an answer.
constexpr size_t kReplyFieldBytes = 8 + 1 + 2;
/// The largest payload: of a Data frame, and of every other.
constexpr size_t kFrameBytesMax = kPacketBytesMax + (size_t{64} << 10U);
constexpr size_t kControlBytesMax = (size_t{1} << 20U) + (size_t{64} << 10U);
/// Before the peer is known.
constexpr size_t kHelloBytesMax = size_t{4} << 10U;
constexpr size_t kReplyPartBytesMax = size_t{256} << 10U;

/// Numbers never change. From kOptionalTypes on, a receiver that does not know a type skips it.
enum class FrameType : uint8_t {
    Hello = 1,
    Offer = 2,
    State = 3,
    Data = 4,
    Ack = 5,
    Window = 6,
    Withdraw = 7,
    Refuse = 8,
    Call = 9,
    Reply = 10,
    ReplyWindow = 11,
    Cancel = 12,
    Ping = 13,
    Pong = 14,
    Goodbye = 15,
};
constexpr uint8_t kOptionalTypes = 128;

struct HelloFrame {
    uint16_t major = kProtocolMajor;
    uint16_t minor = kProtocolMinor;
    uint64_t features_required = 0;
    uint64_t features_optional = 0;
    Incarnation incarnation;
    std::string node_name;
    bool operator==(const HelloFrame&) const = default;
};

/// `offer` numbers the offers of a session, so that what belongs to an earlier one is told.
struct OfferFrame {
    uint32_t offer = 0;
    StreamOffer content;
    bool operator==(const OfferFrame&) const = default;
};

struct StateFrame {
    StreamId stream;
    uint32_t offer = 0;
    uint64_t allowed = 0;  ///< as WindowFrame
    StreamState state;
    bool operator==(const StateFrame&) const = default;
};

struct DataFrame {
    StreamId stream;
    uint32_t offer = 0;
    StreamPoint point;
    Bytes packet;
    bool operator==(const DataFrame&) const = default;

    /// What it takes of the window.
    uint64_t cost() const { return kDataFieldBytes + packet.size(); }
};

struct AckFrame {
    StreamId stream;
    Acknowledgement content;
    bool operator==(const AckFrame&) const = default;
};

/// "You may send while less than this many bytes were sent since the offer": a total, not a
/// difference, so that it may be repeated or lost.
struct WindowFrame {
    StreamId stream;
    uint32_t offer = 0;
    uint64_t allowed = 0;
    bool operator==(const WindowFrame&) const = default;
};

struct WithdrawFrame {
    StreamId stream;
    uint32_t offer = 0;
    bool operator==(const WithdrawFrame&) const = default;
};

struct RefuseFrame {
    StreamId stream;
    uint32_t offer = 0;
    uint16_t code = 0;  ///< of the error catalogue
    std::string detail;
    bool operator==(const RefuseFrame&) const = default;
};

struct CallFrame {
    uint64_t request = 0;
    uint64_t allowed = 0;  ///< as ReplyWindowFrame
    std::string method;
    Bytes argument;
    bool operator==(const CallFrame&) const = default;
};

struct ReplyFrame {
    uint64_t request = 0;
    bool last = false;
    uint16_t code = 0;  ///< 0: well; else of the error catalogue, and `part` is the detail
    Bytes part;
    bool operator==(const ReplyFrame&) const = default;

    uint64_t cost() const { return kReplyFieldBytes + part.size(); }
};

struct ReplyWindowFrame {
    uint64_t request = 0;
    uint64_t allowed = 0;
    bool operator==(const ReplyWindowFrame&) const = default;
};

struct CancelFrame {
    uint64_t request = 0;
    bool operator==(const CancelFrame&) const = default;
};

struct PingFrame {
    uint64_t sent_ns = 0;  ///< the sender's own monotonic time; means nothing to others
    bool operator==(const PingFrame&) const = default;
};

struct PongFrame {
    uint64_t sent_ns = 0;  ///< of the ping that it answers
    bool operator==(const PongFrame&) const = default;
};

struct GoodbyeFrame {
    uint16_t code = 0;
    std::string detail;
    bool operator==(const GoodbyeFrame&) const = default;
};

/// A frame to send: the body travels behind the head without being copied into it.
struct OutFrame {
    Bytes head;
    Bytes body;

    size_t size() const { return head.size() + body.size(); }
};

OutFrame encode(const HelloFrame& frame);
OutFrame encode(const OfferFrame& frame);
OutFrame encode(const StateFrame& frame);
OutFrame encode(DataFrame frame);
OutFrame encode(const AckFrame& frame);
OutFrame encode(const WindowFrame& frame);
OutFrame encode(const WithdrawFrame& frame);
OutFrame encode(const RefuseFrame& frame);
OutFrame encode(CallFrame frame);
OutFrame encode(ReplyFrame frame);
OutFrame encode(const ReplyWindowFrame& frame);
OutFrame encode(const CancelFrame& frame);
OutFrame encode(const PingFrame& frame);
OutFrame encode(const PongFrame& frame);
OutFrame encode(const GoodbyeFrame& frame);

/// A frame as it came: the fixed fields and the rest apart, so that a packet is read from the
/// connection into the buffer in which it stays. Types without fixed fields have all in `body`.
struct RawFrame {
    uint8_t type = 0;
    Bytes fields;
    Bytes body;

    size_t size() const { return kFrameHeadBytes + fields.size() + body.size(); }
};

/// How many bytes of a payload are `fields`.
size_t field_bytes(uint8_t type);

/// How long a payload of this type may be.
size_t payload_bytes_max(uint8_t type);

/// An optional type that this version does not know.
struct SkippedFrame {};

using Frame = std::variant<
    SkippedFrame,
    HelloFrame,
    OfferFrame,
    StateFrame,
    DataFrame,
    AckFrame,
    WindowFrame,
    WithdrawFrame,
    RefuseFrame,
    CallFrame,
    ReplyFrame,
    ReplyWindowFrame,
    CancelFrame,
    PingFrame,
    PongFrame,
    GoodbyeFrame>;

/// Errors: link.protocol for anything malformed or out of bounds.
Result<Frame> decode(RawFrame raw);

}  // namespace qiao::link
