//! The simulated region, and functions that observe it.

use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    header as region,
    header::Facts,
    layout::{CHUNK, META_CHUNKS, identity, kind, table_word},
    mem::Ordering::SeqCst,
    mem::{Load as _, Mem, StoreWords as _},
    record::read::Seen,
    store::Store,
    value::Data,
};
use mapvar_engine_sim::power::{Power, Random};
use std::collections::{BTreeMap, HashMap};

/// The counts of the harness, for its figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Power cuts after which a map was recovered and compared.
    pub cuts: u64,
    /// Power cuts during a recovery.
    pub cuts_in_recovery: u64,
    /// Processes that died while the machine went on.
    pub deaths: u64,
    /// Values compared after a cut.
    pub values: u64,
    /// Histories completed.
    pub histories: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.cuts_in_recovery += other.cuts_in_recovery;
        self.deaths += other.deaths;
        self.values += other.values;
        self.histories += other.histories;
    }
}

/// A variable as it was read.
pub struct Found {
    pub value: Vec<u8>,
    handle: Handle,
    version: u64,
}

pub type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// Ids and versions in use: none may be given to two variables or values.
#[derive(Default)]
pub struct Given {
    ids: HashMap<u64, Vec<u8>>,
    versions: HashMap<(u64, u64), (usize, u64)>,
}

impl Given {
    pub fn version(&mut self, id: u64, version: u64, value: &[u8]) -> Result<(), String> {
        let value = (value.len(), first_word(value));
        if *self.versions.entry((id, version)).or_insert(value) != value {
            return Err(format!("version {version} of variable {id} is given twice"));
        }
        Ok(())
    }

    fn note(&mut self, name: &[u8], found: &Found) -> Result<(), String> {
        let known = self.ids.entry(found.handle.id).or_insert_with(|| name.to_vec());
        if known != name {
            return Err(format!("the id {} is given twice", found.handle.id));
        }
        if found.handle.atomic {
            Ok(())
        } else {
            self.version(found.handle.id, found.version, &found.value)
        }
    }
}

/// Returns a new map, small enough to grow or not, and its header facts.
pub fn new_map(random: &mut Random) -> (Power, Facts) {
    let facts = facts(if random.below(2) == 0 { 1 } else { 1_000 + random.below(20_000) });
    let power = Power::new(facts.region as usize);
    format(&power, &facts);
    (power, facts)
}

/// Returns how often each operation occurs in a history. Each history has its own mix, and some
/// have nearly nothing but one operation. The first operation sets and the last flushes, so both
/// always occur.
pub fn weights<const N: usize>(random: &mut Random, usual: [u64; N]) -> [u64; N] {
    let weights = usual.map(|usual| [0, usual, usual, 3 * usual][random.below(4) as usize]);
    if weights[0] == 0 || weights[N - 1] == 0 { usual } else { weights }
}

/// Returns one of the operations, by their weights.
pub fn choose(random: &mut Random, weights: &[u64]) -> usize {
    let mut left = random.below(weights.iter().sum());
    let which = weights.iter().position(|weight| {
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    });
    which.unwrap_or(weights.len() - 1)
}

/// Returns the first word of a value, which consists of repetitions of it.
pub fn first_word(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

fn facts(size: u64) -> Facts {
    Facts {
        uuid: [11, 12],
        seed: 13,
        size,
        region: region::region_bytes(size).expect("a small region"),
        max_size: 0,
        file: true,
        created: 0,
        creator: 0,
    }
}

/// Formats a new file, with its header on the disk, as the creator ensures.
fn format(power: &Power, facts: &Facts) {
    for chunk in region::table_chunks(0, facts.region / CHUNK) {
        power.words_mut(table_word(chunk), 1).expect("within").store(0, kind::TABLE, SeqCst);
    }
    let meta = (META_CHUNKS * CHUNK / 8) as usize;
    region::format(power.words_mut(0, meta).expect("within"), facts);
    power.barrier(&[(0, facts.region)]).expect("a disk that works");
}

/// Returns every variable by name, after a check that the index finds it too.
pub fn read_all(
    store: &Store<Power>,
    given: &mut Given,
) -> Result<BTreeMap<Vec<u8>, Found>, String> {
    let mut all = BTreeMap::new();
    let mut wrong = None;
    let walked = store.each_record(|handle| {
        let seen = match store.read(handle, |view| view.capture()) {
            Ok(Seen::Value(Ok(captured), version)) => (captured.data, version),
            Ok(Seen::Absent | Seen::Stale) => return true,
            other => {
                wrong = Some(format!("a variable cannot be read: {other:?}"));
                return false;
            }
        };
        let Some(name) = store.name_of(handle.at) else {
            wrong = Some("a variable without a name".into());
            return false;
        };
        let value = match seen.0 {
            Data::Bytes(bytes) => bytes,
            Data::Word(word) => word.to_le_bytes().to_vec(),
        };
        let found = Found { value, handle, version: seen.1 };
        let led = store.find(store.query(&name));
        if !matches!(led, Ok(Some(it)) if it == handle) {
            wrong = Some(format!("the index leads to {led:?}, and not to {handle:?}"));
        } else if let Err(twice) = given.note(&name, &found) {
            wrong = Some(twice);
        }
        if all.insert(name, found).is_some() {
            wrong = Some("two variables have one name".into());
        }
        wrong.is_none()
    });
    walked.map_err(|trouble| format!("{trouble:?}"))?;
    wrong.map_or(Ok(all), Err)
}

pub fn content(store: &Store<Power>, given: &mut Given) -> Result<Content, String> {
    let found = read_all(store, given)?;
    Ok(found.into_iter().map(|(name, found)| (name, found.value)).collect())
}

/// Recovers the map after a power cut, perhaps with more power cuts during the recovery.
pub fn recover(
    power: &Power,
    facts: &Facts,
    boots: &mut u64,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<Store<Power>, String> {
    let mut depth = 0;
    loop {
        let steps = match random.below(6) {
            0..=2 if depth < 3 => random.steps(2_600),
            3 if depth < 3 => Power::after_barrier(random.below(4)),
            _ => -1,
        };
        *boots += 1;
        let boot = *boots;
        let opened = power.cut_off(steps, || {
            let mut store = Store::new(power.clone(), facts)?;
            let recovered = store.recover(power.size())?;
            // Like the identity: this word keeps other processes from recovering again.
            let sector =
                power.words_mut(identity::AT, identity::WORDS).ok_or(EngineError::ReadOnly)?;
            sector.store(identity::BOOT, boot, SeqCst);
            Ok::<_, EngineError>((store, recovered))
        });
        match opened {
            Some(Ok((_, recovered))) if recovered.damaged || recovered.lost > 0 => {
                return Err(format!(
                    "a recovery reports damage where there is none: {recovered:?}"
                ));
            }
            Some(Ok((store, _))) => {
                counts.cuts += 1;
                return Ok(store);
            }
            Some(Err(trouble)) => return Err(format!("recovery: {trouble:?}")),
            None => {
                counts.cuts_in_recovery += 1;
                power.restart(random);
                depth += 1;
            }
        }
    }
}

/// Asserts that all space is free after a recovery, a sweep and the removal of every variable.
pub fn nothing_leaked(store: &Store<Power>) -> Result<(), String> {
    let with_context = |trouble: EngineError| format!("at the end: {trouble:?}");
    let tidy = || {
        store.collect_all()?;
        store.sweep()?;
        store.flush()?;
        store.collect_all()?;
        store.sweep()
    };
    tidy().map_err(with_context)?;
    let check = store.check(&[], true, mapvar_harness::is_message_pack, &|| false);
    let check = check.map_err(with_context)?;
    if let Some(finding) = check.findings().first() {
        return Err(format!("check: {finding}"));
    }
    let mut kept = 0;
    let mut names = Vec::new();
    store
        .each_record(|handle| {
            if handle.atomic {
                kept += handle.words() as u64 * 8;
            }
            names.extend(store.name_of(handle.at).filter(|_| !handle.atomic));
            true
        })
        .map_err(with_context)?;
    for name in names {
        store.remove(store.query(&name)).map_err(with_context)?;
    }
    store.flush().map_err(with_context)?;
    tidy().map_err(with_context)?;
    let used = store.space().map_err(with_context)?.used;
    // An Atomic keeps its record.
    if used != kept {
        return Err(format!("of {used} bytes taken {kept} are an Atomic's, the others nobody's"));
    }
    let live = store.mem().words(identity::AT, identity::WORDS);
    assert!(live.is_some_and(|words| words.load(identity::BOOT, SeqCst) != 0), "it was recovered");
    Ok(())
}
