#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/internal/connect_parameters.h"
#include "qiao/drivers/postgres/internal/copy_row.h"
#include "qiao/drivers/postgres/internal/own_tables.h"
#include "qiao/drivers/postgres/internal/row_pipeline.h"
#include "qiao/drivers/postgres/internal/set_statement.h"
#include "qiao/drivers/postgres/types.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::drivers::postgres {
namespace {

using internal::Form;

// Source: rules 15
TEST(Types, OnlyBuiltInValuesAreSafeInBinaryForm) {
    for (const auto* type :
         {"int4",
          "_int4",
          "text",
          "_text",
          "jsonb",
          "int4range",
          "_tstzrange",
          "uuid",
          "char",
          "bpchar",
          "numeric",
          "tsvector"}) {
        EXPECT_TRUE(binary_safe_type(std::string("pg_catalog.") + type)) << type;
    }
    for (const auto* type :
         {"oid",
          "_oid",
          "regclass",
          "xid",
          "tid",
          "aclitem",
          "int2vector",
          "xml",
          "record",
          "anyarray",
          "",
          "_",
          "__int4"}) {
        EXPECT_FALSE(binary_safe_type(std::string("pg_catalog.") + type)) << type;
    }
    EXPECT_FALSE(binary_safe_type("public.int4"));
    EXPECT_FALSE(binary_safe_type("public.citext"));
    EXPECT_TRUE(text_is_binary("pg_catalog.varchar"));
    EXPECT_FALSE(text_is_binary("pg_catalog.jsonb"));
    EXPECT_FALSE(text_is_binary("public.text"));
}

TEST(TablePattern, TakesNamesAsTheyAreWritten) {
    const auto is = [](std::string_view text,
                       std::optional<std::string> schema,
                       std::optional<std::string> name) {
        const auto pattern = TablePattern::parse(text);
        return pattern && pattern->schema == schema && pattern->name == name;
    };
    EXPECT_TRUE(is("*", std::nullopt, std::nullopt));
    EXPECT_TRUE(is("*.*", std::nullopt, std::nullopt));
    EXPECT_TRUE(is("s.*", "s", std::nullopt));
    EXPECT_TRUE(is("s.t", "s", "t"));
    EXPECT_TRUE(is("T", "public", "T"));
    EXPECT_TRUE(is("\"a.b\".\"c\"\"*\"", "a.b", "c\"*"));
    EXPECT_TRUE(is("\"*\"", "public", "*"));
    for (const auto* text : {"", ".", "s.", ".t", "a.b.c", "\"a", "s.a*", "*.t", "\"\".t"}) {
        const auto pattern = TablePattern::parse(text);
        ASSERT_FALSE(pattern) << text;
        EXPECT_EQ(pattern.error().code(), ErrorCode::Config);
    }
}

TEST(ConnectParameters, ComeFromTheUrlAndCannotBeOverruledByIt) {
    auto url = *DataSourceUrl::parse("postgresql://u:p@h:1/d?sslmode=require&connect_timeout=3");
    ConnectOptions options;
    options.settings = {{"a", "b c\\d"}, {"search_path", ""}};
    const auto made = internal::ConnectParameters::make(url, options);
    ASSERT_TRUE(made);
    EXPECT_EQ(made->value("sslmode"), "require");
    EXPECT_EQ(made->value("password"), "p");
    EXPECT_EQ(made->value("client_encoding"), "UTF8");
    EXPECT_EQ(made->value("options"), "-c a=b\\ c\\\\d -c search_path=");
    EXPECT_EQ(made->connect_timeout(), std::chrono::seconds(3));
    for (const auto* name : {"options", "replication", "service", "hostaddr", "nonsense"}) {
        url.options = {{name, "x"}};
        const auto refused = internal::ConnectParameters::make(url, options);
        ASSERT_FALSE(refused) << name;
        EXPECT_EQ(refused.error().code(), ErrorCode::Config);
    }
}

TEST(Bytea, ReadsWhatTheServerPrints) {
    EXPECT_EQ(internal::bytea("\\x"), Bytes());
    EXPECT_EQ(internal::bytea("\\x00fFa0"), (Bytes{std::byte{0}, std::byte{255}, std::byte{160}}));
    EXPECT_EQ(internal::bytea("abc"), Bytes());
}

class CopyRows : public ::testing::Test {
protected:
    internal::RowStatement row(std::vector<std::pair<Form, std::string_view>> values) {
        internal::RowStatement statement;
        for (const auto& [form, text] : values) {
            statement.parameters.push_back(
                {.column = &column_, .form = form, .bytes = as_bytes(text)}
            );
        }
        return statement;
    }

    internal::BoundColumn column_;
};

TEST_F(CopyRows, TextIsEscaped) {
    Bytes out;
    const auto line = row({{Form::Text, "a\tb\\N\r\n"}, {Form::Null, ""}, {Form::Text, ""}});
    internal::append_text_row(out, line);
    EXPECT_EQ(as_text(out), "a\\tb\\\\N\\r\\n\t\\N\t\n");
}

TEST_F(CopyRows, TextIsTakenOfTypesWhoseBothFormsAreTheSame) {
    std::vector<internal::RowStatement> rows{row({{Form::Text, "a"}, {Form::Null, ""}})};
    EXPECT_TRUE(internal::copies_as_text(rows));
    rows.push_back(row({{Form::Null, ""}, {Form::Binary, "a"}}));
    EXPECT_FALSE(internal::copies_as_text(rows));
    column_.text_is_binary = true;
    EXPECT_TRUE(internal::copies_as_text(rows));
}

/// As the server writes a row in binary form; no value: null.
void append_binary_row(Bytes& out, const std::vector<std::optional<std::string>>& values) {
    const auto put = [&out](size_t number, int bytes) {
        while (bytes-- > 0) {
            out.push_back(static_cast<std::byte>(number >> (8U * static_cast<unsigned>(bytes))));
        }
    };
    put(values.size(), 2);
    for (const auto& value : values) {
        put(value ? value->size() : SIZE_MAX, 4);
        const auto text = value.value_or("");
        const auto bytes = as_bytes(text);
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
}

TEST(CopyRowReader, ReadsRowsInBinaryForm) {
    std::mt19937 random(5);
    const std::vector<CanonicalColumn> columns{
        {"a", CanonicalColumn::Form::Binary}, {"b", CanonicalColumn::Form::Text}
    };
    internal::CopyRowReader reader(columns);
    bool first = true;
    for (int i = 0; i < 200; ++i) {
        const std::string a(random() % 50, static_cast<char>(random()));
        const bool null = random() % 3 == 0;
        Bytes message = first ? to_bytes(internal::binary_copy_head()) : Bytes();
        first = false;
        append_binary_row(message, {a, null ? std::nullopt : std::optional<std::string>("x")});
        const auto tuple = reader.read(message);
        ASSERT_TRUE(tuple && *tuple);
        const auto values = (*tuple)->values();
        EXPECT_EQ(values[0].kind, model::ValueKind::Binary);
        EXPECT_EQ(as_text(values[0].bytes), a);
        EXPECT_EQ(values[1].kind, null ? model::ValueKind::Null : model::ValueKind::Text);
        // Cut anywhere, it is refused.
        if (message.size() < 40) {
            for (size_t cut = 0; cut < message.size(); ++cut) {
                EXPECT_FALSE(reader.read(ByteView(message).first(cut)));
            }
        }
    }
    const auto end = reader.read(internal::binary_copy_tail());
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);
}

TEST(StatementCache, GivesUpTheLeastUsed) {
    internal::StatementCache cache;
    const auto id = [](int i) {
        return internal::StatementCache::id(7, model::Op::Insert, std::to_string(i));
    };
    std::optional<std::string> dropped;
    for (int i = 0; !dropped; ++i) {
        ASSERT_LT(i, 100'000);
        (void)cache.find(id(0));
        dropped = cache.keep(id(i), cache.next_name());
    }
    EXPECT_NE(cache.find(id(0)), nullptr);
    EXPECT_EQ(cache.find(id(1)), nullptr);
    cache.forget_table(7);
    EXPECT_EQ(cache.find(id(0)), nullptr);
    EXPECT_EQ(cache.find(id(2)), nullptr);
    // What was forgotten is still prepared at the server, and given up one by one.
    EXPECT_TRUE(cache.keep(id(0), cache.next_name()));
}

}  // namespace
}  // namespace qiao::drivers::postgres
