#include "qiao/verify/report.h"

#include <algorithm>

namespace qiao::verify {

Verdict VerifyReport::verdict() const {
    const auto any = [this](Verdict verdict) {
        return std::ranges::find(tables, verdict, &TableReport::verdict) != tables.end();
    };
    if (any(Verdict::Different)) {
        return Verdict::Different;
    }
    return any(Verdict::CouldNotTell) ? Verdict::CouldNotTell : Verdict::Equal;
}

bool VerifyReport::whole() const {
    return std::ranges::all_of(tables, [](const auto& table) { return table.part.whole(); });
}

int VerifyReport::exit_code() const {
    switch (verdict()) {
        case Verdict::Equal:
            return 0;
        case Verdict::Different:
            return 1;
        case Verdict::CouldNotTell:
            break;
    }
    return 2;
}

}  // namespace qiao::verify
