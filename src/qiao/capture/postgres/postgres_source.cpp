#include "qiao/capture/postgres/postgres_source.h"

#include "qiao/capture/postgres/publication.h"
#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/plant.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace qiao::capture::postgres {
namespace {

/// The server sends each message by itself and wakes who waits for it. A reader that has much to
/// catch up with lets some gather, which costs the server less.
constexpr Duration kPace = std::chrono::milliseconds(1);
constexpr size_t kManyMessages = 64;

/// The newest protocol that a server speaks. All of them look alike but for what is asked for.
uint32_t protocol_of(int server_version) {
    constexpr int kVersion15 = 150000;
    constexpr int kVersion16 = 160000;
    return server_version >= kVersion16 ? 4 : server_version >= kVersion15 ? 3 : 2;
}

std::vector<model::TableName> names_of(const std::vector<ChosenTable>& tables) {
    std::vector<model::TableName> names;
    for (const auto& table : tables) {
        names.push_back(table.name);
    }
    return names;
}

HeartbeatOptions heartbeat_options(const PostgresSourceOptions& options) {
    HeartbeatOptions chosen;
    chosen.stream = options.stream;
    chosen.tables = names_of(options.tables);
    chosen.every = options.heartbeat_every;
    chosen.write = options.heartbeat;
    chosen.kept = options.kept_digests;
    for (const auto& table : options.tables) {
        if (!table.columns.empty() || !table.where.empty()) {
            chosen.choices[table.name] =
                fmt::format("{} where {}", fmt::join(table.columns, ","), table.where);
        }
    }
    return chosen;
}

model::Identity identity_of(const RelationMessage& message) {
    const bool keyed = std::ranges::any_of(message.columns, &RelationColumn::key);
    switch (message.replica_identity) {
        case 'f':
            return model::Identity::Full;
        case 'i':
            return keyed ? model::Identity::Index : model::Identity::None;
        case 'd':
            return keyed ? model::Identity::PrimaryKey : model::Identity::None;
        default:
            return model::Identity::None;
    }
}

/// Cuts the server's columns down to the chosen ones.
RelationPlan plan_of(
    const RelationMessage& message, std::vector<model::Column> columns, const ChosenTable& chosen
) {
    RelationPlan plan;
    plan.schema.table = chosen.name;
    plan.schema.identity = identity_of(message);
    plan.server_columns = columns.size();
    for (size_t i = 0; i < columns.size(); ++i) {
        const bool wanted =
            chosen.columns.empty() ||
            std::ranges::find(chosen.columns, columns[i].name) != chosen.columns.end();
        if (wanted) {
            plan.kept.push_back(i);
            plan.schema.columns.push_back(std::move(columns[i]));
        }
    }
    if (plan.kept.size() == plan.server_columns) {
        plan.kept.clear();
    }
    return plan;
}

std::optional<Anchor> commit_of(const Message& message) {
    if (const auto* begin = std::get_if<BeginMessage>(&message)) {
        return Anchor::of(begin->commit, begin->xid, begin->commit_time);
    }
    if (const auto* streamed = std::get_if<StreamCommitMessage>(&message)) {
        return Anchor::of(streamed->commit, streamed->xid, streamed->commit_time);
    }
    return std::nullopt;
}

}  // namespace

PostgresStreamingSource::PostgresStreamingSource(
    PostgresSourceOptions options,
    SourceDatabase& database,
    Executor& executor,
    Clock& clock,
    Rng& rng,
    StopSignal& stop
)
    : options_(std::move(options)),
      database_(database),
      executor_(executor),
      clock_(clock),
      rng_(rng),
      stop_(stop),
      heartbeat_(heartbeat_options(options_), database, executor, clock, rng) {
    for (const auto& table : options_.tables) {
        chosen_.emplace(table.name, &table);
    }
}

const ChosenTable* PostgresStreamingSource::find_chosen(const model::TableName& name) const {
    const auto found = chosen_.find(name);
    return found == chosen_.end() ? nullptr : found->second;
}

Task<Status> PostgresStreamingSource::start(model::SourcePosition from) {
    co_await end_session();
    QIAO_CO_TRY(catalogue_, co_await database_.open_catalogue(stop_));
    QIAO_CO_TRY(session_, co_await database_.open_session(stop_));
    QIAO_CO_TRY(const auto place, co_await find_place(from));
    QIAO_CO_CHECK(co_await look_at_tables());
    QIAO_CO_TRY(const auto xid, co_await catalogue_->wide_xid());
    AssemblerOptions assembling;
    assembling.identity = session_->identity();
    assembling.stream = options_.stream;
    assembling.own_origins = options_.own_origins;
    assembling.value_bytes_max = options_.value_bytes_max;
    assembling.wide_xid = xid;
    assembling.after = place.after;
    assembling.anchor = place.anchor;
    assembler_.emplace(std::move(assembling));
    using Streaming = Decoder::Streaming;
    const bool streaming = options_.streaming && ahead_allowed_;
    decoder_ = Decoder(streaming ? Streaming::On : Streaming::Off);
    type_names_.clear();
    StartRequest request;
    request.slot = slot_name(options_.stream);
    request.from = place.begin;
    request.protocol = protocol_of(session_->server_version());
    request.binary = binary_;
    request.streaming = streaming;
    request.publications = {
        publication_name(options_.stream), insert_publication_name(options_.stream)
    };
    QIAO_CO_CHECK(co_await session_->start(std::move(request)));
    session_->confirm(kept_from_, confirmed_);
    sent_ = place.begin;
    told_ = place.after;
    reached_ = told_;
    told_at_ = clock_.now();
    QIAO_CO_CHECK(co_await see_anchor(place));
    if (!scope_) {
        scope_ = std::make_unique<TaskScope>(executor_);
        const auto wake = [this] {
            if (wake_ != nullptr) {
                wake_->request();
            }
        };
        scope_->spawn(heartbeat_.run(scope_->stop(), wake));
    }
    co_return Status{};
}

/// Where to begin: one past `from`, or at its anchor, if the server can still do that. It moves a
/// place behind its own bookmark silently, which would lose what lies between.
Task<Result<PostgresStreamingSource::Place>> PostgresStreamingSource::find_place(
    const model::SourcePosition& from
) {
    const auto name = slot_name(options_.stream);
    QIAO_CO_TRY(const auto slot, co_await catalogue_->slot(name));
    if (!slot) {
        co_return Error(ErrorCode::CaptureSlotMissing, name);
    }
    if (!slot->invalid.empty()) {
        co_return Error(ErrorCode::CaptureSlotMissing, fmt::format("{}: {}", name, slot->invalid));
    }
    if (slot->active_pid) {
        co_return Error(
            ErrorCode::CaptureSlotBusy, fmt::format("{} by pid {}", name, *slot->active_pid)
        );
    }
    if (from.empty()) {
        co_return Place{slot->confirmed, slot->confirmed == 0 ? 0 : slot->confirmed - 1, {}};
    }
    const auto known = lsn_of(from);
    const auto& identity = session_->identity();
    if (!known || !from.same_history(identity.at(0))) {
        co_return Error(ErrorCode::CaptureIdentity, "the source is " + identity.to_string());
    }
    QIAO_CO_TRY(const auto newest, co_await catalogue_->newest());
    if (*known > newest) {
        // The server would wait until its new log has come so far, and bring what follows there.
        co_return Error(
            ErrorCode::CaptureIdentity,
            fmt::format(
                "the source's log ends at {}, before {}, where this flow stands: it was put back",
                format_lsn(newest),
                format_lsn(*known)
            )
        );
    }
    const auto begin = *known + 1;
    if (slot->confirmed > begin && !is_planted(Plant::SlotNotCompared)) {
        co_return Error(
            ErrorCode::CapturePositionLost,
            fmt::format(
                "{} stands at {}, this flow at {}",
                name,
                format_lsn(slot->confirmed),
                format_lsn(*known)
            )
        );
    }
    const auto anchor = anchor_of(from);
    // It is gone when the server was shut down in order and asked for everything.
    if (!anchor || slot->confirmed > anchor->commit || anchor->commit > *known) {
        co_return Place{begin, *known, {}};
    }
    co_return Place{anchor->commit, *known, anchor};
}

/// Reads until the anchor is met, and keeps what it reads for drain(). Not for ever: the assembler
/// judges what comes later.
Task<Status> PostgresStreamingSource::see_anchor(const Place& place) {
    constexpr Duration kWaitMost = std::chrono::minutes(1);
    constexpr size_t kKeepMost = 16U << 20U;
    early_.clear();
    StopSignal enough;
    const StopSignal::Hook hook(stop_, [&enough] { enough.request(); });
    const auto timer = clock_.make_timer();
    timer->start(clock_.now() + kWaitMost, [&enough] { enough.request(); });
    Decoder reading = decoder_;
    size_t kept = 0;
    AnchorCheck check(place.anchor);
    while (!check.met() && kept < kKeepMost && !enough.requested()) {
        QIAO_CO_TRY(const auto message, session_->next());
        if (!message) {
            const auto waited = co_await session_->wait(enough);
            if (!waited && !waited.error().is(ErrorCode::Cancelled)) {
                co_return waited.error();
            }
            continue;
        }
        kept += message->body.size();
        early_.push_back({*message, to_bytes(message->body)});
        if (message->kind == LogMessage::Kind::Keepalive) {
            QIAO_CO_CHECK(check.passed(message->end));
            continue;
        }
        QIAO_CO_TRY(const auto decoded, reading.decode(message->body));
        if (const auto commit = commit_of(decoded)) {
            QIAO_CO_CHECK(check.see(*commit));
        }
    }
    co_return stop_.requested() ? Status(Error(ErrorCode::Cancelled)) : Status{};
}

Task<Status> PostgresStreamingSource::look_at_tables() {
    QIAO_CO_TRY(const auto numbers, co_await catalogue_->numbers(names_of(options_.tables)));
    for (const auto& [number, name] : numbers) {
        chosen_names_.insert_or_assign(number, name);
    }
    binary_ = options_.binary && !text_only_;
    if (!binary_) {
        co_return Status{};
    }
    QIAO_CO_TRY(const auto tables, co_await catalogue_->tables(options_.tables));
    for (const auto& table : tables) {
        // One that cannot be captured any more sends nothing; the others go on.
        binary_ = binary_ && (table.refusal || table.binary_safe);
    }
    co_return Status{};
}

Task<Status> PostgresStreamingSource::pump(TransactionSink& sink, StopSignal& stop) {
    if (!session_ || !assembler_) {
        co_return Error(ErrorCode::DbLost, "the capture session is not started");
    }
    if (std::exchange(behind_, false)) {
        // A stop ends it early, and the wait below too.
        (void)co_await sleep_for(executor_, clock_, kPace, stop);
    }
    while (!sink.full()) {
        const auto drained = co_await drain(sink);
        if (!drained) {
            co_return drained.error();
        }
        behind_ = *drained >= kManyMessages;
        if (*drained > 0 || tell_progress(Urgency::WhenDue, sink)) {
            co_return Status{};
        }
        QIAO_CO_CHECK(co_await wait(stop));
    }
    co_return Status{};
}

/// What was read while the session began, then what comes.
Result<std::optional<LogMessage>> PostgresStreamingSource::next() {
    if (early_.empty()) {
        return session_->next();
    }
    current_ = std::move(early_.front());
    early_.pop_front();
    auto message = current_.message;
    message.body = current_.body;
    return std::optional(message);
}

/// Until something has come, or a beat says that it is time to tell how far the source is.
Task<Status> PostgresStreamingSource::wait(StopSignal& stop) {
    StopSignal wake;
    StopSignal::Hook hook(stop, [&wake] { wake.request(); });
    wake_ = &wake;
    auto waited = co_await session_->wait(wake);
    wake_ = nullptr;
    const bool woken = !waited && wake.requested() && !stop.requested();
    co_return woken ? Status{} : waited;
}

/// How many messages there were.
Task<Result<size_t>> PostgresStreamingSource::drain(TransactionSink& sink) {
    size_t count = 0;
    while (!sink.full()) {
        QIAO_CO_TRY(const auto message, next());
        if (!message) {
            break;
        }
        ++count;
        sent_ = std::max(sent_, message->end);
        if (message->kind == LogMessage::Kind::Data) {
            QIAO_CO_CHECK(co_await take_data(message->body, sink));
            // Transactions that had nothing for us move the position too.
            reached_ = std::max(reached_, assembler_->last_commit());
        } else if (assembler_->idle() && message->end > reached_) {
            QIAO_CO_CHECK(assembler_->passed(message->end));
            const auto room = Lsn{model::kFreeBeforeRecord};
            reached_ = std::max(reached_, message->end - 1 - room);
        }
        reached_at_ = message->sent_at;
        tell_progress(message->reply_requested ? Urgency::Now : Urgency::WhenDue, sink);
    }
    co_return count;
}

/// As a heartbeat, so that the position travels, is kept by everybody and can be confirmed: after a
/// restart nobody must stand behind what the source was told.
bool PostgresStreamingSource::tell_progress(Urgency urgency, TransactionSink& sink) {
    told_ = std::max(told_, assembler_->last_told());
    if (!assembler_->idle() || reached_ <= told_) {
        return false;
    }
    if (urgency == Urgency::WhenDue && clock_.now() - told_at_ < options_.heartbeat_every) {
        return false;
    }
    told_ = reached_;
    told_at_ = clock_.now();
    Heartbeat heartbeat;
    heartbeat.written_at = reached_at_;
    heartbeat.position = assembler_->at(reached_);
    sink.heartbeat(heartbeat);
    sink.progress(heartbeat.position);
    return true;
}

Task<Status> PostgresStreamingSource::take_data(ByteView body, TransactionSink& sink) {
    QIAO_CO_TRY(const auto message, decoder_.decode(body));
    if (const auto* type = std::get_if<TypeMessage>(&message)) {
        type_names_[type->id] = fmt::format("{}.{}", type->schema, type->name);
        co_return Status{};
    }
    if (const auto* relation = std::get_if<RelationMessage>(&message)) {
        co_return co_await take_relation(*relation, sink);
    }
    if (const auto* committed = std::get_if<StreamCommitMessage>(&message)) {
        QIAO_CO_CHECK(co_await undo_unsaid(committed->xid, sink));
    }
    co_return assembler_->take(message, sink);
}

/// Servers do not always say of a sub-transaction that they have streamed that it was rolled back:
/// not of one above 4,096 changes that they had spilled before, as they do of what they read once
/// more after a restart. So they are asked before the transaction counts. Source: rules 14
Task<Status> PostgresStreamingSource::undo_unsaid(uint32_t xid, TransactionSink& sink) {
    constexpr size_t kAskedAtOnce = 10'000;
    constexpr uint32_t kTriesMost = 12;  // some two minutes
    auto left = assembler_->idle() ? assembler_->sub_transactions(xid) : std::vector<uint64_t>();
    Backoff pause;
    while (!left.empty()) {
        const auto count = std::min(left.size(), kAskedAtOnce);
        const std::vector some(left.end() - static_cast<std::ptrdiff_t>(count), left.end());
        left.resize(left.size() - count);
        QIAO_CO_TRY(const auto others, co_await catalogue_->not_committed(some));
        bool waits = false;
        for (const auto& [sub_xid, fate] : others) {
            if (fate == TransactionFate::Undone) {
                assembler_->undo(xid, static_cast<uint32_t>(sub_xid), sink);
            } else if (fate == TransactionFate::UnderWay) {
                // Its commit is in the log; in a moment it is everywhere.
                left.push_back(sub_xid);
                waits = true;
            } else {
                ahead_allowed_ = false;
                co_return Error(
                    ErrorCode::CaptureFateForgotten, fmt::format("sub-transaction {}", sub_xid)
                );
            }
        }
        if (waits && pause.tries() >= kTriesMost) {
            co_return Error(ErrorCode::DeadlinePassed, "a commit in the log does not take effect");
        }
        if (waits) {
            QIAO_CO_CHECK(co_await sleep_for(executor_, clock_, pause.next(rng_), stop_));
        }
    }
    co_return Status{};
}

Task<Status> PostgresStreamingSource::take_relation(
    const RelationMessage& message, TransactionSink& sink
) {
    const auto* chosen = find_chosen({std::string(message.schema), std::string(message.name)});
    if (chosen == nullptr) {
        QIAO_CO_TRY(chosen, co_await find_renamed(message));
    }
    if (chosen == nullptr) {
        assembler_->set_relation(message.id, message.xid, std::nullopt, sink);
        co_return Status{};
    }
    bool binary_safe = true;
    QIAO_CO_TRY(auto columns, co_await columns_of(message, binary_safe));
    if (binary_ && !binary_safe) {
        text_only_ = true;
        co_return Error(ErrorCode::CaptureFormatChanged, chosen->name.to_string());
    }
    auto plan = plan_of(message, std::move(columns), *chosen);
    assembler_->set_relation(message.id, message.xid, std::move(plan), sink);
    co_return Status{};
}

/// A chosen table that has another name now goes on under the one that it was chosen by: a
/// comparison says what becomes of it. Unless another has taken the name. Spec: R-48
Task<Result<const ChosenTable*>> PostgresStreamingSource::find_renamed(
    const RelationMessage& message
) {
    const auto known = chosen_names_.find(message.id);
    if (known == chosen_names_.end()) {
        co_return nullptr;
    }
    QIAO_CO_TRY(const auto others, co_await catalogue_->digests({known->second}));
    co_return others.empty() ? find_chosen(known->second) : nullptr;
}

/// The message tells the columns as of its place in the log; the catalogue, as of now, only adds
/// what the message leaves out.
Task<Result<std::vector<model::Column>>> PostgresStreamingSource::columns_of(
    const RelationMessage& message, bool& binary_safe
) {
    QIAO_CO_TRY(const auto facts, co_await catalogue_->columns(message.id));
    std::vector<model::Column> columns;
    std::vector<uint32_t> unknown;
    for (const auto& told : message.columns) {
        const auto is_it = [&told](const ColumnFact& fact) {
            return fact.name == told.name && fact.type_id == told.type;
        };
        const auto fact = std::ranges::find_if(facts, is_it);
        model::Column column;
        column.name = told.name;
        column.type_id = told.type;
        column.modifier = told.modifier;
        column.key = told.key && message.replica_identity != 'f';
        if (fact == facts.end()) {
            // It has changed since; text is right for whatever it was.
            binary_safe = false;
        } else {
            column.type = fact->type;
            column.collation = fact->collation;
            column.not_null = fact->not_null;
            // The message marks every column of a FULL table; its key is more useful.
            column.key = message.replica_identity == 'f' ? fact->key : told.key;
            binary_safe = binary_safe && fact->binary_safe;
        }
        if (const auto named = type_names_.find(told.type); named != type_names_.end()) {
            column.type = named->second;
        }
        if (column.type.empty()) {
            unknown.push_back(told.type);
        }
        columns.push_back(std::move(column));
    }
    if (unknown.empty()) {
        co_return columns;
    }
    QIAO_CO_TRY(const auto names, co_await catalogue_->type_names(unknown));
    for (auto& column : columns) {
        const auto name = names.find(column.type_id);
        if (column.type.empty() && name != names.end()) {
            column.type = name->second;
        }
    }
    co_return columns;
}

void PostgresStreamingSource::confirm(model::SourcePosition position) {
    const auto lsn = lsn_of(position);
    if (!lsn) {
        return;
    }
    const auto anchor = anchor_of(position);
    confirmed_ = std::max(confirmed_, *lsn + 1);
    kept_from_ = std::max(kept_from_, anchor ? anchor->commit : *lsn + 1);
    if (session_ && position.same_history(session_->identity().at(0))) {
        session_->confirm(kept_from_, confirmed_);
    }
}

StreamingSource::Backlog PostgresStreamingSource::backlog() const {
    Backlog backlog;
    if (!session_) {
        return backlog;
    }
    const auto newest = std::max(heartbeat_.newest(), sent_);
    backlog.newest = session_->identity().at(newest);
    backlog.bytes_behind = newest - sent_;
    return backlog;
}

Task<void> PostgresStreamingSource::end_session() {
    if (session_) {
        co_await session_->close();
    }
    session_.reset();
    catalogue_.reset();
}

Task<void> PostgresStreamingSource::close() {
    if (scope_) {
        scope_->request_stop();
        co_await scope_->join();
        scope_.reset();
    }
    co_await end_session();
}

}  // namespace qiao::capture::postgres
