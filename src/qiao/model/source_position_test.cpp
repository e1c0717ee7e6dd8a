#include "qiao/model/source_position.h"

#include <gtest/gtest.h>

namespace qiao::model {
namespace {

TEST(SourcePosition, ItsPredecessorBorrowsThroughZeroBytes) {
    const auto at = [](uint64_t lsn) { return SourcePosition::lsn(1, 1, lsn); };
    EXPECT_EQ(at(0x30).predecessor(), at(0x2F));
    EXPECT_EQ(at(0x1'0000'0000).predecessor(), at(0xFFFF'FFFF));
    EXPECT_EQ(at(0x1'00'00).predecessor(), at(0xFFFF));
    EXPECT_TRUE(compare(at(0x100).predecessor(), at(0x100)) < 0);
}

}  // namespace
}  // namespace qiao::model
