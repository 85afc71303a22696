//! The queue of a lock, as the lock's variable stores it: docs/FORMAT.md, "Locks of users".

use crate::value::codec;
use mapvar_engine::value::OwnedValue;
use mapvar_os::{Holder, Result};
use std::time::{Duration, SystemTime};

/// How a lock was acquired; from [`LockGuard::acquired`](crate::lock::LockGuard::acquired).
///
/// ```
/// # let name = format!("doc-acquired.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// let guard = map.lock("jobs")?.acquire()?;
/// assert_eq!(*guard.acquired(), mapvar::lock::Acquired::Clean);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// All owners before have released the lock, as far as this owner has to know.
    Clean,
    /// The last exclusive owner died without releasing the lock, or lost it to
    /// [`Lock::force_unlock`](crate::lock::Lock::force_unlock).
    ///
    /// The data that the lock protects may be half-changed. Shared owners get this outcome until an
    /// exclusive owner got it, which is expected to repair the data.
    Abandoned(Holder),
    /// A shared owner died without releasing the lock, or lost it to
    /// [`Lock::force_unlock`](crate::lock::Lock::force_unlock), and no exclusive owner did.
    ///
    /// A shared owner that only reads leaves nothing half-changed. Only the next exclusive owner
    /// gets this outcome.
    AbandonedShared(Holder),
}

/// An entry of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The token of its process's seat.
    pub(super) token: u64,
    /// A random number that identifies the entry.
    pub(super) ticket: u64,
    pub(super) thread: u64,
    pub(super) pid: u32,
    pub(super) program: String,
    /// When the entry joined the queue, or got the lock; microseconds since 1970.
    pub(super) since: u64,
    pub(super) shared: bool,
    pub(super) held: bool,
}

/// The content of a lock's variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// The notice of an owner that did not release the lock. The next exclusive owner clears it.
    pub(super) lost: Option<Lost>,
    /// Owners and waiters, in order of arrival.
    pub(super) entries: Vec<Entry>,
}

/// An owner that did not release the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) pid: u32,
    pub(super) program: String,
    pub(super) since: u64,
    pub(super) shared: bool,
}

/// A queue as it is stored: tuples, since a struct would repeat its field names in every entry.
type Written = (Option<(u32, String, u64, u8)>, Vec<(u64, u64, u64, u32, String, u64, u8)>);

const SHARED: u8 = 1;

const HELD: u8 = 2;

impl Queue {
    pub(super) fn of(captured: OwnedValue) -> Result<Self> {
        let (lost, entries): Written = codec::decode(captured)?;
        let entries =
            entries.into_iter().map(|(token, ticket, thread, pid, program, since, bits)| Entry {
                token,
                ticket,
                thread,
                pid,
                program,
                since,
                shared: bits & SHARED != 0,
                held: bits & HELD != 0,
            });
        let lost = lost.map(|(pid, program, since, bits)| {
            let shared = bits & SHARED != 0;
            Lost { pid, program, since, shared }
        });
        Ok(Self { lost, entries: entries.collect() })
    }

    pub(super) fn written(&self) -> Written {
        let entries = self.entries.iter().map(|entry| {
            let bits = u8::from(entry.shared) * SHARED + u8::from(entry.held) * HELD;
            let program = entry.program.clone();
            (entry.token, entry.ticket, entry.thread, entry.pid, program, entry.since, bits)
        });
        let lost = self.lost.as_ref().map(|lost| {
            let bits = u8::from(lost.shared) * SHARED + HELD;
            (lost.pid, lost.program.clone(), lost.since, bits)
        });
        (lost, entries.collect())
    }

    pub(super) fn place(&self, ticket: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.ticket == ticket)
    }

    /// Whether the entry at `at` may have the lock now. With `impatient`, it may pass waiters
    /// before it.
    pub(super) fn may_have(&self, at: usize, impatient: bool) -> bool {
        let Some(mine) = self.entries.get(at) else { return false };
        let mut held = self.entries.iter().filter(|entry| entry.held);
        let before = self.entries.get(..at).unwrap_or_default();
        if mine.shared {
            let in_order = before.iter().all(|entry| entry.shared);
            held.all(|entry| entry.shared) && (in_order || impatient)
        } else {
            held.next().is_none() && (before.is_empty() || impatient)
        }
    }

    /// If the first waiter before the entry at `at` is idle, returns the tickets of all waiters
    /// before that entry. An idle waiter could take the lock and does not: its process is stopped
    /// or slow.
    ///
    /// Returns `None` if the first waiter is itself blocked by an owner. Otherwise readers could
    /// pass a blocked writer forever.
    pub(super) fn idle_before(&self, at: usize) -> Option<Vec<u64>> {
        let before = self.entries.get(..at)?;
        let first = before.iter().position(|entry| !entry.held)?;
        let waiting = before.iter().filter(|entry| !entry.held);
        self.may_have(first, false).then(|| waiting.map(|entry| entry.ticket).collect())
    }

    /// Removes the entries for which `gone` returns true. Owners among them are noted.
    pub(super) fn take_out(&mut self, gone: impl Fn(&Entry) -> bool) {
        let (lost, kept): (Vec<_>, Vec<_>) = self.entries.drain(..).partition(&gone);
        self.entries = kept;
        for entry in lost.into_iter().filter(|entry| entry.held) {
            let Entry { pid, program, since, shared, .. } = entry;
            self.note(Lost { pid, program, since, shared });
        }
    }

    /// Notes an owner that did not release the lock. The notice of an exclusive owner is not
    /// replaced by that of a shared one, which leaves less to repair.
    fn note(&mut self, lost: Lost) {
        if !lost.shared || self.lost.is_none() {
            self.lost = Some(lost);
        }
    }

    /// Makes the entry at `at` an owner. Returns the notice that it gets. An exclusive owner takes
    /// it; a shared one leaves it to the next exclusive one.
    pub(super) fn grant(&mut self, at: usize) -> Option<Lost> {
        let entry = self.entries.get_mut(at)?;
        (entry.held, entry.since) = (true, now());
        if entry.shared { self.lost.clone().filter(|lost| !lost.shared) } else { self.lost.take() }
    }

    /// Removes an entry. Returns whether it was there. `unseen` is the notice that the entry took
    /// with the lock, if no program has seen it: it is put back.
    pub(super) fn leave(&mut self, ticket: u64, unseen: Option<&Lost>) -> bool {
        let Some(place) = self.place(ticket) else { return false };
        let entry = self.entries.remove(place);
        // A shared owner left the notice in the queue, from which it may be gone by right.
        if !entry.shared && self.lost.is_none() {
            self.lost = unseen.cloned();
        }
        true
    }
}

impl Acquired {
    pub(super) fn of(lost: Option<&Lost>) -> Self {
        let Some(Lost { pid, program, since, shared }) = lost else { return Self::Clean };
        let holder = holder(*pid, program, *since);
        if *shared { Self::AbandonedShared(holder) } else { Self::Abandoned(holder) }
    }
}

impl Entry {
    pub(super) fn holder(&self) -> Holder {
        holder(self.pid, &self.program, self.since)
    }
}

fn holder(pid: u32, program: &str, since: u64) -> Holder {
    let mut holder = Holder::new(pid);
    holder.program = Some(program).filter(|name| !name.is_empty()).map(str::to_owned);
    holder.since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(since));
    holder
}

pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
