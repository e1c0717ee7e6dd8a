#include "qiao/apply/internal/core.h"
#include "qiao/common/plant.h"

#include <fmt/format.h>

#include <algorithm>

// What goes into a unit: inputs in order, whole transactions, within the bounds.
namespace qiao::apply {

using model::compare;

Task<std::optional<Input>> Applier::Core::next() {
    if (held) {
        co_return std::exchange(held, std::nullopt);
    }
    co_return co_await input->receive();
}

Task<Result<bool>> Applier::Core::gather(StopSignal& stop) {
    unit = Unit{.after = checkpoint};
    if (assembling && assembling->parts.back().last) {
        // Was held back from the unit before by a load.
        QIAO_CO_CHECK(co_await take_waiting(stop));
    }
    for (;;) {
        const bool full = unit.rows >= rows_goal || unit.bytes >= options.group_bytes_max;
        const bool waiting = held || input->size() != 0;
        if (!unit.empty() && (full || !waiting)) {
            co_return true;
        }
        if (unit.empty() && !waiting) {
            status.state = ApplyState::Idle;
        }
        auto item = co_await next();
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        if (doubt) {
            co_return *doubt;
        }
        if (!item) {
            co_return !unit.empty();
        }
        QIAO_CO_TRY(const auto taken, take(*item));
        if (taken == Taken::TooLarge) {
            co_return true;
        }
        if (taken == Taken::NextUnit) {
            held = std::move(item);
            co_return true;
        }
        if (taken == Taken::WaitLoad) {
            if (!unit.empty()) {
                co_return true;
            }
            QIAO_CO_CHECK(co_await take_waiting(stop));
        }
    }
}

Result<Applier::Core::Taken> Applier::Core::take(Input& item) {
    if (auto* fragment = std::get_if<Fragment>(&item)) {
        return take_fragment(*fragment);
    }
    if (auto* definition = std::get_if<SchemaDefinition>(&item)) {
        const bool changes_shape =
            catalogue.knows(definition->schema.table) && !catalogue.knows(definition->schema.id());
        if (changes_shape && !unit.transactions.empty()) {
            // Transactions before it had the old shape.
            return Taken::NextUnit;
        }
        add_schema(std::move(definition->schema));
        return Taken::Yes;
    }
    if (const auto* progress = std::get_if<Progress>(&item)) {
        take_progress(*progress);
        return Taken::Yes;
    }
    if (!unit.transactions.empty()) {
        // What follows takes effect at its place: transactions before it go first.
        return Taken::NextUnit;
    }
    if (auto* change = std::get_if<TableStateChange>(&item)) {
        mark(std::move(change->state));
        return Taken::Yes;
    }
    if (const auto* notice = std::get_if<model::TableNotice>(&item)) {
        mark(*notice);
        return Taken::Yes;
    }
    return take_epoch(std::get<EpochOpened>(item));
}

namespace {

void move_mark(drivers::CheckpointRow& row, const StreamMark& mark) {
    if (mark.point > row.point) {
        row.point = mark.point;
        row.digest = mark.digest;
    }
}

}  // namespace

void Applier::Core::take_progress(const Progress& progress) {
    move_mark(unit.after, progress.mark);
    if (compare(unit.after.position, progress.position) == std::partial_ordering::less) {
        unit.after.position = progress.position;
    }
    unit.moved = true;
}

Result<Applier::Core::Taken> Applier::Core::take_epoch(EpochOpened& epoch) {
    if (epoch.mark.point <= unit.after.point) {
        return Taken::Yes;
    }
    // Nobody will end a transaction of the old epoch now.
    assembling.reset();
    passing.reset();
    const bool first = unit.after.position.empty();
    move_mark(unit.after, epoch.mark);
    unit.after.position = epoch.start;
    unit.moved = true;
    if (epoch.gap_possible) {
        mark(Gap{epoch.start, epoch.begins_elsewhere});
    } else if (first) {
        mark(Beginning{epoch.start});
    }
    return Taken::Yes;
}

Result<bool> Applier::Core::is_applied(const model::TransactionHead& head) const {
    const auto order = compare(head.commit, unit.after.position);
    if (order == std::partial_ordering::unordered) {
        return Error(
            ErrorCode::ApplyOtherHistory,
            fmt::format(
                "transaction at {}, checkpoint at {}",
                head.commit.to_string(),
                unit.after.position.to_string()
            )
        );
    }
    return order != std::partial_ordering::greater && !is_planted(Plant::DuplicateAdmitted);
}

Result<Applier::Core::Taken> Applier::Core::take_fragment(Fragment& fragment) {
    if (fragment.number == 0) {
        // What is open now was begun again, or was dropped by its sender.
        assembling.reset();
        passing.reset();
        QIAO_TRY(const bool applied, is_applied(fragment.head));
        if (applied) {
            passing = fragment.head;
        } else {
            assembling = Transaction{.head = fragment.head};
        }
    }
    if (!assembling && !passing && fragment.number != 0) {
        // The checkpoint's packet can end inside a transaction that the checkpoint contains: the
        // next one has its end and the begin of another, which is where a restart must read.
        QIAO_TRY(const bool applied, is_applied(fragment.head));
        if (applied) {
            passing = fragment.head;
        }
    }
    if (passing) {
        if (fragment.last) {
            ++status.skipped;
            move_mark(unit.after, fragment.mark);
            unit.moved = true;
            passing.reset();
        }
        return Taken::Yes;
    }
    if (!assembling || assembling->parts.size() != fragment.number) {
        return Error(
            ErrorCode::ApplyRewind,
            fmt::format("fragment {} of transaction {}", fragment.number, fragment.head.xid)
        );
    }
    assembling->head = fragment.head;
    assembling->rows += fragment.changes.size();
    assembling->bytes += fragment.bytes;
    const bool whole = fragment.last;
    assembling->parts.push_back(std::move(fragment));
    if (assembling->bytes > options.transaction_bytes_max && !whole) {
        return Taken::TooLarge;
    }
    return whole ? take_transaction() : Result<Taken>(Taken::Yes);
}

Result<Applier::Core::Taken> Applier::Core::take_transaction() {
    // One target transaction has one path of origins.
    const bool other_path = !unit.transactions.empty() &&
                            unit.transactions.back().head.origin != assembling->head.origin;
    if (other_path || awaited_load(*assembling)) {
        return Taken::WaitLoad;
    }
    auto transaction = std::move(*assembling);
    assembling.reset();
    unit.after.position = transaction.head.commit;
    move_mark(unit.after, transaction.parts.back().mark);
    transaction.after = unit.after;
    unit.rows += transaction.rows;
    unit.bytes += transaction.bytes;
    unit.transactions.push_back(std::move(transaction));
    return Taken::Yes;
}

std::optional<std::string> Applier::Core::awaited_load(const Transaction& transaction) const {
    if (!states.need_looking(checkpoint.position)) {
        return std::nullopt;
    }
    const auto waits = [&](const model::SchemaId& id) {
        const auto schema = catalogue.schema(id);
        return schema && states.due(schema->table, transaction.head.commit) == Due::AfterLoad;
    };
    for (const auto& part : transaction.parts) {
        for (const auto& change : part.changes) {
            if (waits(change.schema)) {
                return catalogue.schema(change.schema)->table.to_string();
            }
            const auto other = std::ranges::find_if(change.more_tables, waits);
            if (other != change.more_tables.end()) {
                return catalogue.schema(*other)->table.to_string();
            }
        }
    }
    return std::nullopt;
}

Task<Status> Applier::Core::take_waiting(StopSignal& stop) {
    QIAO_CO_CHECK(co_await wait_for_load(*assembling, stop));
    QIAO_CO_CHECK(take_transaction());
    co_return Status{};
}

Task<Status> Applier::Core::wait_for_load(const Transaction& transaction, StopSignal& stop) {
    const auto wake = [this] { states.changed().pulse(); };
    StopSignal::Hook hook(stop, wake);
    while (const auto table = awaited_load(transaction)) {
        status.state = ApplyState::WaitingForLoad;
        status.waiting_for = *table;
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        if (doubt) {
            co_return *doubt;
        }
        co_await states.changed().wait();
    }
    status.waiting_for.clear();
    co_return Status{};
}

}  // namespace qiao::apply
