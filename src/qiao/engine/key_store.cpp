#include "qiao/engine/key_store.h"

#include "qiao/common/plant.h"

#include <algorithm>

namespace qiao::engine {
namespace {

/// Kept whatever the trail says; far more than a peer that comes back ever asks for.
constexpr size_t kKeptAlways = 16;

/// A Key packet's body begins with the id of its key.
Result<KeyId> key_of(const packet::PacketView& view) {
    if (view.origin.kind != packet::Kind::Key || view.body.size() < KeyId::kSize) {
        return Error(ErrorCode::PacketMalformed, "not a key packet");
    }
    return KeyId::from(view.body.first(KeyId::kSize));
}

StreamPoint point_of(const packet::PacketView& view) {
    return {view.origin.epoch, view.origin.sequence};
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
        const auto view = packet::PacketView::parse(wire);
        const auto id = view ? key_of(*view) : Result<KeyId>(view.error());
        if (!id) {
            co_return id.error().within(folder + "/" + name);
        }
        const auto point = point_of(*view);
        store.packets_[*id] = {point, std::move(wire)};
    }
    co_return store;
}

Task<Status> KeyStore::keep(ByteView key_packet) {
    QIAO_CO_TRY(const auto view, packet::PacketView::parse(key_packet));
    QIAO_CO_TRY(const auto id, key_of(view));
    const auto point = point_of(view);
    const auto known = packets_.find(id);
    if (known != packets_.end() && known->second.point >= point) {
        co_return Status{};
    }
    auto wire = to_bytes(key_packet);
    QIAO_CO_CHECK(co_await write_file_atomically(*storage_, path(id), wire));
    packets_[id] = {point, std::move(wire)};
    co_return Status{};
}

Task<Status> KeyStore::remove_unused(StreamPoint held_after) {
    std::vector<std::pair<StreamPoint, KeyId>> by_age;
    for (const auto& [id, kept] : packets_) {
        by_age.emplace_back(kept.point, id);
    }
    std::ranges::sort(by_age);
    for (size_t i = 0; i + kKeptAlways < by_age.size() && by_age[i + 1].first <= held_after; ++i) {
        const auto id = by_age[i].second;
        QIAO_CO_CHECK(co_await storage_->remove(path(id)));
        packets_.erase(id);
    }
    co_return Status{};
}

std::vector<Bytes> KeyStore::newest_first() const {
    std::vector<const Kept*> kept;
    for (const auto& [id, packet] : packets_) {
        kept.push_back(&packet);
    }
    std::ranges::sort(kept, std::greater(), &Kept::point);
    std::vector<Bytes> wires;
    for (const auto* packet : kept) {
        wires.push_back(packet->wire);
    }
    return wires;
}

void KeyStore::fill(packet::KeyRing& ring) const {
    for (const auto& [id, kept] : packets_) {
        if (const auto view = packet::PacketView::parse(kept.wire)) {
            (void)ring.add(*view);
        }
    }
}

crypto::SealingKey KeyStore::take_own(const crypto::Suite& suite, Rng& rng) {
    if (own_ && &own_->suite() == &suite) {
        auto key = std::move(*own_);
        own_.reset();
        return key;
    }
    return crypto::SealingKey::make(suite, rng);
}

void KeyStore::give_back(crypto::SealingKey key) {
    if (is_planted(Plant::NonceReused)) {
        key.nonces() = crypto::NonceSource(key.nonces().salt());
    }
    own_ = std::move(key);
}

}  // namespace qiao::engine
