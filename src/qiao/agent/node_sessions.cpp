#include "qiao/agent/node_sessions.h"

#include "qiao/agent/source_line.h"
#include "qiao/agent/verify_service.h"

#include <algorithm>

namespace qiao::agent {
namespace {

constexpr size_t kEchoPartBytes = size_t{256} << 10U;

Task<Status> answer_echo(Bytes argument, link::ReplySink& sink) {
    ByteReader in(argument);
    auto wanted = size_t{std::min(in.get<uint32_t>(), kEchoBytesMax)};
    if (!in.ok()) {
        co_return Error(ErrorCode::LinkProtocol, "call argument");
    }
    while (wanted > 0) {
        const auto part = std::min(wanted, kEchoPartBytes);
        QIAO_CO_CHECK(co_await sink.send(Bytes(part)));
        wanted -= part;
    }
    co_return Status{};
}

}  // namespace

Task<void> NodeSessions::use(link::Session& session) {
    const auto number = next_++;
    const auto peer = session.peer().name;
    open_[number] = {&session, clock_.now()};
    set_rates();
    engine::TargetService service(peer, flows_);
    service.attach(session);
    VerifyService comparing({executor_, clock_, databases_, targets_}, peer);
    comparing.attach(session);
    session.register_method(kEchoMethod, answer_echo);
    {
        TaskScope scope(executor_);
        for (auto* line : lines_) {
            if (line->config().peer == peer && line->claim()) {
                scope.spawn(line->serve(session));
            }
        }
        (void)co_await session.run();
        co_await scope.join();
    }
    open_.erase(number);
    changed_.pulse();
}

void NodeSessions::set_rates() {
    const auto minute = minute_of_day(clock_.wall_now());
    for (const auto& [number, open] : open_) {
        const auto rate = rate_at(rates_, open.session->peer().name, minute);
        if (rate != open.session->rate()) {
            open.session->set_rate(rate);
        }
    }
}

Task<void> NodeSessions::dismiss(std::string peer, Error reason) {
    const auto newer = next_;
    for (const auto& [number, open] : open_) {
        if (open.session->peer().name == peer) {
            open.session->close(reason);
        }
    }
    const auto in_use = [&] {
        return std::ranges::any_of(open_, [&](const auto& entry) {
            return entry.first < newer && entry.second.session->peer().name == peer;
        });
    };
    while (in_use()) {
        co_await changed_.wait();
    }
}

}  // namespace qiao::agent
