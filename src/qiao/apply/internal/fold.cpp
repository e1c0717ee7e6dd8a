#include "qiao/apply/internal/fold.h"

#include "qiao/apply/key.h"
#include "qiao/common/assert.h"
#include "qiao/common/plant.h"

#include <map>

namespace qiao::apply {

using model::Change;
using model::OldImage;
using model::Op;

model::Tuple ChangeArena::keep(model::TupleBuilder builder) {
    const auto& bytes = rows_.emplace_back(std::move(builder).take());
    return *model::Tuple::parse(bytes);
}

model::Tuple ChangeArena::merge(const model::Tuple& newer, const model::Tuple& older) {
    if (!leaves_out_columns(newer)) {
        return newer;
    }
    model::TupleBuilder builder(static_cast<uint16_t>(newer.column_count()));
    model::Tuple::Cursor old(older);
    newer.for_each([&](size_t, const model::Value& value) {
        const auto before = old.next();
        builder.add(value.kind == model::ValueKind::Unchanged ? before : value);
    });
    return keep(std::move(builder));
}

model::Tuple ChangeArena::key_image(const model::Tuple& row, const std::vector<size_t>& key) {
    const auto values = row.values();
    std::vector<model::Value> image(values.size());
    for (const auto column : key) {
        image[column] = values[column];
    }
    model::TupleBuilder builder(static_cast<uint16_t>(image.size()));
    for (const auto& value : image) {
        builder.add(value);
    }
    return keep(std::move(builder));
}

std::string pattern_of(const model::Tuple& row) {
    std::string pattern;
    row.for_each([&pattern](size_t, const model::Value& value) {
        pattern += value.kind == model::ValueKind::Unchanged ? 'u' : '.';
    });
    return pattern;
}

bool leaves_out_columns(const model::Tuple& row) {
    for (model::Tuple::Cursor cursor(row); cursor.more();) {
        if (cursor.next().kind == model::ValueKind::Unchanged) {
            return true;
        }
    }
    return false;
}

namespace {

/// An insert, or the update of a source without a log: the row is as `new_row` says, whole.
bool puts_whole_row(const Change& change) {
    return change.op == Op::Insert || (change.op == Op::Update && change.tolerant);
}

}  // namespace

/// Of a planted bug alone: as if a key never changed.
const Change* TableFold::with_old_key(const Change& change) {
    auto values = change.new_row.values();
    const auto before = change.old_row.values();
    for (const auto column : table_.fold_key) {
        values[column] = before[column];
    }
    model::TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (const auto& value : values) {
        builder.add(value);
    }
    auto kept = change;
    kept.new_row = arena_.keep(std::move(builder));
    return arena_.make(std::move(kept));
}

TableFold::Added TableFold::add(const Change& change) {
    const auto& key_columns = table_.fold_key;
    if (is_planted(Plant::KeySwapFolded) && change.op == Op::Update &&
        changes_key(change, key_columns)) {
        return add(*with_old_key(change));
    }
    if (change.op == Op::Truncate || changes_key(change, key_columns)) {
        return Added::Alone;
    }
    if (puts_whole_row(change) && leaves_out_columns(change.new_row)) {
        return Added::Alone;
    }
    auto key = key_of(identifying_row(change), key_columns);
    if (!key.complete) {
        return Added::Alone;
    }
    // The same key as text and as binary would be two.
    if (!slots_.empty() && (key.text != saw_text_ || key.binary != saw_binary_)) {
        return Added::FlushFirst;
    }
    saw_text_ = key.text;
    saw_binary_ = key.binary;
    const auto met = by_key_.find(key.bytes);
    if (met != by_key_.end()) {
        return combine(slots_[met->second], change) ? Added::Folded : Added::FlushFirst;
    }
    Slot slot;
    if (!first(slot, change)) {
        return Added::Alone;
    }
    by_key_.emplace(std::move(key.bytes), slots_.size());
    slots_.push_back(slot);
    return Added::Folded;
}

/// False: the change is not to be done as part of a set.
bool TableFold::first(Slot& slot, const Change& change) const {
    slot.only = &change;
    slot.new_row = change.new_row;
    slot.may_miss = change.tolerant;
    if (change.op == Op::Delete) {
        slot.effect = Effect::Delete;
        set_old_image(slot, change);
        return true;
    }
    if (change.tolerant) {
        // Deleting and inserting would lose what only the target's columns hold.
        slot.effect = Effect::Replace;
        slot.old_row = arena_.key_image(change.new_row, table_.fold_key);
        slot.old_image = OldImage::Key;
        return table_.replaceable && table_.schema->identity != model::Identity::Full;
    }
    slot.effect = change.op == Op::Insert ? Effect::Insert : Effect::Update;
    if (change.op == Op::Update) {
        set_old_image(slot, change);
    }
    return true;
}

/// The image of the row as it was before the first of the changes wins.
void TableFold::set_old_image(Slot& slot, const Change& change) const {
    if (slot.old_image == OldImage::Absent) {
        slot.old_image = change.old_image;
        slot.old_row = change.old_row;
    }
}

/// False: the changes contradict each other; done one after the other they will show it.
bool TableFold::combine(Slot& slot, const Change& change) {
    const bool present = slot.effect == Effect::Insert || slot.effect == Effect::Update ||
                         slot.effect == Effect::Replace;
    if (change.op == Op::Delete) {
        if (!present) {
            return change.tolerant;
        }
        if (slot.effect == Effect::Update) {
            set_old_image(slot, change);
        }
        slot.effect = slot.effect == Effect::Insert ? Effect::Nothing : Effect::Delete;
    } else if (puts_whole_row(change)) {
        const bool may = slot.effect == Effect::Insert || slot.effect == Effect::Replace
                             ? change.tolerant
                             : slot.effect != Effect::Update;
        if (!may) {
            return false;
        }
        slot.effect = slot.effect == Effect::Delete    ? Effect::Replace
                      : slot.effect == Effect::Nothing ? Effect::Insert
                                                       : slot.effect;
        slot.new_row = change.new_row;
    } else {
        if (!present) {
            return false;
        }
        if (slot.effect == Effect::Update) {
            set_old_image(slot, change);
        }
        slot.new_row = arena_.merge(change.new_row, slot.new_row);
    }
    slot.only = nullptr;
    return true;
}

const Change* TableFold::as_change(const Slot& slot, Op op) {
    if (slot.only != nullptr && slot.only->op == op) {
        return slot.only;
    }
    Change change;
    change.op = op;
    change.schema = schema_;
    if (op != Op::Insert) {
        change.old_image = slot.old_image;
        change.old_row = slot.old_row;
    }
    if (op != Op::Delete) {
        change.new_row = slot.new_row;
    }
    return arena_.make(std::move(change));
}

void TableFold::flush(std::vector<Step>& out) {
    Step deletes{.table = &table_, .op = Op::Delete};
    Step loose_deletes{.table = &table_, .op = Op::Delete, .may_miss = true};
    std::map<std::string, Step> updates;
    Step inserts{.table = &table_, .op = Op::Insert};
    for (const auto& slot : slots_) {
        if (slot.effect == Effect::Delete || slot.effect == Effect::Replace) {
            auto& step = slot.may_miss ? loose_deletes : deletes;
            step.changes.push_back(as_change(slot, Op::Delete));
        }
        if (slot.effect == Effect::Insert || slot.effect == Effect::Replace) {
            inserts.changes.push_back(as_change(slot, Op::Insert));
        }
        if (slot.effect == Effect::Update) {
            auto& step = updates[pattern_of(slot.new_row)];
            step.table = &table_;
            step.op = Op::Update;
            step.changes.push_back(as_change(slot, Op::Update));
        }
    }
    const auto append = [&](Step& step) {
        if (!step.changes.empty()) {
            step.as_set = step.changes.size() >= set_rows_min_;
            out.push_back(std::move(step));
        }
    };
    append(deletes);
    append(loose_deletes);
    for (auto& [pattern, step] : updates) {
        append(step);
    }
    append(inserts);
    slots_.clear();
    by_key_.clear();
}

}  // namespace qiao::apply
