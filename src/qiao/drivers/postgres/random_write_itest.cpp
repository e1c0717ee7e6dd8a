#include "qiao/drivers/postgres/random_values.h"
#include "qiao/drivers/postgres/table_reader.h"
#include "qiao/drivers/postgres/write_fixture.h"

#include <algorithm>
#include <map>

namespace qiao::drivers::postgres {
namespace {

using model::Change;
using model::OldImage;
using model::Op;
using model::TupleBuilder;

struct Way {
    const char* name;
    WriteMode mode;
    enum class Form : uint8_t { Text, Binary, Mixed } form;
    bool arrays = true;  ///< without arrays every column can travel as an array of its own
};

Bytes key_image(const Bytes& image) {
    const auto values = tuple(image).values();
    TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
        i < 2 ? builder.add(values[i]) : builder.null();
    }
    return std::move(builder).take();
}

Bytes without(const Bytes& image, const std::vector<size_t>& unchanged) {
    const auto values = tuple(image).values();
    TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
        const bool left = std::ranges::find(unchanged, i) != unchanged.end();
        left ? builder.unchanged() : builder.add(values[i]);
    }
    return std::move(builder).take();
}

/// A source table of many types that changes by chance; each step is written to the target, and
/// then both tables must be equal. The oracle is the server's own text of the rows.
class RandomWriteTest : public WriteTest, public ::testing::WithParamInterface<Way> {
protected:
    void start(uint32_t seed) {
        literals_ = Literals(seed);
        columns_ = typed_columns();
        if (!GetParam().arrays) {
            std::erase_if(columns_, [](const auto& c) { return c.type.ends_with("[]"); });
        }
        std::string list;
        for (const auto& column : columns_) {
            list += quote_identifier(column.name) + " " + column.type + ", ";
        }
        run("DROP TABLE IF EXISTS a.t, b.t");
        for (const auto* schema : {"a", "b"}) {
            run(fmt::format("CREATE TABLE {}.t ({}PRIMARY KEY (k1, k2))", schema, list));
        }
    }

    void insert_rows(int count) {
        for (int i = 0; i < count; ++i) {
            std::string values = std::to_string(i);
            for (size_t j = 1; j < columns_.size(); ++j) {
                values += ", " + literals_.of(columns_[j]);
            }
            run("INSERT INTO a.t VALUES (" + values + ")");
        }
        const auto rows = images();
        std::vector<Change> changes;
        for (const auto& row : rows) {
            changes.push_back({.op = Op::Insert, .new_row = tuple(row)});
        }
        apply(Op::Insert, changes);
    }

    /// Some columns change in all rows; some of the others are not sent.
    void update_columns() {
        std::string set = "c_bool = NOT c_bool";
        std::vector<size_t> unchanged;
        for (size_t i = 3; i < columns_.size(); ++i) {
            if (literals_.below(3) == 0) {
                set += fmt::format(
                    ", {} = {}", quote_identifier(columns_[i].name), literals_.of(columns_[i])
                );
            } else if (literals_.below(3) == 0) {
                unchanged.push_back(i);
            }
        }
        run("UPDATE a.t SET " + set);
        std::vector<Bytes> sent;
        for (const auto& row : images()) {
            sent.push_back(without(row, unchanged));
        }
        std::vector<Change> changes;
        for (const auto& row : sent) {
            changes.push_back({.op = Op::Update, .new_row = tuple(row)});
        }
        apply(Op::Update, changes);
    }

    void move_keys() {
        std::vector<Bytes> old_keys;
        for (const auto& row : images()) {
            old_keys.push_back(key_image(row));
        }
        run("UPDATE a.t SET k1 = k1 + 100000, k2 = k2 || '''\\'");
        const auto rows = images();
        ASSERT_EQ(rows.size(), old_keys.size());
        std::vector<Change> changes;
        for (size_t i = 0; i < rows.size(); ++i) {
            changes.push_back(
                {.op = Op::Update,
                 .old_image = OldImage::Key,
                 .old_row = tuple(old_keys[i]),
                 .new_row = tuple(rows[i])}
            );
        }
        apply(Op::Update, changes);
    }

    void delete_rows() {
        std::vector<Bytes> keys;
        for (const auto& row : images()) {
            if (literals_.below(3) != 0) {
                keys.push_back(key_image(row));
            }
        }
        std::vector<Change> changes;
        for (const auto& key : keys) {
            changes.push_back({.op = Op::Delete, .old_image = OldImage::Key, .old_row = tuple(key)}
            );
        }
        const auto before = std::stoul(value("SELECT count(*) FROM b.t"));
        write_all(Op::Delete, changes);
        EXPECT_EQ(value("SELECT count(*) FROM b.t"), std::to_string(before - keys.size()));
        // What is left is what it was.
        run("DELETE FROM a.t WHERE (k1, k2) NOT IN (SELECT k1, k2 FROM b.t)");
        expect_equal();
    }

private:
    void apply(Op op, const std::vector<Change>& changes) {
        write_all(op, changes);
        expect_equal();
    }

    void write_all(Op op, const std::vector<Change>& changes) {
        begin();
        const auto result = write(schema_of("a"), describe(), op, changes, GetParam().mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(result.missed, 0);
        commit();
    }

    void expect_equal() {
        const auto* const all = "SELECT t::text FROM {}.t t ORDER BY t::text COLLATE \"C\"";
        const auto source = lines(fmt::format(fmt::runtime(all), "a"));
        const auto target = lines(fmt::format(fmt::runtime(all), "b"));
        ASSERT_EQ(source.size(), target.size());
        for (size_t i = 0; i < source.size(); ++i) {
            ASSERT_EQ(source[i], target[i]);
        }
    }

    /// The rows of a.t in the forms of this way, by the first column of the key.
    std::vector<Bytes> images() {
        const auto text = read(false);
        const auto binary = read(true);
        std::map<int, Bytes> by_key;
        for (size_t i = 0; i < text.size(); ++i) {
            const bool mixed = GetParam().form == Way::Form::Mixed;
            const bool as_binary =
                mixed ? literals_.below(2) == 0 : GetParam().form == Way::Form::Binary;
            const std::string key(as_text(tuple(text[i]).values().front().bytes));
            by_key[std::stoi(key)] = as_binary ? binary[i] : text[i];
        }
        std::vector<Bytes> all;
        for (auto& [key, image] : by_key) {
            all.push_back(std::move(image));
        }
        return all;
    }

    /// The rows of a.t in the server's order, as text, or in binary form where that is safe.
    std::vector<Bytes> read(bool binary) {
        const model::TableName name{"a", "t"};
        const auto reader = loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
        EXPECT_TRUE(reader) << reader.error().to_string();
        const auto shape = loop_.run((*reader)->describe(name));
        EXPECT_TRUE(shape) << shape.error().to_string();
        std::vector<CanonicalColumn> columns;
        for (const auto& column : shape->schema.columns) {
            const auto& safe = shape->binary_safe;
            const bool fits = binary && std::ranges::find(safe, column.name) != safe.end();
            using Form = CanonicalColumn::Form;
            columns.push_back({column.name, fits ? Form::Binary : Form::Text});
        }
        std::vector<Bytes> rows;
        const TableReader::Visit visit = [&rows](const model::Tuple& row) {
            rows.push_back(to_bytes(row.bytes()));
        };
        const auto done = loop_.run((*reader)->scan(name, columns, {}, visit, stop_));
        EXPECT_TRUE(done) << done.error().to_string();
        return rows;
    }

    Literals literals_{0};
    std::vector<TypedColumn> columns_;
};

// Spec: R-22
TEST_P(RandomWriteTest, EveryTypeArrivesAsTheSourceHasIt) {
    for (uint32_t seed = 1; seed <= 3 && !HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        start(seed);
        insert_rows(60);
        update_columns();
        move_keys();
        update_columns();
        delete_rows();
    }
}

INSTANTIATE_TEST_SUITE_P(
    Ways,
    RandomWriteTest,
    ::testing::Values(
        Way{"RowsAsText", WriteMode::RowByRow, Way::Form::Text},
        Way{"RowsInBinary", WriteMode::RowByRow, Way::Form::Binary},
        Way{"RowsMixed", WriteMode::RowByRow, Way::Form::Mixed},
        Way{"SetAsText", WriteMode::SetBased, Way::Form::Text},
        Way{"SetInBinary", WriteMode::SetBased, Way::Form::Binary},
        Way{"SetMixed", WriteMode::SetBased, Way::Form::Mixed},
        Way{"PlainSetInBinary", WriteMode::SetBased, Way::Form::Binary, false},
        Way{"PlainSetMixed", WriteMode::SetBased, Way::Form::Mixed, false}
    ),
    [](const auto& way) { return way.param.name; }
);

}  // namespace
}  // namespace qiao::drivers::postgres
