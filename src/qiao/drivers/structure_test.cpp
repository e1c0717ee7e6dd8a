#include "qiao/drivers/structure.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::drivers {
namespace {

std::string some_text(std::mt19937& random) {
    std::string text(random() % 12, ' ');
    for (auto& c : text) {
        c = static_cast<char>(random() % 256);
    }
    return text;
}

std::vector<std::string> some_texts(std::mt19937& random) {
    std::vector<std::string> texts(random() % 3);
    for (auto& text : texts) {
        text = some_text(random);
    }
    return texts;
}

model::TableName some_name(std::mt19937& random) { return {some_text(random), some_text(random)}; }

TableShape some_table(std::mt19937& random) {
    TableShape table;
    table.name = some_name(random);
    table.columns.resize(random() % 4);
    for (auto& column : table.columns) {
        column.name = some_text(random);
        column.type = some_text(random);
        column.base = some_text(random);
        column.length = static_cast<int32_t>(random());
        column.not_null = random() % 2 == 0;
        column.has_default = random() % 2 == 0;
        column.identity = random() % 2 == 0;
        column.generated = some_text(random);
        column.labels = some_texts(random);
    }
    table.primary_key = some_texts(random);
    table.unique_keys.resize(random() % 3, some_texts(random));
    return table;
}

Structure some_structure(std::mt19937& random) {
    Structure structure;
    structure.tables.resize(random() % 3, {some_name(random), some_name(random)});
    structure.statements.resize(random() % 5);
    for (auto& statement : structure.statements) {
        statement.phase =
            random() % 2 == 0 ? StructurePhase::BeforeLoad : StructurePhase::AfterLoad;
        statement.kind = some_text(random);
        statement.object = some_text(random);
        statement.table = some_name(random);
        statement.probe = some_text(random);
        statement.sql = some_text(random);
    }
    structure.left_out.resize(random() % 3);
    for (auto& entry : structure.left_out) {
        entry = {some_text(random), some_text(random), some_text(random), some_text(random)};
    }
    structure.shape.characters = {some_text(random), static_cast<uint32_t>(random()), true};
    structure.shape.tables.resize(random() % 4);
    for (auto& table : structure.shape.tables) {
        if (random() % 3 != 0) {
            table = some_table(random);
        }
    }
    return structure;
}

TEST(Structure, ComesBackAsItWasEncoded) {
    std::mt19937 random(20261122);
    for (int round = 0; round < 200; ++round) {
        const auto structure = some_structure(random);
        const auto again = Structure::decode(structure.encode());
        ASSERT_TRUE(again) << again.error().to_string();
        EXPECT_EQ(*again, structure);
        const auto shape = decode_shape(encode_shape(structure.shape));
        ASSERT_TRUE(shape);
        EXPECT_EQ(*shape, structure.shape);
    }
}

TEST(Structure, RefusesEveryCutAndEveryTail) {
    std::mt19937 random(7);
    Structure structure;
    while (structure.statements.empty() || structure.shape.tables.empty()) {
        structure = some_structure(random);
    }
    auto bytes = structure.encode();
    for (size_t length = 0; length < bytes.size(); ++length) {
        const auto cut = Structure::decode(ByteView(bytes).first(length));
        ASSERT_FALSE(cut) << length;
        EXPECT_EQ(cut.error().code(), ErrorCode::PacketMalformed);
    }
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(Structure::decode(bytes));
}

TEST(Structure, TellsANewerVersionFromDamage) {
    auto bytes = Structure().encode();
    bytes.front() = std::byte{2};
    const auto newer = Structure::decode(bytes);
    ASSERT_FALSE(newer);
    EXPECT_EQ(newer.error().code(), ErrorCode::PacketTooNew);
}

TEST(Structure, SurvivesAnyBytes) {
    std::mt19937 random(11);
    const auto bytes = some_structure(random).encode();
    for (int round = 0; round < 5000; ++round) {
        auto changed = bytes;
        changed[random() % changed.size()] = static_cast<std::byte>(random());
        (void)Structure::decode(changed);
    }
}

}  // namespace
}  // namespace qiao::drivers
