#include "qiao/apply/history_test.h"

#include "qiao/common/async/sleep.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::apply::history {
namespace {

constexpr uint64_t kSystem = 7;
constexpr std::string_view kLeftOut = "-";

model::SourcePosition position_of(uint64_t xid) {
    return model::SourcePosition::lsn(kSystem, 1, xid * 100);
}

Row as_row(const std::vector<std::string>& values) { return {values.begin(), values.end()}; }

}  // namespace

model::TableName table(std::string name) { return {"public", std::move(name)}; }

Shape make_shape(std::string name, std::vector<std::string> columns, std::string key_type) {
    Shape shape;
    shape.schema.table = table(std::move(name));
    shape.target.name = shape.schema.table;
    const bool keyed = !key_type.empty();
    shape.schema.identity = keyed ? model::Identity::PrimaryKey : model::Identity::None;
    for (size_t i = 0; i < columns.size(); ++i) {
        const bool key = keyed && i == 0;
        const auto type = "pg_catalog." + (key ? key_type : "text");
        shape.schema.columns.push_back({.name = columns[i], .type = type, .key = key});
        shape.target.columns.push_back({.name = columns[i], .type = type, .not_null = key});
    }
    if (keyed) {
        shape.target.primary_key = {columns.front()};
    }
    return shape;
}

History::History(uint64_t seed) : random_(seed) {
    shapes_.push_back(make_shape("plain", {"id", "name", "note"}, "int8"));
    shapes_.push_back(make_shape("decimal", {"id", "name"}, "numeric"));
    shapes_.push_back(make_shape("contact", {"id", "email"}, "int8"));
    shapes_.back().target.unique_keys = {{"email"}};
    shapes_.push_back(make_shape("customer", {"id", "name"}, "int8"));
    shapes_.push_back(make_shape("purchase", {"id", "customer"}, "int8"));
    shapes_.push_back(make_shape("journal", {"text", "more"}, ""));
    open_.rows = std::make_shared<std::deque<Bytes>>();
}

const Shape& History::shape(const std::string& name) const {
    return *std::ranges::find(shapes_, table(name), [](const Shape& s) { return s.schema.table; });
}

model::Tuple History::tuple(const std::vector<std::string>& values) {
    model::TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (const auto& value : values) {
        value == kLeftOut ? builder.unchanged() : builder.text(value);
    }
    return *model::Tuple::parse(open_.rows->emplace_back(std::move(builder).take()));
}

model::Tuple History::key_tuple(const std::string& name, const std::string& key) {
    model::TupleBuilder builder(static_cast<uint16_t>(shape(name).schema.columns.size()));
    builder.text(key);
    for (size_t i = 1; i < shape(name).schema.columns.size(); ++i) {
        builder.null();
    }
    return *model::Tuple::parse(open_.rows->emplace_back(std::move(builder).take()));
}

model::Change& History::change(const std::string& name, model::Op op) {
    auto& made = open_.changes.emplace_back();
    made.op = op;
    made.schema = shape(name).schema.id();
    return made;
}

void History::insert(const std::string& name, std::vector<std::string> values, bool tolerant) {
    auto& made = change(name, model::Op::Insert);
    made.new_row = tuple(values);
    made.tolerant = tolerant;
    if (name == "journal") {
        journal_.insert(std::move(values));
    } else {
        auto key = values.front();
        now_[name][std::move(key)] = std::move(values);
    }
}

void History::update(
    const std::string& name,
    const std::string& old_key,
    std::vector<std::string> values,
    bool tolerant
) {
    auto& made = change(name, model::Op::Update);
    made.new_row = tuple(values);
    made.tolerant = tolerant;
    if (values.front() != old_key) {
        made.old_image = model::OldImage::Key;
        made.old_row = key_tuple(name, old_key);
    }
    tell_old_row(made, now_[name][old_key]);
    auto row = now_[name][old_key];
    row.resize(values.size());
    now_[name].erase(old_key);
    for (size_t i = 0; i < values.size(); ++i) {
        row[i] = values[i] == kLeftOut ? row[i] : values[i];
    }
    now_[name][values.front()] = std::move(row);
}

void History::tell_old_row(model::Change& made, const std::vector<std::string>& row) {
    if (whole_old_rows) {
        made.old_image = model::OldImage::Full;
        made.old_row = tuple(row);
    }
}

void History::erase(const std::string& name, const std::string& key, bool tolerant) {
    auto& made = change(name, model::Op::Delete);
    made.old_image = model::OldImage::Key;
    made.old_row = key_tuple(name, key);
    made.tolerant = tolerant;
    tell_old_row(made, now_[name][key]);
    now_[name].erase(key);
}

void History::truncate(std::vector<std::string> names) {
    auto& made = change(names.front(), model::Op::Truncate);
    for (size_t i = 1; i < names.size(); ++i) {
        made.more_tables.push_back(shape(names[i]).schema.id());
    }
    for (const auto& name : names) {
        now_[name].clear();
        if (name == "journal") {
            journal_.clear();
        }
    }
}

void History::commit() {
    open_.head.xid = ++xid_;
    open_.head.commit = position_of(xid_);
    open_.head.end = position_of(xid_);
    open_.head.commit_time = {static_cast<int64_t>(xid_)};
    for (const auto& known : shapes_) {
        auto& rows = open_.after[known.schema.table];
        rows.clear();
        for (const auto& [key, row] : now_[known.schema.table.name]) {
            rows.push_back(as_row(row));
        }
    }
    for (const auto& row : journal_) {
        open_.after[table("journal")].push_back(as_row(row));
    }
    for (auto& [name, rows] : open_.after) {
        std::ranges::sort(rows);
    }
    transactions_.push_back(std::exchange(open_, Committed{}));
    open_.rows = std::make_shared<std::deque<Bytes>>();
}

std::string History::some_key(const std::string& name) {
    const auto& rows = now_[name];
    if (rows.empty()) {
        return {};
    }
    return std::next(rows.begin(), static_cast<std::ptrdiff_t>(random_() % rows.size()))->first;
}

std::vector<std::string> History::random_row(const std::string& name, const std::string& key) {
    const auto word = std::to_string(random_() % 40);
    if (name == "purchase") {
        return {key, some_key("customer")};
    }
    if (name == "plain") {
        return {key, "n" + word, "long " + word};
    }
    return {key, "v" + word};
}

/// Whether the source itself would take the row.
bool History::may_be(
    const std::string& name, const std::vector<std::string>& row, const std::string& old_key
) const {
    if (name == "purchase" && row[1].empty()) {
        return false;
    }
    const auto rows = now_.find(name);
    if (rows == now_.end()) {
        return true;
    }
    return std::ranges::none_of(rows->second, [&](const auto& entry) {
        if (entry.first == old_key) {
            return false;
        }
        return entry.first == row.front() || (name == "contact" && entry.second[1] == row[1]);
    });
}

bool History::change_rows(const std::string& name) {
    const auto fresh = std::to_string(random_() % 25);
    const auto old_key = some_key(name);
    const auto kind = random_() % 10;
    if (old_key.empty() || kind < 4) {
        auto row = random_row(name, fresh);
        if (!may_be(name, row, {})) {
            return false;
        }
        insert(name, std::move(row));
        return true;
    }
    const auto refers = [&](const auto& entry) { return entry.second[1] == old_key; };
    const bool referred = name == "customer" && std::ranges::any_of(now_["purchase"], refers);
    if (kind < 6) {
        if (!referred) {
            erase(name, old_key);
        }
        return !referred;
    }
    const bool moves = kind == 9 && !referred;
    auto row = random_row(name, moves ? fresh : old_key);
    if (!may_be(name, row, old_key)) {
        return false;
    }
    if (name == "plain" && random_() % 3 == 0) {
        row[2] = kLeftOut;
    }
    update(name, old_key, std::move(row));
    return true;
}

bool History::random_change() {
    static const std::vector<std::string> kNames{
        "plain", "plain", "plain", "decimal", "contact", "customer", "purchase", "journal"
    };
    const auto& name = kNames[random_() % kNames.size()];
    if (random_() % 150 == 0 && truncates) {
        const std::vector<std::vector<std::string>> kSets{
            {"plain"}, {"plain", "decimal"}, {"purchase"}, {"customer", "purchase"}, {"journal"}
        };
        truncate(kSets[random_() % kSets.size()]);
        return true;
    }
    if (name == "journal") {
        insert(name, {std::to_string(random_() % 5), "same"});
        return true;
    }
    return change_rows(name);
}

void History::commit_random(size_t changes_most) {
    const auto wanted = 1 + random_() % changes_most;
    for (size_t made = 0; made < wanted;) {
        made += random_change();
    }
    commit();
}

void History::commit_many(size_t transactions, size_t changes_most) {
    for (size_t i = 0; i < transactions; ++i) {
        commit_random(changes_most);
    }
}

Tables History::at(const model::SourcePosition& position) const {
    Tables tables;
    for (const auto& known : shapes_) {
        tables[known.schema.table];
    }
    for (const auto& transaction : transactions_) {
        if (compare(transaction.head.commit, position) == std::partial_ordering::greater) {
            break;
        }
        tables = transaction.after;
    }
    return tables;
}

void History::create_in(ModelDatabase& database, const model::Mapping& names) const {
    const auto column = [&names](const model::TableName& of, const std::string& name) {
        const auto found = names.tables().find(of);
        const bool renamed = found != names.tables().end() && found->second.columns.contains(name);
        return renamed ? found->second.columns.at(name) : name;
    };
    for (const auto& known : shapes_) {
        auto target = known.target;
        target.name = names.target_of(known.schema.table);
        for (auto& one : target.columns) {
            one.name = column(known.schema.table, one.name);
        }
        auto keys = target.unique_keys;
        keys.push_back(target.primary_key);
        for (auto& key : keys) {
            for (auto& name : key) {
                name = column(known.schema.table, name);
            }
        }
        target.primary_key = keys.back();
        keys.pop_back();
        target.unique_keys = std::move(keys);
        database.create_table(target);
    }
    database.add_foreign_key(
        {.child = names.target_of(table("purchase")),
         .columns = {column(table("purchase"), "customer")},
         .parent = names.target_of(table("customer"))}
    );
}

std::vector<Input> History::inputs(const model::SourcePosition& after, std::mt19937_64& random)
    const {
    std::vector<Input> inputs;
    for (const auto& known : shapes_) {
        inputs.push_back(SchemaDefinition{known.schema});
    }
    for (const auto& transaction : transactions_) {
        const auto order = compare(transaction.head.commit, after);
        // Some that are applied already come again, as after a crash of their sender.
        if (order != std::partial_ordering::greater && random() % 4 != 0) {
            continue;
        }
        const StreamMark mark{{{1}, {transaction.head.xid}}, {}};
        uint32_t number = 0;
        size_t from = 0;
        do {
            Fragment part;
            part.head = transaction.head;
            part.number = number++;
            const auto left = transaction.changes.size() - from;
            const auto count = random() % 3 == 0 ? std::min<size_t>(left, 1 + random() % 8) : left;
            const auto first = transaction.changes.begin() + static_cast<std::ptrdiff_t>(from);
            part.changes.assign(first, first + static_cast<std::ptrdiff_t>(count));
            part.keep = transaction.rows;
            part.bytes = count * 20 + 20;
            from += count;
            part.last = from == transaction.changes.size();
            part.mark = mark;
            inputs.push_back(std::move(part));
        } while (from < transaction.changes.size());
        if (random() % 10 == 0) {
            inputs.push_back(Progress{mark, transaction.head.commit});
        }
    }
    return inputs;
}

Bench::Bench(History& history, uint64_t seed, model::Mapping names)
    : history_(history), world_(seed), random_(seed), database_(world_, world_, seed) {
    options.stream = world_.make_id<StreamId>();
    options.set_rows_min = 2;
    options.names = std::move(names);
    history_.create_in(database_, options.names);
}

Task<void> Bench::feed(Channel<Input>& input, std::vector<Input> inputs, const bool& enough) {
    for (auto& item : inputs) {
        const auto* fragment = std::get_if<Fragment>(&item);
        const auto weight = fragment != nullptr ? fragment->bytes : 1;
        const bool taken = co_await input.send(std::move(item), weight);
        if (!taken || enough) {
            co_return;
        }
        if (random_() % 4 == 0) {
            StopSignal never;
            const Duration pause(static_cast<int64_t>(random_() % 20'000'000));
            (void)co_await sleep_for(world_, world_, pause, never);
        }
    }
    input.close();
}

Task<void> Bench::run_to_end(Applier& applier, StopSignal& stop, std::optional<Status>& end) {
    end = co_await applier.run(stop);
}

Task<void> Bench::stop_later(Duration limit, TaskScope& scope) {
    (void)co_await sleep_for(world_, world_, limit, scope.stop());
    scope.request_stop();
}

Status Bench::run_once(Applier& applier, const drivers::CheckpointRow& from, TaskScope& scope) {
    bool enough = false;
    std::optional<Status> end;
    TaskScope feeding(world_);
    auto inputs = history_.inputs(from.position, random_);
    if (edit) {
        inputs = edit(std::move(inputs));
    }
    feeding.spawn(feed(applier.input(), std::move(inputs), enough));
    feeding.spawn(run_to_end(applier, scope.stop(), end));
    while (!end) {
        EXPECT_TRUE(world_.step()) << "everything waits for something";
    }
    enough = true;
    while (feeding.running() != 0) {
        while (applier.input().try_receive()) {
        }
        world_.step();
    }
    return *end;
}

Status Bench::run(std::optional<Duration> limit) {
    options.owner = world_.make_id<Incarnation>();
    Applier applier(database_, world_, world_, world_, options, *this);
    auto from = world_.run(applier.open());
    if (!from) {
        return from.error();
    }
    TaskScope scope(world_);
    if (limit) {
        scope.spawn(stop_later(*limit, scope));
    }
    if (beside) {
        scope.spawn(beside(scope.stop()));
    }
    auto end = run_once(applier, *from, scope);
    while (!end && end.error().is(ErrorCode::ApplyRewind) && !scope.stop().requested()) {
        ++rewinds;
        from = world_.run(applier.rewind());
        if (from) {
            end = run_once(applier, *from, scope);
        } else if (!from.error().transient()) {
            end = from.error();
        }
    }
    scope.request_stop();
    world_.run(scope.join());
    last_status = applier.status();
    return end;
}

Tables Bench::target() const {
    Tables tables;
    for (const auto& known : history_.shapes()) {
        const auto name = options.names.target_of(known.schema.table);
        tables[known.schema.table] = database_.rows(name);
    }
    return tables;
}

model::SourcePosition Bench::position() const {
    const auto row = database_.committed().checkpoints.find(options.stream);
    return row == database_.committed().checkpoints.end() ? model::SourcePosition{}
                                                          : row->second.position;
}

Tables Bench::expected() const { return history_.at(position()); }

void Bench::applied(const Applied& applied) {
    // Nothing is reported that is not committed, and never back.
    const auto& row = database_.committed().checkpoints.at(options.stream);
    EXPECT_EQ(row.position, applied.position);
    if (!reports.empty()) {
        EXPECT_NE(compare(applied.position, reports.back().position), std::partial_ordering::less);
        EXPECT_GE(applied.point, reports.back().point);
    }
    reports.push_back(applied);
}

// The oracle itself: what it says of its own past must not change.
TEST(ApplyHistory, KnowsEachOfItsPasts) {
    History history(3);
    history.commit_many(50, 10);
    size_t rows = 0;
    for (const auto& transaction : history.transactions()) {
        EXPECT_EQ(history.at(transaction.head.commit), transaction.after);
        rows += transaction.after.at(table("plain")).size();
    }
    EXPECT_GT(rows, 50U);
    EXPECT_TRUE(history.at({}).at(table("plain")).empty());
}

}  // namespace qiao::apply::history
