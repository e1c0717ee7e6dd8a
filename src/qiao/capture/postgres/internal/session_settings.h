#pragma once

#include "qiao/drivers/postgres/connection.h"

namespace qiao::capture::postgres::internal {

/// Options of the ordinary connection that reads the catalogue, alters publications and writes
/// heartbeats: short waits for locks, and no waiting for standbys that a heartbeat does not need.
inline drivers::postgres::ConnectOptions catalogue_options() {
    drivers::postgres::ConnectOptions options;
    options.application_name = "qiao catalogue";
    options.settings = {
        {"search_path", ""},
        {"timezone", "UTC"},
        {"datestyle", "ISO"},
        {"statement_timeout", "0"},
        {"lock_timeout", "5s"},
        {"idle_session_timeout", "0"},
        {"idle_in_transaction_session_timeout", "0"},
        {"default_transaction_read_only", "off"},
        {"default_transaction_isolation", "read committed"},
        {"synchronous_commit", "local"},
        {"jit", "off"},
    };
    return options;
}

}  // namespace qiao::capture::postgres::internal
