//! What can be planted, one at a time.

/// A rule of the protocol left out, or two of its steps exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The pending word is cleared before the unlock, not after it.
    PendingClearedFirst,
    /// Who takes L does not replay.
    NoReplay,
    /// A mark takes the owner in the word for living (Windows: the token is not asked).
    MarkTrustsOwner,
    /// Who takes the lock of a record whose holder died does not wake those who wait for its value.
    DeathNotTold,
    /// Those who wait for a record's lock are woken after the mark is gone.
    SleepersAfterUnmark,

    RootBeforeSeq,
    MissNotChecked,

    BitBeforeJournal,
    IdBeforeSlot,
    IndexAfterId,
    NoSecondLookup,
    BirthsNotReplayed,

    CollectWaits,
    CollectWithoutMark,
    CollectWithoutLook,
    CollectDoesNotWake,
    ReplayWithoutMark,
    /// Who replays a mark on what is not removed wakes nobody.
    ReplayDoesNotWake,
    JournalBeforeUnmark,

    TableBeforeJournal,
    SeqAfterFree,

    MarkBeforeJournal,
    NoIdsAfterMarks,
    WaitsForMarkL,
    CommitBeforeFill,
    WakeAtPublication,
    ApplyWithoutMark,
    StatusBeforeUnmark,
    SequenceStaysOdd,
    SnapshotWithoutIds,
    WaiterIgnoresId,

    /// Who reserves an extent does not say that he fills it.
    NoFiller,
    /// Extents are freed though their filler lives.
    FillerIgnored,
    /// The filler counts when it is dead.
    DeadFillersCount,
    /// A record owns the extent whose head names it, whatever the id there.
    OwnerIdIgnored,
    /// A slot whose version is invalid owns nothing.
    InvalidSlotsOwnNothing,
    /// Extents are freed though somebody has them pinned.
    PinsIgnored,
    /// A value is written in place though somebody has it pinned.
    WritesOverPins,
    /// The pin of a dead process counts.
    DeadPinsCount,
    /// A reader does not pin what it copies.
    UnpinnedCopy,
    /// A sweep frees the extent of an old value whose slot still has its version.
    FreeBeforeInvalid,
    /// A sweep takes old values without the record's mark.
    SweepWithoutMark,
    /// A sweep marks before it has journalled.
    SweepMarkFirst,
    /// The further chunks' words are freed before the first one's.
    FurtherFreedFirst,
    /// Words of further chunks that nothing covers are kept.
    OrphansKept,
    /// The number of chunks is stored before the section has them.
    CountBeforeSection,
    /// The section is cut to a length that was thought up before L was taken.
    LengthBeforeL,
}
