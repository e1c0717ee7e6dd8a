#include "qiao/agent/carried_import.h"

#include "qiao/agent/kept_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::agent {

CarriedImport::CarriedImport(
    EventLoop& loop, Storage& storage, Rng& rng, CarriedImportOptions options
)
    : loop_(loop), storage_(storage), rng_(rng), options_(std::move(options)) {}

CarriedImport::~CarriedImport() = default;

Task<Status> CarriedImport::open_folder() {
    QIAO_CO_TRY(
        folder_, co_await engine::CarriedFolder::open(storage_, options_.folder, options_.keys)
    );
    const auto& manifest = folder_->manifest();
    if (manifest.stream != options_.stream) {
        co_return Error(
            ErrorCode::EngineCarriedOtherStream,
            fmt::format("of {} by `{}`, not the one named here", manifest.source, manifest.node)
        );
    }
    if (!options_.digest.empty() && options_.digest != folder_->digest().to_string()) {
        co_return Error(
            ErrorCode::EngineCarriedDamaged,
            fmt::format(
                "{}: its digest is {}", engine::kCarriedManifestName, folder_->digest().to_string()
            )
        );
    }
    phase_ = Phase::Checking;
    QIAO_CO_CHECK(co_await folder_->check(stop_));
    QIAO_CO_TRY(structure_, co_await folder_->structure());
    names_ = options_.names.value_or(manifest.session.names);
    if (!options_.names) {
        QIAO_CO_TRY(names_, co_await keep_names(storage_, options_.state, std::move(names_)));
    }
    co_return Status{};
}

/// Before the stream is taken over there, which would end an applier that follows it.
Task<Status> CarriedImport::look_at_target() {
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    QIAO_CO_TRY(target_, make_target(runtime, options_.to, stop_, options_.source));
    QIAO_CO_TRY(const auto session, co_await target_.database->connect());
    QIAO_CO_CHECK(co_await session->prepare());
    QIAO_CO_TRY(const auto checkpoint, co_await session->checkpoint(options_.stream));
    if (checkpoint) {
        QIAO_CO_CHECK(is_before_all(*checkpoint));
    }
    QIAO_CO_TRY(const auto states, co_await session->table_states(options_.stream));
    co_return look_at_states(states);
}

/// Once anything of the stream was applied, changes of the tables to come may have been left out
/// that the load, which is older, does not have.
Status CarriedImport::is_before_all(const drivers::CheckpointRow& checkpoint) const {
    if (checkpoint.point != StreamPoint{}) {
        return Error(ErrorCode::EngineCarriedFollowing, target_.database->display());
    }
    return {};
}

Status CarriedImport::look_at_states(const std::vector<drivers::TableState>& states) {
    const auto& load = folder_->manifest().session;
    for (const auto& state : states) {
        known_.insert(state.table);
        if (folder_->manifest().find(state.table) == nullptr) {
            continue;
        }
        const bool live = state.status >= drivers::TableStatus::Live;
        const bool ours = state.generation == load.generation && state.joined_at == load.joined_at;
        if (live && ours) {
            before_.insert(state.table);
        } else if (state.generation > load.generation ||
                   (live && state.generation == load.generation)) {
            return Error(
                ErrorCode::EngineCarriedOlder,
                fmt::format(
                    "{} has {}, the carried load is {}",
                    state.table.to_string(),
                    state.generation,
                    load.generation
                )
            );
        }
    }
    return {};
}

Task<Status> CarriedImport::open_target() {
    apply::ApplierOptions options;
    options.stream = options_.stream;
    options.owner = rng_.make_id<Incarnation>();
    options.names = names_;
    applier_ = std::make_unique<apply::Applier>(
        *target_.database, loop_, loop_, rng_, std::move(options), observer_
    );
    QIAO_CO_TRY(const auto checkpoint, co_await applier_->open());
    // From here on nobody else applies; until here somebody may have begun to.
    QIAO_CO_CHECK(is_before_all(checkpoint));
    local_ = std::make_unique<engine::LocalTarget>(engine::LocalTarget::Parts{
        *target_.database,
        *target_.structures,
        *applier_,
        stop_,
        options_.stream,
        [] { return engine::ChainTip{}; },
        [] {},
        options_.create,
        true
    });
    co_return Status{};
}

Task<Status> CarriedImport::create(drivers::StructurePhase phase) {
    if (!options_.create) {
        co_return Status{};
    }
    if (!structure_) {
        co_return Error(ErrorCode::Config, "the load has no structure for --create");
    }
    QIAO_CO_TRY(auto report, co_await local_->create(*structure_, phase));
    if (report_.created) {
        std::ranges::copy(report.made, std::back_inserter(report_.created->made));
        std::ranges::copy(report.failed, std::back_inserter(report_.created->failed));
        co_return Status{};
    }
    report_.created = std::move(report);
    for (const auto& missing : report_.created->missing_tables) {
        const auto why = std::ranges::find(
            report_.created->findings, missing.to_string(), &drivers::Finding::subject
        );
        co_return Error(
            ErrorCode::DbNoTable,
            missing.to_string() +
                (why == report_.created->findings.end() ? "" : ": " + why->message_en)
        );
    }
    co_return Status{};
}

/// Says in the target which tables the load will bring, all at once, so that a flow that starts
/// while the import is unfinished knows of those that it has not come to.
Task<Status> CarriedImport::announce() {
    const auto& load = folder_->manifest().session;
    QIAO_CO_TRY(const auto session, co_await target_.database->connect());
    QIAO_CO_CHECK(co_await session->begin());
    QIAO_CO_CHECK(co_await session->lock_checkpoint(options_.stream, applier_->checkpoint()));
    for (const auto& table : load.tables) {
        if (!known_.contains(table)) {
            const drivers::TableState state{
                table, load.generation, drivers::TableStatus::Pending, load.joined_at
            };
            QIAO_CO_CHECK(co_await session->save_table_state(options_.stream, state));
        }
    }
    const auto outcome = co_await session->commit();
    if (outcome.kind != drivers::CommitOutcome::Kind::Committed) {
        co_return outcome.error.value_or(Error(ErrorCode::DbLost));
    }
    co_return Status{};
}

Task<Status> CarriedImport::count() {
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    QIAO_CO_TRY(const auto reader, co_await make_reader(runtime, options_.to, {}, stop_));
    std::optional<Error> wrong;
    for (const auto& table : folder_->manifest().tables) {
        ImportedTable one;
        one.source = table.schema.table;
        one.target = names_.target_of(one.source);
        one.exported = table.rows();
        one.before = before_.contains(one.source);
        QIAO_CO_TRY(one.counted, co_await reader->count(one.target, {}));
        if (one.counted != one.exported && !wrong) {
            wrong = Error(
                ErrorCode::EngineCarriedCounts,
                fmt::format(
                    "{}: {} rows exported, {} there",
                    one.target.to_string(),
                    one.exported,
                    one.counted
                )
            );
        }
        report_.tables.push_back(std::move(one));
    }
    if (wrong) {
        co_return *wrong;
    }
    co_return Status{};
}

Task<Result<CarriedImportReport>> CarriedImport::run() {
    const auto started = loop_.now();
    QIAO_CO_CHECK(co_await storage_.make_folder(options_.state));
    QIAO_CO_TRY(lock_, co_await storage_.lock(options_.state + "/lock"));
    QIAO_CO_CHECK(co_await open_folder());
    QIAO_CO_CHECK(co_await look_at_target());
    phase_ = Phase::Creating;
    QIAO_CO_CHECK(co_await open_target());
    QIAO_CO_CHECK(co_await create(drivers::StructurePhase::BeforeLoad));
    const auto& manifest = folder_->manifest();
    // Refused as a whole before the first table is touched.
    QIAO_CO_CHECK(co_await local_->begin_load(manifest.session));
    QIAO_CO_CHECK(co_await announce());
    phase_ = Phase::Loading;
    auto options = options_.load;
    options.names = names_;
    load_ = std::make_unique<engine::FirstLoad>(loop_, *local_, std::move(options));
    const auto snapshot = folder_->snapshot(before_);
    QIAO_CO_CHECK(co_await load_->run(*snapshot, manifest.session.generation, stop_));
    phase_ = Phase::Indexing;
    QIAO_CO_CHECK(co_await create(drivers::StructurePhase::AfterLoad));
    QIAO_CO_CHECK(co_await local_->finish_load(manifest.session));
    phase_ = Phase::Counting;
    QIAO_CO_CHECK(co_await count());
    report_.manifest = manifest;
    report_.digest = folder_->digest();
    report_.rows_loaded = load_->status().rows;
    report_.took = loop_.now() - started;
    co_return std::move(report_);
}

}  // namespace qiao::agent
