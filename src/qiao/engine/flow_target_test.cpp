#include "qiao/engine/flow_target.h"

#include <gtest/gtest.h>

namespace qiao::engine {
namespace {

// Spec: R-25
TEST(FlowTarget, ALoadSessionCrossesTheLinkWithItsNamesAndIsRefusedWhenCut) {
    LoadSession session;
    session.generation = 7;
    session.joined_at = model::SourcePosition::lsn(1, 2, 3);
    session.tables = {{"a", "person"}, {"a", "house"}};
    session.names.rename({"a", "person"}, {{"b", "ren"}, {{"id", "编号"}, {"x", "y"}}});
    session.names.rename({"a", "house"}, {{"b", "fang"}, {}});
    const auto bytes = session.encode();
    const auto again = LoadSession::decode(bytes);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->generation, session.generation);
    EXPECT_EQ(again->joined_at, session.joined_at);
    EXPECT_EQ(again->tables, session.tables);
    EXPECT_EQ(again->names, session.names);
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(LoadSession::decode(ByteView(bytes).first(size))) << size;
    }
}

TEST(FlowTarget, NamesOfTablesCrossTheLinkAndAreRefusedWhenCut) {
    const std::vector<model::TableName> tables{{"a", "person"}, {"模式", "表"}};
    const auto bytes = encode_tables(tables);
    const auto again = decode_tables(bytes);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, tables);
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_tables(ByteView(bytes).first(size))) << size;
    }
}

TEST(FlowTarget, ValuesOfSequencesCrossTheLinkAndAreRefusedWhenCut) {
    const std::vector<drivers::SequenceValue> values{
        {{"a", "person"}, "id", "a.person_id_seq", 9'223'372'036'854'775'807},
        {{"模式", "表"}, "编号", "s", -25}
    };
    const auto bytes = encode_sequences(values);
    const auto again = decode_sequences(bytes);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, values);
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_sequences(ByteView(bytes).first(size))) << size;
    }
}

}  // namespace
}  // namespace qiao::engine
