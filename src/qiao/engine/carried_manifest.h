#pragma once

#include "qiao/common/time.h"
#include "qiao/crypto/suite.h"
#include "qiao/drivers/target_session.h"
#include "qiao/engine/flow_target.h"

#include <string>
#include <vector>

namespace qiao::engine {

// A carried load: a first load as a folder of files, taken by disk to where its source cannot be
// reached. Layout: docs/reference/formats/carried-load.md.
// Spec: R-11

constexpr const char* kCarriedManifestName = "manifest.load";
constexpr const char* kCarriedStructureName = "structure.load";
constexpr const char* kCarriedSummaryName = "load.txt";

/// A file of the folder as its manifest tells it.
struct CarriedFile {
    std::string name;
    uint64_t bytes = 0;
    Digest digest;  ///< of all its bytes, by the load's suite
    bool operator==(const CarriedFile&) const = default;
};

/// One part of one table; its number is its place in the table's list.
struct CarriedPart {
    CarriedFile file;
    uint64_t rows = 0;
    bool operator==(const CarriedPart&) const = default;
};

struct CarriedTable {
    model::TableSchema schema;
    drivers::LoadFormat format = drivers::LoadFormat::Tuples;
    std::vector<CarriedPart> parts;  ///< at least one
    bool operator==(const CarriedTable&) const = default;

    uint64_t rows() const;
};

/// What a carried load says of itself; it is sealed, and covers every other file by its digest.
struct CarriedManifest {
    StreamId stream;           ///< of the flow that will follow
    TraceId load;              ///< this export, in every packet of it
    std::string source;        ///< the source's identity, for people
    std::string node;          ///< who exported
    std::string tool_version;  ///< of qiao
    WallTime made_at;
    crypto::SuiteId suite = crypto::SuiteId::Gm;
    LoadSession session;               ///< its tables are those of `tables`, in that order
    std::vector<CarriedTable> tables;  ///< by name, each once
    std::vector<CarriedFile> others;   ///< structure and summary

    uint64_t rows() const;
    /// Of all files but the manifest.
    uint64_t bytes() const;
    /// All files but the manifest, those of the parts first.
    std::vector<const CarriedFile*> files() const;
    const CarriedTable* find(const model::TableName& table) const;

    Bytes encode() const;
    /// Foreign bytes. What it gives is consistent: file names are plain and come once, tables too.
    /// Errors: packet.malformed, packet.too_new.
    static Result<CarriedManifest> decode(ByteView bytes);
};

/// `t00001-p00000.load`
std::string carried_part_name(size_t table, uint32_t part);

}  // namespace qiao::engine
