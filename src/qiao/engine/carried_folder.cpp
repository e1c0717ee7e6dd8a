#include "qiao/engine/carried_folder.h"

#include "qiao/engine/internal/carried_file.h"
#include "qiao/packet/bodies.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {

using internal::CarriedFileReader;
using internal::CarriedRole;

namespace {

constexpr size_t kManifestBytesMost = size_t{256} << 20U;
constexpr size_t kStructureBytesMost = size_t{64} << 20U;
constexpr size_t kReadBytes = size_t{1} << 20U;

Error damaged(const CarriedFile& file, std::string_view why) {
    return {ErrorCode::EngineCarriedDamaged, fmt::format("{}: {}", file.name, why)};
}

Error missing_as_such(const Error& error, const std::string& name) {
    return error.is(ErrorCode::StorageMissing) ? Error(ErrorCode::EngineCarriedMissing, name)
                                               : error;
}

}  // namespace

CarriedFolder::CarriedFolder(Storage& storage, std::string folder, packet::ReceiverKeys receivers)
    : storage_(storage), folder_(std::move(folder)), ring_(std::move(receivers)) {}

Task<Result<std::unique_ptr<CarriedFolder>>> CarriedFolder::open(
    Storage& storage, std::string folder, packet::ReceiverKeys receivers
) {
    std::unique_ptr<CarriedFolder> opened(
        new CarriedFolder(storage, std::move(folder), std::move(receivers))
    );
    QIAO_CO_CHECK(co_await opened->read_manifest());
    co_return opened;
}

Task<Status> CarriedFolder::read_manifest() {
    auto opened = co_await CarriedFileReader::open(
        storage_, folder_, kCarriedManifestName, CarriedRole::Manifest, nullptr
    );
    if (!opened) {
        co_return opened.error().is(ErrorCode::StorageMissing)
            ? Error(ErrorCode::EngineCarriedIncomplete, folder_)
            : opened.error();
    }
    auto& file = *opened;
    QIAO_CO_TRY(const auto first, co_await file.next());
    if (first.origin.kind != packet::Kind::Key) {
        co_return file.damaged("it does not begin with a key");
    }
    const auto suite = first.hop.suite;
    const auto stream = first.origin.stream;
    if (const auto added = ring_.add(first); !added) {
        const auto& error = added.error();
        co_return error.is(ErrorCode::CryptoWrongKey) ? error.within(kCarriedManifestName)
                                                      : file.damaged(error);
    }
    QIAO_CO_TRY(const auto body, co_await file.read_pieces(ring_, kManifestBytesMost));
    auto manifest = CarriedManifest::decode(body);
    if (!manifest) {
        co_return file.damaged(manifest.error());
    }
    manifest_ = *std::move(manifest);
    if (manifest_.suite != suite || manifest_.stream != stream) {
        co_return file.damaged("its packets are of another load");
    }
    QIAO_CO_TRY(
        const auto bytes,
        co_await read_file(storage_, folder_ + "/" + kCarriedManifestName, file.size())
    );
    digest_ = this->suite().digest({ByteView(bytes)});
    co_return Status{};
}

Task<Status> CarriedFolder::check(StopSignal& stop) {
    QIAO_CO_TRY(const auto found, co_await storage_.list(folder_));
    std::set<std::string_view> told{kCarriedManifestName};
    for (const auto* file : manifest_.files()) {
        told.insert(file->name);
        if (!std::ranges::binary_search(found, file->name)) {
            co_return Error(ErrorCode::EngineCarriedMissing, file->name);
        }
    }
    for (const auto& name : found) {
        if (!told.contains(name)) {
            co_return Error(ErrorCode::EngineCarriedForeign, name);
        }
    }
    checked_bytes_ = 0;
    for (const auto* file : manifest_.files()) {
        QIAO_CO_CHECK(co_await check_file(*file, stop));
    }
    co_return Status{};
}

Task<Status> CarriedFolder::check_file(CarriedFile file, StopSignal& stop) {
    const auto opened = co_await storage_.open(folder_ + "/" + file.name, OpenMode::Read);
    if (!opened) {
        co_return missing_as_such(opened.error(), file.name);
    }
    QIAO_CO_TRY(const auto size, (*opened)->size());
    if (size != file.bytes) {
        co_return damaged(file, fmt::format("{} bytes instead of {}", size, file.bytes));
    }
    const auto hasher = suite().make_hasher();
    Bytes buffer(std::min<uint64_t>(size, kReadBytes));
    for (uint64_t offset = 0; offset < size;) {
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        const auto want =
            MutableByteView(buffer).first(std::min<uint64_t>(size - offset, buffer.size()));
        QIAO_CO_TRY(const auto got, co_await (*opened)->read_at(offset, want));
        if (got == 0) {
            co_return damaged(file, "it is cut");
        }
        hasher->update(ByteView(buffer).first(got));
        offset += got;
        checked_bytes_ += got;
    }
    if (hasher->finish() != file.digest) {
        co_return damaged(file, "its digest is another");
    }
    co_return Status{};
}

Task<Result<std::optional<drivers::Structure>>> CarriedFolder::structure() const {
    const auto told =
        std::ranges::find(manifest_.others, std::string(kCarriedStructureName), &CarriedFile::name);
    if (told == manifest_.others.end()) {
        co_return std::optional<drivers::Structure>();
    }
    auto opened = co_await CarriedFileReader::open(
        storage_, folder_, told->name, CarriedRole::Structure, &suite()
    );
    if (!opened) {
        co_return missing_as_such(opened.error(), told->name);
    }
    QIAO_CO_TRY(const auto body, co_await opened->read_pieces(ring_, kStructureBytesMost));
    if (opened->digest() != told->digest) {
        co_return damaged(*told, "its digest is another");
    }
    auto structure = drivers::Structure::decode(body);
    if (!structure) {
        co_return opened->damaged(structure.error());
    }
    co_return std::optional(*std::move(structure));
}

/// One file, chunk by chunk.
class CarriedFolder::PartReader final : public capture::SnapshotSession::Reader {
public:
    PartReader(
        const CarriedFolder& folder,
        const CarriedTable& table,
        uint32_t number,
        CarriedFileReader file
    )
        : folder_(folder), table_(table), number_(number), file_(std::move(file)) {}

    /// The schema stands before the rows.
    Task<Status> start() {
        QIAO_CO_TRY(const auto body, co_await open_next(packet::Kind::Schema));
        const auto schemas = packet::SchemaBody::decode(body);
        if (!schemas || schemas->schemas.size() != 1 || schemas->schemas.front() != table_.schema) {
            co_return file_.damaged("its schema is not that of the manifest");
        }
        co_return Status{};
    }

    Task<Result<capture::LoadChunk>> next(StopSignal& stop) override {
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        QIAO_CO_TRY(const auto body, co_await open_next(packet::Kind::LoadChunk));
        const auto chunk = packet::LoadChunkBody::decode(body);
        const bool fits = chunk && chunk->schema == table_.schema.id() && chunk->part == number_ &&
                          chunk->parts == table_.parts.size() && chunk->chunk == chunk_++ &&
                          chunk->format == static_cast<uint8_t>(table_.format) &&
                          chunk->joined_at == folder_.manifest_.session.joined_at;
        if (!fits) {
            co_return file_.damaged("a load chunk that does not belong here");
        }
        rows_ += chunk->row_count;
        if (chunk->last) {
            // Its writer commits after this one: nothing of the part is kept unless all is right.
            const auto& told = table_.parts[number_];
            if (!file_.at_end() || rows_ != told.rows || file_.digest() != told.file.digest) {
                co_return file_.damaged("it is not what the manifest tells");
            }
        }
        co_return capture::LoadChunk{
            to_bytes(chunk->rows), chunk->row_count, chunk->last, to_bytes(chunk->withheld)
        };
    }

private:
    Task<Result<Bytes>> open_next(packet::Kind kind) {
        QIAO_CO_TRY(const auto view, co_await file_.next());
        const auto& manifest = folder_.manifest_;
        if (view.origin.kind != kind || view.origin.stream != manifest.stream ||
            view.origin.trace != manifest.load ||
            view.origin.generation != manifest.session.generation) {
            co_return file_.damaged("a packet of another load");
        }
        auto body = folder_.ring_.open(view);
        if (!body) {
            co_return file_.damaged(body.error());
        }
        co_return body;
    }

    const CarriedFolder& folder_;
    const CarriedTable& table_;
    uint32_t number_;
    CarriedFileReader file_;
    uint32_t chunk_ = 0;
    uint64_t rows_ = 0;
};

class CarriedFolder::Snapshot final : public capture::SnapshotSession {
public:
    Snapshot(const CarriedFolder& folder, const std::set<model::TableName>& left_out)
        : folder_(folder) {
        for (const auto& table : folder.manifest_.tables) {
            if (left_out.contains(table.schema.table)) {
                continue;
            }
            for (uint32_t number = 0; number < table.parts.size(); ++number) {
                capture::LoadPart part;
                part.schema = table.schema;
                part.number = number;
                part.parts = static_cast<uint32_t>(table.parts.size());
                part.rows_estimated = table.parts[number].rows;
                part.bytes_estimated = table.parts[number].file.bytes;
                parts_.push_back(std::move(part));
            }
        }
    }

    const model::SourcePosition& joined_at() const override {
        return folder_.manifest_.session.joined_at;
    }

    const std::vector<capture::LoadPart>& parts() const override { return parts_; }

    drivers::LoadFormat format(const capture::LoadPart& part) const override {
        return folder_.manifest_.find(part.schema.table)->format;
    }

    Task<Result<std::unique_ptr<Reader>>> read(capture::LoadPart part, size_t /*chunk_bytes*/)
        override {
        const auto& table = *folder_.manifest_.find(part.schema.table);
        const auto& name = table.parts[part.number].file.name;
        auto opened = co_await CarriedFileReader::open(
            folder_.storage_, folder_.folder_, name, CarriedRole::Part, &folder_.suite()
        );
        if (!opened) {
            co_return missing_as_such(opened.error(), name);
        }
        auto reader = std::make_unique<PartReader>(folder_, table, part.number, *std::move(opened));
        QIAO_CO_CHECK(co_await reader->start());
        co_return std::unique_ptr<Reader>(std::move(reader));
    }

private:
    const CarriedFolder& folder_;
    std::vector<capture::LoadPart> parts_;
};

std::unique_ptr<capture::SnapshotSession> CarriedFolder::snapshot(
    std::set<model::TableName> left_out
) const {
    return std::make_unique<Snapshot>(*this, left_out);
}

}  // namespace qiao::engine
