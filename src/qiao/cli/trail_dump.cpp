#include "qiao/cli/trail_dump.h"

#include "qiao/engine/transfer_log.h"
#include "qiao/packet/header.h"
#include "qiao/trail/inspect.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qiao::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string_view name_of(packet::Kind kind) {
    switch (kind) {
        case packet::Kind::Rows:
            return "rows";
        case packet::Kind::LoadChunk:
            return "load_chunk";
        case packet::Kind::FileChunk:
            return "file_chunk";
        case packet::Kind::Heartbeat:
            return "heartbeat";
        case packet::Kind::Epoch:
            return "epoch";
        case packet::Kind::Schema:
            return "schema";
        case packet::Kind::Key:
            return "key";
        case packet::Kind::Provisional:
            return "provisional";
        case packet::Kind::Abort:
            return "abort";
        case packet::Kind::Verify:
            return "verify";
        case packet::Kind::Carried:
            return "carried";
    }
    return "unknown";
}

std::string text_of(const StreamPoint& point) {
    return fmt::format("{}.{}", point.epoch.value, point.sequence.value);
}

std::string dump(const Json& object) {
    return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json of(const trail::Inspection& found) {
    auto segments = Json::array();
    for (const auto& segment : found.segments) {
        segments.push_back(
            {{"file", segment.file},
             {"bytes", segment.bytes},
             {"created", segment.created.to_string()},
             {"release", segment.release},
             {"sealed", segment.sealed}}
        );
    }
    auto streams = Json::array();
    for (const auto& stream : found.streams) {
        auto consumers = Json::array();
        for (const auto& consumer : stream.consumers) {
            consumers.push_back(
                {{"name", consumer.name},
                 {"released", text_of(consumer.released)},
                 {"state", trail::to_text(consumer.state)}}
            );
        }
        streams.push_back(
            {{"stream", stream.stream.to_string()},
             {"first", stream.first ? Json(text_of(*stream.first)) : Json(nullptr)},
             {"last", text_of(stream.last)},
             {"records", stream.records},
             {"consumers", std::move(consumers)}}
        );
    }
    auto damage = Json::array();
    for (const auto& place : found.damage) {
        damage.push_back(place.to_string());
    }
    return {
        {"segments", std::move(segments)},
        {"streams", std::move(streams)},
        {"damage", std::move(damage)},
        {"torn_bytes", found.torn_bytes},
        {"unmarked_records", found.unmarked_records}
    };
}

void say_summary(const trail::Inspection& found, const Console& console) {
    for (const auto& segment : found.segments) {
        console.say(fmt::format(
            "{}  {} B  {}{}{}",
            segment.file,
            segment.bytes,
            segment.created.to_string(),
            segment.release.empty() ? "" : "  qiao ",
            segment.release
        ));
    }
    for (const auto& stream : found.streams) {
        console.say(fmt::format(
            fmt::runtime(
                console.pick({"stream {}: {} to {}, {} records", "流 {}:{} 至 {},{} 条记录"})
            ),
            stream.stream.to_string(),
            stream.first ? text_of(*stream.first) : "-",
            text_of(stream.last),
            stream.records
        ));
        for (const auto& consumer : stream.consumers) {
            console.say(fmt::format(
                fmt::runtime(console.pick(
                    {"  consumer {}: released up to {} ({})", "  消费方 {}:已释放至 {}({})"}
                )),
                consumer.name,
                text_of(consumer.released),
                trail::to_text(consumer.state)
            ));
        }
    }
    for (const auto& place : found.damage) {
        console.say("! " + place.to_string());
    }
    if (found.torn_bytes != 0) {
        console.say(fmt::format(
            fmt::runtime(console.pick(
                {"{} bytes at the end are torn, cut at the next start: no damage",
                 "末尾 {} 字节未写完,下次启动时截去,不属于损坏"}
            )),
            found.torn_bytes
        ));
    }
}

Json of(const packet::PacketView& view, const StreamPoint& point, size_t bytes) {
    const auto& origin = view.origin;
    return {
        {"stream", origin.stream.to_string()},
        {"point", text_of(point)},
        {"kind", name_of(origin.kind)},
        {"position", origin.last.to_string()},
        {"changes", origin.counts.changes()},
        {"transactions", origin.counts.transactions},
        {"event", origin.event_last.us == 0 ? "" : origin.event_last.to_string()},
        {"captured", origin.captured.to_string()},
        {"source", origin.source},
        {"release", origin.release},
        {"key", view.hop.key.empty() ? "" : view.hop.key.to_string()},
        {"bytes", bytes}
    };
}

std::string line_of(const Json& packet) {
    std::string line;
    for (const auto& [name, value] : packet.items()) {
        const auto text = value.is_string() ? value.get<std::string>() : value.dump();
        if (!text.empty()) {
            line += fmt::format("{}{}={}", line.empty() ? "" : " ", name, text);
        }
    }
    return line;
}

Json of(const engine::LoggedHandOver& logged) {
    const auto& it = logged.hand_over;
    return {
        {"at", logged.at.to_string()},
        {"node", logged.node},
        {"what", engine::to_text(it.kind)},
        {"peer", it.peer},
        {"flow", it.flow},
        {"stream", it.stream.to_string()},
        {"point", text_of(it.point)},
        {"first", it.first.to_string()},
        {"last", it.last.to_string()},
        {"inserts", it.counts.inserts},
        {"updates", it.counts.updates},
        {"deletes", it.counts.deletes},
        {"truncates", it.counts.truncates},
        {"transactions", it.counts.transactions},
        {"bytes", it.bytes},
        {"digest", it.digest.to_string()},
        {"outcome", it.outcome ? std::to_string(static_cast<int>(*it.outcome)) : "good"}
    };
}

/// One object with a list that is too long to gather twice: grown as one text.
class Listing {
public:
    Listing(const Console& console, std::string_view name)
        : console_(console), text_(fmt::format("{{\"{}\":[", name)) {}

    void add(const Json& item) {
        if (!console_.json) {
            console_.say(line_of(item));
            return;
        }
        text_ += (any_ ? "," : "") + dump(item);
        any_ = true;
    }

    /// `rest`: the other members of the object.
    void end(const Json& rest) {
        if (console_.json) {
            console_.put_json(text_ + "]," + dump(rest).substr(1));
        }
    }

private:
    const Console& console_;
    std::string text_;
    bool any_ = false;
};

}  // namespace

Task<Result<bool>> dump_trail(Storage& storage, std::string folder, const Console& console) {
    QIAO_CO_TRY(const auto found, co_await trail::inspect(storage, folder));
    if (!console.json) {
        say_summary(found, console);
    }
    Listing listing(console, "packets");
    const auto visit = [&listing](StreamId stream, StreamPoint point, ByteView payload) {
        if (const auto view = packet::PacketView::parse(payload)) {
            listing.add(of(*view, point, payload.size()));
        } else {
            listing.add(
                {{"stream", stream.to_string()},
                 {"point", text_of(point)},
                 {"error", view.error().to_string()}}
            );
        }
    };
    QIAO_CO_CHECK(co_await trail::visit_records(storage, folder, visit));
    listing.end(of(found));
    co_return found.damage.empty();
}

Task<Result<bool>> check_trail(Storage& storage, std::string folder, const Console& console) {
    QIAO_CO_TRY(const auto found, co_await trail::inspect(storage, folder));
    if (console.json) {
        console.put_json(dump(of(found)));
    } else {
        say_summary(found, console);
        console.say(console.pick(
            found.damage.empty() ? Text{"no damage", "无损坏"} : Text{"DAMAGED", "已损坏"}
        ));
    }
    co_return found.damage.empty();
}

Task<Result<bool>> dump_transfer_log(Storage& storage, std::string folder, const Console& console) {
    Listing listing(console, "records");
    const auto visit = [&listing](const engine::LoggedHandOver& logged) {
        listing.add(of(logged));
    };
    QIAO_CO_TRY(const auto summary, co_await engine::read_transfer_log(storage, folder, visit));
    for (const auto& place : summary.damage) {
        console.warn("! " + place);
    }
    Json damage = summary.damage;
    listing.end({{"damage", std::move(damage)}, {"torn_bytes", summary.torn_bytes}});
    co_return summary.damage.empty();
}

}  // namespace qiao::cli
