#pragma once

#include "qiao/agent/movement.h"
#include "qiao/common/error.h"
#include "qiao/common/id.h"
#include "qiao/common/time.h"
#include "qiao/drivers/source_caps.h"
#include "qiao/verify/part.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::agent {

// What an operator sees of an agent: one snapshot, told in three forms. Spec

/// One stage of a flow: capture, send, receive, apply.
struct StageStatus {
    std::string name;
    std::string state;
    StreamPoint point;
    std::string position;          ///< at the source; empty: none
    uint64_t rows = 0, bytes = 0;  ///< since the start
    double rows_per_second = 0;
    uint64_t queue = 0;  ///< what waits before it: packets or changes
    uint32_t tries = 0;
    std::optional<Error> last_error;
};

struct LoadProgress {
    bool running = false;
    size_t tables = 0, parts = 0, parts_done = 0;
    uint64_t rows = 0, rows_estimated = 0, bytes = 0;
};

/// A table of a target that is not what its source is, or not known to be.
struct TableDoubt {
    std::string table;
    std::string state;   ///< `unproven`, `needs_resync`, `paused`
    std::string note{};  ///< why it is paused, with the statements that mend it
};

/// The newest comparison of a flow since the node was opened.
struct ComparisonStatus {
    std::string state;  ///< `running`, `equal`, `different`, `unknown`, `failed`
    WallTime ended_at;
    std::optional<Error> error;
    verify::Part part{};  ///< what was compared
    /// Tables that some comparison found different, until all their rows are seen to be equal.
    std::vector<std::string> different{};
};

struct FlowStatus {
    std::string name;
    std::string role;   ///< `source`, `target`
    std::string state;  ///< `following`, `loading`, `retrying`, `failed` …
    std::string peer, database;
    StreamId stream;
    Moving moving = Moving::Unknown;
    bool green = false;  ///< moves, and nothing is open
    std::optional<double> lag_seconds;
    uint64_t lag_bytes = 0;
    uint64_t rate_limit = 0;  ///< of this flow alone, bytes a second; 0: none
    std::optional<drivers::SourceUsage> source_usage;
    std::optional<double> last_out_seconds;  ///< since something came out
    std::vector<StageStatus> stages;
    LoadProgress load;
    uint64_t divergences = 0, open_errors = 0;
    uint64_t went_back = 0;   ///< at the source: the peer held less than it had acknowledged
    uint64_t laid_aside = 0;  ///< changes that wait at the target: not green
    std::vector<TableDoubt> doubtful;
    std::optional<ComparisonStatus>
        comparison;  ///< at the source; with tables that differ it is not green
    uint32_t tries = 0;
    std::optional<double> next_try_seconds;
    bool needs_operator = false;
    std::optional<Error> last_error;
};

struct LinkStatus {
    std::string peer;
    std::string direction;  ///< `dialled`, `accepted`
    std::string state;      ///< `up`, `connecting`, `waiting`, `stopped`
    std::string address;
    std::optional<double> round_trip_ms;
    uint64_t bytes_in = 0, bytes_out = 0;
    uint64_t rate_limit = 0;     ///< bytes a second that may be sent now; 0: no limit
    WallTime certificate_until;  ///< of the peer; zero: not known
    size_t streams = 0;
    uint64_t sessions = 0;
    uint32_t tries = 0;
    std::optional<Error> last_error;
};

struct AgentStatus {
    std::string node, version;
    Incarnation incarnation;
    WallTime at;
    double uptime_seconds = 0;
    uint64_t resident_bytes = 0;
    std::string certificate;  ///< subject
    WallTime certificate_until;
    std::string listening;            ///< empty: the node does not listen
    std::optional<Error> last_error;  ///< of the node itself: trail, listening, figures
    WallTime settings_since;
    std::optional<Error> reload_refused;  ///< why newer settings were not taken

    struct Trail {
        std::string condition;  ///< `open`, `pushing_back`, `failed`, `closed`
        uint64_t disk_bytes = 0, budget_bytes = 0, segments = 0, waiting = 0, damage = 0;
    } trail;

    struct Log {
        uint64_t records = 0, lost = 0;
        std::optional<Error> last_error;
    } transfer_log;

    std::vector<LinkStatus> links;
    std::vector<FlowStatus> flows;
};

std::string_view to_text(Moving moving);

/// How near the end of a certificate is: the least of 60, 30, 7 and 0 (over) days that it has come
/// under. None: there is time.
std::optional<int> expiry_notice(WallTime until, WallTime now);

/// Whether four fifths of the trail's disk budget are used: soon it pushes back. Source: rules 10
bool nearly_full(const AgentStatus::Trail& trail);

/// One object on one line.
std::string to_json(const AgentStatus& status);
/// Tables for people.
std::string to_text(const AgentStatus& status, Language language);
/// The exposition format of Prometheus, version 0.0.4.
std::string to_prometheus(const AgentStatus& status);

}  // namespace qiao::agent
