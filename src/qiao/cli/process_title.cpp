#include "qiao/cli/process_title.h"

#include <algorithm>

namespace qiao::cli {
namespace {

using Places = std::vector<std::pair<size_t, size_t>>;

constexpr std::string_view kParameter = "password=";

void add(Places& places, std::string_view word, size_t begin, size_t end) {
    if (begin < end && word[begin] != '@') {
        places.emplace_back(begin, end - begin);
    }
}

}  // namespace

Places passwords_of(std::string_view word) {
    Places places;
    const auto scheme = word.find("://");
    if (scheme == std::string_view::npos) {
        return places;
    }
    const auto begin = scheme + 3;
    auto at = word.substr(0, word.find_first_of("/?#", begin)).rfind('@');
    if (at == std::string_view::npos) {
        // A password may have such a character that should have been encoded.
        at = word.rfind('@');
    }
    const auto colon = word.find(':', begin);
    if (at != std::string_view::npos && colon < at) {
        add(places, word, colon + 1, at);
    }
    const auto query = word.find('?', begin);
    for (auto found = word.find(kParameter, query); found != std::string_view::npos;) {
        const auto value = found + kParameter.size();
        const auto end = std::min(word.find('&', value), word.size());
        add(places, word, value, end);
        found = word.find(kParameter, end);
    }
    return places;
}

std::vector<std::string> take_words(int count, char** words) {
    std::vector<std::string> taken(words, words + count);
    for (size_t i = 0; i < taken.size(); ++i) {
        for (const auto& [begin, length] : passwords_of(taken[i])) {
            std::fill_n(words[i] + begin, length, 'x');
        }
    }
    return taken;
}

}  // namespace qiao::cli
