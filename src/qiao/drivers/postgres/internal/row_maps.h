#pragma once

#include "qiao/drivers/postgres/internal/row_map.h"
#include "qiao/drivers/postgres/row_map_figures.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

class RowJournal;

/// The row map of one table, and what it was made from.
struct MappedTable {
    RowMap rows;
    std::string shape;        ///< the expression of its digests
    std::string files;        ///< the table's files when it was built, its leaves' too
    uint64_t generation = 0;  ///< of all maps of this process, each has another
    const RowJournal* writer = nullptr;
};

/// The row maps of one target database, by table oid. They outlive sessions: a lost connection
/// costs no building. Together they keep within a budget; a table that would break it has no map
/// until it is truncated or loaded. Hints all: whoever takes a place from one compares the row
/// there. Spec: R-24. Source: rules 22
class RowMaps {
public:
    explicit RowMaps(size_t budget_bytes) : budget_(budget_bytes) {}

    /// Null: none yet, or over the budget.
    std::shared_ptr<MappedTable> find(uint32_t oid) const;
    /// In the place of the one before.
    void keep(uint32_t oid, std::shared_ptr<MappedTable> table);
    /// Forgets the map, and that it was over the budget.
    void drop(uint32_t oid);
    /// The table has no map from here on.
    void give_up(uint32_t oid);

    bool is_given_up(uint32_t oid) const;

    bool fits(const RowMap& another) const { return bytes() + another.bytes() <= budget_; }

    bool within_budget() const { return bytes() <= budget_; }

    uint64_t next_generation() { return ++generation_; }

    RowMapFigures figures() const;

    /// Of the figures, what only grows.
    RowMapFigures& counters() { return counters_; }

private:
    size_t bytes() const;

    size_t budget_;
    uint64_t generation_ = 0;
    RowMapFigures counters_;
    /// Null: over the budget.
    std::map<uint32_t, std::shared_ptr<MappedTable>> tables_;
};

/// What one session's transaction has done to the maps, to be undone with it. A map serves one
/// transaction at a time; another that writes to the same table goes without it.
class RowJournal {
public:
    explicit RowJournal(std::shared_ptr<RowMaps> maps) : maps_(std::move(maps)) {}

    RowJournal(const RowJournal&) = delete;
    RowJournal& operator=(const RowJournal&) = delete;

    /// An open transaction ends with its session.
    ~RowJournal() { rollback(); }

    RowMaps& maps() { return *maps_; }

    /// The table's map for this transaction; null: there is none, or another transaction has it.
    std::shared_ptr<MappedTable> lease(uint32_t oid);
    /// Whether another transaction has it.
    bool is_lent_to_other(uint32_t oid) const;

    void put(uint32_t oid, MappedTable& table, uint64_t digest, const Place& place);
    std::optional<Place> take(uint32_t oid, MappedTable& table, uint64_t digest);

    void commit();
    void rollback();
    /// Nobody knows whether it was committed: the maps that it had are dropped.
    void forget();

    void savepoint() { savepoints_.push_back(entries_.size()); }

    void rollback_to_savepoint();
    void release_savepoint();

private:
    /// What one transaction may have done for that it be undone; beyond, its maps are dropped.
    static constexpr size_t kMostEntries = size_t{1} << 18U;

    struct Entry {
        uint64_t generation = 0;
        uint64_t digest = 0;
        Place place;
        uint32_t oid = 0;
        bool was_put = false;
    };

    void note(Entry entry);
    void undo_to(size_t size);
    void release_all();

    std::shared_ptr<RowMaps> maps_;
    std::vector<Entry> entries_;
    std::vector<size_t> savepoints_;
    std::vector<uint32_t> leased_;
    bool overflowed_ = false;
};

}  // namespace qiao::drivers::postgres::internal
