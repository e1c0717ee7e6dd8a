#include "qiao/drivers/postgres/internal/set_statement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstring>

namespace qiao::drivers::postgres::internal {
namespace {

using model::Op;

constexpr uint32_t kTextOid = 25;
constexpr uint32_t kTextArrayOid = 1009;
constexpr size_t kMostSetBytes = size_t{32} << 20U;

void append(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

/// Writes into room that is there already, in the server's byte order.
class Filler {
public:
    explicit Filler(std::byte* at) : at_(at) {}

    template <std::unsigned_integral T>
    void number(T value) {
        store_big_endian(at_, value);
        at_ += sizeof(value);
    }

    /// With its length; that of a null is -1.
    void value(bool null, ByteView bytes) {
        number(null ? UINT32_MAX : static_cast<uint32_t>(bytes.size()));
        if (!null && !bytes.empty()) {
            std::memcpy(at_, bytes.data(), bytes.size());
            at_ += bytes.size();
        }
    }

private:
    std::byte* at_;
};

/// How one column of the rows travels.
struct Travel {
    uint32_t element_oid = 0;
    uint32_t array_oid = 0;
    bool cast = false;  ///< arrives as text and is turned into the column's type by the server
};

std::optional<Travel> choose_travel(std::span<const RowStatement> rows, size_t parameter) {
    const auto& column = *rows.front().parameters[parameter].column;
    bool text = false;
    bool binary = false;
    for (const auto& row : rows) {
        text = text || row.parameters[parameter].form == Form::Text;
        binary = binary || row.parameters[parameter].form == Form::Binary;
    }
    const bool own_array = column.array_oid != 0 && !column.array;
    if (own_array && (column.text_is_binary || !text)) {
        return Travel{column.oid, column.array_oid, false};
    }
    if (!binary) {
        return Travel{kTextOid, kTextArrayOid, true};
    }
    return std::nullopt;
}

std::string source_of(
    const RowStatement& row, std::string_view numbered = "", std::string_view more = ""
) {
    std::string arrays;
    std::string names;
    for (size_t i = 0; i < row.parameters.size(); ++i) {
        arrays += fmt::format("{}${}", i == 0 ? "" : ", ", i + 1);
        names += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
    }
    return fmt::format("unnest({}){} AS s({}{})", arrays, numbered, names, more);
}

std::string value_of(const RowStatement& row, const std::vector<Travel>& travels, size_t i) {
    // A quoted type name has no modifier: nothing is cut to a default length.
    return travels[i].cast ? fmt::format("s.c{}::{}", i, row.parameters[i].column->type)
                           : fmt::format("s.c{}", i);
}

class SetSql {
public:
    SetSql(const WritePlan& plan, const RowStatement& row, const std::vector<Travel>& travels)
        : plan_(plan), row_(row), travels_(travels) {}

    std::string text() const {
        switch (row_.op) {
            case Op::Insert:
                return insert();
            case Op::Update:
                return update();
            default:
                return remove();
        }
    }

private:
    std::string insert() const {
        std::string values;
        for (size_t i = 0; i < row_.parameters.size(); ++i) {
            values += (i == 0 ? "" : ", ") + value(i);
        }
        return fmt::format(
            "INSERT INTO {} ({}){} SELECT {} FROM {}{}",
            quote_table(plan_.relation->table.name),
            column_list(row_),
            plan_.overriding ? " OVERRIDING SYSTEM VALUE" : "",
            values,
            source_of(row_),
            plan_.tells_places ? " RETURNING tableoid, ctid, " + digest_sql(plan_, "") : ""
        );
    }

    std::string update() const {
        const auto table = plan_.relation->only();
        const auto values = set();
        if (values.empty()) {
            return fmt::format(
                "SELECT FROM {} AS t, {} WHERE {} FOR UPDATE OF t", table, source_of(row_), where()
            );
        }
        return fmt::format(
            "UPDATE {} AS t SET {} FROM {} WHERE {}", table, values, source_of(row_), where()
        );
    }

    std::string remove() const {
        if (row_.parameters.size() == 1 && !travels_.front().cast) {
            const auto& key = row_.parameters.front();
            return fmt::format(
                "DELETE FROM {} WHERE {} {} ANY ($1)",
                plan_.relation->only(),
                key.column->name,
                key.equals
            );
        }
        return fmt::format(
            "DELETE FROM {} AS t USING {} WHERE {}",
            plan_.relation->only(),
            source_of(row_),
            where()
        );
    }

    std::string set() const {
        std::string text;
        for (size_t i = 0; i < row_.parameters.size(); ++i) {
            if (row_.parameters[i].role == Role::Write) {
                text += fmt::format(
                    "{}{} = {}", text.empty() ? "" : ", ", row_.parameters[i].column->name, value(i)
                );
            }
        }
        return text;
    }

    std::string where() const {
        std::string text;
        for (size_t i = 0; i < row_.parameters.size(); ++i) {
            const auto& parameter = row_.parameters[i];
            const auto join = text.empty() ? "" : " AND ";
            const auto& name = parameter.column->name;
            if (parameter.role == Role::Key) {
                text += fmt::format("{}t.{} {} {}", join, name, parameter.equals, value(i));
            } else if (parameter.role == Role::Check) {
                text += fmt::format(
                    "{}t.{}::text IS NOT DISTINCT FROM ({})::text", join, name, value(i)
                );
            }
        }
        return text;
    }

    std::string value(size_t i) const { return value_of(row_, travels_, i); }

    const WritePlan& plan_;
    const RowStatement& row_;
    const std::vector<Travel>& travels_;
};

Parameter make_parameter(
    std::span<const RowStatement> rows, size_t parameter, const Travel& travel
) {
    std::vector<std::optional<ByteView>> elements;
    elements.reserve(rows.size());
    for (const auto& row : rows) {
        const auto& value = row.parameters[parameter];
        elements.push_back(value.form == Form::Null ? std::nullopt : std::optional(value.bytes));
    }
    return {
        .type = travel.array_oid,
        .binary = true,
        .bytes = binary_array(travel.element_oid, elements)
    };
}

/// Each column of the rows as an array; none where a column has no such form.
std::optional<std::vector<Travel>> pack(
    std::span<const RowStatement> rows, SetStatement& statement
) {
    if (rows.front().parameters.empty()) {
        return std::nullopt;
    }
    std::vector<Travel> travels;
    for (size_t i = 0; i < rows.front().parameters.size(); ++i) {
        const auto travel = choose_travel(rows, i);
        if (!travel) {
            return std::nullopt;
        }
        travels.push_back(*travel);
        statement.parameters.push_back(make_parameter(rows, i, *travel));
    }
    return travels;
}

void append_escaped(Bytes& out, ByteView text) {
    for (const auto byte : text) {
        switch (std::to_integer<char>(byte)) {
            case '\\':
                append(out, as_bytes("\\\\"));
                break;
            case '\n':
                append(out, as_bytes("\\n"));
                break;
            case '\r':
                append(out, as_bytes("\\r"));
                break;
            case '\t':
                append(out, as_bytes("\\t"));
                break;
            default:
                out.push_back(byte);
        }
    }
}

}  // namespace

Bytes binary_array(uint32_t element_oid, const std::vector<std::optional<ByteView>>& elements) {
    const bool has_null = std::ranges::any_of(elements, [](const auto& e) { return !e; });
    size_t size = 0;
    for (const auto& element : elements) {
        size += 4 + (element ? element->size() : 0);
    }
    constexpr size_t kHeadOfNone = 12;
    constexpr size_t kHead = 20;
    Bytes out(elements.empty() ? kHeadOfNone : kHead + size);
    Filler fill(out.data());
    fill.number(uint32_t{elements.empty() ? 0U : 1U});
    fill.number(uint32_t{has_null ? 1U : 0U});
    fill.number(element_oid);
    if (elements.empty()) {
        return out;
    }
    fill.number(static_cast<uint32_t>(elements.size()));
    fill.number(uint32_t{1});
    for (const auto& element : elements) {
        fill.value(!element, element.value_or(ByteView()));
    }
    return out;
}

std::optional<SetStatement> make_set_statement(
    const WritePlan& plan, std::span<const RowStatement> rows
) {
    SetStatement statement;
    const auto travels = pack(rows, statement);
    if (!travels) {
        return std::nullopt;
    }
    statement.sql = SetSql(plan, rows.front(), *travels).text();
    return statement;
}

std::optional<SetStatement> make_digest_set(std::span<const RowStatement> rows) {
    SetStatement statement;
    const auto travels = pack(rows, statement);
    if (!travels) {
        return std::nullopt;
    }
    std::vector<std::string> values;
    for (size_t i = 0; i < travels->size(); ++i) {
        values.push_back(value_of(rows.front(), *travels, i));
    }
    statement.sql = fmt::format(
        "SELECT s.n, {} FROM {}",
        digest_sql(values),
        source_of(rows.front(), " WITH ORDINALITY", ", n")
    );
    return statement;
}

size_t rows_of_one_set(std::span<const RowStatement> rows) {
    size_t count = 0;
    for (size_t bytes = 0; count < rows.size() && bytes < kMostSetBytes; ++count) {
        for (const auto& parameter : rows[count].parameters) {
            bytes += parameter.bytes.size() + 8;
        }
    }
    return count;
}

bool copies_as_text(std::span<const RowStatement> rows) {
    return std::ranges::all_of(rows, [](const RowStatement& row) {
        return std::ranges::all_of(row.parameters, [](const RowParameter& parameter) {
            return parameter.form != Form::Binary || parameter.column->text_is_binary;
        });
    });
}

void append_text_row(Bytes& out, const RowStatement& row) {
    for (size_t i = 0; i < row.parameters.size(); ++i) {
        if (i != 0) {
            out.push_back(std::byte{'\t'});
        }
        if (row.parameters[i].form == Form::Null) {
            append(out, as_bytes("\\N"));
        } else {
            append_escaped(out, row.parameters[i].bytes);
        }
    }
    out.push_back(std::byte{'\n'});
}

std::string copy_text_sql(const WritePlan& plan, const RowStatement& pattern) {
    return fmt::format(
        "COPY {} ({}) FROM STDIN", quote_table(plan.relation->table.name), column_list(pattern)
    );
}

ByteView binary_copy_head() {
    static constexpr std::string_view kHead("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    return as_bytes(kHead);
}

ByteView binary_copy_tail() {
    static constexpr std::string_view kTail("\377\377", 2);
    return as_bytes(kTail);
}

}  // namespace qiao::drivers::postgres::internal
