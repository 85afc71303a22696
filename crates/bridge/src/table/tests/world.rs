//! The world of the model: maps, tables, an engine with one stream, and the network between them.

use crate::table::{
    claim::{Claim, Statement, judge},
    owner::{Owner, Step},
    reader::{Limits, Reader, Verdict},
    stamp::Stamp,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// A mistake that the model must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    EchoIsForeign,
    StepBack,
    ResumeInsteadOfReconcile,
    DeletionMissedWhileAway,
    UnacknowledgedPutIsDone,
    TwoOwners,
}

impl Mistake {
    pub(super) const ALL: [Self; 6] = [
        Self::EchoIsForeign,
        Self::StepBack,
        Self::ResumeInsteadOfReconcile,
        Self::DeletionMissedWhileAway,
        Self::UnacknowledgedPutIsDone,
        Self::TwoOwners,
    ];
}

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Without a mistake a history settles in far fewer rounds.
const ROUNDS: usize = 500;

/// A message of the stream. `None` in `name` is the statement that the owner is whole.
#[derive(Clone, Debug)]
struct Message {
    name: Option<&'static str>,
    value: Option<u64>,
    by: Option<Stamp>,
    seq: u64,
}

/// A put on its way to the engine.
#[derive(Clone, Debug)]
struct Put {
    generation: u64,
    name: &'static str,
    value: Option<u64>,
    by: Stamp,
}

/// One owner with its map and its connection.
struct Side {
    table: Owner,
    map: BTreeMap<&'static str, u64>,
    generation: u64,
    session: u64,
    stated: bool,
    feed: VecDeque<Message>,
    /// Messages of the feed that belong to the load.
    loading: Option<usize>,
    puts: VecDeque<Put>,
    acks: VecDeque<(u64, &'static str, u64)>,
}

impl Side {
    fn new() -> Self {
        Self {
            table: Owner::new(2, Duration::ZERO),
            map: BTreeMap::new(),
            generation: 0,
            session: 0,
            stated: false,
            feed: VecDeque::new(),
            loading: None,
            puts: VecDeque::new(),
            acks: VecDeque::new(),
        }
    }
}

pub(super) struct World {
    random: u64,
    mistake: Option<Mistake>,
    /// The newest message of each name, as the bucket keeps it.
    bucket: BTreeMap<Option<&'static str>, Message>,
    seq: u64,
    sides: Vec<Side>,
    /// Puts that timed out at the owner, and may arrive later.
    delayed: Vec<Put>,
    reader: Reader,
    copy: BTreeMap<&'static str, u64>,
    feed: VecDeque<Message>,
    loading: Option<usize>,
    /// Values grow, so a smaller one at the reader is a step back.
    last: u64,
    set: BTreeSet<(&'static str, u64)>,
    newest: BTreeMap<&'static str, u64>,
    sessions: u64,
}

impl World {
    pub(super) fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        let mut world = Self {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            mistake,
            bucket: BTreeMap::new(),
            seq: 0,
            sides: vec![Side::new(), Side::new()],
            delayed: Vec::new(),
            reader: Reader::new(Limits { vars: 100, bytes: 10_000 }),
            copy: BTreeMap::new(),
            feed: VecDeque::new(),
            loading: None,
            last: 0,
            set: BTreeSet::new(),
            newest: BTreeMap::new(),
            sessions: 0,
        };
        world.connect_owner(0);
        // Another bridge claims the prefix of the first one, which lives.
        let statement = Statement {
            node: "one".into(),
            map: "one".into(),
            session: 1,
            whole: true,
            renewal: 1,
        };
        let claim = judge(Some(&statement), "two", Duration::ZERO, 2);
        if claim != Claim::Wait || mistake == Some(Mistake::TwoOwners) {
            world.connect_owner(1);
        } else {
            world.sides.truncate(1);
        }
        world.connect_reader();
        world
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.random(3) as usize]
    }

    /// Does one thing that may happen.
    pub(super) fn step(&mut self) -> Result<(), String> {
        let side = self.random(self.sides.len() as u64) as usize;
        match self.random(22) {
            0..=3 => self.set(side),
            4 => {
                let name = self.name();
                self.sides[side].map.remove(name);
                self.sides[side].table.changed(name);
            }
            5..=7 => self.pump(side),
            8..=10 => self.arrive(side),
            11..=12 => self.answer(side),
            13..=14 => self.tell_owner(side),
            15..=16 => return self.tell_reader(),
            17 => self.time_out(side),
            18 => {
                if let Some(put) = self.delayed.pop() {
                    self.store(Some(put.name), put.value, Some(put.by));
                }
            }
            19 => match self.random(4) {
                0 => self.restart_owner(side),
                1 => self.restart_reader(),
                2 => self.lose_store(),
                _ => {
                    let (name, value) = (self.name(), self.last);
                    self.set.insert((name, value));
                    self.store(Some(name), Some(value), None);
                }
            },
            20 => {
                // Whatever was on its way is lost, or arrives late.
                let puts = std::mem::take(&mut self.sides[side].puts);
                self.delayed.extend(puts);
                self.connect_owner(side);
            }
            _ => self.connect_reader(),
        }
        Ok(())
    }

    /// Lets everything arrive, without further faults, and compares.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        while let Some(put) = self.delayed.pop() {
            self.store(Some(put.name), put.value, Some(put.by));
        }
        let mut renewed = false;
        for _ in 0..ROUNDS {
            let mut busy = !self.feed.is_empty() || self.loading.is_some();
            for side in 0..self.sides.len() {
                self.pump(side);
                self.arrive(side);
                self.answer(side);
                self.tell_owner(side);
                let it = &self.sides[side];
                busy |= !it.table.is_idle() || !it.feed.is_empty() || !it.acks.is_empty();
                busy |= !it.puts.is_empty() || !it.stated;
            }
            self.tell_reader()?;
            if !busy && !renewed {
                // An owner renews its statement all the time.
                renewed = true;
                self.store(None, Some(it_session(&self.sides[0])), None);
            } else if !busy {
                let map = &self.sides[0].map;
                let known = self.sides[0].table.len();
                return if *map != self.copy {
                    Err(format!("owner {map:?}, reader {:?}", self.copy))
                } else if known > map.len() || self.reader.len() != map.len() {
                    Err(format!("the owner remembers {known} of {} variables", map.len()))
                } else {
                    Ok(())
                };
            }
        }
        Err("the bridges never come to rest".into())
    }

    fn set(&mut self, side: usize) {
        let name = self.name();
        self.last += 1;
        self.set.insert((name, self.last));
        self.sides[side].map.insert(name, self.last);
        self.sides[side].table.changed(name);
    }

    fn pump(&mut self, side: usize) {
        let mistake = self.mistake;
        let it = &mut self.sides[side];
        while let Some(name) = it.table.next(Duration::ZERO) {
            let name = NAMES.into_iter().find(|known| *known == name).expect("a name");
            let value = it.map.get(name).copied();
            let by = match it.table.decide(name, value.map(u128::from), Duration::ZERO) {
                Step::Nothing => continue,
                Step::Put(by) | Step::Delete(by) => by,
            };
            it.puts.push_back(Put { generation: it.generation, name, value, by });
            if mistake == Some(Mistake::UnacknowledgedPutIsDone) {
                it.table.acked(it.generation, name, u64::MAX >> 1);
            }
        }
        if it.table.is_whole() && !it.stated {
            it.stated = true;
            self.store(None, Some(it_session(&self.sides[side])), None);
        }
    }

    fn arrive(&mut self, side: usize) {
        let Some(put) = self.sides[side].puts.pop_front() else { return };
        let seq = self.store(Some(put.name), put.value, Some(put.by));
        self.sides[side].acks.push_back((put.generation, put.name, seq));
    }

    fn answer(&mut self, side: usize) {
        let it = &mut self.sides[side];
        let Some((generation, name, seq)) = it.acks.pop_front() else { return };
        it.table.acked(generation, name, seq);
    }

    /// The owner gives up waiting: the put is stored without an answer, or arrives late.
    fn time_out(&mut self, side: usize) {
        let it = &mut self.sides[side];
        if let Some((generation, name, _)) = it.acks.pop_front() {
            it.table.failed(generation, name);
        } else if let Some(put) = it.puts.pop_front() {
            it.table.failed(put.generation, put.name);
            self.delayed.push(put);
        }
    }

    fn store(&mut self, name: Option<&'static str>, value: Option<u64>, by: Option<Stamp>) -> u64 {
        self.seq += 1;
        let message = Message { name, value, by, seq: self.seq };
        self.bucket.insert(name, message.clone());
        for side in &mut self.sides {
            side.feed.push_back(message.clone());
        }
        self.feed.push_back(message);
        self.seq
    }

    fn load(&self) -> VecDeque<Message> {
        let mut load: Vec<Message> = self.bucket.values().cloned().collect();
        load.sort_by_key(|message| message.seq);
        load.into()
    }

    fn connect_owner(&mut self, side: usize) {
        let load = self.load();
        self.sessions += 1;
        let session = self.sessions;
        let it = &mut self.sides[side];
        (it.acks, it.puts) = (VecDeque::new(), VecDeque::new());
        if self.mistake == Some(Mistake::ResumeInsteadOfReconcile) && it.generation > 0 {
            it.feed.clear();
            return;
        }
        it.generation = it.table.begin(session);
        (it.session, it.stated) = (session, false);
        (it.loading, it.feed) = (Some(load.len()), load);
        self.store(None, None, None);
    }

    fn restart_owner(&mut self, side: usize) {
        let it = &mut self.sides[side];
        self.delayed.extend(std::mem::take(&mut it.puts));
        it.table = Owner::new(2, Duration::ZERO);
        it.generation = 0;
        self.connect_owner(side);
    }

    fn connect_reader(&mut self) {
        self.reader.begin();
        self.feed = self.load();
        self.loading = Some(self.feed.len());
    }

    fn restart_reader(&mut self) {
        self.reader = Reader::new(Limits { vars: 100, bytes: 10_000 });
        for name in self.copy.keys() {
            self.reader.found((*name).to_owned());
        }
        self.newest.clear();
        self.connect_reader();
    }

    fn lose_store(&mut self) {
        self.bucket.clear();
        self.seq = 0;
        for side in 0..self.sides.len() {
            let puts = std::mem::take(&mut self.sides[side].puts);
            self.delayed.extend(puts);
            self.connect_owner(side);
        }
        self.connect_reader();
    }

    fn tell_owner(&mut self, side: usize) {
        let echo = self.mistake == Some(Mistake::EchoIsForeign);
        let it = &mut self.sides[side];
        if it.loading == Some(0) {
            it.loading = None;
            it.table.loaded(it.map.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        }
        let Some(message) = it.feed.pop_front() else { return };
        it.loading = it.loading.map(|left| left.saturating_sub(1));
        let Some(name) = message.name else { return };
        let (mut found, mut by) = (message.value.map(u128::from), message.by);
        if echo {
            // Neither the stamp nor the value is compared.
            (found, by) = (found.map(|value| value | 1 << 100), None);
        }
        it.table.told(name, message.seq, found, by);
    }

    fn tell_reader(&mut self) -> Result<(), String> {
        if self.loading == Some(0) {
            self.loading = None;
            let removed = self.reader.loaded();
            self.remove(&removed);
        }
        let Some(mut message) = self.feed.pop_front() else { return Ok(()) };
        self.loading = self.loading.map(|left| left.saturating_sub(1));
        let Some(name) = message.name else {
            if message.value.is_some() {
                let removed = self.reader.whole("");
                self.remove(&removed);
            }
            return Ok(());
        };
        if self.mistake == Some(Mistake::StepBack) {
            message.by = None;
        }
        match self.reader.told(name, message.seq, message.by, message.value.map(|_| 8)) {
            Verdict::Set => {
                let value = message.value.ok_or("a deletion is set")?;
                self.copy.insert(name, value);
                if !self.set.contains(&(name, value)) {
                    return Err(format!("nobody set {name} to {value}"));
                }
                let newest = self.newest.entry(name).or_default();
                // A value of a foreign client may be any.
                if message.by.is_some() || self.mistake == Some(Mistake::StepBack) {
                    if value < *newest {
                        return Err(format!("{name} steps back from {newest} to {value}"));
                    }
                    *newest = value;
                }
            }
            Verdict::Remove => {
                self.copy.remove(name);
            }
            Verdict::Old => {}
            Verdict::Refused => return Err("a limit is reached".into()),
        }
        Ok(())
    }

    fn remove(&mut self, names: &[String]) {
        if self.mistake != Some(Mistake::DeletionMissedWhileAway) {
            self.copy.retain(|name, _| !names.iter().any(|gone| gone == name));
        }
    }
}

fn it_session(side: &Side) -> u64 {
    side.session
}
