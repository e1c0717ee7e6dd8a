#include "qiao/capture/postgres/internal/source_fixture.h"

namespace qiao::capture::postgres {
namespace {

/// One line of COPY text as values.
internal::Row text_row(std::string_view line) {
    internal::Row row;
    std::string field;
    const auto flush = [&] {
        row.push_back(field == "\\N" ? std::nullopt : std::optional(field));
        field.clear();
    };
    for (size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '\t') {
            flush();
        } else if (line[i] == '\\' && line[i + 1] != 'N') {
            ++i;
            const char c = line[i];
            field += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        } else {
            field += line[i];
        }
    }
    flush();
    return row;
}

class PostgresSnapshotLoad : public internal::SourceFixture {
protected:
    PostgresSnapshotSource& snapshots() {
        load_.stream = stream_;
        load_.tables = options_.tables;
        snapshots_ = std::make_unique<PostgresSnapshotSource>(runtime(), url_, load_, system_rng());
        return *snapshots_;
    }

    /// Reads all of a part as rows of text; `meanwhile` runs between its chunks.
    template <class Meanwhile>
    void read_part(SnapshotSession& session, const LoadPart& part, Meanwhile&& meanwhile) {
        ASSERT_EQ(session.format(part), drivers::LoadFormat::PgCopyText);
        auto reader = loop_.run(session.read(part, 5000));
        ASSERT_TRUE(reader) << reader.error().to_string();
        auto& table = sink_.tables[part.schema.table.name];
        table.schema = part.schema;
        sink_.joined[part.schema.table.name] = session.joined_at();
        bool last = false;
        while (!last) {
            const auto chunk = loop_.run((*reader)->next(stop_));
            ASSERT_TRUE(chunk) << chunk.error().to_string();
            last = chunk->last;
            auto text = as_text(chunk->rows);
            uint64_t rows = 0;
            for (; !text.empty(); ++rows) {
                const auto end = text.find('\n');
                ASSERT_NE(end, std::string_view::npos) << "cut inside a row";
                auto row = text_row(text.substr(0, end));
                text.remove_prefix(end + 1);
                internal::Row key;
                for (const auto index : part.schema.key_columns()) {
                    key.push_back(row[index]);
                }
                EXPECT_TRUE(table.by_key.emplace(key, row).second) << "a row twice";
            }
            EXPECT_EQ(rows, chunk->row_count);
            meanwhile();
        }
    }

    PostgresSnapshotOptions load_;
    std::unique_ptr<PostgresSnapshotSource> snapshots_;
    std::mt19937 random_{5};
};

// Spec: R-34. Source: rules 13
TEST_F(PostgresSnapshotLoad, JoinsTheStreamExactlyWhileTheApplicationWrites) {
    sql("CREATE TABLE mark (id int PRIMARY KEY);"
        "CREATE TABLE item (id int PRIMARY KEY, v text);"
        "CREATE TABLE part (id int, region int, v text, PRIMARY KEY (id, region))"
        " PARTITION BY LIST (region);"
        "CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);"
        "CREATE TABLE part2 (v text, region int NOT NULL, id int NOT NULL);"
        "ALTER TABLE part ATTACH PARTITION part2 FOR VALUES IN (2);"
        "INSERT INTO item SELECT g, 'line' || chr(10) || g || chr(9) || repeat('x', g % 50)"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO part SELECT g, 1 + g % 2, NULL FROM generate_series(1, 2000) g");
    options_.binary = load_.binary = false;
    load_.part_bytes = 64U << 10U;
    ASSERT_TRUE(set_up(chosen({"mark", "item", "part"})));
    ASSERT_TRUE(start());
    const auto writer = open(url_);
    run(*writer, "BEGIN");
    run(*writer, "UPDATE item SET v = 'open before the snapshot' WHERE id <= 10");
    const auto write = [&] {
        const auto id = std::to_string(1 + random_() % 5500);
        (void)try_run(
            *app_, "UPDATE item SET v = v || '+' WHERE id % 100 = " + id + " % 100 AND id > 10"
        );
        (void)try_run(*app_, "DELETE FROM item WHERE id > 10 AND id = " + id);
        (void
        )try_run(*app_, "INSERT INTO item VALUES (" + id + " + 10, 'new') ON CONFLICT DO NOTHING");
        (void)try_run(*app_, "UPDATE part SET region = 3 - region WHERE id = " + id);
        (void)try_run(*app_, "UPDATE item SET id = id + 100000 WHERE id > 10 AND id = 2 * " + id);
    };
    for (int i = 0; i < 20; ++i) {
        write();
    }
    // The snapshot waits for the transactions that run: this one ends first.
    run(*writer, "COMMIT");
    auto session = loop_.run(snapshots().open({{"public", "item"}, {"public", "part"}}, stop_));
    ASSERT_TRUE(session) << session.error().to_string();
    size_t item_parts = 0;
    for (const auto& part : (*session)->parts()) {
        item_parts += part.schema.table.name == "item" ? 1 : 0;
        read_part(**session, part, write);
    }
    EXPECT_GT(item_parts, 1U);
    session->reset();
    for (int i = 0; i < 20; ++i) {
        write();
    }
    catch_up();
    EXPECT_EQ(rebuilt("item"), select("SELECT * FROM item"));
    EXPECT_EQ(rebuilt("part"), select("SELECT id, region, v FROM part"));
    EXPECT_EQ(sink_.missed, 0U);
}

TEST_F(PostgresSnapshotLoad, LeavesNoSlotBehindAndEndsEmptyTables) {
    sql("CREATE TABLE empty (id int PRIMARY KEY);"
        "CREATE TABLE bare (id int PRIMARY KEY) PARTITION BY RANGE (id)");
    load_.binary = true;
    {
        auto session =
            loop_.run(snapshots().open({{"public", "empty"}, {"public", "bare"}}, stop_));
        ASSERT_TRUE(session) << session.error().to_string();
        ASSERT_EQ((*session)->parts().size(), 2U);
        for (const auto& part : (*session)->parts()) {
            auto reader = loop_.run((*session)->read(part, 1000));
            ASSERT_TRUE(reader) << reader.error().to_string();
            const auto chunk = loop_.run((*reader)->next(stop_));
            ASSERT_TRUE(chunk) << chunk.error().to_string();
            EXPECT_TRUE(chunk->last);
            EXPECT_EQ(chunk->row_count, 0U);
            EXPECT_TRUE(chunk->rows.empty());
        }
    }
    std::string left = "1";
    for (int i = 0; i < 200 && left != "0"; ++i) {
        left =
            value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()");
    }
    EXPECT_EQ(left, "0");
}

TEST_F(PostgresSnapshotLoad, ReadsManyTablesOverOneConnectionAndLetsGoOfEach) {
    std::vector<model::TableName> names;
    for (int i = 0; i < 20; ++i) {
        const auto name = "small" + std::to_string(i);
        sql("CREATE TABLE " + name + " (id int PRIMARY KEY); INSERT INTO " + name + " VALUES (1)");
        names.push_back({"public", name});
    }
    auto session = loop_.run(snapshots().open(names, stop_));
    ASSERT_TRUE(session) << session.error().to_string();
    sql("DELETE FROM small7; DELETE FROM small8");  // after the snapshot
    for (const auto& part : (*session)->parts()) {
        auto reader = loop_.run((*session)->read(part, 1000));
        ASSERT_TRUE(reader) << reader.error().to_string();
        const auto chunk = loop_.run((*reader)->next(stop_));
        ASSERT_TRUE(chunk) << chunk.error().to_string();
        EXPECT_TRUE(chunk->last);
        EXPECT_EQ(chunk->row_count, 1U);
    }
    // The one that read the catalogue may not be gone yet.
    const auto connections = value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qiao load'"
        " AND datname = current_database()"
    );
    EXPECT_LE(std::stoi(connections), 2);
    EXPECT_EQ(
        value("SELECT count(*) FROM pg_locks WHERE relation::regclass::text LIKE 'small%'"), "0"
    );
}

TEST_F(PostgresSnapshotLoad, WithholdsAValueOverTheLimitFromItsRow) {
    sql("CREATE TABLE t (id int PRIMARY KEY, v text);"
        "INSERT INTO t SELECT g, repeat('x', g * 100) FROM generate_series(1, 9) g");
    load_.value_bytes_max = 700;
    for (const bool binary : {true, false}) {
        load_.binary = binary;
        auto session = loop_.run(snapshots().open({{"public", "t"}}, stop_));
        ASSERT_TRUE(session) << session.error().to_string();
        auto reader = loop_.run((*session)->read((*session)->parts()[0], 100'000));
        ASSERT_TRUE(reader) << reader.error().to_string();
        const auto chunk = loop_.run((*reader)->next(stop_));
        ASSERT_TRUE(chunk) << chunk.error().to_string();
        EXPECT_EQ(chunk->row_count, 9U);
        ByteReader in(chunk->withheld);
        for (const uint64_t size : {800U, 900U}) {
            const auto row = model::Tuple::parse_front(in);
            ASSERT_TRUE(row);
            const auto values = row->values();
            EXPECT_EQ(
                as_text(values[0].bytes),
                binary ? std::string("\0\0\0", 3) + static_cast<char>(size / 100)
                       : std::to_string(size / 100)
            );
            ASSERT_EQ(values[1].kind, model::ValueKind::Withheld);
            EXPECT_EQ(model::WithheldValue::of(values[1]).bytes, size);
            EXPECT_EQ(model::WithheldValue::of(values[1]).most, 700U);
        }
        EXPECT_TRUE(in.at_end());
        EXPECT_EQ(as_text(chunk->rows).find(std::string(800, 'x')), std::string::npos);
        EXPECT_NE(as_text(chunk->rows).find(std::string(700, 'x')), std::string::npos);
    }
}

}  // namespace
}  // namespace qiao::capture::postgres
