#include "qiao/apply/internal/fold.h"

#include "qiao/apply/history_test.h"
#include "qiao/apply/internal/plan.h"
#include "qiao/apply/key.h"

#include <gtest/gtest.h>

namespace qiao::apply {
namespace {

using model::Change;
using model::OldImage;
using model::Op;

/// A plain table with key `id` and two more columns, and changes of it.
class Fold : public ::testing::Test {
protected:
    Fold() {
        auto shape = history::make_shape("plain", {"id", "a", "b"}, "int8");
        table_.schema = std::make_shared<const model::TableSchema>(shape.schema);
        table_.target = shape.target;
        table_.key = table_.fold_key = {0};
        table_.has_key = table_.key_is_bytes = table_.sets_of_inserts = table_.replaceable = true;
    }

    model::Tuple row(const std::string& id, const std::string& a, const std::string& b) {
        model::TupleBuilder builder(3);
        for (const auto& value : {id, a, b}) {
            value == "-" ? builder.unchanged() : builder.text(value);
        }
        return *model::Tuple::parse(rows_.emplace_back(std::move(builder).take()));
    }

    Change& insert(const std::string& id, const std::string& a, const std::string& b) {
        auto& change = changes_.emplace_back();
        change.new_row = row(id, a, b);
        return change;
    }

    Change& update(const std::string& id, const std::string& a, const std::string& b) {
        auto& change = insert(id, a, b);
        change.op = Op::Update;
        return change;
    }

    Change& erase(const std::string& id) {
        auto& change = changes_.emplace_back();
        change.op = Op::Delete;
        change.old_image = OldImage::Key;
        change.old_row = arena_.key_image(row(id, "x", "x"), {0});
        return change;
    }

    /// `delete 1 | insert 1 a b`, a set a step.
    std::string planned() {
        Plan plan({.fold = true, .set_rows_min = 2});
        for (const auto& change : changes_) {
            plan.add({.change = &change, .table = &table_});
        }
        std::string text;
        for (const auto& step : plan.finish()) {
            text += text.empty() ? "" : " | ";
            text += step.kind == Step::Kind::Upsert ? "upsert"
                    : step.op == Op::Insert         ? "insert"
                    : step.op == Op::Update         ? "update"
                                                    : "delete";
            text += step.may_miss && step.op == Op::Delete ? "?" : "";
            for (const auto* change : step.changes) {
                text += ' ' + printed(*change);
            }
        }
        return text;
    }

    static std::string printed(const Change& change) {
        const auto& image = change.op == Op::Delete ? change.old_row : change.new_row;
        std::string text;
        image.for_each([&](size_t i, const model::Value& value) {
            if (change.op != Op::Delete || i == 0) {
                text += value.kind == model::ValueKind::Unchanged ? "-" : as_text(value.bytes);
            }
        });
        return text;
    }

    BoundTable table_;
    ChangeArena arena_;
    std::deque<Bytes> rows_;
    std::deque<Change> changes_;
};

TEST_F(Fold, InsertAndUpdateBecomeOneInsert) {
    insert("1", "a", "b");
    update("1", "c", "-");
    EXPECT_EQ(planned(), "insert 1cb");
}

TEST_F(Fold, UpdatesKeepTheColumnsThatNoneOfThemSent) {
    update("1", "a", "-");
    update("1", "c", "-");
    update("2", "x", "-");
    update("2", "y", "z");
    EXPECT_EQ(planned(), "update 2yz | update 1c-");
}

TEST_F(Fold, InsertAndDeleteBecomeNothing) {
    insert("1", "a", "b");
    update("1", "c", "d");
    erase("1");
    EXPECT_EQ(planned(), "");
    insert("1", "e", "f");
    EXPECT_EQ(planned(), "insert 1ef");
}

TEST_F(Fold, DeleteAndInsertStayBoth) {
    erase("1");
    insert("1", "a", "b");
    update("1", "c", "-");
    EXPECT_EQ(planned(), "delete 1 | insert 1cb");
}

TEST_F(Fold, UpdateAndDeleteBecomeADelete) {
    update("1", "a", "-");
    erase("1");
    EXPECT_EQ(planned(), "delete 1");
}

TEST_F(Fold, AKeyChangeStandsAlone) {
    update("1", "a", "b");
    auto& moved = update("2", "c", "d");
    moved.old_image = OldImage::Key;
    moved.old_row = arena_.key_image(row("1", "x", "x"), {0});
    update("2", "e", "f");
    EXPECT_EQ(planned(), "update 1ab | update 2cd | update 2ef");
}

// Changes that contradict each other are done one after the other, so that the target refuses.
TEST_F(Fold, ContradictionsAreNotSmoothedOver) {
    insert("1", "a", "b");
    insert("1", "c", "d");
    EXPECT_EQ(planned(), "insert 1ab | insert 1cd");
    changes_.clear();
    erase("1");
    update("1", "a", "b");
    EXPECT_EQ(planned(), "delete 1 | update 1ab");
    changes_.clear();
    erase("1");
    erase("1");
    EXPECT_EQ(planned(), "delete 1 | delete 1");
}

TEST_F(Fold, OneKeyInTwoFormsIsNotTakenForTwo) {
    insert("1", "a", "b");
    auto& binary = changes_.emplace_back();
    binary.op = Op::Update;
    model::TupleBuilder builder(3);
    builder.binary(as_bytes("1")).text("c").text("d");
    binary.new_row = *model::Tuple::parse(rows_.emplace_back(std::move(builder).take()));
    EXPECT_EQ(planned(), "insert 1ab | update 1cd");
}

TEST_F(Fold, TolerantChangesReplaceWhatMayBeThere) {
    insert("1", "a", "b").tolerant = true;
    update("1", "c", "d").tolerant = true;
    erase("2").tolerant = true;
    EXPECT_EQ(planned(), "delete? 1 2 | insert 1cd");
    table_.replaceable = false;
    EXPECT_EQ(planned(), "upsert 1ab | upsert 1cd | delete? 2");
}

// Which tables may be folded at all, by the two catalogues. Source: rules 19
TEST(Catalogue, GivesAFoldKeyOnlyToPlainTablesWithAKeyOfBytes) {
    testing::ManualWorld world;
    drivers::model_db::ModelDatabase database(world, world, 1);
    const auto bound = [&](history::Shape shape) {
        database.create_table(shape.target);
        const model::Mapping same_names;
        Catalogue catalogue(world, same_names);
        catalogue.add(shape.schema);
        const auto session = *world.run(database.connect());
        EXPECT_TRUE(world.run(catalogue.bind(*session, shape.schema.id())));
        return catalogue.table(shape.schema.id());
    };
    const auto shape = [](std::string name, std::string type) {
        return history::make_shape(std::move(name), {"id", "a"}, std::move(type));
    };
    EXPECT_EQ(bound(shape("plain", "int8")).fold_key, std::vector<size_t>{0});
    EXPECT_TRUE(bound(shape("decimal", "numeric")).fold_key.empty());
    EXPECT_TRUE(bound(shape("keyless", "")).fold_key.empty());
    auto triggered = shape("triggered", "int8");
    triggered.target.row_triggers = true;
    const auto watching = bound(triggered);
    EXPECT_TRUE(watching.fold_key.empty());
    EXPECT_TRUE(watching.watches_others);
    EXPECT_FALSE(watching.sets_of_inserts);
    auto other_key = shape("other_key", "int8");
    other_key.target.primary_key = {"a"};
    EXPECT_TRUE(bound(other_key).fold_key.empty());
    // The whole old row is known, so the key at the target is too; its values are not named.
    auto full = shape("full", "int8");
    full.schema.identity = model::Identity::Full;
    full.schema.columns[1].key = true;
    const auto whole = bound(full);
    EXPECT_EQ(whole.fold_key, std::vector<size_t>{0});
    EXPECT_EQ(whole.key, std::vector<size_t>{0});
}

TEST(Catalogue, NamesTheColumnThatTheTargetLacks) {
    testing::ManualWorld world;
    drivers::model_db::ModelDatabase database(world, world, 1);
    auto shape = history::make_shape("plain", {"id", "a"}, "int8");
    shape.target.columns.pop_back();
    database.create_table(shape.target);
    const model::Mapping same_names;
    Catalogue catalogue(world, same_names);
    catalogue.add(shape.schema);
    const auto session = *world.run(database.connect());
    const auto bound = world.run(catalogue.bind(*session, shape.schema.id()));
    ASSERT_FALSE(bound);
    EXPECT_EQ(bound.error().code(), ErrorCode::ApplyColumns);
    EXPECT_EQ(bound.error().detail(), "ALTER TABLE public.plain ADD COLUMN \"a\" pg_catalog.text");
}

model::Column column(std::string type, std::string collation = {}) {
    return {.name = "id", .type = "pg_catalog." + type, .collation = std::move(collation)};
}

drivers::TargetColumn target(std::string type, int32_t modifier = -1) {
    return {.name = "id", .type = "pg_catalog." + type, .modifier = modifier};
}

TEST(KeyBytes, AreIdentityOnlyWhereEqualMeansSameBytes) {
    EXPECT_TRUE(key_bytes_are_identity(column("int4"), target("int8")));
    EXPECT_TRUE(key_bytes_are_identity(column("text"), target("varchar")));
    EXPECT_TRUE(key_bytes_are_identity(column("uuid"), target("uuid")));
    for (const auto* type : {"numeric", "float8", "bpchar", "interval", "jsonb", "_int4"}) {
        EXPECT_FALSE(key_bytes_are_identity(column(type), target(type))) << type;
    }
    EXPECT_FALSE(key_bytes_are_identity(column("text"), target("int8")));
    EXPECT_FALSE(key_bytes_are_identity(column("text"), target("varchar", 14)));
    EXPECT_FALSE(key_bytes_are_identity(column("text", "public.blind"), target("text")));
    EXPECT_FALSE(key_bytes_are_identity(column("timestamp"), target("timestamp", 0)));
    auto citext = target("text");
    citext.type = "public.citext";
    EXPECT_FALSE(key_bytes_are_identity(column("text"), citext));
}

TEST(KeyText, IsTheSameForTextAndBinary) {
    model::TableSchema schema;
    schema.columns = {column("int8"), column("text")};
    const std::vector<size_t> key{0, 1};
    const auto text = std::move(model::TupleBuilder(2).text("-5").text("it's")).take();
    const Bytes minus_five{std::byte{0xFF}, std::byte{0xFF}, std::byte{0xFF}, std::byte{0xFB}};
    const auto binary =
        std::move(model::TupleBuilder(2).binary(minus_five).binary(as_bytes("it's"))).take();
    EXPECT_EQ(key_text(schema, key, *model::Tuple::parse(text)), "id=-5, id='it''s'");
    EXPECT_EQ(key_text(schema, key, *model::Tuple::parse(binary)), "id=-5, id='it''s'");
}

}  // namespace
}  // namespace qiao::apply
