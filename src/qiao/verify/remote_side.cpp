#include "qiao/verify/remote_side.h"

#include "qiao/verify/messages.h"

namespace qiao::verify {
namespace {

/// The largest answer is a full listing: kListRowsMax entries of 40 bytes, or the columns of a
/// look.
constexpr uint64_t kAnswerBytesMax = uint64_t{256} << 20U;

}  // namespace

Task<Result<Bytes>> RemoteSide::ask(std::string_view method, Bytes request, StopSignal& stop) {
    QIAO_CO_TRY(const auto first, co_await call_(std::string(method), std::move(request), stop));
    QIAO_CO_TRY(auto page, decode_page(first));
    const auto total = page.total;
    if (total > kAnswerBytesMax) {
        co_return Error(ErrorCode::VerifyMalformed, "an answer that is too long");
    }
    auto answer = std::move(page.bytes);
    while (answer.size() < total) {
        const MoreRequest more{page.ticket, answer.size()};
        const auto name = std::string(method::kMore);
        QIAO_CO_TRY(const auto next, co_await call_(name, encode(more), stop));
        QIAO_CO_TRY(page, decode_page(next));
        const bool fits = page.ticket == more.ticket && page.total == total &&
                          !page.bytes.empty() && page.bytes.size() <= total - answer.size();
        if (!fits) {
            co_return Error(ErrorCode::VerifyMalformed, "a page that does not follow");
        }
        answer.insert(answer.end(), page.bytes.begin(), page.bytes.end());
    }
    co_return answer;
}

Task<Result<drivers::TableReader::Shape>> RemoteSide::describe(
    model::TableName table, StopSignal& stop
) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kDescribe, encode_table(table), stop));
    co_return decode_shape(answer);
}

Task<Result<drivers::RowRange>> RemoteSide::settle(SettleRequest request, StopSignal& stop) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kSettle, encode(request), stop));
    co_return decode_range(answer);
}

Task<Result<Counted>> RemoteSide::count(CountRequest request, StopSignal& stop) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kCount, encode(request), stop));
    co_return decode_counted(answer);
}

Task<Result<Summed>> RemoteSide::sum(SumRequest request, StopSignal& stop) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kSum, encode(request), stop));
    co_return decode_summed(answer);
}

Task<Result<Listed>> RemoteSide::list(ListRequest request, StopSignal& stop) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kList, encode(request), stop));
    co_return decode_listed(answer);
}

Task<Result<std::vector<Bytes>>> RemoteSide::keys(
    std::vector<RowDigest> digests, StopSignal& stop
) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kKeys, encode_digests(digests), stop));
    QIAO_CO_TRY(auto keys, decode_keys(answer));
    if (keys.size() != digests.size()) {
        co_return Error(ErrorCode::VerifyMalformed, "keys of other rows");
    }
    co_return keys;
}

Task<Result<Looked>> RemoteSide::look(LookRequest request, StopSignal& stop) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kLook, encode(request), stop));
    QIAO_CO_TRY(auto looked, decode_looked(answer));
    if (looked.rows.size() != request.rows.size()) {
        co_return Error(ErrorCode::VerifyMalformed, "a look at other rows");
    }
    co_return looked;
}

Task<Result<model::SourcePosition>> RemoteSide::position(StopSignal& stop) {
    QIAO_CO_TRY(const auto answer, co_await ask(method::kPosition, {}, stop));
    co_return model::SourcePosition::decode(answer);
}

}  // namespace qiao::verify
