#include "qiao/agent/living_source_test.h"

#include "qiao/common/async/sleep.h"

#include <algorithm>

namespace qiao::agent::testing {

using model::SourcePosition;

LivingSource::LivingSource(ManualWorld& world, std::string table, uint64_t seed)
    : world_(world), random_(seed), changed_(world) {
    schema_.table = {"public", std::move(table)};
    schema_.identity = model::Identity::PrimaryKey;
    schema_.columns.push_back({.name = "id", .type = "pg_catalog.int4", .key = true});
    schema_.columns.push_back({.name = "name", .type = "pg_catalog.text"});
}

std::unique_ptr<LivingSource> LivingSource::in(ManualWorld& world) const {
    auto same = std::make_unique<LivingSource>(world, schema_.table.name, 0);
    same->random_ = random_;
    same->now_ = now_;
    same->log_ = log_;
    same->prepared_ = prepared_;
    same->confirmed_ = confirmed_;
    same->beat = beat;
    return same;
}

drivers::TargetTable LivingSource::target_table() const {
    drivers::TargetTable table;
    table.name = schema_.table;
    table.columns.push_back({.name = "id", .type = "pg_catalog.int4", .not_null = true});
    table.columns.push_back({.name = "name", .type = "pg_catalog.text"});
    table.primary_key = {"id"};
    return table;
}

size_t LivingSource::count_until(const SourcePosition& position) {
    if (position.empty()) {
        return 0;
    }
    uint64_t number = 0;
    for (const auto byte : position.order) {
        number = number << 8U | std::to_integer<uint64_t>(byte);
    }
    return number / 100;
}

void LivingSource::begin() {
    open_ = Entry{};
    open_->images = std::make_shared<std::deque<Bytes>>();
}

void LivingSource::put(model::Op op, int key, const std::string& value) {
    auto& change = open_->changes.emplace_back();
    change.op = op;
    change.schema = schema_.id();
    model::TupleBuilder builder(2);
    builder.text(std::to_string(key));
    if (op == model::Op::Delete) {
        builder.null();
    } else {
        builder.text(value);
    }
    const auto image = *model::Tuple::parse(open_->images->emplace_back(std::move(builder).take()));
    if (op == model::Op::Delete) {
        change.old_image = model::OldImage::Key;
        change.old_row = image;
        now_.erase(key);
    } else {
        change.new_row = image;
        now_[key] = value;
    }
}

void LivingSource::commit() {
    open_->at = world_.wall_now();
    open_->after = now_;
    log_.push_back(*std::exchange(open_, std::nullopt));
    changed_.pulse();
}

void LivingSource::insert(int key, const std::string& value) {
    begin();
    put(model::Op::Insert, key, value);
    commit();
}

void LivingSource::commit_random() {
    constexpr int kKeys = 60;
    begin();
    for (auto left = 1 + random_() % 6; left > 0; --left) {
        const auto key = static_cast<int>(random_() % kKeys);
        const auto value = "v" + std::to_string(random_() % 1'000'000);
        if (!now_.contains(key)) {
            put(model::Op::Insert, key, value);
        } else {
            put(random_() % 3 == 0 ? model::Op::Delete : model::Op::Update, key, value);
        }
    }
    commit();
}

void LivingSource::add_heartbeat() {
    Entry entry;
    entry.heartbeat = true;
    entry.at = world_.wall_now();
    entry.after = now_;
    log_.push_back(std::move(entry));
}

std::vector<Row> LivingSource::rows_at(const SourcePosition& position) const {
    std::vector<Row> rows;
    const auto count = count_until(position);
    if (count != 0) {
        for (const auto& [key, value] : log_.at(count - 1).after) {
            rows.push_back({std::to_string(key), value});
        }
    }
    std::ranges::sort(rows);
    return rows;
}

class LivingStream final : public capture::StreamingSource {
public:
    explicit LivingStream(LivingSource& source) : source_(source) {}

    Task<Status> start(SourcePosition from) override {
        if (from.empty()) {
            from = source_.confirmed_;
        }
        if (LivingSource::count_until(from) < LivingSource::count_until(source_.confirmed_)) {
            StopSignal never;
            (void)co_await sleep_for(source_.world_, source_.world_, source_.hesitates, never);
            co_return Error(ErrorCode::CapturePositionLost, from.to_string());
        }
        next_ = LivingSource::count_until(from);
        told_schema_ = false;
        next_beat_ = source_.world_.now() + source_.beat;
        ++source_.sessions;
        co_return Status{};
    }

    Task<Status> pump(capture::TransactionSink& sink, StopSignal& stop) override {
        const auto wake = [this] { source_.changed_.pulse(); };
        const StopSignal::Hook hook(stop, wake);
        const auto timer = source_.world_.make_timer();
        timer->start(next_beat_, wake);
        while (next_ == source_.log_.size() && !stop.requested()) {
            if (source_.world_.now() >= next_beat_) {
                next_beat_ = source_.world_.now() + source_.beat;
                source_.add_heartbeat();
                break;
            }
            co_await source_.changed_.wait();
        }
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        const bool breaks = source_.random_() % 1000 < source_.lost;
        while (next_ < source_.log_.size() && !sink.full()) {
            deliver(sink, breaks);
            if (breaks) {
                co_return Error(ErrorCode::DbLost, "by chance");
            }
        }
        co_return Status{};
    }

    void confirm(SourcePosition position) override {
        if (model::compare(position, source_.confirmed_) > 0) {
            source_.confirmed_ = std::move(position);
        }
    }

    Backlog backlog() const override { return {source_.end(), 0}; }

private:
    /// A session that breaks leaves its transaction open.
    void deliver(capture::TransactionSink& sink, bool breaks) {
        const auto& entry = source_.log_[next_];
        const auto at = LivingSource::position(next_ + 1);
        if (entry.heartbeat) {
            if (!breaks) {
                ++next_;
                sink.heartbeat({.written_at = entry.at, .position = at});
                sink.progress(at);
            }
            return;
        }
        if (!std::exchange(told_schema_, true)) {
            sink.schema(source_.schema_);
        }
        const model::TransactionHead head{next_ + 1, at, at, entry.at};
        sink.begin(head);
        for (const auto& change : entry.changes) {
            sink.change(change);
        }
        if (!breaks) {
            ++next_;
            sink.commit(head);
            sink.progress(at);
        }
    }

    LivingSource& source_;
    size_t next_ = 0;
    bool told_schema_ = false;
    MonoTime next_beat_;
};

class LivingSnapshot final : public capture::SnapshotSession {
public:
    explicit LivingSnapshot(const LivingSource& source)
        : rows_(source.now_), joined_at_(SourcePosition::lsn(7, 1, source.log_.size() * 100 + 50)) {
        for (uint32_t number = 0; number < kParts; ++number) {
            capture::LoadPart part;
            part.schema = source.schema_;
            part.number = number;
            part.parts = kParts;
            part.rows_estimated = rows_.size() / kParts;
            part.range = std::to_string(number);
            parts_.push_back(std::move(part));
        }
    }

    const SourcePosition& joined_at() const override { return joined_at_; }

    const std::vector<capture::LoadPart>& parts() const override { return parts_; }

    drivers::LoadFormat format(const capture::LoadPart& /*part*/) const override {
        return drivers::LoadFormat::Tuples;
    }

    Task<Result<std::unique_ptr<Reader>>> read(
        capture::LoadPart part, size_t /*chunk_bytes*/
    ) override {
        std::vector<capture::LoadChunk> chunks;
        for (const auto& [key, value] : rows_) {
            if (static_cast<uint32_t>(key) % kParts == part.number) {
                model::TupleBuilder builder(2);
                builder.text(std::to_string(key)).text(value);
                chunks.push_back({std::move(builder).take(), 1, false});
            }
        }
        chunks.push_back({{}, 0, true});
        co_return std::make_unique<ChunkReader>(std::move(chunks));
    }

private:
    static constexpr uint32_t kParts = 3;

    class ChunkReader final : public Reader {
    public:
        explicit ChunkReader(std::vector<capture::LoadChunk> chunks) : chunks_(std::move(chunks)) {}

        Task<Result<capture::LoadChunk>> next(StopSignal& stop) override {
            if (stop.requested()) {
                co_return Error(ErrorCode::Cancelled);
            }
            co_return std::move(chunks_.at(next_++));
        }

    private:
        std::vector<capture::LoadChunk> chunks_;
        size_t next_ = 0;
    };

    std::map<int, std::string> rows_;
    SourcePosition joined_at_;
    std::vector<capture::LoadPart> parts_;
};

class LivingSnapshotSource final : public capture::SnapshotSource {
public:
    explicit LivingSnapshotSource(const LivingSource& source) : source_(source) {}

    Task<Result<std::unique_ptr<capture::SnapshotSession>>> open(
        std::vector<model::TableName> /*tables*/, StopSignal& /*stop*/
    ) override {
        co_return std::make_unique<LivingSnapshot>(source_);
    }

private:
    const LivingSource& source_;
};

class LivingDataSource final : public capture::DataSource {
public:
    explicit LivingDataSource(LivingSource& source) : source_(source) {}

    Task<Status> reach() override { co_return Status{}; }

    Task<Result<Choice>> choose(std::vector<std::string> /*patterns*/) override {
        Choice choice;
        choice.tables.push_back(source_.schema_.table);
        co_return choice;
    }

    Task<Status> prepare(StreamId /*stream*/, std::vector<model::TableName> /*tables*/) override {
        if (!std::exchange(source_.prepared_, true)) {
            source_.confirmed_ = source_.end();
        }
        co_return Status{};
    }

    std::unique_ptr<capture::StreamingSource> streaming(StreamId /*stream*/) override {
        return std::make_unique<LivingStream>(source_);
    }

    std::unique_ptr<capture::SnapshotSource> snapshot(StreamId /*stream*/) override {
        return std::make_unique<LivingSnapshotSource>(source_);
    }

    Task<Result<drivers::Structure>> structure(std::vector<drivers::TablePair> /*tables*/)
        override {
        co_return drivers::Structure{};
    }

    Task<Result<SourcePosition>> flushed_position() override { co_return source_.end(); }

    Task<Result<std::vector<capture::Leftover>>> leftovers(StreamId /*stream*/) override {
        co_return std::vector<capture::Leftover>{};
    }

    Task<Result<std::vector<std::string>>> drop(StreamId /*stream*/) override {
        co_return std::vector<std::string>{};
    }

    std::string identity() const override { return "living source"; }

private:
    LivingSource& source_;
};

std::unique_ptr<capture::DataSource> LivingSource::open() {
    return std::make_unique<LivingDataSource>(*this);
}

}  // namespace qiao::agent::testing
