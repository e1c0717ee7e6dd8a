#pragma once

#include <cstdint>
#include <string>

namespace qiao::drivers {

/// One line of `qiao check`: what was looked at, how it stands, and the text that mends it.
struct Finding {
    enum class Verdict : uint8_t { Good, Warning, Bad };
    Verdict verdict = Verdict::Good;
    std::string subject;  ///< `wal_level`, `public.person`
    std::string message_en;
    std::string message_zh;
    std::string mend;  ///< SQL or command; empty when nothing is to do
    /// `mend` gives a column the length that another encoding needs, and changes nothing else.
    /// Does not cross a link. Spec: R-47
    bool lengthens = false;
};

}  // namespace qiao::drivers
