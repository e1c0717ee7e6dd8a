#pragma once

#include "qiao/verify/local_side.h"
#include "qiao/verify/model_table_test.h"
#include "qiao/verify/remote_side.h"
#include "qiao/verify/side_service.h"
#include "qiao/verify/verifier.h"

namespace qiao::verify {

/// Two model tables and a verifier between them; either side may lie across a functor with small
/// pages that stands for a link.
class TwoSides {
public:
    explicit TwoSides(uint64_t seed) : world(seed), random(seed) {}

    testing::ManualWorld world;
    std::mt19937_64 random;
    ModelTable source, target;
    VerifyOptions options;
    Flow flow;
    bool remote_source = false, remote_target = false;
    uint64_t rows_per_second = 0;
    Part part;
    uint64_t calls_over_link = 0;
    size_t largest_request = 0;
    std::vector<std::string> crossed;  ///< all bytes that went over the link
    StopSignal stop;

    ModelReader source_reader{world, source, random()};
    ModelReader target_reader{world, target, random()};

    void set_keyed(bool keyed) {
        for (auto* table : {&source, &target}) {
            table->layout.keyed = keyed;
            table->shape = table->layout.shape(table->name);
        }
    }

    Task<TableOutcome> verify() {
        LocalSide source_side({world, world, source_reader}, rows_per_second);
        LocalSide target_side({world, world, target_reader}, rows_per_second);
        const SideService::Allowed all = [](const auto&, const auto&) { return true; };
        SideService source_service(source_side, all, kPageBytes);
        SideService target_service(target_side, all, kPageBytes);
        RemoteSide far_source(call_to(source_service));
        RemoteSide far_target(call_to(target_service));
        Side& left = remote_source ? static_cast<Side&>(far_source) : source_side;
        Side& right = remote_target ? static_cast<Side&>(far_target) : target_side;
        Verifier verifier({world, world, world, left, right, flow}, options);
        TablePair pair{source.name, target.name, {}, part};
        auto outcome = co_await verifier.verify(std::move(pair), stop);
        co_return outcome;
    }

    TableOutcome run() { return world.run(verify()); }

private:
    static constexpr size_t kPageBytes = 200;

    RemoteSide::Call call_to(SideService& service) {
        return [this, &service](std::string method, Bytes request, StopSignal& stop_signal) {
            ++calls_over_link;
            largest_request = std::max(largest_request, request.size());
            crossed.emplace_back(as_text(request));
            return carry(service, std::move(method), std::move(request), stop_signal);
        };
    }

    Task<Result<Bytes>> carry(
        SideService& service, std::string method, Bytes request, StopSignal& stop_signal
    ) {
        auto answer = co_await service.answer(std::move(method), std::move(request), stop_signal);
        if (answer) {
            crossed.emplace_back(as_text(*answer));
        }
        co_return answer;
    }
};

}  // namespace qiao::verify
