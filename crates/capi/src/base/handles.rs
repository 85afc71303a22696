//! The table of handles. A handle is a number that looks like a pointer and is never followed: the
//! place of the object in this table, which type it is of, and the how-manieth object of that place.
//! So one that was closed, or freed twice, or is of another type, or was never given out, is an error
//! and nothing else.
//!
//! Looking up a handle takes no lock (`arc-swap` keeps the object for the time of the call); neither
//! does making and closing one, so that a forked child finds no lock held for ever.

use crate::base::{
    border::{Out, wanted},
    errors::refused,
    tree::Tree,
    types::{
        AnyAtomic, Range, mapvar_atomic, mapvar_change, mapvar_check, mapvar_clobbered,
        mapvar_entry, mapvar_held, mapvar_iter, mapvar_lock, mapvar_lock_stat, mapvar_map,
        mapvar_options, mapvar_place, mapvar_salvage, mapvar_section, mapvar_section_options,
        mapvar_snapshot, mapvar_stat, mapvar_transaction, mapvar_value, mapvar_var, mapvar_view,
        mapvar_view_options, mapvar_watch,
    },
};
use arc_swap::ArcSwapOption;
use mapvar::{
    Change, Check, Clobbered, Entry, ErrorKind, HeldLock, Iter, Lock, LockPlace, LockStat, Map,
    MapOptions, Result, Salvage, Section, SectionOptions, Snapshot, Stat, Transaction, Value, Var,
    View, Watch,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// A type of handles: the name that C has for it, and what it stands for.
pub(crate) trait Handle: Sized {
    /// What it stands for.
    type Object;
    const TAG: usize;
    /// What messages call it.
    const NAME: &'static str;
    fn wrap(object: Self::Object) -> Object;
    fn of(object: &Object) -> Option<&Self::Object>;
    fn unwrap(object: Object) -> Option<Self::Object>;
}

macro_rules! objects {
    ($($variant:ident = $tag:literal: $handle:ident is $object:ty, $name:literal;)*) => {
        /// What a handle stands for.
        pub(crate) enum Object { $($variant($object),)* }

        $(impl Handle for $handle {
            type Object = $object;
            const TAG: usize = $tag;
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

        /// What messages call the handles of a tag.
        fn name_of(tag: usize) -> Option<&'static str> {
            match tag { $($tag => Some($name),)* _ => None }
        }
    };
}

// The tags are no part of the interface. 0 is none.
objects! {
    Options = 1: mapvar_options is Mutex<MapOptions>, "mapvar_options";
    Map = 2: mapvar_map is Map, "mapvar_map";
    Value = 3: mapvar_value is Arc<Tree>, "mapvar_value";
    Var = 4: mapvar_var is Var<Value>, "mapvar_var";
    Atomic = 5: mapvar_atomic is AnyAtomic, "mapvar_atomic";
    Transaction = 6: mapvar_transaction is Turns<Transaction<'static>>, "mapvar_transaction";
    Snapshot = 7: mapvar_snapshot is Snapshot, "mapvar_snapshot";
    Iter = 8: mapvar_iter is Turns<Iter<'static>>, "mapvar_iter";
    Entry = 9: mapvar_entry is Entry, "mapvar_entry";
    Stat = 10: mapvar_stat is Stat, "mapvar_stat";
    Check = 11: mapvar_check is Check, "mapvar_check";
    Salvage = 12: mapvar_salvage is Salvage, "mapvar_salvage";
    SectionOptions = 13: mapvar_section_options is Mutex<SectionOptions>, "mapvar_section_options";
    Section = 14: mapvar_section is Section, "mapvar_section";
    ViewOptions = 15: mapvar_view_options is Mutex<Range>, "mapvar_view_options";
    View = 16: mapvar_view is View, "mapvar_view";
    Clobbered = 17: mapvar_clobbered is Clobbered, "mapvar_clobbered";
    LockStat = 18: mapvar_lock_stat is LockStat, "mapvar_lock_stat";
    Watch = 19: mapvar_watch is Turns<Watch>, "mapvar_watch";
    Change = 20: mapvar_change is Change, "mapvar_change";
    Lock = 21: mapvar_lock is Lock, "mapvar_lock";
    Held = 22: mapvar_held is HeldLock, "mapvar_held";
    Place = 23: mapvar_place is Turns<LockPlace>, "mapvar_place";
}

/// An object in its place.
struct Occupant {
    token: usize,
    object: Object,
}

#[derive(Default)]
struct Slot {
    occupant: ArcSwapOption<Occupant>,
    /// How many objects this place has had.
    had: AtomicUsize,
    /// While it is free: the next free place, + 1.
    next: AtomicUsize,
}

/// Places come in groups, each twice as large as the one before; a group stays for ever.
struct Table {
    groups: [OnceLock<Box<[Slot]>>; GROUPS],
    /// How many places were ever used.
    used: AtomicUsize,
    /// The first free place, + 1, in the lower half; how often it changed in the upper, so that who
    /// was slow takes no place that was taken and freed meanwhile.
    free: AtomicUsize,
}

const GROUPS: usize = 19;
/// Places of the first group.
const FIRST: usize = 64;
const MOST: usize = FIRST * ((1 << GROUPS) - 1);

static TABLE: Table = Table {
    groups: [const { OnceLock::new() }; GROUPS],
    used: AtomicUsize::new(0),
    free: AtomicUsize::new(0),
};

// A token: bit 0 set, so that it is no aligned address and never 0; the tag; the place; which object
// of the place.
const TAG_AT: u32 = 1;
const PLACE_AT: u32 = 6;
const HAD_AT: u32 = 32;
const _: () = assert!(usize::BITS == 64, "a handle has 64 bits");
const _: () = assert!(MOST <= 1 << (HAD_AT - PLACE_AT), "a place fits its bits");
/// A place that has had as many objects is used no more, so that no token comes twice.
const MOST_HAD: usize = u32::MAX as usize;
const LOWER: usize = u32::MAX as usize;

fn pack(tag: usize, place: usize, had: usize) -> usize {
    1 | tag << TAG_AT | place << PLACE_AT | had << HAD_AT
}

#[inline]
fn tag_of(token: usize) -> usize {
    token >> TAG_AT & 31
}

#[inline]
fn place_of(token: usize) -> usize {
    (token & LOWER) >> PLACE_AT
}

impl Table {
    #[inline]
    fn place(&self, number: usize) -> Option<&Slot> {
        let (group, within) = whereabouts(number);
        self.groups.get(group)?.get()?.get(within)
    }

    fn place_made(&self, number: usize) -> Option<&Slot> {
        let (group, within) = whereabouts(number);
        let group_len = FIRST << group;
        let places = || (0..group_len).map(|_| Slot::default()).collect();
        self.groups.get(group)?.get_or_init(places).get(within)
    }

    /// A place for a new object.
    fn take(&self) -> Result<(usize, &Slot)> {
        let full = || {
            refused(ErrorKind::TooLarge, "handle", "33 million handles are open; close some first")
        };
        let mut head = self.free.load(Ordering::Acquire);
        while let Some(number) = (head & LOWER).checked_sub(1) {
            let place = self.place(number).ok_or_else(full)?;
            let next = place.next.load(Ordering::Relaxed);
            let new = ((head >> 32) + 1) << 32 | next;
            // SYNC POINT: Acquire sees what `give_back` stored before it published the place.
            match self.free.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Ok((number, place)),
                Err(other) => head = other,
            }
        }
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        if number >= MOST {
            self.used.fetch_sub(1, Ordering::Relaxed);
            return Err(full());
        }
        Ok((number, self.place_made(number).ok_or_else(full)?))
    }

    fn give_back(&self, number: usize, place: &Slot) {
        if place.had.load(Ordering::Relaxed) >= MOST_HAD {
            return;
        }
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            place.next.store(head & LOWER, Ordering::Relaxed);
            let new = ((head >> 32) + 1) << 32 | (number + 1);
            // SYNC POINT: Release, see `take`.
            match self.free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }
}

/// In which group a place lies, and where there.
#[inline]
fn whereabouts(number: usize) -> (usize, usize) {
    let group = (number / FIRST + 1).ilog2() as usize;
    (group, number - FIRST * ((1 << group) - 1))
}

/// A handle to a new object.
pub(crate) fn open<H: Handle>(object: H::Object) -> Result<*mut H> {
    let (number, place) = TABLE.take()?;
    let had = place.had.fetch_add(1, Ordering::Relaxed) + 1;
    let token = pack(H::TAG, number, had);
    place.occupant.store(Some(Arc::new(Occupant { token, object: H::wrap(object) })));
    Ok(std::ptr::without_provenance_mut(token))
}

/// Makes an object and writes its handle where the caller wants it; NULL where that fails.
pub(crate) fn make<H: Handle>(
    out: Out<'_, *mut H>,
    make: impl FnOnce() -> Result<H::Object>,
) -> Result<()> {
    let out = wanted("out", out)?;
    out.write(std::ptr::null_mut());
    out.write(open(make()?)?);
    Ok(())
}

/// As [`make`]; NULL where there is none.
pub(crate) fn make_if_any<H: Handle>(
    out: Out<'_, *mut H>,
    make: impl FnOnce() -> Result<Option<H::Object>>,
) -> Result<()> {
    let out = wanted("out", out)?;
    out.write(std::ptr::null_mut());
    if let Some(object) = make()? {
        out.write(open(object)?);
    }
    Ok(())
}

/// Does something with the object of a handle, which stays for as long as that takes.
#[inline]
pub(crate) fn with<H: Handle, R>(
    handle: *mut H,
    operate: impl FnOnce(&H::Object) -> Result<R>,
) -> Result<R> {
    let token = handle.addr();
    let occupant = TABLE.place(place_of(token)).map(|place| place.occupant.load());
    if let Some(occupant) = occupant.as_ref().and_then(|occupant| occupant.as_ref())
        && occupant.token == token
        && let Some(object) = H::of(&occupant.object)
    {
        return operate(object);
    }
    Err(no_such_handle::<H>(token))
}

#[cold]
fn no_such_handle<H: Handle>(token: usize) -> mapvar::Error {
    if token == 0 {
        return crate::base::border::null(H::NAME);
    }
    match name_of(tag_of(token)) {
        Some(name) if tag_of(token) != H::TAG && token & 1 == 1 => refused(
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

/// Takes a handle's object out of the table; `None` where a call in another thread still uses it: it
/// goes when that ends. NULL is no handle, and well.
pub(crate) fn close<H: Handle>(handle: *mut H) -> Result<Option<H::Object>> {
    let token = handle.addr();
    if token == 0 {
        return Ok(None);
    }
    let number = place_of(token);
    let gone = || no_such_handle::<H>(token);
    let place = TABLE.place(number).ok_or_else(gone)?;
    let seen = place.occupant.load_full();
    if !seen.as_ref().is_some_and(|it| it.token == token && H::of(&it.object).is_some()) {
        return Err(gone());
    }
    // One of those who close it at once finds it there.
    let before = place.occupant.compare_and_swap(&seen, None);
    if before.as_ref().is_none_or(|it| it.token != token) {
        return Err(gone());
    }
    TABLE.give_back(number, place);
    drop(seen);
    let last = arc_swap::Guard::into_inner(before).and_then(Arc::into_inner);
    Ok(last.and_then(|occupant| H::unwrap(occupant.object)))
}

/// What one thread at a time may use, for long: the others wait no longer than they want to. A child of
/// `fork` gets an error, where a thread that it has not used it in its parent.
pub(crate) struct Turns<T> {
    inner: Mutex<T>,
    process: u32,
}

impl<T> Turns<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner: Mutex::new(inner), process: std::process::id() }
    }

    /// Waits for as long as it takes.
    pub(crate) fn turn(&self) -> Result<MutexGuard<'_, T>> {
        if self.process == std::process::id() {
            return Ok(locked(&self.inner));
        }
        self.within(Duration::ZERO)?.ok_or_else(forked)
    }

    /// `None` where another thread used it all that time.
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
    let detail = "this process was forked from the one that made it; make it here";
    refused(ErrorKind::Closed, "handle", detail)
}

/// What one thread at a time may use. A panic in the midst of its use leaves it usable.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_one_behind_the_other() {
        let mut expected = (0, 0);
        for number in 0..FIRST * 7 {
            assert_eq!(whereabouts(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(whereabouts(MOST - 1), (GROUPS - 1, (FIRST << (GROUPS - 1)) - 1));
    }

    #[test]
    fn a_token_keeps_its_parts() {
        for place in [0, 1, 63, 64, MOST - 1] {
            for had in [1, 2, MOST_HAD] {
                let token = pack(18, place, had);
                assert_eq!((tag_of(token), place_of(token), token >> HAD_AT), (18, place, had));
            }
        }
    }
}
