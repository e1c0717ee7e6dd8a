#pragma once

#include "qiao/capture/postgres/replication_session.h"

#include "model_server.h"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace qiao::sim {

/// A replication session of a ModelServer: reads its log from the first record that can matter,
/// puts transactions together, and sends them as pgoutput does: whole ones at their commit, large
/// ones in blocks before it, with the relations that this session or that transaction has not been
/// told of. Source: rules 14, 15
class ModelReplication final : public capture::postgres::SourceSession {
public:
    explicit ModelReplication(ModelServer& server);
    ~ModelReplication() override;

    const SystemIdentity& identity() const override { return identity_; }

    int server_version() const override { return 150000; }

    Task<Status> start(capture::postgres::StartRequest request) override;
    Result<std::optional<capture::postgres::LogMessage>> next() override;
    Task<Status> wait(StopSignal& stop) override;
    void confirm(Lsn keep_from, Lsn safe) override;
    Task<void> close() override;

private:
    /// Shapes of relations.
    using Told = std::set<std::shared_ptr<const ServerTable>>;

    /// A transaction of which the log has told something, and not its end.
    struct Gathered {
        std::vector<const LogRecord*> records;  ///< not sent yet
        bool streamed = false;
        std::set<uint32_t> streamed_xids;  ///< sub-transactions of which something was sent
        Told told;                         ///< inside its blocks
    };

    struct Outgoing {
        Lsn lsn = 0;
        Bytes body;
        bool keepalive = false;
    };

    bool ended() const;
    ServerSlot* slot();
    /// Takes the next records of the log until something is to be sent. False: the log's end.
    bool read_log();
    void take(const LogRecord& record);
    void send_whole(const Gathered& transaction, const LogRecord& commit);
    void send_block(uint32_t top, Gathered& transaction);
    void send_record(const LogRecord& record, uint32_t block, Told& told);
    void tell_relation(
        const std::shared_ptr<const ServerTable>& shape, uint32_t block, Lsn lsn, Told& told
    );
    void undo(const LogRecord& record);
    /// What servers also tell: types, tables that nobody has chosen.
    void send_beside(const LogRecord& commit);
    void garble();
    void see_it_noticed();

    void send(Lsn lsn, Bytes body) { queue_.push_back({lsn, std::move(body), false}); }

    ModelServer& server_;
    SystemIdentity identity_;
    uint64_t id_;
    uint64_t ended_before_;
    std::string slot_name_;
    Lsn from_ = 0;
    bool streaming_ = false;
    bool started_ = false;
    bool lost_ = false;
    bool in_block_ = false;                    ///< of what was handed out
    std::optional<MonoTime> senseless_since_;  ///< something without sense was handed out
    size_t read_ = 0;                          ///< records of the log
    std::map<uint32_t, Gathered> gathered_;
    Told told_;  ///< of the session
    std::deque<Outgoing> queue_;
    Outgoing current_;
    Lsn confirmed_ = 0;
    MonoTime keepalive_due_;
};

}  // namespace qiao::sim
