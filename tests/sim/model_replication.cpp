#include "model_replication.h"

#include "qiao/capture/postgres/decoder.h"
#include "qiao/capture/postgres/internal/pgoutput_writer.h"
#include "qiao/capture/postgres/source_database.h"

#include <algorithm>

namespace qiao::sim {
namespace {

using capture::postgres::LogMessage;
using capture::postgres::StartRequest;
using capture::postgres::to_postgres_time;
using capture::postgres::internal::PgoutputWriter;

constexpr Duration kKeepaliveEvery = std::chrono::seconds(3);
/// logical_decoding_work_mem, in records.
constexpr size_t kGatheredMost = 12;

/// `only`: these columns, others NULL; null: all.
Bytes tuple_of(const Row& row, const std::vector<size_t>* only = nullptr) {
    model::TupleBuilder builder(static_cast<uint16_t>(row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
        const bool left_out = only != nullptr && std::ranges::find(*only, i) == only->end();
        row[i] && !left_out ? builder.text(*row[i]) : builder.null();
    }
    return std::move(builder).take();
}

/// A wide value that an update left alone is not sent.
Bytes new_tuple(const ServerTable& table, const LogRecord& record) {
    constexpr size_t kWide = 150;
    model::TupleBuilder builder(static_cast<uint16_t>(record.new_row.size()));
    for (size_t i = 0; i < record.new_row.size(); ++i) {
        const auto& value = record.new_row[i];
        const bool stays = record.kind == LogRecord::Kind::Update && i == table.wide && value &&
                           value->size() > kWide && record.old_row[i] == value;
        if (stays) {
            builder.unchanged();
        } else {
            value ? builder.text(*value) : builder.null();
        }
    }
    return std::move(builder).take();
}

}  // namespace

ModelReplication::ModelReplication(ModelServer& server)
    : server_(server),
      identity_(server.identity()),
      id_(server.world().number() | 1U),
      ended_before_(server.sessions_ended()) {}

ModelReplication::~ModelReplication() {
    if (auto* slot = this->slot(); slot != nullptr && slot->holder == id_) {
        slot->holder = 0;
    }
}

bool ModelReplication::ended() const { return lost_ || server_.sessions_ended() != ended_before_; }

ServerSlot* ModelReplication::slot() {
    const auto found = server_.slots.find(slot_name_);
    return found == server_.slots.end() ? nullptr : &found->second;
}

Task<Status> ModelReplication::start(StartRequest request) {
    if (ended() || server_.strikes(server_.lost)) {
        lost_ = true;
        co_return Error(ErrorCode::DbLost, "by chance");
    }
    slot_name_ = request.slot;
    auto* slot = this->slot();
    if (slot == nullptr || !slot->invalid.empty()) {
        co_return Error(ErrorCode::CaptureSlotMissing, slot_name_);
    }
    if (slot->holder != 0 || slot->held_until > server_.world().now()) {
        co_return Error(ErrorCode::CaptureSlotBusy, slot_name_);
    }
    server_.hear_new_session();
    slot->holder = id_;
    started_ = true;
    streaming_ = request.streaming;
    from_ = std::max(request.from, slot->confirmed);
    keepalive_due_ = server_.world().now() + kKeepaliveEvery;
    co_return Status{};
}

Result<std::optional<LogMessage>> ModelReplication::next() {
    if (ended() || !started_) {
        return Error(ErrorCode::DbLost, "the session was ended");
    }
    see_it_noticed();
    while (queue_.empty() && read_log()) {
    }
    if (queue_.empty()) {
        return std::nullopt;
    }
    if (server_.strikes(server_.lost)) {
        lost_ = true;
        server_.slots[slot_name_].holder = 0;
        return Error(ErrorCode::DbLost, "by chance");
    }
    if (server_.garbled != 0) {
        garble();
    }
    server_.count_answer();
    current_ = std::move(queue_.front());
    queue_.pop_front();
    if (!current_.body.empty()) {
        const auto tag = static_cast<char>(current_.body.front());
        in_block_ = tag == 'S' || (in_block_ && tag != 'E');
    }
    LogMessage message;
    message.kind = current_.keepalive ? LogMessage::Kind::Keepalive : LogMessage::Kind::Data;
    message.start = message.end = current_.lsn;
    message.sent_at = server_.world().wall_now();
    message.body = current_.body;
    return std::optional(message);
}

/// What is read while a session begins is looked at within a minute.
void ModelReplication::see_it_noticed() {
    constexpr Duration kNoticedMost = std::chrono::seconds(70);
    if (senseless_since_ && server_.world().now() - *senseless_since_ > kNoticedMost) {
        server_.fail("a message of the source that makes no sense is passed over");
    }
}

Task<Status> ModelReplication::wait(StopSignal& stop) {
    const auto timer = server_.world().make_timer();
    const auto wake = [this] { server_.changed().pulse(); };
    const StopSignal::Hook hook(stop, wake);
    timer->start(keepalive_due_, wake);
    // What was confirmed goes with the next reply.
    if (auto* slot = this->slot(); slot != nullptr && slot->holder == id_) {
        slot->confirmed = std::max(slot->confirmed, confirmed_);
        if (server_.strikes(100)) {
            slot->on_disk = slot->confirmed;
        }
    }
    while (!ended() && !stop.requested() && queue_.empty() && read_ == server_.log().size()) {
        if (server_.world().now() >= keepalive_due_) {
            keepalive_due_ = server_.world().now() + kKeepaliveEvery;
            queue_.push_back({server_.end(), {}, true});
            break;
        }
        co_await server_.changed().wait();
    }
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    co_return ended() ? Status(Error(ErrorCode::DbLost, "the session was ended")) : Status{};
}

void ModelReplication::confirm(Lsn keep_from, Lsn /*safe*/) {
    confirmed_ = std::max(confirmed_, keep_from);
}

Task<void> ModelReplication::close() {
    auto* slot = this->slot();
    if (!ended() && slot != nullptr && slot->holder == id_) {
        slot->confirmed = std::max(slot->confirmed, confirmed_);
        slot->on_disk = slot->confirmed;
        slot->holder = 0;
    }
    lost_ = true;
    co_return;
}

bool ModelReplication::read_log() {
    if (read_ == server_.log().size()) {
        return false;
    }
    take(server_.log()[read_++]);
    return true;
}

void ModelReplication::take(const LogRecord& record) {
    using Kind = LogRecord::Kind;
    if (record.kind == Kind::Abort) {
        undo(record);
        return;
    }
    if (record.kind != Kind::Commit) {
        auto& transaction = gathered_[record.top];
        transaction.records.push_back(&record);
        // What commits before the place that was asked for is never sent, and cannot be told yet.
        if (streaming_ && record.lsn >= from_ && transaction.records.size() >= kGatheredMost) {
            send_block(record.top, transaction);
        }
        return;
    }
    const auto found = gathered_.find(record.top);
    if (found == gathered_.end()) {
        return;
    }
    auto transaction = std::move(found->second);
    gathered_.erase(found);
    if (record.lsn < from_) {
        return;
    }
    if (!transaction.streamed) {
        send_whole(transaction, record);
        return;
    }
    if (!transaction.records.empty()) {
        send_block(record.top, transaction);
    }
    PgoutputWriter out('c');
    out.number(record.top).letter('\0').number(record.lsn).number(record.lsn + 64);
    send(record.lsn, out.number(to_postgres_time(record.at)).take());
    told_.insert(transaction.told.begin(), transaction.told.end());
}

void ModelReplication::send_whole(const Gathered& transaction, const LogRecord& commit) {
    if (transaction.records.empty()) {
        return;
    }
    const auto at = to_postgres_time(commit.at);
    send(commit.lsn, PgoutputWriter('B').number(commit.lsn).number(at).number(commit.top).take());
    send_beside(commit);
    for (const auto* record : transaction.records) {
        send_record(*record, 0, told_);
    }
    PgoutputWriter out('C');
    out.letter('\0').number(commit.lsn).number(commit.lsn + 64).number(at);
    send(commit.lsn, out.take());
}

/// The same for one transaction however often it is sent.
void ModelReplication::send_beside(const LogRecord& commit) {
    constexpr uint32_t kStrange = 17001;
    const auto which = commit.top % 16;
    if (which == 1) {
        PgoutputWriter out('Y');
        send(commit.lsn, out.number(kVarchar).text("pg_catalog").text("varchar").take());
    } else if (which == 2) {
        send(
            commit.lsn,
            PgoutputWriter::relation(kStrange, "strange", 'd', {{"id", kText, true, -1}})
        );
        send(commit.lsn, PgoutputWriter::insert(kStrange, tuple_of({"1"})));
        PgoutputWriter out('T');
        send(commit.lsn, out.number(uint32_t{1}).letter('\0').number(kStrange).take());
    }
}

void ModelReplication::send_block(uint32_t top, Gathered& transaction) {
    const auto lsn = transaction.records.front()->lsn;
    send(lsn, PgoutputWriter::stream_start(top, !transaction.streamed));
    for (const auto* record : transaction.records) {
        transaction.streamed_xids.insert(record->xid);
        send_record(*record, record->xid, transaction.told);
    }
    send(transaction.records.back()->lsn, PgoutputWriter::stream_stop());
    transaction.streamed = true;
    transaction.records.clear();
}

void ModelReplication::tell_relation(
    const std::shared_ptr<const ServerTable>& shape, uint32_t block, Lsn lsn, Told& told
) {
    if (!told.insert(shape).second) {
        return;
    }
    const auto& table = *shape;
    PgoutputWriter out('R');
    if (block != 0) {
        out.number(block);
    }
    out.number(table.oid).text(table.name.schema).text(table.name.name).letter(table.identity);
    out.number(static_cast<uint16_t>(table.columns.size()));
    for (size_t i = 0; i < table.columns.size(); ++i) {
        const bool key =
            table.identity == 'f' || std::ranges::find(table.key, i) != table.key.end();
        out.letter(key ? '\1' : '\0').text(table.columns[i]).number(table.types[i]);
        out.number(~uint32_t{0});
    }
    send(lsn, out.take());
}

/// `block`: the sub-transaction's number, or 0 outside of blocks.
void ModelReplication::send_record(const LogRecord& record, uint32_t block, Told& told) {
    using Kind = LogRecord::Kind;
    const auto head = [block](char tag) {
        PgoutputWriter out(tag);
        if (block != 0) {
            out.number(block);
        }
        return out;
    };
    if (record.kind == Kind::Message) {
        auto out = head('M');
        out.letter('\1').number(record.lsn).text(record.prefix);
        out.number(static_cast<uint32_t>(record.content.size()));
        send(record.lsn, out.append(as_bytes(record.content)).take());
        return;
    }
    const auto& table = *record.shape;
    tell_relation(record.shape, block, record.lsn, told);
    if (record.other) {
        tell_relation(record.other, block, record.lsn, told);
    }
    const bool full = table.identity == 'f';
    const auto old_tuple = [&] {
        return full ? tuple_of(record.old_row) : tuple_of(record.old_row, &table.key);
    };
    if (record.kind == Kind::Truncate) {
        auto out = head('T');
        out.number(record.other ? uint32_t{2} : uint32_t{1}).letter('\0').number(table.oid);
        if (record.other) {
            out.number(record.other->oid);
        }
        send(record.lsn, out.take());
    } else if (record.kind == Kind::Insert) {
        auto out = head('I');
        out.number(table.oid).letter('N').append(tuple_of(record.new_row));
        send(record.lsn, out.take());
    } else if (record.kind == Kind::Delete) {
        auto out = head('D');
        out.number(table.oid).letter(full ? 'O' : 'K').append(old_tuple());
        send(record.lsn, out.take());
    } else {
        auto out = head('U');
        out.number(table.oid);
        if (full || table.key_of(record.old_row) != table.key_of(record.new_row)) {
            out.letter(full ? 'O' : 'K').append(old_tuple());
        }
        out.letter('N').append(new_tuple(table, record));
        send(record.lsn, out.take());
    }
}

void ModelReplication::undo(const LogRecord& record) {
    const auto found = gathered_.find(record.top);
    if (found == gathered_.end()) {
        return;
    }
    auto& transaction = found->second;
    const bool whole = record.xid == record.top;
    // PostgreSQL says nothing of large ones that it had spilled before it streamed them.
    const bool forgotten = !whole && record.xid % 3 == 0;
    const bool streamed =
        whole ? transaction.streamed : transaction.streamed_xids.contains(record.xid);
    if (streamed && !forgotten) {
        send(record.lsn, PgoutputWriter::stream_abort(record.top, record.xid));
    }
    if (streamed) {
        transaction.told.clear();  // as the server forgets what it has told of relations
    }
    if (whole) {
        gathered_.erase(found);
        return;
    }
    std::erase_if(transaction.records, [&record](const LogRecord* one) {
        return one->xid == record.xid;
    });
}

}  // namespace qiao::sim
