//! Many processes on shared maps for long, some of them killed all the time.

mod child;
mod drift;

use crate::{
    Seeded, clean_up,
    region::{LIMIT, Place, Region, empty, objects, overfill, remove_objects},
    verdict,
};
use drift::{Drift, Sample};
use mapvar::{ErrorKind, Map};
use mapvar_harness::{
    Folder, Random, figure,
    peer::Peer,
    system, unique,
    watchdog::{doing, watch},
};
use std::{
    collections::HashMap,
    fs,
    io::BufRead,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Kills in a second.
const KILLS: u32 = if cfg!(windows) { 2 } else { 5 };
/// Processes that set large values; every other kill hits one of them.
const COPIERS: usize = 2;
/// The sum of the shared accounts, which no transfer changes.
pub(crate) const SUM: i64 = 8_000;
/// The maximum size of the map with a name. At each rest it is given a value that exceeds this, so
/// that the engine reclaims all that no process owns. The map in a file never runs out of space.
const NAMED_MAX: usize = 128 << 20;
/// Maps that come and go, by name and by file.
pub(crate) const PASSING: u64 = 4;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(default_value_t = 10)]
    minutes: u64,
    #[command(flatten)]
    seeded: Seeded,
    #[arg(long, default_value_t = if cfg!(windows) { 8 } else { 64 })]
    processes: usize,
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    let [role, number, seed, epoch, places @ ..] = words else { panic!("no role {words:?}") };
    child::run(child::Task {
        stays: *role == "stay",
        copies: *role == "copy",
        number: number.parse().expect("a number"),
        seed: seed.parse().expect("a number"),
        epoch: epoch.parse().expect("a number"),
        places: places.iter().map(|place| Place::of(place)).collect(),
    });
    ExitCode::SUCCESS
}

/// The reports of the children.
#[derive(Default)]
pub(crate) struct Reports {
    attaches: u64,
    operations: u64,
    /// In microseconds.
    slowest: u64,
    /// The sum of the increments of each map's Atomic since all variables were removed last.
    added: [u64; 2],
    epoch: u64,
    wrong: Vec<String>,
    /// By the child's number, which its successor takes over.
    paused: HashMap<usize, Sample>,
    heard: HashMap<usize, Instant>,
}

struct Crew {
    places: Vec<Place>,
    reports: Arc<Mutex<Reports>>,
    peers: Vec<Peer>,
    processes: usize,
    stayers: usize,
    epoch: u64,
    random: Random,
}

impl Crew {
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&mut self, number: usize) -> Peer {
        let role = match number {
            number if number < self.stayers => "stay",
            number if number >= self.processes - COPIERS => "copy",
            _ => "pass",
        };
        let (seed, epoch) = (self.random.word() >> 1, self.epoch);
        let [number_text, seed, epoch] = [number.to_string(), seed.to_string(), epoch.to_string()];
        let places: Vec<String> = self.places.iter().map(Place::text).collect();
        let mut arguments = vec![&*number_text, &seed, &epoch];
        arguments.extend(places.iter().map(String::as_str));
        let mut command = crate::child("soak", role, arguments);
        // glibc then returns freed memory to the system at once, so that growth means a leak.
        command.env("MALLOC_MMAP_THRESHOLD_", "65536").env("MALLOC_TRIM_THRESHOLD_", "65536");
        let mut peer = Peer::start(&mut command).expect("start a process");
        let (output, reports) = (peer.take_output().expect("its output"), self.reports.clone());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                hear(&mut reports.lock().unwrap_or_else(PoisonError::into_inner), number, &line);
            }
        });
        self.reports().heard.insert(number, Instant::now());
        peer
    }

    /// Kills a process that does not stay, and starts a successor.
    fn kill_one(&mut self) {
        let among = |random: &mut Random, from: usize, to: usize| {
            from + random.below((to - from) as u64) as usize
        };
        let copiers = self.processes - COPIERS;
        let number = if self.random.below(2) == 0 {
            among(&mut self.random, copiers, self.processes)
        } else {
            among(&mut self.random, self.stayers, copiers)
        };
        self.peers[number].kill();
        self.peers[number] = self.start(number);
    }

    /// Brings all processes to rest; returns their samples.
    fn pause(&mut self) -> HashMap<usize, Sample> {
        self.reports().paused.clear();
        for peer in &mut self.peers {
            peer.send_line("pause");
        }
        let began = Instant::now();
        loop {
            let mut reports = self.reports();
            if reports.paused.len() == self.peers.len() || !reports.wrong.is_empty() {
                return std::mem::take(&mut reports.paused);
            }
            if began.elapsed() > LIMIT * 4 {
                let missing =
                    (0..self.peers.len()).find(|number| !reports.paused.contains_key(number));
                reports.wrong.push(format!("process {missing:?} does not come to rest"));
            }
            drop(reports);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn go_on(&mut self) {
        let epoch = self.epoch;
        let mut reports = self.reports();
        reports.heard.values_mut().for_each(|heard| *heard = Instant::now());
        (reports.epoch, reports.added) = (epoch, [0; 2]);
        drop(reports);
        for peer in &mut self.peers {
            peer.send_line(&format!("go {epoch}"));
        }
    }
}

fn hear(reports: &mut Reports, number: usize, line: &str) {
    reports.heard.insert(number, Instant::now());
    let mut words = line.split(' ');
    match words.next() {
        Some("round") => {
            let mut next = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            reports.attaches += next();
            reports.operations += next();
            reports.slowest = reports.slowest.max(next());
            if next() == reports.epoch {
                reports.added[0] += next();
                reports.added[1] += next();
            }
        }
        Some("paused") => drop(reports.paused.insert(number, Sample::of(words))),
        _ => reports.wrong.push(format!("process {number}: {line}")),
    }
}

/// Sets the variables that the processes start from.
fn prepare(map: &Map, epoch: u64) -> Result<(), mapvar::Error> {
    map.transaction(|tx| (0..8).try_for_each(|at| tx.set(&format!("a{at}"), SUM / 8)))?;
    map.set("tick", 0_u64)?;
    map.set("epoch", epoch)
}

/// Removes everything; returns how many bytes are still in use.
fn clear(map: &Map) -> Result<u64, mapvar::Error> {
    map.clear()?;
    if !map.stat()?.file {
        overfill(map, NAMED_MAX);
    }
    empty(map)?;
    Ok(map.stat()?.used)
}

pub(crate) fn run(options: &Options) -> ExitCode {
    watch(Duration::from_mins(2), clean_up);
    let Options { minutes, seeded: Seeded { short, seed }, processes } = *options;
    let processes = processes.max(4);
    let length = Duration::from_secs(if short { 8 } else { minutes * 60 });
    let samples = if short { 10 } else { (minutes as usize * 4).clamp(16, 240) };
    println!("soak: {processes} processes for {length:?}, --seed {seed}");
    let name = unique("soak");
    let folder = Folder::quick("soak").expect("a folder");
    let places = vec![Place::Name(name.clone()), Place::File(folder.join("soak.map"))];
    let maps: Vec<Map> = places
        .iter()
        .map(|place| {
            let most = if place.is_file() { 512 << 20 } else { NAMED_MAX };
            let options = place.options().size(64 << 10).max_size(most as u64).timeout(LIMIT);
            options.create().expect("a map")
        })
        .collect();
    for map in &maps {
        prepare(map, 1).expect("variables");
    }
    let mut crew = Crew {
        places,
        reports: Arc::default(),
        peers: Vec::new(),
        processes,
        stayers: processes / 4,
        epoch: 1,
        random: Random::new(seed),
    };
    for number in 0..processes {
        let peer = crew.start(number);
        crew.peers.push(peer);
    }
    crew.reports().epoch = 1;
    let mut drift = Drift::default();
    let (mut kills, mut tick) = (0_u64, 0_u64);
    for sample in 0..samples {
        let began = Instant::now();
        let mut next_kill = Instant::now();
        while began.elapsed() < length / samples as u32 && crew.reports().wrong.is_empty() {
            doing(format!("sample {sample}, kill {kills}"));
            tick += 1;
            for map in &maps {
                if let Err(error) = map.set("tick", tick) {
                    crew.reports().wrong.push(format!("tick: {error}"));
                }
            }
            if Instant::now() >= next_kill {
                crew.kill_one();
                kills += 1;
                // The pause is between 0.5 and 1.5 times the mean.
                let mean = 1_000_000 / KILLS;
                let pause = u64::from(mean / 2) + crew.random.below(mean.into());
                next_kill += Duration::from_micros(pause);
            }
            let mut reports = crew.reports();
            let silent = reports.heard.iter().find(|(_, heard)| heard.elapsed() > LIMIT * 4);
            if let Some(number) = silent.map(|(number, _)| *number) {
                reports.wrong.push(format!("process {number} hangs: no word for {:?}", LIMIT * 4));
            }
            drop(reports);
            std::thread::sleep(Duration::from_millis(10));
        }
        doing(format!("pause {sample}"));
        let children = crew.pause();
        if !crew.reports().wrong.is_empty() {
            break;
        }
        let figures = at_rest(&crew, &maps, &folder, &name, children);
        match figures {
            Ok(figures) => drift.note(figures, crew.stayers),
            Err(wrong) => crew.reports().wrong.push(wrong),
        }
        crew.epoch += 1;
        for map in &maps {
            if let Err(error) = prepare(map, crew.epoch) {
                crew.reports().wrong.push(format!("at rest: {error}"));
            }
        }
        crew.go_on();
    }
    let mut wrong = end(crew, maps, &folder, &name, kills, options);
    wrong.extend(drift.judge());
    drop(folder);
    for what in &wrong {
        println!("WRONG: {what}");
    }
    if !wrong.is_empty() {
        remove_objects(&name);
        println!("{} things are wrong; the same again: --seed {seed}", wrong.len());
    }
    verdict(wrong.is_empty())
}

/// Takes the figures while all processes are at rest.
fn at_rest(
    crew: &Crew,
    maps: &[Map],
    folder: &Folder,
    name: &str,
    children: HashMap<usize, Sample>,
) -> Result<drift::Figures, String> {
    let with_context = |error: mapvar::Error| format!("at rest: {error}");
    let mut figures = drift::Figures { children, ..drift::Figures::default() };
    let added = crew.reports().added;
    for ((map, place), added) in maps.iter().zip(&crew.places).zip(added) {
        // A killed process did not report its last increments.
        let count = map.find::<u64>("count").map_err(with_context)?.unwrap_or(0);
        if count < added {
            return Err(format!("{added} were added to an Atomic, and it says {count}"));
        }
        let sum = (0..8).try_fold(0, |sum, at| Ok(sum + map.get::<i64>(&format!("a{at}"))?));
        if sum.map_err(with_context)? != SUM {
            return Err("a transaction was torn: the sum is another".into());
        }
        if place.is_file() {
            figures.region = map.stat().map_err(with_context)?.region;
        }
        let used = clear(map).map_err(with_context)?;
        *(if place.is_file() { &mut figures.unswept } else { &mut figures.used }) = used;
        let region = Region::open(place).map_err(with_context)?;
        // The seats of the processes that keep the map open, if they ever needed one, and our own.
        // The seat of a process killed just now comes free when the system has cleaned up.
        let theirs = crew.stayers.div_ceil(2) + 1;
        figures.seats += region.seats_beyond(theirs).map_err(with_context)? as u64;
    }
    let entries = fs::read_dir(folder.path()).map_err(|error| error.to_string())?;
    if !objects(&format!("{name}.k")).is_empty() {
        return Err("a name is left behind, and none of its users was killed".into());
    }
    figures.files = objects(name).len() as u64 + entries.count() as u64;
    Ok(figures)
}

/// Ends all processes, and verifies that nothing is left.
fn end(
    mut crew: Crew,
    maps: Vec<Map>,
    folder: &Folder,
    name: &str,
    kills: u64,
    options: &Options,
) -> Vec<String> {
    doing("the end");
    let mut wrong = std::mem::take(&mut crew.reports().wrong);
    if !wrong.is_empty() {
        crew.peers.clear();
        return wrong;
    }
    let peers = std::mem::take(&mut crew.peers);
    let count = peers.len();
    for (number, mut peer) in peers.into_iter().enumerate() {
        if !peer.finish() {
            wrong.push(format!("process {number} failed"));
        }
    }
    wrong.append(&mut crew.reports().wrong);
    let mut notes = 0;
    for (map, place) in maps.into_iter().zip(&crew.places) {
        let mut left = || -> Result<u64, mapvar::Error> {
            clear(&map)?;
            // The value does not fit, so the engine reclaims all that no process owns.
            let full = map.set("beyond", vec![0_u8; 600 << 20]).err().map(|error| error.kind());
            if !matches!(full, Some(ErrorKind::Full | ErrorKind::TooLarge | ErrorKind::NoSpace)) {
                wrong.push(format!("a map took more than it may have: {full:?}"));
            }
            clear(&map)
        };
        match left() {
            // The record of the Atomic, which is kept for one of its name; and that of "flushed",
            // until another flush has made its removal durable.
            Ok(used) if used <= if place.is_file() { 1_000 } else { 192 } => {}
            other => wrong.push(format!("{other:?} bytes are taken by nobody in {}", place.text())),
        }
        match map.check() {
            Ok(check) if check.is_whole() => notes += check.notes(),
            other => wrong.push(format!("check of {}: {other:?}", place.text())),
        }
        if let Err(error) = map.close() {
            wrong.push(error.to_string());
        }
    }
    if !objects(&format!("{name}.map")).is_empty() {
        wrong.push("the name is left behind by its last user".into());
    }
    // The next open of a passing name removes what killed processes left under it.
    for number in 0..PASSING {
        let passing = Place::Name(format!("{name}.t{number}"));
        match passing.options().open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => wrong.push(format!("{} has users: {other:?}", passing.text())),
        }
    }
    let left = objects(name).len();
    if left > 0 {
        wrong.push(format!("{left} objects are left"));
    }
    for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_map = entry.path().extension().is_some_and(|end| end == "map");
        // On Windows a killed creator leaves its file (docs/PLATFORM.md).
        if !is_map && !name.starts_with(".mapvar-") {
            wrong.push(format!("{name} is left in the folder"));
        }
    }
    let reports = crew.reports();
    println!(
        "{} operations, the slowest {:.1} ms; at the end {notes} notes of the check",
        reports.operations,
        reports.slowest as f64 / 1000.0
    );
    let length = if options.seeded.short { "0.1".into() } else { options.minutes.to_string() };
    figure(
        &format!("soak{}", system()),
        format!(
            "{length} min, {count} processes, {kills} kills, {} attaches, {} operations, {} hung",
            reports.attaches,
            reports.operations,
            u64::from(reports.slowest > LIMIT.as_micros() as u64)
        ),
        "0 hung",
    );
    drop(reports);
    wrong
}
