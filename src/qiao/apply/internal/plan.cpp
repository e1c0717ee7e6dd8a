#include "qiao/apply/internal/plan.h"

#include "qiao/apply/key.h"
#include "qiao/common/plant.h"

namespace qiao::apply {

using model::Change;
using model::Op;

void Plan::add(const Work& work) {
    const auto& change = *work.change;
    const auto& table = *work.table;
    if (change.op == Op::Truncate) {
        add_truncate(work);
        if (is_planted(Plant::TruncateOvertaken) && steps_.size() > 1) {
            std::swap(steps_.back(), steps_[steps_.size() - 2]);
        }
        return;
    }
    if (!options_.fold || table.fold_key.empty()) {
        if (table.watches_others) {
            flush_all();
        }
        add_in_order(work);
        return;
    }
    const auto& name = table.schema->table;
    auto place = folds_.find(name);
    if (place != folds_.end() && &place->second.table() != &table) {
        // The table has changed its shape on the way.
        flush(name);
        folds_.erase(place);
        place = folds_.end();
    }
    if (place == folds_.end()) {
        place = folds_.try_emplace(name, table, arena_, options_.set_rows_min).first;
    }
    auto added = place->second.add(change);
    if (added == TableFold::Added::FlushFirst) {
        flush(name);
        added = place->second.add(change);
    }
    if (added != TableFold::Added::Folded) {
        flush(name);
        add_in_order(work);
    }
}

void Plan::add_in_order(const Work& work) {
    const auto& change = *work.change;
    const auto& table = *work.table;
    if (change.tolerant) {
        add_tolerant(change, table);
        return;
    }
    auto pattern = change.op == Op::Update ? pattern_of(change.new_row) : std::string();
    auto& step = run(Step::Kind::Rows, table, change.op, false, std::move(pattern));
    step.changes.push_back(&change);
}

void Plan::add_tolerant(const Change& change, const BoundTable& table) {
    if (change.op == Op::Delete) {
        run(Step::Kind::Rows, table, Op::Delete, true, {}).changes.push_back(&change);
        return;
    }
    if (leaves_out_columns(change.new_row)) {
        // Never completed by a guess: it must meet its row. Source: rules 13
        run(Step::Kind::Rows, table, Op::Update, false, pattern_of(change.new_row))
            .changes.push_back(&change);
        return;
    }
    if (changes_key(change, table.key)) {
        Change removal;
        removal.op = Op::Delete;
        removal.schema = change.schema;
        removal.old_image = change.old_image;
        removal.old_row = change.old_row;
        run(Step::Kind::Rows, table, Op::Delete, true, {})
            .changes.push_back(arena_.make(std::move(removal)));
    }
    // A key twice in one call would miss twice and be inserted twice.
    const auto key = key_of(change.new_row, table.key);
    const bool known = table.key_is_bytes && key.complete && !upserted_.contains(key.bytes);
    if (!known) {
        close_run();
    }
    Change update;
    update.op = Op::Update;
    update.schema = change.schema;
    update.new_row = change.new_row;
    auto& step = run(Step::Kind::Upsert, table, Op::Update, true, {});
    step.changes.push_back(arena_.make(std::move(update)));
    upserted_.emplace(key.bytes, true);
    run_open_ = table.key_is_bytes && key.complete;
}

void Plan::add_truncate(const Work& work) {
    Step step{.kind = Step::Kind::Truncate, .table = work.table, .op = Op::Truncate};
    step.restart_identity = work.change->restart_identity;
    for (const auto* table : work.truncated) {
        if (table->watches_others || table->target.foreign_keys_in) {
            flush_all();
        }
        flush(table->schema->table);
    }
    step.truncated = work.truncated;
    close_run();
    steps_.push_back(std::move(step));
}

void Plan::flush(const model::TableName& table) {
    const auto place = folds_.find(table);
    if (place != folds_.end()) {
        close_run();
        place->second.flush(steps_);
    }
}

void Plan::flush_all() {
    for (auto& [name, fold] : folds_) {
        close_run();
        fold.flush(steps_);
    }
}

Step& Plan::run(
    Step::Kind kind, const BoundTable& table, Op op, bool may_miss, std::string pattern
) {
    if (run_open_) {
        auto& last = steps_.back();
        if (last.kind == kind && last.table == &table && last.op == op &&
            last.may_miss == may_miss && run_pattern_ == pattern) {
            return last;
        }
    }
    close_run();
    run_open_ = true;
    run_pattern_ = std::move(pattern);
    return steps_.emplace_back(Step{.kind = kind, .table = &table, .op = op, .may_miss = may_miss});
}

void Plan::close_run() {
    run_open_ = false;
    upserted_.clear();
}

const std::vector<Step>& Plan::finish() {
    flush_all();
    close_run();
    for (auto& step : steps_) {
        const bool inserts = step.kind == Step::Kind::Rows && step.op == Op::Insert;
        if (options_.fold && inserts && step.table->sets_of_inserts &&
            step.changes.size() >= options_.set_rows_min) {
            step.as_set = true;
        }
    }
    return steps_;
}

}  // namespace qiao::apply
