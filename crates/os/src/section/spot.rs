//! A piece of a view that is accessed again and again. Its bounds are checked when it is chosen, and
//! not at each access.

#![allow(unsafe_code, reason = "references into a mapping")]
#![allow(clippy::inline_always, reason = "measured: a call costs as much as the read")]

use crate::{
    memory::words::{Half, PrivateWord, Word, Words, WordsMut},
    options::Access,
    section::{
        lock::{Grip, Locks},
        view::View,
    },
};
use std::{fmt, marker::PhantomData, ptr::NonNull, sync::Arc, sync::atomic::Ordering};

/// A piece of the view of a `K`, which it keeps alive: a head of `HEAD` words, and behind it two or
/// `PARTS` parts of equal length, each of at least `LEAST` words.
///
/// It can be moved while other threads use it. Where it is, how many parts it has, and how long they
/// are, is one word, so each access goes to a piece that was checked as a whole.
///
/// | bits of a place | meaning |
/// | --- | --- |
/// | 0 | the user's own |
/// | 1 | `PARTS` parts; otherwise two |
/// | 2 | whether the view may be written to; only the spot itself sets it |
/// | 6 to 55 | the first byte, a multiple of 64 |
/// | 56 to 63 | words of a part |
///
/// ```
/// use mapvar_os::{Section, Spot};
/// use std::sync::{Arc, atomic::Ordering};
///
/// let view = Section::options().size(4096).create()?.view().map()?;
/// let keeper = Arc::new(view);
/// let spot = Spot::<_, 8, 4, 4>::new(Arc::clone(&keeper), |view| view);
/// assert!(spot.here().is_none());
/// assert!(spot.move_to(|view| view, 5 << 56 | 64));
/// keeper.words_mut(64 + (8 + 5) * 8, 1).unwrap().store(0, 7, Ordering::Relaxed);
/// assert_eq!(spot.here().unwrap().part(1).load(0, Ordering::Relaxed), 7);
/// assert!(!spot.move_to(|view| view, 5 << 56 | 4096));
/// // Of a number as many bits count as there are parts.
/// let part = |number| spot.here().unwrap().part(number).load(0, Ordering::Relaxed);
/// assert_eq!((part(2), part(3)), (0, 7));
/// # Ok::<(), mapvar_os::Error>(())
/// ```
pub struct Spot<K, const HEAD: usize, const PARTS: usize, const LEAST: usize> {
    keeper: Arc<K>,
    /// First byte of the mapping.
    base: NonNull<Word>,
    /// 0, or a place that `is_within` has found to lie within the mapping.
    place: PrivateWord,
}

// SAFETY: the pointer is the address of a mapping that `keeper` keeps alive. Any thread may access
// the memory there by atomics, and nothing else is done with it.
unsafe impl<K: Send + Sync, const H: usize, const P: usize, const L: usize> Send
    for Spot<K, H, P, L>
{
}
// SAFETY: as above; `place` is an atomic.
unsafe impl<K: Send + Sync, const H: usize, const P: usize, const L: usize> Sync
    for Spot<K, H, P, L>
{
}

const AT: u64 = 0x00ff_ffff_ffff_ffc0;

const FLAG: u64 = 1;

/// Bit of a place with `PARTS` parts.
const ALL: u64 = 2;

/// Bit of a place in a view that may be written to.
const WRITABLE: u64 = 4;

/// Where a [`Spot`] was when it was asked.
#[derive(Clone, Copy)]
pub struct Here<'a, const HEAD: usize, const PARTS: usize, const LEAST: usize> {
    first: NonNull<Word>,
    place: u64,
    of: PhantomData<&'a Word>,
}

/// As [`Here`], in a view that may be written to.
#[derive(Clone, Copy)]
pub struct HereMut<'a, const HEAD: usize, const PARTS: usize, const LEAST: usize> {
    here: Here<'a, HEAD, PARTS, LEAST>,
}

impl<K, const HEAD: usize, const PARTS: usize, const LEAST: usize> Spot<K, HEAD, PARTS, LEAST> {
    /// Creates a spot that is nowhere yet, in the view that `view` returns for `keeper`.
    pub fn new(keeper: Arc<K>, view: impl for<'k> Fn(&'k K) -> &'k View) -> Self {
        // A part has at most 255 words, so no sum below can wrap.
        const {
            assert!(PARTS.is_power_of_two() && PARTS >= 4 && PARTS <= 1 << 16);
            assert!(HEAD <= 1 << 16 && LEAST <= 255);
        };
        // The view lives as long as the borrow of `keeper` could, so as long as `keeper`: it can
        // neither be moved out of it nor dropped, since that takes a `&mut K`, and the `Arc` here
        // excludes one.
        let base = view(&keeper).range().base();
        Self { keeper, base, place: PrivateWord::new(0) }
    }

    /// Moves to another place of the same view; returns false, and stays, if the place is not valid
    /// or does not lie within the reachable part of the view.
    pub fn move_to(&self, view: impl for<'k> Fn(&'k K) -> &'k View, place: u64) -> bool {
        let view = view(&self.keeper);
        // Another view of the keeper may have another length.
        let valid = view.range().base() == self.base && Self::is_within(view, place);
        if valid {
            let writable = view.range().access() != Access::Read;
            let place = if writable { place | WRITABLE } else { place };
            // Release pairs with the Acquire load in `here`: a thread that finds the place finds the
            // bytes mapped.
            self.place.store(place, Ordering::Release);
        }
        valid
    }

    fn is_within(view: &View, place: u64) -> bool {
        let part_words = part_words(place);
        let words = HEAD + (last_part::<PARTS>(place) + 1) * part_words;
        let within = |at| view.plain_words(at, words).is_some();
        place & !(AT | ALL | FLAG | 0xff << 56) == 0
            && part_words >= LEAST
            && usize::try_from(place & AT).is_ok_and(within)
    }

    /// Whether the spot is still, or again, where it was when `here` was returned.
    #[inline(always)]
    pub fn is_at(&self, here: Here<'_, HEAD, PARTS, LEAST>) -> bool {
        self.place.load(Ordering::Relaxed) == here.place
    }

    /// Returns what it keeps alive.
    #[inline(always)]
    pub fn keeper(&self) -> &Arc<K> {
        &self.keeper
    }

    /// Returns where it is; `None` if it has not been moved anywhere.
    #[inline(always)]
    pub fn here(&self) -> Option<Here<'_, HEAD, PARTS, LEAST>> {
        let place = self.place.load(Ordering::Acquire);
        if place == 0 {
            return None;
        }
        // SAFETY: `is_within` found that bytes `AT..` of the mapping that begins at `base` are
        // reachable; the mapping neither moves nor gets shorter as long as its view lives, and the
        // view lives as long as `self` (`new`).
        let first = unsafe { self.base.byte_add((place & AT) as usize) };
        Some(Here { first, place, of: PhantomData })
    }
}

impl<K, const H: usize, const P: usize, const L: usize> Clone for Spot<K, H, P, L> {
    fn clone(&self) -> Self {
        let place = PrivateWord::new(self.place.load(Ordering::Acquire));
        Self { keeper: Arc::clone(&self.keeper), base: self.base, place }
    }
}

impl<K, const H: usize, const P: usize, const L: usize> fmt::Debug for Spot<K, H, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.here().map(|here| here.place & AT);
        f.debug_struct("Spot").field("at", &at).finish_non_exhaustive()
    }
}

impl<const H: usize, const P: usize, const L: usize> fmt::Debug for Here<'_, H, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here").field("at", &(self.place & AT)).finish_non_exhaustive()
    }
}

impl<'a, const HEAD: usize, const PARTS: usize, const LEAST: usize> Here<'a, HEAD, PARTS, LEAST> {
    /// Returns the word with which the spot was moved here.
    #[inline(always)]
    pub fn place(self) -> u64 {
        self.place & !WRITABLE
    }

    /// Whether bit 0 of the place is set.
    #[inline(always)]
    pub fn flag(self) -> bool {
        self.place & FLAG != 0
    }

    /// Returns the same place for writing; `None` if the view is read-only.
    #[inline(always)]
    pub fn for_writing(self) -> Option<HereMut<'a, HEAD, PARTS, LEAST>> {
        (self.place & WRITABLE != 0).then_some(HereMut { here: self })
    }

    /// Returns the head.
    #[inline(always)]
    pub fn head(self) -> Words<'a> {
        // SAFETY: the piece has `HEAD` words and more.
        Words::new(unsafe { self.words(0, HEAD) })
    }

    /// Returns the first `LEAST` words of a part; of `number` as many low bits count as there are
    /// parts.
    #[inline(always)]
    pub fn part(self, number: usize) -> Words<'a> {
        // SAFETY: the part begins within the piece and has at least `LEAST` words (`is_within`).
        Words::new(unsafe { self.words(self.part_at(number), LEAST) })
    }

    /// Returns the words of a part from its word `from` on; `None` if it has fewer.
    #[inline(always)]
    pub fn rest(self, number: usize, from: usize, count: usize) -> Option<Words<'a>> {
        self.rest_of(number, from, count).map(Words::new)
    }

    #[inline(always)]
    fn rest_of(self, number: usize, from: usize, count: usize) -> Option<&'a [Word]> {
        let fits = from.checked_add(count)? <= part_words(self.place);
        // SAFETY: these words lie within the part (just compared), which lies within the piece.
        fits.then(|| unsafe { self.words(self.part_at(number) + from, count) })
    }

    #[inline(always)]
    fn part_at(self, number: usize) -> usize {
        HEAD + (number & last_part::<PARTS>(self.place)) * part_words(self.place)
    }

    /// # Safety
    /// The piece has `from + count` words or more.
    #[inline(always)]
    unsafe fn words(self, from: usize, count: usize) -> &'a [Word] {
        // SAFETY: within the piece (contract), which lies within the mapping (`is_within`).
        let first = unsafe { self.first.add(from) };
        // SAFETY: as in `MappedRange::plain_part`, whose check `is_within` has made: the words are
        // readable and aligned, they live as long as the view, which the spot keeps alive for `'a`,
        // and they are accessed by atomics alone. They are written to only through a `HereMut`,
        // whose view is writable.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), count) }
    }
}

impl<const H: usize, const P: usize, const L: usize> fmt::Debug for HereMut<'_, H, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.here.fmt(f)
    }
}

impl<'a, const HEAD: usize, const PARTS: usize, const LEAST: usize>
    HereMut<'a, HEAD, PARTS, LEAST>
{
    /// Returns the offset of its first byte in the view.
    #[inline(always)]
    pub fn at(self) -> u64 {
        self.here.place & AT
    }

    /// Returns how many parts there are: two, or as many as there can be.
    #[inline(always)]
    pub fn parts(self) -> usize {
        last_part::<PARTS>(self.here.place) + 1
    }

    /// As [`Here::head`].
    #[inline(always)]
    pub fn head(self) -> WordsMut<'a> {
        // SAFETY: as in `Here::head`.
        WordsMut::new(unsafe { self.here.words(0, HEAD) })
    }

    /// As [`Here::part`].
    #[inline(always)]
    pub fn part(self, number: usize) -> WordsMut<'a> {
        // SAFETY: as in `Here::part`.
        WordsMut::new(unsafe { self.here.words(self.here.part_at(number), LEAST) })
    }

    /// As [`Here::rest`].
    #[inline(always)]
    pub fn rest(self, number: usize, from: usize, count: usize) -> Option<WordsMut<'a>> {
        self.here.rest_of(number, from, count).map(WordsMut::new)
    }

    /// Acquires the lock word at byte `AT` of the head by a single attempt, until the grip is
    /// dropped. `None` also where [`Locks::try_lock`] returns false; then the caller calls
    /// [`Locks::lock`].
    #[inline(always)]
    pub fn try_lock<const AT: usize>(self, locks: &Locks) -> Option<Grip<'a>> {
        const { assert!(AT.is_multiple_of(4) && AT < HEAD * 8) };
        // SAFETY: within the head: `AT` is below its end, and a multiple of 4, as is the end.
        let word = unsafe { self.here.first.cast::<Half>().byte_add(AT) };
        // SAFETY: the word lies within the head, which is mapped as long as `'a`, and writable. It
        // is aligned: the head begins at a multiple of 64. An atomic word has no invalid values, and
        // no process ever accesses a lock word as part of a 64-bit word.
        locks.try_grip(unsafe { word.as_ref() })
    }
}

/// Returns the number of the last part, all of whose bits are set.
#[inline(always)]
fn last_part<const PARTS: usize>(place: u64) -> usize {
    // 1, or 1 and the other bits of `PARTS - 1`: without a branch, since it is on the path of reads.
    1 | ((place & ALL) as usize * (PARTS / 2 - 1))
}

#[inline(always)]
fn part_words(place: u64) -> usize {
    (place >> 56) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::section::handle::Section;

    type Small = Spot<View, 2, 4, 3>;

    fn view(bytes: u64) -> Arc<View> {
        Arc::new(Section::options().size(bytes).create().unwrap().view().map().unwrap())
    }

    #[test]
    fn only_places_within_the_view_are_accepted() {
        let keeper = view(4096);
        let spot = Small::new(Arc::clone(&keeper), |view| view);
        assert!(spot.here().is_none());
        // A head of 2 words and the parts of `words` words end at the end of the view, or less than
        // 64 bytes before it.
        for (bit, parts) in [(0, 2), (ALL, 4)] {
            let fits = |words: u64| (4096 - (2 + parts * words) * 8) & AT;
            for words in [3, 6, 8, 100] {
                let place = words << 56 | fits(words) | bit;
                assert!(spot.move_to(|view| view, place), "{words}");
                assert!(!spot.move_to(|view| view, place + 64), "{words}");
            }
        }
        let before = spot.here().unwrap().place();
        // Parts that are too short, places off the grid, unknown bits, places far outside.
        for bad in [2 << 56 | 0x40, 3 << 56 | 0x48, 3 << 56 | 0x44, 3 << 56 | AT, u64::MAX, 0x40] {
            assert!(!spot.move_to(|view| view, bad), "{bad:x}");
        }
        assert_eq!(spot.here().unwrap().place(), before);
        assert_eq!(spot.clone().here().unwrap().place(), before);
    }

    #[test]
    fn its_words_are_those_of_the_view() {
        let keeper = view(4096);
        let words = keeper.words_mut(0, 512).unwrap();
        for at in 0..512 {
            words.store(at, at as u64, Ordering::Relaxed);
        }
        let spot = Small::new(Arc::clone(&keeper), |view| view);
        let load = |words: Words<'_>, at| words.load(at, Ordering::Acquire);
        for (bits, parts) in [(FLAG, 2), (ALL | FLAG, 4)] {
            assert!(spot.move_to(|view| view, 5 << 56 | 128 | bits));
            let here = spot.here().unwrap();
            assert_eq!((here.flag(), here.head().len(), load(here.head(), 1)), (true, 2, 17));
            for number in 0..8 {
                let first = 16 + 2 + (number % parts) * 5;
                assert_eq!(
                    (here.part(number).len(), load(here.part(number), 2)),
                    (3, first as u64 + 2)
                );
                assert_eq!(load(here.rest(number, 3, 2).unwrap(), 1), first as u64 + 4);
            }
        }
        let here = spot.here().unwrap();
        for (from, count) in [(3, 3), (6, 0), (usize::MAX, 2), (0, 6)] {
            assert!(here.rest(0, from, count).is_none());
        }
        assert_eq!(here.rest(3, 5, 0).unwrap().len(), 0);
    }

    #[test]
    fn it_is_written_to_only_in_a_writable_view() {
        let section = Section::options().size(4096).create().unwrap();
        let writable = Arc::new(section.view().map().unwrap());
        let readable = Arc::new(section.view().access(Access::Read).map().unwrap());
        let place = 5 << 56 | 128 | FLAG;
        let [spot, other] = [writable, readable].map(|view| {
            let spot = Small::new(view, |view| view);
            assert!(spot.move_to(|view| view, place));
            // The bit is the spot's own.
            assert!(!spot.move_to(|view| view, place | WRITABLE));
            assert_eq!(spot.here().unwrap().place(), place);
            spot
        });
        let here = spot.here().unwrap().for_writing().unwrap();
        assert_eq!(here.at(), 128);
        here.head().store(1, 1, Ordering::Relaxed);
        assert_eq!(here.parts(), 2);
        here.part(6).store(2, 2, Ordering::Relaxed);
        here.rest(3, 4, 1).unwrap().store(0, 3, Ordering::Relaxed);
        assert!(here.rest(3, 4, 2).is_none());
        let seen = other.here().unwrap();
        assert!(seen.for_writing().is_none());
        let load = |words: Words<'_>, at| words.load(at, Ordering::Acquire);
        assert_eq!((load(seen.head(), 1), load(seen.part(2), 2)), (1, 2));
        assert_eq!(load(seen.rest(3, 4, 1).unwrap(), 0), 3);
    }

    #[test]
    fn a_grip_is_a_lock() {
        use crate::{name::Scope, spec::Taken};
        use std::time::Duration;

        let keeper = view(16 << 10);
        let id = format!("grip{}", std::process::id());
        // Not every system has locks.
        let Ok(locks) = Locks::new(Scope::Local, &id, 8192, 64) else { return };
        let spot = Small::new(Arc::clone(&keeper), |view| view);
        assert!(spot.move_to(|view| view, 5 << 56 | 128));
        let is_free = || {
            std::thread::scope(|scope| {
                let lock = || {
                    // A thread's first lock may take the slow path.
                    let Ok(taken) = locks.lock(&keeper, 136, Duration::ZERO) else { return false };
                    assert_eq!(taken, Taken::Clean);
                    locks.unlock(&keeper, 136);
                    let here = spot.here().unwrap().for_writing().unwrap();
                    drop(here.try_lock::<8>(&locks).unwrap());
                    true
                };
                scope.spawn(lock).join().unwrap()
            })
        };
        assert!(is_free());
        assert_eq!(locks.lock(&keeper, 136, Duration::ZERO).unwrap(), Taken::Clean);
        assert!(!is_free());
        locks.unlock(&keeper, 136);
        let grip = spot.here().unwrap().for_writing().unwrap().try_lock::<8>(&locks).unwrap();
        assert!(!is_free() && locks.is_held(&keeper, 136));
        drop(grip);
        assert!(is_free() && !locks.is_held(&keeper, 136));
    }

    #[test]
    fn a_keeper_with_two_views_gets_one() {
        let both = Arc::new([view(4096), view(65536)]);
        let spot = Spot::<_, 2, 4, 3>::new(Arc::clone(&both), |both| &both[0]);
        assert!(!spot.move_to(|both| &both[1], 3 << 56 | 8192));
        assert!(spot.move_to(|both| &both[0], 3 << 56 | 64));
    }
}
