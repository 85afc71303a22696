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
    /// Who marks a record whose holder died does not wake those who wait for its value.
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

    /// Who reserved an extent does not look at its token once the place is its own.
    NoTokenAtPlace,
    /// It looks at the token before its pin can be seen: a missing `fence(SeqCst)`.
    TokenBeforePin,
    /// Nor under the record's lock.
    NoTokenUnderLock,
    /// Nor under L, for an insertion.
    NoTokenUnderL,
    /// Nor after a transaction's marks.
    NoTokensAfterMarks,
    /// Tokens are the same for each incarnation.
    TokensRepeat,
    /// An insertion does not write its record into the head of the extent.
    HeadKeepsNoRecord,
    /// Extents are freed without a look at the places.
    PinsIgnored,
    /// The places are looked at before the token is void.
    PinsBeforeVoid,
    /// The pin of a dead process counts.
    DeadPinsCount,
    /// A reader looks at the slot before its pin can be seen.
    SlotBeforePin,
    /// A sweep frees the extent of a slot that still has its version.
    FreeBeforeInvalid,
    /// A sweep looks at the slots without the record's mark.
    SweepWithoutMark,
    /// A sweep marks before it has journalled.
    SweepMarkFirst,
    /// Who replaced an extent frees what stands there now, whatever its token.
    ReleaseWithoutToken,
    /// The first chunk's word is stored before the further ones'.
    FirstBeforeFurther,
    /// The further chunks' words are freed before the first one's.
    FurtherFreedFirst,
    /// Words of further chunks that nothing covers are kept.
    OrphansKept,
    /// The place's pin goes before the copy is complete.
    UnpinnedCopy,
    /// The number of chunks is stored before the section has them.
    CountBeforeSection,
    /// The section is cut to a length that was thought up before L was taken.
    LengthBeforeL,
}
