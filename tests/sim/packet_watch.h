#pragma once

#include "qiao/crypto/suite.h"
#include "qiao/testing/memory_storage.h"

#include <map>
#include <string>
#include <utility>

namespace qiao::sim {

/// Looks at the packets that lie in trails, over a whole play: none lies in another stream's place,
/// and no nonce of a key has sealed two of them. Source: rules 2, 3
class PacketWatch {
public:
    /// At what a node's trail holds just now.
    void look(const std::string& node, const testing::MemoryStorage& disk);

    /// Empty: all is well.
    const std::string& failure() const { return failure_; }

private:
    void look_at_segment(const std::string& node, uint64_t number, ByteView bytes);
    void take(const std::string& node, StreamId stream, ByteView wire);

    /// What a nonce has sealed, by its tag.
    std::map<std::pair<KeyId, crypto::Nonce>, crypto::Tag> sealed_;
    std::string failure_;
};

}  // namespace qiao::sim
