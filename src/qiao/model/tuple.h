#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"

#include <cstdint>
#include <vector>

namespace qiao::model {

/// How a column's value is carried. The letters are those of PostgreSQL's pgoutput, so that a tuple
/// is copied from the source's message as it stands (no re-encoding on the way).
enum class ValueKind : uint8_t {
    Null = 'n',
    Unchanged = 'u',  ///< a large value that the change left alone and the source did not send
    Text = 't',
    Binary = 'b',
    Withheld = 'w',  ///< over the source's limit, and never sent: see withhold()
};

struct Value {
    ValueKind kind = ValueKind::Null;
    ByteView bytes;  ///< for Text and Binary; of Withheld see WithheldValue
};

/// What is told of a value that its source does not send. Source: rules 4
struct WithheldValue {
    uint64_t bytes = 0;  ///< its size
    uint64_t most = 0;   ///< the limit

    /// Of a value of that kind in a checked tuple.
    static WithheldValue of(const Value& value);
};

/// Whether a length and a value follow the kind.
constexpr bool has_bytes(ValueKind kind) {
    return kind == ValueKind::Text || kind == ValueKind::Binary || kind == ValueKind::Withheld;
}

/// One row image as bytes: u16 count, then for each column its kind and, unless it is null or
/// unchanged, a u32 length and the value. Integers are big-endian. A view; the bytes live
/// elsewhere. Layout: docs/reference/formats/packet.md
class Tuple {
public:
    Tuple() = default;

    /// Checks the whole structure once, so that reading it later cannot fail.
    /// Errors: packet.malformed. `bytes` must hold exactly one tuple.
    static Result<Tuple> parse(ByteView bytes);
    /// The same from the front of `in`, which is moved past it.
    static Result<Tuple> parse_front(ByteReader& in);

    bool empty() const { return bytes_.empty(); }

    size_t column_count() const;

    ByteView bytes() const { return bytes_; }

    /// All columns in order; the views point into bytes().
    std::vector<Value> values() const;

    /// Calls visit(index, Value) for each column.
    template <class Visit>
    void for_each(Visit&& visit) const {
        Cursor cursor(*this);
        for (size_t i = 0; cursor.more(); ++i) {
            visit(i, cursor.next());
        }
    }

    /// Walks the columns of a checked tuple; an empty one has none.
    class Cursor {
    public:
        explicit Cursor(const Tuple& tuple)
            : rest_(tuple.empty() ? ByteView() : tuple.bytes_.subspan(kHeadBytes)),
              left_(tuple.column_count()) {}

        bool more() const { return left_ != 0; }

        /// Only while there is more.
        Value next() {
            --left_;
            const auto kind = static_cast<ValueKind>(std::to_integer<uint8_t>(rest_.front()));
            if (!has_bytes(kind)) {
                rest_ = rest_.subspan(1);
                return {kind, {}};
            }
            const auto length = load_big_endian<uint32_t>(rest_.data() + 1);
            const auto value = rest_.subspan(1 + kLengthBytes, length);
            rest_ = rest_.subspan(1 + kLengthBytes + length);
            return {kind, value};
        }

    private:
        ByteView rest_;
        size_t left_;
    };

private:
    static constexpr size_t kHeadBytes = 2;
    static constexpr size_t kLengthBytes = 4;

    explicit Tuple(ByteView checked) : bytes_(checked) {}

    ByteView bytes_;
};

/// Builds a tuple column by column, for sources that do not deliver one.
class TupleBuilder {
public:
    explicit TupleBuilder(uint16_t columns);
    TupleBuilder& null();
    TupleBuilder& unchanged();

    TupleBuilder& text(std::string_view value) { return add(ValueKind::Text, as_bytes(value)); }

    TupleBuilder& binary(ByteView value) { return add(ValueKind::Binary, value); }

    TupleBuilder& withheld(const WithheldValue& value);
    TupleBuilder& add(const Value& value);
    Bytes take() &&;

private:
    TupleBuilder& add(ValueKind kind, ByteView value);
    Bytes bytes_;
};

}  // namespace qiao::model
