#include "qiao/model/mapping.h"

namespace qiao::model {

TableName Mapping::target_of(const TableName& source) const {
    const auto found = tables_.find(source);
    return found == tables_.end() ? source : found->second.table;
}

TableSchema Mapping::target_of(TableSchema source) const {
    const auto found = tables_.find(source.table);
    if (found == tables_.end()) {
        return source;
    }
    source.table = found->second.table;
    for (auto& column : source.columns) {
        const auto renamed = found->second.columns.find(column.name);
        if (renamed != found->second.columns.end()) {
            column.name = renamed->second;
        }
    }
    return source;
}

std::map<TableName, TableName> Mapping::table_names() const {
    std::map<TableName, TableName> names;
    for (const auto& [source, renamed] : tables_) {
        names[source] = renamed.table;
    }
    return names;
}

Mapping Mapping::of(const std::vector<TableName>& sources) const {
    Mapping part;
    for (const auto& source : sources) {
        const auto found = tables_.find(source);
        if (found != tables_.end()) {
            part.rename(source, found->second);
        }
    }
    return part;
}

}  // namespace qiao::model
