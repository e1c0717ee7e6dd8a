#pragma once

#include "qiao/verify/side.h"

#include <string_view>

namespace qiao::verify {

// Requests and answers of a side across a link. Layout: docs/reference/formats/verify.md.
// Each decode checks all that its user relies on (orders, bounds, places), because the bytes are
// the other end's. Errors: verify.malformed, verify.too_new.

/// Names of the calls, for whatever carries them.
namespace method {
constexpr std::string_view kDescribe = "verify.describe";
constexpr std::string_view kSettle = "verify.settle";
constexpr std::string_view kCount = "verify.count";
constexpr std::string_view kSum = "verify.sum";
constexpr std::string_view kList = "verify.list";
constexpr std::string_view kKeys = "verify.keys";
constexpr std::string_view kLook = "verify.look";
constexpr std::string_view kPosition = "verify.position";
constexpr std::string_view kMore = "verify.more";
}  // namespace method

Bytes encode_table(const model::TableName& table);
Result<model::TableName> decode_table(ByteView bytes);

Bytes encode(const drivers::TableReader::Shape& shape);
Result<drivers::TableReader::Shape> decode_shape(ByteView bytes);

Bytes encode(const SettleRequest& request);
Result<SettleRequest> decode_settle_request(ByteView bytes);

Bytes encode(const drivers::RowRange& range);
Result<drivers::RowRange> decode_range(ByteView bytes);

Bytes encode(const CountRequest& request);
Result<CountRequest> decode_count_request(ByteView bytes);

Bytes encode(const Counted& counted);
Result<Counted> decode_counted(ByteView bytes);

Bytes encode(const SumRequest& request);
Result<SumRequest> decode_sum_request(ByteView bytes);

Bytes encode(const Summed& summed);
Result<Summed> decode_summed(ByteView bytes);

Bytes encode(const ListRequest& request);
Result<ListRequest> decode_list_request(ByteView bytes);

Bytes encode(const Listed& listed);
Result<Listed> decode_listed(ByteView bytes);

Bytes encode_digests(const std::vector<RowDigest>& digests);
Result<std::vector<RowDigest>> decode_digests(ByteView bytes);

Bytes encode_keys(const std::vector<Bytes>& keys);
Result<std::vector<Bytes>> decode_keys(ByteView bytes);

Bytes encode(const LookRequest& request);
Result<LookRequest> decode_look_request(ByteView bytes);

Bytes encode(const Looked& looked);
Result<Looked> decode_looked(ByteView bytes);

/// A piece of an answer: answers of any size travel in pieces that a call can carry.
struct Page {
    uint64_t ticket = 0;  ///< names the answer in verify.more
    uint64_t total = 0;   ///< bytes of the whole answer
    Bytes bytes;
};

/// Asks for the answer's bytes from `offset` on.
struct MoreRequest {
    uint64_t ticket = 0;
    uint64_t offset = 0;
};

Bytes encode(const Page& page);
Result<Page> decode_page(ByteView bytes);
Bytes encode(const MoreRequest& request);
Result<MoreRequest> decode_more(ByteView bytes);

}  // namespace qiao::verify
