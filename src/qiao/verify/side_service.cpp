#include "qiao/verify/side_service.h"

namespace qiao::verify {

Status SideService::check(
    const model::TableName& table, const std::vector<drivers::CanonicalColumn>& columns
) const {
    if (!allowed_(table, columns)) {
        return Error(ErrorCode::VerifyNotAllowed, table.to_string());
    }
    return {};
}

/// Which rows lie in a range tells something of the column's values.
Status SideService::check(
    const model::TableName& table,
    std::vector<drivers::CanonicalColumn> columns,
    const drivers::TablePart& part
) const {
    if (part.sample) {
        for (const auto& name : part.sample->columns) {
            columns.push_back({name});
        }
    }
    if (part.range) {
        columns.push_back({part.range->column});
    }
    return check(table, columns);
}

Status SideService::check(const TableSpec& spec) const {
    return check(spec.table, spec.columns, spec.part);
}

Result<Bytes> SideService::page(uint64_t ticket, uint64_t offset) const {
    if (ticket != ticket_ || offset > answer_.size()) {
        return Error(ErrorCode::VerifyAnswerLost);
    }
    const auto rest = ByteView(answer_).subspan(offset);
    Page page;
    page.ticket = ticket_;
    page.total = answer_.size();
    page.bytes = to_bytes(rest.first(std::min(rest.size(), page_bytes_)));
    return encode(page);
}

Task<Result<Bytes>> SideService::answer(std::string method, Bytes request, StopSignal& stop) {
    if (method == method::kMore) {
        QIAO_CO_TRY(const auto more, decode_more(request));
        co_return page(more.ticket, more.offset);
    }
    answer_ = {};
    ++ticket_;
    QIAO_CO_TRY(answer_, co_await whole_answer(std::move(method), std::move(request), stop));
    co_return page(ticket_, 0);
}

Task<Result<Bytes>> SideService::whole_answer(std::string method, Bytes request, StopSignal& stop) {
    using Answer = Task<Result<Bytes>> (SideService::*)(Bytes, StopSignal&);
    constexpr std::pair<std::string_view, Answer> kAnswers[] = {
        {method::kDescribe, &SideService::describe},
        {method::kSettle, &SideService::settle},
        {method::kCount, &SideService::count},
        {method::kSum, &SideService::sum},
        {method::kList, &SideService::list},
        {method::kKeys, &SideService::keys},
        {method::kLook, &SideService::look},
    };
    for (const auto& [name, one] : kAnswers) {
        if (name == method) {
            co_return co_await (this->*one)(std::move(request), stop);
        }
    }
    if (method == method::kPosition) {
        QIAO_CO_TRY(const auto position, co_await side_.position(stop));
        co_return position.encode();
    }
    co_return Error(ErrorCode::VerifyTooNew, method);
}

Task<Result<Bytes>> SideService::describe(Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(auto table, decode_table(request));
    QIAO_CO_CHECK(check(table, {}));
    QIAO_CO_TRY(const auto shape, co_await side_.describe(std::move(table), stop));
    co_return encode(shape);
}

Task<Result<Bytes>> SideService::settle(Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(auto decoded, decode_settle_request(request));
    QIAO_CO_CHECK(check(decoded.table, {drivers::CanonicalColumn{decoded.wanted.range.column}}));
    QIAO_CO_TRY(const auto range, co_await side_.settle(std::move(decoded), stop));
    co_return encode(range);
}

Task<Result<Bytes>> SideService::count(Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(auto decoded, decode_count_request(request));
    QIAO_CO_CHECK(check(decoded.table, {}, decoded.part));
    QIAO_CO_TRY(const auto counted, co_await side_.count(std::move(decoded), stop));
    co_return encode(counted);
}

Task<Result<Bytes>> SideService::sum(Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(auto decoded, decode_sum_request(request));
    QIAO_CO_CHECK(check(decoded.spec));
    QIAO_CO_TRY(const auto summed, co_await side_.sum(std::move(decoded), stop));
    co_return encode(summed);
}

Task<Result<Bytes>> SideService::list(Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(auto decoded, decode_list_request(request));
    QIAO_CO_CHECK(check(decoded.spec));
    QIAO_CO_TRY(const auto listed, co_await side_.list(std::move(decoded), stop));
    co_return encode(listed);
}

Task<Result<Bytes>> SideService::keys(Bytes request, StopSignal& stop) {
    // Only keys of the last listing, whose table was checked.
    QIAO_CO_TRY(auto digests, decode_digests(request));
    QIAO_CO_TRY(const auto keys, co_await side_.keys(std::move(digests), stop));
    co_return encode_keys(keys);
}

Task<Result<Bytes>> SideService::look(Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(auto decoded, decode_look_request(request));
    QIAO_CO_CHECK(check(decoded.spec));
    QIAO_CO_TRY(const auto looked, co_await side_.look(std::move(decoded), stop));
    co_return encode(looked);
}

}  // namespace qiao::verify
