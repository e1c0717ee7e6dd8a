#pragma once

#include "qiao/apply/internal/catalogue.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace qiao::apply {

/// The names behind which later changes are laid aside. What a transaction adds and removes counts
/// at once, and is kept or forgotten with it. Source: rules 20, 21
class ErrorChains {
public:
    void load(drivers::OpenErrors open);

    /// Names of the rows that the change means, the one for people first: by its key, old one
    /// before the new, then by the target's other unique keys. Of a row without a key, and where
    /// rows exclude each other by what cannot be told here: one name for all rows of the table.
    static std::vector<std::string> keys_of(const BoundTable& table, const model::Change& change);

    /// Whether the change must be laid behind an open error. Where bytes do not identify a key,
    /// every change of a table with an open error must.
    bool diverts(const BoundTable& table, const model::Change& change) const;

    bool has_open(const model::TableName& table) const { return open_.contains(table); }

    /// Changes of the table that are laid aside.
    uint64_t rows(const model::TableName& table) const;

    /// One more change of the table, laid aside under these names.
    void add(const model::TableName& table, const std::vector<std::string>& keys);
    /// The row of this name is right now. Other names of what was dropped with it stay until
    /// load().
    void remove(const model::TableName& table, const std::string& key);
    void remove_all(const model::TableName& table);

    /// After remove(): the target knows better.
    bool stale() const { return stale_; }

    void keep_changes();
    void forget_changes();

    /// Names in all tables.
    size_t size() const { return size_; }

    uint64_t rows() const;

    bool empty() const { return open_.empty(); }

private:
    struct Table {
        std::set<std::string> keys;
        uint64_t rows = 0;
    };

    void save(const model::TableName& table);

    std::map<model::TableName, Table> open_;
    size_t size_ = 0;
    bool stale_ = false;

    // How to forget: tables as they were before something was removed, and what was added to the
    // others.
    std::map<model::TableName, Table> before_;
    std::map<model::TableName, Table> added_;
};

/// Drops what waits behind the row of this name and, where a row has moved, behind its other name,
/// and so on: one half of a chain would bring back what the other half has taken away. The names of
/// the rows, this one first. Source: rules 21
Task<Result<std::vector<std::string>>> drop_chain(
    drivers::TargetSession& session, StreamId stream, model::TableName table, std::string key
);

}  // namespace qiao::apply
