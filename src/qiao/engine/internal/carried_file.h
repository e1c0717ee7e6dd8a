#pragma once

#include "qiao/common/clock.h"
#include "qiao/common/storage.h"
#include "qiao/crypto/data_key.h"
#include "qiao/engine/carried_manifest.h"
#include "qiao/engine/chain.h"
#include "qiao/packet/seal.h"

#include <memory>
#include <optional>
#include <string>

namespace qiao::engine::internal {

/// What a file of a carried load is; in its head.
enum class CarriedRole : uint8_t { Manifest = 1, Structure = 2, Part = 3 };

/// What all packets of one load have in common.
struct CarriedOrigin {
    StreamId stream;
    TraceId load;
    std::string source, node;
    uint32_t generation = 0;
    model::SourcePosition joined_at;
};

/// One file of a load while it is written: a head, then packets, each chained to the one before.
/// Under another name until finish(), so that a file of the right name is whole.
class CarriedFileWriter {
public:
    CarriedFileWriter(
        Storage& storage, Clock& clock, crypto::SealingKey& key, const CarriedOrigin& origin
    )
        : storage_(storage),
          clock_(clock),
          key_(key),
          origin_(origin),
          hasher_(key.suite().make_hasher()) {}

    Task<Status> open(std::string folder, std::string name, CarriedRole role);
    /// The data key, wrapped: `body` is of packet::wrap_for().
    Task<Status> add_key(Bytes body);
    /// Errors: packet.too_large, common.storage_*.
    Task<Status> add(packet::Kind kind, Bytes body);
    /// `content` over as many packets of Kind::Carried as it needs.
    Task<Status> add_pieces(Bytes content);
    /// Synced and under its name; the folder is not synced yet.
    Task<Result<CarriedFile>> finish();

private:
    packet::OriginHeader next_origin(packet::Kind kind) const;
    Task<Status> write(packet::OriginHeader origin, packet::SealedPacket sealed);
    Task<Status> append(Bytes bytes);

    Storage& storage_;
    Clock& clock_;
    crypto::SealingKey& key_;
    const CarriedOrigin& origin_;
    std::unique_ptr<crypto::Hasher> hasher_;
    std::string folder_;
    CarriedFile told_;
    std::unique_ptr<File> file_;
    ChainTip tip_;
};

/// Reads such a file packet by packet; foreign bytes. Whatever does not fit is
/// engine.carried_damaged with the file's name; storage errors stay what they are.
class CarriedFileReader {
public:
    /// `suite`: of the digest; null: not summed.
    static Task<Result<CarriedFileReader>> open(
        Storage& storage,
        std::string folder,
        std::string name,
        CarriedRole role,
        const crypto::Suite* suite
    );

    /// A packet in its turn of the chain, not opened. Points into the reader, until the next call.
    Task<Result<packet::PacketView>> next();

    bool at_end() const { return offset_ == size_; }

    /// Of all bytes so far.
    Digest digest() { return hasher_->finish(); }

    uint64_t size() const { return size_; }

    /// The rest of a file of pieces, joined; nothing may follow the last.
    Task<Result<Bytes>> read_pieces(const packet::KeyRing& ring, size_t most);

    /// `why` as damage of this file, unless it is the disk's or a newer release's.
    Error damaged(const Error& why) const;
    Error damaged(std::string_view why) const;

private:
    Task<Result<Bytes>> take(uint64_t count);

    std::string name_;
    std::unique_ptr<File> file_;
    uint64_t size_ = 0, offset_ = 0;
    std::unique_ptr<crypto::Hasher> hasher_;
    ChainTip tip_;
    std::optional<StreamId> stream_;  ///< of the first packet
    Bytes wire_;
};

}  // namespace qiao::engine::internal
