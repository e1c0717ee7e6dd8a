#include "qiao/drivers/postgres/internal/row_maps.h"

#include <algorithm>

namespace qiao::drivers::postgres::internal {

std::shared_ptr<MappedTable> RowMaps::find(uint32_t oid) const {
    const auto known = tables_.find(oid);
    return known == tables_.end() ? nullptr : known->second;
}

void RowMaps::keep(uint32_t oid, std::shared_ptr<MappedTable> table) {
    tables_[oid] = std::move(table);
}

void RowMaps::drop(uint32_t oid) { tables_.erase(oid); }

void RowMaps::give_up(uint32_t oid) { tables_[oid] = nullptr; }

bool RowMaps::is_given_up(uint32_t oid) const {
    const auto known = tables_.find(oid);
    return known != tables_.end() && known->second == nullptr;
}

size_t RowMaps::bytes() const {
    size_t bytes = 0;
    for (const auto& [oid, table] : tables_) {
        bytes += table ? table->rows.bytes() : 0;
    }
    return bytes;
}

RowMapFigures RowMaps::figures() const {
    auto figures = counters_;
    for (const auto& [oid, table] : tables_) {
        ++(table ? figures.tables : figures.tables_over_budget);
        figures.rows += table ? table->rows.size() : 0;
    }
    figures.bytes = bytes();
    return figures;
}

std::shared_ptr<MappedTable> RowJournal::lease(uint32_t oid) {
    auto table = maps_->find(oid);
    if (!table || (table->writer != nullptr && table->writer != this)) {
        return nullptr;
    }
    if (table->writer == nullptr) {
        table->writer = this;
        leased_.push_back(oid);
    }
    return table;
}

bool RowJournal::is_lent_to_other(uint32_t oid) const {
    const auto table = maps_->find(oid);
    return table && table->writer != nullptr && table->writer != this;
}

void RowJournal::note(Entry entry) {
    if (entries_.size() < kMostEntries) {
        entries_.push_back(entry);
    } else {
        overflowed_ = true;
    }
}

void RowJournal::put(uint32_t oid, MappedTable& table, uint64_t digest, const Place& place) {
    table.rows.put(digest, place);
    note({table.generation, digest, place, oid, true});
}

std::optional<Place> RowJournal::take(uint32_t oid, MappedTable& table, uint64_t digest) {
    const auto place = table.rows.take(digest);
    if (place) {
        note({table.generation, digest, *place, oid, false});
    }
    return place;
}

void RowJournal::undo_to(size_t size) {
    if (overflowed_) {
        forget();
        return;
    }
    while (entries_.size() > size) {
        const auto entry = entries_.back();
        entries_.pop_back();
        const auto table = maps_->find(entry.oid);
        if (!table || table->generation != entry.generation) {
            continue;
        }
        // Backwards, so that what was put in last is on top again.
        if (entry.was_put) {
            table->rows.take(entry.digest);
        } else {
            table->rows.put(entry.digest, entry.place);
        }
    }
}

void RowJournal::release_all() {
    for (const auto oid : leased_) {
        const auto table = maps_->find(oid);
        if (table && table->writer == this) {
            table->writer = nullptr;
        }
    }
    leased_.clear();
    entries_.clear();
    savepoints_.clear();
    overflowed_ = false;
}

void RowJournal::commit() { release_all(); }

void RowJournal::rollback() {
    undo_to(0);
    release_all();
}

void RowJournal::forget() {
    for (const auto oid : leased_) {
        const auto table = maps_->find(oid);
        if (table && table->writer == this) {
            maps_->drop(oid);
        }
    }
    entries_.clear();
    overflowed_ = false;
}

void RowJournal::rollback_to_savepoint() { undo_to(savepoints_.empty() ? 0 : savepoints_.back()); }

void RowJournal::release_savepoint() {
    if (!savepoints_.empty()) {
        savepoints_.pop_back();
    }
}

}  // namespace qiao::drivers::postgres::internal
