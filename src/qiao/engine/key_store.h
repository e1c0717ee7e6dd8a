#pragma once

#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/storage.h"
#include "qiao/crypto/data_key.h"
#include "qiao/packet/seal.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qiao::engine {

/// The Key packets of one stream at one holder, kept as files as long as a packet may name them:
/// retention and checkpoints pass the packets, the keys stay. What is stored is wrapped, so the
/// folder holds no secret. A sender's own key lives in memory only, for one process.
/// Source: rules 3
class KeyStore {
public:
    /// Reads what is there. Errors: common.storage_*; packet.* names a file that is damaged.
    static Task<Result<KeyStore>> open(Storage& storage, std::string folder);

    /// Durable on return. Of several packets with the same key the newest is kept.
    Task<Status> keep(ByteView key_packet);

    /// Removes keys that no packet behind `held_after` names. Each key is used from its packet on
    /// until the next one's, so those are keys with a newer one up to there. The newest few stay in
    /// every case. Errors: common.storage_*.
    Task<Status> remove_unused(StreamPoint held_after);

    /// All key packets, the newest first, for offering them to a receiver.
    std::vector<Bytes> newest_first() const;

    size_t size() const { return packets_.size(); }

    /// Gives all keys that `ring` can open. Keys for other receivers are passed over.
    void fill(packet::KeyRing& ring) const;

    /// The key that this process seals the stream with: the one given back, or a new one.
    crypto::SealingKey take_own(const crypto::Suite& suite, Rng& rng);

    /// By the sender that took it, with all nonces it has used.
    void give_back(crypto::SealingKey key);

private:
    struct Kept {
        StreamPoint point;
        Bytes wire;
    };

    KeyStore(Storage& storage, std::string folder)
        : storage_(&storage), folder_(std::move(folder)) {}

    std::string path(KeyId id) const { return folder_ + "/" + id.to_string() + ".key"; }

    Storage* storage_;
    std::string folder_;
    std::map<KeyId, Kept> packets_;
    std::optional<crypto::SealingKey> own_;
};

}  // namespace qiao::engine
