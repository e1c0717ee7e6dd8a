#include "qiao/cli/out_of_memory.h"

#include <gtest/gtest.h>

#include <new>

namespace qiao::cli {
namespace {

using ::testing::ExitedWithCode;

TEST(OutOfMemory, EndsTheProcessAtOnceWithItsCodeAndTheNextStep) {
    const auto run_out = [] {
        end_when_out_of_memory(Language::English);
        // Called so by operator new, which asks again when it returns.
        std::get_new_handler()();
    };
    EXPECT_EXIT(
        run_out(), ExitedWithCode(kExitOutOfMemory), "common.out_of_memory(.|\n)*Nothing was lost"
    );
}

}  // namespace
}  // namespace qiao::cli
