#include "qiao/verify/messages.h"

#include "qiao/verify/internal/part_wire.h"
#include "qiao/verify/internal/wire.h"

#include <algorithm>

namespace qiao::verify {
namespace {

using internal::Decoder;
using internal::Encoder;

void put_fold(ByteWriter& out, const Fold& fold) {
    out.put(fold.count);
    out.put(fold.low);
    out.put(fold.high);
}

Fold get_fold(ByteReader& in) {
    Fold fold;
    fold.count = in.get<uint64_t>();
    fold.low = in.get<uint64_t>();
    fold.high = in.get<uint64_t>();
    return fold;
}

RowDigest get_digest(ByteReader& in) { return RowDigest::from(in.take(RowDigest::kSize)); }

void put_table(ByteWriter& out, const model::TableName& table) {
    out.put_sized(table.schema);
    out.put_sized(table.name);
}

model::TableName get_table(ByteReader& in) {
    model::TableName table;
    table.schema = in.get_text();
    table.name = in.get_text();
    return table;
}

void put_spec(ByteWriter& out, const TableSpec& spec) {
    put_table(out, spec.table);
    out.put(static_cast<uint16_t>(spec.columns.size()));
    for (const auto& column : spec.columns) {
        out.put_sized(column.name);
        out.put(static_cast<uint8_t>(column.form));
    }
    out.put(static_cast<uint16_t>(spec.key.size()));
    for (const auto place : spec.key) {
        out.put(place);
    }
    out.put_sized(spec.version_column);
    out.append(spec.run_key.view());
    internal::put_part(out, spec.part);
}

bool ascending(const auto& values) {
    return std::ranges::adjacent_find(values, std::greater_equal<>()) == values.end();
}

TableSpec get_spec(Decoder& in) {
    TableSpec spec;
    spec.table = get_table(in.reader());
    in.list<uint16_t>([&] {
        drivers::CanonicalColumn column;
        column.name = in.reader().get_text();
        const auto form = in.reader().get<uint8_t>();
        in.require(form <= static_cast<uint8_t>(drivers::CanonicalColumn::Form::Binary));
        column.form = static_cast<drivers::CanonicalColumn::Form>(form);
        spec.columns.push_back(std::move(column));
    });
    in.list<uint16_t>([&] { spec.key.push_back(in.reader().get<uint16_t>()); });
    in.require(ascending(spec.key));
    in.require(spec.key.empty() || spec.key.back() < spec.columns.size());
    in.require(!spec.columns.empty());
    spec.version_column = in.reader().get_text();
    spec.run_key = RunKey::from(in.reader().take(RunKey::kSize));
    spec.part = internal::get_part(in);
    return spec;
}

void put_numbers(ByteWriter& out, const std::vector<uint64_t>& numbers) {
    out.put(static_cast<uint32_t>(numbers.size()));
    for (const auto number : numbers) {
        out.put(number);
    }
}

/// Ids of buckets of `bits` bits, ascending.
std::vector<uint64_t> get_buckets(Decoder& in, uint8_t bits) {
    std::vector<uint64_t> ids;
    in.list<uint32_t>([&] { ids.push_back(in.reader().get<uint64_t>()); });
    in.require(bits <= kBitsMax && ids.size() <= kBucketsMax && ascending(ids));
    in.require(in.ok() && (ids.empty() || ids.back() >> bits == 0));
    return ids;
}

}  // namespace

Bytes encode_table(const model::TableName& table) {
    Encoder out;
    put_table(out.writer(), table);
    return std::move(out).take();
}

Result<model::TableName> decode_table(ByteView bytes) {
    Decoder in(bytes);
    auto table = get_table(in.reader());
    return in.finish(std::move(table), "table");
}

Bytes encode(const drivers::TableReader::Shape& shape) {
    Encoder out;
    out.writer().put_sized(ByteView(shape.schema.encode()));
    out.writer().put(static_cast<uint16_t>(shape.binary_safe.size()));
    for (const auto& name : shape.binary_safe) {
        out.writer().put_sized(name);
    }
    out.writer().put_sized(shape.version_column);
    return std::move(out).take();
}

Result<drivers::TableReader::Shape> decode_shape(ByteView bytes) {
    Decoder in(bytes);
    drivers::TableReader::Shape shape;
    auto schema = model::TableSchema::decode(in.reader().get_sized());
    in.require(schema.has_value());
    if (schema) {
        shape.schema = *std::move(schema);
    }
    in.list<uint16_t>([&] { shape.binary_safe.emplace_back(in.reader().get_text()); });
    shape.version_column = in.reader().get_text();
    return in.finish(std::move(shape), "shape");
}

Bytes encode(const SettleRequest& request) {
    Encoder out;
    put_table(out.writer(), request.table);
    internal::put_range(out.writer(), request.wanted);
    return std::move(out).take();
}

Result<SettleRequest> decode_settle_request(ByteView bytes) {
    Decoder in(bytes);
    SettleRequest request;
    request.table = get_table(in.reader());
    request.wanted = internal::get_range(in).value_or(drivers::RangeWanted{});
    in.require(!request.wanted.range.column.empty());
    return in.finish(std::move(request), "request of a range");
}

Bytes encode(const drivers::RowRange& range) {
    Encoder out;
    internal::put_range(out.writer(), drivers::RangeWanted{range, std::nullopt});
    return std::move(out).take();
}

Result<drivers::RowRange> decode_range(ByteView bytes) {
    Decoder in(bytes);
    auto wanted = internal::get_range(in).value_or(drivers::RangeWanted{});
    in.require(!wanted.range.column.empty() && !wanted.within);
    return in.finish(std::move(wanted.range), "range");
}

Bytes encode(const CountRequest& request) {
    Encoder out;
    put_table(out.writer(), request.table);
    internal::put_part(out.writer(), request.part);
    return std::move(out).take();
}

Result<CountRequest> decode_count_request(ByteView bytes) {
    Decoder in(bytes);
    CountRequest request;
    request.table = get_table(in.reader());
    request.part = internal::get_part(in);
    return in.finish(std::move(request), "request of a count");
}

Bytes encode(const Counted& counted) {
    Encoder out;
    counted.position.encode(out.writer());
    out.writer().put(counted.rows);
    return std::move(out).take();
}

Result<Counted> decode_counted(ByteView bytes) {
    Decoder in(bytes);
    Counted counted;
    counted.position = model::SourcePosition::decode(in.reader());
    counted.rows = in.reader().get<uint64_t>();
    return in.finish(std::move(counted), "count");
}

Bytes encode(const SumRequest& request) {
    Encoder out;
    put_spec(out.writer(), request.spec);
    out.writer().put(request.bits);
    out.writer().put(request.within_bits);
    put_numbers(out.writer(), request.within);
    return std::move(out).take();
}

Result<SumRequest> decode_sum_request(ByteView bytes) {
    Decoder in(bytes);
    SumRequest request;
    request.spec = get_spec(in);
    request.bits = in.reader().get<uint8_t>();
    request.within_bits = in.reader().get<uint8_t>();
    request.within = get_buckets(in, request.within_bits);
    const auto split = request.bits - request.within_bits;
    in.require(request.bits <= kBitsMax && split >= 0 && split <= kBucketBits);
    in.require(in.ok() && request.within.size() << static_cast<unsigned>(split) <= kBucketsMax);
    return in.finish(std::move(request), "request of sums");
}

Bytes encode(const Summed& summed) {
    Encoder out;
    summed.position.encode(out.writer());
    out.writer().put(summed.rows);
    out.writer().put(static_cast<uint32_t>(summed.buckets.size()));
    for (const auto& bucket : summed.buckets) {
        out.writer().put(bucket.id);
        put_fold(out.writer(), bucket.rows);
    }
    return std::move(out).take();
}

Result<Summed> decode_summed(ByteView bytes) {
    Decoder in(bytes);
    Summed summed;
    summed.position = model::SourcePosition::decode(in.reader());
    summed.rows = in.reader().get<uint64_t>();
    in.list<uint32_t>([&] {
        Bucket bucket;
        bucket.id = in.reader().get<uint64_t>();
        bucket.rows = get_fold(in.reader());
        in.require(summed.buckets.empty() || summed.buckets.back().id < bucket.id);
        summed.buckets.push_back(bucket);
    });
    in.require(summed.buckets.size() <= kBucketsMax);
    return in.finish(std::move(summed), "sums");
}

Bytes encode(const ListRequest& request) {
    Encoder out;
    put_spec(out.writer(), request.spec);
    out.writer().put(request.bits);
    put_numbers(out.writer(), request.buckets);
    out.writer().put(request.rows_max);
    return std::move(out).take();
}

Result<ListRequest> decode_list_request(ByteView bytes) {
    Decoder in(bytes);
    ListRequest request;
    request.spec = get_spec(in);
    request.bits = in.reader().get<uint8_t>();
    request.buckets = get_buckets(in, request.bits);
    request.rows_max = in.reader().get<uint32_t>();
    in.require(request.rows_max <= kListRowsMax);
    return in.finish(std::move(request), "request of a list");
}

Bytes encode(const Listed& listed) {
    Encoder out;
    out.writer().put(static_cast<uint8_t>(listed.overflow ? 1 : 0));
    out.writer().put(static_cast<uint32_t>(listed.entries.size()));
    for (const auto& entry : listed.entries) {
        out.writer().append(entry.key.view());
        put_fold(out.writer(), entry.rows);
    }
    return std::move(out).take();
}

Result<Listed> decode_listed(ByteView bytes) {
    Decoder in(bytes);
    Listed listed;
    const auto overflow = in.reader().get<uint8_t>();
    in.require(overflow <= 1);
    listed.overflow = overflow == 1;
    in.list<uint32_t>([&] {
        Entry entry;
        entry.key = get_digest(in.reader());
        entry.rows = get_fold(in.reader());
        in.require(listed.entries.empty() || listed.entries.back().key < entry.key);
        listed.entries.push_back(entry);
    });
    in.require(listed.entries.size() <= kListRowsMax);
    return in.finish(std::move(listed), "list");
}

Bytes encode_digests(const std::vector<RowDigest>& digests) {
    Encoder out;
    out.writer().put(static_cast<uint32_t>(digests.size()));
    for (const auto& digest : digests) {
        out.writer().append(digest.view());
    }
    return std::move(out).take();
}

Result<std::vector<RowDigest>> decode_digests(ByteView bytes) {
    Decoder in(bytes);
    std::vector<RowDigest> digests;
    in.list<uint32_t>([&] { digests.push_back(get_digest(in.reader())); });
    in.require(digests.size() <= kLookRowsMax);
    return in.finish(std::move(digests), "digests");
}

Bytes encode_keys(const std::vector<Bytes>& keys) {
    Encoder out;
    out.writer().put(static_cast<uint32_t>(keys.size()));
    for (const auto& key : keys) {
        out.writer().put_sized(ByteView(key));
    }
    return std::move(out).take();
}

Result<std::vector<Bytes>> decode_keys(ByteView bytes) {
    Decoder in(bytes);
    std::vector<Bytes> keys;
    in.list<uint32_t>([&] {
        keys.push_back(to_bytes(in.reader().get_sized()));
        in.require(keys.back().empty() || model::Tuple::parse(keys.back()).has_value());
    });
    in.require(keys.size() <= kLookRowsMax);
    return in.finish(std::move(keys), "keys");
}

Bytes encode(const LookRequest& request) {
    Encoder out;
    put_spec(out.writer(), request.spec);
    out.writer().put(static_cast<uint32_t>(request.rows.size()));
    for (const auto& wanted : request.rows) {
        out.writer().append(wanted.digest.view());
        out.writer().put_sized(ByteView(wanted.key));
    }
    return std::move(out).take();
}

Result<LookRequest> decode_look_request(ByteView bytes) {
    Decoder in(bytes);
    LookRequest request;
    request.spec = get_spec(in);
    in.list<uint32_t>([&] {
        Wanted wanted;
        wanted.digest = get_digest(in.reader());
        wanted.key = to_bytes(in.reader().get_sized());
        const auto key = model::Tuple::parse(wanted.key);
        in.require(wanted.key.empty() || (key && key->column_count() == request.spec.key.size()));
        request.rows.push_back(std::move(wanted));
    });
    in.require(request.rows.size() <= kLookRowsMax);
    return in.finish(std::move(request), "request of a look");
}

Bytes encode(const Looked& looked) {
    Encoder out;
    looked.position.encode(out.writer());
    out.writer().put(static_cast<uint32_t>(looked.rows.size()));
    for (const auto& seen : looked.rows) {
        put_fold(out.writer(), seen.rows);
        out.writer().put(seen.version);
        put_numbers(out.writer(), seen.columns);
    }
    return std::move(out).take();
}

Result<Looked> decode_looked(ByteView bytes) {
    Decoder in(bytes);
    Looked looked;
    looked.position = model::SourcePosition::decode(in.reader());
    in.list<uint32_t>([&] {
        Seen seen;
        seen.rows = get_fold(in.reader());
        seen.version = in.reader().get<uint64_t>();
        in.list<uint32_t>([&] { seen.columns.push_back(in.reader().get<uint64_t>()); });
        looked.rows.push_back(std::move(seen));
    });
    in.require(looked.rows.size() <= kLookRowsMax);
    return in.finish(std::move(looked), "look");
}

Bytes encode(const Page& page) {
    Encoder out;
    out.writer().put(page.ticket);
    out.writer().put(page.total);
    out.writer().put_sized(ByteView(page.bytes));
    return std::move(out).take();
}

Result<Page> decode_page(ByteView bytes) {
    Decoder in(bytes);
    Page page;
    page.ticket = in.reader().get<uint64_t>();
    page.total = in.reader().get<uint64_t>();
    page.bytes = to_bytes(in.reader().get_sized());
    in.require(page.bytes.size() <= page.total);
    return in.finish(std::move(page), "page");
}

Bytes encode(const MoreRequest& request) {
    Encoder out;
    out.writer().put(request.ticket);
    out.writer().put(request.offset);
    return std::move(out).take();
}

Result<MoreRequest> decode_more(ByteView bytes) {
    Decoder in(bytes);
    MoreRequest request;
    request.ticket = in.reader().get<uint64_t>();
    request.offset = in.reader().get<uint64_t>();
    return in.finish(std::move(request), "request of more");
}

}  // namespace qiao::verify
