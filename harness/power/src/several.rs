//! Histories of two or three processes whose steps mix at random. Their operations are sets,
//! removals, transactions, additions to an Atomic, flushes and sweeps. Each process may die at any
//! step, until the power fails. The oracle knows when each operation began and when it was
//! acknowledged. Of a flush it only knows what follows from these times.

use crate::map::{
    Counts, Given, choose, first_word, new_map, nothing_leaked, read_all, recover, weights,
};
use generator::{Generator, Gn};
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
use mapvar_engine_sim::power::{Power, PowerWords, Random};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const NAMES: usize = 6;
const COUNT: &[u8] = b"count";
/// Size of a process's stack in words.
const STACK: usize = 0x8000;

fn name(number: usize) -> Vec<u8> {
    let len = [1, 8, 33, 121, 31, 700][number % NAMES];
    vec![b'a' + number as u8; len]
}

/// Returns the value of a stamp: the stamp repeated, with a length that the stamp determines. So a
/// torn value is recognized.
fn stamped(stamp: u64) -> Vec<u8> {
    let words = [1, 3, 4, 11, 50, 125, 137, 375, 2_100];
    // The high bits of the stamp limit the choice of lengths.
    let words = words[Random(stamp).below(1 + (stamp >> 32) % 9) as usize];
    stamp.to_le_bytes().repeat(words)
}

/// The mix of operations in a history.
#[derive(Clone, Copy)]
struct Taste {
    weights: [u64; 6],
    names: u64,
    lengths: u64,
    operations: u64,
}

impl Taste {
    fn new(random: &mut Random) -> Self {
        Self {
            weights: weights(random, [6, 2, 2, 2, 1, 3]),
            names: 1 + random.below(NAMES as u64),
            lengths: random.below(9) << 32,
            operations: 2 + random.below(12),
        }
    }
}

/// The stamp of an absent variable.
const REMOVED: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It began, and was not acknowledged.
    Open,
    /// It is done and acknowledged.
    Done,
    /// It was refused.
    Void,
}

/// A write or a removal of a variable, or a bit added to the Atomic.
#[derive(Clone, Debug)]
struct Write {
    process: usize,
    variable: usize,
    stamp: u64,
    began: u64,
    /// When it was acknowledged, or when its process died.
    ended: Option<u64>,
    state: State,
    transaction: Option<usize>,
}

impl Write {
    /// Returns a write that begins.
    fn new(process: usize, variable: usize, stamp: u64, began: u64) -> Self {
        let (ended, state, transaction) = (None, State::Open, None);
        Self { process, variable, stamp, began, ended, state, transaction }
    }

    fn end(&mut self, now: u64, is_done: bool) {
        self.ended = Some(now);
        self.state = if is_done { State::Done } else { State::Void };
    }

    fn is_surely_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.began)
    }
}

#[derive(Clone, Copy, Debug)]
struct Flush {
    process: usize,
    began: u64,
    ended: Option<u64>,
    complete: bool,
}

/// The operations since the last recovery, by a clock that counts beginnings and ends.
#[derive(Default)]
struct Log {
    clock: u64,
    stamps: u64,
    transactions: usize,
    writes: Vec<Write>,
    adds: Vec<Write>,
    bits: Vec<u64>,
    base_count: u64,
    flushes: Vec<Flush>,
    wrong: Option<String>,
}

impl Log {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Restarts the log with the recovered content.
    fn begin_anew(&mut self, found: &[u64; NAMES], count: u64) {
        *self = Self { stamps: self.stamps, transactions: self.transactions, ..Self::default() };
        for (variable, stamp) in found.iter().enumerate() {
            let mut write = Write::new(usize::MAX, variable, *stamp, 0);
            write.end(0, true);
            self.writes.push(write);
        }
        self.base_count = count;
        self.bits = (0..60).map(|bit| 1 << bit).filter(|bit| count & bit == 0).collect();
    }

    fn begin(&mut self, process: usize, variable: usize, stamp: u64) -> usize {
        let began = self.tick();
        self.writes.push(Write::new(process, variable, stamp, began));
        self.writes.len() - 1
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    fn begin_flush(&mut self, process: usize) -> usize {
        let began = self.tick();
        self.flushes.push(Flush { process, began, ended: None, complete: false });
        self.flushes.len() - 1
    }

    fn end_flush(&mut self, flush: usize) {
        let ended = Some(self.tick());
        let flush = &mut self.flushes[flush];
        (flush.ended, flush.complete) = (ended, true);
    }

    fn died(&mut self, process: usize) {
        let now = self.tick();
        let all = self.writes.iter_mut().chain(&mut self.adds);
        for write in all.filter(|it| it.process == process && it.ended.is_none()) {
            write.ended = Some(now);
        }
        for flush in self.flushes.iter_mut().filter(|it| it.process == process) {
            flush.ended.get_or_insert(now);
        }
    }

    /// Checks a map that has these stamps and this count. After a `cut` the content may be that of
    /// any flush since the last complete one; otherwise it must be the current one.
    fn judge(&self, found: &[u64; NAMES], count: u64, cut: bool) -> Result<(), String> {
        let flushes = || self.flushes.iter();
        let (since, until) = if cut {
            let since = flushes().filter(|it| it.complete).map(|it| it.began).max();
            let until = flushes().map(|it| it.ended.unwrap_or(u64::MAX)).max();
            (since.unwrap_or(0), until.unwrap_or(0))
        } else {
            (u64::MAX, u64::MAX)
        };
        let acked_before =
            |it: &Write| it.state == State::Done && it.ended.is_some_and(|at| at < since);
        let mut seen: Vec<Vec<&Write>> = Vec::new();
        for (variable, stamp) in found.iter().enumerate() {
            let of_it = || self.writes.iter().filter(move |it| it.variable == variable);
            let stale =
                |one: &&Write| of_it().any(|it| acked_before(it) && one.is_surely_before(it));
            let said: Vec<_> =
                of_it().filter(|it| it.stamp == *stamp && it.state != State::Void).collect();
            if said.is_empty() {
                return Err(format!("variable {variable} has {stamp}, which nobody set"));
            }
            let fresh: Vec<_> = said.into_iter().filter(|it| !stale(it)).collect();
            if fresh.is_empty() {
                let newest = of_it().rev().find(|it| acked_before(it));
                let what = if cut { "a flushed value is lost" } else { "a value is lost" };
                return Err(format!(
                    "{what}: variable {variable} has {stamp}, and {newest:?} was acknowledged"
                ));
            }
            let fit: Vec<_> =
                fresh.into_iter().filter(|it| it.began == 0 || it.began < until).collect();
            if fit.is_empty() {
                return Err(format!(
                    "variable {variable} has {stamp}, which was set after the last flush"
                ));
            }
            seen.push(fit);
        }
        // Checks whether the found values were surely set before a part of a transaction, or surely
        // after it.
        for write in
            self.writes.iter().filter(|it| it.transaction.is_some() && it.state != State::Void)
        {
            let parts: Vec<_> =
                self.writes.iter().filter(|it| it.transaction == write.transaction).collect();
            let new = seen.get(write.variable).is_some_and(|seen| {
                seen.iter().all(|it| {
                    it.transaction == write.transaction
                        || write.state == State::Done && write.is_surely_before(it)
                })
            });
            let old = parts.iter().find(|part| {
                seen.get(part.variable)
                    .is_some_and(|seen| seen.iter().all(|it| it.is_surely_before(part)))
            });
            if let (true, Some(old)) = (new, old) {
                return Err(format!("a transaction is torn: {write:?} is there, {old:?} is not"));
            }
        }
        let mut known = self.base_count;
        for add in self.adds.iter().filter(|it| it.state != State::Void) {
            let there = count & add.stamp != 0;
            if !there && acked_before(add) {
                return Err(format!("an Atomic's addition is lost: {add:?} of {count:#x}"));
            }
            if there && add.began >= until {
                return Err(format!("an Atomic has what was added after the last flush: {add:?}"));
            }
            known |= add.stamp;
        }
        if count & !known != 0 || count & self.base_count != self.base_count {
            return Err(format!("an Atomic is {count:#x}, of {known:#x} at the most"));
        }
        Ok(())
    }
}

type Shared = Arc<Mutex<Log>>;

fn locked(log: &Shared) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one process until all of its operations are done.
fn live(
    power: &Power,
    number: usize,
    facts: &Facts,
    log: &Shared,
    taste: &Taste,
    random: &mut Random,
) {
    let store = match Store::new(power.clone(), facts) {
        Ok(store) => store,
        Err(trouble) => {
            locked(log).wrong = Some(format!("{trouble:?}"));
            return;
        }
    };
    for _ in 0..=random.below(taste.operations) {
        let done = operation(&store, number, log, taste, random);
        match done {
            Ok(()) | Err(EngineError::Full { .. }) => {}
            Err(other) => {
                locked(log).wrong = Some(format!("process {number}: {other:?}"));
                return;
            }
        }
    }
}

/// Runs one operation; the log records its beginning and its end.
fn operation(
    store: &Store<Power>,
    number: usize,
    log: &Shared,
    taste: &Taste,
    random: &mut Random,
) -> Result<(), EngineError> {
    let end = |writes: &[usize], is_done: bool| {
        let mut log = locked(log);
        let now = log.tick();
        for write in writes {
            log.writes[*write].end(now, is_done);
        }
    };
    let variable = random.below(taste.names) as usize;
    match choose(random, &taste.weights) {
        0 => {
            let (write, stamp) = {
                let mut log = locked(log);
                let stamp = log.next_stamp() | taste.lengths;
                (log.begin(number, variable, stamp), stamp)
            };
            let name = name(variable);
            let done = store.set(store.query(&name), &Raw::bytes(Kind::Bytes, 0, &stamped(stamp)));
            end(&[write], done.is_ok());
            done.map(drop)
        }
        1 => {
            let write = locked(log).begin(number, variable, REMOVED);
            let done = store.remove(store.query(&name(variable)));
            end(&[write], matches!(done, Ok(true)));
            done.map(drop)
        }
        2 => {
            // A value long enough for an extent would need a reservation beforehand.
            let others =
                (0..taste.names as usize).filter(|_| random.below(2) == 0).chain([variable]);
            let mut variables: Vec<_> = others.collect();
            variables.sort_unstable();
            variables.dedup();
            let mut changes = Vec::new();
            let stamp = locked(log).next_stamp();
            let value = stamp.to_le_bytes();
            let raw = Raw::bytes(Kind::Bytes, 0, &value);
            let mut writes = Vec::new();
            let mut handles = Vec::new();
            for variable in variables {
                if let Some(handle) = store.find(store.query(&name(variable)))? {
                    changes.push(TxEntry { handle, expect: Expect::Present, raw: Some(raw) });
                    handles.push(variable);
                }
            }
            {
                let mut log = locked(log);
                log.transactions += 1;
                let transaction = log.transactions;
                for variable in handles {
                    let write = log.begin(number, variable, stamp);
                    log.writes[write].transaction = Some(transaction);
                    writes.push(write);
                }
            }
            let done = store.transact(&mut changes);
            end(&writes, matches!(done, Ok(CommitOutcome::Committed)));
            done.map(drop)
        }
        3 => add(store, number, log),
        4 => {
            store.collect_all()?;
            store.sweep().map(drop)
        }
        _ => {
            let flush = locked(log).begin_flush(number);
            store.flush()?;
            locked(log).end_flush(flush);
            Ok(())
        }
    }
}

/// Adds a bit to the Atomic that it does not have.
fn add(store: &Store<Power>, number: usize, log: &Shared) -> Result<(), EngineError> {
    let (write, bit) = {
        let mut log = locked(log);
        let Some(bit) = log.bits.pop() else { return Ok(()) };
        let began = log.tick();
        log.adds.push(Write::new(number, 0, bit, began));
        (log.adds.len() - 1, bit)
    };
    let done = match store.insert(store.query(COUNT), &Raw::word(Kind::U64, bit), true) {
        Ok(Inserted::New(_)) => Ok(true),
        Ok(Inserted::Found(handle)) => store
            .atomic(handle, |words: PowerWords<'_>| words.fetch_add(record::VALUE, bit, SeqCst))
            .map(|added| added.is_some()),
        Err(trouble) => Err(trouble),
    };
    let mut log = locked(log);
    let now = log.tick();
    log.adds[write].end(now, matches!(done, Ok(true)));
    done.map(drop)
}

/// Returns the stamps of all variables, and the Atomic's value.
fn stamps(store: &Store<Power>, given: &mut Given) -> Result<([u64; NAMES], u64), String> {
    let mut found = [REMOVED; NAMES];
    let mut count = 0;
    for (key, variable) in read_all(store, given)? {
        let first = first_word(&variable.value);
        if key == COUNT {
            count = first;
            continue;
        }
        let Some(number) = (0..NAMES).find(|number| name(*number) == key) else {
            return Err(format!("a variable that nobody made: {key:?}"));
        };
        if variable.value != stamped(first) && variable.value != first.to_le_bytes() {
            return Err(format!("the value {first} of variable {number} is torn"));
        }
        found[number] = first;
    }
    Ok((found, count))
}

type Running = Option<Generator<'static, (), ()>>;

struct World {
    taste: Taste,
    power: Power,
    facts: Facts,
    log: Shared,
    given: Given,
    running: Vec<Running>,
    boots: u64,
    counts: Counts,
}

impl World {
    fn start(&mut self, number: usize, random: &mut Random) {
        let (power, facts, log) = (self.power.process(number), self.facts, self.log.clone());
        let (taste, mut random) = (self.taste, Random(random.below(u64::MAX)));
        self.running[number] = Some(Gn::new_opt(STACK, move || {
            let _ = power.cut_off(-1, || live(&power, number, &facts, &log, &taste, &mut random));
        }));
    }

    /// Stops the process where it stands.
    fn end(&mut self, number: usize) {
        let Some(mut process) = self.running[number].take() else { return };
        self.power.machine().cut(number);
        self.power.machine().turn_in(-1);
        while !process.is_done() {
            process.resume();
        }
        locked(&self.log).died(number);
    }

    fn lose_and_recover(
        &mut self,
        random: &mut Random,
    ) -> Result<(Store<Power>, [u64; NAMES], u64), String> {
        self.power.restart(random);
        let store = recover(&self.power, &self.facts, &mut self.boots, random, &mut self.counts)?;
        let (found, count) = stamps(&store, &mut self.given)?;
        self.counts.values += found.iter().filter(|stamp| **stamp != REMOVED).count() as u64;
        locked(&self.log).judge(&found, count, true)?;
        Ok((store, found, count))
    }

    /// Runs all processes until the power fails or all is done; fails with a description of the
    /// fault.
    fn run(&mut self, random: &mut Random) -> Result<(), String> {
        let quantum = [2, 20, 200, 2_000][random.below(4) as usize];
        let mut left = random.below(600_000 / (quantum + 20)) + 1;
        if random.below(2) == 0 {
            left = random.below(left.min(3_000)) + 1;
        }
        let deadly = random.below(2) == 0;
        let mixed = random.below(2) == 0;
        for number in 0..self.running.len() {
            self.start(number, random);
        }
        while left > 0 && self.running.iter().any(Option::is_some) {
            left -= 1;
            let number = random.below(self.running.len() as u64) as usize;
            if deadly && random.below(400) == 0 && self.running[number].is_some() {
                self.end(number);
                self.power.process(number).die();
                self.counts.deaths += 1;
                if random.below(2) == 0 {
                    self.start(number, random);
                }
                continue;
            }
            let Some(process) = &mut self.running[number] else { continue };
            // Short turns and long ones: much may happen between two steps of another process.
            let quantum =
                if mixed { [2, 20, 200, 4_000][random.below(4) as usize] } else { quantum };
            self.power.machine().turn_in(random.steps(quantum));
            process.resume();
            if process.is_done() {
                self.running[number] = None;
            }
            if let Some(wrong) = locked(&self.log).wrong.take() {
                return Err(wrong);
            }
        }
        self.power.machine().turn_in(-1);
        if self.running.iter().all(Option::is_none) {
            let with_context = |trouble: EngineError| format!("when all was done: {trouble:?}");
            let store = Store::new(self.power.process(7), &self.facts).map_err(with_context)?;
            // The next owner of the commit lock publishes what a dead process committed.
            store.transact(&mut []).map_err(with_context)?;
            let (found, count) = stamps(&store, &mut self.given)?;
            locked(&self.log).judge(&found, count, false)?;
            if random.below(2) == 0 {
                // After this flush everything must be there.
                let flush = locked(&self.log).begin_flush(7);
                store.flush().map_err(with_context)?;
                locked(&self.log).end_flush(flush);
            }
        }
        for number in 0..self.running.len() {
            self.end(number);
        }
        Ok(())
    }
}

/// Runs one history; fails with a description of the fault.
pub fn history(seed: u64) -> Result<Counts, String> {
    let mut random = Random(seed ^ 0x5e5e_5e5e);
    let (power, facts) = new_map(&mut random);
    power.machine().shared(|_, _| {
        // Outside of a process no other process can act.
        let inside = generator::is_generator();
        if inside {
            #[allow(deprecated, reason = "its `Scope` is not available inside the engine")]
            generator::yield_with(());
        }
        inside
    });
    let processes = 2 + random.below(2) as usize;
    let mut world = World {
        taste: Taste::new(&mut random),
        power,
        facts,
        log: Arc::default(),
        given: Given::default(),
        running: (0..processes).map(|_| None).collect(),
        boots: 0,
        counts: Counts { histories: 1, ..Counts::default() },
    };
    locked(&world.log).begin_anew(&[REMOVED; NAMES], 0);
    let rounds = 1 + random.below(3);
    for round in 1..=rounds {
        world.run(&mut random)?;
        // One moment allows many disks.
        for _ in 0..random.below(6) {
            let saved = world.power.machine().save();
            world.lose_and_recover(&mut random)?;
            world.power.machine().put_back(saved);
        }
        let (store, found, count) = world.lose_and_recover(&mut random)?;
        locked(&world.log).begin_anew(&found, count);
        if round == rounds && random.below(2) == 0 {
            nothing_leaked(&store)?;
        }
    }
    Ok(world.counts)
}
