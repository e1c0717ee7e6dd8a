#pragma once

#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/common/storage.h"
#include "qiao/crypto/data_key.h"
#include "qiao/engine/carried_manifest.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::engine {

namespace internal {
struct CarriedOrigin;
}

/// A folder as the target of a first load: its parts become files, every row sealed for the
/// receivers. The manifest is written last, by finish_load(): a folder without it is a cut export.
/// All files are synced before that, and have their names only when they are whole.
/// One load a folder.
/// Spec
class CarriedWriter final : public FlowTarget {
public:
    struct Parts {
        Clock& clock;
        Rng& rng;
        Storage& storage;
        std::string folder;
        StreamId stream;
        std::string source;  ///< its identity
        std::string node;
        std::string tool_version;
        const crypto::Suite& suite;
        std::vector<std::shared_ptr<const crypto::PublicKey>> receivers;
    };

    explicit CarriedWriter(Parts parts);
    ~CarriedWriter() override;

    /// First of all: makes the folder. Errors: engine.carried_not_empty, crypto.wrong_key for a
    /// receiver's key that cannot encrypt, common.storage_*.
    Task<Status> open();

    /// Holds nothing, and takes every form of rows.
    Task<Result<TargetState>> state() override;
    /// Kept for finish_load(); what the importing side makes of it is its own.
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) override;
    Task<Status> begin_load(LoadSession session) override;
    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat format, LoadSession session
    ) override;
    /// Errors: engine.load_failed when a part is missing, common.storage_*.
    Task<Status> finish_load(LoadSession session) override;
    Task<Status> announce_loads(std::vector<model::TableName> tables) override;
    Task<Status> start_apply() override;

    /// After finish_load().
    const CarriedManifest& manifest() const { return manifest_; }

    /// Names the whole load: to be compared over another way than the carrier's.
    const Digest& digest() const { return digest_; }

private:
    class FolderPart;

    Task<Status> write_structure();
    Task<Status> write_summary();
    Task<Status> write_manifest();
    std::string summary() const;

    Parts parts_;
    crypto::SealingKey key_;
    Bytes wrapped_;
    std::unique_ptr<internal::CarriedOrigin> origin_;
    std::optional<drivers::Structure> structure_;
    std::map<model::TableName, size_t> places_;  ///< of tables in the manifest
    CarriedManifest manifest_;
    Digest digest_;
};

}  // namespace qiao::engine
