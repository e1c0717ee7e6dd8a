#include "qiao/agent/renamed_reader.h"

#include <algorithm>

namespace qiao::agent {

const model::Mapping::Renamed* RenamedReader::find(const model::TableName& table) const {
    for (const auto& [source, renamed] : names_.tables()) {
        if (renamed.table == table && !renamed.columns.empty()) {
            return &renamed;
        }
    }
    return nullptr;
}

std::string RenamedReader::here(const model::TableName& table, const std::string& column) const {
    if (const auto* renamed = find(table)) {
        const auto name = renamed->columns.find(column);
        if (name != renamed->columns.end()) {
            return name->second;
        }
    }
    return column;
}

std::vector<drivers::CanonicalColumn> RenamedReader::here(
    const model::TableName& table, std::vector<drivers::CanonicalColumn> columns
) const {
    for (auto& column : columns) {
        column.name = here(table, column.name);
    }
    return columns;
}

drivers::TablePart RenamedReader::here(const model::TableName& table, drivers::TablePart part)
    const {
    if (part.sample) {
        for (auto& column : part.sample->columns) {
            column = here(table, column);
        }
    }
    if (part.range) {
        part.range->column = here(table, part.range->column);
    }
    return part;
}

Task<Result<RenamedReader::Shape>> RenamedReader::describe(model::TableName table) {
    QIAO_CO_TRY(auto shape, co_await ReaderInFront::describe(table));
    const auto* renamed = find(table);
    if (renamed == nullptr) {
        co_return shape;
    }
    const auto there = [renamed](std::string& name) {
        const auto is_it = [&name](const auto& pair) { return pair.second == name; };
        const auto found = std::ranges::find_if(renamed->columns, is_it);
        if (found != renamed->columns.end()) {
            name = found->first;
        }
    };
    for (auto& column : shape.schema.columns) {
        there(column.name);
    }
    std::ranges::for_each(shape.binary_safe, there);
    co_return shape;
}

/// The range keeps the name that its column has at the source.
Task<Result<drivers::RowRange>> RenamedReader::settle_range(
    model::TableName table, drivers::RangeWanted wanted
) {
    auto name = wanted.range.column;
    wanted.range.column = here(table, name);
    QIAO_CO_TRY(
        auto range, co_await ReaderInFront::settle_range(std::move(table), std::move(wanted))
    );
    range.column = std::move(name);
    co_return range;
}

Task<Status> RenamedReader::scan(
    model::TableName table,
    std::vector<drivers::CanonicalColumn> columns,
    drivers::TablePart part,
    const Visit& visit,
    StopSignal& stop
) {
    columns = here(table, std::move(columns));
    part = here(table, std::move(part));
    return ReaderInFront::scan(std::move(table), std::move(columns), std::move(part), visit, stop);
}

Task<Status> RenamedReader::read_keys(
    model::TableName table,
    std::vector<drivers::CanonicalColumn> columns,
    std::vector<drivers::CanonicalColumn> key_columns,
    std::vector<Bytes> keys,
    const Visit& visit
) {
    columns = here(table, std::move(columns));
    key_columns = here(table, std::move(key_columns));
    return ReaderInFront::read_keys(
        std::move(table), std::move(columns), std::move(key_columns), std::move(keys), visit
    );
}

Task<Result<uint64_t>> RenamedReader::count(model::TableName table, drivers::TablePart part) {
    part = here(table, std::move(part));
    return ReaderInFront::count(std::move(table), std::move(part));
}

}  // namespace qiao::agent
