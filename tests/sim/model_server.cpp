#include "model_server.h"

#include <algorithm>

namespace qiao::sim {
namespace {

constexpr size_t kOpenMost = 4;
constexpr uint64_t kKeys = 40;
/// A row's number in the log grows by what a record takes; what matters is that it differs.
constexpr Lsn kRecordBytes = 64;

std::string text_of(const char* letter, uint64_t number) { return letter + std::to_string(number); }

void replay(ModelServer::Content& content, const Committed& commit) {
    for (const auto& change : commit.changes) {
        auto& rows = content[change.table];
        if (change.truncated) {
            rows.clear();
        } else if (change.row) {
            rows[change.key] = *change.row;
        } else {
            rows.erase(change.key);
        }
    }
}

}  // namespace

Row ServerTable::key_of(const Row& row) const {
    Row values;
    for (const auto place : key) {
        values.push_back(row[place]);
    }
    return values;
}

ModelServer::ModelServer(testing::ManualWorld& world, uint64_t seed)
    : world_(world), random_(seed), changed_(world) {
    tables_.push_back({16001, {"public", "person"}, {"id", "name", "note"}, {0}, 2, 'd'});
    tables_.push_back({16002, {"public", "house"}, {"town", "number", "owner"}, {0, 1}, {}, 'd'});
    tables_.push_back({16003, {"public", "entry"}, {"id", "value", "body"}, {0}, 2, 'f'});
    committed_.resize(tables_.size());
    past_.resize(tables_.size());
    column_numbers_.resize(tables_.size());
    for (size_t i = 0; i < tables_.size(); ++i) {
        auto& table = tables_[i];
        for (size_t column = 0; column < table.columns.size(); ++column) {
            const bool plain = column >= table.key.size() && column != table.wide;
            table.types.push_back(plain ? kVarchar : kText);
            column_numbers_[i].emplace(table.columns[column], column);
        }
        shapes_.push_back(std::make_shared<ServerTable>(table));
        past_shapes_.push_back({{0, shapes_.back()}});
    }
}

void ModelServer::work() {
    if (open_.size() < kOpenMost && (open_.empty() || below(3) == 0)) {
        auto& transaction = begin();
        if (!home_.empty() && below(8) == 0) {
            say_origin(transaction, below(2) == 0 ? "county" : "town,county");
        }
        return;
    }
    if (!home_.empty() && below(40) == 0) {
        come_home();
        return;
    }
    auto& transaction = open_[below(open_.size())];
    if (transaction.statements < transaction.most) {
        statement(transaction);
    } else if (below(8) == 0) {
        abort(transaction);
    } else {
        commit(transaction);
    }
}

void ModelServer::end_transactions() {
    while (!open_.empty()) {
        below(4) == 0 ? abort(open_.front()) : commit(open_.front());
    }
}

ModelServer::Transaction& ModelServer::begin() {
    auto& transaction = open_.emplace_back();
    transaction.xid = next_xid_++;
    transaction.overlay.resize(tables_.size());
    transaction.most = below(20) == 0 ? 20 + below(60) : 1 + below(6);
    return transaction;
}

void ModelServer::statement(Transaction& transaction) {
    ++transaction.statements;
    const auto table = below(tables_.size());
    const auto kind = below(40);
    if (kind == 0) {
        truncate(transaction, table);
    } else if (kind < 4) {
        set_savepoint(transaction);
    } else if (kind < 8 && !transaction.savepoints.empty()) {
        end_savepoint(transaction, below(2) == 0);
    } else {
        change(transaction, table);
    }
}

std::optional<Row> ModelServer::see(const Transaction& transaction, size_t table, const Row& key)
    const {
    const auto& overlay = transaction.overlay[table];
    if (const auto own = overlay.rows.find(key); own != overlay.rows.end()) {
        return own->second;
    }
    const auto found = committed_[table].find(key);
    return overlay.truncated || found == committed_[table].end() ? std::nullopt
                                                                 : std::optional(found->second);
}

/// False: another transaction has the row, and this one does something else instead of waiting.
bool ModelServer::lock(const Transaction& transaction, size_t table, const Row& key) {
    const auto whole = table_locks_.find(table);
    if (whole != table_locks_.end() && whole->second != transaction.xid) {
        return false;
    }
    const auto [place, fresh] = locks_.try_emplace({table, key}, transaction.xid);
    return fresh || place->second == transaction.xid;
}

Row ModelServer::random_key(size_t table) {
    Row key;
    for (size_t i = 0; i < tables_[table].key.size(); ++i) {
        key.push_back(text_of("", below(i == 0 ? kKeys : 3)));
    }
    return key;
}

Row ModelServer::random_row(size_t table, const Row& key) {
    const auto& shape = tables_[table];
    Row row(shape.columns.size());
    for (size_t i = 0; i < row.size(); ++i) {
        if (shape.is_constrained(i)) {
            row[i] = below(10) == 0 ? Cell() : text_of("", below(kKeys));
        } else if (i == shape.wide && below(3) == 0) {
            row[i] = std::string(200 + below(3000), 'w') + text_of("", below(1000));
        } else if (below(10) != 0) {
            row[i] = text_of("v", below(1'000'000));
        }
    }
    for (size_t i = 0; i < shape.key.size(); ++i) {
        row[shape.key[i]] = key[i];
    }
    return row;
}

LogRecord& ModelServer::write(const Transaction& transaction, LogRecord::Kind kind) {
    auto& record = log_.emplace_back();
    record.kind = kind;
    record.top = transaction.xid;
    record.xid =
        transaction.savepoints.empty() ? transaction.xid : transaction.savepoints.back().xid;
    record.lsn = next_lsn_;
    record.at = world_.wall_now();
    next_lsn_ += kRecordBytes;
    return record;
}

void ModelServer::change(Transaction& transaction, size_t table) {
    using Kind = LogRecord::Kind;
    const auto key = random_key(table);
    if (!lock(transaction, table, key)) {
        return;
    }
    auto& rows = transaction.overlay[table].rows;
    const auto before = see(transaction, table, key);
    auto row = random_row(table, key);
    const auto& shape = tables_[table];
    if (!before) {
        if (!allowed(transaction, table, nullptr, &row)) {
            return;
        }
        auto& record = write(transaction, Kind::Insert);
        record.shape = shapes_[table];
        record.table = table;
        record.new_row = row;
        rows[key] = std::move(row);
        return;
    }
    if (below(4) == 0) {
        if (!allowed(transaction, table, &*before, nullptr)) {
            return;
        }
        auto& record = write(transaction, Kind::Delete);
        record.shape = shapes_[table];
        record.table = table;
        record.old_row = *before;
        rows[key] = std::nullopt;
        return;
    }
    if (shape.wide && below(2) == 0) {
        row[*shape.wide] = (*before)[*shape.wide];
    }
    auto now = key;
    if (below(6) == 0) {  // another key, where none is in the way
        const auto other = random_key(table);
        if (lock(transaction, table, other) && !see(transaction, table, other)) {
            now = other;
            for (size_t i = 0; i < shape.key.size(); ++i) {
                row[shape.key[i]] = other[i];
            }
        }
    }
    if (!allowed(transaction, table, &*before, &row)) {
        return;
    }
    auto& record = write(transaction, Kind::Update);
    record.shape = shapes_[table];
    record.table = table;
    record.old_row = *before;
    record.new_row = row;
    rows[key] = std::nullopt;
    rows[now] = std::move(row);
}

/// Only where nobody else is.
bool ModelServer::lock_table(const Transaction& transaction, size_t table) {
    const auto others = [&](const auto& lock) {
        return lock.first.first == table && lock.second != transaction.xid;
    };
    return std::ranges::none_of(locks_, others) &&
           table_locks_.try_emplace(table, transaction.xid).first->second == transaction.xid;
}

/// With those that refer to it.
void ModelServer::truncate(Transaction& transaction, size_t table) {
    const auto child = tables_[table].child;
    if (!lock_table(transaction, table) || (child && !lock_table(transaction, *child))) {
        return;
    }
    auto& record = write(transaction, LogRecord::Kind::Truncate);
    record.shape = shapes_[table];
    record.table = table;
    transaction.overlay[table] = {true, {}};
    if (child) {
        record.other = shapes_[*child];
        transaction.overlay[*child] = {true, {}};
    }
}

void ModelServer::set_savepoint(Transaction& transaction) {
    transaction.savepoints.push_back({next_xid_++, transaction.overlay, {}});
}

/// Locks stay, as they may.
void ModelServer::end_savepoint(Transaction& transaction, bool undo) {
    if (undo) {
        auto gone = transaction.savepoints.back();
        gone.released.push_back(gone.xid);
        for (const auto xid : gone.released) {
            write(transaction, LogRecord::Kind::Abort).xid = xid;
        }
        transaction.overlay = std::move(gone.before);
        transaction.savepoints.pop_back();
        return;
    }
    auto released = std::move(transaction.savepoints.back());
    transaction.savepoints.pop_back();
    if (!transaction.savepoints.empty()) {
        auto& outer = transaction.savepoints.back().released;
        outer.push_back(released.xid);
        outer.insert(outer.end(), released.released.begin(), released.released.end());
    }
}

void ModelServer::commit(Transaction& transaction) {
    while (!transaction.savepoints.empty()) {
        end_savepoint(transaction, false);
    }
    auto& record = write(transaction, LogRecord::Kind::Commit);
    next_lsn_ += kRecordBytes;  // the end of a commit lies behind it
    Committed done;
    done.lsn = record.lsn;
    done.origin = std::move(transaction.origin);
    done.altered = transaction.altered;
    for (size_t table = 0; table < tables_.size(); ++table) {
        auto& overlay = transaction.overlay[table];
        if (overlay.truncated) {
            done.changes.push_back({table, {}, {}, true});
        }
        for (auto& [key, row] : overlay.rows) {
            done.changes.push_back({table, key, std::move(row), false});
        }
    }
    replay(committed_, done);
    ++commits_;
    history_.push_back(std::move(done));
    forget(transaction.xid);
    changed_.pulse();
}

void ModelServer::abort(Transaction& transaction) {
    transaction.savepoints.clear();
    write(transaction, LogRecord::Kind::Abort);
    forget(transaction.xid);
    changed_.pulse();
}

void ModelServer::forget(uint32_t xid) {
    std::erase_if(locks_, [xid](const auto& lock) { return lock.second == xid; });
    std::erase_if(table_locks_, [xid](const auto& lock) { return lock.second == xid; });
    std::erase_if(open_, [xid](const auto& transaction) { return transaction.xid == xid; });
}

const ModelServer::Content& ModelServer::content_at(Lsn at) {
    if (past_commits_ > 0 && history_[past_commits_ - 1].lsn > at) {
        past_.assign(tables_.size(), {});
        past_commits_ = 0;
    }
    while (past_commits_ < history_.size() && history_[past_commits_].lsn <= at) {
        replay(past_, history_[past_commits_++]);
    }
    return past_;
}

uint64_t ModelServer::commits_until(Lsn at) const { return commits_between(0, at).size(); }

std::span<const Committed> ModelServer::commits_between(Lsn from, Lsn to) const {
    const auto begin = std::ranges::upper_bound(history_, from, {}, &Committed::lsn);
    return {begin, std::ranges::upper_bound(begin, history_.end(), to, {}, &Committed::lsn)};
}

void ModelServer::write_message(std::string prefix, std::string content) {
    ++messages_;
    Transaction transaction;
    transaction.xid = next_xid_++;
    auto& record = write(transaction, LogRecord::Kind::Message);
    record.prefix = std::move(prefix);
    record.content = std::move(content);
    write(transaction, LogRecord::Kind::Commit);
    next_lsn_ += kRecordBytes;
    changed_.pulse();
}

void ModelServer::cut_sessions() {
    constexpr uint64_t kHoldsMost = 3000;
    ++sessions_ended_;
    for (auto& [name, slot] : slots) {
        if (slot.holder != 0) {
            slot.holder = 0;
            slot.held_until = world_.now() + std::chrono::milliseconds(below(kHoldsMost));
        }
    }
    changed_.pulse();
}

void ModelServer::crash() {
    while (!open_.empty()) {
        abort(open_.front());
    }
    cut_sessions();
    for (auto& [name, slot] : slots) {
        slot.confirmed = slot.on_disk;
        slot.held_until = world_.now();
    }
}

void ModelServer::hear_new_session() {
    if (unsaid_) {
        fail("messages of the source made no sense, and nobody has said so");
    }
}

void ModelServer::restore(const Image& image, bool anew) {
    cut_sessions();
    open_.clear();
    locks_.clear();
    table_locks_.clear();
    std::erase_if(log_, [&](const LogRecord& record) { return record.lsn >= image.end; });
    std::erase_if(history_, [&](const Committed& commit) { return commit.lsn >= image.end; });
    next_lsn_ = image.end;
    next_xid_ = image.next_xid;
    slots = image.slots;
    for (auto& [name, slot] : slots) {
        slot.holder = 0;
        slot.held_until = {};
    }
    past_.assign(tables_.size(), {});
    past_commits_ = 0;
    committed_ = content_at(image.end);
    for (size_t i = 0; i < tables_.size(); ++i) {
        std::erase_if(past_shapes_[i], [&](const auto& shape) { return shape.first >= image.end; });
        shapes_[i] = past_shapes_[i].back().second;
        tables_[i] = *shapes_[i];
    }
    identity_.timeline += anew ? 1 : 0;
}

}  // namespace qiao::sim
