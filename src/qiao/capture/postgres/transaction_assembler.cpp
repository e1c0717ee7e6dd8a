#include "qiao/capture/postgres/transaction_assembler.h"

#include "qiao/common/assert.h"
#include "qiao/model/withhold.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::capture::postgres {
namespace {

Error out_of_place(std::string_view what) {
    return {ErrorCode::CaptureProtocol, fmt::format("{} out of place", what)};
}

bool has_unchanged(const model::Tuple& row) {
    bool found = false;
    row.for_each([&found](size_t, const model::Value& value) {
        found = found || value.kind == model::ValueKind::Unchanged;
    });
    return found;
}

Heartbeat heartbeat_of(const HeartbeatNote& note, const model::SourcePosition& position) {
    Heartbeat heartbeat;
    heartbeat.written_at = note.written_at;
    heartbeat.position = position;
    heartbeat.catalogue_digest = note.catalogue_digest;
    for (const auto& table : note.changed) {
        heartbeat.notices.push_back({TableNotice::Kind::CatalogueChanged, table, position});
    }
    for (const auto& table : note.withdrawn) {
        heartbeat.notices.push_back({TableNotice::Kind::Withdrawn, table, position});
    }
    return heartbeat;
}

}  // namespace

TransactionAssembler::TransactionAssembler(AssemblerOptions options)
    : options_(std::move(options)), check_(options_.anchor), anchor_(options_.anchor) {}

Status TransactionAssembler::take(const Message& message, TransactionSink& sink) {
    if (const auto* insert = std::get_if<InsertMessage>(&message)) {
        const Images images{OldRow::None, {}, insert->new_row};
        return change(model::Op::Insert, insert->relation, insert->xid, images, sink);
    }
    if (const auto* update = std::get_if<UpdateMessage>(&message)) {
        const Images images{update->old_kind, update->old_row, update->new_row};
        return change(model::Op::Update, update->relation, update->xid, images, sink);
    }
    if (const auto* gone = std::get_if<DeleteMessage>(&message)) {
        const Images images{gone->old_kind, gone->old_row, {}};
        return change(model::Op::Delete, gone->relation, gone->xid, images, sink);
    }
    if (const auto* truncated = std::get_if<TruncateMessage>(&message)) {
        return truncate(*truncated, sink);
    }
    if (const auto* told = std::get_if<LogicalMessage>(&message)) {
        logical(*told);
        return {};
    }
    if (std::holds_alternative<OriginMessage>(message)) {
        return {};
    }
    return take_frame(message, sink);
}

Status TransactionAssembler::take_frame(const Message& message, TransactionSink& sink) {
    if (const auto* started = std::get_if<BeginMessage>(&message)) {
        return begin(*started);
    }
    if (const auto* ended = std::get_if<CommitMessage>(&message)) {
        return commit(*ended, sink);
    }
    if (const auto* started = std::get_if<StreamStartMessage>(&message)) {
        return begin_block(*started);
    }
    if (std::holds_alternative<StreamStopMessage>(message)) {
        return end_block(sink);
    }
    if (const auto* ended = std::get_if<StreamCommitMessage>(&message)) {
        return commit_streamed(*ended, sink);
    }
    if (const auto* aborted = std::get_if<StreamAbortMessage>(&message)) {
        return abort_streamed(*aborted, sink);
    }
    return out_of_place("a message");
}

void TransactionAssembler::set_relation(
    uint32_t relation, uint32_t xid, std::optional<RelationPlan> plan, TransactionSink& sink
) {
    const auto* known = find_relation(relation);
    const bool same = plan && known != nullptr && *known && (*known)->plan.schema == plan->schema;
    std::optional<Relation> now;
    if (plan) {
        const auto id = same ? (*known)->id : plan->schema.id();
        now = Relation{*std::move(plan), id};
    }
    if (now && !same) {
        sink.schema(now->plan.schema);
    }
    if (block_ != nullptr) {
        block_->relations.push_back({relation, sub_xid_of(xid), std::move(now)});
    } else {
        relations_[relation] = std::move(now);
    }
}

/// Null: not told of in this session.
const std::optional<TransactionAssembler::Relation>* TransactionAssembler::find_relation(uint32_t id
) const {
    if (block_ != nullptr) {
        const auto own = std::ranges::find(
            block_->relations.rbegin(), block_->relations.rend(), id, &OwnRelation::id
        );
        if (own != block_->relations.rend()) {
            return &own->relation;
        }
    }
    const auto found = relations_.find(id);
    return found == relations_.end() ? nullptr : &found->second;
}

uint32_t TransactionAssembler::sub_xid_of(uint32_t xid) const {
    return block_ == nullptr || xid == block_xid_ ? 0 : xid;
}

Status TransactionAssembler::begin_block(const StreamStartMessage& message) {
    if (!idle()) {
        return out_of_place("a block");
    }
    const auto [place, fresh] = streamed_.try_emplace(message.xid);
    if (fresh) {
        place->second.wide_xid = widen(message.xid);
    }
    block_ = &place->second;
    block_xid_ = message.xid;
    block_told_ = false;
    return {};
}

Status TransactionAssembler::end_block(TransactionSink& sink) {
    if (block_ == nullptr) {
        return out_of_place("the end of a block");
    }
    if (block_told_) {
        sink.end_block();
    }
    block_ = nullptr;
    return {};
}

Status TransactionAssembler::commit_streamed(
    const StreamCommitMessage& message, TransactionSink& sink
) {
    const auto found = streamed_.find(message.xid);
    if (!idle() || found == streamed_.end()) {
        return out_of_place("a commit of a streamed transaction");
    }
    auto streamed = std::move(found->second);
    streamed_.erase(found);
    for (auto& own : streamed.relations) {
        relations_[own.id] = std::move(own.relation);
    }
    QIAO_CHECK(check_.see(Anchor::of(message.commit, message.xid, message.commit_time)));
    if (message.commit <= options_.after) {
        if (streamed.told) {
            sink.undo_ahead(streamed.wide_xid, 0);
        }
        return {};
    }
    anchor_.reset();  // it would be much to send once more
    model::TransactionHead head;
    head.xid = streamed.wide_xid;
    head.commit = at(message.commit);
    head.end = options_.identity.at(message.end);
    head.commit_time = message.commit_time;
    head.origin = std::move(streamed.origin);
    if (streamed.told) {
        sink.commit_ahead(head);
        last_told_ = message.commit;
    }
    tell_committed(head, message.commit, streamed.looping, streamed.note, sink);
    return {};
}

Status TransactionAssembler::abort_streamed(
    const StreamAbortMessage& message, TransactionSink& sink
) {
    if (!idle()) {
        return out_of_place("an abort of a streamed transaction");
    }
    const auto found = streamed_.find(message.xid);
    if (found == streamed_.end()) {
        return {};
    }
    auto& streamed = found->second;
    const bool whole = message.sub_xid == message.xid;
    if (streamed.told) {
        sink.undo_ahead(streamed.wide_xid, whole ? 0 : message.sub_xid);
    }
    if (whole) {
        streamed_.erase(found);
        return {};
    }
    streamed.undone.push_back(message.sub_xid);
    std::erase_if(streamed.relations, [&message](const OwnRelation& own) {
        return own.sub_xid == message.sub_xid;
    });
    return {};
}

void TransactionAssembler::undo(uint32_t xid, uint32_t sub_xid, TransactionSink& sink) {
    sink.undo_ahead(streamed_.at(xid).wide_xid, sub_xid);
}

std::vector<uint64_t> TransactionAssembler::sub_transactions(uint32_t xid) const {
    const auto found = streamed_.find(xid);
    if (found == streamed_.end() || !found->second.told) {
        return {};
    }
    std::set<uint32_t> left(found->second.sub_xids.begin(), found->second.sub_xids.end());
    for (const auto undone : found->second.undone) {
        left.erase(undone);
    }
    std::vector<uint64_t> wide;
    for (const auto sub_xid : left) {
        // They begin after their transaction.
        wide.push_back(found->second.wide_xid + (sub_xid - xid));
    }
    return wide;
}

/// An anchor holds the server's log from there on: one that lies far back is let go.
model::SourcePosition TransactionAssembler::at(Lsn lsn) const {
    constexpr Lsn kAnchorHolds = 16U << 20U;
    const bool near = anchor_ && lsn - anchor_->commit <= kAnchorHolds;
    return near ? with_anchor(options_.identity.at(lsn), *anchor_) : options_.identity.at(lsn);
}

Status TransactionAssembler::begin(const BeginMessage& message) {
    if (!idle()) {
        return out_of_place("a begin");
    }
    const auto anchor = Anchor::of(message.commit, message.xid, message.commit_time);
    QIAO_CHECK(check_.see(anchor));
    known_ = message.commit <= options_.after;
    if (!known_) {
        anchor_ = anchor;
    }
    head_.emplace();
    head_->xid = widen(message.xid);
    head_->commit = at(message.commit);
    head_->end = head_->commit;
    head_->commit_time = message.commit_time;
    opened_ = looping_ = false;
    note_.reset();
    return {};
}

Status TransactionAssembler::commit(const CommitMessage& message, TransactionSink& sink) {
    if (!head_) {
        return out_of_place("a commit");
    }
    if (known_) {
        head_.reset();
        return {};
    }
    head_->end = options_.identity.at(message.end);
    head_->commit_time = message.commit_time;
    if (opened_) {
        sink.commit(*head_);
        last_told_ = message.commit;
    }
    tell_committed(*head_, message.commit, looping_, note_, sink);
    head_.reset();
    return {};
}

void TransactionAssembler::tell_committed(
    const model::TransactionHead& head,
    Lsn commit,
    bool looping,
    const std::optional<HeartbeatNote>& note,
    TransactionSink& sink
) {
    last_commit_ = commit;
    looped_ += looping ? 1 : 0;
    if (note && note->stream == options_.stream && !looping) {
        sink.heartbeat(heartbeat_of(*note, head.commit));
        last_told_ = commit;
    }
}

void TransactionAssembler::note_sub_transaction(uint32_t sub_xid) {
    auto& known = block_->sub_xids;
    if (sub_xid == 0 || (!known.empty() && known.back() == sub_xid)) {
        return;
    }
    known.push_back(sub_xid);
    if (known.size() > block_->sub_xids_most) {
        std::ranges::sort(known);
        const auto again = std::ranges::unique(known);
        known.erase(again.begin(), again.end());
        block_->sub_xids_most = std::max(block_->sub_xids_most, 2 * known.size());
    }
}

void TransactionAssembler::open(uint32_t sub_xid, TransactionSink& sink) {
    if (block_ != nullptr) {
        note_sub_transaction(sub_xid);
        if (!block_told_) {
            block_told_ = block_->told = true;
            sink.begin_block(block_->wide_xid);
        }
    } else if (!opened_) {
        opened_ = true;
        sink.begin(*head_);
    }
}

/// The server's row as it stands, or a new one in `keep`: without columns that were not chosen, and
/// with values that it left out as unchanged taken from `fill`, the whole old row.
model::Tuple TransactionAssembler::shaped(
    const Relation& relation, const model::Tuple& row, const model::Tuple& fill, Bytes& keep
) const {
    const auto& kept = relation.plan.kept;
    const bool filling = !row.empty() && !fill.empty() && has_unchanged(row);
    if (row.empty() || (kept.empty() && !filling)) {
        return row;
    }
    auto values = row.values();
    const auto old_values = filling ? fill.values() : std::vector<model::Value>();
    for (size_t i = 0; i < old_values.size(); ++i) {
        if (values[i].kind == model::ValueKind::Unchanged) {
            values[i] = old_values[i];
        }
    }
    const auto count = kept.empty() ? values.size() : kept.size();
    model::TupleBuilder builder(static_cast<uint16_t>(count));
    for (size_t i = 0; i < count; ++i) {
        builder.add(values[kept.empty() ? i : kept[i]]);
    }
    keep = std::move(builder).take();
    const auto tuple = model::Tuple::parse(keep);
    QIAO_ASSERT(tuple.has_value());
    return *tuple;
}

/// The row without values over the limit. `keep` is not what `row` points into.
model::Tuple TransactionAssembler::within_limit(
    const Relation& relation, const model::Tuple& row, Bytes& keep
) const {
    auto kept = model::withhold(relation.plan.schema, row, options_.value_bytes_max);
    if (!kept) {
        return row;
    }
    keep = *std::move(kept);
    const auto tuple = model::Tuple::parse(keep);
    QIAO_ASSERT(tuple.has_value());
    return *tuple;
}

Status TransactionAssembler::change(
    model::Op op, uint32_t relation, uint32_t xid, const Images& images, TransactionSink& sink
) {
    const auto* found = find_relation(relation);
    if (idle() || found == nullptr) {
        return out_of_place(idle() ? "a change" : "a change of an unknown relation");
    }
    if (dropping() || !*found) {
        return {};
    }
    const auto& target = **found;
    for (const auto* row : {&images.old_row, &images.new_row}) {
        if (!row->empty() && row->column_count() != target.plan.server_columns) {
            return out_of_place("a row of another width");
        }
    }
    const bool full = images.old_kind == OldRow::Full;
    change_.op = op;
    change_.schema = target.id;
    change_.sub_xid = sub_xid_of(xid);
    change_.old_image = full                             ? model::OldImage::Full
                        : images.old_kind == OldRow::Key ? model::OldImage::Key
                                                         : model::OldImage::Absent;
    change_.old_row = shaped(target, images.old_row, {}, old_bytes_);
    change_.new_row =
        shaped(target, images.new_row, full ? images.old_row : model::Tuple(), new_bytes_);
    change_.more_tables.clear();
    change_.restart_identity = false;
    change_.old_row = within_limit(target, change_.old_row, old_withheld_);
    change_.new_row = within_limit(target, change_.new_row, new_withheld_);
    open(change_.sub_xid, sink);
    sink.change(change_);
    return {};
}

Status TransactionAssembler::truncate(const TruncateMessage& message, TransactionSink& sink) {
    if (idle()) {
        return out_of_place("a truncate");
    }
    model::Change truncation;
    truncation.op = model::Op::Truncate;
    truncation.sub_xid = sub_xid_of(message.xid);
    truncation.restart_identity = message.restart_identity;
    bool any = false;
    for (const auto relation : message.relations) {
        const auto* found = find_relation(relation);
        if (found == nullptr) {
            return out_of_place("a truncate of an unknown relation");
        }
        if (!*found) {
            continue;
        }
        if (any) {
            truncation.more_tables.push_back((*found)->id);
        } else {
            truncation.schema = (*found)->id;
            any = true;
        }
    }
    if (any && !dropping()) {
        open(truncation.sub_xid, sink);
        sink.change(truncation);
    }
    return {};
}

void TransactionAssembler::logical(const LogicalMessage& message) {
    if (!message.transactional || idle()) {
        return;
    }
    const bool told = block_ != nullptr ? block_->told : opened_;
    if (message.prefix == kHeartbeatPrefix) {
        (block_ != nullptr ? block_->note : note_) = parse_note(as_text(message.content));
    } else if (message.prefix == kOriginPrefix && !told) {
        const auto path = as_text(message.content).substr(0, model::kOriginBytesMost);
        auto& looping = block_ != nullptr ? block_->looping : looping_;
        looping = looping || is_own_origin(path);
        (block_ != nullptr ? block_->origin : head_->origin) = path;
    }
}

bool TransactionAssembler::is_own_origin(std::string_view path) const {
    while (!path.empty()) {
        const auto comma = path.find(',');
        const auto name = path.substr(0, comma);
        if (std::ranges::find(options_.own_origins, name) != options_.own_origins.end()) {
            return true;
        }
        path = comma == std::string_view::npos ? "" : path.substr(comma + 1);
    }
    return false;
}

/// The 64-bit id nearest to the last one known: ids on the way differ by less than 2^31.
uint64_t TransactionAssembler::widen(uint32_t xid) {
    const auto ahead = static_cast<int32_t>(xid - static_cast<uint32_t>(options_.wide_xid));
    options_.wide_xid += static_cast<uint64_t>(static_cast<int64_t>(ahead));
    return options_.wide_xid;
}

}  // namespace qiao::capture::postgres
