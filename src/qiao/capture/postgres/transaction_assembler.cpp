#include "qiao/capture/postgres/transaction_assembler.h"

#include "qiao/common/assert.h"

#include <fmt/format.h>

#include <algorithm>

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

std::string key_text(const model::TableSchema& schema, const std::vector<model::Value>& values) {
    std::string text;
    for (size_t i = 0; i < values.size() && i < schema.columns.size(); ++i) {
        // A key column that is itself huge is named, not shown.
        constexpr size_t kShownMax = 200;
        const auto& value = values[i];
        if (!schema.columns[i].key || value.bytes.size() > kShownMax) {
            continue;
        }
        const bool plain = value.kind == model::ValueKind::Text;
        text += fmt::format(
            "{}{}={}",
            text.empty() ? "" : ", ",
            schema.columns[i].name,
            plain ? std::string(as_text(value.bytes)) : "\\x" + to_hex(value.bytes)
        );
    }
    return text.empty() ? "no key" : text;
}

TableNotice notice(TableNotice::Kind kind, const model::TableName& table) { return {kind, table}; }

Heartbeat heartbeat_of(const HeartbeatNote& note, const model::SourcePosition& position) {
    Heartbeat heartbeat;
    heartbeat.written_at = note.written_at;
    heartbeat.position = position;
    heartbeat.catalogue_digest = note.catalogue_digest;
    for (const auto& table : note.changed) {
        heartbeat.notices.push_back(notice(TableNotice::Kind::CatalogueChanged, table));
    }
    for (const auto& table : note.withdrawn) {
        heartbeat.notices.push_back(notice(TableNotice::Kind::Withdrawn, table));
    }
    return heartbeat;
}

}  // namespace

TransactionAssembler::TransactionAssembler(AssemblerOptions options)
    : options_(std::move(options)) {}

Status TransactionAssembler::take(const Message& message, TransactionSink& sink) {
    if (const auto* insert = std::get_if<InsertMessage>(&message)) {
        return change(
            model::Op::Insert, insert->relation, {OldRow::None, {}, insert->new_row}, sink
        );
    }
    if (const auto* update = std::get_if<UpdateMessage>(&message)) {
        const Images images{update->old_kind, update->old_row, update->new_row};
        return change(model::Op::Update, update->relation, images, sink);
    }
    if (const auto* gone = std::get_if<DeleteMessage>(&message)) {
        return change(model::Op::Delete, gone->relation, {gone->old_kind, gone->old_row, {}}, sink);
    }
    if (const auto* started = std::get_if<BeginMessage>(&message)) {
        return begin(*started);
    }
    if (const auto* ended = std::get_if<CommitMessage>(&message)) {
        return commit(*ended, sink);
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
    return out_of_place("a message");
}

void TransactionAssembler::set_relation(
    uint32_t relation, std::optional<RelationPlan> plan, TransactionSink& sink
) {
    auto& slot = relations_[relation];
    if (!plan) {
        slot.reset();
        return;
    }
    const bool same = slot && slot->plan.schema == plan->schema;
    const auto id = same ? slot->id : plan->schema.id();
    slot = Relation{*std::move(plan), id};
    if (!same) {
        sink.schema(slot->plan.schema);
    }
}

Status TransactionAssembler::begin(const BeginMessage& message) {
    if (head_) {
        return out_of_place("a begin");
    }
    head_.emplace();
    head_->xid = widen(message.xid);
    head_->commit = options_.identity.at(message.commit);
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
    head_->end = options_.identity.at(message.end);
    head_->commit_time = message.commit_time;
    last_commit_ = message.commit;
    if (opened_) {
        sink.commit(*head_);
        last_told_ = message.commit;
    }
    looped_ += looping_ ? 1 : 0;
    if (note_ && note_->stream == options_.stream && !looping_) {
        sink.heartbeat(heartbeat_of(*note_, head_->commit));
        last_told_ = message.commit;
    }
    head_.reset();
    return {};
}

void TransactionAssembler::open(TransactionSink& sink) {
    if (!opened_) {
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

Status TransactionAssembler::check_size(const Relation& relation, const model::Tuple& row) const {
    if (row.bytes().size() <= options_.value_bytes_max) {
        return {};
    }
    const auto& schema = relation.plan.schema;
    const auto values = row.values();
    for (size_t i = 0; i < values.size() && i < schema.columns.size(); ++i) {
        if (values[i].bytes.size() > options_.value_bytes_max) {
            return Error(
                ErrorCode::PacketTooLarge,
                fmt::format(
                    "{}.{}: {} bytes, limit {}, at {}",
                    schema.table.to_string(),
                    schema.columns[i].name,
                    values[i].bytes.size(),
                    options_.value_bytes_max,
                    key_text(schema, values)
                )
            );
        }
    }
    return {};
}

Status TransactionAssembler::change(
    model::Op op, uint32_t relation, const Images& images, TransactionSink& sink
) {
    const auto found = relations_.find(relation);
    if (!head_ || found == relations_.end()) {
        return out_of_place(head_ ? "a change of an unknown relation" : "a change");
    }
    if (looping_ || !found->second) {
        return {};
    }
    const auto& target = *found->second;
    for (const auto* row : {&images.old_row, &images.new_row}) {
        if (!row->empty() && row->column_count() != target.plan.server_columns) {
            return out_of_place("a row of another width");
        }
    }
    const bool full = images.old_kind == OldRow::Full;
    change_.op = op;
    change_.schema = target.id;
    change_.old_image = full                             ? model::OldImage::Full
                        : images.old_kind == OldRow::Key ? model::OldImage::Key
                                                         : model::OldImage::Absent;
    change_.old_row = shaped(target, images.old_row, {}, old_bytes_);
    change_.new_row =
        shaped(target, images.new_row, full ? images.old_row : model::Tuple(), new_bytes_);
    change_.more_tables.clear();
    change_.restart_identity = false;
    QIAO_CHECK(check_size(target, change_.old_row));
    QIAO_CHECK(check_size(target, change_.new_row));
    open(sink);
    sink.change(change_);
    return {};
}

Status TransactionAssembler::truncate(const TruncateMessage& message, TransactionSink& sink) {
    if (!head_) {
        return out_of_place("a truncate");
    }
    model::Change truncation;
    truncation.op = model::Op::Truncate;
    truncation.restart_identity = message.restart_identity;
    bool any = false;
    for (const auto relation : message.relations) {
        const auto found = relations_.find(relation);
        if (found == relations_.end()) {
            return out_of_place("a truncate of an unknown relation");
        }
        if (!found->second) {
            continue;
        }
        if (any) {
            truncation.more_tables.push_back(found->second->id);
        } else {
            truncation.schema = found->second->id;
            any = true;
        }
    }
    if (any && !looping_) {
        open(sink);
        sink.change(truncation);
    }
    return {};
}

void TransactionAssembler::logical(const LogicalMessage& message) {
    if (!message.transactional || !head_) {
        return;
    }
    if (message.prefix == kHeartbeatPrefix) {
        note_ = parse_note(as_text(message.content));
    } else if (message.prefix == kOriginPrefix && !opened_) {
        looping_ = looping_ || is_own_origin(as_text(message.content));
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
