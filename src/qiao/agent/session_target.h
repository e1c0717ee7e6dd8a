#pragma once

#include "qiao/common/async/event.h"
#include "qiao/engine/remote_target.h"

#include <set>

namespace qiao::agent {

/// A RemoteTarget whose session comes and goes. What a load has open on a session must be gone
/// before the session is; a load may hold it longer, waiting for its source. So the parts are given
/// out in a cover: released() takes away those that nobody is inside of and waits for the others,
/// which end by themselves, because their session has.
class SessionTarget final : public engine::FlowTarget {
public:
    SessionTarget(Executor& executor, engine::RemoteTarget::Parts parts)
        : remote_(std::move(parts)), changed_(executor) {}

    /// While the session runs; one at a time.
    void use(link::Session& session);

    bool connected() const { return connected_; }

    /// The session has ended: no call begins any more. Returns when nothing of ours is left of it.
    Task<void> release();

    Task<Result<engine::TargetState>> state() override;
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) override;
    Task<Result<drivers::CreateReport>> advance_sequences(std::vector<drivers::SequenceValue> values
    ) override;
    Task<Status> announce_loads(std::vector<model::TableName> tables) override;
    Task<Status> begin_load(engine::LoadSession session) override;
    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat format, engine::LoadSession session
    ) override;
    Task<Status> finish_load(engine::LoadSession session) override;
    Task<Status> adopt(engine::LoadSession session, std::vector<model::TableSchema> schemas)
        override;
    Task<Result<std::vector<model::TableName>>> resyncs_asked() override;
    Task<Status> start_apply() override;

    /// See RemoteTarget::call().
    Task<Result<Bytes>> call(std::string method, Bytes rest, Duration deadline);

private:
    class Cover;

    /// One call on its way.
    class Inside {
    public:
        explicit Inside(SessionTarget& target) : target_(target) { ++target_.inside_; }

        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;

        ~Inside() {
            --target_.inside_;
            target_.changed_.pulse();
        }

    private:
        SessionTarget& target_;
    };

    engine::RemoteTarget remote_;
    bool connected_ = false;
    size_t inside_ = 0;
    uint64_t sessions_ = 0;  ///< released so far: a part of an older one is void
    std::set<Cover*> covers_;
    Event changed_;
};

}  // namespace qiao::agent
