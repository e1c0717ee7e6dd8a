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

std::vector<drivers::CanonicalColumn> RenamedReader::here(
    const model::TableName& table, std::vector<drivers::CanonicalColumn> columns
) const {
    if (const auto* renamed = find(table)) {
        for (auto& column : columns) {
            const auto name = renamed->columns.find(column.name);
            if (name != renamed->columns.end()) {
                column.name = name->second;
            }
        }
    }
    return columns;
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

Task<Status> RenamedReader::scan(
    model::TableName table,
    std::vector<drivers::CanonicalColumn> columns,
    const Visit& visit,
    StopSignal& stop
) {
    columns = here(table, std::move(columns));
    return ReaderInFront::scan(std::move(table), std::move(columns), visit, stop);
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

}  // namespace qiao::agent
