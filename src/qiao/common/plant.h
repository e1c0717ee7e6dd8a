#pragma once

#include <cstdint>

namespace qiao {

/// Bugs that the simulator plants to see that it catches them; docs/internals/simulator.md tells
/// each. Only a build with QIAO_PLANTS has them: everywhere else is_planted() is the constant
/// false, and their code is gone.
enum class Plant : uint8_t {
    None,
    AcknowledgeBeforeSync,
    FolderNotSynced,
    TornTailKept,
    ResumeOneLate,
    DuplicateAdmitted,
    CheckpointApart,
    GroupOutOfOrder,
    UndoneSubtransactionKept,
    AheadKeptOverReconnect,
    SchemaNotSaved,
    RetentionTooFar,
    FullDiskSwallowed,
    HalfOpenNeverClosed,
    KeySwapFolded,
    TruncateOvertaken,
    SlotNotCompared,
    RotCutAsTornTail,
    EpochIgnored,
    FreedBeforeCustody,
    ClockJumpDoublesBeats,
    TwoLiveAppliers,
    RepairRacesTheStream,
    NonceReused,
    OtherStreamAdmitted,
    OtherContentAdmitted,
    StaleImageReplayed,
};

#ifdef QIAO_PLANTS

/// One at a time; set by the simulator alone.
inline Plant planted = Plant::None;

inline bool is_planted(Plant plant) { return planted == plant; }

#else

constexpr bool is_planted(Plant /*plant*/) { return false; }

#endif

}  // namespace qiao
