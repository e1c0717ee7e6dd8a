#pragma once

#include "qiao/drivers/postgres/table_reader.h"
#include "qiao/drivers/postgres/write_fixture.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace qiao::drivers::postgres {

inline constexpr size_t kNoRowMapBudget = 1;
inline constexpr size_t kRowMapBudget = size_t{64} << 20U;

/// In which form a source sends values.
enum class SentForm : uint8_t { Text, Binary, Mixed };

/// Distinct rows of a.pool in the forms in which a source sends them, and a target table b.t of the
/// same columns without a key. What the target must hold is kept as a number of copies a row.
class MappedWriteTest : public WriteTest {
protected:
    void connect(size_t budget) {
        session_.reset();
        TargetOptions options;
        options.row_map_bytes = budget;
        target_ = std::make_unique<PostgresTarget>(runtime(), url_, options, stop_);
        reconnect();
    }

    void reconnect() {
        auto session = loop_.run(target_->connect());
        ASSERT_TRUE(session) << session.error().to_string();
        session_ = *std::move(session);
    }

    /// The rows of a.pool by their column `n`, which the target has not.
    void read_pool() {
        schema_ = schema_of("a", "pool");
        schema_.identity = model::Identity::Full;
        schema_.columns.pop_back();
        text_ = read(false);
        binary_ = read(true);
        pool_texts_ =
            lines("SELECT b::text FROM (SELECT " + columns() + " FROM a.pool ORDER BY n) b");
        ASSERT_EQ(text_.size(), pool_texts_.size());
        copies_.assign(text_.size(), 0);
        bound_ = describe();
    }

    std::string columns() const {
        std::string list;
        for (const auto& column : schema_.columns) {
            list += (list.empty() ? "" : ", ") + quote_identifier(column.name);
        }
        return list;
    }

    std::vector<Bytes> read(bool binary) {
        const model::TableName name{"a", "pool"};
        const auto reader = loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
        EXPECT_TRUE(reader) << reader.error().to_string();
        const auto shape = loop_.run((*reader)->describe(name));
        EXPECT_TRUE(shape) << shape.error().to_string();
        using ColumnForm = CanonicalColumn::Form;
        std::vector<CanonicalColumn> wanted;
        for (const auto& column : schema_.columns) {
            const auto& safe = shape->binary_safe;
            const bool fits = binary && std::ranges::find(safe, column.name) != safe.end();
            wanted.push_back({column.name, fits ? ColumnForm::Binary : ColumnForm::Text});
        }
        wanted.push_back({"n", ColumnForm::Text});
        std::map<int, Bytes> rows;
        const TableReader::Visit visit = [&rows](const model::Tuple& row) {
            const auto values = row.values();
            model::TupleBuilder builder(static_cast<uint16_t>(values.size() - 1));
            std::for_each(values.begin(), values.end() - 1, [&builder](const auto& value) {
                builder.add(value);
            });
            const std::string number(as_text(values.back().bytes));
            rows[std::stoi(number)] = std::move(builder).take();
        };
        const auto done = loop_.run((*reader)->scan(name, wanted, {}, visit, stop_));
        EXPECT_TRUE(done) << done.error().to_string();
        std::vector<Bytes> all;
        for (auto& [number, row] : rows) {
            all.push_back(std::move(row));
        }
        return all;
    }

    model::Tuple image(size_t row) {
        const bool binary =
            form_ == SentForm::Binary || (form_ == SentForm::Mixed && random_() % 2 == 0);
        return tuple(binary ? binary_[row] : text_[row]);
    }

    model::Change insertion(size_t row) { return {.op = model::Op::Insert, .new_row = image(row)}; }

    model::Change deletion(size_t row) {
        return {.op = model::Op::Delete, .old_image = model::OldImage::Full, .old_row = image(row)};
    }

    model::Change update(size_t from, size_t to) {
        return {
            .op = model::Op::Update,
            .old_image = model::OldImage::Full,
            .old_row = image(from),
            .new_row = image(to)
        };
    }

    WriteResult apply(model::Op op, const std::vector<model::Change>& changes) {
        const auto mode = random_() % 2 == 0 ? WriteMode::RowByRow : WriteMode::SetBased;
        auto result = write(schema_, bound_, op, changes, mode);
        EXPECT_FALSE(result.failure) << result.failure->error.to_string();
        return result;
    }

    void insert_copies(const std::vector<size_t>& rows) {
        std::vector<model::Change> changes;
        for (const auto row : rows) {
            changes.push_back(insertion(row));
            ++copies_[row];
        }
        apply(model::Op::Insert, changes);
    }

    void expect_exact() {
        std::map<std::string, size_t> wanted;
        for (size_t i = 0; i < copies_.size(); ++i) {
            wanted[pool_texts_[i]] += copies_[i];
        }
        std::erase_if(wanted, [](const auto& entry) { return entry.second == 0; });
        const auto rows = loop_.run(sql_->query(
            "SELECT b::text, count(*) FROM (SELECT " + columns() + " FROM b.t) b GROUP BY 1"
        ));
        ASSERT_TRUE(rows) << rows.error().to_string();
        std::map<std::string, size_t> found;
        for (size_t i = 0; i < rows->size(); ++i) {
            found[std::string(rows->text(i, 0))] = rows->number(i, 1);
        }
        ASSERT_EQ(found, wanted);
    }

    RowMapFigures figures() const { return target_->row_maps(); }

    SentForm form_ = SentForm::Text;
    model::TableSchema schema_;
    TargetTable bound_;
    std::mt19937 random_{1};
    std::vector<Bytes> text_;
    std::vector<Bytes> binary_;
    std::vector<std::string> pool_texts_;
    std::vector<size_t> copies_;
};

}  // namespace qiao::drivers::postgres
