#include "qiao/engine/carried_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::engine {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kNameMost = 64;

void put(ByteWriter& out, const CarriedFile& file) {
    out.put_sized(file.name);
    out.put(file.bytes);
    out.append(file.digest.view());
}

/// A name that stays in its folder on every system.
bool is_plain(std::string_view name) {
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    };
    return !name.empty() && name.size() <= kNameMost && name.front() != '.' &&
           std::ranges::all_of(name, fits);
}

CarriedFile get_file(ByteReader& in, std::set<std::string>& names) {
    CarriedFile file;
    file.name = in.get_text();
    file.bytes = in.get<uint64_t>();
    file.digest = Digest::from(in.take(Digest::kSize));
    if (!is_plain(file.name) || file.name == kCarriedManifestName ||
        !names.insert(file.name).second) {
        in.fail();
    }
    return file;
}

Result<CarriedTable> get_table(ByteReader& in, std::set<std::string>& names) {
    CarriedTable table;
    QIAO_TRY(table.schema, model::TableSchema::decode(in.get_sized()));
    const auto format = in.get<uint8_t>();
    if (format < static_cast<uint8_t>(drivers::LoadFormat::PgCopyBinary) ||
        format > static_cast<uint8_t>(drivers::LoadFormat::Tuples)) {
        in.fail();
    }
    table.format = static_cast<drivers::LoadFormat>(format);
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        CarriedPart part{get_file(in, names), 0};
        part.rows = in.get<uint64_t>();
        table.parts.push_back(std::move(part));
    }
    if (table.parts.empty()) {
        in.fail();
    }
    return table;
}

}  // namespace

uint64_t CarriedTable::rows() const {
    uint64_t rows = 0;
    for (const auto& part : parts) {
        rows += part.rows;
    }
    return rows;
}

uint64_t CarriedManifest::rows() const {
    uint64_t rows = 0;
    for (const auto& table : tables) {
        rows += table.rows();
    }
    return rows;
}

uint64_t CarriedManifest::bytes() const {
    uint64_t bytes = 0;
    for (const auto* file : files()) {
        bytes += file->bytes;
    }
    return bytes;
}

std::vector<const CarriedFile*> CarriedManifest::files() const {
    std::vector<const CarriedFile*> files;
    for (const auto& table : tables) {
        for (const auto& part : table.parts) {
            files.push_back(&part.file);
        }
    }
    for (const auto& file : others) {
        files.push_back(&file);
    }
    return files;
}

const CarriedTable* CarriedManifest::find(const model::TableName& table) const {
    const auto is_it = [&table](const CarriedTable& one) { return one.schema.table == table; };
    const auto found = std::ranges::find_if(tables, is_it);
    return found == tables.end() ? nullptr : &*found;
}

Bytes CarriedManifest::encode() const {
    ByteWriter out;
    out.put(kVersion);
    out.append(stream.view());
    out.append(load.view());
    out.put_sized(source);
    out.put_sized(node);
    out.put_sized(tool_version);
    out.put(static_cast<uint64_t>(made_at.us));
    out.put(static_cast<uint8_t>(suite));
    out.put_sized(session.encode());
    out.put(static_cast<uint32_t>(tables.size()));
    for (const auto& table : tables) {
        out.put_sized(table.schema.encode());
        out.put(static_cast<uint8_t>(table.format));
        out.put(static_cast<uint32_t>(table.parts.size()));
        for (const auto& part : table.parts) {
            put(out, part.file);
            out.put(part.rows);
        }
    }
    out.put(static_cast<uint32_t>(others.size()));
    for (const auto& file : others) {
        put(out, file);
    }
    return std::move(out).take();
}

Result<CarriedManifest> CarriedManifest::decode(ByteView bytes) {
    ByteReader in(bytes);
    const Error malformed(ErrorCode::PacketMalformed, "manifest of a carried load");
    if (const auto version = in.get<uint8_t>(); in.ok() && version != kVersion) {
        return Error(ErrorCode::PacketTooNew, fmt::format("manifest version {}", version));
    }
    CarriedManifest manifest;
    manifest.stream = StreamId::from(in.take(StreamId::kSize));
    manifest.load = TraceId::from(in.take(TraceId::kSize));
    manifest.source = in.get_text();
    manifest.node = in.get_text();
    manifest.tool_version = in.get_text();
    manifest.made_at = {static_cast<int64_t>(in.get<uint64_t>())};
    manifest.suite = static_cast<crypto::SuiteId>(in.get<uint8_t>());
    const auto session = LoadSession::decode(in.get_sized());
    if (!session) {
        return malformed;
    }
    manifest.session = *session;
    std::set<std::string> names;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        QIAO_TRY(auto table, get_table(in, names));
        manifest.tables.push_back(std::move(table));
    }
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        manifest.others.push_back(get_file(in, names));
    }
    const auto same = [](const CarriedTable& table, const model::TableName& name) {
        return table.schema.table == name;
    };
    std::set<model::TableName> tables;
    for (const auto& table : manifest.tables) {
        tables.insert(table.schema.table);
    }
    if (!in.ok() || !in.at_end() || tables.size() != manifest.tables.size() ||
        !std::ranges::equal(manifest.tables, manifest.session.tables, same)) {
        return malformed;
    }
    return manifest;
}

std::string carried_part_name(size_t table, uint32_t part) {
    return fmt::format("t{:05}-p{:05}.load", table, part);
}

}  // namespace qiao::engine
