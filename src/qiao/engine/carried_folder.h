#pragma once

#include "qiao/capture/snapshot_source.h"
#include "qiao/common/storage.h"
#include "qiao/engine/carried_manifest.h"
#include "qiao/packet/seal.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace qiao::engine {

/// A carried load where it has arrived. Everything in the folder is foreign until check() has
/// passed; a row is given out only from a packet in its turn, and the last of a part only when the
/// whole file is what the manifest tells.
/// Spec
class CarriedFolder {
public:
    /// Reads the manifest. Errors: engine.carried_incomplete, engine.carried_damaged,
    /// crypto.wrong_key when the load was made for somebody else, packet.too_new, common.storage_*.
    static Task<Result<std::unique_ptr<CarriedFolder>>> open(
        Storage& storage, std::string folder, packet::ReceiverKeys receivers
    );

    const CarriedManifest& manifest() const { return manifest_; }

    /// Names the whole load, see CarriedWriter::digest().
    const Digest& digest() const { return digest_; }

    /// Every file is there, is what the manifest says, and there is no other. Reads all of them.
    /// Errors, naming the file: engine.carried_missing, engine.carried_damaged,
    /// engine.carried_foreign; common.cancelled.
    Task<Status> check(StopSignal& stop);

    /// For progress: bytes that check() has read.
    uint64_t checked_bytes() const { return checked_bytes_; }

    /// What makes the tables; none when the export had none to give.
    Task<Result<std::optional<drivers::Structure>>> structure() const;

    /// The parts, as a load session; `left_out`: tables that are in already. The folder outlives
    /// it. Errors of its readers: engine.carried_damaged naming the file.
    std::unique_ptr<capture::SnapshotSession> snapshot(std::set<model::TableName> left_out) const;

private:
    class Snapshot;
    class PartReader;

    CarriedFolder(Storage& storage, std::string folder, packet::ReceiverKeys receivers);
    Task<Status> read_manifest();
    Task<Status> check_file(CarriedFile file, StopSignal& stop);

    const crypto::Suite& suite() const { return *crypto::find_suite(manifest_.suite); }

    Storage& storage_;
    std::string folder_;
    packet::KeyRing ring_;
    CarriedManifest manifest_;
    Digest digest_;
    uint64_t checked_bytes_ = 0;
};

}  // namespace qiao::engine
