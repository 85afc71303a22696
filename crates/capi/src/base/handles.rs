//! The table of handles. A handle is a number in the shape of a pointer that is never dereferenced:
//! the object's slot in this table, and the generation of the slot. So a handle that is
//! closed, freed twice, of another type, or invalid is an error and causes no harm.
//!
//! Looking up a handle takes no lock (`arc-swap` keeps the object alive for the call), nor does
//! making or closing one. A forked child therefore finds no lock that is held forever.
#![allow(unsafe_code, reason = "the slots of the table are published by a pointer")]
#![allow(
    clippy::disallowed_types,
    reason = "the table is this process's own, and no shared memory"
)]

use crate::base::{
    border::{Out, wanted},
    errors::refused,
    settings::Settings,
    tree::Tree,
    types::{
        AnyAtomic, NameWalk, Range, mapvar_atomic, mapvar_change, mapvar_check, mapvar_clobbered,
        mapvar_entry, mapvar_held, mapvar_iter, mapvar_lock, mapvar_lock_stat, mapvar_map,
        mapvar_names, mapvar_options, mapvar_salvage, mapvar_section, mapvar_section_options,
        mapvar_snapshot, mapvar_stat, mapvar_ticket, mapvar_transaction, mapvar_value, mapvar_var,
        mapvar_view, mapvar_view_options, mapvar_watch,
    },
};
use arc_swap::ArcSwapOption;
use mapvar::{
    Change, Entry, ErrorKind, Iter, Map, MapOptions, Result, Snapshot, Stat, Transaction, Value,
    Var, Watch,
    check::{Check, Salvage},
    gem::{Clobbered, LockStat},
    lock::{Lock, LockTicket, OwnedLockGuard},
    section::{Section, SectionOptions, View},
};
use std::{
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
    },
    time::{Duration, Instant},
};

/// A handle type: its C name, and the object that it stands for.
pub(crate) trait Handle: Sized {
    /// The object.
    type Object;
    /// The name in messages.
    const NAME: &'static str;
    fn wrap(object: Self::Object) -> Object;
    fn of(object: &Object) -> Option<&Self::Object>;
    fn unwrap(object: Object) -> Option<Self::Object>;
}

macro_rules! objects {
    ($($variant:ident: $handle:ident is $object:ty, $name:literal;)*) => {
        /// The object of a handle.
        pub(crate) enum Object { $($variant($object),)* }

        $(impl Handle for $handle {
            type Object = $object;
            const NAME: &'static str = $name;

            fn wrap(object: $object) -> Object {
                Object::$variant(object)
            }

            #[inline]
            fn of(object: &Object) -> Option<&$object> {
                if let Object::$variant(object) = object { Some(object) } else { None }
            }

            fn unwrap(object: Object) -> Option<$object> {
                if let Object::$variant(object) = object { Some(object) } else { None }
            }
        })*

        impl Object {
            /// The name of its type in messages.
            fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }
    };
}

objects! {
    Options: mapvar_options is Settings<MapOptions>, "mapvar_options";
    Map: mapvar_map is Map, "mapvar_map";
    Value: mapvar_value is Arc<Tree>, "mapvar_value";
    Var: mapvar_var is Var<Value>, "mapvar_var";
    Atomic: mapvar_atomic is AnyAtomic, "mapvar_atomic";
    Transaction: mapvar_transaction is Turns<Transaction<'static>>, "mapvar_transaction";
    Snapshot: mapvar_snapshot is Snapshot, "mapvar_snapshot";
    Iter: mapvar_iter is Turns<Iter<'static>>, "mapvar_iter";
    Names: mapvar_names is Turns<NameWalk>, "mapvar_names";
    Entry: mapvar_entry is Entry, "mapvar_entry";
    Stat: mapvar_stat is Stat, "mapvar_stat";
    Check: mapvar_check is Check, "mapvar_check";
    Salvage: mapvar_salvage is Salvage, "mapvar_salvage";
    SectionOptions: mapvar_section_options is Settings<SectionOptions>, "mapvar_section_options";
    Section: mapvar_section is Section, "mapvar_section";
    ViewOptions: mapvar_view_options is Settings<Range>, "mapvar_view_options";
    View: mapvar_view is View, "mapvar_view";
    Clobbered: mapvar_clobbered is Clobbered, "mapvar_clobbered";
    LockStat: mapvar_lock_stat is LockStat, "mapvar_lock_stat";
    Watch: mapvar_watch is Turns<Watch>, "mapvar_watch";
    Change: mapvar_change is Change, "mapvar_change";
    Lock: mapvar_lock is Lock, "mapvar_lock";
    Held: mapvar_held is OwnedLockGuard, "mapvar_held";
    Place: mapvar_ticket is Turns<LockTicket>, "mapvar_ticket";
}

/// An object in its slot.
struct Occupant {
    token: usize,
    /// The token of the map that the object keeps open, and with which it is closed; 0 = none.
    map: usize,
    object: Object,
}

#[derive(Default)]
struct Slot {
    occupant: ArcSwapOption<Occupant>,
    /// How many objects this slot has held.
    generation: AtomicUsize,
    /// While the slot is free: the next free slot, + 1.
    next: AtomicUsize,
}

/// Slots come in groups, each twice as large as the one before; a group is never freed.
struct Table {
    /// The first slot of each group; null until the group is needed. No `OnceLock`: a fork while
    /// another thread fills it would leave the child waiting for ever.
    groups: [AtomicPtr<Slot>; GROUPS],
    /// How many slots were ever used.
    used: AtomicUsize,
    /// The first free slot, + 1, in the lower half; a change counter in the upper half. The counter
    /// makes a slow thread's compare-exchange fail if the slot was allocated and freed meanwhile
    /// (ABA).
    free: AtomicU64,
}

const WIDE: bool = usize::BITS >= 64;
const GROUPS: usize = if WIDE { 19 } else { 10 };
/// Slots of the first group.
const FIRST: usize = 64;
const MAX_SLOTS: usize = FIRST * ((1 << GROUPS) - 1);

static TABLE: Table = Table {
    groups: [const { AtomicPtr::new(ptr::null_mut()) }; GROUPS],
    used: AtomicUsize::new(0),
    free: AtomicU64::new(0),
};

// A token: bit 0, set so that it is no aligned address and never 0; the slot; the generation.
const SLOT_AT: u32 = 1;
const GENERATION_AT: u32 = if WIDE { 32 } else { 17 };
const _: () = assert!(MAX_SLOTS <= 1 << (GENERATION_AT - SLOT_AT), "a slot fits its bits");
/// A slot that has held this many objects is retired where a handle has 64 bits, so that no token
/// occurs twice. With 32 bits the table would be used up: there the slot counts from 0 again, and a
/// handle that was closed that many handles ago can be the handle of another object.
const MAX_GENERATION: usize = if WIDE { u32::MAX as usize } else { (1 << 15) - 1 };

fn pack(slot: usize, generation: usize) -> usize {
    1 | slot << SLOT_AT | (generation & MAX_GENERATION) << GENERATION_AT
}

#[inline]
fn slot_of(token: usize) -> usize {
    (token & ((1 << GENERATION_AT) - 1)) >> SLOT_AT
}

impl Table {
    #[inline]
    fn slot(&self, number: usize) -> Option<&'static Slot> {
        let (group, within) = locate(number);
        // SYNC POINT: Acquire pairs with the Release in `slot_or_new`.
        let first = self.groups.get(group)?.load(Ordering::Acquire);
        if first.is_null() || within >= slots_of(group) {
            return None;
        }
        // SAFETY: the pointer is the first of `slots_of(group)` slots, and `within` is less.
        let slot = unsafe { first.add(within) };
        // SAFETY: `slot_or_new` has published the slots complete. They are never freed, and only
        // used through shared references.
        Some(unsafe { &*slot })
    }

    fn slot_or_new(&self, number: usize) -> Option<&'static Slot> {
        if let Some(slot) = self.slot(number) {
            return Some(slot);
        }
        let (group, _) = locate(number);
        let new = (0..slots_of(group)).map(|_| Slot::default()).collect::<Box<[Slot]>>();
        let new = Box::into_raw(new);
        // SYNC POINT: Release pairs with the Acquire in `slot`.
        let published = self.groups.get(group)?.compare_exchange(
            ptr::null_mut(),
            new.cast(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if published.is_err() {
            // SAFETY: made by `Box::into_raw` above, and another thread was faster to publish its
            // own, so no code has this one.
            drop(unsafe { Box::from_raw(new) });
        }
        self.slot(number)
    }

    /// Allocates a slot for a new object.
    fn allocate(&self) -> Result<(usize, &'static Slot)> {
        let full = || {
            let detail = format!("{MAX_SLOTS} handles are open; close some first");
            refused(ErrorKind::TooLarge, "handle", detail)
        };
        let mut head = self.free.load(Ordering::Acquire);
        while let Some(number) = first_free(head) {
            let slot = self.slot(number).ok_or_else(full)?;
            let next = slot.next.load(Ordering::Relaxed);
            let new = ((head >> 32) + 1) << 32 | next as u64;
            // SYNC POINT: pairs with the Release in `release`, to see the `next` stored before the
            // slot was published.
            match self.free.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Ok((number, slot)),
                Err(other) => head = other,
            }
        }
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        if number >= MAX_SLOTS {
            self.used.fetch_sub(1, Ordering::Relaxed);
            return Err(full());
        }
        Ok((number, self.slot_or_new(number).ok_or_else(full)?))
    }

    /// Whether this token is a handle.
    fn has(&self, token: usize) -> bool {
        self.name_of(token).is_some()
    }

    /// Returns the name of the type of this handle, if it is one.
    fn name_of(&self, token: usize) -> Option<&'static str> {
        let occupant = self.slot(slot_of(token))?.occupant.load();
        occupant.as_ref().filter(|it| it.token == token).map(|it| it.object.name())
    }

    /// Removes an object from its slot. Of several threads that do so at once, one gets it.
    fn remove(
        &self,
        number: usize,
        slot: &Slot,
        seen: Option<Arc<Occupant>>,
    ) -> Option<Arc<Occupant>> {
        let before = slot.occupant.compare_and_swap(&seen, None);
        let token = seen.as_ref().map(|it| it.token);
        if token.is_none() || before.as_ref().map(|it| it.token) != token {
            return None;
        }
        self.release(number, slot);
        drop(seen);
        arc_swap::Guard::into_inner(before)
    }

    fn release(&self, number: usize, slot: &Slot) {
        if WIDE && slot.generation.load(Ordering::Relaxed) >= MAX_GENERATION {
            return;
        }
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32 as usize, Ordering::Relaxed);
            let new = ((head >> 32) + 1) << 32 | (number + 1) as u64;
            // SYNC POINT: pairs with the Acquire loads of `free` in `allocate`.
            match self.free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }
}

/// Returns the first free slot that the word `free` names.
fn first_free(head: u64) -> Option<usize> {
    (head as u32 as usize).checked_sub(1)
}

/// Returns the number of slots of a group.
#[inline]
const fn slots_of(group: usize) -> usize {
    FIRST << group
}

/// Returns the group of a slot and its index within the group.
#[inline]
fn locate(number: usize) -> (usize, usize) {
    let group = (number / FIRST + 1).ilog2() as usize;
    (group, number - FIRST * ((1 << group) - 1))
}

/// Returns a handle to a new object.
pub(crate) fn open<H: Handle>(object: H::Object) -> Result<*mut H> {
    open_within(object, 0)
}

/// Returns a handle to a new object, which is closed with the map of this token (0 = none).
fn open_within<H: Handle>(object: H::Object, map: usize) -> Result<*mut H> {
    let (number, slot) = TABLE.allocate()?;
    let generation = slot.generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let token = pack(number, generation);
    slot.occupant.store(Some(Arc::new(Occupant { token, map, object: H::wrap(object) })));
    Ok(std::ptr::without_provenance_mut(token))
}

/// Makes an object and writes its handle to the caller's location, the argument `name`; NULL on
/// failure.
pub(crate) fn make<H: Handle>(
    name: &'static str,
    out: Out<'_, *mut H>,
    make: impl FnOnce() -> Result<H::Object>,
) -> Result<()> {
    let out = wanted(name, out)?;
    out.write(std::ptr::null_mut());
    out.write(open(make()?)?);
    Ok(())
}

/// As [`make`], for an object that keeps a map open: it is closed with that map. `from` is the map,
/// or another object that is closed with it.
pub(crate) fn make_within<P: Handle, H: Handle>(
    name: &'static str,
    out: Out<'_, *mut H>,
    from: *mut P,
    make: impl FnOnce(&P::Object) -> Result<H::Object>,
) -> Result<()> {
    let out = wanted(name, out)?;
    out.write(std::ptr::null_mut());
    let (object, map) = with_occupant(from, |object, occupant| {
        let map = match occupant.object {
            Object::Map(_) => occupant.token,
            _ => occupant.map,
        };
        Ok((make(object)?, map))
    })?;
    let handle = open_within::<H>(object, map)?;
    // SYNC POINT: pairs with the fence in `close_within`. Either that sees the new object, or this
    // sees that the map is closed.
    fence(Ordering::SeqCst);
    if !TABLE.has(map) {
        // The other thread may have closed it already.
        let _ = close(handle);
        return Err(no_such_handle::<P>(from.addr()));
    }
    out.write(handle);
    Ok(())
}

/// As [`make`]; NULL if there is no object.
pub(crate) fn make_if_any<H: Handle>(
    name: &'static str,
    out: Out<'_, *mut H>,
    make: impl FnOnce() -> Result<Option<H::Object>>,
) -> Result<()> {
    let out = wanted(name, out)?;
    out.write(std::ptr::null_mut());
    if let Some(object) = make()? {
        out.write(open(object)?);
    }
    Ok(())
}

/// Runs `operate` on the object of a handle, and keeps the object alive meanwhile.
#[inline]
pub(crate) fn with<H: Handle, R>(
    handle: *mut H,
    operate: impl FnOnce(&H::Object) -> Result<R>,
) -> Result<R> {
    with_occupant(handle, |object, _| operate(object))
}

#[inline]
fn with_occupant<H: Handle, R>(
    handle: *mut H,
    operate: impl FnOnce(&H::Object, &Occupant) -> Result<R>,
) -> Result<R> {
    let token = handle.addr();
    let occupant = TABLE.slot(slot_of(token)).map(|slot| slot.occupant.load());
    if let Some(occupant) = occupant.as_ref().and_then(|occupant| occupant.as_ref())
        && occupant.token == token
        && let Some(object) = H::of(&occupant.object)
    {
        return operate(object, occupant);
    }
    Err(no_such_handle::<H>(token))
}

#[cold]
fn no_such_handle<H: Handle>(token: usize) -> mapvar::Error {
    if token == 0 {
        return crate::base::border::null(H::NAME);
    }
    match TABLE.name_of(token) {
        Some(name) if name != H::NAME => refused(
            ErrorKind::InvalidArgument,
            H::NAME,
            format!("it is a handle of another type, {name}; give one that fits"),
        ),
        _ => refused(
            ErrorKind::Closed,
            H::NAME,
            "the handle is closed, or was never one; open it again",
        ),
    }
}

/// Removes a handle's object from the table. Returns `None` if a call in another thread still uses
/// the object, which is then dropped when that call ends. NULL is accepted and does nothing.
pub(crate) fn close<H: Handle>(handle: *mut H) -> Result<Option<H::Object>> {
    let token = handle.addr();
    if token == 0 {
        return Ok(None);
    }
    let number = slot_of(token);
    let gone = || no_such_handle::<H>(token);
    let slot = TABLE.slot(number).ok_or_else(gone)?;
    let seen = slot.occupant.load_full();
    if !seen.as_ref().is_some_and(|it| it.token == token && H::of(&it.object).is_some()) {
        return Err(gone());
    }
    let occupant = TABLE.remove(number, slot, seen).ok_or_else(gone)?;
    Ok(Arc::into_inner(occupant).and_then(|occupant| H::unwrap(occupant.object)))
}

/// Closes the objects that keep the map of this token open. An object that a call in another thread
/// still uses is dropped when that call ends.
pub(crate) fn close_within(map: usize) {
    // SYNC POINT: pairs with the fence in `make_within`.
    fence(Ordering::SeqCst);
    for number in 0..TABLE.used.load(Ordering::Acquire).min(MAX_SLOTS) {
        let Some(slot) = TABLE.slot(number) else { continue };
        if slot.occupant.load().as_ref().is_none_or(|it| it.map != map) {
            continue;
        }
        if let Some(seen) = slot.occupant.load_full().filter(|it| it.map == map) {
            TABLE.remove(number, slot, Some(seen));
        }
    }
}

/// An object that one thread at a time may use, for long; other threads wait no longer than they
/// choose. In a child of `fork`, a use fails rather than wait for a thread that exists only in the
/// parent.
pub(crate) struct Turns<T> {
    inner: Mutex<T>,
    process: u32,
}

impl<T> Turns<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner: Mutex::new(inner), process: std::process::id() }
    }

    /// Waits without a limit.
    pub(crate) fn turn(&self) -> Result<MutexGuard<'_, T>> {
        if self.process == std::process::id() {
            return Ok(locked(&self.inner));
        }
        self.within(Duration::ZERO)?.ok_or_else(forked)
    }

    /// Returns `None` if another thread used the object for the whole timeout.
    pub(crate) fn within(&self, timeout: Duration) -> Result<Option<MutexGuard<'_, T>>> {
        let began = Instant::now();
        loop {
            match self.inner.try_lock() {
                Ok(turn) => return Ok(Some(turn)),
                Err(TryLockError::Poisoned(turn)) => return Ok(Some(turn.into_inner())),
                Err(TryLockError::WouldBlock) if self.process != std::process::id() => {
                    return Err(forked());
                }
                Err(TryLockError::WouldBlock) if began.elapsed() >= timeout => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn forked() -> mapvar::Error {
    let detail = "this process was forked from the one that created it; create it here";
    refused(ErrorKind::Closed, "handle", detail)
}

/// Locks an object for one thread at a time. A panic during its use leaves it usable.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_consecutive() {
        let mut expected = (0, 0);
        for number in 0..FIRST * 7 {
            assert_eq!(locate(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(locate(MAX_SLOTS - 1), (GROUPS - 1, (FIRST << (GROUPS - 1)) - 1));
    }

    #[test]
    fn a_token_keeps_its_parts() {
        for slot in [0, 1, 63, 64, MAX_SLOTS - 1] {
            for generation in [1, 2, MAX_GENERATION] {
                let token = pack(slot, generation);
                assert_eq!((slot_of(token), token >> GENERATION_AT), (slot, generation));
                assert_eq!(token & 1, 1);
            }
        }
        assert_eq!(pack(7, MAX_GENERATION + 1), pack(7, 0), "a generation stays within its bits");
    }
}
