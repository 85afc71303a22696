//! Target (c): sequences of operations, compared with a model, while the platform fails: no space,
//! a disk that cannot write, unavailable locks and marks, no seat. Each operation succeeds, or
//! fails and changes nothing. No lock stays behind, nothing leaks, and flushed values come back.

use crate::DECODER;
use crate::{
    driver::{Case, Target},
    random::Random,
};
use mapvar::Kind;
use mapvar_engine::{
    commit::{CommitOutcome, TxEntry},
    error::EngineError,
    handle::Handle,
    header::Facts,
    layout::{CHUNK, live},
    mem::Mem as _,
    store::Store,
    value::Raw,
    version::{Expect, Wrote},
};
use mapvar_engine_sim::{
    adversary::{Adversary, Call, LockState},
    operations::{self, Plain},
};
use std::collections::{BTreeMap, BTreeSet};

type Model = BTreeMap<Vec<u8>, Plain>;

/// Empty maps.
#[derive(Debug)]
pub struct Sequences {
    empty: Vec<(Adversary, Facts)>,
}

impl Default for Sequences {
    /// Returns maps with a file and without, each with space to grow and without.
    fn default() -> Self {
        let make = |(file, spare): (bool, u64)| {
            let facts = operations::facts(1, 0, file);
            let mem = Adversary::new(facts.region, spare * CHUNK);
            let store = operations::formatted(mem.clone(), &facts);
            drop(store);
            mem.keep();
            (mem, facts)
        };
        Self { empty: [(true, 24), (true, 2), (false, 24), (false, 2)].map(make).to_vec() }
    }
}

const NAMES: usize = 7;

/// Returns a name, short or long.
fn name(number: usize) -> Vec<u8> {
    vec![b'a' + number as u8; [2, 33, 1, 25, 400, 8, 1023][number % NAMES]]
}

fn value(random: &mut Random) -> Vec<u8> {
    let len = match random.below(12) {
        0..=5 => random.below(70),
        6 | 7 => random.below(1_010),
        8 | 9 => 1_000 + random.below(3_000),
        10 => 8_000 + random.below(12_000),
        _ => 16_000 + random.below(60_000),
    };
    let byte = random.word() as u8;
    let mut bytes = vec![byte; len as usize];
    if let Some(last) = bytes.last_mut() {
        *last = byte ^ 0xff;
    }
    bytes
}

struct Run<'a> {
    store: Store<Adversary>,
    random: Random,
    case: &'a Case,
    model: Model,
    /// Names that belong to an `Atomic`, removed or not.
    atomics: BTreeSet<Vec<u8>>,
    handles: Vec<(Vec<u8>, Handle)>,
    /// The states that a recovery may find.
    durable: Vec<Model>,
    disk_failed: bool,
    had_atomics: bool,
    file: bool,
}

/// Returns whether an error is possible although no call failed.
fn may_be(trouble: &EngineError) -> bool {
    matches!(trouble, EngineError::Full { .. } | EngineError::WrongKind(_))
}

impl Run<'_> {
    fn free(&self, what: &str) {
        let held = self.store.mem().held();
        let left = held.iter().find(|it| it.1 != LockState::Died);
        assert!(left.is_none(), "{what} left a lock behind: {left:x?}");
    }

    /// Verifies that the store has exactly the model's content, and that it is whole.
    fn compare(&self, what: &str) {
        let content = operations::content(&self.store).expect("what is there can be read");
        let found: Model = content.iter().cloned().collect();
        assert_eq!(content.len(), found.len(), "a name twice, after {what}");
        assert!(found == self.model, "after {what}: {}", difference(&found, &self.model));
        for name in self.model.keys() {
            let found = self.store.find(self.store.query(name)).expect("a lookup");
            assert!(found.is_some(), "after {what} no lookup finds {name:?}");
        }
        let check = operations::one_look(&self.store, true, DECODER);
        // A failed disk is a fault, which stays.
        let of_disk = live::AT + live::FAILED as u64 * 8;
        let mut faults: Vec<_> = check
            .findings()
            .iter()
            .filter(|it| it.severity == mapvar::check::Severity::Fault)
            .collect();
        let before = faults.len();
        faults.retain(|it| it.at != of_disk);
        let told = before != faults.len();
        let failed = self.disk_failed && self.file;
        assert_eq!(told, failed, "after {what}: whether the check reports that the disk failed");
        let fault = faults.first();
        assert!(
            fault.is_none(),
            "after {what}: {}",
            fault.map_or(String::new(), ToString::to_string)
        );
    }

    /// Does one operation, during which a call of the platform may fail.
    fn step(&mut self, number: usize) {
        let random = &mut self.random;
        let (name, bytes) = (name(random.below(NAMES as u64) as usize), value(random));
        let which = random.below(16);
        let word = random.below(1 << 20);
        // The number of the first call that fails, and how many calls fail from there.
        let injected =
            random.one_in(3).then(|| (1 + random.below(10), random.of(&[1, 1, 2, 1_000])));
        let mut inner = random.clone();
        let _ = random.below(1);
        if !self.case.keeps(number) {
            return;
        }
        let (at, count) = injected.unwrap_or((0, 0));
        let mem = self.store.mem().clone();
        mem.be_honest();
        mem.fail(at, count);
        self.case.record(|| {
            let fails = if injected.is_some() {
                format!(", {count} of the platform's calls fail from call {at} on")
            } else {
                String::new()
            };
            let len = bytes.len();
            format!("{which} of {:?} ({} bytes), {len} bytes{fails}", name[0] as char, name.len())
        });
        let there = self.model.contains_key(&name);
        let was_atomic = self.atomics.contains(&name);
        let before = (!there && self.file).then(|| self.model.clone());
        let query = self.store.query(&name);
        let raw = Raw::bytes(Kind::Bytes, 0, &bytes);
        let integer = operations::integer(word);
        let plain = (Kind::I64 as u8, word.to_le_bytes().to_vec());
        let what;
        let done: Result<(), EngineError> = match which {
            0..=3 => {
                what = "set";
                let set = self.store.set(query, &raw);
                set.map(|_| self.holds(name, (Kind::Bytes as u8, bytes)))
            }
            4 => {
                what = "set a number";
                let set = self.store.set(query, &integer).map(drop);
                if set.is_ok() {
                    if !there {
                        self.atomics.remove(&name);
                    }
                    self.model.insert(name, plain);
                }
                set
            }
            5 | 6 => {
                what = "remove";
                self.store.remove(query).map(|was| {
                    assert_eq!(was, there, "removed what was not there, or did not what was");
                    self.model.remove(&name);
                })
            }
            7 => {
                what = "make";
                operations::find_or_create(&self.store, query, &raw, false).map(|()| {
                    if !there {
                        self.holds(name, (Kind::Bytes as u8, bytes));
                    }
                })
            }
            8 if word.is_multiple_of(4) => {
                what = "make an Atomic";
                self.had_atomics = true;
                operations::find_or_create(&self.store, query, &integer, true).map(|()| {
                    if !there {
                        self.atomics.insert(name.clone());
                        self.model.insert(name, plain);
                    }
                })
            }
            8 | 9 => {
                what = "add to an Atomic";
                match self.store.find(query) {
                    Ok(Some(handle)) if was_atomic => operations::add(&self.store, handle, word)
                        .map(|old| {
                            assert_eq!(old.is_some(), there, "an Atomic that is not there counts");
                            if let (Some(old), Some(now)) = (old, self.model.get_mut(&name)) {
                                assert_eq!(old.to_le_bytes().to_vec(), now.1, "an Atomic's value");
                                now.1 = old.wrapping_add(word).to_le_bytes().to_vec();
                            }
                        }),
                    other => other.map(drop),
                }
            }
            10 => {
                what = "transact";
                self.transact(&mut inner)
            }
            11 => {
                what = "flush";
                let flushed = self.store.flush();
                let barrier = mem.failed().contains(&Call::Barrier);
                if self.file && flushed.is_ok() {
                    assert!(!barrier, "the disk failed, and the flush says that all is well");
                    assert!(!self.disk_failed, "a disk that has failed is believed again");
                    self.durable = vec![self.model.clone()];
                } else if barrier {
                    self.durable.push(self.model.clone());
                }
                flushed
            }
            12 => {
                what = "tidy up";
                operations::tidy(&self.store).map(drop)
            }
            13 => {
                what = "grow";
                operations::grow(&self.store).map(drop)
            }
            14 => {
                what = "write by a handle";
                self.by_handle(&mut inner)
            }
            _ => {
                what = "set if absent";
                self.store.set_if(query, &raw, None).map(|set| {
                    assert_eq!(set.is_ok(), !there, "set what was there, or did not what was not");
                    if set.is_ok() {
                        self.holds(name, (Kind::Bytes as u8, bytes));
                    }
                })
            }
        };
        let failed = mem.failed();
        self.disk_failed |= failed.contains(&Call::Barrier);
        // A set that reclaimed the name of a removed variable may have flushed first, completely or
        // not.
        self.durable.extend(before.filter(|_| what != "flush"));
        mem.fail(0, 0);
        self.free(what);
        if let Err(trouble) = &done {
            let known = may_be(trouble) || !failed.is_empty() || (self.disk_failed && self.file);
            assert!(known, "{what}, where nothing failed: {trouble:?}");
        }
        if done.is_err() || !failed.is_empty() || number.is_multiple_of(8) {
            mem.be_honest();
            self.compare(what);
        }
    }

    /// Records that a variable is set, and is no longer an Atomic.
    fn holds(&mut self, name: Vec<u8>, plain: Plain) {
        self.atomics.remove(&name);
        self.model.insert(name, plain);
    }

    fn transact(&mut self, random: &mut Random) -> Result<(), EngineError> {
        let mut names: Vec<Vec<u8>> = self.model.keys().cloned().collect();
        names.retain(|name| !self.atomics.contains(name));
        while names.len() > 3 {
            names.remove(random.below(names.len() as u64) as usize);
        }
        let words: Vec<u64> = names.iter().map(|_| random.below(1_000)).collect();
        let raws: Vec<Raw<'static>> = words.iter().map(|word| operations::integer(*word)).collect();
        let conflicts = random.one_in(4) && !names.is_empty();
        let mut changes = Vec::new();
        for (number, (name, raw)) in names.iter().zip(&raws).enumerate() {
            let Some(handle) = self.store.find(self.store.query(name))? else {
                panic!("no lookup finds {name:?}")
            };
            let expect =
                if conflicts && number == 0 { Expect::Version(1 << 50) } else { Expect::Present };
            changes.push(TxEntry { handle, expect, raw: Some(*raw) });
        }
        match self.store.transact(&mut changes)? {
            CommitOutcome::Committed => {
                assert!(!conflicts, "a transaction that conflicts is committed");
                for (name, word) in names.into_iter().zip(words) {
                    self.model.insert(name, (Kind::I64 as u8, word.to_le_bytes().to_vec()));
                }
            }
            CommitOutcome::Conflict => assert!(conflicts, "a conflict with nobody"),
            CommitOutcome::Stale => panic!("a variable that is there is said to be gone"),
        }
        Ok(())
    }

    fn by_handle(&mut self, random: &mut Random) -> Result<(), EngineError> {
        // Keeps these handles for later: by then some belong to variables that no longer exist.
        let mut found = Vec::new();
        for name in self.model.keys() {
            if !self.atomics.contains(name)
                && let Some(handle) = self.store.find(self.store.query(name))?
            {
                found.push((name.clone(), handle));
            }
        }
        for entry in found {
            if !self.handles.contains(&entry) && self.handles.len() < 24 {
                self.handles.push(entry);
            }
        }
        if self.handles.is_empty() {
            return Ok(());
        }
        let (name, handle) = random.of(&self.handles.iter().collect::<Vec<_>>()).clone();
        let same = self.store.find(self.store.query(&name))? == Some(handle);
        let bytes = value(random);
        let raw = Raw::bytes(Kind::Bytes, 0, &bytes);
        let wrote = if bytes.len() < 20 && random.one_in(2) {
            // The fast path; if it declines, the slow path writes.
            let poked = self.store.try_write_fast(handle, &raw, false);
            assert!(!poked || (same && self.model.contains_key(&name)), "poked what is no more");
            if poked { Wrote::Version(0) } else { self.store.write(handle, &raw)? }
        } else {
            self.store.write(handle, &raw)?
        };
        match wrote {
            Wrote::Version(_) => {
                assert!(same, "written by the handle of a variable that is no more");
                self.model.insert(name, (Kind::Bytes as u8, bytes));
            }
            // A record that was removed may have been collected meanwhile.
            other => assert!(
                !same || !self.model.contains_key(&name),
                "not written, though the variable is there: {other:?}"
            ),
        }
        Ok(())
    }

    /// Verifies that no space is in use once everything is removed.
    fn leaks(&mut self) {
        self.case.record(|| "remove everything, and look for leaks".into());
        let mem = self.store.mem().clone();
        mem.be_honest();
        let names: Vec<Vec<u8>> = self.model.keys().cloned().collect();
        for name in names {
            let removed = self.store.remove(self.store.query(&name));
            assert!(removed.is_ok_and(|was| was), "it cannot be removed");
        }
        self.model.clear();
        for _ in 0..3 {
            mem.be_honest();
            self.store.flush().expect("flush");
            operations::tidy(&self.store).expect("tidy");
        }
        let space = self.store.space().expect("space");
        let check = operations::one_look(&self.store, true, DECODER);
        assert!(
            space.used == 0 && check.findings().is_empty(),
            "{} bytes are taken by nobody: {:?}",
            space.used,
            check.findings().iter().map(ToString::to_string).take(4).collect::<Vec<_>>()
        );
    }

    fn restart(&mut self) {
        self.case.record(|| "restart, and recover".into());
        let mem = self.store.mem().clone();
        mem.be_honest();
        let recovered = self.store.recover(mem.size()).expect("recover");
        assert!(!recovered.damaged && recovered.lost == 0, "{recovered:?} of what nobody damaged");
        let found: Model = operations::content(&self.store).expect("content").into_iter().collect();
        if !self.durable.contains(&found) {
            let nearest = self.durable.last().cloned().unwrap_or_default();
            panic!("it is as no flush left it; the last: {}", difference(&found, &nearest));
        }
        self.model = found;
        self.atomics.clear();
        self.disk_failed = false;
        self.compare("recover");
    }
}

fn difference(found: &Model, wanted: &Model) -> String {
    let names: BTreeSet<&Vec<u8>> = found.keys().chain(wanted.keys()).collect();
    let short = |plain: Option<&Plain>| {
        plain.map_or("nothing".into(), |(kind, bytes)| {
            format!("kind {kind}, {} bytes {:x?}", bytes.len(), &bytes[..bytes.len().min(8)])
        })
    };
    let all: Vec<String> = names
        .into_iter()
        .filter(|name| found.get(*name) != wanted.get(*name))
        .map(|name| {
            let letter = char::from(name.first().copied().unwrap_or(b'?'));
            format!("{letter:?}: {}, and not {}", short(found.get(name)), short(wanted.get(name)))
        })
        .collect();
    all.join("; ")
}

impl Target for Sequences {
    fn run(&mut self, case: &Case) -> u64 {
        self.execute(case, Random::new(case.seed));
        1
    }
}

impl Sequences {
    /// Runs a case from bytes that libFuzzer made.
    pub fn run_bytes(&mut self, bytes: &[u8]) {
        self.execute(&Case::new(0), Random::script(bytes));
    }

    fn execute(&self, case: &Case, mut random: Random) {
        let (mem, facts) = &self.empty[random.below(self.empty.len() as u64) as usize];
        mem.reset();
        let steps = 3 + random.below(30) as usize;
        let end = random.below(3);
        case.record(|| format!("a map {} a file", if facts.file { "in" } else { "without" }));
        let mut run = Run {
            store: Store::new(mem.clone(), facts).expect("a store"),
            random,
            case,
            model: Model::new(),
            atomics: BTreeSet::new(),
            handles: Vec::new(),
            durable: vec![Model::new()],
            disk_failed: false,
            had_atomics: false,
            file: facts.file,
        };
        for number in 0..steps {
            run.step(number);
        }
        mem.be_honest();
        run.compare("all of it");
        if end == 0 && !run.disk_failed && !run.had_atomics {
            run.leaks();
        } else if end == 1 && run.file {
            run.restart();
        }
    }
}
