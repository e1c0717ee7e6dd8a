#pragma once

#include "qiao/agent/database.h"
#include "qiao/apply/intervention.h"
#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/storage.h"
#include "qiao/packet/seal.h"

#include <functional>
#include <memory>
#include <string>

namespace qiao::cli {

/// How a stream is named to commands that work at its target: by the two databases of a sync, or by
/// a flow of the agent whose configuration is at hand.
struct TargetStreamArguments {
    std::string from, to, state, suite = "gm", stream;
    std::string config, flow;

    void add_to(CLI::App& command, const Console& console);
    /// Empty: fine.
    std::string usage_error() const;
};

/// A stream at its target, for an operator.
struct TargetStream {
    StopSignal stop;
    StreamId stream;
    model::Mapping names;
    packet::ReceiverKeys keys;
    agent::Target target;
    std::unique_ptr<apply::Intervention> intervention;

    /// The keys come from the state folder or the configuration, where the owner's is.
    /// Errors: common.config, common.storage_*, crypto.bad_identity.
    static Task<Result<std::unique_ptr<TargetStream>>> open(
        EventLoop& loop, Storage& storage, TargetStreamArguments arguments
    );

    /// For this stream and its key.
    apply::ReplayOptions replay_options() const;
};

/// Opens the stream and does `work`, which a signal stops. Tells an error; gives the exit status.
int run_at_target(
    const TargetStreamArguments& arguments,
    const Console& console,
    const std::function<Task<Result<int>>(TargetStream&, StopSignal&)>& work
);

/// `S.T`. Errors: common.config.
Result<model::TableName> one_table(const std::string& text);

}  // namespace qiao::cli
