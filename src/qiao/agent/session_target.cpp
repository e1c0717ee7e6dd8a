#include "qiao/agent/session_target.h"

#include "qiao/common/assert.h"

namespace qiao::agent {

/// Holds a part on its session; the part can be taken away between two calls.
class SessionTarget::Cover final : public engine::FlowTarget::Part {
public:
    Cover(SessionTarget& target, std::unique_ptr<Part> part)
        : target_(target), part_(std::move(part)) {
        target_.covers_.insert(this);
    }

    Cover(const Cover&) = delete;
    Cover& operator=(const Cover&) = delete;

    ~Cover() override { target_.covers_.erase(this); }

    Task<Status> write(capture::LoadChunk chunk) override {
        if (!part_) {
            co_return gone();
        }
        const Inside inside(target_);
        busy_ = true;
        auto done = co_await part_->write(std::move(chunk));
        co_return leave(std::move(done));
    }

    Task<Status> finish() override {
        if (!part_) {
            co_return gone();
        }
        const Inside inside(target_);
        busy_ = true;
        auto done = co_await part_->finish();
        co_return leave(std::move(done));
    }

    void take_away() {
        void_ = true;
        if (!busy_) {
            part_.reset();
        }
    }

private:
    static Error gone() { return {ErrorCode::NetworkUnreachable, "the link was cut in a load"}; }

    Status leave(Status done) {
        busy_ = false;
        if (void_) {
            part_.reset();
        }
        return done;
    }

    SessionTarget& target_;
    std::unique_ptr<Part> part_;
    bool busy_ = false;
    bool void_ = false;
};

void SessionTarget::use(link::Session& session) {
    QIAO_ASSERT(!connected_ && inside_ == 0);
    connected_ = true;
    remote_.use(&session);
}

Task<void> SessionTarget::release() {
    remote_.use(nullptr);
    ++sessions_;
    for (auto* cover : covers_) {
        cover->take_away();
    }
    while (inside_ != 0) {
        co_await changed_.wait();
    }
    connected_ = false;
}

Task<Result<engine::TargetState>> SessionTarget::state() {
    const Inside inside(*this);
    co_return co_await remote_.state();
}

Task<Result<drivers::CreateReport>> SessionTarget::create(
    drivers::Structure structure, drivers::StructurePhase phase
) {
    const Inside inside(*this);
    co_return co_await remote_.create(std::move(structure), phase);
}

Task<Result<drivers::CreateReport>> SessionTarget::advance_sequences(
    std::vector<drivers::SequenceValue> values
) {
    const Inside inside(*this);
    co_return co_await remote_.advance_sequences(std::move(values));
}

Task<Status> SessionTarget::announce_loads(std::vector<model::TableName> tables) {
    const Inside inside(*this);
    co_return co_await remote_.announce_loads(std::move(tables));
}

Task<Status> SessionTarget::begin_load(engine::LoadSession session) {
    const Inside inside(*this);
    co_return co_await remote_.begin_load(std::move(session));
}

Task<Result<std::unique_ptr<engine::FlowTarget::Part>>> SessionTarget::open_part(
    capture::LoadPart part, drivers::LoadFormat format, engine::LoadSession session
) {
    const Inside inside(*this);
    const auto number = sessions_;
    auto opened = co_await remote_.open_part(std::move(part), format, std::move(session));
    if (!opened) {
        co_return opened.error();
    }
    if (number != sessions_) {
        opened->reset();
        co_return Error(ErrorCode::NetworkUnreachable, "the link was cut in a load");
    }
    co_return std::make_unique<Cover>(*this, *std::move(opened));
}

Task<Status> SessionTarget::finish_load(engine::LoadSession session) {
    const Inside inside(*this);
    co_return co_await remote_.finish_load(std::move(session));
}

Task<Result<Bytes>> SessionTarget::call(std::string method, Bytes rest, Duration deadline) {
    const Inside inside(*this);
    co_return co_await remote_.call(std::move(method), std::move(rest), deadline);
}

Task<Status> SessionTarget::adopt(
    engine::LoadSession session, std::vector<model::TableSchema> schemas
) {
    const Inside inside(*this);
    co_return co_await remote_.adopt(std::move(session), std::move(schemas));
}

Task<Result<std::vector<model::TableName>>> SessionTarget::resyncs_asked() {
    const Inside inside(*this);
    co_return co_await remote_.resyncs_asked();
}

Task<Status> SessionTarget::start_apply() {
    const Inside inside(*this);
    co_return co_await remote_.start_apply();
}

}  // namespace qiao::agent
