#include "qiao/agent/verify_service.h"

#include "qiao/agent/renamed_reader.h"
#include "qiao/agent/target_line.h"
#include "qiao/verify/local_side.h"
#include "qiao/verify/messages.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::agent {
namespace {

constexpr auto kMethods = std::to_array<std::string_view>({
    verify::method::kDescribe,
    verify::method::kSettle,
    verify::method::kCount,
    verify::method::kSum,
    verify::method::kList,
    verify::method::kKeys,
    verify::method::kLook,
    verify::method::kPosition,
    verify::method::kMore,
});

}  // namespace

/// A flow's database as this session reads it; kept from one call to the next, because answers
/// travel in pieces.
struct VerifyService::Open {
    Open(Executor& executor, Clock& clock, std::unique_ptr<drivers::TableReader> opened)
        : reader(std::move(opened)),
          side({executor, clock, *reader}),
          service(side, [this](const model::TableName& table, const auto& /*columns*/) {
              return carried.contains(table);
          }) {}

    std::unique_ptr<drivers::TableReader> reader;
    verify::LocalSide side;
    std::set<model::TableName> carried;
    verify::SideService service;
};

VerifyService::VerifyService(Parts parts, std::string peer)
    : parts_(parts), peer_(std::move(peer)) {}

VerifyService::~VerifyService() = default;

void VerifyService::attach(link::Session& session) {
    for (const auto method : kMethods) {
        session.register_method(
            std::string(method),
            [this, name = std::string(method), &session](Bytes argument, link::ReplySink& sink) {
                return reply(name, std::move(argument), sink, session.stop());
            }
        );
    }
}

Result<TargetLine*> VerifyService::find(std::string_view flow) const {
    const auto line = std::ranges::find_if(parts_.lines, [&](const TargetLine* one) {
        return one->config().name == flow && one->config().peer == peer_;
    });
    if (line == parts_.lines.end()) {
        return Error(
            ErrorCode::LinkRefused,
            fmt::format("flow `{}` is not received here from `{}`", flow, peer_)
        );
    }
    if ((*line)->flow() == nullptr || !(*line)->flow()->opened()) {
        return Error(ErrorCode::LinkBusy, fmt::format("flow `{}` is starting", flow));
    }
    return *line;
}

/// The tables that the flow brought here, under the names that they have here.
Task<Status> VerifyService::learn_tables(const std::string& flow, Open& open) {
    QIAO_CO_TRY(auto* line, find(flow));
    QIAO_CO_TRY(const auto tables, co_await line->carried_tables());
    open.carried.clear();
    open.carried.insert(tables.begin(), tables.end());
    co_return Status{};
}

Task<Status> VerifyService::open(const std::string& flow, Desk& desk, StopSignal& stop) {
    QIAO_CO_TRY(auto* line, find(flow));
    const auto& config = line->config();
    auto reader = co_await parts_.databases.reader(config, stop);
    if (!reader) {
        co_return std::move(reader).error();
    }
    auto named = std::make_unique<RenamedReader>(*std::move(reader), config.names);
    desk.open = std::make_unique<Open>(parts_.executor, parts_.clock, std::move(named));
    co_return Status{};
}

Task<Result<Bytes>> VerifyService::answer(
    std::string flow, Desk& desk, std::string method, Bytes request, StopSignal& stop
) {
    // A table's description is asked for first of all, and may be of a table that is new here; a
    // comparison whose link was cut goes on in a new session with any other question.
    const bool begins = method == verify::method::kDescribe || method == verify::method::kCount;
    const bool fresh = desk.open == nullptr;
    if (fresh) {
        QIAO_CO_CHECK(co_await open(flow, desk, stop));
    }
    if (begins || fresh) {
        auto learned = co_await learn_tables(flow, *desk.open);
        if (!learned) {
            desk.open.reset();
            co_return std::move(learned).error();
        }
    }
    auto answered = co_await desk.open->service.answer(std::move(method), std::move(request), stop);
    if (!answered && answered.error().is(ErrorCode::DbLost)) {
        desk.open.reset();  // the next call opens the database again
    }
    co_return answered;
}

Task<Status> VerifyService::reply(
    std::string method, Bytes argument, link::ReplySink& sink, StopSignal& stop
) {
    ByteReader in(argument);
    const std::string flow(in.get_text());
    if (!in.ok()) {
        co_return Error(ErrorCode::LinkProtocol, "call argument");
    }
    QIAO_CO_CHECK(find(flow));
    auto& desk = desks_[flow];
    if (desk.busy) {
        co_return Error(ErrorCode::VerifyBusy, flow);
    }
    desk.busy = true;
    auto answered = co_await answer(flow, desk, std::move(method), to_bytes(in.rest()), stop);
    desk.busy = false;
    QIAO_CO_CHECK(answered);
    co_return co_await sink.send(*std::move(answered));
}

}  // namespace qiao::agent
