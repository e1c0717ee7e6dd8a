#include "referee.h"

#include "qiao/apply/key.h"

#include "model_source.h"
#include <fmt/format.h>

#include <algorithm>

namespace qiao::sim {
namespace {

std::vector<Row> values(const std::map<Row, Row>& rows) {
    std::vector<Row> all;
    for (const auto& [key, row] : rows) {
        all.push_back(row);
    }
    std::ranges::sort(all);
    return all;
}

std::string to_text(const Row& row) {
    constexpr size_t kValueMost = 24;
    std::string text;
    for (const auto& value : row) {
        text += text.empty() ? "(" : ", ";
        text += value ? value->substr(0, kValueMost) : "NULL";
    }
    return text + ")";
}

/// Whether the path has the target's node.
bool comes_home(std::string_view path) { return path.ends_with("province"); }

/// The first row that only one of two sorted lists has.
std::string difference(const std::vector<Row>& is, const std::vector<Row>& should) {
    std::vector<Row> more, missing;
    std::ranges::set_difference(is, should, std::back_inserter(more));
    std::ranges::set_difference(should, is, std::back_inserter(missing));
    std::string text;
    if (!missing.empty()) {
        text += fmt::format("{} rows missing, as {}", missing.size(), to_text(missing.front()));
    }
    if (!more.empty()) {
        text += fmt::format(
            "{}{} rows too many, as {}", text.empty() ? "" : "; ", more.size(), to_text(more[0])
        );
    }
    return text;
}

}  // namespace

bool Referee::look() {
    const auto& counters = world_.target_database.counters();
    if (counters.commits != commits_) {
        one_commit_ = counters.commits == commits_ + 1;
        commits_ = counters.commits;
        check();
    }
    return failure_.empty();
}

void Referee::check() {
    const auto& state = world_.target_database.committed();
    if (world_.target_database.counters().unlocked_commits != 0) {
        fail("rows were committed without the checkpoint's lock");
    }
    if (world_.target_database.counters().doubled_keys != 0) {
        fail("one key stood twice in one set of rows");
    }
    const auto checkpoint = state.checkpoints.find(world_.stream());
    if (checkpoint == state.checkpoints.end()) {
        return;
    }
    const auto& position = checkpoint->second.position;
    const auto epoch = checkpoint->second.point.epoch.value;
    const bool begins_anew = source_went_back_ && epoch > epoch_;
    if (!begins_anew && !position_.empty() && model::compare(position, position_) < 0) {
        fail("the checkpoint went back to " + position.to_string());
    }
    // What opens a new epoch can leave something out, and comes behind its key.
    jumps_ = jumps_ || epoch != epoch_;
    if (one_commit_ && !jumps_) {
        check_origin(position_, position);
    }
    jumps_ = jumps_ && position == position_;
    position_ = position;
    epoch_ = epoch;
    for (size_t i = 0; i < world_.server.tables().size(); ++i) {
        const auto found =
            state.table_states.find({world_.stream(), world_.server.tables()[i].name});
        if (found != state.table_states.end()) {
            check_table(i, found->second);
        }
    }
}

/// What a transaction of the target says of where its changes have been. Source: rules 16
void Referee::check_origin(const model::SourcePosition& from, const model::SourcePosition& to) {
    const auto after = capture::postgres::lsn_of(from);
    const auto until = capture::postgres::lsn_of(to);
    if (!after || !until || source_went_back_) {
        return;
    }
    const auto& passed = world_.target_database.last_passed();
    if (comes_home(passed)) {
        fail("a change came home: it has been at " + passed);
    }
    for (const auto& commit : world_.server.commits_between(*after, *until)) {
        const bool tells = !commit.changes.empty() && !commit.altered;
        if (tells && !comes_home(commit.origin) && commit.origin != passed) {
            fail(fmt::format("changes from `{}` are said to be from `{}`", commit.origin, passed));
        }
    }
}

void Referee::check_table(size_t number, const drivers::TableState& state) {
    if (state.status != drivers::TableStatus::Live) {
        if (state.status != drivers::TableStatus::Paused) {
            of_old_history_.erase(number);
        }
        return;
    }
    if (of_old_history_.contains(number)) {
        return;
    }
    const bool just_loaded = position_.empty() || model::compare(position_, state.joined_at) < 0;
    const auto& at = just_loaded ? state.joined_at : position_;
    auto lsn = capture::postgres::lsn_of(at);
    if (!lsn) {
        fail("a position that is none: " + at.to_string());
        return;
    }
    if (just_loaded) {
        --*lsn;  // what commits there is not in the load
    }
    const auto& name = world_.server.tables()[number].name;
    auto is = world_.target_database.rows(name);
    auto should = values(world_.server.content_at(*lsn)[number]);
    leave_out(number, is);
    leave_out(number, should);
    keep_common(number, world_.server.shape_at(number, *lsn), is, should);
    if (is != should) {
        fail(fmt::format(
            "{} is not as the source was at {}: {}",
            name.to_string(),
            at.to_string(),
            difference(is, should)
        ));
    }
}

/// The declared exceptions: rows behind an open error, by the names under which it waits, and those
/// that somebody else has changed. Source: rules 20
void Referee::leave_out(size_t number, std::vector<Row>& rows) const {
    const auto& table = world_.server.tables()[number];
    std::set<std::string> names;
    for (const auto& [of, error] : world_.target_database.committed().errors) {
        if (error.second.table == table.name) {
            names.insert(error.second.keys.begin(), error.second.keys.end());
        }
    }
    if (names.empty() && excused_.empty()) {
        return;
    }
    if (names.contains("*")) {
        rows.clear();  // a TRUNCATE waits: any row does
        return;
    }
    // The key's columns are the first of every shape.
    auto schema = schema_of(table);
    schema.columns.resize(table.key.size());
    std::erase_if(rows, [&](const Row& row) {
        model::TupleBuilder builder(static_cast<uint16_t>(table.key.size()));
        for (const auto& cell : table.key_of(row)) {
            cell ? builder.text(*cell) : builder.null();
        }
        const auto bytes = std::move(builder).take();
        const auto name =
            apply::key_text(schema, schema.key_columns(), model::Tuple::parse(bytes).value());
        return names.contains(name) || excused_.contains({number, table.key_of(row)});
    });
}

/// A target follows a change of shape when its owner has altered it.
void Referee::keep_common(
    size_t number, const ServerTable& shape, std::vector<Row>& is, std::vector<Row>& should
) const {
    const auto at_source = numbers_of(world_, number, shape);
    const auto at_target = columns_at_target(world_, number);
    auto common = at_source;
    std::erase_if(common, [&](uint32_t column) {
        const bool filled = world_.server.filled_columns().contains({number, column});
        return std::ranges::find(at_target, column) == at_target.end() ||
               (filled && !proven_.contains({number, column}));
    });
    if (common == at_target && common == at_source) {
        return;
    }
    for (auto& row : is) {
        row = only_columns(row, at_target, common);
    }
    for (auto& row : should) {
        row = only_columns(row, at_source, common);
    }
    std::ranges::sort(is);
    std::ranges::sort(should);
}

void Referee::forget_history() {
    forget();
    source_went_back_ = true;
    for (size_t i = 0; i < world_.server.tables().size(); ++i) {
        of_old_history_.insert(i);
    }
}

ColumnSet Referee::doubtful_columns() const {
    ColumnSet doubtful;
    for (const auto& [table, number] : world_.server.filled_columns()) {
        const auto there = columns_at_target(world_, table);
        if (std::ranges::find(there, number) != there.end() && !proven_.contains({table, number})) {
            doubtful.emplace(table, number);
        }
    }
    return doubtful;
}

void Referee::expect(const Rows& rows) {
    for (const auto& row : rows) {
        excused_.erase(row);
    }
}

bool Referee::arrived() {
    const auto& tables = world_.server.tables();
    for (size_t i = 0; i < tables.size(); ++i) {
        const auto state =
            world_.target_database.committed().table_states.find({world_.stream(), tables[i].name});
        if (state == world_.target_database.committed().table_states.end() ||
            state->second.status != drivers::TableStatus::Live ||
            world_.target_database.rows(tables[i].name) != values(world_.server.content()[i])) {
            return false;
        }
    }
    return true;
}

}  // namespace qiao::sim
