#include "qiao/drivers/postgres/connection.h"

#include <libpq-fe.h>

#include <charconv>

namespace qiao::drivers::postgres {
namespace {

constexpr uint32_t kByteaOid = 17;

uint64_t parse_number(std::string_view text) {
    uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

Parameter Parameter::of_text(std::string_view text) { return {.bytes = to_bytes(as_bytes(text))}; }

Parameter Parameter::of_bytes(ByteView bytes) {
    return {.type = kByteaOid, .binary = true, .bytes = to_bytes(bytes)};
}

Parameter Parameter::of_null() { return {.null = true}; }

Rows::Rows(pg_result* result) : result_(result) {}

void Rows::Clear::operator()(pg_result* result) const { PQclear(result); }

size_t Rows::size() const { return static_cast<size_t>(PQntuples(result_.get())); }

size_t Rows::column_count() const { return static_cast<size_t>(PQnfields(result_.get())); }

bool Rows::is_null(size_t row, size_t column) const {
    return PQgetisnull(result_.get(), static_cast<int>(row), static_cast<int>(column)) != 0;
}

std::string_view Rows::text(size_t row, size_t column) const {
    const auto r = static_cast<int>(row);
    const auto c = static_cast<int>(column);
    const auto length = static_cast<size_t>(PQgetlength(result_.get(), r, c));
    return {PQgetvalue(result_.get(), r, c), length};
}

uint64_t Rows::number(size_t row, size_t column) const { return parse_number(text(row, column)); }

bool Rows::flag(size_t row, size_t column) const { return text(row, column) == "t"; }

uint64_t Rows::affected() const { return parse_number(PQcmdTuples(result_.get())); }

std::string_view Rows::command() const { return PQcmdStatus(result_.get()); }

}  // namespace qiao::drivers::postgres
