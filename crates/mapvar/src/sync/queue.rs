//! The queue of a lock, as it stands in the lock's variable: docs/FORMAT.md, "Locks of users".

use crate::value::codec;
use mapvar_engine::value::OwnedValue;
use mapvar_os::{Holder, Result};
use std::time::{Duration, SystemTime};

/// How a lock was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody had it, or whoever had it gave it back.
    Acquired,
    /// Its last exclusive holder ended without giving it back, or it was taken from him by
    /// [`Lock::force_unlock`](crate::Lock::force_unlock): what the lock protects may be
    /// half-changed. Told to the one who takes it next.
    Recovered(Holder),
}

/// An entry of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The seat's token of its process.
    pub(super) token: u64,
    /// Told apart from all others by this.
    pub(super) ticket: u64,
    pub(super) thread: u64,
    pub(super) pid: u32,
    pub(super) program: String,
    /// Microseconds since 1970.
    pub(super) since: u64,
    pub(super) shared: bool,
    pub(super) held: bool,
}

/// What stands in a lock's variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// The last exclusive holder that did not give it back, until somebody is told.
    pub(super) lost: Option<(u32, String, u64)>,
    /// In the order in which they came.
    pub(super) entries: Vec<Entry>,
}

/// A queue as it is written: without names of fields, which every entry would repeat.
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

    /// Whether the entry at `at` may have the lock now; with `impatient` though others came before.
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

    /// The tickets of those before the entry at `at` that have not got the lock, where the first of
    /// them could take it and does not: it is stopped, or slow. Where he waits himself, for
    /// somebody who has it, nobody is idle.
    pub(super) fn idle_before(&self, at: usize) -> Option<Vec<u64>> {
        let before = self.entries.get(..at)?;
        let first = before.iter().position(|entry| !entry.held)?;
        let waiting = before.iter().filter(|entry| !entry.held);
        self.may_have(first, false).then(|| waiting.map(|entry| entry.ticket).collect())
    }

    /// Takes out those of whom `gone` says so; an exclusive holder among them is noted as lost.
    pub(super) fn take_out(&mut self, gone: impl Fn(&Entry) -> bool) {
        let lost = |entry: &&Entry| entry.held && !entry.shared && gone(entry);
        for entry in self.entries.iter().filter(lost) {
            self.lost = Some((entry.pid, entry.program.clone(), entry.since));
        }
        self.entries.retain(|entry| !gone(entry));
    }

    /// The entry has the lock from now on; answers how.
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
