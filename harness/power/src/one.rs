//! Histories of one process at a time, and now and then of a second one that acts during a flush. A
//! death or a power cut ends them at any step. The recovered content is exactly that of one
//! complete flush, or of one that was under way.

use crate::map::{
    Content, Counts, Given, choose, content, first_word, new_map, nothing_leaked, recover, weights,
};
use mapvar::Kind;
use mapvar_engine::{
    commit::{CommitOutcome, TxEntry},
    error::EngineError,
    header::Facts,
    layout::record,
    mem::Ordering::SeqCst,
    mem::StoreWords as _,
    store::Store,
    value::Raw,
    variable::insert::Inserted,
    version::Expect,
};
use mapvar_engine_sim::power::{Power, Random, Turn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug)]
enum Op {
    Set(usize, Vec<u8>),
    Remove(usize),
    Both(usize, usize, Vec<u8>),
    Add(u64),
    RemoveCount,
    Collect,
    Flush,
}

const NAMES: usize = 7;
const COUNT: &[u8] = b"count";

fn name(number: usize) -> Vec<u8> {
    let len = [1, 8, 31, 33, 119, 121, 700][number % NAMES];
    vec![b'a' + number as u8; len]
}

/// The mix of a history: each history has its own, and some have nearly nothing but one operation.
struct Taste {
    weights: [u64; 7],
    /// The shortest length of values, as an index, and the number of lengths.
    lengths: (u64, u64),
    /// The same for the names.
    names: (u64, u64),
}

impl Taste {
    fn new(random: &mut Random) -> Self {
        let weights = weights(random, [6, 2, 1, 2, 1, 1, 3]);
        let least = if random.below(3) == 0 { random.below(9) } else { 0 };
        let lengths = (least, 1 + random.below(9 - least));
        Self { weights, lengths, names: (random.below(7), 2 + random.below(NAMES as u64 - 1)) }
    }
}

impl Op {
    fn random(random: &mut Random, taste: &Taste, value: u64) -> Self {
        let bytes = |random: &mut Random| {
            let len = [8, 24, 33, 90, 400, 1_000, 1_100, 3_000, 17_000];
            let (least, many) = taste.lengths;
            value.to_le_bytes().repeat(len[(least + random.below(many)) as usize] / 8)
        };
        let (first, names) = taste.names;
        let at = random.below(names);
        let name = ((first + at) % NAMES as u64) as usize;
        match choose(random, &taste.weights) {
            0 => Self::Set(name, bytes(random)),
            1 => Self::Remove(name),
            2 => {
                let other = (at + 1 + random.below(names - 1)) % names;
                let other = ((first + other) % NAMES as u64) as usize;
                Self::Both(name, other, value.to_le_bytes().to_vec())
            }
            3 => Self::Add(value),
            4 => Self::RemoveCount,
            5 => Self::Collect,
            _ => Self::Flush,
        }
    }

    /// Applies a completed operation to the model.
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Set(at, value) => drop(content.insert(name(*at), value.clone())),
            Self::Remove(at) => drop(content.remove(&name(*at))),
            Self::Both(one, other, value) => {
                if content.contains_key(&name(*one)) && content.contains_key(&name(*other)) {
                    content.insert(name(*one), value.clone());
                    content.insert(name(*other), value.clone());
                }
            }
            Self::Add(n) => {
                let new = content.get(COUNT).map_or(0, |old| first_word(old)).wrapping_add(*n);
                content.insert(COUNT.to_vec(), new.to_le_bytes().to_vec());
            }
            Self::RemoveCount => drop(content.remove(COUNT)),
            Self::Collect | Self::Flush => {}
        }
    }

    /// Runs the operation; returns the version of a set.
    fn run(&self, store: &Store<Power>) -> Result<Option<u64>, EngineError> {
        match self {
            Self::Set(at, value) => {
                let name = name(*at);
                return store.set(store.query(&name), &Raw::bytes(Kind::Bytes, 0, value)).map(Some);
            }
            Self::Remove(at) => {
                store.remove(store.query(&name(*at)))?;
            }
            Self::Both(one, other, value) => {
                let raw = Raw::bytes(Kind::Bytes, 0, value);
                let mut changes = Vec::new();
                for at in [*one, *other] {
                    let Some(handle) = store.find(store.query(&name(at)))? else {
                        return Ok(None);
                    };
                    changes.push(TxEntry { handle, expect: Expect::Present, raw: Some(raw) });
                }
                assert_ne!(store.transact(&mut changes)?, CommitOutcome::Stale);
            }
            Self::Add(n) => {
                let raw = Raw::word(Kind::U64, *n);
                if let Inserted::Found(handle) = store.insert(store.query(COUNT), &raw, true)? {
                    let add = |words: mapvar_engine_sim::power::PowerWords<'_>| {
                        words.fetch_add(record::VALUE, *n, SeqCst)
                    };
                    if store.atomic(handle, add)?.is_none() {
                        store.revive(handle, &raw, true)?;
                    }
                }
            }
            Self::RemoveCount => {
                store.remove(store.query(COUNT))?;
            }
            Self::Collect => {
                store.collect_all()?;
                store.sweep()?;
            }
            Self::Flush => store.flush()?,
        }
        Ok(None)
    }
}

/// The expected content of the map, now and at each moment since a flush began.
#[derive(Default)]
struct Truth {
    now: Content,
    since: Vec<Content>,
}

impl Truth {
    fn apply(&mut self, op: &Op) {
        op.apply(&mut self.now);
        self.since.push(self.now.clone());
    }
}

type Visitor = Box<dyn FnOnce() + Send>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct World {
    taste: Taste,
    power: Power,
    facts: Facts,
    store: Store<Power>,
    truth: Arc<Mutex<Truth>>,
    /// The one operation of another process.
    visitor: Arc<Mutex<Option<Visitor>>>,
    /// The contents that the file may have.
    allowed: Vec<Content>,
    given: Given,
    values: u64,
    boots: u64,
    counts: Counts,
}

impl World {
    fn new(random: &mut Random) -> Self {
        let taste = Taste::new(random);
        let (power, facts) = new_map(random);
        let visitor: Arc<Mutex<Option<Visitor>>> = Arc::default();
        let coming = visitor.clone();
        power.machine().shared(move |machine, turn| {
            // Without another running process, the visitor would wait for ever for the locks of
            // this one.
            if turn == Turn::Step && !machine.is_free() {
                machine.turn_in(0);
            } else if turn != Turn::Wait {
                machine.turn_in(-1);
                let visitor = locked(&coming).take();
                if let Some(visitor) = visitor {
                    visitor();
                }
            }
            false
        });
        Self {
            taste,
            store: Store::new(power.clone(), &facts).expect("a region as it should be"),
            power,
            facts,
            truth: Arc::default(),
            visitor,
            allowed: vec![Content::new()],
            given: Given::default(),
            values: 0,
            boots: 0,
            counts: Counts::default(),
        }
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        locked(&self.truth)
    }

    /// Lets another process run one operation during a flush, while the structure lock and the
    /// commit lock are free.
    fn invite(&mut self, random: &mut Random) -> Option<Op> {
        self.values += 1;
        let op = Op::random(random, &self.taste, self.values);
        if matches!(op, Op::Flush) {
            return None;
        }
        let (power, facts) = (self.power.process(1), self.facts);
        let (truth, doing) = (self.truth.clone(), op.clone());
        let visitor = move || {
            let store = Store::new(power, &facts).expect("a region as it should be");
            match doing.run(&store) {
                Ok(_) => locked(&truth).apply(&doing),
                // It met a locked record, and does not wait.
                Err(EngineError::Full { .. } | EngineError::Lock(_) | EngineError::Contended) => {}
                Err(other) => panic!("{other:?}"),
            }
        };
        *locked(&self.visitor) = Some(Box::new(visitor));
        self.power.machine().turn_in(random.steps(700));
        Some(op)
    }

    /// Runs one operation, perhaps cut off; returns whether it completed.
    fn step(&mut self, random: &mut Random, cut: bool) -> Result<bool, String> {
        self.values += 1;
        // Most often a flush is cut off.
        let flush = cut && random.below(3) == 0;
        let op = if flush { Op::Flush } else { Op::random(random, &self.taste, self.values) };
        let is_flush = matches!(op, Op::Flush);
        let steps = match cut {
            false => -1,
            true if is_flush && random.below(3) == 0 => Power::after_barrier(random.below(6)),
            true => {
                let all = self.power.rehearse(|| op.run(&self.store));
                // An operation publishes near its end.
                match random.below(3) {
                    0 => (all - 1 - random.steps(12)).max(0),
                    _ => random.below(all.cast_unsigned()).cast_signed(),
                }
            }
        };
        let before = {
            let mut truth = self.truth();
            truth.since = vec![truth.now.clone()];
            truth.now.clone()
        };
        let beside = if is_flush && random.below(2) == 0 { self.invite(random) } else { None };
        let store = &self.store;
        let done = self.power.cut_off(steps, || op.run(store));
        self.power.machine().turn_in(-1);
        *locked(&self.visitor) = None;
        match done {
            Some(Ok(version)) => {
                self.truth().apply(&op);
                if let (Some(version), Op::Set(at, value)) = (version, &op) {
                    let handle = self.store.find(self.store.query(&name(*at)));
                    let Ok(Some(handle)) = handle else {
                        return Err(format!("what was set is not there: {handle:?}"));
                    };
                    self.given.version(handle.id, version, value)?;
                }
                if is_flush {
                    self.allowed = std::mem::take(&mut locked(&self.truth).since);
                }
            }
            Some(Err(EngineError::Full { .. })) => {}
            Some(Err(other)) => return Err(format!("{op:?}: {other:?}")),
            None => {
                if is_flush {
                    self.allowed.append(&mut locked(&self.truth).since);
                }
                self.cut_off(random, &op, beside.as_ref(), &before)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn cut_off(
        &mut self,
        random: &mut Random,
        op: &Op,
        beside: Option<&Op>,
        before: &Content,
    ) -> Result<(), String> {
        if random.below(3) > 0 {
            return self.power_cut(random);
        }
        self.power.die();
        self.counts.deaths += 1;
        let with_context = |trouble: EngineError| format!("after a death: {trouble:?}");
        self.store = Store::new(self.power.clone(), &self.facts).map_err(with_context)?;
        if random.below(2) == 0 {
            self.store.quiesce().map_err(with_context)?;
        }
        // The next process takes the locks, and replays.
        self.store.remove(self.store.query(b"nothing")).map_err(with_context)?;
        self.store.transact(&mut []).map_err(with_context)?;
        self.store.sweep().map_err(with_context)?;
        let now = content(&self.store, &mut self.given)?;
        let mut possible = vec![before.clone()];
        for op in [Some(op), beside].into_iter().flatten() {
            for content in possible.clone() {
                let mut content = content;
                op.apply(&mut content);
                possible.push(content);
            }
        }
        if !possible.contains(&now) {
            return Err(format!("a death in {op:?} beside {beside:?} made something else"));
        }
        self.truth().now = now;
        Ok(())
    }

    /// Cuts the power and opens the map again, perhaps with more power cuts meanwhile.
    fn power_cut(&mut self, random: &mut Random) -> Result<(), String> {
        // One moment allows many disks.
        for _ in 0..random.below(6) {
            let saved = self.power.machine().save();
            self.lose_and_recover(random)?;
            self.power.machine().put_back(saved);
        }
        let now = self.lose_and_recover(random)?;
        self.allowed = vec![now.clone()];
        self.truth().now = now;
        Ok(())
    }

    fn lose_and_recover(&mut self, random: &mut Random) -> Result<Content, String> {
        self.power.restart(random);
        self.store = recover(&self.power, &self.facts, &mut self.boots, random, &mut self.counts)?;
        let now = content(&self.store, &mut self.given)?;
        self.counts.values += now.len() as u64;
        if !self.allowed.contains(&now) {
            let short = |content: &Content| -> Vec<(char, usize, u64)> {
                content.iter().map(|(n, v)| (n[0] as char, v.len(), first_word(v))).collect()
            };
            let allowed: Vec<_> = self.allowed.iter().map(short).collect();
            return Err(format!("recovered {:?}, allowed {allowed:?}", short(&now)));
        }
        Ok(now)
    }
}

/// Runs one history; fails with a description of the fault.
pub fn history(seed: u64) -> Result<Counts, String> {
    let mut random = Random(seed);
    let mut world = World::new(&mut random);
    for _ in 0..=random.below(4) {
        let cut_at = random.below(14);
        for at in 0..=cut_at {
            if !world.step(&mut random, at == cut_at)? {
                break;
            }
            let now = content(&world.store, &mut world.given)?;
            if now != world.truth().now {
                return Err("it is not what it was set to".into());
            }
        }
    }
    if random.below(2) == 0 {
        // After this flush everything must be there.
        world.store.flush().map_err(|trouble| format!("{trouble:?}"))?;
        let now = world.truth().now.clone();
        world.allowed = vec![now];
    }
    world.power_cut(&mut random)?;
    if random.below(2) == 0 {
        nothing_leaked(&world.store)?;
    }
    world.counts.histories = 1;
    Ok(world.counts)
}
