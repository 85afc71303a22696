//! A region in a mapped section.

#![allow(clippy::inline_always, reason = "measured: a call costs as much as what it does")]

use crate::{
    error::EngineError,
    layout::{self, live, seat, sleeping},
    mem::{
        Load, Mem, Ordering, StoreWords, alike_by_word, data_in, next_data_in, seat_bits, within,
    },
};
use mapvar_os::{
    Error, ErrorKind, Locks, Refused, Scope, Seat, Seats, Section, Taken, View, Words, WordsMut,
    machine,
};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

impl Load for Words<'_> {
    #[inline]
    fn load(self, at: usize, order: Ordering) -> u64 {
        Words::load(self, at, order)
    }

    #[inline]
    fn copy_to(self, into: &mut [u8]) {
        Words::copy_to(self, into);
    }

    #[inline(always)]
    fn alike(self, pattern: u64) -> u32 {
        Words::alike(self, pattern).unwrap_or_else(|| alike_by_word(self, pattern))
    }

    #[inline(always)]
    fn are(self, first: usize, bytes: &[u8]) -> Option<bool> {
        Words::are(self, first, bytes)
    }

    #[inline(always)]
    fn fetch(self, at: usize) {
        Words::fetch(self, at);
    }
}

impl Load for WordsMut<'_> {
    #[inline]
    fn load(self, at: usize, order: Ordering) -> u64 {
        WordsMut::load(self, at, order)
    }
}

impl StoreWords for WordsMut<'_> {
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
    // The fields are dropped in this order: the view, the seat, the handle.
    view: View,
    seat: Mutex<Option<Seated>>,
    /// The seat's number, once it is taken.
    sleeping: OnceLock<usize>,
    section: Section,
    locks: Locks,
    /// How the system's objects for the region are named.
    called: Called,
    timeout: Duration,
}

thread_local! {
    /// Since when this thread waits by [`Mem::pause`]. A thread waits for one thing at a time, and
    /// each wait begins with round 0.
    static WAITS_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The names of the system's objects for a region, and the sessions that can see them.
#[derive(Debug)]
pub struct Called {
    /// The sessions that can see the objects.
    pub scope: Scope,
    /// The part of the objects' names that names the region.
    pub id: String,
}

/// This process's seat, and the token that stands for it in the region.
#[derive(Clone, Debug)]
struct Seated {
    seat: Arc<Seat>,
    token: u64,
}

/// RAII guard: while it lives, the region names the wake word on which a thread of this process
/// sleeps.
#[derive(Debug)]
pub struct Sleeping<'a>(WordsMut<'a>);

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        self.0.store(0, 0, Ordering::Relaxed);
    }
}

impl Mapped {
    /// Makes the memory of the region that `view` maps of `section`.
    pub fn new(
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

    /// Returns the mapped range.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns the section.
    pub fn section(&self) -> &Section {
        &self.section
    }

    /// Unmaps the region; returns the result of that, and the section, which the caller closes
    /// last.
    pub fn close(self) -> (mapvar_os::Result<()>, Section) {
        (self.view.close(), self.section)
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Returns how long an operation waits for a lock at most.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the region has grown so far that these words now lie within it. The number of chunks
    /// in the region is only a claim of another process. The real length of the section has the
    /// last word.
    #[cold]
    #[inline(never)]
    fn reaches_to(&self, at: u64, count: usize) -> bool {
        let chunks = live::AT / 8 + live::CHUNKS as u64;
        let said = self.view.plain_words(within(chunks * 8), 1);
        let said = said.map_or(0, |words| words.load(0, Ordering::Acquire));
        let said = said.min(layout::MOST_CHUNKS);
        let end = at.checked_add((count as u64).saturating_mul(8));
        match end {
            // Another thread of this process has reached further since the caller's check failed.
            Some(end) if end <= self.size() => true,
            Some(end) if end <= said * layout::CHUNK => self.reach(said * layout::CHUNK),
            _ => false,
        }
    }

    /// Publishes, for messages, that a thread is about to sleep on the wake word at `at`, until the
    /// returned guard is dropped. If another thread of the process has published its own, returns
    /// `None`.
    pub fn announce_sleep(&self, at: u64) -> Option<Sleeping<'_>> {
        let word = self.mapped_words_mut(sleeping::at(*self.sleeping.get()?), 1)?;
        if word.load(0, Ordering::Relaxed) != 0 {
            return None;
        }
        word.store(0, at, Ordering::Relaxed);
        Some(Sleeping(word))
    }

    fn seated(&self) -> Result<Seated, EngineError> {
        self.seated_among(layout::PARTICIPANT_SLOTS)
    }

    /// Takes a seat so that other processes see this one. Takes none once most are taken.
    pub fn announce(&self) {
        let _ = self.seated_among(layout::SEATS_OF_PRESENCE);
    }

    /// Releases the seat and removes its token. Without this, a process that has closed the region
    /// would seem to use it for as long as it lives: an opener by another mount, which does not see
    /// the locks of seats, goes by the process ids.
    pub fn leave(&self) {
        let seated = self.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(seated) = seated else { return };
        if let Some(words) = self.mapped_words_mut(seat::at(seated.seat.slot()), seat::WORDS) {
            let _ = words.compare_exchange(seat::TOKEN, seated.token, 0);
        }
    }

    fn seated_among(&self, among: usize) -> Result<Seated, EngineError> {
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
        let words = self.words_mut(seat::at(number), seat::WORDS).ok_or(EngineError::ReadOnly)?;
        let [random, _] = machine::random()?;
        let token = (number as u64) << 56 | random >> 8 | 1;
        // The predecessor's pin is cleared before the token is stored. Otherwise the old pin would
        // count as this process's and keep the extent from being freed.
        words.store(seat::PIN, 0, Ordering::SeqCst);
        // So are the bits: they would say that this process is in a turn. The predecessor's token
        // goes first. Otherwise its ephemeral values would count as those of a living process, and
        // no bit would say that they may be gone.
        words.store(seat::TOKEN, 0, Ordering::SeqCst);
        seat_bits::lose(self, number)?;
        let sleeping = self.words_mut(sleeping::at(number), 1).ok_or(EngineError::ReadOnly)?;
        sleeping.store(0, 0, Ordering::Relaxed);
        let _ = self.sleeping.set(number);
        // Process id and time, for messages. They are stored before the token, which validates
        // them.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = since.as_secs().min(u32::MAX.into());
        words.store(seat::PROCESS, since << 32 | u64::from(std::process::id()), Ordering::SeqCst);
        words.store(seat::TOKEN, token, Ordering::SeqCst);
        let seated = Seated { seat: Arc::new(taken), token };
        *seat = Some(seated.clone());
        Ok(seated)
    }
}

impl Mem for Mapped {
    type Words<'a> = Words<'a>;
    type WordsMut<'a> = WordsMut<'a>;

    #[inline]
    fn size(&self) -> u64 {
        self.view.len() as u64
    }

    #[inline]
    fn mapped_words(&self, at: u64, count: usize) -> Option<Words<'_>> {
        self.view.plain_words(within(at), count)
    }

    #[inline(always)]
    fn mapped_now<'a>(&'a self) -> impl Fn(u64, usize) -> Option<Words<'a>> + use<'a> {
        let all = self.view.all_plain_words();
        move |at, count| all.part(within(at), count)
    }

    #[inline]
    fn mapped_words_mut(&self, at: u64, count: usize) -> Option<WordsMut<'_>> {
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

    fn lock_now(&self, at: u64) -> Result<Taken, Refused> {
        self.locks.lock(&self.view, within(at), Duration::ZERO)
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
        // Counts by the clock: a nap takes longer than requested, on a busy machine many times as
        // long.
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

    fn is_held(&self, at: u64) -> bool {
        self.locks.is_held(&self.view, within(at))
    }

    fn unmark(&self, at: u64) {
        self.locks.unmark(&self.view, within(at));
    }

    #[cold]
    fn wake(&self, at: u64) {
        self.locks.wake(&self.view, within(at));
    }

    #[cold]
    fn force_wake(&self, at: u64) {
        self.locks.force_wake(&self.view, within(at));
    }

    fn wakes(&self, at: u64) -> Result<u32, EngineError> {
        self.locks.wakes(&self.view, within(at)).ok_or(EngineError::ReadOnly)
    }

    fn park(&self, at: u64, seen: u32, at_most: Duration) -> Result<(), EngineError> {
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
    fn out_of_reach(&self, bytes: u64) -> Option<EngineError> {
        if self.section.size().is_ok_and(|size| size < bytes) {
            return None;
        }
        if bytes <= self.limit() {
            return self.view.grow(within(bytes)).err().map(EngineError::Explained);
        }
        let detail = format!(
            "it has grown to {bytes} bytes, and this process set aside {} of address space; open it \
             anew, with a larger `max_size`",
            self.limit()
        );
        Some(EngineError::Explained(Error::new(ErrorKind::Full, "", "").detail(detail)))
    }

    fn limit(&self) -> u64 {
        self.view.reserved() as u64
    }

    fn data_from(&self, at: u64) -> Option<(u64, u64)> {
        data_in(&self.section, at, self.size())
    }

    fn next_data(&self, at: u64) -> Option<u64> {
        next_data_in(&self.section, at, self.size())
    }

    fn grow(&self, bytes: u64) -> Result<(), EngineError> {
        let before = self.view.len();
        self.section.grow_from(before as u64, bytes)?;
        self.view.grow(within(bytes))?;
        // Only what is added: the part that the file had before may have to be read from the disk,
        // where the system reads neighbors ahead.
        self.view.scatter(before..self.view.len());
        Ok(())
    }

    fn barrier(&self, ranges: &[(u64, u64)]) -> Result<(), EngineError> {
        let len = self.view.len();
        for (from, to) in ranges {
            self.view.flush_start(within(*from).min(len)..within(*to).min(len))?;
        }
        Ok(self.view.sync()?)
    }

    fn seat(&self) -> Result<u64, EngineError> {
        Ok(self.seated()?.token)
    }

    fn seat_taken(&self) -> Option<usize> {
        self.sleeping.get().copied()
    }

    fn is_seat_taken(&self, number: usize) -> bool {
        let own = self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let taken = match own {
            Some(seated) => seated.seat.is_taken(number),
            // A query takes no seat: a process that may only read makes it too.
            None => self.section.is_seat_taken(self.called.scope, &self.called.id, number),
        };
        // If the system cannot tell, the process counts as living. The cost is only space that
        // stays allocated.
        taken.unwrap_or(true)
    }
}
