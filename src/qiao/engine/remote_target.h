#pragma once

#include "qiao/common/rng.h"
#include "qiao/crypto/data_key.h"
#include "qiao/engine/flow_target.h"
#include "qiao/engine/pacer.h"
#include "qiao/link/session.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::engine {

// Methods of the link that TargetService answers. Argument: sized flow name, then the rest.
constexpr const char* kStateMethod = "flow.state";
constexpr const char* kCreateMethod = "flow.create";
constexpr const char* kAdvanceSequencesMethod = "flow.advance_sequences";
constexpr const char* kBeginLoadMethod = "flow.begin_load";
constexpr const char* kFinishLoadMethod = "flow.finish_load";
constexpr const char* kAdoptMethod = "flow.adopt";
constexpr const char* kResyncsAskedMethod = "flow.resyncs_asked";
constexpr const char* kCreatePieceMethod = "flow.create_piece";
constexpr const char* kAnnounceMethod = "flow.announce_loads";
constexpr const char* kStartApplyMethod = "flow.start_apply";

/// The target of a flow at the other end of a link. Without a session every call fails with
/// common.network_unreachable, which is transient. Load parts travel as sealed packets on streams
/// of their own; they are not kept in a trail, because the source still has the rows.
class RemoteTarget final : public FlowTarget {
public:
    struct Parts {
        Clock& clock;
        Rng& rng;
        std::string flow;
        const crypto::Suite& suite;
        std::vector<std::shared_ptr<const crypto::PublicKey>> receivers;
        packet::Compression compression = packet::Compression::None;
        Duration call_deadline = std::chrono::minutes(10);
        Duration create_deadline = std::chrono::hours(1);  ///< very many tables, large indexes
        Pacer* pacer = nullptr;                            ///< null: no rate of its own
    };

    explicit RemoteTarget(Parts parts) : parts_(std::move(parts)) {}

    /// While `session` runs; null when it has ended.
    void use(link::Session* session) { session_ = session; }

    Task<Result<TargetState>> state() override;
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) override;
    Task<Result<drivers::CreateReport>> advance_sequences(std::vector<drivers::SequenceValue> values
    ) override;
    Task<Status> announce_loads(std::vector<model::TableName> tables) override;
    Task<Status> begin_load(LoadSession session) override;
    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat format, LoadSession session
    ) override;
    Task<Status> finish_load(LoadSession session) override;
    Task<Status> adopt(LoadSession session, std::vector<model::TableSchema> schemas) override;
    Task<Result<std::vector<model::TableName>>> resyncs_asked() override;
    Task<Status> start_apply() override;

    /// Calls a method of the flow's other end: the flow's name goes before `rest`.
    Task<Result<Bytes>> call(std::string method, Bytes rest, Duration deadline);

private:
    Task<Result<Bytes>> call(const char* method, Bytes rest) {
        return call(method, std::move(rest), parts_.call_deadline);
    }

    /// In as many calls as its tables need.
    Task<Status> call_for(std::string method, LoadSession session);

    Parts parts_;
    link::Session* session_ = nullptr;
};

}  // namespace qiao::engine
