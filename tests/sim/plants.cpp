#include "plants.h"

#include <array>

namespace qiao::sim {
namespace {

constexpr auto kPlants = std::to_array<PlantName>({
    {Plant::AcknowledgeBeforeSync, "acknowledge before fsync"},
    {Plant::FolderNotSynced, "fsync of file but not folder"},
    {Plant::TornTailKept, "torn tail kept"},
    {Plant::ResumeOneLate, "sequence off by one at resume"},
    {Plant::DuplicateAdmitted, "duplicate admitted after reconnect"},
    {Plant::CheckpointApart, "checkpoint outside the transaction"},
    {Plant::GroupOutOfOrder, "groups committed out of order"},
    {Plant::UndoneSubtransactionKept, "aborted sub-transaction kept"},
    {Plant::AheadKeptOverReconnect, "spool kept over a reconnect"},
    {Plant::SchemaNotSaved, "relation message lost over restart"},
    {Plant::RetentionTooFar, "retention past the slowest consumer"},
    {Plant::FullDiskSwallowed, "full disk swallowed"},
    {Plant::HalfOpenNeverClosed, "half-open link never closed"},
    {Plant::KeySwapFolded, "key swap coalesced"},
    {Plant::TruncateOvertaken, "TRUNCATE overtaken"},
    {Plant::SlotNotCompared, "slot re-created unnoticed"},
    {Plant::RotCutAsTornTail, "acknowledged rot cut as a torn tail"},
    {Plant::EpochIgnored, "epoch ignored"},
    {Plant::FreedBeforeCustody, "custody released twice"},
    {Plant::ClockJumpDoublesBeats, "a clock jump doubles a timer"},
    {Plant::TwoLiveAppliers, "two live appliers"},
    {Plant::RepairRacesTheStream, "repair racing the stream"},
    {Plant::NonceReused, "nonce reused after restart"},
    {Plant::OtherStreamAdmitted, "packet of another stream admitted"},
    {Plant::OtherContentAdmitted, "sequence with other content admitted"},
    {Plant::StaleImageReplayed, "replay of a stale image"},
});

}  // namespace

std::span<const PlantName> plants() { return kPlants; }

}  // namespace qiao::sim
