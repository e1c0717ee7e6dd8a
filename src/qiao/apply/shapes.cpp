#include "qiao/apply/internal/core.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

// Tables whose shape changes under way: what fits goes on, what does not fit stands alone, its
// changes laid aside, until the target has followed.
namespace qiao::apply {

using drivers::TableStatus;

void Applier::Core::add_schema(model::TableSchema schema) {
    const auto id = schema.id();
    if (catalogue.knows(id)) {
        return;
    }
    // Whether the table has it is told by the first change that counts: an ALTER TABLE in a
    // savepoint that was undone tells its shape, too.
    catalogue.add(schema);
    unsaved_schemas.push_back(std::move(schema));
    unit.moved = true;
}

void Applier::Core::pause_table(
    const model::TableName& table, std::string note, const model::SourcePosition& place
) {
    mark(Stand{table, TableStatus::Paused, std::move(note), place});
}

Task<Status> Applier::Core::look_at_shapes() {
    while (!new_shapes.empty()) {
        const auto [id, place] = new_shapes.front();
        const auto now = catalogue.schema(id);
        const auto* state = states.find(now->table);
        const bool stands = state != nullptr && state->status == TableStatus::Paused;
        const bool flows = state != nullptr && (state->status == TableStatus::Live ||
                                                state->status == TableStatus::Unproven);
        if ((flows || stands) && options.seal != nullptr) {
            const auto missing = co_await missing_at_target(*now);
            if (!missing && !missing.error().is(ErrorCode::DbNoTable)) {
                co_return missing.error();
            }
            if (missing && !missing->empty()) {
                pause_table(now->table, fmt::format("{}", fmt::join(*missing, "; ")), place);
            }
        }
        new_shapes.erase(new_shapes.begin());
    }
    co_return Status{};
}

Task<Result<std::vector<std::string>>> Applier::Core::missing_at_target(model::TableSchema now) {
    const auto written = options.names.target_of(now);
    QIAO_CO_TRY(const auto target, co_await session->describe(written.table));
    const auto before = catalogue.before(now.id(), target);
    if (!before) {
        co_return std::vector<std::string>();
    }
    co_return co_await session->adoption(options.names.target_of(*before), written);
}

Task<Status> Applier::Core::bind(model::SchemaId id, model::SourcePosition place) {
    const auto shape = catalogue.schema(id);
    if (catalogue.use(id)) {
        // A new one, or one again that it had before.
        unsaved_schemas.push_back(*shape);
        new_shapes.push_back({id, place});
        QIAO_CO_CHECK(co_await look_at_shapes());
    }
    const auto* state = shape ? states.find(shape->table) : nullptr;
    if (state != nullptr && state->status == TableStatus::Paused) {
        co_return catalogue.bind_apart(id);
    }
    auto done = co_await catalogue.bind(*session, id);
    const bool does_not_fit = !done && (done.error().is(ErrorCode::ApplyColumns) ||
                                        done.error().is(ErrorCode::DbNoTable));
    if (!does_not_fit || options.seal == nullptr) {
        co_return done;
    }
    pause_table(shape->table, done.error().detail(), place);
    co_return catalogue.bind_apart(id);
}

}  // namespace qiao::apply
