#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/pace.h"
#include "qiao/common/clock.h"
#include "qiao/verify/internal/listing.h"
#include "qiao/verify/side.h"

namespace qiao::verify {

/// The side whose database this process reads. Its reader is used by nobody else meanwhile.
/// Memory: 65,536 sums, or the rows of one listing with their keys. Spec: R-35
class LocalSide final : public Side {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        drivers::TableReader& reader;
    };

    /// @param rows_per_second load brake; 0: none.
    explicit LocalSide(Parts parts, uint64_t rows_per_second = 0);

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

    /// All rows read so far, for a progress bar.
    uint64_t rows_read() const { return rows_read_; }

private:
    using Visit = drivers::TableReader::Visit;

    Task<Result<model::SourcePosition>> scan(
        const TableSpec& spec,
        std::vector<drivers::CanonicalColumn> columns,
        const Visit& visit,
        StopSignal& stop
    );
    Task<Result<model::SourcePosition>> read_keys(
        TableSpec spec, std::vector<Bytes> keys, const Visit& visit, StopSignal& stop
    );
    Task<Status> read_key_pages(
        TableSpec spec, std::vector<Bytes> keys, const Visit& visit, StopSignal& stop
    );
    Task<Status> brake(uint64_t rows);

    Parts parts_;
    Pace pace_;
    StopSignal* braking_stop_ = nullptr;  ///< of the scan under way
    internal::Listing listing_{0};
    uint64_t rows_read_ = 0;
};

}  // namespace qiao::verify
