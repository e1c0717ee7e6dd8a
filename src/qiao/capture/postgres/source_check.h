#pragma once

#include "qiao/capture/postgres/source_table.h"
#include "qiao/common/id.h"
#include "qiao/drivers/finding.h"

#include <vector>

namespace qiao::capture::postgres {

/// What the server and the role say, for judge_source(); read by read_source_facts().
struct SourceFacts {
    int version = 0;  ///< 150020
    std::string wal_level;
    int64_t slots_max = 0, slots_used = 0;
    int64_t senders_max = 0, senders_used = 0;
    int64_t slot_keep_mb = -1;  ///< max_slot_wal_keep_size; -1: no limit
    int64_t sender_timeout_ms = 0;
    std::string encoding;
    std::string role;
    bool may_replicate = false;  ///< REPLICATION or superuser
    bool may_create = false;     ///< CREATE on the database, for publications
    bool in_recovery = false;
    bool slot_exists = false;         ///< this stream's
    bool publications_right = false;  ///< nothing is left to do
    std::string database;
};

/// How rows of a capturable table are told apart; a warning when they are not.
drivers::Finding judge_identity(const SourceTable& table);

/// Reads only. Errors: drivers.*
Task<Result<SourceFacts>> read_source_facts(
    drivers::postgres::Connection& connection, StreamId stream, std::vector<SourceTable> tables
);

/// The findings of `qiao check` on a source, each with what mends it; pure. Spec: R-28
std::vector<drivers::Finding> judge_source(
    const SourceFacts& facts, const std::vector<SourceTable>& tables
);

/// Both together. Changes nothing.
Task<Result<std::vector<drivers::Finding>>> check_source(
    drivers::postgres::Connection& connection, StreamId stream, std::vector<ChosenTable> chosen
);

}  // namespace qiao::capture::postgres
