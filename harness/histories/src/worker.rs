//! A process that makes histories: it runs operations on a map, and notes each.

use crate::{
    history::{ABSENT, ATOMICS, KEYS, VARIABLES, name_of},
    shared::{Kind, Log, Note, Shared, wait_until},
    ticks,
};
use mapvar::{Atomic, Compared, ErrorKind, Map, MapOptions, Value, Version};
use mapvar_harness::{
    Random,
    peer::{next_order, say},
    random::mix,
};
use std::{io, path::Path, thread, time::Duration};

/// Far longer than a busy machine takes for any operation.
const LIMIT: Duration = Duration::from_secs(40);

/// Where a map is: a text that contains a slash is a file's path.
pub(crate) fn options(place: &str) -> MapOptions {
    let options = Map::options().timeout(LIMIT);
    if place.contains(['/', '\\']) { options.file(place) } else { options.name(place) }
}

pub(crate) const NEVER: u64 = u64::MAX;

/// What a process does in one round.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) round: u64,
    pub(crate) seed: u64,
    /// How many operations it runs.
    pub(crate) quota: u64,
    /// How many of the variables all processes use in this round.
    pub(crate) variables: usize,
    /// One in so many operations is interrupted; 0: none.
    pub(crate) interrupted: u64,
    /// The number of the operation at which it dies; `NEVER`: at none.
    pub(crate) dies_at: u64,
    pub(crate) place: String,
}

impl Order {
    pub(crate) fn to_line(&self) -> String {
        let Self { round, seed, quota, variables, interrupted, dies_at, place } = self;
        format!("{round} {seed} {quota} {variables} {interrupted} {dies_at} {place}")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(7, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (round, seed, quota) = (number()?, number()?, number()?);
        let (variables, interrupted, dies_at) = (number()? as usize, number()?, number()?);
        Some(Self {
            round,
            seed,
            quota,
            variables,
            interrupted,
            dies_at,
            place: words.next()?.into(),
        })
    }
}

/// Runs the process: for each order it prints `done`, or what is wrong.
pub(crate) fn run(shared: &Path, process: usize) -> io::Result<()> {
    ticks::end_with_parent();
    ticks::prepare()?;
    let shared = Shared::open(shared)?;
    let log = shared.log(process);
    let mut user: Option<User> = None;
    while let Some(line) = next_order() {
        let order = Order::parse(&line).ok_or_else(|| io::Error::other("no order"))?;
        let mut ready = match user.take().filter(|user| user.place == order.place) {
            Some(user) => user,
            None => User::open(&order.place).map_err(io::Error::other)?,
        };
        log.set_ready(order.round);
        wait_until(|| shared.has_begun(order.round));
        let done = ready.work(&order, process, log);
        ticks::stop();
        if order.dies_at != NEVER {
            // Its last operation ended before the time came.
            log.set_dying();
        }
        match done {
            Ok(()) => say("done"),
            Err(error) => say(error),
        }
        user = Some(ready);
    }
    Ok(())
}

/// An open map.
pub(crate) struct User {
    place: String,
    map: Map,
    atomics: Vec<Atomic<u64>>,
}

/// The values that one process writes in one round: no value is written twice.
pub(crate) struct Fresh(u64);

impl Fresh {
    pub(crate) fn new(round: u64, process: usize) -> Self {
        Self(round << 20 | (process as u64 + 1) << 12)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl User {
    pub(crate) fn open(place: &str) -> mapvar::Result<Self> {
        let map = options(place).open_or_create()?;
        let atomics = (VARIABLES..KEYS).map(|key| map.atomic_or(name_of(key), 0));
        let atomics = atomics.collect::<mapvar::Result<_>>()?;
        Ok(Self { place: place.into(), map, atomics })
    }

    /// Gives a key the value with which a history begins.
    pub(crate) fn start_with(&self, key: usize, value: u64) -> mapvar::Result<()> {
        match self.atomics.get(key.wrapping_sub(VARIABLES)) {
            Some(atomic) => atomic.store(value),
            None if value == ABSENT => self.map.remove(name_of(key)).map(|_| ()),
            None => self.map.set(name_of(key), value_of(value)),
        }
    }

    /// Reads all keys in the ways that there are, and notes it.
    pub(crate) fn read_all(&self, log: Log<'_>) -> mapvar::Result<()> {
        self.snapshot(log, &(0..KEYS).collect::<Vec<_>>())?;
        for key in 0..VARIABLES {
            self.get(log, key)?;
        }
        for at in 0..ATOMICS {
            let note = log.note(Kind::Get).on(VARIABLES + at, 0, 0);
            note.begin();
            note.read(VARIABLES + at, self.atomics[at].load()?);
            note.end(true);
        }
        Ok(())
    }

    fn work(&mut self, order: &Order, process: usize, log: Log<'_>) -> mapvar::Result<()> {
        let mut random = Random::new(order.seed);
        let mut fresh = Fresh::new(order.round, process);
        while log.begun() < order.quota {
            let key = random.below(order.variables as u64) as usize;
            // As long as some operations take: mostly it ends amid one of them.
            let time = Duration::from_micros(1 + random.below(25));
            if log.begun() >= order.dies_at {
                log.set_dying();
                ticks::die_after(time);
            } else if order.interrupted != 0 && random.one_in(order.interrupted) {
                ticks::interrupt_after(time);
            }
            match random.below(100) {
                0..18 => self.get(log, key)?,
                18..33 => self.set(log, key, fresh.next())?,
                33..39 => self.remove(log, key)?,
                39..53 => {
                    let (old, version) = self.get_versioned(log, key)?;
                    pause(&mut random);
                    if log.begun() < order.quota {
                        self.compare(log, key, old, version, fresh.next())?;
                    }
                }
                53..62 => self.update(log, key, fresh.next(), &mut random)?,
                62..76 => self.transaction(log, order, &mut fresh, &mut random)?,
                76..85 => {
                    let keys: Vec<usize> = (0..KEYS)
                        .filter(|key| *key >= VARIABLES || *key < order.variables)
                        .filter(|_| !random.one_in(3))
                        .collect();
                    self.snapshot(log, &keys)?;
                }
                85..99 => self.on_atomic(log, &mut fresh, &mut random)?,
                // A flush takes part in no history. It marks records and holds up writers.
                _ => self.map.flush()?,
            }
            pause(&mut random);
        }
        Ok(())
    }

    fn get(&self, log: Log<'_>, key: usize) -> mapvar::Result<()> {
        let name = name_of(key);
        let note = log.note(Kind::Get).on(key, 0, 0);
        note.begin();
        // Numbers have a way of their own in the library.
        let read = match self.map.find::<u64>(name) {
            Ok(read) => read.unwrap_or(ABSENT),
            Err(error) if error.kind() == ErrorKind::WrongKind => {
                id_of(self.map.find::<Value>(name)?)
            }
            Err(error) => return Err(error),
        };
        note.read(key, read);
        note.end(true);
        Ok(())
    }

    fn get_versioned(&self, log: Log<'_>, key: usize) -> mapvar::Result<(u64, Version)> {
        let note = log.note(Kind::Get).on(key, 0, 0);
        note.begin();
        let (value, version) = match self.map.get_versioned(name_of(key)) {
            Ok((value, version)) => (Some(value), version),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, Version::ABSENT),
            Err(error) => return Err(error),
        };
        let read = id_of(value);
        note.read(key, read);
        note.end(true);
        Ok((read, version))
    }

    fn set(&self, log: Log<'_>, key: usize, new: u64) -> mapvar::Result<()> {
        let (name, value) = (name_of(key), value_of(new));
        let note = log.note(Kind::Set).on(key, 0, new);
        note.begin();
        match value {
            Value::I64(number) => self.map.set(name, number)?,
            value => self.map.set(name, &value)?,
        }
        note.end(true);
        Ok(())
    }

    fn remove(&self, log: Log<'_>, key: usize) -> mapvar::Result<()> {
        let note = log.note(Kind::Remove).on(key, 0, ABSENT);
        note.begin();
        let done = self.map.remove(name_of(key))?;
        note.end(done);
        Ok(())
    }

    fn compare(
        &self,
        log: Log<'_>,
        key: usize,
        old: u64,
        version: Version,
        new: u64,
    ) -> mapvar::Result<()> {
        let value = value_of(new);
        let note = log.note(Kind::Compare).on(key, old, new);
        note.begin();
        let done = self.map.compare_and_set(name_of(key), version, &value)?;
        note.end(done.is_set());
        Ok(())
    }

    fn update(
        &self,
        log: Log<'_>,
        key: usize,
        new: u64,
        random: &mut Random,
    ) -> mapvar::Result<()> {
        let value = value_of(new);
        let note = log.note(Kind::Update).on(key, 0, new);
        note.begin();
        let done = self.map.update(name_of(key), |old: Option<Value>| {
            note.start_again();
            note.read(key, id_of(old));
            pause(random);
            value.clone()
        });
        finish(&note, done.map(|_| ()))
    }

    fn transaction(
        &self,
        log: Log<'_>,
        order: &Order,
        fresh: &mut Fresh,
        random: &mut Random,
    ) -> mapvar::Result<()> {
        // For each key: whether it is read, and what is written.
        let mut plan = Vec::new();
        let from = random.below(order.variables as u64) as usize;
        for at in 0..(2 + random.below(3) as usize).min(order.variables) {
            let key = (from + at) % order.variables;
            let write = match random.below(8) {
                0..2 => None,
                2 => Some(ABSENT),
                _ => Some(fresh.next()),
            };
            plan.push((key, write.is_none() || random.one_in(2), write));
        }
        let note = log.note(Kind::Transaction);
        for (key, _, write) in &plan {
            if let Some(value) = write {
                note.writes(*key, *value);
            }
        }
        note.begin();
        let done = self.map.transaction(|transaction| {
            note.start_again();
            for (key, read, write) in &plan {
                if *read {
                    note.read(*key, id_of(transaction.find::<Value>(name_of(*key))?));
                    pause(random);
                }
                match write {
                    None => {}
                    Some(ABSENT) => transaction.remove(name_of(*key))?,
                    Some(value) => transaction.set(name_of(*key), value_of(*value))?,
                }
            }
            Ok(())
        });
        finish(&note, done)
    }

    fn snapshot(&self, log: Log<'_>, keys: &[usize]) -> mapvar::Result<()> {
        let names: Vec<&str> = keys.iter().map(|key| name_of(*key)).collect();
        let note = log.note(Kind::Snapshot);
        note.begin();
        let seen = self.map.snapshot(&names)?;
        for key in keys {
            let value = seen.find::<Value>(name_of(*key))?;
            note.read(*key, if *key < VARIABLES { id_of(value) } else { number_of(value) });
        }
        note.end(true);
        Ok(())
    }

    fn on_atomic(
        &self,
        log: Log<'_>,
        fresh: &mut Fresh,
        random: &mut Random,
    ) -> mapvar::Result<()> {
        let at = random.below(ATOMICS as u64) as usize;
        let (key, atomic) = (VARIABLES + at, &self.atomics[at]);
        let note = |kind, old, new| log.note(kind).on(key, old, new);
        match random.below(6) {
            0 => {
                let note = note(Kind::Get, 0, 0);
                note.begin();
                note.read(key, atomic.load()?);
                note.end(true);
            }
            1 => {
                let new = fresh.next() << 16;
                let note = note(Kind::Set, 0, new);
                note.begin();
                atomic.store(new)?;
                note.end(true);
            }
            2 => {
                let new = fresh.next() << 16;
                let note = note(Kind::Update, 0, new);
                note.begin();
                note.read(key, atomic.swap(new)?);
                note.end(true);
            }
            3 => {
                let old = atomic.load()?;
                pause(random);
                let new = fresh.next() << 16;
                let note = note(Kind::Compare, old, new);
                note.begin();
                match atomic.compare_exchange(old, new)? {
                    Compared::Set(found) => {
                        assert_eq!(found, old, "an exchange had another value than it compared");
                        note.end(true);
                    }
                    Compared::Changed(found) => {
                        assert_ne!(found, old, "an exchange was refused without a reason");
                        note.read(key, found);
                        note.end(false);
                    }
                }
            }
            _ => {
                let note = note(Kind::Add, 0, 1);
                note.begin();
                note.read(key, atomic.fetch_add(1)?);
                note.end(true);
            }
        }
        Ok(())
    }
}

/// Notes the end of an operation that may have given up because of others.
fn finish(note: &Note<'_>, done: mapvar::Result<()>) -> mapvar::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::Conflict => note.end(false),
        done => {
            done?;
            note.end(true);
        }
    }
    Ok(())
}

/// Lets other processes run now and then.
fn pause(random: &mut Random) {
    match random.below(8) {
        0 => thread::yield_now(),
        1..3 => (0..random.below(300)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

/// Returns the value of a variable that stands for a number: the number itself, or bytes that begin
/// with it. Their lengths fit a record, an extent that is written in place, and one that is not.
fn value_of(id: u64) -> Value {
    let drawn = mix(id);
    let len = match drawn % 128 {
        0..4 => 200,
        4..7 => 5_000,
        7 => 70_000,
        _ => return Value::I64(id.cast_signed()),
    };
    let words = (0..len / 8).map(|at| if at == 0 { id } else { mix(id ^ at << 40) });
    Value::Bytes(words.flat_map(u64::to_le_bytes).collect())
}

/// Returns the number that a value stands for.
fn id_of(value: Option<Value>) -> u64 {
    match value {
        None => ABSENT,
        Some(Value::Bytes(bytes)) => {
            let id = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
            assert!(value_of(id) == Value::Bytes(bytes), "TORN: the bytes of {id:x}");
            id
        }
        value => number_of(value),
    }
}

fn number_of(value: Option<Value>) -> u64 {
    match value {
        Some(Value::I64(number)) => number.cast_unsigned(),
        Some(Value::U64(number)) => number,
        other => panic!("TORN: {other:?} is no value of this harness"),
    }
}
