#pragma once

#include "qiao/apply/internal/catalogue.h"

#include <map>
#include <optional>
#include <set>
#include <string>

namespace qiao::apply {

/// The keys under which an error is open, so that every later change of them is laid behind it.
/// What a transaction adds counts at once, and is kept or forgotten with it. Source: rules 21
class ErrorChains {
public:
    void load(std::vector<drivers::ErrorKey> keys);

    /// Keys of the rows that the change means, old key first. Of a row without a key: one name
    /// for all rows of its table.
    static std::vector<std::string> keys_of(const BoundTable& table, const model::Change& change);

    /// Whether the change must be laid behind an open error. Where bytes do not identify a key,
    /// every change of a table with an open error must.
    bool diverts(const BoundTable& table, const model::Change& change) const;

    bool has_open(const model::TableName& table) const { return open_.contains(table); }

    bool contains(const model::TableName& table, const std::string& key) const;

    void add(const model::TableName& table, std::string key);

    void keep_added() { added_.clear(); }

    void forget_added();

    bool empty() const { return open_.empty(); }

    size_t size() const { return size_; }

private:
    std::map<model::TableName, std::set<std::string>> open_;
    std::vector<drivers::ErrorKey> added_;
    size_t size_ = 0;
};

}  // namespace qiao::apply
