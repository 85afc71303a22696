//! The registry of mapped memory. The systems register their mappings here, and the handler of
//! [`faults`](crate::faults) replaces only memory that it finds here.

#![allow(unsafe_code, reason = "blocks of the registry are reached by a pointer")]

use crate::memory::{epoch, words::Word};
use std::{
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering, fence},
};

/// Whether the handler is installed; decided once. No lock guards it, since a fork could leave that
/// taken for ever.
static GUARD: AtomicU8 = AtomicU8::new(UNDECIDED);

const UNDECIDED: u8 = 0;
/// A thread is installing the handler; in a child after fork that thread may not exist.
const INSTALLING: u8 = 1;
const INSTALLED: u8 = 2;
const LEFT_ALONE: u8 = 3;

/// Installs the handler by `guard`, unless an earlier call or [`is_left_alone`] has decided it. Does
/// not return before the handler is installed, so several threads may run `guard` at once.
pub(crate) fn guard_once(guard: impl FnOnce() -> bool) {
    // SYNC POINT: Acquire pairs with the Release below: what `guard` did happened before.
    match GUARD.compare_exchange(UNDECIDED, INSTALLING, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) | Err(INSTALLING) => {
            let decided = if guard() { INSTALLED } else { LEFT_ALONE };
            GUARD.store(decided, Ordering::Release);
        }
        Err(_) => {}
    }
}

/// Prevents the installation of the handler; returns false if it is installed already.
pub(crate) fn is_left_alone() -> bool {
    let was = GUARD.compare_exchange(UNDECIDED, LEFT_ALONE, Ordering::Relaxed, Ordering::Relaxed);
    matches!(was, Ok(_) | Err(LEFT_ALONE))
}

/// The cause of the loss of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The file or memory object was truncated.
    Truncated,
    /// The system could not read a page, or had no space for it.
    Io,
}

/// The first fault in a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) cause: Cause,
    /// Offset of the fault from the first byte of the view's mapping.
    pub(crate) at: usize,
}

/// The properties of a mapping, or of a piece of one, that the handler needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) address: usize,
    pub(crate) len: usize,
    /// Size of its pages in bytes.
    pub(crate) page: usize,
    /// The access that it permits, in the system's notation.
    pub(crate) protection: u32,
    /// The file behind it, in the system's notation, and the offset of the mapping in it.
    pub(crate) file: usize,
    pub(crate) offset: u64,
    /// Whether its addresses can stay reserved while nothing is mapped there (Windows).
    #[allow(dead_code, reason = "only Windows has such addresses")]
    pub(crate) kept: bool,
}

// ---------------------------------------------------------------------------------------------
// The handler reads the registry at any moment, on any thread. Therefore the registry has no lock,
// and its memory is never freed.

const ENTRIES: usize = 64;

struct Block {
    entries: [Entry; ENTRIES],
    /// Set once.
    next: AtomicPtr<Block>,
}

static FIRST: Block = Block::new();

/// An entry of the registry: one registered mapping, or free.
#[derive(Debug)]
pub(crate) struct Entry {
    /// | bits | meaning | changed by |
    /// | --- | --- | --- |
    /// | 0..=1 | [`FREE`], [`CLAIMED`] or [`LIVE`] | the thread that registers or unregisters |
    /// | the rest | how often the entry was freed | the thread that unregisters |
    ///
    /// The other fields, except `lost` and `faults`, change only while the entry is `CLAIMED`.
    turn: AtomicUsize,
    address: AtomicUsize,
    len: AtomicUsize,
    page: AtomicUsize,
    protection: AtomicUsize,
    file: AtomicUsize,
    offset: Word,
    kept: AtomicBool,
    /// The first piece of the same view, which records the losses of all its pieces; null if this
    /// entry is the first piece.
    head: AtomicPtr<Entry>,
    /// | bits | meaning | changed by |
    /// | --- | --- | --- |
    /// | 0 [`LOST`] | a fault happened | the handler, before all else; stays while registered |
    /// | 1 [`EPOCH_CHANGED`] | the epoch has been changed since | the handler, after the change |
    /// | 2 [`TRUNCATED`] | the cause | set with `LOST` |
    /// | 3 [`REPLACED`] | the whole piece is private memory now (Windows) | the handler |
    /// | the rest | offset of the fault in the view's mapping | set with `LOST` |
    ///
    /// The first piece of a view has these bits for all pieces, except `REPLACED`, which each piece
    /// has for itself.
    lost: Word,
    /// The number of faults, to detect a fault that repeats forever.
    faults: AtomicUsize,
}

const FREE: usize = 0;
const CLAIMED: usize = 1;
const LIVE: usize = 2;
const STATE: usize = 3;

const LOST: u64 = 1;
const EPOCH_CHANGED: u64 = 2;
const TRUNCATED: u64 = 4;
const REPLACED: u64 = 8;
const AT: u32 = 4;

impl Block {
    const fn new() -> Self {
        Self { entries: [const { Entry::new() }; ENTRIES], next: AtomicPtr::new(ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Block> {
        // SYNC POINT: Acquire pairs with the Release of `next_or_new`.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: it is null, or was made by `Box::into_raw` in `next_or_new` and published
        // complete from there; it is never freed, and only used through shared references.
        unsafe { next.as_ref() }
    }

    fn next_or_new(&self) -> &'static Block {
        if let Some(next) = self.next() {
            return next;
        }
        let new = Box::into_raw(Box::new(Block::new()));
        // SYNC POINT: Release pairs with the Acquire of `next`.
        let was =
            self.next.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
        let next = match was {
            Ok(_) => new,
            Err(quicker) => {
                // SAFETY: made by `Box::into_raw` above, and no other thread has seen it.
                drop(unsafe { Box::from_raw(new) });
                quicker
            }
        };
        // SAFETY: as in `next`; it is not null.
        unsafe { &*next }
    }
}

impl Entry {
    const fn new() -> Self {
        Self {
            turn: AtomicUsize::new(FREE),
            address: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            page: AtomicUsize::new(0),
            protection: AtomicUsize::new(0),
            file: AtomicUsize::new(0),
            offset: Word::new(0),
            kept: AtomicBool::new(false),
            head: AtomicPtr::new(ptr::null_mut()),
            lost: Word::new(0),
            faults: AtomicUsize::new(0),
        }
    }

    fn claim(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        // SYNC POINT: Acquire pairs with the Release store in `free`: every access by the previous
        // registration happens before this.
        turn & STATE == FREE
            && self
                .turn
                .compare_exchange(turn, turn | CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    fn fill(&self, piece: &Piece, head: Option<&'static Entry>) {
        // SYNC POINT: pairs with the Acquire fence in `read`. A reader that sees one of the new
        // values also sees that the turn has changed, and discards what it read.
        fence(Ordering::Release);
        self.address.store(piece.address, Ordering::Relaxed);
        self.len.store(piece.len, Ordering::Relaxed);
        self.page.store(piece.page.max(1), Ordering::Relaxed);
        self.protection.store(piece.protection as usize, Ordering::Relaxed);
        self.file.store(piece.file, Ordering::Relaxed);
        self.offset.store(piece.offset, Ordering::Relaxed);
        self.kept.store(piece.kept, Ordering::Relaxed);
        let head = head.map_or(ptr::null_mut(), |head| ptr::from_ref(head).cast_mut());
        self.head.store(head, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
        self.faults.store(0, Ordering::Relaxed);
        let turn = self.turn.load(Ordering::Relaxed);
        // SYNC POINT: Release pairs with the Acquire load of `turn` in `read`.
        self.turn.store(turn & !STATE | LIVE, Ordering::Release);
    }

    fn free(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        // SYNC POINT: Release pairs with the Acquire exchange in `claim`.
        self.turn.store((turn & !STATE).wrapping_add(STATE + 1) | FREE, Ordering::Release);
    }

    /// Returns the registered mapping. Returns `None` if the entry is free, or changes during the
    /// call; no thread uses a mapping whose entry changes.
    pub(crate) fn read(&self) -> Option<Piece> {
        // SYNC POINT: pairs with the Release store in `fill`.
        let turn = self.turn.load(Ordering::Acquire);
        if turn & STATE != LIVE {
            return None;
        }
        let piece = Piece {
            address: self.address.load(Ordering::Relaxed),
            len: self.len.load(Ordering::Relaxed),
            page: self.page.load(Ordering::Relaxed),
            protection: self.protection.load(Ordering::Relaxed) as u32,
            file: self.file.load(Ordering::Relaxed),
            offset: self.offset.load(Ordering::Relaxed),
            kept: self.kept.load(Ordering::Relaxed),
        };
        // SYNC POINT: pairs with the Release fence in `fill`.
        fence(Ordering::Acquire);
        (self.turn.load(Ordering::Relaxed) == turn).then_some(piece)
    }

    /// Returns the entry that records the losses of the whole view.
    fn head(&self) -> &Self {
        // SAFETY: it is null, or was a reference to an entry, and entries are never freed.
        unsafe { self.head.load(Ordering::Relaxed).as_ref() }.unwrap_or(self)
    }

    /// Marks the view as lost and changes the epoch.
    ///
    /// The handler calls it *before* it replaces memory, so that a thread which sees a replaced
    /// page also sees the mark and the new epoch. Returns false if there were more faults than
    /// replacement can explain; then another replacement does not help.
    pub(crate) fn mark(&self, piece: &Piece, cause: Cause, address: usize) -> bool {
        let head = self.head();
        let at = address.wrapping_sub(head.address.load(Ordering::Relaxed)) as u64;
        let why = if cause == Cause::Truncated { TRUNCATED } else { 0 };
        // The first loss stays. SYNC POINT: Acquire on failure pairs with the Release of the
        // `fetch_or` below. If EPOCH_CHANGED is set, this thread replaces memory after the change.
        let marked = head.lost.compare_exchange(
            0,
            at << AT | why | LOST,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        // Also if another thread has set the mark but not yet changed the epoch: without this, a
        // reader could see the memory that this thread replaces together with the old epoch.
        if marked.map_or_else(|now| now & EPOCH_CHANGED == 0, |_| true) {
            epoch::begin_next();
            head.lost.fetch_or(EPOCH_CHANGED, Ordering::Release);
        }
        // Each page faults once before it is replaced, but several threads may fault on it at once.
        let most = (piece.len / piece.page.max(1)).saturating_mul(4).saturating_add(1 << 16);
        self.faults.fetch_add(1, Ordering::Relaxed) < most
    }

    #[allow(dead_code, reason = "only Windows replaces all of a piece")]
    pub(crate) fn is_replaced(&self) -> bool {
        self.lost.load(Ordering::Acquire) & REPLACED != 0
    }

    #[allow(dead_code, reason = "only Windows replaces all of a piece")]
    pub(crate) fn set_replaced(&self) {
        self.lost.fetch_or(REPLACED, Ordering::Release);
    }
}

/// Returns the registered mapping that contains `address`. Safe to call in a signal handler.
pub(crate) fn find(address: usize) -> Option<(&'static Entry, Piece)> {
    let mut block = Some(&FIRST);
    while let Some(Block { entries, .. }) = block {
        for entry in entries {
            if let Some(piece) = entry.read()
                && address.wrapping_sub(piece.address) < piece.len
            {
                return Some((entry, piece));
            }
        }
        block = block.and_then(Block::next);
    }
    None
}

/// An entry of the registry, freed when this value is dropped.
///
/// It must be dropped **before** the mapping is unmapped: after that, the addresses may belong to
/// another mapping, which the handler would replace.
#[derive(Debug)]
pub(crate) struct Registered(&'static Entry);

impl Registered {
    /// Registers a mapping, before any thread can access it and after [`guard_once`].
    pub(crate) fn new(piece: &Piece) -> Self {
        Self::with(piece, None)
    }

    /// Registers a further piece of a view whose first piece has `losses`. The caller keeps the
    /// first piece registered at least as long as this one.
    #[allow(dead_code, reason = "only Windows has views of several pieces")]
    pub(crate) fn behind(losses: Losses, piece: &Piece) -> Self {
        Self::with(piece, Some(losses.0))
    }

    fn with(piece: &Piece, head: Option<&'static Entry>) -> Self {
        let mut block = &FIRST;
        loop {
            if let Some(entry) = block.entries.iter().find(|entry| entry.claim()) {
                entry.fill(piece, head);
                return Self(entry);
            }
            block = block.next_or_new();
        }
    }

    /// Returns the losses of this piece and of all pieces registered [`behind`](Self::behind) it;
    /// valid as long as it is registered.
    #[inline]
    pub(crate) fn losses(&self) -> Losses {
        Losses(self.0)
    }

    /// Returns whether the whole piece has been replaced by private memory.
    #[allow(dead_code, reason = "only Windows replaces all of a piece")]
    pub(crate) fn is_replaced(&self) -> bool {
        self.0.is_replaced()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// The losses of a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses(&'static Entry);

impl Losses {
    /// Returns whether a fault happened.
    #[inline]
    pub(crate) fn is_lost(self) -> bool {
        // Relaxed: the caller's fence orders it (see `View::is_lost`).
        self.0.lost.load(Ordering::Relaxed) & LOST != 0
    }

    /// Returns the first loss.
    pub(crate) fn loss(self) -> Option<Loss> {
        let lost = self.0.lost.load(Ordering::Acquire);
        let cause = if lost & TRUNCATED != 0 { Cause::Truncated } else { Cause::Io };
        (lost & LOST != 0).then_some(Loss { cause, at: (lost >> AT) as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn piece(address: usize, len: usize) -> Piece {
        Piece { address, len, page: 4096, protection: 3, file: 7, offset: 0, kept: false }
    }

    #[test]
    fn a_fault_is_found_in_its_mapping_and_nowhere_else() {
        // Far from all mapped addresses, and from those that the other tests register.
        let base = 1 << 20;
        let held: Vec<_> =
            (0..3 * ENTRIES).map(|at| Registered::new(&piece(base + at * 8192, 4096))).collect();
        for at in 0..held.len() {
            let (_, found) = find(base + at * 8192 + 4095).unwrap();
            assert_eq!(found.address, base + at * 8192);
            assert!(find(base + at * 8192 + 4096).is_none());
        }
        assert!(find(base - 1).is_none());
        let before = epoch::current();
        let (entry, found) = find(base + 8192 + 5).unwrap();
        assert!(entry.mark(&found, Cause::Truncated, base + 8192 + 5));
        assert!(entry.mark(&found, Cause::Io, base + 8192 + 9));
        assert!(!epoch::is_current(before));
        assert_eq!(held[1].losses().loss(), Some(Loss { cause: Cause::Truncated, at: 5 }));
        assert_eq!(held[0].losses().loss(), None);
        drop(held);
        assert!(find(base + 5).is_none());
        // An entry with a loss starts clean for its next mapping.
        let again = Registered::new(&piece(base, 4096));
        assert!(!again.losses().is_lost());
    }

    #[test]
    fn pieces_of_one_view_are_lost_together() {
        let base = 1 << 24;
        let first = Registered::new(&piece(base, 4096));
        let second = Registered::behind(first.losses(), &piece(base + 4096, 8192));
        let before = epoch::current();
        let (entry, found) = find(base + 8192).unwrap();
        assert_eq!(found.address, base + 4096);
        assert!(entry.mark(&found, Cause::Io, base + 8192));
        assert!(!epoch::is_current(before));
        entry.set_replaced();
        assert!(second.is_replaced() && !first.is_replaced());
        // The offset counts from the beginning of the view.
        let lost = Some(Loss { cause: Cause::Io, at: 8192 });
        assert_eq!(first.losses().loss(), lost);
        let (entry, found) = find(base).unwrap();
        assert!(entry.mark(&found, Cause::Truncated, base));
        assert_eq!(first.losses().loss(), lost, "the first one stays");
        drop((second, first));
    }

    #[test]
    fn a_lookup_never_sees_half_of_a_change() {
        let base = 1 << 28;
        let fixed = Registered::new(&piece(base + (1 << 20), 4096));
        thread::scope(|scope| {
            for side in [0, 2 << 20] {
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        // Alternately small at the low end and large at the high end: a mixture of
                        // both would cover the addresses around the fixed mapping.
                        drop(Registered::new(&piece(base + side, 4096)));
                        drop(Registered::new(&piece(base + (4 << 20) + side, 4 << 20)));
                    }
                });
            }
            for _ in 0..20_000 {
                assert_eq!(find(base + (1 << 20) + 8).unwrap().1.address, base + (1 << 20));
                assert!(find(base + (1 << 20) + 4096).is_none());
            }
        });
        drop(fixed);
    }

    #[test]
    fn a_fault_that_never_ends_is_given_up() {
        let of = piece(1 << 30, 4096);
        let _held = Registered::new(&of);
        let (entry, found) = find(1 << 30).unwrap();
        let marked = (0..1 << 20).take_while(|_| entry.mark(&found, Cause::Io, 1 << 30)).count();
        assert!(marked > 1 << 15 && marked < 1 << 20);
    }
}
