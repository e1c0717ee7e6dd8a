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

    /// Of what keys_of() has named: whether that change was of another row than that of the primary
    /// key's name `key`, too, or of another one alone.
    static bool means_another_row(
        const BoundTable& table, const std::vector<std::string>& keys, const std::string& key
    );

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

}  // namespace qiao::apply
