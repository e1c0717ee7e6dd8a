// Requests and answers of a side as the other end may send them. What is taken must come back from
// its own encoding, and a request that is taken can be carried out within its bounds.

#include "qiao/common/assert.h"
#include "qiao/verify/messages.h"

namespace {

using namespace qiao;
using namespace qiao::verify;

template <class Message>
void check(const Result<Message>& message) {
    if (message) {
        const auto bytes = encode(*message);
        QIAO_ASSERT(!bytes.empty());
    }
}

template <class Message>
void check_exact(const Result<Message>& message, ByteView input) {
    if (message) {
        QIAO_ASSERT(encode(*message) == to_bytes(input));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto input = std::as_bytes(std::span(data, size));
    const auto sum = decode_sum_request(input);
    check_exact(sum, input);
    if (sum) {
        const auto split = static_cast<unsigned>(sum->bits - sum->within_bits);
        QIAO_ASSERT(sum->within.size() << split <= kBucketsMax);
    }
    check_exact(decode_list_request(input), input);
    check_exact(decode_look_request(input), input);
    check_exact(decode_summed(input), input);
    check_exact(decode_listed(input), input);
    check_exact(decode_looked(input), input);
    check_exact(decode_counted(input), input);
    check_exact(decode_count_request(input), input);
    check_exact(decode_settle_request(input), input);
    check_exact(decode_range(input), input);
    check_exact(decode_page(input), input);
    check_exact(decode_more(input), input);
    check(decode_shape(input));
    if (const auto keys = decode_keys(input)) {
        QIAO_ASSERT(encode_keys(*keys) == to_bytes(input));
    }
    if (const auto digests = decode_digests(input)) {
        QIAO_ASSERT(encode_digests(*digests) == to_bytes(input));
    }
    if (const auto table = decode_table(input)) {
        QIAO_ASSERT(encode_table(*table) == to_bytes(input));
    }
    return 0;
}
