#include "qiao/engine/carried_writer.h"

#include "qiao/engine/internal/carried_file.h"
#include "qiao/engine/load_chunks.h"
#include "qiao/packet/bodies.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {

using internal::CarriedFileWriter;
using internal::CarriedOrigin;
using internal::CarriedRole;

namespace {

std::string folder_above(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

}  // namespace

/// One file on its way.
class CarriedWriter::FolderPart final : public FlowTarget::Part {
public:
    FolderPart(CarriedWriter& folder, size_t table, capture::LoadPart part)
        : folder_(folder),
          table_(table),
          part_(std::move(part)),
          file_(folder.parts_.storage, folder.parts_.clock, folder.key_, *folder.origin_),
          chunks_(part_, folder.manifest_.tables[table].format, folder.origin_->joined_at) {}

    Task<Status> start() {
        auto name = carried_part_name(table_, part_.number);
        QIAO_CO_CHECK(co_await file_.open(folder_.parts_.folder, std::move(name), CarriedRole::Part)
        );
        const packet::SchemaBody schema{{part_.schema}};
        co_return co_await file_.add(packet::Kind::Schema, schema.encode());
    }

    Task<Status> write(capture::LoadChunk chunk) override {
        rows_ += chunk.row_count;
        for (const auto& body : chunks_.cut(chunk)) {
            QIAO_CO_CHECK(co_await file_.add(packet::Kind::LoadChunk, body.encode()));
        }
        co_return Status{};
    }

    Task<Status> finish() override {
        QIAO_CO_TRY(auto file, co_await file_.finish());
        folder_.manifest_.tables[table_].parts[part_.number] = {std::move(file), rows_};
        co_return Status{};
    }

private:
    CarriedWriter& folder_;
    size_t table_;
    capture::LoadPart part_;
    CarriedFileWriter file_;
    LoadChunks chunks_;
    uint64_t rows_ = 0;
};

CarriedWriter::CarriedWriter(Parts parts)
    : parts_(std::move(parts)),
      key_(crypto::SealingKey::make(parts_.suite, parts_.rng)),
      origin_(std::make_unique<CarriedOrigin>()) {}

CarriedWriter::~CarriedWriter() = default;

Task<Status> CarriedWriter::open() {
    QIAO_CO_TRY(wrapped_, packet::wrap_for(key_, parts_.receivers));
    const auto found = co_await parts_.storage.list(parts_.folder);
    if (found && !found->empty()) {
        co_return Error(
            ErrorCode::EngineCarriedNotEmpty, fmt::format("{}: {}", parts_.folder, found->front())
        );
    }
    if (!found && !found.error().is(ErrorCode::StorageMissing)) {
        co_return found.error();
    }
    QIAO_CO_CHECK(co_await parts_.storage.make_folder(parts_.folder));
    if (found) {
        co_return Status{};
    }
    co_return co_await parts_.storage.sync_folder(folder_above(parts_.folder));
}

Task<Result<TargetState>> CarriedWriter::state() {
    TargetState state;
    state.accepts = {
        drivers::LoadFormat::PgCopyBinary,
        drivers::LoadFormat::PgCopyText,
        drivers::LoadFormat::Tuples
    };
    co_return state;
}

Task<Result<drivers::CreateReport>> CarriedWriter::create(
    drivers::Structure structure, drivers::StructurePhase /*phase*/
) {
    structure_ = std::move(structure);
    co_return drivers::CreateReport{};
}

Task<Status> CarriedWriter::begin_load(LoadSession session) {
    manifest_.stream = parts_.stream;
    manifest_.load = parts_.rng.make_id<TraceId>();
    manifest_.source = parts_.source;
    manifest_.node = parts_.node;
    manifest_.tool_version = parts_.tool_version;
    manifest_.made_at = parts_.clock.wall_now();
    manifest_.suite = parts_.suite.id();
    manifest_.tables.resize(session.tables.size());
    for (size_t i = 0; i < session.tables.size(); ++i) {
        places_[session.tables[i]] = i;
    }
    *origin_ = {
        parts_.stream,
        manifest_.load,
        parts_.source,
        parts_.node,
        session.generation,
        session.joined_at
    };
    manifest_.session = std::move(session);
    co_return Status{};
}

Task<Result<std::unique_ptr<FlowTarget::Part>>> CarriedWriter::open_part(
    capture::LoadPart part, drivers::LoadFormat format, LoadSession /*session*/
) {
    const auto place = places_.find(part.schema.table);
    if (place == places_.end() || part.number >= part.parts) {
        co_return Error(ErrorCode::EngineLoadFailed, part.schema.table.to_string());
    }
    auto& table = manifest_.tables[place->second];
    table.schema = part.schema;
    table.format = format;
    table.parts.resize(part.parts);
    auto opened = std::make_unique<FolderPart>(*this, place->second, std::move(part));
    QIAO_CO_CHECK(co_await opened->start());
    co_return std::unique_ptr<Part>(std::move(opened));
}

Task<Status> CarriedWriter::finish_load(LoadSession /*session*/) {
    for (const auto& table : manifest_.tables) {
        const auto missing = [](const CarriedPart& part) { return part.file.name.empty(); };
        if (table.parts.empty() || std::ranges::any_of(table.parts, missing)) {
            co_return Error(ErrorCode::EngineLoadFailed, table.schema.table.to_string());
        }
    }
    QIAO_CO_CHECK(co_await write_structure());
    QIAO_CO_CHECK(co_await write_summary());
    // Everything that the manifest names is on the disk before it is.
    QIAO_CO_CHECK(co_await parts_.storage.sync_folder(parts_.folder));
    QIAO_CO_CHECK(co_await write_manifest());
    co_return co_await parts_.storage.sync_folder(parts_.folder);
}

/// Nothing is applied while a load is written to a folder.
Task<Status> CarriedWriter::announce_loads(std::vector<model::TableName> /*tables*/) {
    co_return Status{};
}

/// Nothing follows in a folder.
Task<Status> CarriedWriter::start_apply() { co_return Status{}; }

Task<Status> CarriedWriter::write_structure() {
    if (!structure_) {
        co_return Status{};
    }
    CarriedFileWriter file(parts_.storage, parts_.clock, key_, *origin_);
    QIAO_CO_CHECK(co_await file.open(parts_.folder, kCarriedStructureName, CarriedRole::Structure));
    QIAO_CO_CHECK(co_await file.add_pieces(structure_->encode()));
    QIAO_CO_TRY(auto told, co_await file.finish());
    manifest_.others.push_back(std::move(told));
    co_return Status{};
}

/// For people who find the disk; nothing that packet headers do not tell.
std::string CarriedWriter::summary() const {
    const auto& made = manifest_;
    auto text = fmt::format(
        "Qiao carried load 1\n"
        "stream      {}\nload        {}\nsource      {}\nnode        {}\nmade        {}\n"
        "made by     qiao {}\nsuite       {}\ngeneration  {}\njoined at   {}\ntables      {}\n"
        "rows        {}\nbytes       {}\n",
        made.stream.to_string(),
        made.load.to_string(),
        made.source,
        made.node,
        made.made_at.to_string(),
        made.tool_version,
        parts_.suite.name(),
        made.session.generation,
        made.session.joined_at.to_string(),
        made.tables.size(),
        made.rows(),
        made.bytes()
    );
    for (const auto* file : made.files()) {
        text += fmt::format("{}  {}  {}\n", file->digest.to_string(), file->bytes, file->name);
    }
    return text;
}

Task<Status> CarriedWriter::write_summary() {
    auto content = to_bytes(as_bytes(summary()));
    CarriedFile told{kCarriedSummaryName, content.size(), parts_.suite.digest({ByteView(content)})};
    const auto path = parts_.folder + "/" + told.name;
    QIAO_CO_CHECK(co_await write_file_atomically(parts_.storage, path, std::move(content)));
    manifest_.others.push_back(std::move(told));
    co_return Status{};
}

Task<Status> CarriedWriter::write_manifest() {
    CarriedFileWriter file(parts_.storage, parts_.clock, key_, *origin_);
    QIAO_CO_CHECK(co_await file.open(parts_.folder, kCarriedManifestName, CarriedRole::Manifest));
    QIAO_CO_CHECK(co_await file.add_key(wrapped_));
    QIAO_CO_CHECK(co_await file.add_pieces(manifest_.encode()));
    QIAO_CO_TRY(const auto told, co_await file.finish());
    digest_ = told.digest;
    co_return Status{};
}

}  // namespace qiao::engine
