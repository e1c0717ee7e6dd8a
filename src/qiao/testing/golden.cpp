#include "qiao/testing/golden.h"

namespace qiao::testing {

std::string golden_folder(std::string_view module) {
    return std::string(QIAO_SOURCE_FOLDER "/src/qiao/").append(module) + "/golden";
}

}  // namespace qiao::testing
