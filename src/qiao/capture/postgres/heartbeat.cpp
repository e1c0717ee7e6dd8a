#include "qiao/capture/postgres/heartbeat.h"

#include "qiao/common/async/sleep.h"
#include "qiao/common/plant.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

namespace qiao::capture::postgres {
namespace {

std::string digest_of(const Digests& digests) {
    std::string text;
    for (const auto& [table, digest] : digests) {
        text += table.to_string() + '\n' + digest + '\n';
    }
    return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

/// Among very many tables a look takes long: so many times as long passes before the next one, or
/// the source would do nothing else.
constexpr int kRestsFor = 4;

void add_once(std::vector<model::TableName>& tables, const model::TableName& table) {
    if (std::ranges::find(tables, table) == tables.end()) {
        tables.push_back(table);
    }
}

}  // namespace

HeartbeatWriter::HeartbeatWriter(
    HeartbeatOptions options, SourceDatabase& database, Executor& executor, Clock& clock, Rng& rng
)
    : options_(std::move(options)),
      database_(database),
      executor_(executor),
      clock_(clock),
      rng_(rng) {}

Task<void> HeartbeatWriter::run(StopSignal& stop, std::function<void()> after) {
    const auto pause = std::min(options_.every, options_.guard_every);
    auto due = clock_.now();
    while (!stop.requested()) {
        const auto known = withdrawn_.size();
        const auto begun = clock_.now();
        auto done = co_await guard(stop);
        // What failed, because somebody holds a lock, is tried again soon.
        const auto rest =
            done ? std::min(options_.every, kRestsFor * (clock_.now() - begun)) : Duration::zero();
        if (is_planted(Plant::ClockJumpDoublesBeats)) {
            const auto apart =
                clock_.wall_now().us - clock_.now().time_since_epoch().count() / 1000;
            jumped_ = jumped_ || (apart_ && *apart_ != apart);
            apart_ = apart;
            due = jumped_ ? clock_.now() : due;
        }
        if (clock_.now() >= due || withdrawn_.size() != known) {
            due = clock_.now() + options_.every;
            if (done) {
                done = co_await beat(stop);
            }
            if (done) {
                last_error_.reset();
            }
            after();
        }
        if (!done && !done.error().is(ErrorCode::Cancelled)) {
            last_error_ = done.error();
        }
        const auto slept = co_await sleep_for(executor_, clock_, std::max(pause, rest), stop);
        if (!slept) {
            break;
        }
    }
    catalogue_.reset();
}

Task<Status> HeartbeatWriter::guard(StopSignal& stop) {
    if (!catalogue_) {
        QIAO_CO_TRY(catalogue_, co_await database_.open_catalogue(stop));
    }
    auto done = co_await guard_on(*catalogue_);
    if (!done) {
        catalogue_.reset();
    }
    co_return done;
}

Task<Status> HeartbeatWriter::guard_on(SourceCatalogue& catalogue) {
    QIAO_CO_TRY(const auto lost, co_await catalogue.guard(options_.stream));
    for (const auto& table : lost) {
        add_once(withdrawn_, table);
    }
    co_return Status{};
}

Task<Status> HeartbeatWriter::beat(StopSignal& stop) {
    if (!catalogue_) {
        QIAO_CO_TRY(catalogue_, co_await database_.open_catalogue(stop));
    }
    auto done = co_await beat_on(*catalogue_);
    if (!done) {
        catalogue_.reset();
    }
    co_return done;
}

Task<Status> HeartbeatWriter::beat_on(SourceCatalogue& catalogue) {
    if (clock_.now() >= look_due_) {
        QIAO_CO_CHECK(co_await look_for_changes(catalogue));
    }
    QIAO_CO_TRY(newest_, co_await catalogue.newest());
    if (!options_.write) {
        co_return Status{};
    }
    HeartbeatNote note;
    note.stream = options_.stream;
    note.nonce = rng_.number();
    note.catalogue_digest = digest_of(digests_);
    note.changed = changed_;
    note.withdrawn = withdrawn_;
    QIAO_CO_CHECK(co_await catalogue.write_note(std::move(note)));
    changed_.clear();
    withdrawn_.clear();
    co_return co_await keep_digests();
}

Task<Status> HeartbeatWriter::look_for_changes(SourceCatalogue& catalogue) {
    co_await recall_digests();
    const auto begun = clock_.now();
    QIAO_CO_TRY(auto digests, co_await catalogue.digests(options_.tables));
    for (const auto& [table, choice] : options_.choices) {
        if (const auto told = digests.find(table); told != digests.end()) {
            told->second += fmt::format(":{:016x}", XXH3_64bits(choice.data(), choice.size()));
        }
    }
    for (const auto& table : options_.tables) {
        const auto before = digests_.find(table);
        if (before != digests_.end() && before->second != digests[table]) {
            add_once(changed_, table);
        }
    }
    digests_ = std::move(digests);
    look_due_ = clock_.now() + kRestsFor * (clock_.now() - begun);
    co_return Status{};
}

Task<void> HeartbeatWriter::recall_digests() {
    if (options_.kept && !recalled_) {
        told_ = co_await options_.kept->load();
        digests_ = told_;
    }
    recalled_ = true;
}

/// Only after the note that tells of a difference: a crash before it lets it be told again.
Task<Status> HeartbeatWriter::keep_digests() {
    if (options_.kept && told_ != digests_) {
        QIAO_CO_CHECK(co_await options_.kept->keep(digests_));
        told_ = digests_;
    }
    co_return Status{};
}

}  // namespace qiao::capture::postgres
