//! One of the processes: it does everything that a program can do with a map, until the order to
//! end arrives.

use super::{PASSING, SUM, drift::Sample};
use crate::region::{LIMIT, Place};
use mapvar::{ErrorKind, Map};
use mapvar_harness::{
    Random,
    peer::{next_order, say},
};
use std::{
    cell::Cell,
    collections::HashMap,
    fs,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

pub(crate) struct Task {
    pub(crate) stays: bool,
    /// Whether it sets large values in the first map, and does little else.
    pub(crate) copies: bool,
    pub(crate) number: usize,
    pub(crate) seed: u64,
    /// The epoch of the expected maps: a process that finds another number has the wrong map.
    pub(crate) epoch: u64,
    pub(crate) places: Vec<Place>,
}

/// Returns a value that repeats its stamp; the stamp also determines the length.
fn stamped(stamp: u64) -> Vec<u8> {
    let words = match stamp % 16 {
        0 => 1 + stamp / 16 % 12_000,
        1..=4 => 1 + stamp / 16 % 1_000,
        _ => 1 + stamp / 16 % 60,
    };
    stamp.to_le_bytes().repeat(words as usize)
}

fn is_stamped(bytes: &[u8]) -> bool {
    let stamp = bytes.first_chunk().map(|first| u64::from_le_bytes(*first));
    stamp.is_some_and(|stamp| stamped(stamp) == bytes)
}

/// Whether an order is waiting.
static ORDERED: AtomicBool = AtomicBool::new(false);

/// The value of a variable that only this process sets.
#[derive(Clone, PartialEq)]
enum Own {
    Number(i64),
    Bytes(u64),
    Nothing,
}

/// What a process remembers of its operations, until all variables are removed.
#[derive(Default)]
struct Memory {
    own: HashMap<(usize, String), Own>,
    /// By how much this process has increased the Atomic of each map since its last report.
    added: [u64; 2],
}

struct Worker<'a> {
    task: &'a Task,
    memory: &'a mut Memory,
    random: Random,
    operations: Cell<u64>,
    slowest: Cell<Duration>,
}

type Done = Result<(), String>;

impl Worker<'_> {
    /// Does one operation, and fails if it took too long.
    fn timed<T>(
        &self,
        what: &str,
        operate: impl FnOnce() -> Result<T, mapvar::Error>,
    ) -> Result<T, String> {
        let began = Instant::now();
        let done = operate();
        let took = began.elapsed();
        self.operations.set(self.operations.get() + 1);
        self.slowest.set(self.slowest.get().max(took));
        if took > LIMIT {
            return Err(format!("{what} took {took:?}"));
        }
        done.map_err(|error| format!("{what} after {took:?}: {error:?}"))
    }

    fn open(&self, place: &Place) -> Result<Map, String> {
        let options = place.options().timeout(LIMIT);
        let map = self.timed("open", || options.open())?;
        let epoch: u64 = self.timed("get the epoch", || map.get("epoch"))?;
        if epoch != self.task.epoch {
            return Err(format!("{} is another map: {epoch}", place.text()));
        }
        Ok(map)
    }

    fn close(&mut self, map: Map) -> Done {
        if self.random.below(2) == 0 {
            return self.timed("close", || map.close());
        }
        drop(map);
        Ok(())
    }

    /// Verifies that a variable of this process's own still has the value that the process left.
    fn verify(&self, map: &Map, at: usize, own: &str) -> Done {
        let Some(left) = self.memory.own.get(&(at, own.to_owned())) else { return Ok(()) };
        let is_so = match left {
            Own::Number(number) => {
                self.timed("get a number", || map.find::<i64>(own))? == Some(*number)
            }
            Own::Bytes(stamp) => {
                self.timed("get bytes", || map.find::<Vec<u8>>(own))? == Some(stamped(*stamp))
            }
            Own::Nothing => !self.timed("look", || map.contains(own))?,
        };
        if is_so { Ok(()) } else { Err(format!("{own} is not as it was left")) }
    }

    /// Verifies one of this process's own variables, gives it a new value and verifies that.
    fn leave(&mut self, map: &Map, at: usize, own: &str, left: Own) -> Done {
        self.verify(map, at, own)?;
        match &left {
            Own::Number(number) => self.timed("set a number", || map.set(own, *number))?,
            Own::Bytes(stamp) => self.timed("set bytes", || map.set(own, stamped(*stamp)))?,
            Own::Nothing => drop(self.timed("remove", || map.remove(own))?),
        }
        self.memory.own.insert((at, own.to_owned()), left);
        self.verify(map, at, own)
    }

    /// Does one random operation, in the map at `at`.
    fn step(&mut self, map: &Map, at: usize) -> Done {
        let own = format!("p{}.{}", self.task.number, self.random.below(6));
        let stamp = self.random.word() >> 1;
        match self.random.below(14) {
            0 | 1 => self.leave(map, at, &format!("{own}n"), Own::Number(stamp as i64))?,
            2 | 3 => self.leave(map, at, &own, Own::Bytes(stamp))?,
            4 => self.leave(map, at, &own, Own::Nothing)?,
            5 | 6 => {
                let (from, to) = (stamp % 8, (stamp / 8) % 7);
                let to = if to >= from { to + 1 } else { to };
                let amount = (stamp / 64 % 100) as i64;
                self.timed("transaction", || {
                    map.transaction(|tx| {
                        let (a, b) = (format!("a{from}"), format!("a{to}"));
                        let (left, right) = (tx.get::<i64>(&a)?, tx.get::<i64>(&b)?);
                        tx.set(&a, left - amount)?;
                        tx.set(&b, right + amount)
                    })
                })?;
            }
            7 => {
                const ACCOUNTS: [&str; 8] = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"];
                let seen = self.timed("snapshot", || map.snapshot(ACCOUNTS))?;
                let sum: i64 = ACCOUNTS.iter().map(|name| seen.get::<i64>(name).unwrap_or(0)).sum();
                if sum != SUM {
                    return Err(format!("a snapshot is torn: {sum}"));
                }
            }
            8 => {
                let count = self.timed("atomic", || map.atomic_or("count", 0_u64))?;
                self.timed("add", || count.fetch_add(1))?;
                self.memory.added[at] += 1;
            }
            9 => {
                let shared = format!("s{}", stamp % 5);
                self.timed("set a shared one", || map.set(&shared, stamped(stamp)))?;
                let found = self.timed("get it", || map.find::<Vec<u8>>(&shared))?;
                if found.is_some_and(|bytes| !is_stamped(&bytes)) {
                    return Err(format!("{shared} is torn"));
                }
            }
            10 => {
                // The first process of the run sets it all the time.
                let tick = self.timed("var", || map.var::<u64>("tick"))?;
                let first = self.timed("get", || tick.get())?;
                let mut watch = self.timed("watch", || map.watch("tick"))?;
                self.timed("wait", || watch.recv_timeout(Duration::from_millis(20)))?;
                let now = self.timed("get", || tick.get())?;
                if now < first {
                    return Err(format!("tick went from {first} to {now}"));
                }
            }
            11 => {
                for entry in map.iter().take(20) {
                    let entry = self.timed("iterate", || entry)?;
                    if entry.name().starts_with('s')
                        && !is_stamped(&self.timed("get", || entry.get::<Vec<u8>>())?)
                    {
                        return Err(format!("{} is torn", entry.name()));
                    }
                }
            }
            12 => {
                // Names that are new, and more space than was used so far.
                for part in 0..8 {
                    self.timed("set anew", || {
                        map.set(&format!("{own}.{stamp}.{part}"), stamped(stamp / 8 * 16))
                    })?;
                }
                for part in 0..8 {
                    self.timed("remove", || map.remove(&format!("{own}.{stamp}.{part}")))?;
                }
            }
            _ => {
                if self.random.below(20) == 0 {
                    self.timed("flush", || map.flush())?;
                }
                self.timed("stat", || map.stat())?;
            }
        }
        Ok(())
    }

    /// Sets a value that takes long to write, so that a kill mostly comes during a set.
    fn copy(&mut self, map: &Map) -> Done {
        let own = format!("c{}", self.task.number);
        let value = vec![self.random.word() as u8; 2 << 20];
        self.timed("set a large one", || map.set(&own, &value))?;
        std::thread::sleep(Duration::from_micros(self.random.below(2_000)));
        Ok(())
    }

    /// Uses a map that comes and goes, and grows, under a name that other processes may use at the
    /// same time.
    fn passing(&mut self) -> Done {
        // Processes that stay are never killed, so none of their names may ever be left behind.
        let number = if self.task.stays { "k" } else { "t" }.to_owned()
            + &self.random.below(if self.task.stays { 1 } else { PASSING }).to_string();
        let place = match &self.task.places[self.random.below(2) as usize] {
            Place::Name(name) => Place::Name(format!("{name}.{number}")),
            Place::File(path) => Place::File(path.with_file_name(format!("{number}.map"))),
        };
        let options = place.options().size(4_000).max_size(64 << 20).timeout(LIMIT);
        let map = self.timed("open or create", || options.open_or_create())?;
        for part in 0..self.random.below(12) {
            let name = format!("p{}.{part}", self.task.number);
            self.timed("grow", || map.set(&name, vec![part as u8; 30_000]))?;
            let found: Vec<u8> = self.timed("get", || map.get(&name))?;
            if found != vec![part as u8; 30_000] {
                return Err(format!("{name} of {} is not what was set", place.text()));
            }
        }
        for part in 0..12 {
            let name = format!("p{}.{part}", self.task.number);
            self.timed("remove", || map.remove(&name))?;
        }
        // Another process may have removed the file meanwhile (below), which the close reports.
        match map.close() {
            Err(error) if error.kind() == ErrorKind::NameRemoved => {}
            closed => self.timed("close", || closed)?,
        }
        if let Place::File(path) = &place
            && self.random.below(8) == 0
        {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

pub(crate) fn run(mut task: Task) {
    let (send, orders) = channel();
    std::thread::spawn(move || {
        loop {
            let order = next_order().unwrap_or_else(|| "end".into());
            let end = order == "end";
            ORDERED.store(!order.starts_with("go"), Ordering::Relaxed);
            let _ = send.send(order);
            if end {
                return;
            }
        }
    });
    if let Err(what) = work(&mut task, &orders) {
        say(format!("wrong: {what} [seed {}]", task.seed));
        // Time for the first process to read it.
        std::thread::sleep(Duration::from_secs(1));
        std::process::exit(1);
    }
}

fn work(task: &mut Task, orders: &Receiver<String>) -> Done {
    let mut random = Random::new(task.seed);
    // Half of the processes that stay keep their maps open for life, and open other handles beside
    // them.
    let keeps = task.stays && task.number.is_multiple_of(2);
    let mut kept = Vec::new();
    let mut memory = Memory::default();
    loop {
        let mut worker = Worker {
            task,
            memory: &mut memory,
            random: Random::new(random.word()),
            operations: Cell::default(),
            slowest: Cell::default(),
        };
        if keeps && kept.is_empty() {
            for place in &worker.task.places {
                kept.push(worker.open(place)?);
            }
        }
        let mut attaches = 0;
        for at in 0..worker.task.places.len() {
            let place = &worker.task.places[at];
            let map = worker.open(place)?;
            attaches += 1;
            for _ in 0..20 {
                if ORDERED.load(Ordering::Relaxed) {
                    break;
                }
                if worker.task.copies && at == 0 {
                    worker.copy(&map)?;
                    continue;
                }
                let other = kept.get(at).filter(|_| worker.random.below(2) == 0).cloned();
                worker.step(other.as_ref().unwrap_or(&map), at)?;
                std::thread::sleep(Duration::from_micros(worker.random.below(10_000)));
            }
            worker.close(map)?;
        }
        if worker.random.below(3) == 0 && !ORDERED.load(Ordering::Relaxed) {
            worker.passing()?;
            attaches += 1;
        }
        let slowest = worker.slowest.get().as_micros();
        let operations = worker.operations.get();
        let [first, second] = std::mem::take(&mut worker.memory.added);
        say(format!("round {attaches} {operations} {slowest} {} {first} {second}", task.epoch));
        match orders.try_recv().as_deref() {
            Err(_) => {}
            Ok("pause") => {
                let sample = Sample::here(match &task.places[0] {
                    Place::Name(name) => name,
                    Place::File(_) => "soak",
                });
                say(format!(
                    "paused {} {} {} {}",
                    sample.open, sample.views, sample.memory, sample.threads
                ));
                match orders.recv().as_deref().map(|order| order.strip_prefix("go ")) {
                    Ok(Some(epoch)) => {
                        task.epoch = epoch.parse().map_err(|_| "no epoch".to_owned())?;
                        // All variables were removed meanwhile.
                        memory.own.clear();
                    }
                    _ => return Ok(()),
                }
            }
            Ok(_) => return Ok(()),
        }
    }
}
