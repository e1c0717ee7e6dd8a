#include "qiao/capture/postgres/internal/stream_error.h"

#include <gtest/gtest.h>

namespace qiao::capture::postgres::internal {
namespace {

TEST(StreamError, AFaultInsideTheServerIsTriedAgain) {
    const Error inside(
        ErrorCode::DbStatement,
        "could not map filenode \"base/1/2\" to relation OID, SQLSTATE XX000"
    );
    const auto told = stream_error(inside);
    EXPECT_TRUE(told.is(ErrorCode::DbLost));
    EXPECT_TRUE(told.transient());
    EXPECT_EQ(told.detail(), inside.detail());
}

TEST(StreamError, WhatNoRepetitionMendsStaysAsItIs) {
    const Error gone(ErrorCode::DbStatement, "publication \"x\" does not exist, SQLSTATE 42704");
    EXPECT_TRUE(stream_error(gone).is(ErrorCode::DbStatement));
    EXPECT_TRUE(stream_error(Error(ErrorCode::DbPrivilege)).is(ErrorCode::DbPrivilege));
}

}  // namespace
}  // namespace qiao::capture::postgres::internal
