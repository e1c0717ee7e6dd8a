#include "qiao/common/assert.h"
#include "qiao/drivers/model/model_session.h"

#include <algorithm>

// What a ModelSession does to rows and to Qiao's own tables.
namespace qiao::drivers::model_db {

Status ModelSession::check_foreign_keys(const model::TableName& written, bool deferred) {
    for (const auto& key : database_.foreign_keys_) {
        const bool concerns = key.child == written || key.parent == written;
        if (concerns && key.deferred == deferred) {
            QIAO_CHECK(database_.check(backend_->view.state, key));
        }
    }
    return {};
}

Status ModelSession::write_one(
    ModelTable& table, const TableWrite& write, const model::Change& change, bool& missed
) {
    if (write.checks_old_rows && write.op != model::Op::Insert) {
        QIAO_TRY(const bool same, table.has_old_row(*write.schema, change));
        if (!same) {
            missed = true;
            return {};
        }
    }
    if (write.op == model::Op::Delete) {
        QIAO_TRY(const bool met, table.erase(*write.schema, change));
        missed = !met;
        return {};
    }
    QIAO_TRY(auto row, table.read(*write.schema, change.new_row));
    QIAO_CHECK(database_.welcomes(write.schema->table, row));
    if (write.op == model::Op::Insert) {
        return table.insert(std::move(row));
    }
    QIAO_TRY(const bool met, table.update(*write.schema, change));
    missed = !met;
    return {};
}

/// "A key twice in one UPDATE … FROM picks one at random": a set must not have one.
void ModelSession::note_doubled_keys(const TableWrite& write) {
    std::set<Row> seen;
    for (const auto* change : write.changes) {
        const bool by_new =
            write.op == model::Op::Insert ||
            (write.op == model::Op::Update && change->old_image == model::OldImage::Absent);
        const auto values = (by_new ? change->new_row : change->old_row).values();
        Row key;
        for (const auto column : write.schema->key_columns()) {
            key.emplace_back(std::string(as_text(values[column].bytes)));
        }
        database_.counters_.doubled_keys += !key.empty() && !seen.insert(std::move(key)).second;
    }
}

Task<Result<WriteResult>> ModelSession::write(TableWrite write, WriteMode mode) {
    QIAO_CO_CHECK(enter(true));
    WriteResult result;
    const auto chance = database_.strikes(database_.faults.serialization)
                            ? std::optional(ErrorCode::DbSerialization)
                        : database_.strikes(database_.faults.resource)
                            ? std::optional(ErrorCode::DbResource)
                            : std::nullopt;
    if (auto locked = co_await lock_table(write.schema->table); !locked || chance) {
        backend_->failed = true;
        result.failure = {std::nullopt, chance ? Error(*chance) : locked.error()};
        co_return result;
    }
    QIAO_CO_TRY(auto* table, writable(write.schema->table));
    const bool set = mode == WriteMode::SetBased;
    database_.counters_.unlocked_writes += backend_->checkpoints.empty();
    ++(set ? database_.counters_.set_writes : database_.counters_.row_writes);
    if (set) {
        note_doubled_keys(write);
    }
    backend_->view.rows += write.changes.size();
    for (size_t i = 0; i < write.changes.size() && !result.failure; ++i) {
        bool missed = false;
        auto done = write_one(*table, write, *write.changes[i], missed);
        if (done && !set) {
            done = check_foreign_keys(write.schema->table, false);
        }
        if (!done) {
            result.failure = {set ? std::nullopt : std::optional(i), done.error()};
        } else if (missed) {
            ++result.missed;
            if (!set) {
                result.missed_at.push_back(i);
            }
        }
    }
    if (set && !result.failure) {
        if (auto held = check_foreign_keys(write.schema->table, false); !held) {
            result.failure = {std::nullopt, held.error()};
        }
    }
    backend_->failed = result.failure.has_value();
    co_return result;
}

Task<Status> ModelSession::truncate(std::vector<model::TableName> tables, bool) {
    QIAO_CO_CHECK(enter(true));
    for (const auto& name : tables) {
        QIAO_CO_CHECK(co_await lock_table(name));
        for (const auto& key : database_.foreign_keys_) {
            if (key.parent == name && std::ranges::find(tables, key.child) == tables.end()) {
                co_return fail(Error(ErrorCode::DbConstraint, name.to_string() + " is referred to")
                );
            }
        }
    }
    for (const auto& name : tables) {
        QIAO_CO_TRY(auto* table, writable(name));
        table->clear();
    }
    co_return Status{};
}

Task<Status> ModelSession::delete_all(model::TableName table) {
    QIAO_CO_CHECK(enter(true));
    QIAO_CO_CHECK(co_await lock_table(table));
    QIAO_CO_TRY(auto* own, writable(table));
    own->clear();
    if (auto held = check_foreign_keys(table, false); !held) {
        co_return fail(held.error());
    }
    co_return Status{};
}

Task<Result<WriteResult>> ModelSession::check_constraints() {
    QIAO_CO_CHECK(enter(true));
    WriteResult result;
    for (const auto& key : database_.foreign_keys_) {
        if (auto held = database_.check(backend_->view.state, key); !held) {
            backend_->failed = true;
            result.failure = {std::nullopt, held.error()};
            break;
        }
    }
    co_return result;
}

Task<Result<std::vector<TableState>>> ModelSession::table_states(StreamId stream) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    std::vector<TableState> states;
    for (const auto& [key, state] : visible().table_states) {
        if (key.first == stream) {
            states.push_back(state);
        }
    }
    co_return states;
}

Task<Result<std::optional<TableState>>> ModelSession::table_state(
    StreamId stream, model::TableName table
) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    const auto found = visible().table_states.find({stream, std::move(table)});
    co_return found == visible().table_states.end() ? std::nullopt : std::optional(found->second);
}

Task<Status> ModelSession::save_table_state(StreamId stream, TableState state) {
    QIAO_CO_CHECK(enter(true));
    backend_->view.table_states.emplace(stream, state.table);
    backend_->view.state.table_states[{stream, state.table}] = std::move(state);
    co_return Status{};
}

Task<Result<std::vector<model::TableSchema>>> ModelSession::schemas(StreamId stream) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    std::map<uint64_t, model::TableSchema> saved;
    for (const auto& [key, one] : visible().schemas) {
        if (key.first == stream) {
            saved.emplace(one.number, one.schema);
        }
    }
    std::vector<model::TableSchema> schemas;
    for (auto& [number, schema] : saved) {
        schemas.push_back(std::move(schema));
    }
    co_return schemas;
}

Task<Status> ModelSession::save_schema(StreamId stream, model::TableSchema schema) {
    QIAO_CO_CHECK(enter(true));
    const auto id = schema.id();
    backend_->view.schemas.emplace(stream, id);
    backend_->view.state.schemas[{stream, id}] = {++database_.last_schema_, std::move(schema)};
    co_return Status{};
}

Task<Status> ModelSession::begin_copy(model::TableSchema schema, LoadFormat format) {
    QIAO_CO_CHECK(enter(true));
    QIAO_ASSERT(accepts(format));
    QIAO_CO_CHECK(co_await lock_table(schema.table));
    copying_ = std::move(schema);
    copied_ = 0;
    co_return Status{};
}

Task<Status> ModelSession::copy(ByteView rows) {
    if (lost_ || life_ != database_.life_ || database_.strikes(database_.faults.lost)) {
        copying_.reset();
        co_return lose();
    }
    QIAO_ASSERT(copying_.has_value());
    QIAO_CO_TRY(auto* table, writable(copying_->table));
    ByteReader in(rows);
    while (!in.at_end()) {
        QIAO_CO_TRY(const auto tuple, model::Tuple::parse_front(in));
        auto row = table->read(*copying_, tuple);
        auto done = row ? database_.welcomes(copying_->table, *row) : Status(row.error());
        if (done) {
            done = table->insert(*std::move(row));
        }
        if (!done) {
            co_return fail(done.error());
        }
        ++copied_;
    }
    co_return Status{};
}

Task<Result<uint64_t>> ModelSession::end_copy() {
    const auto schema = std::exchange(copying_, std::nullopt);
    QIAO_CO_CHECK(enter(true));
    QIAO_ASSERT(schema.has_value());
    if (auto held = check_foreign_keys(schema->table, false); !held) {
        co_return fail(held.error());
    }
    backend_->view.rows += copied_;
    co_return copied_;
}

}  // namespace qiao::drivers::model_db
