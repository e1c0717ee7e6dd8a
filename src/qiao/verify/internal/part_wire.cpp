#include "qiao/verify/internal/part_wire.h"

#include "qiao/verify/part.h"

namespace qiao::verify::internal {
namespace {

/// What of a range is there.
constexpr uint8_t kRange = 1;
constexpr uint8_t kFrom = 2;
constexpr uint8_t kTo = 4;
constexpr uint8_t kWithin = 8;

using std::chrono::seconds;

constexpr auto kSecondsMost =
    static_cast<uint64_t>(std::chrono::duration_cast<seconds>(kWithinMost).count());

void put_ends(ByteWriter& out, const drivers::RowRange& range) {
    out.put_sized(range.column);
    if (range.from) {
        out.put_sized(*range.from);
    }
    if (range.to) {
        out.put_sized(*range.to);
    }
}

drivers::RowRange get_ends(Decoder& in, uint8_t what) {
    drivers::RowRange range;
    range.column = in.reader().get_text();
    in.require(!range.column.empty());
    if ((what & kFrom) != 0) {
        range.from = in.reader().get_text();
    }
    if ((what & kTo) != 0) {
        range.to = in.reader().get_text();
    }
    return range;
}

}  // namespace

void put_range(ByteWriter& out, const drivers::RangeWanted& wanted) {
    const auto& range = wanted.range;
    out.put(static_cast<uint8_t>(
        kRange | (range.from ? kFrom : 0) | (range.to ? kTo : 0) | (wanted.within ? kWithin : 0)
    ));
    put_ends(out, range);
    if (wanted.within) {
        out.put(static_cast<uint64_t>(std::chrono::duration_cast<seconds>(*wanted.within).count()));
    }
}

std::optional<drivers::RangeWanted> get_range(Decoder& in) {
    const auto what = in.reader().get<uint8_t>();
    in.require((what & ~(kRange | kFrom | kTo | kWithin)) == 0);
    in.require(what == 0 || (what & kRange) != 0);
    if (what == 0 || !in.ok()) {
        return std::nullopt;
    }
    drivers::RangeWanted wanted;
    wanted.range = get_ends(in, what);
    if ((what & kWithin) != 0) {
        const auto within = in.reader().get<uint64_t>();
        in.require(within <= kSecondsMost);
        wanted.within = seconds(in.ok() ? static_cast<int64_t>(within) : 0);
    }
    return wanted;
}

void put_part(ByteWriter& out, const drivers::TablePart& part) {
    if (part.sample) {
        out.put(static_cast<uint16_t>(part.sample->share));
        out.put(part.sample->seed);
        out.put(static_cast<uint16_t>(part.sample->columns.size()));
        for (const auto& column : part.sample->columns) {
            out.put_sized(column);
        }
    } else {
        out.put(uint16_t{0});
    }
    if (part.range) {
        put_range(out, {*part.range, std::nullopt});
    } else {
        out.put(uint8_t{0});
    }
}

drivers::TablePart get_part(Decoder& in) {
    drivers::TablePart part;
    const auto share = in.reader().get<uint16_t>();
    in.require(share <= drivers::RowSample::kAll);
    if (share != 0) {
        auto& sample = part.sample.emplace();
        sample.share = share;
        sample.seed = in.reader().get<uint32_t>();
        in.list<uint16_t>([&] { sample.columns.emplace_back(in.reader().get_text()); });
    }
    auto wanted = get_range(in);
    in.require(!wanted || !wanted->within);
    if (wanted) {
        part.range = std::move(wanted->range);
    }
    return part;
}

}  // namespace qiao::verify::internal
