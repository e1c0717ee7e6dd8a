#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/crypto/suite.h"
#include "qiao/model/source_position.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::packet {

// Layout of everything here: docs/reference/formats/packet.md. Source: rules 7. Spec: R-20

constexpr uint8_t kFormatMajor = 1;
constexpr uint8_t kFormatMinor = 1;
constexpr size_t kPacketBytesDefault = 1U << 20U;
constexpr size_t kPacketBytesMax = 16U << 20U;
constexpr size_t kHeaderBytesMax = 16U << 10U;

/// What the body is. Numbers never change; all are reserved from version 1.
enum class Kind : uint8_t {
    Rows = 1,
    LoadChunk = 2,
    FileChunk = 3,
    Heartbeat = 4,
    Epoch = 5,
    Schema = 6,
    Key = 7,
    Provisional = 8,
    Abort = 9,
    Verify = 10,
    Carried = 11,  ///< manifest and structure of a carried load
};

enum class Compression : uint8_t { None = 0, Zstd = 1, Lz4 = 2 };

/// Bits of OriginHeader::optional_features that this version knows. Since 1.1.
constexpr uint64_t kFeatureRelease = 1;  ///< the header ends with `release`

/// Bits of OriginHeader::transaction_flags.
constexpr uint8_t kBeginsInside =
    1;  ///< the first change goes on with an earlier packet's transaction
constexpr uint8_t kEndsInside = 2;  ///< the last transaction goes on in the next packet

struct ChangeCounts {
    uint32_t inserts = 0, updates = 0, deletes = 0, truncates = 0, transactions = 0;
    bool operator==(const ChangeCounts&) const = default;

    uint64_t changes() const { return uint64_t{inserts} + updates + deletes + truncates; }
};

/// Written once by the packet's origin and never altered on the way.
struct OriginHeader {
    uint64_t required_features = 0;  ///< a receiver refuses bits that it does not know
    uint64_t optional_features = 0;  ///< and skips these
    Kind kind = Kind::Rows;
    StreamId stream;
    std::string source;  ///< identity of the source database or folder
    Epoch epoch;
    Sequence sequence;
    Sequence previous_sequence;
    Digest previous_digest;
    model::SourcePosition first;  ///< before the first change
    model::SourcePosition last;   ///< commit of the last whole transaction inside, else as `first`
    uint8_t transaction_flags = 0;
    uint64_t fragment_xid = 0;  ///< of the transaction that begins or ends inside
    uint32_t fragment = 0;      ///< number of this packet's fragment of it
    ChangeCounts counts;
    WallTime event_first, event_last;  ///< commit times by the source's clock
    WallTime captured;                 ///< when the packet was closed
    TraceId trace;
    std::vector<std::string> path;  ///< nodes and hubs passed, origin first
    uint8_t hop_limit = 8;
    uint32_t generation = 0;  ///< of the table, for load chunks
    std::string addressee;    ///< consumer that a load chunk is for; empty: everybody
    /// Of the program that closed the packet, with kFeatureRelease; earlier readers skip it.
    std::string release;

    bool operator==(const OriginHeader&) const = default;
};

/// Written anew at every hop that seals anew; the times at every hop.
struct HopHeader {
    StrongBytes<struct RouteTag, 16> route;
    StrongBytes<struct ProjectionTag, 16> projection;
    crypto::SuiteId suite = crypto::SuiteId::Gm;
    KeyId key;  ///< empty: the body is not sealed, which only Kind::Key may be
    crypto::Nonce nonce{};
    Compression compression = Compression::None;
    uint32_t raw_bytes = 0;     ///< of the body before compression
    uint32_t sealed_bytes = 0;  ///< of the body as it stands, without the tag
    WallTime received, sent;

    bool operator==(const HopHeader&) const = default;
};

/// Both headers as bytes, with magic, lengths and CRC. The part before `sealed_size` is what the
/// seal is bound to: all but the hop times and the CRC.
struct EncodedHeader {
    Bytes bytes;
    size_t origin_size = 0;  ///< magic to the end of the origin header
    size_t sealed_size = 0;
};

EncodedHeader encode_header(const OriginHeader& origin, const HopHeader& hop);

/// A packet on the wire or on disk whose header has been read and whose lengths fit. Views point
/// into the given bytes.
struct PacketView {
    OriginHeader origin;
    HopHeader hop;
    ByteView origin_bytes;      ///< magic to the end of the origin header
    ByteView associated_bytes;  ///< what the seal is bound to
    ByteView body;
    crypto::Tag tag{};

    /// Errors: packet.malformed, packet.damaged (CRC of the header), packet.too_new,
    /// packet.too_large.
    static Result<PacketView> parse(ByteView wire);

    /// Names the packet's bytes: digest of origin header and tag, by its suite. The next packet of
    /// the stream carries it. Errors: packet.too_new for an unknown suite.
    Result<Digest> digest() const;
};

}  // namespace qiao::packet
