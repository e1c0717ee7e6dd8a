#include "qiao/trail/internal/index.h"

#include <algorithm>

namespace qiao::trail::internal {
namespace {

/// 8 sealed segments of 64 MiB with 200-byte records hold 64 MB of entries: the bound that matters.
constexpr size_t kLoadedSegments = 8;

}  // namespace

std::deque<Run>::iterator Stream::run_behind(StreamPoint point) {
    return std::ranges::upper_bound(runs, point, {}, &Run::last);
}

bool Stream::lost_between(StreamPoint from, StreamPoint to) const {
    if (from.epoch == to.epoch && to.sequence == from.sequence.next()) {
        return false;
    }
    return std::ranges::any_of(holes, [&](const Hole& hole) {
        return hole.upto > from && hole.after < to;
    });
}

Stream& Index::stream(StreamId id) {
    auto& place = streams_[id];
    if (!place) {
        place = std::make_unique<Stream>(id, executor_);
    }
    return *place;
}

Stream* Index::find(StreamId id) const {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
}

void Index::add(const SegmentScan& scan) {
    begin_segment(scan.number);
    grow_segment(scan.number, scan.file_bytes);
    for (const auto& run : scan.runs) {
        add_run(run, scan.number);
    }
}

void Index::add_run(const ScanRun& run, uint64_t segment) {
    last_ref_ = std::max(last_ref_, run.ref);
    auto known = refs_.find(run.ref);
    if (known == refs_.end()) {
        if (!run.stream) {
            return;  // its records show as a hole when the stream is defined again
        }
        known = refs_.emplace(run.ref, *run.stream).first;
    }
    auto& stream = this->stream(known->second);
    if (run.stream && stream.ref != run.ref) {
        restart(stream, run.before);
        stream.ref = run.ref;
    } else if (run.stream && run.before > stream.tail) {
        stream.holes.push_back({stream.tail, run.before, segment});
        stream.tail = run.before;
    }
    if (run.stream) {
        stream.defined_in = segment;
    }
    for (const auto& entry : run.entries) {
        if (entry.point <= stream.tail) {
            continue;
        }
        // Across epochs nothing can be missing behind a definition that names what it follows.
        const bool expected = follows(stream.tail, entry.point);
        if (!expected) {
            const StreamPoint upto{entry.point.epoch, {entry.point.sequence.value - 1}};
            stream.holes.push_back({stream.tail, upto, segment});
        }
        append(stream, segment, entry);
    }
    stream.durable = stream.tail;
}

void Index::begin_segment(uint64_t number) {
    segments_[number].number = number;
    // What was the newest until now may be dropped from memory from here on.
    if (segments_.size() > 1) {
        touch(std::prev(segments_.find(number))->first);
    }
}

void Index::append(Stream& stream, uint64_t segment, Entry entry) {
    if (stream.runs.empty() || stream.runs.back().segment != segment) {
        Run run;
        run.segment = segment;
        run.first = entry.point;
        run.entries = std::make_shared<std::vector<Entry>>();
        stream.runs.push_back(std::move(run));
        auto& streams = segments_[segment].streams;
        if (std::ranges::find(streams, &stream) == streams.end()) {
            streams.push_back(&stream);
        }
    }
    auto& run = stream.runs.back();
    run.last = entry.point;
    run.records += 1;
    run.payload_bytes += entry.bytes - kRecordHeadBytes;
    run.entries->push_back(entry);
    stream.tail = entry.point;
}

void Index::restart(Stream& stream, StreamPoint before) {
    stream.runs.clear();
    stream.holes.clear();
    stream.floor = stream.tail = stream.durable = before;
    stream.grew.pulse();
}

void Index::grow_segment(uint64_t number, uint64_t bytes) {
    segments_[number].bytes += bytes;
    disk_bytes_ += bytes;
}

void Index::remove_segment(uint64_t number) {
    const auto found = segments_.find(number);
    disk_bytes_ -= found->second.bytes;
    for (auto* stream : found->second.streams) {
        while (!stream->runs.empty() && stream->runs.front().segment <= number) {
            stream->floor = stream->runs.front().last;
            stream->runs.pop_front();
        }
        std::erase_if(stream->holes, [&](const Hole& hole) { return hole.upto <= stream->floor; });
    }
    segments_.erase(found);
    loaded_.remove(number);
}

void Index::load(const SegmentScan& scan) {
    for (const auto& run : scan.runs) {
        const auto known = refs_.find(run.ref);
        auto* stream = known == refs_.end() ? nullptr : find(known->second);
        if (stream == nullptr || stream->ref != run.ref) {
            continue;
        }
        const auto held = std::ranges::find(stream->runs, scan.number, &Run::segment);
        if (held == stream->runs.end()) {
            continue;
        }
        if (!held->entries) {
            held->entries = std::make_shared<std::vector<Entry>>();
        }
        for (const auto& entry : run.entries) {
            if (held->entries->empty() || held->entries->back().point < entry.point) {
                held->entries->push_back(entry);
            }
        }
    }
    touch(scan.number);
}

void Index::assign_ref(Stream& stream) {
    stream.ref = ++last_ref_;
    refs_[stream.ref] = stream.id;
    stream.defined_in = 0;
}

void Index::forgive(Stream& stream, StreamPoint released) {
    for (const auto& hole : stream.holes) {
        if (hole.upto <= released) {
            stream.floor = std::max(stream.floor, hole.upto);
        }
    }
    std::erase_if(stream.holes, [&](const Hole& hole) { return hole.upto <= released; });
    while (!stream.runs.empty() && stream.runs.front().last <= stream.floor) {
        stream.runs.pop_front();
    }
}

void Index::touch(uint64_t segment) {
    if (segment == segments_.rbegin()->first) {
        return;  // still growing: always loaded
    }
    loaded_.remove(segment);
    loaded_.push_back(segment);
    // The one just used stays whatever the others do: somebody is about to look into it.
    const auto newest = std::prev(loaded_.end());
    for (auto oldest = loaded_.begin(); loaded_.size() > kLoadedSegments && oldest != newest;) {
        oldest = forget_entries(*oldest) ? loaded_.erase(oldest) : std::next(oldest);
    }
}

/// Small segments fill faster than they are written: what is not durable is not in the file yet,
/// so that no scan would bring it back.
bool Index::forget_entries(uint64_t segment) {
    const auto run_of = [&](Stream* stream) {
        return std::ranges::find(stream->runs, segment, &Run::segment);
    };
    const auto& streams = segments_[segment].streams;
    const bool all_durable = std::ranges::all_of(streams, [&](auto* stream) {
        const auto run = run_of(stream);
        return run == stream->runs.end() || run->last <= stream->durable;
    });
    if (!all_durable) {
        return false;
    }
    for (auto* stream : streams) {
        if (const auto run = run_of(stream); run != stream->runs.end()) {
            run->entries.reset();
        }
    }
    return true;
}

}  // namespace qiao::trail::internal
