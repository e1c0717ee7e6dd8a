#include "qiao/capture/timestamp_source.h"

#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"
#include "qiao/model/withhold.h"

#include <xxhash.h>

#include <algorithm>

namespace qiao::capture {
namespace {

constexpr Duration kTick = std::chrono::microseconds(1);
constexpr Duration kLoadWait = std::chrono::seconds(30);
constexpr Duration kLoadLook = std::chrono::milliseconds(50);

std::string_view without_blanks(std::string_view text) {
    return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

std::string timestamp_history(const drivers::TimedTable& table) {
    return table.table.to_string() + "." + table.stamp;
}

std::string reach_of(const drivers::SourceNow& now) {
    // A stamp may have been rounded up to a full second.
    return stamp_before(now.stamp, -std::chrono::seconds(1));
}

std::string newest_allowed(const drivers::SourceNow& now, Duration overlap) {
    return now.oldest_open.empty() ? now.stamp
                                   : std::min(now.stamp, stamp_before(now.oldest_open, -overlap));
}

TimestampSource::TimestampSource(
    TimestampOptions options,
    drivers::RowDatabase& database,
    Executor& executor,
    Clock& clock,
    std::shared_ptr<TimestampProgress> progress
)
    : options_(std::move(options)),
      database_(database),
      executor_(executor),
      clock_(clock),
      history_(timestamp_history(options_.table)),
      progress_(std::move(progress)) {}

Task<Status> TimestampSource::start(model::SourcePosition from) {
    Watermark watermark;
    if (!from.empty()) {
        const auto parsed = Watermark::parse(from);
        if (!parsed || !from.same_history(watermark.position(history_))) {
            co_return Error(ErrorCode::CaptureIdentity, "the source is " + history_);
        }
        watermark = *parsed;
    }
    QIAO_CO_TRY(query_, co_await database_.connect());
    QIAO_CO_TRY(schema_, co_await query_->describe(options_.table));
    schema_id_ = schema_.id();
    schema_told_ = false;
    // The order of pages is by the declared keys; without any, by the primary key as it stands.
    key_columns_.clear();
    for (const auto& key : options_.table.keys) {
        key_columns_.push_back(schema_.find_column(key).value_or(0));
    }
    if (key_columns_.empty()) {
        co_return Error(ErrorCode::CaptureTable, history_ + ": no key is declared");
    }
    flag_column_ = schema_.find_column(options_.flag);
    if (!options_.flag.empty() && !flag_column_) {
        co_return Error(ErrorCode::DbNoTable, history_ + ": no column " + options_.flag);
    }
    // Two objects of one stream never give the same position.
    watermark.poll.us = std::max(watermark.poll.us, progress_->last_poll.us);
    watermark_ = std::move(watermark);
    new_stream_ = from.empty();
    poll_.reset();
    head_.reset();
    remembered_.clear();
    next_poll_ = clock_.now();
    co_return Status{};
}

Task<Status> TimestampSource::pump(TransactionSink& sink, StopSignal& stop) {
    if (!query_) {
        co_return Error(ErrorCode::DbLost, "the capture session is not started");
    }
    if (sink.full()) {
        co_return Status{};
    }
    if (new_stream_) {
        QIAO_CO_CHECK(co_await wait_for_load(stop));
    }
    if (!poll_) {
        QIAO_CO_CHECK(co_await sleep_until(executor_, clock_, next_poll_, stop));
        QIAO_CO_CHECK(co_await begin_poll());
    }
    while (poll_ && !sink.full()) {
        QIAO_CO_CHECK(co_await read_page(sink, stop));
    }
    co_return Status{};
}

/// A load that begins now spares reading everything; that nobody has begun one for a while means
/// that none is missing.
Task<Status> TimestampSource::wait_for_load(StopSignal& stop) {
    const auto until = clock_.now() + kLoadWait;
    while (!progress_->begin_at && clock_.now() < until) {
        QIAO_CO_CHECK(co_await sleep_for(executor_, clock_, kLoadLook, stop));
    }
    if (!progress_->begin_at) {
        progress_->begin_at = "";
    }
    watermark_.stamp = *progress_->begin_at;
    new_stream_ = false;
    co_return Status{};
}

Task<Status> TimestampSource::begin_poll() {
    Poll poll;
    QIAO_CO_TRY(poll.now, co_await query_->now(options_.table));
    poll.window.to = reach_of(poll.now);
    poll.window.limit = options_.page_rows;
    poll.newest_allowed = newest_allowed(poll.now, options_.overlap);
    poll.everything = options_.read_again;
    if (!watermark_.stamp.empty() && !poll.everything) {
        const auto from = stamp_before(watermark_.stamp, options_.overlap);
        poll.window.from = stamp_floor(from, poll.now.whole_days);
    }
    const auto& open = poll.now.oldest_open;
    const bool late = !open.empty() && open < stamp_before(poll.now.stamp, options_.overlap);
    progress_->held_back_since = late ? open : "";
    // By the source's clock, but never back.
    const auto tick = std::chrono::duration_cast<std::chrono::microseconds>(kTick).count();
    watermark_.poll.us = std::max(poll.now.wall.us, watermark_.poll.us + tick);
    watermark_.page = 0;
    progress_->last_poll = watermark_.poll;
    // What lies before the window is never read again.
    std::erase_if(remembered_, [&poll](const auto& entry) {
        return entry.second.stamp < poll.window.from;
    });
    poll_ = std::move(poll);
    co_return Status{};
}

Task<Status> TimestampSource::read_page(TransactionSink& sink, StopSignal& stop) {
    last_row_.reset();
    page_newest_ = watermark_.stamp;
    refused_.reset();
    const drivers::RowQuery::Visit visit =
        [this, &sink](std::string_view stamp, const model::Tuple& row) { take(stamp, row, sink); };
    const auto read = co_await query_->read(options_.table, poll_->window, visit, stop);
    if (!read || refused_) {
        head_.reset();
        poll_.reset();
        co_return read ? *std::move(refused_) : read.error();
    }
    if (head_) {
        sink.commit(*head_);
        head_.reset();
    }
    watermark_.stamp = std::min(page_newest_, poll_->newest_allowed);
    if (*read < options_.page_rows) {
        end_poll(sink);
    } else {
        poll_->window.after = last_row_;
    }
    co_return Status{};
}

void TimestampSource::end_poll(TransactionSink& sink) {
    watermark_.page = Watermark::kWholePoll;
    if (poll_->everything) {
        options_.read_again = false;
    }
    Heartbeat heartbeat;
    heartbeat.written_at = poll_->now.wall;
    heartbeat.position = watermark_.position(history_);
    sink.heartbeat(heartbeat);
    sink.progress(heartbeat.position);
    poll_.reset();
    next_poll_ = clock_.now() + options_.every;
}

void TimestampSource::take(std::string_view stamp, const model::Tuple& row, TransactionSink& sink) {
    const auto values = row.values();
    auto& last = last_row_.emplace();
    last.stamp = stamp;
    for (const auto index : key_columns_) {
        last.keys.emplace_back(as_text(values[index].bytes));
    }
    page_newest_ = std::max(page_newest_, full_stamp(stamp).value_or(""));
    if (!refused_) {
        refused_ = refusal(values);
    }
    if (!refused_ && is_news(stamp, row)) {
        open(sink);
        emit(row, sink);
    }
}

std::optional<Error> TimestampSource::refusal(const std::vector<model::Value>& values) const {
    for (const auto index : key_columns_) {
        if (values[index].kind == model::ValueKind::Null) {
            return Error(
                ErrorCode::CaptureTable,
                options_.table.table.to_string() + ": a row has no " + schema_.columns[index].name
            );
        }
    }
    return std::nullopt;
}

TimestampSource::Digest128 TimestampSource::digest(ByteView bytes) {
    const auto hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.low64, hash.high64};
}

/// Whether the row, as it is, has not been delivered yet as far as is remembered.
bool TimestampSource::is_news(std::string_view stamp, const model::Tuple& row) {
    ByteWriter key;
    for (const auto& text : last_row_->keys) {
        key.put_sized(text);
    }
    const auto row_digest = digest(row.bytes());
    const auto found = remembered_.find(digest(key.view()));
    if (found != remembered_.end()) {
        const bool same = found->second.row == row_digest;
        found->second = {row_digest, full_stamp(stamp).value_or("")};
        return !same;
    }
    // Rows that no later window reaches need no memory: most of a first load.
    const auto reach = stamp_before(poll_->window.to, options_.overlap + options_.overlap);
    if (stamp < reach && poll_->window.from.empty()) {
        return true;
    }
    if (remembered_.size() >= options_.remembered_rows) {
        ++forgotten_;
        return true;
    }
    remembered_.emplace(digest(key.view()), Remembered{row_digest, full_stamp(stamp).value_or("")});
    return true;
}

void TimestampSource::open(TransactionSink& sink) {
    if (!schema_told_) {
        sink.schema(schema_);
        schema_told_ = true;
    }
    if (!head_) {
        ++watermark_.page;
        head_.emplace();
        // The stamp of the page before: a restart from here reads this page once more.
        head_->commit = head_->end = watermark_.position(history_);
        head_->commit_time = poll_->now.wall;
        sink.begin(*head_);
    }
}

bool TimestampSource::is_deleted(const std::vector<model::Value>& values) const {
    if (!flag_column_ || values[*flag_column_].kind == model::ValueKind::Null) {
        return false;
    }
    const auto value = without_blanks(as_text(values[*flag_column_].bytes));
    const auto found = options_.flag_values.find(std::string(value));
    return found != options_.flag_values.end() && found->second == RowValidity::Deleted;
}

void TimestampSource::emit(const model::Tuple& row, TransactionSink& sink) {
    model::Change change;
    change.schema = schema_id_;
    change.tolerant = true;
    const auto values = row.values();
    if (!is_deleted(values)) {
        const auto kept = model::withhold(schema_, row, options_.value_bytes_max);
        change.op = model::Op::Insert;
        change.new_row = kept ? *model::Tuple::parse(*kept) : row;
        sink.change(change);
        return;
    }
    model::TupleBuilder key(static_cast<uint16_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
        if (schema_.columns[i].key) {
            key.add(values[i]);
        } else {
            key.null();
        }
    }
    const auto bytes = std::move(key).take();
    const auto tuple = model::Tuple::parse(bytes);
    QIAO_ASSERT(tuple.has_value());
    change.op = model::Op::Delete;
    change.old_image = model::OldImage::Key;
    change.old_row = *tuple;
    sink.change(change);
}

StreamingSource::Backlog TimestampSource::backlog() const {
    return {watermark_.position(history_), 0};
}

Task<void> TimestampSource::close() {
    query_.reset();
    poll_.reset();
    head_.reset();
    co_return;
}

}  // namespace qiao::capture
