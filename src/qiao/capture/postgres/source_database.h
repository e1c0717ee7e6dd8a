#pragma once

#include "qiao/capture/postgres/replication_session.h"
#include "qiao/capture/postgres/slot.h"
#include "qiao/capture/postgres/source_table.h"
#include "qiao/common/id.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::capture::postgres {

/// What the heartbeat writes into the log, and reads there again.
struct HeartbeatNote {
    StreamId stream;
    WallTime written_at;
    uint64_t nonce = 0;
    std::string catalogue_digest;
    std::vector<model::TableName> changed;
    std::vector<model::TableName> withdrawn;
};

constexpr std::string_view kHeartbeatPrefix = "qiao.heartbeat";
/// First in a transaction that Qiao itself applied. The content: names of streams or nodes that it
/// has passed, separated by commas. Source: rules 16
constexpr std::string_view kOriginPrefix = "qiao.origin";

std::string format_note(const HeartbeatNote& note);
/// Empty for what is not a note of ours: anybody may write messages with this prefix.
std::optional<HeartbeatNote> parse_note(std::string_view content);

/// What the server says of a transaction that has not committed.
enum class TransactionFate : uint8_t {
    Undone,
    UnderWay,
    Forgotten,  ///< it lies too far back
};

/// Questions to the source beside the replication session. One call at a time. Errors: drivers.*.
class SourceCatalogue {
public:
    virtual ~SourceCatalogue() = default;

    virtual Task<Result<std::optional<SlotInfo>>> slot(std::string name) = 0;
    virtual Task<Result<std::vector<SourceTable>>> tables(std::vector<ChosenTable> chosen) = 0;
    /// The columns of one table now; empty when it is gone.
    virtual Task<Result<std::vector<ColumnFact>>> columns(uint32_t table) = 0;
    /// `pg_catalog.int4` by number; those that are gone are left out.
    virtual Task<Result<std::map<uint32_t, std::string>>> type_names(std::vector<uint32_t> types
    ) = 0;
    /// Any transaction id of now, 64 bits wide, to widen those of the stream.
    virtual Task<Result<uint64_t>> wide_xid() = 0;
    /// Transactions and sub-transactions that are not known to have committed.
    virtual Task<Result<std::map<uint64_t, TransactionFate>>> not_committed(
        std::vector<uint64_t> wide_xids
    ) = 0;
    /// The end of the log on disk.
    virtual Task<Result<Lsn>> newest() = 0;

    /// Digests of the catalogue rows of each table that exists. Source: rules 6
    virtual Task<Result<std::map<model::TableName, std::string>>> digests(
        std::vector<model::TableName> tables
    ) = 0;
    /// The server's numbers of the tables that exist, without waiting for anybody's lock.
    virtual Task<Result<std::map<uint32_t, model::TableName>>> numbers(
        std::vector<model::TableName> tables
    ) = 0;
    /// See guard_publications().
    virtual Task<Result<std::vector<model::TableName>>> guard(StreamId stream) = 0;
    /// Writes the note into the log with the server's time, as a transaction of its own.
    virtual Task<Status> write_note(HeartbeatNote note) = 0;
};

/// Opens sessions of one source database: PostgreSQL, or the simulator's model.
class SourceDatabase {
public:
    virtual ~SourceDatabase() = default;
    virtual Task<Result<std::unique_ptr<SourceSession>>> open_session(StopSignal& stop) = 0;
    virtual Task<Result<std::unique_ptr<SourceCatalogue>>> open_catalogue(StopSignal& stop) = 0;
    virtual std::string display() const = 0;
};

/// The real one, over libpq.
std::unique_ptr<SourceDatabase> make_source_database(
    drivers::postgres::Runtime runtime, drivers::DataSourceUrl url
);

}  // namespace qiao::capture::postgres
