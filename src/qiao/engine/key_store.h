#pragma once

#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/storage.h"
#include "qiao/packet/seal.h"

#include <map>
#include <string>

namespace qiao::engine {

/// The Key packets of one stream at one holder, kept as files as long as a packet may name them:
/// retention and checkpoints pass the packets, the keys stay. What is stored is wrapped, so the
/// folder holds no secret. Source: rules 3
class KeyStore {
public:
    /// Reads what is there. Errors: common.storage_*; packet.* names a file that is damaged.
    static Task<Result<KeyStore>> open(Storage& storage, std::string folder);

    /// Durable on return; keeping a key again does nothing.
    Task<Status> keep(ByteView key_packet);

    /// All key packets, for offering them to a receiver.
    const std::map<KeyId, Bytes>& packets() const { return packets_; }

    /// Gives all keys that `ring` can open. Keys for other receivers are passed over.
    void fill(packet::KeyRing& ring) const;

private:
    KeyStore(Storage& storage, std::string folder)
        : storage_(&storage), folder_(std::move(folder)) {}

    Storage* storage_;
    std::string folder_;
    std::map<KeyId, Bytes> packets_;
};

}  // namespace qiao::engine
