#include "qiao/engine/key_store.h"

namespace qiao::engine {
namespace {

/// A Key packet's body begins with the id of its key.
Result<KeyId> key_of(ByteView wire) {
    QIAO_TRY(const auto view, packet::PacketView::parse(wire));
    if (view.origin.kind != packet::Kind::Key || view.body.size() < KeyId::kSize) {
        return Error(ErrorCode::PacketMalformed, "not a key packet");
    }
    return KeyId::from(view.body.first(KeyId::kSize));
}

}  // namespace

Task<Result<KeyStore>> KeyStore::open(Storage& storage, std::string folder) {
    KeyStore store(storage, folder);
    QIAO_CO_CHECK(co_await storage.make_folder(folder));
    QIAO_CO_TRY(const auto names, co_await storage.list(folder));
    for (const auto& name : names) {
        if (!name.ends_with(".key")) {
            continue;
        }
        QIAO_CO_TRY(auto wire, co_await read_file(storage, folder + "/" + name));
        const auto id = key_of(wire);
        if (!id) {
            co_return id.error().within(folder + "/" + name);
        }
        store.packets_[*id] = std::move(wire);
    }
    co_return store;
}

Task<Status> KeyStore::keep(ByteView key_packet) {
    QIAO_CO_TRY(const auto id, key_of(key_packet));
    if (packets_.contains(id)) {
        co_return Status{};
    }
    const auto path = folder_ + "/" + id.to_string() + ".key";
    QIAO_CO_CHECK(co_await write_file_atomically(*storage_, path, to_bytes(key_packet)));
    packets_[id] = to_bytes(key_packet);
    co_return Status{};
}

void KeyStore::fill(packet::KeyRing& ring) const {
    for (const auto& [id, wire] : packets_) {
        if (const auto view = packet::PacketView::parse(wire)) {
            (void)ring.add(*view);
        }
    }
}

}  // namespace qiao::engine
