#include "qiao/verify/repair.h"

#include <algorithm>
#include <optional>

namespace qiao::verify {
namespace {

/// What a row of the list has become at the source when it was read.
struct Found {
    uint64_t copies = 0;
    bool no_room = false;  ///< the image was left for another plan
    Bytes image;           ///< of the row, or of each of its copies
};

/// Gathers the rows of a list while the source is read, and turns them into changes.
class Gathering {
public:
    Gathering(const RepairList& list, RepairPlan& plan, size_t bytes_max)
        : spec_(list.plan.source),
          list_(list),
          plan_(plan),
          bytes_max_(bytes_max),
          digester_(spec_.run_key) {
        for (uint32_t i = 0; i < list.rows.size(); ++i) {
            order_.emplace_back(list.rows[i].digest, i);
        }
        std::ranges::sort(order_);
        found_.resize(list.rows.size());
        make_schema();
    }

    bool full() const { return bytes_ >= bytes_max_; }

    bool no_room(size_t index) const { return found_[index].no_room; }

    /// False: the row is not of the list.
    bool visit(const model::Tuple& row) {
        const auto digest = spec_.keyless() ? digester_.row(row) : digester_.key(row, spec_.key);
        const auto place = std::ranges::lower_bound(order_, digest, {}, &Place::first);
        if (place == order_.end() || place->first != digest) {
            return false;
        }
        auto& found = found_[place->second];
        found.no_room = found.no_room || (found.copies == 0 && bytes_ >= bytes_max_);
        if (++found.copies == 1 && !found.no_room) {
            found.image = written_columns(row);
            bytes_ += found.image.size();
        }
        return true;
    }

    /// A row whose key is equal to one of the list for the database, and is written otherwise (its
    /// case, 1.0 and 1.00): what deletes the one deletes the other, so it is sent, too.
    void visit_equal(const model::Tuple& row) {
        equals_.push_back(written_columns(row));
        bytes_ += equals_.back().size();
    }

    void insert_equals() {
        for (auto& image : equals_) {
            put(model::Op::Insert, model::OldImage::Absent, std::move(image));
        }
        equals_.clear();
    }

    void delete_row(size_t index) {
        const auto& row = list_.rows[index];
        // Without a key nothing is deleted row by row: see replace_table().
        if (!spec_.keyless() && found_[index].copies == 0) {
            if (row.key.empty()) {
                ++plan_.left_out;
            } else {
                put(model::Op::Delete, model::OldImage::Key, key_image(row.key));
            }
        }
    }

    /// All rows of the table in the place of those that the target has. False: too many for a plan.
    bool replace_with(const model::Tuple& row) {
        if (plan_.changes.empty()) {
            truncate();
        }
        auto image = written_columns(row);
        bytes_ += image.size();
        put(model::Op::Insert, model::OldImage::Absent, std::move(image));
        return !full();
    }

    void truncate() {
        model::Change change;
        change.op = model::Op::Truncate;
        change.schema = schema_id();
        plan_.changes.push_back(std::move(change));
    }

    void insert_row(size_t index) {
        const auto& row = list_.rows[index];
        const auto& found = found_[index];
        if (!spec_.keyless()) {
            if (found.copies != 0) {
                put(model::Op::Insert, model::OldImage::Absent, found.image);
            }
            return;
        }
        for (auto copies = row.target_copies; copies < found.copies; ++copies) {
            put(model::Op::Insert, model::OldImage::Absent, found.image);
        }
    }

private:
    using Place = std::pair<RowDigest, uint32_t>;

    /// The compared columns that a target takes, as the source's catalogue describes them.
    void make_schema() {
        plan_.schema.table = list_.plan.source_schema.table;
        plan_.schema.identity =
            spec_.keyless() ? model::Identity::Full : list_.plan.source_schema.identity;
        for (const auto& column : spec_.columns) {
            const auto place = list_.plan.source_schema.find_column(column.name);
            const bool write = place && !list_.plan.source_schema.columns[*place].generated;
            written_.push_back(write);
            if (write) {
                plan_.schema.columns.push_back(list_.plan.source_schema.columns[*place]);
                plan_.schema.columns.back().key =
                    spec_.keyless() || plan_.schema.columns.back().key;
            }
        }
    }

    Bytes written_columns(const model::Tuple& row) const {
        model::TupleBuilder image(static_cast<uint16_t>(plan_.schema.columns.size()));
        row.for_each([&](size_t i, const model::Value& value) {
            if (written_[i]) {
                image.add(value);
            }
        });
        return std::move(image).take();
    }

    /// A row of nulls around the key.
    Bytes key_image(const Bytes& key) const {
        model::TupleBuilder image(static_cast<uint16_t>(plan_.schema.columns.size()));
        const auto parts = model::Tuple::parse(key).value().values();
        size_t next = 0;
        for (uint16_t i = 0; i < spec_.columns.size(); ++i) {
            const bool of_key = next < spec_.key.size() && spec_.key[next] == i;
            if (!written_[i]) {
                next += of_key ? 1 : 0;
            } else if (of_key) {
                image.add(parts[next++]);
            } else {
                image.null();
            }
        }
        return std::move(image).take();
    }

    void put(model::Op op, model::OldImage old_image, Bytes image) {
        plan_.images.push_back(std::move(image));
        const auto tuple = model::Tuple::parse(plan_.images.back()).value();
        model::Change change;
        change.op = op;
        change.schema = schema_id();
        change.old_image = old_image;
        change.tolerant = !spec_.keyless();
        (op == model::Op::Delete ? change.old_row : change.new_row) = tuple;
        plan_.changes.push_back(std::move(change));
    }

    model::SchemaId schema_id() {
        if (!schema_id_) {
            schema_id_ = plan_.schema.id();
        }
        return *schema_id_;
    }

    const TableSpec& spec_;
    const RepairList& list_;
    RepairPlan& plan_;
    size_t bytes_max_;
    Digester digester_;
    std::vector<Place> order_;
    std::vector<Found> found_;
    std::vector<Bytes> equals_;
    std::vector<bool> written_;
    std::optional<model::SchemaId> schema_id_;
    size_t bytes_ = 0;
};

/// Rows that the target has and the source does not come first: a key that was renamed (its case, a
/// rounding) is then deleted before the row takes its new name.
void extras_first(std::vector<RepairRow>& rows) {
    const auto at_source = [](const RepairRow& row) { return row.source_copies != 0; };
    std::ranges::sort(rows, {}, at_source);
}

std::vector<drivers::CanonicalColumn> key_columns(const TableSpec& spec) {
    std::vector<drivers::CanonicalColumn> columns;
    for (const auto place : spec.key) {
        columns.push_back(spec.columns[place]);
    }
    return columns;
}

bool readable_by_key(const RepairList& list) {
    const auto has_key = [](const RepairRow& row) { return !row.key.empty(); };
    return !list.plan.source.keyless() && std::ranges::all_of(list.rows, has_key);
}

/// Reads rows by key, page by page, until the list or the room ends. Gives the rows looked up.
Task<Result<size_t>> read_by_key(
    drivers::TableReader& source,
    const RepairList& list,
    Gathering& gathering,
    const RepairOptions& options
) {
    const auto& spec = list.plan.source;
    const drivers::TableReader::Visit visit = [&gathering](const model::Tuple& row) {
        if (!gathering.visit(row)) {
            gathering.visit_equal(row);
        }
    };
    size_t done = 0;
    while (done < list.rows.size() && !gathering.full()) {
        const auto end = std::min(list.rows.size(), done + options.keys_of_one_read);
        std::vector<Bytes> keys;
        for (; done < end; ++done) {
            keys.push_back(list.rows[done].key);
        }
        auto columns = key_columns(spec);
        QIAO_CO_CHECK(co_await source.read_keys(
            spec.table, spec.columns, std::move(columns), std::move(keys), visit
        ));
    }
    co_return done;
}

Task<Result<size_t>> read_by_scan(
    drivers::TableReader& source, const RepairList& list, Gathering& gathering, StopSignal& stop
) {
    const drivers::TableReader::Visit visit = [&gathering](const model::Tuple& row) {
        gathering.visit(row);
    };
    const auto& spec = list.plan.source;
    QIAO_CO_CHECK(co_await source.scan(spec.table, spec.columns, {}, visit, stop));
    co_return list.rows.size();
}

/// Copies of a row without a key cannot be told apart, and rows that only the target has are known
/// to the target alone: where any must go, the whole table is sent again.
bool wants_whole_table(const RepairList& list) {
    const auto too_many = [](const RepairRow& row) {
        return row.target_copies > row.source_copies;
    };
    return list.plan.source.keyless() && std::ranges::any_of(list.rows, too_many);
}

Task<Status> read_whole_table(
    drivers::TableReader& source, const RepairList& list, Gathering& gathering, StopSignal& stop
) {
    StopSignal enough;
    const auto pass_on = [&enough] { enough.request(); };
    const StopSignal::Hook hook(stop, pass_on);
    bool room = true;
    const drivers::TableReader::Visit visit = [&](const model::Tuple& row) {
        room = room && gathering.replace_with(row);
        if (!room) {
            enough.request();
        }
    };
    const auto& spec = list.plan.source;
    auto scanned = co_await source.scan(spec.table, spec.columns, {}, visit, enough);
    if (!room) {
        co_return Error(ErrorCode::VerifyRepairTooLarge, spec.table.to_string());
    }
    co_return scanned;
}

/// The table has become empty at the source, it may be.
Task<Result<RepairPlan>> replace_table(
    drivers::TableReader& source, RepairList list, RepairOptions options, StopSignal& stop
) {
    RepairPlan plan;
    Gathering gathering(list, plan, options.table_bytes_max);
    QIAO_CO_TRY(plan.position, co_await source.begin_snapshot());
    auto read = co_await read_whole_table(source, list, gathering, stop);
    auto ended = co_await source.end_snapshot();
    QIAO_CO_CHECK(std::move(read));
    QIAO_CO_CHECK(std::move(ended));
    if (plan.changes.empty()) {
        gathering.truncate();
    }
    co_return plan;
}

}  // namespace

Task<Result<RepairPlan>> read_repair(
    drivers::TableReader& source, RepairList list, RepairOptions options, StopSignal& stop
) {
    if (!list.complete) {
        co_return Error(ErrorCode::VerifyRepairTooLarge, list.plan.source.table.to_string());
    }
    if (wants_whole_table(list)) {
        co_return co_await replace_table(source, std::move(list), options, stop);
    }
    extras_first(list.rows);
    RepairPlan plan;
    Gathering gathering(list, plan, options.bytes_max);
    QIAO_CO_TRY(plan.position, co_await source.begin_snapshot());
    auto reading = readable_by_key(list) ? read_by_key(source, list, gathering, options)
                                         : read_by_scan(source, list, gathering, stop);
    auto read = co_await std::move(reading);
    auto ended = co_await source.end_snapshot();
    QIAO_CO_TRY(const auto done, std::move(read));
    QIAO_CO_CHECK(std::move(ended));
    const auto in_plan = [&](size_t i) { return i < done && !gathering.no_room(i); };
    plan.rest.plan = list.plan;
    for (size_t i = 0; i < list.rows.size(); ++i) {
        if (in_plan(i)) {
            gathering.delete_row(i);
        }
    }
    for (size_t i = 0; i < list.rows.size(); ++i) {
        if (in_plan(i)) {
            gathering.insert_row(i);
        } else {
            plan.rest.rows.push_back(list.rows[i]);
        }
    }
    gathering.insert_equals();
    co_return plan;
}

std::vector<RepairPlan> RepairPlacement::before(const model::SourcePosition& commit) {
    std::vector<RepairPlan> due;
    while (!waiting_.empty() && compare(waiting_.front().position, commit) <= 0) {
        due.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
    }
    return due;
}

}  // namespace qiao::verify
