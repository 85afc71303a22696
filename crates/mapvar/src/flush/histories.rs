//! Random histories on the real engine, cut off at any step by a death or a power cut, against an
//! oracle: what is recovered is what one complete flush saw, or one that was under way.

use super::{
    power::{Power, Random},
    tests::{content, facts, formatted},
};
use crate::{
    engine::{Expect, Store},
    layout::{identity, record},
    mem::{Fault, Mem, Ordering::SeqCst, Store as _},
    raw::{Kind, Raw},
    region::Facts,
    store::Inserted,
    transact::{Change, Outcome},
    trouble::Trouble,
};
use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

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

fn name(number: usize) -> Vec<u8> {
    let len = [1, 8, 31, 33, 119, 121, 700][number % NAMES];
    vec![b'a' + number as u8; len]
}

const COUNT: &[u8] = b"count";

impl Op {
    fn random(random: &mut Random, value: u64) -> Self {
        let bytes = |random: &mut Random| {
            let len = [8, 24, 33, 90, 400, 1_000, 1_100, 3_000, 17_000][random.below(9) as usize];
            value.to_le_bytes().repeat(len / 8)
        };
        let name = random.below(NAMES as u64) as usize;
        match random.below(16) {
            0..=5 => Self::Set(name, bytes(random)),
            6..=7 => Self::Remove(name),
            8 => {
                let other = (name + 1 + random.below(NAMES as u64 - 1) as usize) % NAMES;
                Self::Both(name, other, value.to_le_bytes().to_vec())
            }
            9..=10 => Self::Add(value),
            11 => Self::RemoveCount,
            12 => Self::Collect,
            _ => Self::Flush,
        }
    }

    /// What it makes of the map, if it is done.
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Set(at, value) => {
                content.insert(name(*at), value.clone());
            }
            Self::Remove(at) => {
                content.remove(&name(*at));
            }
            Self::Both(one, other, value) => {
                if content.contains_key(&name(*one)) && content.contains_key(&name(*other)) {
                    content.insert(name(*one), value.clone());
                    content.insert(name(*other), value.clone());
                }
            }
            Self::Add(n) => {
                let old = content
                    .get(COUNT)
                    .map_or(0, |old| u64::from_le_bytes(old.as_slice().try_into().unwrap()));
                content.insert(COUNT.to_vec(), (old + n).to_le_bytes().to_vec());
            }
            Self::RemoveCount => {
                content.remove(COUNT);
            }
            Self::Collect | Self::Flush => {}
        }
    }

    /// Does it; answers the version that a set got.
    fn run<M: Mem>(&self, store: &Store<M>) -> Result<Option<u64>, Trouble> {
        match self {
            Self::Set(at, value) => {
                let name = name(*at);
                let raw = Raw::bytes(Kind::Bytes, 0, value);
                return store.set(store.query(&name), &raw).map(Some);
            }
            Self::Remove(at) => {
                store.remove(store.query(&name(*at)))?;
            }
            Self::Both(one, other, value) => {
                let raw = Raw::bytes(Kind::Bytes, 0, value);
                let mut changes = Vec::new();
                for at in [*one, *other] {
                    let name = name(at);
                    let Some(handle) = store.find(store.query(&name))? else { return Ok(None) };
                    changes.push(Change { handle, expect: Expect::Present, raw: Some(raw) });
                }
                let outcome = store.transact(&mut changes)?;
                assert_ne!(outcome, Outcome::Stale);
            }
            Self::Add(n) => {
                let raw = Raw::word(Kind::U64, *n);
                match store.insert(store.query(COUNT), &raw, true)? {
                    Inserted::New(_) => {}
                    Inserted::Found(handle) => {
                        let add = store
                            .atomic(handle, |words| words.fetch_add(record::VALUE, *n, SeqCst))?;
                        if add.is_none() {
                            store.revive(handle, &raw, true)?;
                        }
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

/// What the map holds, and what it held since a flush began.
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

struct World {
    power: Power,
    facts: Facts,
    store: Store<Power>,
    truth: Arc<Mutex<Truth>>,
    /// What the file may be of.
    allowed: Vec<Content>,
    versions: HashMap<(u64, u64), Vec<u8>>,
    values: u64,
    boots: u64,
}

impl World {
    fn new(random: &mut Random, fault: Option<Fault>) -> Self {
        let facts = facts(1_000 + random.below(20_000));
        let power = Power::new(facts.region as usize, fault);
        formatted(&power, &facts);
        // Whoever makes a file sees that its header is in it.
        power.barrier(&[(0, facts.region)]).unwrap();
        let store = Store::new(power.clone(), &facts).unwrap();
        Self {
            power,
            facts,
            store,
            truth: Arc::default(),
            allowed: vec![Content::new()],
            versions: HashMap::new(),
            values: 0,
            boots: 0,
        }
    }

    fn truth(&self) -> std::sync::MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One operation, perhaps cut off; answers whether it ended.
    fn step(&mut self, random: &mut Random, cut: bool) -> Result<bool, String> {
        self.values += 1;
        // What is cut off is a flush more often than all else.
        let flush = cut && random.below(3) == 0;
        let op = if flush { Op::Flush } else { Op::random(random, self.values) };
        let is_flush = matches!(op, Op::Flush);
        let steps = match cut {
            false => -1,
            true if is_flush && random.below(3) == 0 => Power::AT_BARRIER,
            true => random.steps(if is_flush { 250 } else { 80 }),
        };
        let before = {
            let mut truth = self.truth();
            truth.since = vec![truth.now.clone()];
            truth.now.clone()
        };
        let mut beside = None;
        if is_flush && random.below(2) == 0 {
            self.values += 1;
            let other = Op::random(random, self.values);
            if !matches!(other, Op::Flush) {
                beside = Some(other.clone());
                let (power, facts) = (self.power.clone(), self.facts);
                let truth = self.truth.clone();
                let visitor = move || {
                    let store = Store::new(power, &facts).unwrap();
                    match other.run(&store) {
                        Ok(_) => truth.lock().unwrap_or_else(PoisonError::into_inner).apply(&other),
                        Err(Trouble::Full { .. } | Trouble::Lock(_) | Trouble::Contended) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                };
                self.power.visited(random.steps(200), Box::new(visitor));
            }
        }
        let store = &self.store;
        let done = self.power.cut_off(steps, || op.run(store));
        match done {
            Some(Ok(version)) => {
                self.truth().apply(&op);
                if let (Some(version), Op::Set(at, value)) = (version, &op) {
                    let name = name(*at);
                    let handle = self.store.find(self.store.query(&name)).unwrap().unwrap();
                    let former = self.versions.insert((handle.id, version), value.clone());
                    if former.is_some_and(|former| former != *value) {
                        return Err(format!("version {version} of {} twice", handle.id));
                    }
                }
                if is_flush {
                    let since = std::mem::take(&mut self.truth().since);
                    self.allowed = since;
                }
            }
            Some(Err(Trouble::Full { .. })) => {}
            Some(Err(other)) => return Err(format!("{op:?}: {other:?}")),
            None => {
                if is_flush {
                    let since = std::mem::take(&mut self.truth().since);
                    self.allowed.extend(since);
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
        self.store = Store::new(self.power.clone(), &self.facts).unwrap();
        if random.below(2) == 0 {
            self.store.quiesce().map_err(|trouble| format!("{trouble:?}"))?;
        }
        // Whoever comes next takes the locks, and replays.
        self.store.remove(self.store.query(b"nothing")).map_err(|it| format!("{it:?}"))?;
        drop(self.store.lock_structure().map_err(|it| format!("{it:?}"))?);
        drop(self.store.lock_transactions().map_err(|it| format!("{it:?}"))?);
        let now = content(&self.store);
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

    /// The power fails, and the map is opened again, perhaps after more of that.
    fn power_cut(&mut self, random: &mut Random) -> Result<(), String> {
        self.power.restart(random);
        let mut depth = 0;
        loop {
            let steps = match random.below(6) {
                0..=2 if depth < 3 => random.steps(2_600),
                3 if depth < 3 => Power::AT_BARRIER,
                _ => -1,
            };
            self.boots += 1;
            let (power, facts, boots) = (&self.power, &self.facts, self.boots);
            let opened = power.cut_off(steps, || {
                let mut store = Store::new(power.clone(), facts)?;
                store.recover(power.size())?;
                // As the identity: by this word nobody recovers again.
                let sector = power.words_mut(identity::AT, identity::WORDS).unwrap();
                sector.store(identity::BOOT, boots, SeqCst);
                Ok::<_, Trouble>(store)
            });
            match opened {
                Some(Ok(store)) => {
                    self.store = store;
                    break;
                }
                Some(Err(trouble)) => return Err(format!("recovery: {trouble:?}")),
                None => {
                    self.power.restart(random);
                    depth += 1;
                }
            }
        }
        let now = content(&self.store);
        if !self.allowed.contains(&now) {
            let lens = |content: &Content| -> Vec<(char, usize, u8)> {
                content.iter().map(|(n, v)| (n[0] as char, v.len(), v[0])).collect()
            };
            let allowed: Vec<_> = self.allowed.iter().map(lens).collect();
            return Err(format!("recovered {:?}, allowed {allowed:?}", lens(&now)));
        }
        self.allowed = vec![now.clone()];
        self.truth().now = now;
        Ok(())
    }
}

/// One history; what is wrong with it.
fn history(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut random = Random(seed);
    let mut world = World::new(&mut random, fault);
    for _ in 0..=random.below(4) {
        let cut_at = random.below(14);
        for at in 0..=cut_at {
            if !world.step(&mut random, at == cut_at)? {
                break;
            }
            let now = content(&world.store);
            if now != world.truth().now {
                return Err("it is not what it was set to".into());
            }
        }
    }
    world.power_cut(&mut random)
}

#[test]
fn every_cut_leaves_a_whole_epoch() {
    let first = std::env::var("MAPVAR_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(0);
    let count = std::env::var("MAPVAR_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(2_000);
    for seed in first..first + count {
        let done = catch_unwind(|| history(seed, None));
        assert!(matches!(done, Ok(Ok(()))), "seed {seed}: {done:?}");
    }
}

#[test]
fn planted_faults_are_caught() {
    for fault in [
        Fault::NoBarrier,
        Fault::NoSumCheck,
        Fault::ReuseDurable,
        Fault::EpochReused,
        Fault::EraseAtOnce,
        Fault::AcceptedRewritten,
        Fault::NoBarrierInRecovery,
    ] {
        let bound = 20_000;
        let caught = (0..bound).find(|seed| {
            let done = catch_unwind(AssertUnwindSafe(|| history(*seed, Some(fault))));
            !matches!(done, Ok(Ok(())))
        });
        println!("{fault:?}: caught at seed {caught:?}");
        assert!(caught.is_some(), "{fault:?} is not caught by {bound} histories");
    }
}
