#pragma once

#include "qiao/verify/messages.h"

#include <functional>
#include <string>

namespace qiao::verify {

/// Answers for a side across a link: the counterpart of RemoteSide. One for each peer and flow, as
/// it keeps the pieces of the last answer; one call at a time. Spec: R-35
class SideService {
public:
    /// Whether the peer may have this table compared. Digests of columns that a party may not read
    /// never reach it: `columns` are the names asked for, those that choose the rows among them;
    /// empty for a description or the count of a whole table.
    /// Source: rules 27
    using Allowed = std::function<
        bool(const model::TableName& table, const std::vector<drivers::CanonicalColumn>& columns)>;

    /// @param page_bytes of one answer's piece; what the caller's link carries at once.
    SideService(Side& side, Allowed allowed, size_t page_bytes = kPageBytes)
        : side_(side), allowed_(std::move(allowed)), page_bytes_(page_bytes) {}

    /// Errors: verify.malformed, verify.too_new, verify.not_allowed, verify.answer_lost, the
    /// database's.
    Task<Result<Bytes>> answer(std::string method, Bytes request, StopSignal& stop);

    static constexpr size_t kPageBytes = size_t{512} << 10U;

private:
    Task<Result<Bytes>> whole_answer(std::string method, Bytes request, StopSignal& stop);
    Task<Result<Bytes>> describe(Bytes request, StopSignal& stop);
    Task<Result<Bytes>> settle(Bytes request, StopSignal& stop);
    Task<Result<Bytes>> count(Bytes request, StopSignal& stop);
    Task<Result<Bytes>> sum(Bytes request, StopSignal& stop);
    Task<Result<Bytes>> list(Bytes request, StopSignal& stop);
    Task<Result<Bytes>> keys(Bytes request, StopSignal& stop);
    Task<Result<Bytes>> look(Bytes request, StopSignal& stop);
    Result<Bytes> page(uint64_t ticket, uint64_t offset) const;
    Status check(
        const model::TableName& table, const std::vector<drivers::CanonicalColumn>& columns
    ) const;
    Status check(
        const model::TableName& table,
        std::vector<drivers::CanonicalColumn> columns,
        const drivers::TablePart& part
    ) const;
    Status check(const TableSpec& spec) const;

    Side& side_;
    Allowed allowed_;
    size_t page_bytes_;
    uint64_t ticket_ = 0;
    Bytes answer_;
};

}  // namespace qiao::verify
