#pragma once

#include "qiao/verify/side.h"

#include <functional>
#include <string>
#include <string_view>

namespace qiao::verify {

/// The side at the other end of a link, which reads its own database. Spec: R-35
class RemoteSide final : public Side {
public:
    /// Carries one call there and back: at most 1 MiB of request, and of answer what the service's
    /// pages are. A call lasts as long as the far end's scan of a table: its deadline is the
    /// link's being alive. Ends with common.cancelled when `stop` is requested.
    using Call =
        std::function<Task<Result<Bytes>>(std::string method, Bytes request, StopSignal& stop)>;

    explicit RemoteSide(Call call) : call_(std::move(call)) {}

    Task<Result<drivers::TableReader::Shape>> describe(model::TableName table, StopSignal& stop)
        override;
    Task<Result<drivers::RowRange>> settle(SettleRequest request, StopSignal& stop) override;
    Task<Result<Counted>> count(CountRequest request, StopSignal& stop) override;
    Task<Result<Summed>> sum(SumRequest request, StopSignal& stop) override;
    Task<Result<Listed>> list(ListRequest request, StopSignal& stop) override;
    Task<Result<std::vector<Bytes>>> keys(std::vector<RowDigest> digests, StopSignal& stop)
        override;
    Task<Result<Looked>> look(LookRequest request, StopSignal& stop) override;
    Task<Result<model::SourcePosition>> position(StopSignal& stop) override;

private:
    /// The whole answer, fetched piece by piece.
    Task<Result<Bytes>> ask(std::string_view method, Bytes request, StopSignal& stop);

    Call call_;
};

}  // namespace qiao::verify
