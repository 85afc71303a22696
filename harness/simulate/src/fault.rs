//! What can be planted: each a rule of the protocol left out.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    NoDataBarrier,
    NoSum,
    TwoSlots,
    EpochReused,
    DeadEpochReused,
    ErasedAtOnce,
    AcceptedSlotRewritten,
    NoBarrierBeforeIdentity,
    SweepOutsideT,
    ExtentReusedAtOnce,
    BlockReusedAtOnce,
    BlockWithoutId,
    DurableResealed,
    DeadChoicePromoted,
    SuperblockInPlace,
    RetiredReusedEarly,
    RipeByRunning,
    DirtyBeforeId,
    DirtyClearedFirst,
    InFlightForgotten,
    ChoiceNotBegunAgain,
    YoungErasedInFlight,
    ChosenWithoutBit,
    NoChunkId,
    LengthFromLiveWord,
    AtomicNotCopied,
    RejectedNotZeroed,
    RejectedZeroedWhole,
    TombstoneWiped,
    NoWitness,
    NoSumOfAll,
    WitnessBeforeBarrier,
    VersionsFromSeen,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// A run must find it within so many.
    Caught(u64),
    /// Nothing can be found: another rule does the same work. If it ever is, the other is gone.
    Covered,
}

pub struct Planted {
    pub fault: Fault,
    pub name: &'static str,
    pub verdict: Verdict,
    /// Shows only where a word of the file rots.
    pub rot: bool,
}

const fn caught(fault: Fault, runs: u64, name: &'static str) -> Planted {
    Planted { fault, name, verdict: Verdict::Caught(runs), rot: false }
}

const fn covered(fault: Fault, name: &'static str) -> Planted {
    Planted { fault, name, verdict: Verdict::Covered, rot: false }
}

pub const ALL: &[Planted] = &[
    caught(Fault::NoDataBarrier, 20_000, "no data barrier: only the superblock is written out"),
    caught(Fault::NoSum, 20_000, "no sum: a good superblock is enough"),
    caught(Fault::TwoSlots, 20_000, "two slots instead of four"),
    // After its barrier no seal above the accepted epoch is left, and no good superblock.
    covered(Fault::EpochReused, "epoch reused after recovery"),
    caught(Fault::DeadEpochReused, 20_000, "epoch of a dead flush reused"),
    caught(Fault::ErasedAtOnce, 20_000, "removed record erased at once"),
    caught(Fault::AcceptedSlotRewritten, 20_000, "recovery rewrites the accepted slot"),
    caught(Fault::NoBarrierBeforeIdentity, 20_000, "no barrier before the identity"),
    caught(Fault::SweepOutsideT, 20_000, "dirty bits swept outside T"),
    caught(Fault::ExtentReusedAtOnce, 20_000, "extent reused when its slot is not current"),
    caught(Fault::BlockReusedAtOnce, 100_000, "name block reused at retirement"),
    caught(Fault::BlockWithoutId, 500_000, "name block without its variable's id"),
    caught(Fault::DurableResealed, 20_000, "a durable B sealed again"),
    caught(Fault::DeadChoicePromoted, 20_000, "the choice of a dead flush becomes A"),
    caught(Fault::SuperblockInPlace, 20_000, "the superblock of D written over"),
    caught(Fault::RetiredReusedEarly, 20_000, "retired record reused without waiting"),
    caught(Fault::RipeByRunning, 300_000, "retired record reused after a flush that ran already"),
    caught(Fault::DirtyBeforeId, 20_000, "insert: dirty bit before the id"),
    caught(Fault::DirtyClearedFirst, 20_000, "dirty bits cleared before fl has them"),
    caught(Fault::InFlightForgotten, 20_000, "fl cleared before the barrier"),
    caught(Fault::ChoiceNotBegunAgain, 500_000, "choice goes on after it gave up T"),
    caught(Fault::YoungErasedInFlight, 20_000, "young record erased though chosen"),
    caught(Fault::ChosenWithoutBit, 3_000_000, "chosen without its bit in fl"),
    caught(Fault::NoChunkId, 3_000_000, "checksum without the chunk's id"),
    // What lies beyond is no part of D; cut again, it has another chunk id. (That the word may be
    // above the length is no question of durability.)
    covered(Fault::LengthFromLiveWord, "length taken from the live word"),
    caught(Fault::AtomicNotCopied, 20_000, "Atomic not copied into a slot"),
    caught(Fault::RejectedNotZeroed, 500_000, "rejected superblock left as it is"),
    caught(Fault::RejectedZeroedWhole, 2_000_000, "rejected superblock zeroed word by word"),
    caught(Fault::TombstoneWiped, 20_000, "recovery wipes tombstones"),
    caught(Fault::VersionsFromSeen, 20_000, "versions go on from the greatest seen"),
    Planted {
        fault: Fault::NoWitness,
        name: "rot: the word D is no witness",
        verdict: Verdict::Caught(20_000),
        rot: true,
    },
    Planted {
        fault: Fault::NoSumOfAll,
        name: "rot: no sum over all",
        verdict: Verdict::Caught(20_000),
        rot: true,
    },
    Planted {
        fault: Fault::WitnessBeforeBarrier,
        name: "D stored before the barrier",
        verdict: Verdict::Caught(20_000),
        rot: false,
    },
];
