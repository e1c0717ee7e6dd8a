#include "qiao/drivers/postgres/internal/row_array.h"

#include <algorithm>
#include <cstring>

namespace qiao::drivers::postgres::internal {
namespace {

using model::ValueKind;

/// Dimensions, whether there are nulls, type of the elements, their number, the first one's index.
constexpr size_t kHeadBytes = 20;
constexpr size_t kNumberBytes = sizeof(uint32_t);

std::byte* put(std::byte* at, uint32_t number) {
    store_big_endian(at, number);
    return at + kNumberBytes;
}

}  // namespace

RowArray::RowArray(const WritePlan& plan, const model::Tuple& pattern)
    : row_type_oid_(plan.relation->row_type_oid) {
    std::vector<bool> missing(pattern.column_count());
    pattern.for_each([&missing](size_t i, const model::Value& value) {
        missing[i] = value.kind == ValueKind::Unchanged;
    });
    const auto& facts = plan.relation->catalogue.columns;
    for (const auto& fact : facts) {
        columns_.push_back({.type_oid = fact.type_oid});
    }
    size_t last = 0;
    for (size_t i = 0; i < plan.columns.size(); ++i) {
        const auto& column = plan.columns[i];
        last = std::max(last, column.source + 1);
        if (column.source < missing.size() && missing[column.source]) {
            left_out_.push_back(column.source);
            continue;
        }
        auto& to = columns_[column.target];
        to.source = column.source;
        to.text = column.text_is_binary;
        to.binary = column.same_type || (column.source_text_is_binary && column.text_is_binary);
        brought_.push_back(i);
    }
    for (size_t i = 0; i < facts.size(); ++i) {
        const bool domain = facts[i].type_oid != facts[i].base_oid;
        possible_ = possible_ && (columns_[i].source != kNone || !domain);
    }
    possible_ = possible_ && plan.relation->reads_rows && row_type_oid_ != 0 && !brought_.empty();
    values_.resize(last);
    clear();
}

std::string RowArray::pattern() const {
    std::string text;
    for (const auto& column : columns_) {
        text += column.source == kNone ? '.' : 'x';
    }
    return text;
}

void RowArray::clear() {
    used_ = kHeadBytes;
    rows_ = 0;
}

bool RowArray::take_apart(const model::Tuple& row) {
    model::Tuple::Cursor cursor(row);
    for (auto& value : values_) {
        if (!cursor.more()) {
            return false;
        }
        value = cursor.next();
    }
    return std::ranges::all_of(left_out_, [this](size_t source) {
        return values_[source].kind == ValueKind::Unchanged;
    });
}

bool RowArray::append(const model::Tuple& row) {
    if (!take_apart(row)) {
        return false;
    }
    const auto room = (2 + 2 * columns_.size()) * kNumberBytes + row.bytes().size();
    if (bytes_.size() < used_ + room) {
        bytes_.resize(std::max(2 * bytes_.size(), used_ + room));
    }
    auto* const begin = bytes_.data() + used_;
    auto* at = put(begin + kNumberBytes, static_cast<uint32_t>(columns_.size()));
    for (const auto& column : columns_) {
        at = put(at, column.type_oid);
        if (column.source == kNone || values_[column.source].kind == ValueKind::Null) {
            at = put(at, UINT32_MAX);
            continue;
        }
        const auto& value = values_[column.source];
        const bool as_it_is = (value.kind == ValueKind::Binary && column.binary) ||
                              (value.kind == ValueKind::Text && column.text);
        if (!as_it_is) {
            return false;
        }
        at = put(at, static_cast<uint32_t>(value.bytes.size()));
        if (!value.bytes.empty()) {
            std::memcpy(at, value.bytes.data(), value.bytes.size());
            at += value.bytes.size();
        }
    }
    put(begin, static_cast<uint32_t>(at - begin) - uint32_t{kNumberBytes});
    used_ += static_cast<size_t>(at - begin);
    ++rows_;
    return true;
}

ByteView RowArray::finish() {
    bytes_.resize(std::max(bytes_.size(), used_));
    auto* at = bytes_.data();
    at = put(at, 1);
    at = put(at, 0);
    at = put(at, row_type_oid_);
    at = put(at, static_cast<uint32_t>(rows_));
    put(at, 1);
    return ByteView(bytes_).first(used_);
}

}  // namespace qiao::drivers::postgres::internal
