#pragma once

#include "qiao/model/table.h"

#include <map>
#include <string>
#include <vector>

namespace qiao::model {

/// Names at the source to names at the target; what is not named keeps its name. Spec: R-25
class Mapping {
public:
    struct Renamed {
        TableName table;
        std::map<std::string, std::string> columns;  ///< from the source's name
        bool operator==(const Renamed&) const = default;
    };

    void rename(TableName from, Renamed to) {
        tables_.insert_or_assign(std::move(from), std::move(to));
    }

    TableName target_of(const TableName& source) const;
    /// The schema under the target's names; column order stays.
    TableSchema target_of(TableSchema source) const;

    const std::map<TableName, Renamed>& tables() const { return tables_; }

    /// The tables' names alone.
    std::map<TableName, TableName> table_names() const;
    /// What is said of these tables.
    Mapping of(const std::vector<TableName>& sources) const;

    bool operator==(const Mapping&) const = default;

    bool empty() const { return tables_.empty(); }

private:
    std::map<TableName, Renamed> tables_;
};

}  // namespace qiao::model
