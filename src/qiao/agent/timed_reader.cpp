#include "qiao/agent/timed_reader.h"

#include <algorithm>

namespace qiao::agent {

Task<Result<TimedReader::Shape>> TimedReader::describe(model::TableName table) {
    QIAO_CO_TRY(auto shape, co_await ReaderInFront::describe(std::move(table)));
    const auto has = [](const std::vector<std::string>& names, const std::string& name) {
        return std::ranges::find(names, name) != names.end();
    };
    const auto& captured = options_.table.columns;
    if (!captured.empty()) {
        std::erase_if(shape.schema.columns, [&](const model::Column& column) {
            return !has(captured, column.name);
        });
    }
    const auto& keys = options_.table.keys;
    if (!keys.empty()) {
        shape.schema.identity = model::Identity::Index;
        for (auto& column : shape.schema.columns) {
            column.key = has(keys, column.name);
        }
    }
    co_return shape;
}

/// The flag comes last, as text; see valid_rows().
std::vector<drivers::CanonicalColumn> TimedReader::with_flag(
    std::vector<drivers::CanonicalColumn> columns
) const {
    if (!options_.flag.empty()) {
        columns.push_back({options_.flag, drivers::CanonicalColumn::Form::Text});
    }
    return columns;
}

/// Passes rows on without the last column, unless that says that they are deleted.
TimedReader::Visit TimedReader::valid_rows(const Visit& visit) const {
    if (options_.flag.empty()) {
        return visit;
    }
    return [this, &visit](const model::Tuple& row) {
        const auto values = row.values();
        const auto& flag = values.back();
        if (flag.kind == model::ValueKind::Text) {
            const auto said = options_.flag_values.find(std::string(as_text(flag.bytes)));
            if (said != options_.flag_values.end() &&
                said->second == capture::RowValidity::Deleted) {
                return;
            }
        }
        model::TupleBuilder builder(static_cast<uint16_t>(values.size() - 1));
        for (size_t i = 0; i + 1 < values.size(); ++i) {
            builder.add(values[i]);
        }
        const auto bytes = std::move(builder).take();
        visit(model::Tuple::parse(bytes).value());
    };
}

Task<Status> TimedReader::scan(
    model::TableName table,
    std::vector<drivers::CanonicalColumn> columns,
    drivers::TablePart part,
    const Visit& visit,
    StopSignal& stop
) {
    const auto valid = valid_rows(visit);
    co_return co_await ReaderInFront::scan(
        std::move(table), with_flag(std::move(columns)), std::move(part), valid, stop
    );
}

Task<Status> TimedReader::read_keys(
    model::TableName table,
    std::vector<drivers::CanonicalColumn> columns,
    std::vector<drivers::CanonicalColumn> key_columns,
    std::vector<Bytes> keys,
    const Visit& visit
) {
    const auto valid = valid_rows(visit);
    co_return co_await ReaderInFront::read_keys(
        std::move(table),
        with_flag(std::move(columns)),
        std::move(key_columns),
        std::move(keys),
        valid
    );
}

Task<Result<uint64_t>> TimedReader::count(model::TableName table, drivers::TablePart part) {
    if (options_.flag.empty()) {
        co_return co_await ReaderInFront::count(std::move(table), std::move(part));
    }
    uint64_t rows = 0;
    const Visit visit = [&rows](const model::Tuple& /*row*/) { ++rows; };
    StopSignal never;
    QIAO_CO_CHECK(co_await scan(std::move(table), {}, std::move(part), visit, never));
    co_return rows;
}

}  // namespace qiao::agent
