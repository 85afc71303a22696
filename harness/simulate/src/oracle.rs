//! What must be true, kept outside the region: what was set, what had returned when a flush began,
//! and so what may stand in the map after a cut.

use crate::{chance::hash, layout::NAMES};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Each variable's value, None = absent.
pub type Values = [Option<u64>; NAMES];

#[derive(Clone, Copy, Debug)]
struct Entry {
    value: Option<u64>,
    seq: u64,
}

/// What is known of a flush.
#[derive(Clone, Debug)]
struct Epoch {
    /// For each variable the newest set that had returned when the flush began.
    floor: [u64; NAMES],
    /// The newest set of all when its choice ended; None: it never did.
    ceiling: Option<u64>,
    /// What was found when it was accepted: it must never be anything else.
    found: Option<Values>,
}

pub struct Oracle {
    /// What each variable was, in order, since the last recovery.
    history: [Vec<Entry>; NAMES],
    returned: [u64; NAMES],
    seq: u64,
    epochs: BTreeMap<u64, Epoch>,
    /// Epoch of the last flush that returned.
    complete: u64,
    transactions: Vec<(u64, Vec<usize>)>,
    versions: HashMap<(u64, u64), Option<u64>>,
    ids: HashSet<u64>,
    /// The words of each value that was ever made.
    values: HashSet<u64>,
    made: u64,
    wrong: Option<String>,
}

impl Oracle {
    pub fn new() -> Self {
        let nothing = Epoch { floor: [0; NAMES], ceiling: Some(0), found: Some([None; NAMES]) };
        Self {
            history: std::array::from_fn(|_| vec![Entry { value: None, seq: 0 }]),
            returned: [0; NAMES],
            seq: 0,
            epochs: BTreeMap::from([(0, nothing)]),
            complete: 0,
            transactions: Vec::new(),
            versions: HashMap::new(),
            ids: HashSet::new(),
            values: HashSet::new(),
            made: 0,
            wrong: None,
        }
    }

    /// The first thing found wrong is the one that counts.
    pub fn wrong(&mut self, what: impl FnOnce() -> String) {
        if self.wrong.is_none() {
            self.wrong = Some(what());
        }
    }

    pub fn verdict(&self) -> Result<(), String> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    // --- Values ------------------------------------------------------------------------------

    pub fn new_value(&mut self) -> u64 {
        self.made += 1;
        self.made + 10
    }

    pub fn value_made(&mut self, words: &[u64]) {
        self.values.insert(hash(words.iter().copied()));
    }

    pub fn is_value(&self, words: &[u64]) -> bool {
        self.values.contains(&hash(words.iter().copied()))
    }

    // --- What processes do -------------------------------------------------------------------

    pub fn id_given(&mut self, id: u64) {
        if !self.ids.insert(id) {
            self.wrong(|| format!("id {id} given twice"));
        }
    }

    pub fn version_given(&mut self, id: u64, version: u64, value: Option<u64>) {
        if self.versions.insert((id, version), value).is_some_and(|old| old != value) {
            self.wrong(|| format!("version {version} of id {id} given twice"));
        }
    }

    /// A set is published; the number is for `returned`.
    pub fn published(&mut self, sets: &[(usize, Option<u64>)]) -> u64 {
        self.seq += 1;
        for &(name, value) in sets {
            self.history[name].push(Entry { value, seq: self.seq });
        }
        if sets.len() > 1 {
            let names = sets.iter().map(|&(name, _)| name).collect();
            self.transactions.push((self.seq, names));
        }
        self.seq
    }

    pub fn returned(&mut self, names: impl IntoIterator<Item = usize>, seq: u64) {
        for name in names {
            self.returned[name] = self.returned[name].max(seq);
        }
    }

    pub fn flush_begins(&mut self, epoch: u64) {
        let begun = Epoch { floor: self.returned, ceiling: None, found: None };
        // Not before the fault of reusing one is planted.
        self.epochs.insert(epoch, begun);
    }

    pub fn flush_chose(&mut self, epoch: u64) {
        if let Some(epoch) = self.epochs.get_mut(&epoch) {
            epoch.ceiling = Some(self.seq);
        }
    }

    pub fn flush_returned(&mut self, epoch: u64) {
        self.complete = epoch;
        self.epochs = self.epochs.split_off(&epoch);
    }

    pub fn complete(&self) -> u64 {
        self.complete
    }

    // --- After a cut -------------------------------------------------------------------------

    /// May this epoch be accepted at all?
    pub fn accepted(&self, epoch: u64) -> Result<(), String> {
        if epoch < self.complete {
            return Err(format!("accepted epoch {epoch}, below the complete {}", self.complete));
        }
        match self.epochs.get(&epoch) {
            Some(Epoch { ceiling: Some(_), .. }) => Ok(()),
            _ => Err(format!("accepted epoch {epoch}, which was never chosen whole")),
        }
    }

    /// May these values stand there, with this epoch accepted?
    pub fn recovered(&mut self, epoch: u64, values: &Values) -> Result<(), String> {
        self.accepted(epoch)?;
        let Some(known) = self.epochs.get_mut(&epoch) else { return Ok(()) };
        let ceiling = known.ceiling.unwrap_or(0);
        if let Some(found) = &known.found {
            if found != values {
                return Err(format!("epoch {epoch} was {found:?} and is now {values:?}"));
            }
            return Ok(());
        }
        known.found = Some(*values);
        let floor = known.floor;
        // Of each variable the sets that its value may be of.
        let may_be: Vec<Vec<u64>> = (0..NAMES)
            .map(|name| {
                let before = |entry: &&Entry| entry.seq <= floor[name];
                let first = self.history[name].iter().filter(before).count() - 1;
                self.history[name][first..]
                    .iter()
                    .filter(|entry| entry.seq <= ceiling && entry.value == values[name])
                    .map(|entry| entry.seq)
                    .collect()
            })
            .collect();
        if let Some(name) = may_be.iter().position(Vec::is_empty) {
            return Err(format!(
                "n{name} is {:?} in epoch {epoch}, floor {} ceiling {ceiling}: {:?}",
                values[name], floor[name], self.history[name]
            ));
        }
        for (seq, names) in &self.transactions {
            let surely = names.iter().any(|&name| may_be[name].iter().all(|s| s >= seq));
            let surely_not = names.iter().any(|&name| may_be[name].iter().all(|s| s < seq));
            if surely && surely_not {
                return Err(format!("transaction {seq} of {names:?} is torn in epoch {epoch}"));
            }
        }
        Ok(())
    }

    /// With rot: is each value at least one that its variable had?
    pub fn was_ever(&self, values: &Values) -> Result<(), String> {
        for (name, value) in values.iter().enumerate() {
            if value.is_some() && !self.history[name].iter().any(|entry| entry.value == *value) {
                return Err(format!("n{name} is {value:?}, which it never was"));
            }
        }
        Ok(())
    }

    /// Life goes on from here.
    pub fn go_on(&mut self, epoch: u64, values: &Values) {
        self.seq += 1;
        let seq = self.seq;
        self.history = values.map(|value| vec![Entry { value, seq }]);
        self.returned = [seq; NAMES];
        self.transactions.clear();
        let known = Epoch { floor: [seq; NAMES], ceiling: Some(seq), found: Some(*values) };
        self.epochs = BTreeMap::from([(epoch, known)]);
        self.complete = epoch;
    }
}
