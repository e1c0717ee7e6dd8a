#pragma once

#include "qiao/crypto/data_key.h"
#include "qiao/packet/header.h"

#include <memory>
#include <unordered_map>

namespace qiao::packet {

/// A packet ready for trail and link, and the digest that the next one of its stream carries.
struct SealedPacket {
    Bytes wire;
    Digest digest;
};

/// Compresses (when asked and when it makes the body smaller), encrypts in place and frames a body.
/// The suite, key and nonce fields of `hop` are filled in here.
SealedPacket seal(
    const OriginHeader& origin,
    HopHeader hop,
    Bytes body,
    crypto::SealingKey& key,
    Compression compression
);

/// The body of a Key packet is not sealed: it holds a key that is wrapped already.
SealedPacket frame_key_packet(
    const OriginHeader& origin, const crypto::Suite& suite, const Bytes& body
);

/// A receiver's private wrapping keys: the one in use, then older ones, which open what was sealed
/// before it was.
using ReceiverKeys = std::vector<std::shared_ptr<const crypto::PrivateKey>>;

/// The data keys a receiver has been given, by id. Keys come in Key packets of the same stream.
class KeyRing {
public:
    explicit KeyRing(ReceiverKeys receivers) : receivers_(std::move(receivers)) {}

    /// Takes the key of a Key packet. Errors: crypto.wrong_key, packet.malformed.
    Status add(const PacketView& key_packet);

    bool knows(KeyId id) const { return keys_.contains(id); }

    /// Decrypts and decompresses. Errors: packet.unknown_key, crypto.forged, packet.malformed.
    Result<Bytes> open(const PacketView& packet) const;

private:
    ReceiverKeys receivers_;
    std::unordered_map<KeyId, std::unique_ptr<crypto::Aead>> keys_;
};

/// Body of a Key packet: the data key wrapped for each receiver, told apart by the first half of
/// the SHA-256 of its public key's PEM.
Result<Bytes> wrap_for(
    const crypto::SealingKey& key,
    const std::vector<std::shared_ptr<const crypto::PublicKey>>& receivers
);

}  // namespace qiao::packet
