#include "qiao/verify/local_side.h"

#include "qiao/common/assert.h"

#include <algorithm>

namespace qiao::verify {
namespace {

constexpr size_t kKeysOfOneRead = 500;

/// Where the buckets of a pass stand in its array: the buckets of each parent side by side.
class Grid {
public:
    explicit Grid(const SumRequest& request)
        : bits_(request.bits),
          within_bits_(request.within_bits),
          split_(static_cast<uint8_t>(request.bits - request.within_bits)),
          parents_(request.within),
          rows_(request.within.size() << split_) {}

    void add(const RowDigest& key, const RowDigest& row) {
        const auto parent = bucket_of(key, within_bits_);
        const auto place = std::ranges::lower_bound(parents_, parent);
        if (place == parents_.end() || *place != parent) {
            return;
        }
        const auto rank = static_cast<size_t>(place - parents_.begin());
        const auto child = bucket_of(key, bits_) & ((uint64_t{1} << split_) - 1);
        rows_[(rank << split_) | child].add(row);
    }

    std::vector<Bucket> filled() const {
        std::vector<Bucket> buckets;
        for (size_t i = 0; i < rows_.size(); ++i) {
            if (rows_[i].count != 0) {
                const auto child = i & ((size_t{1} << split_) - 1);
                buckets.push_back({parents_[i >> split_] << split_ | child, rows_[i]});
            }
        }
        return buckets;
    }

private:
    uint8_t bits_;
    uint8_t within_bits_;
    uint8_t split_;
    const std::vector<uint64_t>& parents_;
    std::vector<Fold> rows_;
};

/// The rows that a look asks for, found by their digest. What the database calls equal (citext) is
/// not enough: a row is only counted where its own key has the digest that was asked for.
class Sought {
public:
    explicit Sought(const LookRequest& request)
        : digester_(request.spec.run_key), spec_(request.spec) {
        order_.reserve(request.rows.size());
        for (uint32_t i = 0; i < request.rows.size(); ++i) {
            order_.emplace_back(request.rows[i].digest, i);
        }
        std::ranges::sort(order_);
        seen_.resize(request.rows.size());
    }

    /// The columns to read: those compared, and the version behind them.
    std::vector<drivers::CanonicalColumn> columns() const {
        auto columns = spec_.columns;
        if (!spec_.version_column.empty()) {
            columns.push_back({spec_.version_column, drivers::CanonicalColumn::Form::Text});
        }
        return columns;
    }

    void visit(const model::Tuple& read) {
        if (spec_.version_column.empty()) {
            visit(read, 0);
            return;
        }
        model::TupleBuilder compared(static_cast<uint16_t>(spec_.columns.size()));
        uint64_t version = 0;
        read.for_each([&](size_t place, const model::Value& value) {
            if (place < spec_.columns.size()) {
                compared.add(value);
            } else {
                version = digester_.version(value);
            }
        });
        const auto bytes = std::move(compared).take();
        visit(model::Tuple::parse(bytes).value(), version);
    }

    std::vector<Seen> take() && { return std::move(seen_); }

private:
    void visit(const model::Tuple& row, uint64_t version) {
        const auto row_digest = digester_.row(row);
        const auto key = spec_.keyless() ? row_digest : digester_.key(row, spec_.key);
        const auto first = std::ranges::lower_bound(order_, key, {}, &Place::first);
        for (auto place = first; place != order_.end() && place->first == key; ++place) {
            auto& seen = seen_[place->second];
            seen.rows.add(row_digest);
            seen.version += version;
            if (seen.rows.count == 1) {
                seen.columns = digester_.columns(row);
            } else if (!spec_.keyless()) {
                seen.columns.clear();
            }
        }
    }

    using Place = std::pair<RowDigest, uint32_t>;

    Digester digester_;
    const TableSpec& spec_;
    std::vector<Place> order_;
    std::vector<Seen> seen_;
};

/// The first error counts; the snapshot is ended in any case.
Status first_error(Status work, Status ending) {
    return work ? std::move(ending) : std::move(work);
}

std::vector<drivers::CanonicalColumn> key_columns(const TableSpec& spec) {
    std::vector<drivers::CanonicalColumn> columns;
    for (const auto place : spec.key) {
        columns.push_back(spec.columns[place]);
    }
    return columns;
}

}  // namespace

LocalSide::LocalSide(Parts parts, uint64_t rows_per_second)
    : parts_(parts), pace_(parts.executor, parts.clock, rows_per_second) {
    if (!pace_.free()) {
        parts_.reader.set_pace([this](uint64_t rows) { return brake(rows); });
    }
}

Task<Status> LocalSide::brake(uint64_t rows) {
    QIAO_ASSERT(braking_stop_ != nullptr);
    return pace_.pass(rows, *braking_stop_);
}

Task<Result<drivers::TableReader::Shape>> LocalSide::describe(
    model::TableName table, StopSignal& /*stop*/
) {
    return parts_.reader.describe(std::move(table));
}

Task<Result<model::SourcePosition>> LocalSide::position(StopSignal& /*stop*/) {
    return parts_.reader.current_position();
}

Task<Result<drivers::RowRange>> LocalSide::settle(SettleRequest request, StopSignal& /*stop*/) {
    return parts_.reader.settle_range(std::move(request.table), std::move(request.wanted));
}

Task<Result<Counted>> LocalSide::count(CountRequest request, StopSignal& /*stop*/) {
    Counted counted;
    QIAO_CO_TRY(counted.position, co_await parts_.reader.begin_snapshot());
    auto rows = co_await parts_.reader.count(std::move(request.table), std::move(request.part));
    QIAO_CO_CHECK(co_await parts_.reader.end_snapshot());
    QIAO_CO_TRY(counted.rows, std::move(rows));
    co_return counted;
}

/// Reads the part of `spec`.
Task<Result<model::SourcePosition>> LocalSide::scan(
    const TableSpec& spec,
    std::vector<drivers::CanonicalColumn> columns,
    const Visit& visit,
    StopSignal& stop
) {
    QIAO_CO_TRY(auto position, co_await parts_.reader.begin_snapshot());
    const auto width = columns.size();
    const Visit counting = [this, width, &visit](const model::Tuple& row) {
        QIAO_ASSERT(row.column_count() == width);
        ++rows_read_;
        visit(row);
    };
    braking_stop_ = &stop;
    auto read =
        co_await parts_.reader.scan(spec.table, std::move(columns), spec.part, counting, stop);
    braking_stop_ = nullptr;
    auto ended = co_await parts_.reader.end_snapshot();
    QIAO_CO_CHECK(first_error(std::move(read), std::move(ended)));
    co_return position;
}

Task<Result<model::SourcePosition>> LocalSide::read_keys(
    TableSpec spec, std::vector<Bytes> keys, const Visit& visit, StopSignal& stop
) {
    QIAO_CO_TRY(auto position, co_await parts_.reader.begin_snapshot());
    auto read = co_await read_key_pages(std::move(spec), std::move(keys), visit, stop);
    auto ended = co_await parts_.reader.end_snapshot();
    QIAO_CO_CHECK(first_error(std::move(read), std::move(ended)));
    co_return position;
}

/// `spec.columns` are those to read.
Task<Status> LocalSide::read_key_pages(
    TableSpec spec, std::vector<Bytes> keys, const Visit& visit, StopSignal& stop
) {
    for (size_t first = 0; first < keys.size(); first += kKeysOfOneRead) {
        const auto end = std::min(keys.size(), first + kKeysOfOneRead);
        std::vector<Bytes> page;
        for (size_t i = first; i < end; ++i) {
            page.push_back(std::move(keys[i]));
        }
        rows_read_ += page.size();
        QIAO_CO_CHECK(co_await pace_.pass(page.size(), stop));
        auto columns = key_columns(spec);
        QIAO_CO_CHECK(co_await parts_.reader.read_keys(
            spec.table, spec.columns, std::move(columns), std::move(page), visit
        ));
    }
    co_return Status{};
}

Task<Result<Summed>> LocalSide::sum(SumRequest request, StopSignal& stop) {
    Summed summed;
    Grid grid(request);
    Digester digester(request.spec.run_key);
    const Visit visit = [&](const model::Tuple& row) {
        const auto row_digest = digester.row(row);
        const auto& spec = request.spec;
        grid.add(spec.keyless() ? row_digest : digester.key(row, spec.key), row_digest);
        ++summed.rows;
    };
    QIAO_CO_TRY(summed.position, co_await scan(request.spec, request.spec.columns, visit, stop));
    summed.buckets = grid.filled();
    co_return summed;
}

Task<Result<Listed>> LocalSide::list(ListRequest request, StopSignal& stop) {
    listing_ = internal::Listing(request.rows_max);
    Digester digester(request.spec.run_key);
    const Bytes no_key;
    const Visit visit = [&](const model::Tuple& row) {
        const auto& spec = request.spec;
        const auto row_digest = digester.row(row);
        const auto key = spec.keyless() ? row_digest : digester.key(row, spec.key);
        if (std::ranges::binary_search(request.buckets, bucket_of(key, request.bits))) {
            const bool keep = !spec.keyless() && listing_.keeps_keys();
            listing_.add(key, row_digest, keep ? key_tuple(row, spec.key) : no_key);
        }
    };
    QIAO_CO_CHECK(co_await scan(request.spec, request.spec.columns, visit, stop));
    Listed listed;
    listed.entries = listing_.finish();
    listed.overflow = listing_.overflow();
    co_return listed;
}

Task<Result<std::vector<Bytes>>> LocalSide::keys(
    std::vector<RowDigest> digests, StopSignal& /*stop*/
) {
    std::vector<Bytes> keys;
    keys.reserve(digests.size());
    for (const auto& digest : digests) {
        keys.push_back(to_bytes(listing_.key_of(digest)));
    }
    co_return keys;
}

Task<Result<Looked>> LocalSide::look(LookRequest request, StopSignal& stop) {
    Looked looked;
    Sought sought(request);
    const Visit visit = [&sought](const model::Tuple& row) { sought.visit(row); };
    const auto has_key = [](const Wanted& wanted) { return !wanted.key.empty(); };
    if (!request.spec.keyless() && std::ranges::all_of(request.rows, has_key)) {
        std::vector<Bytes> keys;
        for (auto& wanted : request.rows) {
            keys.push_back(std::move(wanted.key));
        }
        auto spec = request.spec;
        spec.columns = sought.columns();
        QIAO_CO_TRY(
            looked.position, co_await read_keys(std::move(spec), std::move(keys), visit, stop)
        );
    } else {
        auto columns = sought.columns();
        QIAO_CO_TRY(looked.position, co_await scan(request.spec, std::move(columns), visit, stop));
    }
    looked.rows = std::move(sought).take();
    co_return looked;
}

}  // namespace qiao::verify
