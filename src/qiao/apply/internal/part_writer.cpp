#include "qiao/apply/internal/part_writer.h"

#include "qiao/apply/internal/writer.h"
#include "qiao/drivers/load_rows.h"

#include <fmt/format.h>

namespace qiao::apply {
namespace {

/// Large enough that a savepoint costs nothing, small enough to be kept.
constexpr size_t kSegmentBytes = size_t{4} << 20U;
constexpr size_t kBatchRows = 1000;
constexpr size_t kBatchBytes = size_t{1} << 20U;

}  // namespace

PartWriter::PartWriter(
    drivers::TargetSession& session,
    Clock& clock,
    const ApplierOptions& options,
    const LoadPart& part,
    StreamPoint point
)
    : session_(session),
      clock_(clock),
      options_(options),
      part_(part),
      point_(point),
      lays_aside_(options.policy == DivergencePolicy::RepairLater && options.seal),
      catalogue_(clock, options.names) {
    catalogue_.add(part.schema);
    catalogue_.use(part.schema.id());
}

Task<Status> PartWriter::begin() { return open_segment(); }

Task<Status> PartWriter::open_segment() {
    if (lays_aside_) {
        QIAO_CO_CHECK(co_await session_.savepoint());
    }
    auto written = options_.names.target_of(part_.schema);
    QIAO_CO_CHECK(co_await session_.begin_copy(std::move(written), part_.format));
    open_ = true;
    co_return Status{};
}

Task<Status> PartWriter::rows(LoadRows rows) {
    withheld_.insert(withheld_.end(), rows.withheld.begin(), rows.withheld.end());
    if (!rows.bytes.empty()) {
        QIAO_CO_CHECK(co_await copy(std::move(rows.bytes)));
    }
    const bool enough = segment_bytes_ >= kSegmentBytes || refused_ || !withheld_.empty();
    if (!rows.whole || !enough) {
        co_return Status{};
    }
    QIAO_CO_CHECK(co_await close_segment());
    if (!withheld_.empty()) {
        auto withheld = std::exchange(withheld_, {});
        QIAO_CO_CHECK(co_await write_carefully(drivers::LoadFormat::Tuples, std::move(withheld)));
    }
    co_return Status{};
}

Task<Status> PartWriter::copy(Bytes bytes) {
    if (!open_) {
        QIAO_CO_CHECK(co_await open_segment());
    }
    Status done;
    if (!refused_) {
        done = co_await session_.copy(bytes);
    }
    if (lays_aside_) {
        segment_bytes_ += bytes.size();
        segment_.push_back(std::move(bytes));
    }
    co_return done ? done : refuse(done.error());
}

Status PartWriter::refuse(Error error) {
    if (!lays_aside_ || cure_of(error) != Cure::Policy) {
        return error;
    }
    refused_ = std::move(error);
    return {};
}

Task<Status> PartWriter::close_segment() {
    if (!std::exchange(open_, false)) {
        co_return Status{};
    }
    if (!refused_) {
        const auto rows = co_await session_.end_copy();
        if (rows) {
            written_ += *rows;
        } else {
            QIAO_CO_CHECK(refuse(rows.error()));
        }
    }
    const auto segment = std::exchange(segment_, {});
    const auto size = std::exchange(segment_bytes_, 0);
    if (!lays_aside_) {
        co_return Status{};
    }
    if (!std::exchange(refused_, std::nullopt)) {
        co_return co_await session_.release_savepoint();
    }
    QIAO_CO_CHECK(co_await session_.rollback_to_savepoint());
    QIAO_CO_CHECK(co_await session_.release_savepoint());
    Bytes together;
    together.reserve(size);
    for (const auto& bytes : segment) {
        together.insert(together.end(), bytes.begin(), bytes.end());
    }
    co_return co_await write_carefully(part_.format, std::move(together));
}

Task<Status> PartWriter::write_carefully(drivers::LoadFormat format, Bytes bytes) {
    ByteReader in(bytes);
    while (!in.at_end()) {
        std::vector<Bytes> tuples;
        size_t size = 0;
        while (!in.at_end() && tuples.size() < kBatchRows && size < kBatchBytes) {
            QIAO_CO_TRY(auto tuple, drivers::take_tuple(format, part_.schema, in));
            size += tuple.size();
            tuples.push_back(std::move(tuple));
        }
        QIAO_CO_CHECK(co_await write_batch(tuples));
    }
    co_return Status{};
}

Task<Status> PartWriter::write_batch(const std::vector<Bytes>& tuples) {
    const auto id = part_.schema.id();
    QIAO_CO_CHECK(co_await catalogue_.bind(session_, id));
    std::vector<model::Change> changes(tuples.size());
    std::vector<Work> works(tuples.size());
    for (size_t i = 0; i < tuples.size(); ++i) {
        QIAO_CO_TRY(changes[i].new_row, model::Tuple::parse(tuples[i]));
        changes[i].schema = id;
        works[i].change = &changes[i];
        works[i].table = &catalogue_.table(id);
        works[i].of_load = true;
    }
    model::TransactionHead head;
    head.commit = head.end = part_.joined_at;
    head.commit_time = clock_.wall_now();
    const Writer::Place place{point_, part_.joined_at, &head};
    Writer writer(session_, chains_, options_);
    QIAO_CO_CHECK(co_await writer.write_carefully(std::move(works), {place}));
    written_ += writer.rows();
    const auto& refused = writer.laid_aside();
    laid_aside_.insert(laid_aside_.end(), refused.begin(), refused.end());
    if (laid_aside_.size() > options_.open_errors_max) {
        co_return Error(
            ErrorCode::ApplyErrorsFull, fmt::format("{} rows of a load", laid_aside_.size())
        );
    }
    co_return Status{};
}

Task<Result<uint64_t>> PartWriter::end() {
    QIAO_CO_CHECK(co_await close_segment());
    if (!withheld_.empty()) {
        co_return Error(ErrorCode::PacketMalformed, "a load ends inside a row");
    }
    co_return written_ + laid_aside_.size();
}

}  // namespace qiao::apply
