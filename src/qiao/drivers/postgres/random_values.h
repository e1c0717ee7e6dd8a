#pragma once

#include "qiao/drivers/postgres/connection.h"

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace qiao::drivers::postgres {

/// For *_itest.cpp only.
struct TypedColumn {
    std::string name;
    std::string type;
};

inline const std::vector<TypedColumn>& typed_columns() {
    static const std::vector<TypedColumn> kColumns{
        {"k1", "int8"},
        {"k2", "text"},
        {"c_bool", "bool"},
        {"c_int2", "int2"},
        {"c_int4", "int4"},
        {"c_float4", "float4"},
        {"c_float8", "float8"},
        {"c_numeric", "numeric"},
        {"c_money2", "numeric(12,2)"},
        {"c_text", "text"},
        {"c_varchar", "varchar(300)"},
        {"c_char", "char(12)"},
        {"c_bytea", "bytea"},
        {"c_date", "date"},
        {"c_time", "time"},
        {"c_ts", "timestamp"},
        {"c_tstz", "timestamptz"},
        {"c_interval", "interval"},
        {"c_uuid", "uuid"},
        {"c_json", "json"},
        {"c_jsonb", "jsonb"},
        {"c_inet", "inet"},
        {"c_bit", "bit(5)"},
        {"c_varbit", "varbit"},
        {"c_point", "point"},
        {"c_xml", "xml"},
        {"c_ints", "int4[]"},
        {"c_texts", "text[]"},
        {"c_range", "int4range"},
        {"c_mood", "public.mood"},
        {"c_moods", "public.mood[]"},
        {"c_email", "public.email"},
        {"c_pair", "public.pair"},
        {"c_ci", "public.citext"},
        {"c_tsv", "tsvector"},
        {"Odd \"name\"", "int4"},
    };
    return kColumns;
}

/// Random values as SQL literals. For *_itest.cpp only.
class Literals {
public:
    explicit Literals(uint32_t seed) : random_(seed) {}

    size_t below(size_t n) { return random_() % n; }

    std::string text(bool key = false) {
        static const std::vector<std::string> kPieces{"a",  "Z",   "'",   "\"",   "\\", "\n", "\t",
                                                      "\r", " ",   "桥",  "é",    "😀", "{",  "}",
                                                      ",",  "\\N", "\\.", "NULL", "0",  "%",  "$1",
                                                      "",   "x",   "-",   "(",    ")"};
        std::string text;
        // Some values are big enough to be kept out of line; no index takes one of them.
        const size_t pieces = !key && below(20) == 0 ? 3000 : below(8);
        for (size_t i = 0; i < pieces; ++i) {
            text += kPieces[below(kPieces.size())];
        }
        return text;
    }

    std::string of(const TypedColumn& column) {
        if (column.name.starts_with('c') && below(6) == 0) {
            return "NULL";
        }
        const auto plain = column.name == "k2" ? quote_literal(text(true)) : bare(column.type);
        return plain + "::" + column.type;
    }

private:
    std::string number() { return std::to_string(static_cast<int>(below(2000000)) - 1000000); }

    std::string short_text(size_t most) {
        std::string text;
        for (auto left = below(most); left > 0; --left) {
            text += "ab'\\\" Z9"[below(8)];
        }
        return text;
    }

    std::string one_of(std::initializer_list<const char*> all) {
        return quote_literal(all.begin()[below(all.size())]);
    }

    std::string bare(const std::string& type) {
        if (type == "text" || type == "public.citext") {
            return quote_literal(text());
        }
        if (type == "int2") {
            return quote_literal(std::to_string(static_cast<int>(below(60000)) - 30000));
        }
        if (type == "float4" || type == "float8") {
            return one_of({"-0", "0", "NaN", "Infinity", "-Infinity", "1.17549e-38", "0.1", "1e30"}
            );
        }
        if (type == "numeric") {
            return one_of({"1.0", "1.00", "NaN", "-0.001", "123456789012345678901234567890.5", "0"}
            );
        }
        if (type == "varchar(300)" || type == "char(12)") {
            return quote_literal(short_text(12));
        }
        if (type == "bytea") {
            return fmt::format("decode(repeat('{:02x}', {}), 'hex')", below(256), below(50));
        }
        if (type == "json" || type == "jsonb") {
            return one_of({"{\"a\": [1, 2.0, null]}", "\"q\\\"\"", "[]", "{ \"b\":  1, \"a\":2 }"});
        }
        if (type == "int4[]") {
            return one_of({"{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[2:3]={7,8}"});
        }
        if (type == "text[]") {
            return one_of({"{}", "{\"a,b\",NULL,\"NULL\",\"\\\\\"}", "{{\"\"},{\" \"}}"});
        }
        return rare(type);
    }

    std::string rare(const std::string& type) {
        static const std::map<std::string, std::vector<const char*>> kValues{
            {"bool", {"true", "false"}},
            {"date", {"2026-02-28", "infinity", "0001-01-01 BC", "1999-12-31"}},
            {"time", {"00:00", "23:59:59.999999", "24:00"}},
            {"timestamp", {"2026-01-01 01:02:03.000004", "-infinity", "4713-01-01 00:00 BC"}},
            {"timestamptz", {"2026-01-01 01:02:03+08", "infinity", "1900-01-01 00:00:00+00"}},
            {"interval", {"1 mon -3 days 04:05:06.7", "00:00:00", "-178 years"}},
            {"uuid", {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
            {"inet", {"10.0.0.1", "10.0.0.0/8", "2001:db8::1/64"}},
            {"bit(5)", {"10101", "00000"}},
            {"varbit", {"", "1", "101010101010101"}},
            {"point", {"(1.5,-2)", "(0,-0)", "(NaN,Infinity)"}},
            {"xml", {"<a b=\"c\">桥&amp;</a>", "<x/>"}},
            {"int4range", {"empty", "[1,5)", "(,7)", "(,)"}},
            {"public.mood", {"sad", "ok", "very happy"}},
            {"public.moods", {}},
            {"public.mood[]", {"{}", "{sad,NULL,\"very happy\"}"}},
            {"public.email", {"a@b", "\"x y\"@桥"}},
            {"public.pair", {"(1,x)", "(,\"a,\\\"b\")", "(3,)"}},
            {"tsvector", {"'a':1 'b':2A", "'it''s'"}},
        };
        const auto found = kValues.find(type);
        if (found == kValues.end()) {
            return quote_literal(number());
        }
        return quote_literal(found->second[below(found->second.size())]);
    }

    std::mt19937 random_;
};

}  // namespace qiao::drivers::postgres
