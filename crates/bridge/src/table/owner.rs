//! The owner's table: which variables have to be put into the bucket, or deleted from it.
//!
//! The map is the truth. For each variable the table knows what the engine holds, as far as it was
//! told. A variable is dirty if the two may differ. There is no queue of values: a dirty variable is
//! read when it is sent.

use super::stamp::Stamp;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// Identifies a payload with its kind.
pub(crate) type Digest = u128;

/// What the engine holds for a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// An unanswered put may or may not have arrived.
    Unknown,
    Absent,
    Holds(Digest),
}

impl From<Option<Digest>> for Remote {
    fn from(digest: Option<Digest>) -> Self {
        digest.map_or(Self::Absent, Self::Holds)
    }
}

/// What to do for a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The engine holds the value already.
    Nothing,
    Put(Stamp),
    Delete(Stamp),
}

#[derive(Debug)]
struct Entry {
    remote: Remote,
    /// The sequence number in the stream of what the engine holds.
    seq: u64,
    dirty: bool,
    queued: bool,
    /// What an unanswered put carries.
    in_flight: Option<Remote>,
    /// The newest put of this variable.
    stamp: Option<Stamp>,
    sent_at: Option<Duration>,
    /// The reconciliation has not dealt with it yet.
    unsettled: bool,
}

impl Entry {
    const NEW: Self = Self {
        remote: Remote::Absent,
        seq: 0,
        dirty: false,
        queued: false,
        in_flight: None,
        stamp: None,
        sent_at: None,
        unsettled: false,
    };
}

/// The table of one prefix that this bridge owns.
#[derive(Debug)]
pub(crate) struct Owner {
    session: u64,
    count: u64,
    /// Answers to puts of an earlier stream are ignored.
    generation: u64,
    /// All that the engine holds was told.
    live: bool,
    entries: BTreeMap<String, Entry>,
    ready: VecDeque<String>,
    later: BTreeSet<(Duration, String)>,
    in_flight: usize,
    unsettled: usize,
    /// The highest sequence number that was told. The feed is in order, so nothing older follows.
    told: u64,
    most_in_flight: usize,
    gap: Duration,
}

impl Owner {
    /// `gap` is the shortest time between two puts of one variable.
    pub(crate) fn new(most_in_flight: usize, gap: Duration) -> Self {
        Self {
            session: 0,
            count: 0,
            generation: 0,
            live: false,
            entries: BTreeMap::new(),
            ready: VecDeque::new(),
            later: BTreeSet::new(),
            in_flight: 0,
            unsettled: 0,
            told: 0,
            most_in_flight,
            gap,
        }
    }

    /// Begins with a new feed of the stream: nothing that was known of the engine holds any more.
    /// Returns the generation, by which answers are recognized.
    pub(crate) fn begin(&mut self, session: u64) -> u64 {
        if session != self.session {
            (self.session, self.count) = (session, 0);
        }
        self.generation += 1;
        (self.live, self.in_flight, self.unsettled, self.told) = (false, 0, 0, 0);
        // What exists and what does not is told anew by `told` and `loaded`.
        self.entries.retain(|_, entry| entry.sent_at.is_some());
        for entry in self.entries.values_mut() {
            *entry = Entry { sent_at: entry.sent_at, ..Entry::NEW };
        }
        self.ready.clear();
        self.later.clear();
        self.generation
    }

    /// The feed told what the engine holds for a variable.
    pub(crate) fn told(&mut self, name: &str, seq: u64, found: Option<Digest>, by: Option<Stamp>) {
        self.told = self.told.max(seq);
        let entry = match self.entries.get_mut(name) {
            Some(entry) => entry,
            None if found.is_none() => return,
            None => self.entries.entry(name.to_owned()).or_insert(Entry::NEW),
        };
        if seq < entry.seq {
            return;
        }
        entry.seq = seq;
        entry.remote = found.into();
        // The newest put of this variable comes back; anything else is a foreign value, or an older
        // put that was delayed.
        let echo = by.is_some() && by == entry.stamp;
        if self.live && !echo {
            self.changed(name);
        }
        self.forget_removed(name);
    }

    /// The feed has told all that the engine holds. `names` are the variables of the map.
    pub(crate) fn loaded(&mut self, names: impl IntoIterator<Item = String>) {
        self.live = true;
        for name in names {
            self.entries.entry(name).or_insert(Entry::NEW);
        }
        let all: Vec<String> = self.entries.keys().cloned().collect();
        for name in all {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.unsettled = true;
                self.unsettled += 1;
            }
            self.changed(&name);
        }
    }

    /// The engine tells nothing more: what was put is there once it is acknowledged.
    pub(crate) fn end_feed(&mut self) {
        self.told = u64::MAX;
    }

    /// The variable has changed in the map, or may have.
    pub(crate) fn changed(&mut self, name: &str) {
        if !self.entries.contains_key(name) {
            self.entries.insert(name.to_owned(), Entry::NEW);
        }
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.dirty = true;
        if !entry.queued && entry.in_flight.is_none() {
            entry.queued = true;
            self.ready.push_back(name.to_owned());
        }
    }

    /// Returns the next variable to read from the map; [`decide`](Self::decide) follows.
    pub(crate) fn next(&mut self, now: Duration) -> Option<String> {
        if !self.live || self.is_full() {
            return None;
        }
        while self.later.first().is_some_and(|(due, _)| *due <= now) {
            self.ready.extend(self.later.pop_first().map(|(_, name)| name));
        }
        while let Some(name) = self.ready.pop_front() {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let due = entry.sent_at.map_or(Duration::ZERO, |at| at + self.gap);
            if due > now {
                self.later.insert((due, name));
                continue;
            }
            (entry.queued, entry.dirty) = (false, false);
            return Some(name);
        }
        None
    }

    /// Whether as many puts are unanswered as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight >= self.most_in_flight
    }

    /// When [`next`](Self::next) has something to return again, if nothing else happens.
    pub(crate) fn due(&self) -> Option<Duration> {
        let waits = self.live && !self.is_full();
        self.later.first().filter(|_| waits).map(|(due, _)| *due)
    }

    /// Decides what to send for a variable that holds this value in the map.
    pub(crate) fn decide(&mut self, name: &str, local: Option<Digest>, now: Duration) -> Step {
        let Some(entry) = self.entries.get_mut(name) else { return Step::Nothing };
        if entry.remote == Remote::from(local) {
            // The newest put may still be under way, with an older value.
            entry.stamp = None;
            self.settle(name);
            self.forget_removed(name);
            return Step::Nothing;
        }
        self.count += 1;
        let stamp = Stamp { session: self.session, count: self.count };
        entry.in_flight = Some(local.into());
        entry.stamp = Some(stamp);
        entry.sent_at = Some(now);
        self.in_flight += 1;
        if local.is_some() { Step::Put(stamp) } else { Step::Delete(stamp) }
    }

    /// The variable cannot be sent: its value is too large, or unreadable. The engine keeps what
    /// it has until the variable changes again.
    pub(crate) fn give_up(&mut self, name: &str) {
        self.settle(name);
    }

    /// The engine has acknowledged a put.
    pub(crate) fn acked(&mut self, generation: u64, name: &str, seq: u64) {
        let Some(sent) = self.answered(generation, name) else { return };
        let Some(entry) = self.entries.get_mut(name) else { return };
        if seq >= entry.seq {
            (entry.seq, entry.remote) = (seq, sent);
        } else {
            // Something else came after it.
            entry.dirty = true;
        }
        let dirty = entry.dirty;
        self.settle(name);
        if dirty {
            self.changed(name);
        }
        self.forget_removed(name);
    }

    /// A put was refused, or not answered in time: it may have arrived or not.
    pub(crate) fn failed(&mut self, generation: u64, name: &str) {
        if self.answered(generation, name).is_none() {
            return;
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.remote = Remote::Unknown;
        }
        self.changed(name);
    }

    /// Whether the engine holds all that the map held when the feed began, or newer.
    pub(crate) fn is_whole(&self) -> bool {
        self.live && self.unsettled == 0
    }

    /// Whether nothing is dirty and no put unanswered.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.is_whole() && self.ready.is_empty() && self.later.is_empty() && self.in_flight == 0
    }

    /// Returns how many variables the table knows.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn answered(&mut self, generation: u64, name: &str) -> Option<Remote> {
        if generation != self.generation {
            return None;
        }
        let sent = self.entries.get_mut(name)?.in_flight.take()?;
        self.in_flight -= 1;
        Some(sent)
    }

    fn settle(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name).filter(|entry| entry.unsettled) {
            entry.unsettled = false;
            self.unsettled -= 1;
        }
    }

    /// Forgets a variable that is nowhere. Not before the feed has told its deletion, because an
    /// older put of it may still follow.
    fn forget_removed(&mut self, name: &str) {
        let gone = self.entries.get(name).is_some_and(|entry| {
            entry.remote == Remote::Absent
                && !entry.dirty
                && !entry.unsettled
                && entry.in_flight.is_none()
                && entry.seq <= self.told
        });
        if gone && self.live {
            self.entries.remove(name);
        }
    }
}
