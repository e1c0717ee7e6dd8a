#pragma once

#include "qiao/capture/data_source.h"
#include "qiao/capture/postgres/kept_digests.h"

#include "model_server.h"

#include <memory>

namespace qiao::sim {

/// A ModelServer as the product's capture opens it: sessions, and questions to its catalogue.
class ModelSourceDatabase final : public capture::postgres::SourceDatabase {
public:
    explicit ModelSourceDatabase(ModelServer& server) : server_(server) {}

    Task<Result<std::unique_ptr<capture::postgres::SourceSession>>> open_session(StopSignal& stop
    ) override;
    Task<Result<std::unique_ptr<capture::postgres::SourceCatalogue>>> open_catalogue(
        StopSignal& stop
    ) override;

    std::string display() const override { return "model server"; }

private:
    ModelServer& server_;
};

/// A flow's source over a ModelServer: the product's own log capture behind the model's sessions.
class ModelDataSource final : public capture::DataSource {
public:
    struct Parts {
        ModelServer& server;
        Rng& rng;
        StopSignal& stop;
        Storage& storage;
        std::string folder;
        Duration heartbeat;
        bool beats;  ///< also when it is asked to
        size_t value_bytes_max;
    };

    explicit ModelDataSource(Parts parts) : parts_(std::move(parts)), database_(parts_.server) {}

    Task<Status> reach() override { co_return Status{}; }

    Task<Result<Choice>> choose(std::vector<std::string> patterns) override;
    Task<Status> prepare(StreamId stream, std::vector<model::TableName> tables) override;
    Task<Status> beat(StreamId stream) override;
    std::unique_ptr<capture::StreamingSource> streaming(StreamId stream) override;
    std::unique_ptr<capture::SnapshotSource> snapshot(StreamId stream) override;

    Task<Result<drivers::Structure>> structure(std::vector<drivers::TablePair> /*tables*/)
        override {
        co_return drivers::Structure{};
    }

    Task<Result<model::SourcePosition>> flushed_position() override;
    Task<Result<std::vector<capture::Leftover>>> leftovers(StreamId stream) override;
    Task<Result<model::SourcePosition>> renew(StreamId stream) override;
    Task<Result<std::vector<std::string>>> drop(StreamId stream) override;

    std::string identity() const override { return "model server"; }

private:
    Parts parts_;
    ModelSourceDatabase database_;
};

/// A table of the server as its capture and its reader tell it.
model::TableSchema schema_of(const ServerTable& table);

/// A table of the server as one of the target's.
drivers::TargetTable target_table(const ServerTable& table);

}  // namespace qiao::sim
