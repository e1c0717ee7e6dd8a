#include "qiao/drivers/load_rows.h"

#include <cstdlib>

namespace {

qiao::model::TableSchema schema_of(size_t columns) {
    qiao::model::TableSchema schema;
    schema.columns.resize(columns);
    for (size_t i = 1; i < columns; i += 3) {
        schema.columns[i].generated = true;
    }
    return schema;
}

}  // namespace

/// Foreign bytes as rows of a load in each format: each row that is taken is a whole tuple of the
/// table's width, and every row takes something.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace qiao;
    if (size < 2) {
        return 0;
    }
    const auto schema = schema_of(data[0] % 9);
    const auto format = static_cast<drivers::LoadFormat>(1 + data[1] % 3);
    ByteReader in(std::as_bytes(std::span(data + 2, size - 2)));
    while (!in.at_end()) {
        const auto before = in.rest().size();
        const auto row = drivers::take_tuple(format, schema, in);
        if (!row) {
            return 0;
        }
        const auto tuple = model::Tuple::parse(*row);
        const bool right_width =
            format == drivers::LoadFormat::Tuples || tuple->column_count() == schema.columns.size();
        if (!tuple || !right_width || in.rest().size() >= before) {
            std::abort();
        }
    }
    return 0;
}
