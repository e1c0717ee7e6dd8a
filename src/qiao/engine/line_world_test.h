#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/engine/capture_line.h"
#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"
#include "qiao/testing/turn.h"
#include "qiao/trail/cursor.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// What the lines of a row's way stand on in tests: a trail and a key store on a disk in memory, and
// a source that delivers what a test says.
namespace qiao::engine::testing {

using qiao::testing::ManualWorld;
using qiao::testing::MemoryStorage;
using qiao::testing::turn;

inline const crypto::Suite& gm() { return *crypto::find_suite(crypto::SuiteId::Gm); }

/// Delivers one step for each pump, and takes `turns` turns of the executor over it.
class ScriptedSource final : public capture::StreamingSource {
public:
    using Step = std::function<void(capture::TransactionSink&)>;

    explicit ScriptedSource(ManualWorld& world) : world_(world), changed_(world) {}

    void add(Step step) {
        steps_.push_back(std::move(step));
        changed_.pulse();
    }

    Task<Status> start(model::SourcePosition from) override {
        ++starts;
        if (!released.empty() && model::compare(from, released) < 0) {
            co_return Error(ErrorCode::CapturePositionLost, from.to_string());
        }
        started_from = std::move(from);
        co_return Status{};
    }

    void allow_ahead(bool allowed) override { ahead_allowed = allowed; }

    Task<Status> pump(capture::TransactionSink& sink, StopSignal& stop) override {
        const auto wake = [this] { changed_.pulse(); };
        const StopSignal::Hook hook(stop, wake);
        while (steps_.empty() && !stop.requested()) {
            co_await changed_.wait();
        }
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        const auto step = std::move(steps_.front());
        steps_.pop_front();
        step(sink);
        for (int i = 0; i < turns; ++i) {
            co_await turn(world_);
        }
        co_return Status{};
    }

    void confirm(model::SourcePosition position) override { confirmed = std::move(position); }

    Backlog backlog() const override { return {}; }

    model::SourcePosition confirmed, started_from;
    model::SourcePosition released;  ///< what commits before it cannot be had any more
    int turns = 1;
    int starts = 0;
    bool ahead_allowed = true;

private:
    ManualWorld& world_;
    std::deque<Step> steps_;
    Event changed_;
};

inline model::TransactionHead head(uint64_t number) {
    const auto at = model::SourcePosition::lsn(7, 1, number * 100);
    return {number, at, at, {}};
}

inline void change(capture::TransactionSink& sink, size_t bytes = 20) {
    model::TupleBuilder row(1);
    row.text(std::string(bytes, 'x'));
    const auto image = std::move(row).take();
    model::Change it;
    it.new_row = *model::Tuple::parse(image);
    sink.change(it);
}

/// One whole transaction, as a source delivers it.
inline void transaction(capture::TransactionSink& sink, uint64_t number, size_t bytes = 20) {
    sink.begin(head(number));
    change(sink, bytes);
    sink.commit(head(number));
    sink.progress(head(number).commit);
}

/// One holder's disk with a trail and keys on it.
struct Holder {
    explicit Holder(ManualWorld& shared, uint64_t seed = 1)
        : world(shared),
          disk(shared, seed),
          wrapping(crypto::PrivateKey::generate(crypto::KeyKind::Sm2)) {
        options.folder = "trail";
        options.segment_bytes = 64U << 10U;
        options.disk_budget_bytes = 0;
    }

    ~Holder() { close(); }

    void open() {
        auto opened = world.run(trail::Trail::open(disk, world, world, options));
        ASSERT_TRUE(opened) << opened.error().to_string();
        trail = *std::move(opened);
        auto store = world.run(KeyStore::open(disk, "keys"));
        ASSERT_TRUE(store) << store.error().to_string();
        keys.emplace(*std::move(store));
    }

    void close() {
        if (trail) {
            (void)world.run(trail->close());
            trail.reset();
        }
    }

    PackerOptions packing() const {
        PackerOptions packing;
        packing.stream = stream;
        packing.source = "s";
        packing.path = {"a"};
        return packing;
    }

    Packer packer(ChainTip tip = {}) { return packer(std::move(tip), packing()); }

    Packer packer(ChainTip tip, PackerOptions packing) {
        auto key = crypto::SealingKey::make(gm(), world);
        const auto body = packet::wrap_for(key, {wrapping->public_key()});
        Packer packer(std::move(packing), std::move(key), std::move(tip), world, world);
        std::optional<packet::EpochBody> epoch;
        if (packer.tip().point == StreamPoint{}) {
            epoch = packet::EpochBody{.reason = "first"};
        }
        packer.open(*body, epoch);
        return packer;
    }

    /// Kinds of the packets held, in order.
    std::vector<packet::Kind> kinds() {
        std::vector<packet::Kind> found;
        auto cursor = trail->read(stream, trail->held_after(stream));
        while (true) {
            const auto record = world.run(cursor.try_next());
            if (!record || !*record) {
                return found;
            }
            found.push_back(packet::PacketView::parse((*record)->payload())->origin.kind);
        }
    }

    size_t rows_packets() {
        const auto found = kinds();
        return static_cast<size_t>(std::ranges::count(found, packet::Kind::Rows));
    }

    ManualWorld& world;
    MemoryStorage disk;
    std::shared_ptr<const crypto::PrivateKey> wrapping;
    StreamId stream{};
    trail::TrailOptions options;
    std::unique_ptr<trail::Trail> trail;
    std::optional<KeyStore> keys;
};

}  // namespace qiao::engine::testing
