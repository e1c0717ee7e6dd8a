#pragma once

#include "qiao/apply/internal/catalogue.h"
#include "qiao/apply/internal/chains.h"
#include "qiao/apply/loader.h"

namespace qiao::apply {

/// Writes the rows of one part of a load into the transaction that its owner has begun and will
/// commit. Where refused rows are laid aside, the bulk goes in segments, each behind a savepoint;
/// one that the target refuses goes once more, row by row, and what it refuses then is laid aside.
/// Source: rules 4, 20
class PartWriter {
public:
    /// @param point  of the stream, beside which the load goes: for what is laid aside
    PartWriter(
        drivers::TargetSession& session,
        Clock& clock,
        const ApplierOptions& options,
        const LoadPart& part,
        StreamPoint point
    );

    /// Errors: as TargetSession::begin_copy().
    Task<Status> begin();
    /// See Loader::rows().
    Task<Status> rows(LoadRows rows);
    /// Rows written and laid aside.
    Task<Result<uint64_t>> end();

    /// What the transaction laid aside, without the changes.
    const std::vector<drivers::ErrorRow>& laid_aside() const { return laid_aside_; }

private:
    Task<Status> open_segment();
    Task<Status> close_segment();
    Task<Status> copy(Bytes bytes);
    /// Notes that the segment was refused; anything but its rows ends the load.
    Status refuse(Error error);
    /// Whole rows, one by one.
    Task<Status> write_carefully(drivers::LoadFormat format, Bytes bytes);
    Task<Status> write_batch(const std::vector<Bytes>& tuples);

    drivers::TargetSession& session_;
    Clock& clock_;
    const ApplierOptions& options_;
    const LoadPart& part_;
    const StreamPoint point_;
    const bool lays_aside_;
    Catalogue catalogue_;
    ErrorChains chains_;  ///< of this part alone
    bool open_ = false;
    std::vector<Bytes> segment_;  ///< what the open one was given, to be given again
    size_t segment_bytes_ = 0;
    std::optional<Error> refused_;
    Bytes withheld_;
    uint64_t written_ = 0;
    std::vector<drivers::ErrorRow> laid_aside_;
};

}  // namespace qiao::apply
