#pragma once

#include "qiao/agent/rate_plan.h"
#include "qiao/agent/timed_choice.h"
#include "qiao/agent/verify_calendar.h"
#include "qiao/common/async/task.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/storage.h"
#include "qiao/common/time.h"
#include "qiao/common/transport.h"
#include "qiao/drivers/source_caps.h"
#include "qiao/drivers/url.h"
#include "qiao/engine/capture_line.h"
#include "qiao/model/mapping.h"
#include "qiao/model/selection.h"
#include "qiao/model/withhold.h"
#include "qiao/packet/header.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qiao::agent {

/// Which end of a flow this node is.
enum class FlowRole : uint8_t { Source, Target };

/// Where what is large is divided. No setting: these suit every machine; the simulator makes them
/// small, so that small rows go every way that large ones go.
struct FlowSizes {
    size_t packet_bytes = packet::kPacketBytesDefault;  ///< see engine::PackerOptions
    size_t transaction_bytes_max = size_t{4} << 20U;    ///< see apply::ApplierOptions
    uint64_t laid_aside_max = 200'000;                  ///< see apply::ApplierOptions
};

/// What waits between two nodes. No setting either.
struct LinkSizes {
    uint64_t window_bytes = uint64_t{8} << 20U;   ///< see link::SessionOptions
    size_t send_queue_bytes = size_t{16} << 20U;  ///< see link::SessionOptions
};

/// One flow as this node has it. What is only known at the source is refused at the target.
struct FlowConfig {
    std::string name;  ///< the same in both nodes' files
    FlowRole role = FlowRole::Source;
    std::string peer;  ///< the node at the other end
    drivers::DataSourceUrl database;
    Duration heartbeat = std::chrono::seconds(10);  ///< 0: none is written to the source
    model::Mapping names;                           ///< at the target; both ends must say the same

    /// At the source: bring what the tables need. At the target: let the source do so.
    bool create = false;

    /// Target only: rows that it refuses wait in its error table; else they stop the flow.
    bool lay_aside = true;
    /// Target only: see apply::ApplierOptions::report_foreign_changes.
    bool report_foreign_changes = false;

    // Source only.
    std::vector<std::string> tables;   ///< patterns
    model::Selection selection;        ///< of tables that do not go over whole
    std::optional<TimedChoice> timed;  ///< by time of change; else by log
    bool carried = false;   ///< the first load comes by a folder, see `qiao sync --export`
    bool existing = false;  ///< no first load: the target has the rows
    engine::Custody custody = engine::Custody::Hop;
    std::string suite = "gm";
    std::string receiver_key;  ///< file with the receiver's public wrapping key
    size_t readers = 2;
    drivers::SourceLimits source_limits;
    size_t value_bytes_max = model::kValueBytesMost;  ///< larger values are withheld
    std::optional<VerifySchedule> verify;             ///< by itself; none: when it is asked for

    FlowSizes sizes;
};

struct PeerConfig {
    std::string name;
    Endpoint address;
};

struct TlsConfig {
    std::string certificate, key, ca;  ///< PEM files
};

struct StatusConfig {
    std::string socket;
    std::optional<Endpoint> http;  ///< for Prometheus; without a host: 127.0.0.1
};

struct TrailConfig {
    uint64_t budget_bytes = 8ULL << 30U;
    Duration grace = std::chrono::hours(24);
    uint64_t segment_bytes = 64U << 20U;
};

/// Everything that `qiao agent` is told, bound and checked once; nobody reads a setting by name
/// later. Paths in the file are relative to its folder, here they are not.
/// Reference: docs/reference/agent_config.md. Spec
struct AgentConfig {
    std::string node;
    std::string state;
    TlsConfig tls;
    /// Private PEM files, needed where a flow ends: the one in use, then older ones.
    std::vector<std::string> wrapping_keys;
    std::optional<Endpoint> listen;  ///< `*:7440` is IPv6 and IPv4
    std::vector<PeerConfig> peers;   ///< those that this node dials
    StatusConfig status;
    TrailConfig trail;
    std::vector<RateRule> rates;  ///< of what this node sends
    LinkSizes link_sizes;
    std::vector<FlowConfig> flows;

    /// Whether a node of this name may connect to here.
    bool expects(std::string_view peer) const;
};

/// Reads a configuration; `path` is for messages and for relative paths.
/// Errors: common.config with file, line, key, and the nearest known name for an unknown one.
Result<AgentConfig> parse_config(std::string_view yaml, const std::string& path);

/// The same from a file, with the databases' passwords found. Errors: also common.storage_*.
Task<Result<AgentConfig>> load_config(Storage& storage, std::string path);

/// The stream of a flow, the same at both ends: the first 16 bytes of the SHA-256 of
/// `flow\n<name>\n<source node>\n<target node>`.
StreamId flow_stream(
    std::string_view flow, std::string_view source_node, std::string_view target_node
);
/// Of a flow of this configuration.
StreamId flow_stream(const AgentConfig& config, const FlowConfig& flow);

}  // namespace qiao::agent
