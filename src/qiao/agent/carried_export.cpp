#include "qiao/agent/carried_export.h"

#include "qiao/agent/kept_names.h"
#include "qiao/agent/kept_selection.h"
#include "qiao/crypto/suite.h"

#include <fmt/format.h>

namespace qiao::agent {
namespace {

Result<const crypto::Suite*> suite_of(const CarriedExportOptions& options) {
    const auto* suite = crypto::find_suite(options.suite);
    if (suite == nullptr) {
        return Error(ErrorCode::Config, fmt::format("cipher suite `{}`", options.suite));
    }
    const auto wanted = options.suite == "gm" ? crypto::KeyKind::Sm2 : crypto::KeyKind::P256;
    if (options.receiver->kind() != wanted) {
        return Error(
            ErrorCode::AgentIdentity,
            fmt::format(
                "the recipient's key is not of suite `{}`: make it with `qiao key wrap --suite {}`",
                options.suite,
                options.suite
            )
        );
    }
    return suite;
}

/// Seconds: a later export is a newer load, also where nothing is known of the earlier one.
uint32_t generation_of(WallTime now) {
    constexpr int64_t kMicroseconds = 1'000'000;
    return static_cast<uint32_t>(now.us / kMicroseconds);
}

}  // namespace

CarriedExport::CarriedExport(
    EventLoop& loop, Storage& storage, Rng& rng, CarriedExportOptions options
)
    : loop_(loop), storage_(storage), rng_(rng), options_(std::move(options)) {}

Task<Status> CarriedExport::open() {
    QIAO_CO_TRY(const auto* suite, suite_of(options_));
    if (!options_.state.empty()) {
        QIAO_CO_CHECK(co_await storage_.make_folder(options_.state));
        QIAO_CO_TRY(lock_, co_await storage_.lock(options_.state + "/lock"));
        QIAO_CO_TRY(
            options_.names, co_await keep_names(storage_, options_.state, std::move(options_.names))
        );
        QIAO_CO_TRY(
            options_.selection,
            co_await keep_selection(storage_, options_.state, std::move(options_.selection))
        );
    }
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    SourceChoice choice;
    choice.selection = options_.selection;
    choice.value_bytes_max = options_.value_bytes_max;
    QIAO_CO_TRY(source_, make_source(runtime, options_.from, choice, rng_, stop_));
    writer_ = std::make_unique<engine::CarriedWriter>(engine::CarriedWriter::Parts{
        loop_,
        rng_,
        storage_,
        options_.folder,
        options_.stream,
        source_->identity(),
        options_.node,
        options_.tool_version,
        *suite,
        {options_.receiver}
    });
    co_return co_await writer_->open();
}

/// The structure goes along whatever happens to it at the other end: there nobody can ask for it.
Task<Status> CarriedExport::choose() {
    QIAO_CO_TRY(auto choice, co_await source_->choose(options_.tables));
    tables_ = std::move(choice.tables);
    report_.findings = std::move(choice.findings);
    if (tables_.empty()) {
        co_return Error(ErrorCode::DbNoTable, "no table to export");
    }
    std::vector<drivers::TablePair> pairs;
    pairs.reserve(tables_.size());
    for (const auto& table : tables_) {
        pairs.push_back({table, options_.names.target_of(table)});
    }
    QIAO_CO_TRY(auto structure, co_await source_->structure(std::move(pairs)));
    report_.left_out = structure.left_out;
    QIAO_CO_TRY(
        const auto kept,
        co_await writer_->create(std::move(structure), drivers::StructurePhase::BeforeLoad)
    );
    co_return Status{};
}

Task<Status> CarriedExport::load() {
    // Capture's slot stands before the snapshot does: nothing lies between.
    QIAO_CO_CHECK(co_await source_->prepare(options_.stream, tables_));
    const auto source = source_->snapshot(options_.stream);
    QIAO_CO_TRY(const auto snapshot, co_await source->open(tables_, stop_));
    auto options = options_.load;
    options.names = options_.names;
    load_ = std::make_unique<engine::FirstLoad>(loop_, *writer_, std::move(options));
    co_return co_await load_->run(*snapshot, generation_of(loop_.wall_now()), stop_);
}

Task<void> CarriedExport::look_at_leftovers() {
    auto left = co_await source_->leftovers(options_.stream);
    if (left) {
        report_.leftovers = std::move(*left);
    }
}

Task<Result<CarriedExportReport>> CarriedExport::run() {
    const auto started = loop_.now();
    QIAO_CO_CHECK(co_await open());
    QIAO_CO_CHECK(co_await choose());
    QIAO_CO_CHECK(co_await load());
    co_await look_at_leftovers();
    report_.manifest = writer_->manifest();
    report_.digest = writer_->digest();
    report_.took = loop_.now() - started;
    co_return std::move(report_);
}

}  // namespace qiao::agent
