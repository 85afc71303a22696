//! The queue of a lock, as the lock's variable stores it: docs/FORMAT.md, "Locks of users".

use crate::value::codec;
use mapvar_engine::value::OwnedValue;
use mapvar_os::{Holder, Result};
use std::time::{Duration, SystemTime};

/// How a lock was acquired; from [`LockGuard::outcome`](crate::LockGuard::outcome).
///
/// ```
/// # let name = format!("doc-outcome.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// let guard = map.lock("jobs")?.acquire()?;
/// assert_eq!(*guard.outcome(), mapvar::Outcome::Acquired);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The last exclusive owner, if there was one, has released the lock.
    Acquired,
    /// The last exclusive owner died without releasing the lock, or lost it to
    /// [`Lock::force_unlock`](crate::Lock::force_unlock).
    ///
    /// The data that the lock protects may be half-changed. Only the next owner gets this outcome.
    Recovered(Holder),
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
    /// The last exclusive owner that did not release the lock. The next owner clears it.
    pub(super) lost: Option<(u32, String, u64)>,
    /// Owners and waiters, in order of arrival.
    pub(super) entries: Vec<Entry>,
}

/// A queue as it is stored: tuples, since a struct would repeat its field names in every entry.
type Written = (Option<(u32, String, u64)>, Vec<(u64, u64, u64, u32, String, u64, u8)>);

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
        Ok(Self { lost, entries: entries.collect() })
    }

    pub(super) fn written(&self) -> Written {
        let entries = self.entries.iter().map(|entry| {
            let bits = u8::from(entry.shared) * SHARED + u8::from(entry.held) * HELD;
            let program = entry.program.clone();
            (entry.token, entry.ticket, entry.thread, entry.pid, program, entry.since, bits)
        });
        (self.lost.clone(), entries.collect())
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

    /// Removes the entries for which `gone` returns true. An exclusive owner among them becomes
    /// `lost`.
    pub(super) fn take_out(&mut self, gone: impl Fn(&Entry) -> bool) {
        let lost = |entry: &&Entry| entry.held && !entry.shared && gone(entry);
        for entry in self.entries.iter().filter(lost) {
            self.lost = Some((entry.pid, entry.program.clone(), entry.since));
        }
        self.entries.retain(|entry| !gone(entry));
    }

    /// Makes the entry at `at` an owner. Returns the outcome to report, and clears `lost`.
    pub(super) fn grant(&mut self, at: usize) -> Outcome {
        if let Some(entry) = self.entries.get_mut(at) {
            (entry.held, entry.since) = (true, now());
        }
        match self.lost.take() {
            Some((pid, program, since)) => Outcome::Recovered(holder(pid, &program, since)),
            None => Outcome::Acquired,
        }
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
