#include "qiao/drivers/postgres/sqlstate.h"

#include <gtest/gtest.h>

namespace qiao::drivers::postgres {
namespace {

TEST(SqlState, HasTheCodeOfItsClass) {
    EXPECT_EQ(error_code("08006"), ErrorCode::DbLost);
    EXPECT_EQ(error_code("57P01"), ErrorCode::DbLost);
    EXPECT_EQ(error_code("57P03"), ErrorCode::DbConnect);
    EXPECT_EQ(error_code("57014"), ErrorCode::DeadlinePassed);
    EXPECT_EQ(error_code("28P01"), ErrorCode::DbAuthentication);
    EXPECT_EQ(error_code("3D000"), ErrorCode::DbNoDatabase);
    EXPECT_EQ(error_code("42P01"), ErrorCode::DbNoTable);
    EXPECT_EQ(error_code("42703"), ErrorCode::DbNoTable);
    EXPECT_EQ(error_code("42501"), ErrorCode::DbPrivilege);
    EXPECT_EQ(error_code("42601"), ErrorCode::DbStatement);
    EXPECT_EQ(error_code("23505"), ErrorCode::DbConstraint);
    EXPECT_EQ(error_code("P0001"), ErrorCode::DbConstraint);
    EXPECT_EQ(error_code("22P02"), ErrorCode::DbValue);
    EXPECT_EQ(error_code("40001"), ErrorCode::DbSerialization);
    EXPECT_EQ(error_code("40P01"), ErrorCode::DbSerialization);
    EXPECT_EQ(error_code("55P03"), ErrorCode::DbSerialization);
    EXPECT_EQ(error_code("53300"), ErrorCode::DbResource);
    EXPECT_EQ(error_code("55006"), ErrorCode::DbInUse);
    EXPECT_EQ(error_code("55000"), ErrorCode::DbSetting);
    EXPECT_EQ(error_code("25006"), ErrorCode::DbSetting);
    EXPECT_EQ(error_code(""), ErrorCode::DbStatement);
}

TEST(SqlState, MessagesLoseTheValuesTheyQuote) {
    EXPECT_EQ(
        without_values("22P02", "invalid input syntax for type integer: \"a\"b\nc\""),
        "invalid input syntax for type integer: \"…\""
    );
    EXPECT_EQ(
        without_values("22003", "value \"99\" is out of range for type integer"),
        "value \"…\" is out of range for type integer"
    );
    EXPECT_EQ(without_values("22012", "division by zero"), "division by zero");
    EXPECT_EQ(without_values("22P02", "ungültig: »geheim«"), "a value was refused");
    EXPECT_EQ(without_values("22P02", "非法 \"x\""), "a value was refused");
    EXPECT_EQ(without_values("P0001", "bad 1").find("bad 1"), std::string::npos);
    EXPECT_EQ(
        without_values("42P01", "relation \"x\" does\nnot exist"), "relation \"x\" does not exist"
    );
}

TEST(SqlState, IsFoundInAVerboseConnectionMessage) {
    const auto refused = connect_error(
        "connection to server at \"h\", port 12345 failed: FATAL:  28P01: password authentication "
        "failed for user \"x\"\nLOCATION:  auth_failed, auth.c:331\n",
        ErrorCode::DbConnect
    );
    EXPECT_EQ(refused.code(), ErrorCode::DbAuthentication);
    EXPECT_EQ(refused.detail().find("LOCATION"), std::string::npos);
    EXPECT_NE(refused.detail().find("password authentication failed"), std::string::npos);
    const auto down = connect_error("FATAL:  57P01: going down\n", ErrorCode::DbConnect);
    EXPECT_EQ(down.code(), ErrorCode::DbConnect);
    const auto local = connect_error("could not connect: Connection refused\n", ErrorCode::DbLost);
    EXPECT_EQ(local.code(), ErrorCode::DbLost);
    EXPECT_EQ(local.detail(), "could not connect: Connection refused");
    EXPECT_EQ(connect_error("ERROR:  \n", ErrorCode::DbLost).code(), ErrorCode::DbLost);
    EXPECT_EQ(connect_error("", ErrorCode::DbLost).code(), ErrorCode::DbLost);
}

}  // namespace
}  // namespace qiao::drivers::postgres
