#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"
#include "qiao/trail/cursor.h"
#include "qiao/trail/inspect.h"
#include "qiao/trail/trail.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace qiao::trail {

inline StreamId stream_id(uint8_t number) {
    StreamId id;
    id.bytes.fill(std::byte{number});
    return id;
}

inline StreamPoint at(uint64_t epoch, uint64_t sequence) { return {{epoch}, {sequence}}; }

inline std::string text_of(StreamPoint point) {
    return fmt::format("{}.{}", point.epoch.value, point.sequence.value);
}

/// One machine with a disk in memory and a trail on it, driven by hand.
struct TrailWorld {
    explicit TrailWorld(uint64_t seed = 1) : world(seed), storage(world, seed) {
        options.folder = "state/trail";
        options.segment_bytes = 64U << 10U;
        options.disk_budget_bytes = 0;
    }

    ~TrailWorld() { (void)close(); }

    TrailWorld(const TrailWorld&) = delete;
    TrailWorld& operator=(const TrailWorld&) = delete;

    Status try_open() {
        auto opened = world.run(Trail::open(storage, world, world, options));
        if (!opened) {
            return opened.error();
        }
        trail = *std::move(opened);
        return {};
    }

    void open() { must(try_open()); }

    Status close() {
        if (!trail) {
            return {};
        }
        auto outcome = world.run(trail->close());
        trail.reset();
        return outcome;
    }

    void reopen() {
        must(close());
        open();
    }

    /// The machine stops and starts; what was not durable may be lost.
    void power_cycle_now() {
        if (!storage.crashed()) {
            storage.crash();
        }
        (void)close();
        storage.restart();
    }

    static void must(const Status& status) { ASSERT_TRUE(status) << status.error().to_string(); }

    Status append(uint8_t stream, StreamPoint point, std::string_view payload) {
        return world.run(trail->append(stream_id(stream), point, as_bytes(payload)));
    }

    /// Appends sequences `from`…`to` of epoch 1 with payloads of `bytes` bytes.
    void fill(uint8_t stream, uint64_t from, uint64_t to, size_t bytes = 1000) {
        for (auto sequence = from; sequence <= to; ++sequence) {
            must(append(stream, at(1, sequence), payload(stream, at(1, sequence), bytes)));
        }
    }

    static std::string payload(uint8_t stream, StreamPoint point, size_t bytes) {
        auto text = fmt::format("{}:{}.{};", stream, point.epoch.value, point.sequence.value);
        text.resize(
            std::max(bytes, text.size()), static_cast<char>('a' + point.sequence.value % 26)
        );
        return text;
    }

    void sync() { must(world.run(trail->sync())); }

    /// All that a reader gets behind `after`, as "epoch.sequence=payload"; ends with the error's
    /// name.
    std::vector<std::string> read(uint8_t stream, StreamPoint after = {}) {
        std::vector<std::string> found;
        auto cursor = trail->read(stream_id(stream), after);
        for (;;) {
            auto record = world.run(cursor.try_next());
            if (!record) {
                found.emplace_back(record.error().info().name);
                return found;
            }
            if (!*record) {
                return found;
            }
            found.push_back(
                text_of((*record)->point()) + "=" + std::string(as_text((*record)->payload()))
            );
        }
    }

    size_t count(uint8_t stream, StreamPoint after = {}) { return read(stream, after).size(); }

    std::string segment_path(uint64_t number) const {
        return fmt::format("{}/segment-{:012}", options.folder, number);
    }

    testing::ManualWorld world;
    testing::MemoryStorage storage;
    TrailOptions options;
    std::unique_ptr<Trail> trail;
};

inline std::string code_of(const auto& result) {
    return result ? "ok" : std::string(result.error().info().name);
}

}  // namespace qiao::trail
