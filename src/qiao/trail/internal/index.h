#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/time.h"
#include "qiao/trail/internal/scan.h"

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace qiao::trail::internal {

/// Records of one stream in one segment. `entries` are dropped for segments not read lately and
/// loaded again by scanning; the rest stays.
struct Run {
    uint64_t segment = 0;
    StreamPoint first, last;
    uint64_t records = 0;
    uint64_t payload_bytes = 0;
    std::shared_ptr<std::vector<Entry>> entries;
};

/// Lost records of a stream: behind `after`, up to and including `upto`.
struct Hole {
    StreamPoint after, upto;
    uint64_t segment = 0;  ///< in which it showed
};

struct Stream {
    Stream(StreamId stream, Executor& executor) : id(stream), grew(executor) {}

    StreamId id;
    uint32_t ref = 0;         ///< 0: no record yet
    uint64_t defined_in = 0;  ///< segment that has our definition last
    StreamPoint floor;        ///< the point before the first record held
    StreamPoint tail;
    StreamPoint durable;
    std::deque<Run> runs;
    std::vector<Hole> holes;
    Event grew;  ///< pulsed when `durable` moved or the stream was restarted

    /// The first run that may hold something behind `point`; end() if none.
    std::deque<Run>::iterator run_behind(StreamPoint point);
    /// True when records between the two were lost. `to` is the next record held.
    bool lost_between(StreamPoint from, StreamPoint to) const;
};

struct Segment {
    uint64_t number = 0;
    uint64_t bytes = 0;
    std::vector<Stream*> streams;  ///< that have (or had, before a restart) records in it
    Stream* blocker = nullptr;     ///< the one that kept retention from it last time
    std::optional<MonoTime> free_since;
};

/// All that is known of a trail's records without reading it: by stream, by segment.
/// Memory: a run for each stream and segment; entries (24 bytes a record) only for the newest
/// segment, those that are not written yet, and the few read last.
class Index {
public:
    explicit Index(Executor& executor) : executor_(executor) {}

    /// Takes over a segment found at open, in ascending order; notes the holes that show there.
    void add(const SegmentScan& scan);

    Stream& stream(StreamId id);
    Stream* find(StreamId id) const;

    const std::unordered_map<StreamId, std::unique_ptr<Stream>>& streams() const {
        return streams_;
    }

    void begin_segment(uint64_t number);
    void append(Stream& stream, uint64_t segment, Entry entry);
    /// The stream goes on behind `before` under a new reference; what it had is dropped.
    void restart(Stream& stream, StreamPoint before);
    /// Gives the stream a reference that was never used before.
    void assign_ref(Stream& stream);
    /// Everything up to `released` is needed by nobody: a hole there is what retention left.
    void forgive(Stream& stream, StreamPoint released);
    void grow_segment(uint64_t number, uint64_t bytes);

    std::map<uint64_t, Segment>& segments() { return segments_; }

    const std::map<uint64_t, Segment>& segments() const { return segments_; }

    uint64_t disk_bytes() const { return disk_bytes_; }

    /// Forgets a removed segment.
    void remove_segment(uint64_t number);

    /// Puts the entries of a sealed segment back after a scan; touch() marks it as just used.
    void load(const SegmentScan& scan);
    void touch(uint64_t segment);

private:
    void add_run(const ScanRun& run, uint64_t segment);
    /// False when they are needed: the file does not have all of them.
    bool forget_entries(uint64_t segment);

    Executor& executor_;
    std::unordered_map<StreamId, std::unique_ptr<Stream>> streams_;
    std::unordered_map<uint32_t, StreamId> refs_;
    std::map<uint64_t, Segment> segments_;
    std::list<uint64_t> loaded_;  ///< sealed segments with entries, least recently used first
    uint64_t disk_bytes_ = 0;
    uint32_t last_ref_ = 0;
};

/// `point` is what must come right behind `before`.
inline bool follows(StreamPoint before, StreamPoint point) {
    return point.epoch == before.epoch ? point.sequence == before.sequence.next()
                                       : point.epoch > before.epoch && point.sequence.value == 1;
}

}  // namespace qiao::trail::internal
