#include "qiao/crypto/suite.h"

#include <fmt/format.h>

#include <cstdlib>
#include <ctime>

// How many bytes a second one processor seals, opens and digests with each suite, in bodies of a
// packet's size: lines of `suite what bytes MB/s` for bench/cipher.py.
namespace qiao {
namespace {

constexpr double kSeconds = 1;

/// MB of a second of the processor, of `work`, which treats `bytes` each time.
template <typename Work>
double speed(size_t bytes, Work work) {
    const auto began = std::clock();
    uint64_t done = 0;
    double passed = 0;
    while (passed < kSeconds) {
        for (int i = 0; i < 16; ++i) {
            work();
            done += bytes;
        }
        passed = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
    }
    return static_cast<double>(done) / passed / 1e6;
}

bool measure(const crypto::Suite& suite, size_t bytes) {
    const auto aead = suite.make_aead(Secret(Bytes(suite.key_bytes(), std::byte{7})));
    const auto hasher = suite.make_hasher();
    const Bytes head(128, std::byte{1});
    Bytes body(bytes, std::byte{2});
    crypto::Nonce nonce{};
    const auto print = [&](const char* what, double rate) {
        fmt::print("{} {} {} {:.0f}\n", suite.name(), what, bytes, rate);
    };
    print("seal", speed(bytes, [&] { (void)aead->seal(nonce, head, body); }));
    auto sealed = body;
    const auto tag = aead->seal(nonce, head, sealed);
    bool right = true;
    print("open", speed(bytes, [&] {
              body = sealed;
              right = right && aead->open(nonce, head, body, tag).has_value();
          }));
    print("digest", speed(bytes, [&] {
              hasher->update(body);
              (void)hasher->finish();
          }));
    return right;
}

}  // namespace
}  // namespace qiao

int main() {
    bool right = true;
    for (const auto* name : {"gm", "intl"}) {
        for (const size_t bytes : {size_t{16} << 10U, size_t{256} << 10U}) {
            right = right && qiao::measure(*qiao::crypto::find_suite(name), bytes);
        }
    }
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
