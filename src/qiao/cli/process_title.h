#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qiao::cli {

/// Where the passwords of a URL lie in `word`, as (begin, length); `@FILE` names none and is left.
/// Takes rather too much than too little of what is no proper URL. Spec: R-75
std::vector<std::pair<size_t, size_t>> passwords_of(std::string_view word);

/// Takes the program's words away from those who list processes: returns copies, and overwrites
/// passwords of URLs in the originals, which are the process title. Between the start of the
/// program and this call they can be seen. To be called first, once. Spec: R-75
std::vector<std::string> take_words(int count, char** words);

}  // namespace qiao::cli
