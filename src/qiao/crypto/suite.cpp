#include "qiao/crypto/suite.h"

#include "qiao/crypto/internal/suites.h"

#include <algorithm>

namespace qiao::crypto {
namespace {

// The table of suites. A third party's or a card's suite is one more line here and a file of its
// own. The number 0 (no encryption) has no line: no build of the library can select it.
constexpr std::array kSuites{&gm_suite, &intl_suite};

template <class Wanted>
const Suite* find(Wanted wanted) {
    const auto row = std::ranges::find_if(kSuites, [&](auto suite) { return wanted(suite()); });
    return row == kSuites.end() ? nullptr : &(*row)();
}

}  // namespace

Digest Suite::digest(std::initializer_list<ByteView> parts) const {
    const auto hasher = make_hasher();
    for (const auto part : parts) {
        hasher->update(part);
    }
    return hasher->finish();
}

const Suite* find_suite(SuiteId id) {
    return find([id](const Suite& suite) { return suite.id() == id; });
}

const Suite* find_suite(std::string_view name) {
    return find([name](const Suite& suite) { return suite.name() == name; });
}

const Suite& default_suite() { return gm_suite(); }

}  // namespace qiao::crypto
