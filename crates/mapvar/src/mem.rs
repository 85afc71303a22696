//! The one seam between the engine and the region: every load, store, fence and lock goes through
//! [`Mem`].
//!
//! What stands behind it: a mapping ([`Mapped`]); plain words of this process ([`heap::Heap`], for
//! tests); words of which each load may be answered by what an attacker likes
//! ([`adversary`](adversary::Adversary), for the fuzzers); and, in `harness`, the memory of a model
//! checker that tries every order that the orderings allow.
//!
//! SYNC POINTs, both ends of each (engine rules in `docs/FORMAT.md`):
//!
//! | # | release | acquire | carries |
//! | --- | --- | --- | --- |
//! | S1 | `state.swap(AcqRel)` in `slots::write` | `state.load(Acquire)` in `slots::read` | the slot's content |
//! | S2 | `fence(Release)` after `version = INVALID` in `slots::write` | `fence(Acquire)` before the last load of `version` in `slots::read` | that the slot is being rewritten |
//! | S3 | `fence(Release)` after `id = 0` in `store::insert`, `store::collect` | `fence(Acquire)` before the last load of `id` | that the record is being remade |
//! | S4 | `id.store(Release)` in `store::insert` | `id.load(Acquire)` in `index::find`, `slots::read` | name, meta and first slot of a new record |
//! | S5 | `unlock` (Release) | `lock` (Acquire) | all that was written under the lock |
//! | S6 | `root.store(Release)` in `index::rebuild` | `root.load(Acquire)` in `index::find` | the new index |
//! | S7 | `index_seq.fetch_add(Release)` | `index_seq.load(Acquire)` in `index::find` | that an index word or the root changed |
//! | S8 | `operation.store(Release)` in the journal | `lock(L)`, which replays | the journal's other words |
//! | S9 | `fence(Release)` before a chunk or an extent is used anew, in `index::rebuild`, `alloc::cut_chunk`, `extents::fill` | `fence(Acquire)` after a miss in `index::find`, before the last load of `version` in `slots::read` | the `index_seq` that was counted before; that the slot was made invalid |
//! | S10 | `fetch_or` of a dirty bit in `slots::mark_dirty`, before the publication | the sweep of `flush` | that a record is to be flushed |
//! | S11 | `chunks.store(Release)` in `growth::grow` | `chunks.load(Acquire)` in `alloc::chunk_count` | the new chunks' tables |
//! | S12 | `fence(SeqCst)` after the pin is set in `extents::pin` | `fence(SeqCst)` in `extents::is_pinned`, after the slot no longer refers to the extent | one of the two sees the other |
//! | S13 | `status.store(Release)` in `transact::commit` | `lock(T)`, which replays | slots filled, entries of the journal |
//! | S14 | compare-exchange of F in `flush::claim_flush`, and its `Drop` | the same, in the next flusher | D, the superblocks, bits in flight |
//! | S15 | `seal.store(Release)` in `flush::seal`, then `epoch.store(Release)` | `epoch.load(Acquire)`, `seal.load(Acquire)` in `store::fate` | that a tombstone is durable |
//! | S17 | `state.swap(AcqRel)` in `slots::publish`, after which WAIT is looked at | `state.fetch_or(WAIT, AcqRel)` in `waiting::arm` | one of the two sees the other: the writer that it is waited for, or who waits that it has changed |
//! | S18 | the addition in `mapvar_os::Locks::wake` | the load in `Mem::wakes`, before `waiting::arm` | that the variable changed before the count that was seen |
//! | S16 | `fence(SeqCst)` in `store::retire`, after the slots were cleared | `next_epoch.store(SeqCst)` in `flush`, before the barrier | a flush with a number from R on finds them clear |

#![allow(unreachable_pub, reason = "reached by the harnesses, through `internals`")]
#![allow(clippy::disallowed_types, reason = "the one module that the atomics come from")]

use crate::{
    layout::{self, live, seat, sleeping},
    trouble::Trouble,
};
use mapvar_os::{
    Error, ErrorKind, Locks, Refused, Scope, Seat, Section, Taken, View, Words, WordsMut, machine,
};
use std::{
    cell::Cell,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

#[cfg(any(test, feature = "internals"))]
use std::sync::atomic::AtomicU64;

/// A word of this process.
pub(crate) type Private = std::sync::atomic::AtomicU64;
pub use std::sync::atomic::Ordering;

/// Loads from a range of words.
pub trait Load: Copy {
    /// Loads word `at`.
    fn load(self, at: usize, order: Ordering) -> u64;

    /// Copies bytes out, from the first word on, `Relaxed`.
    #[inline]
    fn copy_to(self, into: &mut [u8]) {
        for (at, bytes) in into.chunks_mut(8).enumerate() {
            let word = self.load(at, Ordering::Relaxed).to_le_bytes();
            for (to, from) in bytes.iter_mut().zip(word) {
                *to = from;
            }
        }
    }
}

/// Stores to a range of words.
pub trait Store: Load {
    /// Stores word `at`.
    fn store(self, at: usize, value: u64, order: Ordering);
    /// Copies bytes in, from the first word on, `Relaxed`. The last word is filled up with zeros.
    #[inline]
    fn copy_from(self, from: &[u8]) {
        for (at, bytes) in from.chunks(8).enumerate() {
            let word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.store(at, word, Ordering::Relaxed);
        }
    }
    /// Swaps word `at`.
    fn swap(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Adds to word `at`.
    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Keeps only the bits of `value`.
    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Sets bits of word `at`.
    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64;
    /// Stores `new` in word `at` if `old` stands there, `SeqCst`; answers what stood there, as `Err`
    /// where it was another.
    ///
    /// # Errors
    /// What stood there instead.
    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64>;
}

macro_rules! faults {
    ($($(#[$doc:meta])+ $fault:ident = $name:literal,)+) => {
        /// A fault that a harness plants to see that it is caught: in a memory of its own, or in any
        /// by its name (`mapvar_os::seeded`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])+ $fault,)+
        }

        impl Fault {
            /// What `MAPVAR_SEEDED` calls it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)+
                }
            }
        }
    };
}

faults! {
    /// The id of a new record is stored before its index word.
    IdBeforeIndex = "id-before-index",
    /// A value slot is chosen that may be the current one.
    ReuseCurrent = "reuse-current",
    /// A reader does not look at the id again.
    NoIdCheck = "no-id-check",
    /// A reader does not look at the slot's version at the end.
    NoVersionCheck = "no-version-check",
    /// A slot is not marked invalid before it is rewritten.
    NoInvalid = "no-invalid",
    /// A writer does not look whether the record is still the variable's.
    NoIdCheckUnderLock = "no-id-check-under-lock",
    /// A flush does not wait for the disk before it says that its epoch is complete.
    NoBarrier = "no-barrier",
    /// A recovery does not compare a superblock's sum with the slots.
    NoSumCheck = "no-sum-check",
    /// A writer takes slot A, or B.
    ReuseDurable = "reuse-durable",
    /// The number of a flush that did not complete is used again.
    EpochReused = "epoch-reused",
    /// A removed variable's record is erased, whatever the file knows of it.
    EraseAtOnce = "erase-at-once",
    /// A recovery writes the slot that it accepts.
    AcceptedRewritten = "accepted-rewritten",
    /// A recovery stores the identity before the rest is on the disk.
    NoBarrierInRecovery = "no-barrier-in-recovery",
    /// A writer has no fence between "invalid" and the slot's new content.
    NoFenceAfterInvalid = "no-fence-after-invalid",
    /// A reader has no fence before it looks at the slot's version again.
    NoFenceBeforeVersion = "no-fence-before-version",
    /// The swap of `state` that publishes a value is relaxed.
    PublishRelaxed = "publish-relaxed",
    /// A reader loads `state` relaxed.
    StateRelaxed = "state-relaxed",
    /// An insertion has no fence between `id = 0` and the record's new content.
    NoFenceInInsert = "no-fence-in-insert",
    /// A lookup has no fence before it looks at the id again.
    NoFenceInFind = "no-fence-in-find",
    /// A lookup does not look at the id again once it has compared the name.
    NoSecondIdInFind = "no-second-id-in-find",
    /// The root of a new index is stored relaxed.
    RootRelaxed = "root-relaxed",
    /// A rebuilding does not count `index_seq`.
    SeqNotCounted = "seq-not-counted",
    /// A lookup that found nothing does not look whether the index changed.
    MissBelieved = "miss-believed",
    /// A chunk becomes an index again without a fence.
    NoFenceInRebuild = "no-fence-in-rebuild",
    /// An insertion takes its bits before it has the journal.
    BitsBeforeJournal = "bits-before-journal",
    /// A replay says that it is done before it is.
    ReplayEndsFirst = "replay-ends-first",
    /// A replay of an insertion forgets the index word.
    ReplayKeepsWord = "replay-keeps-word",
    /// A collection does not wait for who holds the record.
    CollectUnmarked = "collect-unmarked",
    /// A word leaves the index as an empty one, and cuts off the names behind it.
    UnlinkToEmpty = "unlink-to-empty",
    /// A walk over the records goes on in a chunk where it ended in the one before.
    CursorNotReset = "cursor-not-reset",
    /// What is expected of a version is not compared.
    VersionNotCompared = "version-not-compared",
    /// Who takes a dead writer's lock does not wake those whom he had not woken.
    HeirWakesNobody = "heir-wakes-nobody",
    /// Who takes a dead writer's lock wakes only where the wake word says that somebody sleeps.
    HeirTrustsSign = "heir-trusts-sign",
    /// Who waits for a variable does not say so in its `state`.
    WaitNotSet = "wait-not-set",
    /// Who waits looks at the variable before he notes how often the wake word was counted up.
    CountedLate = "counted-late",
    /// A writer wakes those who wait before it publishes what they wait for.
    WakeBeforePublish = "wake-before-publish",
    /// A writer wakes nobody.
    NobodyWoken = "nobody-woken",
    /// A new variable wakes only those who wait for its name, not for any.
    BirthUntold = "birth-untold",
    /// A transaction publishes without the word that commits it.
    NoCommitWord = "no-commit-word",
    /// A record is let go before those who wait for its value are woken.
    UnlockBeforeWake = "unlock-before-wake",
    /// A committed transaction of a dead process is undone.
    CommittedUndone = "committed-undone",
    /// A transaction does not look whether what it read is as it was.
    ConflictOverlooked = "conflict-overlooked",
    /// Who frees an extent does not ask whether somebody reads it.
    PinIgnored = "pin-ignored",
    /// A reader lets go what it pinned before it has copied it.
    PinDroppedEarly = "pin-dropped-early",
    /// Who frees an extent does not ask whether somebody fills it.
    FillerIgnored = "filler-ignored",
    /// An extent is free as soon as the current slot does not refer to it.
    OldSlotsForgotten = "old-slots-forgotten",
    /// A value is written in place while the slot still counts as valid.
    InPlaceNotInvalid = "in-place-not-invalid",
    /// A recovery does not compare the checksums of slots.
    SlotSumIgnored = "slot-sum-ignored",
    /// A record used again keeps what its slots referred to.
    OldExtentsKept = "old-extents-kept",
    /// A set does not note that the record is to be flushed.
    LostDirty = "lost-dirty",
    /// A transaction does not note that its records are to be flushed.
    TransactionNotDirty = "transaction-not-dirty",
    /// Who ends the insertion of a dead process does not note that the record is to be flushed.
    ReplayNotDirty = "replay-not-dirty",
    /// An insertion notes that the record is to be flushed before it is a variable's.
    DirtyBeforeId = "dirty-before-id",
    /// A flush clears the dirty bits before they stand in flight.
    DirtyClearedFirst = "dirty-cleared-first",
    /// A flush looks for no Atomic whose word changed.
    AtomicPassedOver = "atomic-passed-over",
    /// A flush gives T back between two records that it chooses.
    ChoiceInPieces = "choice-in-pieces",
    /// What a flush sealed counts as durable before the flush is complete.
    PromotedEarly = "promoted-early",
    /// The word that says which epoch is complete is stored before the disk has all of it.
    CompleteBeforeBarrier = "complete-before-barrier",
    /// A flush writes the superblock of the last complete one.
    OneSuperblock = "one-superblock",
    /// The check of a superblock is not looked at.
    SuperblockUnchecked = "superblock-unchecked",
    /// A removed variable is retired when its tombstone is sealed, and not durable.
    RetiredEarly = "retired-early",
    /// The place of a retired record is used before the next flush is complete.
    PlaceEarly = "place-early",
    /// A slot that is written again keeps its seal.
    SealKept = "seal-kept",
    /// A large value in slot A or B, which the file has, is given back.
    DurableExtentFreed = "durable-extent-freed",
    /// Growth, and recovery before it, leave in the chunk table what stood there.
    TableTailKept = "table-tail-kept",
    /// A recovery leaves the journals as they are.
    JournalKept = "journal-kept",
    /// A recovery leaves the locks as they are.
    LocksKept = "locks-kept",
    /// A recovery does not count itself: ids and versions begin where they did before.
    IncarnationKept = "incarnation-kept",
    /// A recovery leaves the slots that it does not accept as they are.
    OthersKept = "others-kept",
    /// A recovery takes the older of two slots that count.
    OlderAccepted = "older-accepted",
    /// Growth does not look whether the section became longer.
    GrowthUnchecked = "growth-unchecked",
    /// Growth says how many chunks there are before the section is as long.
    CountBeforeGrowth = "count-before-growth",
    /// A recovery does not look at the part of a long name that its record has.
    LongNameUnchecked = "long-name-unchecked",
    /// The length of a value is checked, and loaded again for the copy.
    LengthReadTwice = "length-read-twice",
    /// A name is copied from its record though it is too long to lie there.
    NameBeyondRecord = "name-beyond-record",
    /// Nobody looks whether an extent lies within the region.
    ExtentUnbounded = "extent-unbounded",
    /// A sweep believes that a run may have no chunks, and stays where it is.
    RunOfNone = "run-of-none",
    /// A lookup begins again as often as the index changes.
    LookupUnbounded = "lookup-unbounded",
    /// The end of a run in the journal is a sum that nobody checks.
    RunSumUnchecked = "run-sum-unchecked",
    /// A recovery does not compare a record's class with its chunk's.
    ClassUnchecked = "class-unchecked",
    /// A flush makes room for as many bytes as a slot says that there are, before it looks.
    HashUnbounded = "hash-unbounded",
    /// The extent of a value that could not be published is not given back.
    ExtentNotForsaken = "extent-not-forsaken",
    /// A flush does not tell that the disk failed.
    BarrierSwallowed = "barrier-swallowed",
    /// A reader that finds no sense keeps the record's lock.
    LockKept = "lock-kept",
    /// Who gives up before a record's marks has its lock.
    LastTryKept = "last-try-kept",
    /// Who reads with T held takes the record's lock too.
    SecondLock = "second-lock",
    /// A failed insertion's journal is not ended by who takes L next.
    InsertNotUndone = "insert-not-undone",
    /// Whoever has a seat is taken for who had it before.
    TokenNotCompared = "token-not-compared",
    /// A seat is taken as long as its holder's process number is.
    SeatByNumber = "seat-by-number",
    /// Whoever began to fill an extent is taken for living.
    FillersLive = "fillers-live",
    /// An insertion is not journalled.
    InsertUnjournalled = "insert-unjournalled",
    /// The journal names its operation before the other words are this one's.
    RunJournalEarly = "run-journal-early",
    /// The journal of a collection ends before it is done.
    CollectEndsEarly = "collect-ends-early",
    /// A collection sets its mark before it is journalled.
    CollectMarkUnjournalled = "collect-mark-unjournalled",
    /// A slot is published before it is filled.
    PublishBeforeFill = "publish-before-fill",
    /// A transaction says that it is done before its slots are filled.
    CommitEarly = "commit-early",
    /// A transaction sets a mark before it is journalled.
    MarkUnjournalled = "mark-unjournalled",
    /// A transaction takes its mark away before it publishes.
    UnmarkBeforePublish = "unmark-before-publish",
    /// The replay of a transaction publishes what was published, again.
    ApplyAgain = "apply-again",
    /// The lock of who died flushing is not taken over.
    FlusherKept = "flusher-kept",
    /// A new index is published before it has its words.
    RootBeforeWords = "root-before-words",
    /// What ends the rebuilding of an index frees the old one, whichever is published.
    OldIndexFreed = "old-index-freed",
    /// The journal is replayed only where the kernel says that a holder died.
    ReplayIfTold = "replay-if-told",
    /// A replay ends the journal before it has undone what it says.
    ReplayEndsEarly = "replay-ends-early",
    /// What a removal leaves behind until a flush is not counted.
    LeftUncounted = "left-uncounted",
    /// The place of a retired record is free before its id is gone.
    BitBeforeId = "bit-before-id",
    /// A removed Atomic is one again before it has its value.
    ReviveBeforeValue = "revive-before-value",
    /// Who takes L does not look at its journal.
    NoReplay = "no-replay",
    /// Who takes T does not look at its journal.
    NoReplayOfTransactions = "no-replay-of-transactions",
    /// The journal of L is cleared before a collection is done.
    JournalClearedFirst = "journal-cleared-first",
    /// What undoes an insertion forgets the block of its name.
    BlockForgotten = "block-forgotten",
    /// A transaction is acknowledged when it is committed, and published by the next.
    AcknowledgedUnpublished = "acknowledged-unpublished",
    /// A token of any seat is taken for one of a process that lives.
    DeadSeatLives = "dead-seat-lives",
    /// What ended with its process is passed over, and nobody removes it.
    NotBuried = "not-buried",
    /// A sweep leaves the extents that nobody owns.
    NoSweep = "no-sweep",
    /// Retired records are never freed.
    RetiredKept = "retired-kept",
    /// Of many who find the region full at once each makes it longer.
    GrowthNotLookedFor = "growth-not-looked-for",
}

/// A region's memory.
pub trait Mem: Send + Sync + 'static {
    /// A range for reading.
    type Words<'a>: Load;
    /// A range for writing too.
    type WordsMut<'a>: Store;

    /// How often a read is tried before it takes the lock.
    const ATTEMPTS: usize = 8;

    /// Bytes of the region that are mapped: a private number that no peer can change.
    fn size(&self) -> u64;
    /// `count` words from offset `at`, if they lie within and `at` is a multiple of 8.
    fn words(&self, at: u64, count: usize) -> Option<Self::Words<'_>>;
    /// The same, of what is mapped already: for the fast paths, which look nowhere else. What is
    /// beyond is asked of [`words`](Self::words) afterwards.
    #[inline]
    fn near(&self, at: u64, count: usize) -> Option<Self::Words<'_>> {
        self.words(at, count)
    }
    /// As [`near`](Self::near), for writing too.
    #[inline]
    fn near_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>> {
        self.words_mut(at, count)
    }
    /// Makes the first `bytes` reachable, if another process has made the region that long; answers
    /// whether they are.
    fn reach(&self, bytes: u64) -> bool {
        bytes <= self.size()
    }
    /// Why the first `bytes` are not reachable though the region is that long; `None` where it is
    /// not.
    fn out_of_reach(&self, _: u64) -> Option<Trouble> {
        None
    }
    /// Bytes that the region can have in this process, at the most.
    fn limit(&self) -> u64 {
        self.size()
    }
    /// Makes the region so long, with memory or disk behind all of it.
    ///
    /// # Errors
    /// What the system says: then it is as long as it was.
    fn grow(&self, _: u64) -> Result<(), Trouble> {
        Err(Trouble::Full { needed: 0, free: 0 })
    }
    /// The seat of this process, with its token: what [`is_seat_taken`](Self::is_seat_taken) tells
    /// the others. Taken at the first call.
    ///
    /// # Errors
    /// All seats are taken.
    fn seat(&self) -> Result<u64, Trouble>;
    /// Whether a process that lives has the seat of this number.
    fn is_seat_taken(&self, number: usize) -> bool;
    /// The same for writing; `None` also where the region is mapped for reading.
    fn words_mut(&self, at: u64, count: usize) -> Option<Self::WordsMut<'_>>;
    /// A fence.
    fn fence(&self, order: Ordering);

    /// Takes the lock word at offset `at`.
    ///
    /// # Errors
    /// As [`Locks::lock`].
    fn lock(&self, at: u64) -> Result<Taken, Refused>;
    /// Takes the lock word at offset `at` if it is free at once; a memory that says `None` always
    /// sends the fast paths to the slow ones.
    #[inline]
    fn try_lock(&self, _: u64) -> Option<Taken> {
        None
    }
    /// Waits a moment, longer in later rounds, for who may not take a lock; false when it has
    /// waited long enough.
    fn pause(&self, _: u32) -> bool {
        false
    }
    /// Frees it.
    fn unlock(&self, at: u64);
    /// Puts a mark into a free lock word.
    ///
    /// # Errors
    /// The owner found.
    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32>;
    /// Whether the mark stands there.
    fn is_marked(&self, at: u64, mark: u32) -> bool;
    /// Takes it away.
    fn unmark(&self, at: u64);
    /// Adds 1 to the 32-bit word at offset `at` and wakes those who sleep on it.
    fn wake(&self, at: u64);
    /// As [`wake`](Self::wake), whether anybody says that he sleeps or not: where somebody died who
    /// was about to wake them.
    fn rouse(&self, at: u64) {
        self.wake(at);
    }
    /// The count of the wake word at offset `at`, loaded (Acquire) before what is waited for.
    ///
    /// # Errors
    /// [`Trouble::ReadOnly`] where the region is mapped for reading.
    fn wakes(&self, _: u64) -> Result<u32, Trouble> {
        Ok(0)
    }
    /// Sleeps until the wake word at offset `at` counts beyond `seen`, or for nothing, and no longer
    /// than `at_most`. A memory with nobody else in it does not sleep.
    ///
    /// # Errors
    /// What the system says.
    fn park(&self, _at: u64, _seen: u32, _at_most: Duration) -> Result<(), Trouble> {
        Ok(())
    }
    /// Frees a lock whose holders are all gone.
    fn reset(&self, at: u64);

    /// Waits until the device has these ranges (from, to), and the length of the file. Nothing to do
    /// for memory that no file is behind.
    ///
    /// # Errors
    /// What the system says; then nothing is known of what reached the device.
    fn barrier(&self, _: &[(u64, u64)]) -> Result<(), Trouble> {
        Ok(())
    }

    /// Whether a harness planted this fault.
    // The table of names is too long to be inlined: without the first half each look would call it.
    #[allow(clippy::inline_always, reason = "measured: eight calls in a set")]
    #[inline(always)]
    fn planted(&self, fault: Fault) -> bool {
        cfg!(feature = "seeded") && mapvar_os::seeded::planted(fault.name())
    }

    /// The ordering, unless a harness planted that it is left out.
    #[inline]
    fn order_unless(&self, fault: Fault, order: Ordering) -> Ordering {
        if self.planted(fault) { Ordering::Relaxed } else { order }
    }

    /// A fence, unless a harness planted that it is left out.
    #[inline]
    fn fence_unless(&self, fault: Fault, order: Ordering) {
        if !self.planted(fault) {
            self.fence(order);
        }
    }
}

impl Load for Words<'_> {
    #[inline]
    fn load(self, at: usize, order: Ordering) -> u64 {
        Words::load(self, at, order)
    }

    #[inline]
    fn copy_to(self, into: &mut [u8]) {
        Words::copy_to(self, into);
    }
}

impl Load for WordsMut<'_> {
    #[inline]
    fn load(self, at: usize, order: Ordering) -> u64 {
        WordsMut::load(self, at, order)
    }
}

impl Store for WordsMut<'_> {
    #[inline]
    fn store(self, at: usize, value: u64, order: Ordering) {
        WordsMut::store(self, at, value, order);
    }

    #[inline]
    fn copy_from(self, from: &[u8]) {
        WordsMut::copy_from(self, from);
    }

    #[inline]
    fn swap(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::swap(self, at, value, order)
    }

    #[inline]
    fn fetch_add(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::fetch_add(self, at, value, order)
    }

    #[inline]
    fn fetch_and(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::fetch_and(self, at, value, order)
    }

    #[inline]
    fn fetch_or(self, at: usize, value: u64, order: Ordering) -> u64 {
        WordsMut::fetch_or(self, at, value, order)
    }

    #[inline]
    fn compare_exchange(self, at: usize, old: u64, new: u64) -> Result<u64, u64> {
        WordsMut::compare_exchange(self, at, old, new)
    }
}

/// A region in a mapped section, from its first byte.
#[derive(Debug)]
pub struct Mapped {
    // In the order in which they go: the view, the seat, the handle.
    view: View,
    seat: Mutex<Option<Seated>>,
    /// The seat's number, once there is one.
    sleeping: OnceLock<usize>,
    section: Section,
    locks: Locks,
    /// What the region's objects are called.
    called: Called,
    timeout: Duration,
}

thread_local! {
    /// Since when this thread has been waiting by [`Mem::pause`]: it waits for one thing at a time,
    /// and begins with round 0.
    static WAITS_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What the system's objects for a region are named after, and who can see them.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) scope: Scope,
    pub(crate) id: String,
}

/// This process's seat, and the word that stands for it in the region.
#[derive(Clone, Debug)]
struct Seated {
    seat: Arc<Seat>,
    token: u64,
}

/// That a thread sleeps, as others are told.
pub(crate) struct Sleeping<'a>(WordsMut<'a>);

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        self.0.store(0, 0, Ordering::Relaxed);
    }
}

impl Mapped {
    pub(crate) fn new(
        view: View,
        section: Section,
        locks: Locks,
        called: Called,
        timeout: Duration,
    ) -> Self {
        Self {
            view,
            seat: Mutex::new(None),
            sleeping: OnceLock::new(),
            section,
            locks,
            called,
            timeout,
        }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn section(&self) -> &Section {
        &self.section
    }

    /// What the system says to unmapping, and the section, to be closed last.
    pub(crate) fn close(self) -> (mapvar_os::Result<()>, Section) {
        (self.view.close(), self.section)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the region has grown so far that these words lie within it by now. What stands in
    /// its head is another's word for it, and the section's own length has the last.
    #[cold]
    #[inline(never)]
    fn reaches_to(&self, at: u64, count: usize) -> bool {
        let chunks = live::AT / 8 + live::CHUNKS as u64;
        let said = self.view.plain_words(within(chunks * 8), 1);
        let said = said.map_or(0, |words| words.load(0, Ordering::Acquire));
        let said = said.min(layout::MOST_CHUNKS);
        let end = at.checked_add((count as u64).saturating_mul(8));
        match end {
            Some(end) if end > self.size() && end <= said * layout::CHUNK => {
                self.reach(said * layout::CHUNK)
            }
            _ => false,
        }
    }

    /// Says, for those who ask what this process waits for, that a thread is about to sleep on the wake
    /// word at `at`, until what this answers is dropped; of several threads the first is told of.
    pub(crate) fn tell_sleeping(&self, at: u64) -> Option<Sleeping<'_>> {
        let word = self.near_mut(sleeping::at(*self.sleeping.get()?), 1)?;
        if word.load(0, Ordering::Relaxed) != 0 {
            return None;
        }
        word.store(0, at, Ordering::Relaxed);
        Some(Sleeping(word))
    }

    fn seated(&self) -> Result<Seated, Trouble> {
        self.seated_among(layout::PARTICIPANT_SLOTS)
    }

    /// Takes a seat so that others see that this process is here, unless most are taken.
    pub(crate) fn be_seen(&self) {
        let _ = self.seated_among(layout::SEATS_OF_PRESENCE);
    }

    fn seated_among(&self, among: usize) -> Result<Seated, Trouble> {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seated) = &*seat {
            return Ok(seated.clone());
        }
        let taken = self.section.take_seat_among(
            self.called.scope,
            &self.called.id,
            layout::PARTICIPANT_SLOTS,
            among,
        )?;
        let number = taken.slot();
        let words = self.words_mut(seat::at(number), seat::WORDS).ok_or(Trouble::ReadOnly)?;
        let [random, _] = machine::random()?;
        let token = (number as u64) << 56 | random >> 8 | 1;
        // The pin of who had the seat before goes first; then nobody takes his extents for ours.
        words.store(seat::PIN, 0, Ordering::SeqCst);
        let sleeping = self.words_mut(sleeping::at(number), 1).ok_or(Trouble::ReadOnly)?;
        sleeping.store(0, 0, Ordering::Relaxed);
        let _ = self.sleeping.set(number);
        // Who it is, for those who ask; before the token, which says that it is so.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = since.as_secs().min(u32::MAX.into());
        words.store(seat::WHO, since << 32 | u64::from(std::process::id()), Ordering::SeqCst);
        words.store(seat::TOKEN, token, Ordering::SeqCst);
        if self.planted(Fault::SeatByNumber) {
            words.store(1, std::process::id().into(), Ordering::SeqCst);
        }
        let seated = Seated { seat: Arc::new(taken), token };
        *seat = Some(seated.clone());
        Ok(seated)
    }
}

/// Offsets in a region fit `usize` once they were found to lie within a mapping.
#[inline]
fn within(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Mem for Mapped {
    type Words<'a> = Words<'a>;
    type WordsMut<'a> = WordsMut<'a>;

    #[inline]
    fn size(&self) -> u64 {
        self.view.len() as u64
    }

    #[inline]
    fn near(&self, at: u64, count: usize) -> Option<Words<'_>> {
        self.view.plain_words(within(at), count)
    }

    #[inline]
    fn near_mut(&self, at: u64, count: usize) -> Option<WordsMut<'_>> {
        self.view.plain_words_mut(within(at), count)
    }

    fn words(&self, at: u64, count: usize) -> Option<Words<'_>> {
        match self.view.plain_words(within(at), count) {
            None if self.reaches_to(at, count) => self.view.plain_words(within(at), count),
            words => words,
        }
    }

    fn words_mut(&self, at: u64, count: usize) -> Option<WordsMut<'_>> {
        match self.view.plain_words_mut(within(at), count) {
            None if self.reaches_to(at, count) => self.view.plain_words_mut(within(at), count),
            words => words,
        }
    }

    #[inline]
    fn fence(&self, order: Ordering) {
        std::sync::atomic::fence(order);
    }

    #[inline]
    fn lock(&self, at: u64) -> Result<Taken, Refused> {
        self.locks.lock(&self.view, within(at), self.timeout)
    }

    #[inline]
    fn try_lock(&self, at: u64) -> Option<Taken> {
        self.locks.try_lock(&self.view, within(at)).then_some(Taken::Clean)
    }

    fn pause(&self, round: u32) -> bool {
        const YIELDS: u32 = 64;
        const SHORT: u32 = 64;
        if round < YIELDS {
            WAITS_SINCE.set(None);
            std::thread::yield_now();
            return true;
        }
        // By the clock: a nap takes longer than was asked for, on a busy machine many times as long.
        let since = WAITS_SINCE.get().unwrap_or_else(Instant::now);
        WAITS_SINCE.set(Some(since));
        let short = round < YIELDS + SHORT;
        machine::nap(Duration::from_micros(if short { 50 } else { 1_000 }));
        since.elapsed() < self.timeout
    }

    #[inline]
    fn unlock(&self, at: u64) {
        self.locks.unlock(&self.view, within(at));
    }

    fn mark(&self, at: u64, mark: u32) -> Result<Taken, u32> {
        self.locks.mark(&self.view, within(at), mark)
    }

    fn is_marked(&self, at: u64, mark: u32) -> bool {
        self.locks.is_marked(&self.view, within(at), mark)
    }

    fn unmark(&self, at: u64) {
        self.locks.unmark(&self.view, within(at));
    }

    #[cold]
    fn wake(&self, at: u64) {
        self.locks.wake(&self.view, within(at));
    }

    #[cold]
    fn rouse(&self, at: u64) {
        self.locks.rouse(&self.view, within(at));
    }

    fn wakes(&self, at: u64) -> Result<u32, Trouble> {
        self.locks.wakes(&self.view, within(at)).ok_or(Trouble::ReadOnly)
    }

    fn park(&self, at: u64, seen: u32, at_most: Duration) -> Result<(), Trouble> {
        self.locks.park(&self.view, within(at), seen, at_most)?;
        Ok(())
    }

    fn reset(&self, at: u64) {
        self.locks.reset(&self.view, within(at));
    }

    #[cold]
    fn reach(&self, bytes: u64) -> bool {
        let len = within(bytes);
        len <= self.view.len() || (bytes <= self.limit() && self.view.grow(len).is_ok())
    }

    #[cold]
    fn out_of_reach(&self, bytes: u64) -> Option<Trouble> {
        if self.section.size().is_ok_and(|size| size < bytes) {
            return None;
        }
        if bytes <= self.limit() {
            return self.view.grow(within(bytes)).err().map(Trouble::Told);
        }
        let detail = format!(
            "it has grown to {bytes} bytes, and this process set aside {} of address space; open it \
             anew, with a larger `max_size`",
            self.limit()
        );
        Some(Trouble::Told(Error::new(ErrorKind::Full, "", "").detail(detail)))
    }

    fn limit(&self) -> u64 {
        self.view.reserved() as u64
    }

    fn grow(&self, bytes: u64) -> Result<(), Trouble> {
        self.section.grow(bytes)?;
        Ok(self.view.grow(within(bytes))?)
    }

    fn barrier(&self, ranges: &[(u64, u64)]) -> Result<(), Trouble> {
        let len = self.view.len();
        for (from, to) in ranges {
            self.view.flush_start(within(*from).min(len)..within(*to).min(len))?;
        }
        Ok(self.view.sync()?)
    }

    fn seat(&self) -> Result<u64, Trouble> {
        Ok(self.seated()?.token)
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        if self.planted(Fault::SeatByNumber) {
            let words = self.words(seat::at(number), seat::WORDS);
            let holder = words.map_or(0, |words| words.load(1, Ordering::SeqCst));
            return mapvar_os::seeded::is_number_taken(holder as u32);
        }
        let own = self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let taken = match own {
            Some(seated) => seated.seat.is_taken(number),
            // To ask takes none: who may only read asks too.
            None => self.section.is_seat_taken(self.called.scope, &self.called.id, number),
        };
        // Where nobody can tell, whoever it is lives: only room is lost.
        taken.unwrap_or(true)
    }
}

#[cfg(any(test, feature = "internals"))]
pub mod adversary;
pub(crate) mod bare;
#[cfg(any(test, feature = "internals"))]
pub mod heap;
#[cfg(test)]
pub(crate) mod mortal;
#[cfg(any(test, feature = "internals"))]
pub mod power;

#[cfg(test)]
mod tests {
    use crate::{Map, layout, mem::Mem};

    #[test]
    fn who_gets_no_seat_takes_nobody_for_dead() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seats.map");
        let first = Map::options().file(&path).create().unwrap();
        let token = first.stored("", "").unwrap().inner.store.mem().seat().unwrap();
        let others: Vec<Map> = (0..layout::PARTICIPANT_SLOTS)
            .map(|_| Map::options().file(&path).open().unwrap())
            .collect();
        let seats = others
            .iter()
            .filter(|map| map.stored("", "").unwrap().inner.store.mem().seat().is_ok())
            .count();
        assert_eq!(seats, layout::PARTICIPANT_SLOTS - 1);
        let last = others
            .iter()
            .find(|map| map.stored("", "").unwrap().inner.store.mem().seat().is_err())
            .unwrap();
        assert!(last.stored("", "").unwrap().inner.store.lives(token).unwrap());
    }

    /// It was counted by the naps that were meant: of 5 s became 15, and more on Windows.
    #[test]
    fn who_waits_for_a_living_flusher_waits_as_long_as_it_was_told() {
        use std::time::{Duration, Instant};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wait.map");
        let first = Map::options().file(&path).create().unwrap();
        let timeout = Duration::from_secs(1);
        let second = Map::options().file(&path).timeout(timeout).open().unwrap();
        let mem = first.stored("", "").unwrap().inner.store.mem();
        let token = mem.seat().unwrap();
        let words = mem.words_mut(layout::live::AT, layout::live::WORDS).unwrap();
        words.store(layout::live::FLUSHER, token, super::Ordering::SeqCst);
        second.set("x", 1).unwrap();
        let began = Instant::now();
        let error = second.flush().unwrap_err();
        let took = began.elapsed();
        assert_eq!(error.kind(), mapvar_os::ErrorKind::TimedOut);
        assert!(took >= timeout && took < 3 * timeout, "{took:?} for {timeout:?}");
        words.store(layout::live::FLUSHER, 0, super::Ordering::SeqCst);
        second.flush().unwrap();
    }
}
