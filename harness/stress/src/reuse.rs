//! Process and thread numbers that are used again.
//!
//! The owner of something dies. Before any other process has checked for it, a new process gets its
//! number. Then a third process must get what the dead one owned: the dead process must not pass
//! for a living one. When the new process owns the same thing itself, no process may take it away:
//! the living process must not pass for the dead one with its number.

use crate::{
    Seeded, clean_up,
    region::{LIMIT, Place, Region, SEATS, at, empty, objects, overfill, remove_objects},
    verdict,
};
use mapvar::{ErrorKind, Map};
use mapvar_harness::{
    Folder, Random, SKIPPED, figure,
    peer::{Peer, read_order, say},
    percentiles, system, unique,
    watchdog::{doing, done_last, watch},
};
use mapvar_os::{Attach, Attachment, Seat, Seats, Taken};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// The timeout of an attempt at what a living process owns.
const BRIEF: Duration = Duration::from_millis(5);
/// The run stops after so many errors.
const ENOUGH: usize = 3;
/// Bytes of the variable whose value is pinned; it lies in an extent that sets reuse in place.
const LARGE: usize = 20_000;

/// What a process owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The structure lock.
    Structure,
    /// The commit lock.
    Transactions,
    /// A record's lock.
    Record,
    /// A record's lock, owned by a second thread whose number a process then gets.
    ThreadsRecord,
    /// The gate of a file, held by a handle that is still open.
    Gate,
    /// The flush lock, which a seat represents.
    Flush,
    /// A reader's pin of a value, which a seat represents.
    Pin,
    /// Nothing for certain: the process is killed while it copies large values.
    Copy,
}

const KINDS: [Kind; 8] = [
    Kind::Structure,
    Kind::Transactions,
    Kind::Record,
    Kind::ThreadsRecord,
    Kind::Gate,
    Kind::Flush,
    Kind::Pin,
    Kind::Copy,
];

impl Kind {
    fn of(text: &str) -> Self {
        *KINDS.iter().find(|kind| format!("{kind:?}") == text).expect("a kind")
    }

    /// Returns whether the kind applies: the gate and the flush lock need a file; a pinned value is
    /// reclaimed at once only without one.
    fn is_for(self, place: &Place) -> bool {
        match self {
            Self::Gate | Self::Flush => place.is_file(),
            Self::Pin => !place.is_file(),
            _ => true,
        }
    }

    fn lock(self, region: &Region) -> Option<usize> {
        match self {
            Self::Structure => Some(at::L),
            Self::Transactions => Some(at::T),
            Self::Record | Self::ThreadsRecord => {
                Some(region.record("held").expect("a record") + 8)
            }
            _ => None,
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds: 1,000, or 14 under Wine
    rounds: Option<u64>,
    #[command(flatten)]
    seeded: Seeded,
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    match words {
        ["hold", kind, place] => hold(Kind::of(kind), &Place::of(place)),
        ["again", variant, place] => again(variant, &Place::of(place)),
        other => panic!("no role {other:?}"),
    }
    ExitCode::SUCCESS
}

// --- In the children -----------------------------------------------------------------------------

/// What this process owns in a region.
enum Held<'a> {
    Lock(&'a Region, usize),
    Gate(#[allow(dead_code, reason = "dropped to give it back")] Attachment),
    Seat(&'a Region, Seat, u64),
}

fn take(kind: Kind, region: &Region) -> Held<'_> {
    if let Some(word) = kind.lock(region) {
        match region.locks.lock(&region.view, word, LIMIT) {
            Ok(Taken::Clean | Taken::Recovered) => return Held::Lock(region, word),
            Err(refused) => panic!("{kind:?}: {refused:?}"),
        }
    }
    match kind {
        Kind::Gate => Held::Gate(region.section.attach(LIMIT).expect("the gate")),
        Kind::Flush | Kind::Pin => {
            // The same steps as the engine's (docs/FORMAT.md, Participants).
            let seat = region.section.take_seat(region.scope, &region.id, SEATS).expect("a seat");
            let token =
                (seat.slot() as u64) << 56 | u64::from(std::process::id()) << 8 | fresh() << 40 | 1;
            let words = at::PARTICIPANTS + 64 * seat.slot();
            region.set_word(words + 56, 0);
            region.set_word(words + 40, token);
            if cfg!(unix) {
                // On Unix no code reads this word; the planted bug `seat-by-number` would trust it.
                region.set_word(words + 8, std::process::id().into());
            }
            if kind == Kind::Flush {
                region.set_word(at::FLUSHER, token);
                return Held::Seat(region, seat, token);
            }
            let pinned = region.extent("large").expect("a value in an extent");
            let bits = at::PINS + seat.slot() / 64 * 8;
            region.set_word(bits, region.word(bits) | 1 << (seat.slot() % 64));
            region.set_word(words + 56, pinned as u64);
            Held::Seat(region, seat, region.word(pinned))
        }
        _ => unreachable!("no {kind:?}"),
    }
}

/// Returns a few bits that differ from the previous owner's.
fn fresh() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    u64::from(since.expect("a clock").subsec_nanos() & 0xffff)
}

impl Held<'_> {
    /// Returns whether this process still owns it, by the words of the region.
    fn is_mine(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Lock(region, word) => {
                let word = (region.word(word & !7) >> (8 * (word & 7))) as u32;
                word & 0x3fff_ffff == crate::unix::thread_number() as u32
            }
            #[cfg(not(target_os = "linux"))]
            Self::Lock(..) => true,
            Self::Gate(_) => true,
            Self::Seat(region, seat, value) => {
                let pin = region.word(at::PARTICIPANTS + 64 * seat.slot() + 56);
                // The pinned extent is unchanged, or this process is still the flusher.
                let place = if pin == 0 { at::FLUSHER } else { pin as usize };
                region.word(place) == *value
            }
        }
    }

    fn release(self) {
        match self {
            Self::Lock(region, word) => region.locks.unlock(&region.view, word),
            Self::Gate(_) => {}
            Self::Seat(region, seat, token) => {
                region.set_word(at::PARTICIPANTS + 64 * seat.slot() + 56, 0);
                if region.word(at::FLUSHER) == token {
                    region.set_word(at::FLUSHER, 0);
                }
            }
        }
    }
}

/// The process that is killed: it acquires its object, and prints its number.
fn hold(kind: Kind, place: &Place) {
    if kind == Kind::Copy {
        let map = place.options().open().expect("the map");
        say(std::process::id());
        for round in 0_u64.. {
            map.set("copied", vec![round as u8; 2 << 20]).expect("a large value");
        }
    }
    let region = Region::open(place).expect("the region");
    if kind == Kind::ThreadsRecord {
        let taker = std::thread::spawn(move || {
            let _held = take(kind, &region);
            say(this_thread());
            std::thread::sleep(Duration::from_hours(1));
        });
        let _ = read_order();
        drop(taker);
        return;
    }
    let _held = take(kind, &region);
    say(std::process::id());
    let _ = read_order();
}

#[cfg(target_os = "linux")]
fn this_thread() -> u32 {
    crate::unix::thread_number() as u32
}

#[cfg(windows)]
fn this_thread() -> u32 {
    crate::windows::thread_number()
}

#[cfg(not(any(target_os = "linux", windows)))]
fn this_thread() -> u32 {
    0
}

/// The process that gets the number again. It either has the map open and a seat of its own, most
/// likely the dead process's, or neither.
fn again(variant: &str, place: &Place) {
    let map = (variant == "open").then(|| place.options().timeout(LIMIT).open().expect("the map"));
    if let Some(map) = &map {
        map.set("new", vec![7_u8; 30_000]).expect("a value that takes a seat");
    }
    say(std::process::id());
    let order = read_order();
    let Some((kind, place)) = order.strip_prefix("take ").and_then(|what| what.split_once(' '))
    else {
        return;
    };
    let (kind, place) = (Kind::of(kind), Place::of(place));
    let region = Region::open(&place).expect("the region");
    let held = take(kind, &region);
    // Closing a second handle of the same map must not release what the first one owns.
    if kind != Kind::Gate {
        drop(place.options().read_only(true).open().expect("a second handle"));
    }
    say("taken");
    let _ = read_order();
    say(if held.is_mine() { "mine" } else { "LOST" });
    let _ = read_order();
    held.release();
    say("released");
    let _ = read_order();
}

// --- In the first process ------------------------------------------------------------------------

struct Maps {
    place: Place,
    patient: Map,
    brief: Map,
}

impl Maps {
    fn make(place: Place) -> Result<Self, mapvar::Error> {
        let patient = place.options().size(1 << 20).max_size(64 << 20).timeout(LIMIT).create()?;
        patient.set("held", vec![0_u8; 40])?;
        patient.set("large", vec![0_u8; LARGE])?;
        let brief = place.options().timeout(BRIEF).open()?;
        // Both handles have their seats from now on.
        brief.set("large", vec![1_u8; LARGE])?;
        patient.set("large", vec![2_u8; LARGE])?;
        if place.is_file() {
            patient.flush()?;
            brief.flush()?;
        }
        Ok(Self { place, patient, brief })
    }

    /// Does an operation that needs the object, by the handle with the long timeout (`patiently`)
    /// or the short one.
    fn attempt(&self, kind: Kind, patiently: bool, round: u64) -> Result<(), mapvar::Error> {
        let map = if patiently { &self.patient } else { &self.brief };
        match kind {
            Kind::Structure => {
                let name = format!("n{round}");
                map.set(&name, round)?;
                map.remove(&name)?;
                Ok(())
            }
            Kind::Transactions => map.transaction(|tx| {
                tx.set("t1", round)?;
                tx.set("t2", round)
            }),
            Kind::Record | Kind::ThreadsRecord => map.set("held", vec![round as u8; 40]),
            Kind::Gate => {
                let timeout = if patiently { LIMIT } else { BRIEF };
                self.place.options().timeout(timeout).open().map(drop)
            }
            Kind::Flush => {
                map.set("t1", round)?;
                map.flush()
            }
            Kind::Pin | Kind::Copy => {
                for stamp in 0..6_u64 {
                    map.set("large", vec![(round + stamp) as u8; LARGE])?;
                }
                Ok(())
            }
        }
    }
}

#[derive(Default)]
struct Tally {
    rounds: u64,
    /// How often a dead process was taken for a living one.
    dead_alive: u64,
    /// How often a living process was taken for a dead one.
    alive_dead: u64,
    /// How often a third process got the number first.
    missed: u64,
    waits: Vec<Duration>,
    wrong: Vec<String>,
}

impl Tally {
    fn wrong(&mut self, what: String) {
        println!("WRONG: {what} [{}]", done_last());
        self.wrong.push(what);
    }
}

/// Starts an owner and kills it; returns its number.
fn die(maps: &Maps, kind: Kind, round: u64, random: &mut Random, tally: &mut Tally) -> u32 {
    let mut holder = start("hold", &[&format!("{kind:?}"), &maps.place.text()]);
    let number = holder.hear().and_then(|number| number.parse().ok()).expect("a holder");
    match kind {
        Kind::Copy => std::thread::sleep(Duration::from_micros(random.below(3_000))),
        // A pin blocks no operation; it only keeps an extent from being freed.
        Kind::Pin => {}
        _ => match maps.attempt(kind, false, round) {
            Err(error) if is_refusal(&error) => {}
            other => tally.wrong(format!("{kind:?} is not held: {other:?}")),
        },
    }
    holder.kill();
    number
}

#[cfg(target_os = "linux")]
fn start(role: &str, arguments: &[&str]) -> Peer {
    clone(role, arguments, None).expect("start")
}

/// Starts a process, with this number if one is given.
#[cfg(target_os = "linux")]
fn clone(role: &str, arguments: &[&str], pid: Option<u32>) -> std::io::Result<Peer> {
    let words = [&["reuse", "as", role], arguments].concat();
    crate::unix::start_as(&words, pid.map(u32::cast_signed))
}

#[cfg(not(target_os = "linux"))]
fn start(role: &str, arguments: &[&str]) -> Peer {
    Peer::start(&mut crate::child("reuse", role, arguments.iter().copied())).expect("start")
}

fn is_refusal(error: &mapvar::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Contended)
}

/// Runs one round: `second` has the number of a dead owner, and no process has checked for the dead
/// one yet.
fn check_round(maps: &Maps, kind: Kind, round: u64, second: &mut Peer, tally: &mut Tally) {
    let began = Instant::now();
    if let Err(error) = maps.attempt(kind, true, round) {
        tally.dead_alive += 1;
        tally.wrong(format!("what a dead one held is not to be had: {error}"));
    } else {
        tally.waits.push(began.elapsed());
    }
    if kind == Kind::Copy {
        return;
    }
    second.send_line(&format!("take {kind:?} {}", maps.place.text()));
    if second.hear().as_deref() != Some("taken") {
        return tally.wrong("the second process cannot take it".into());
    }
    match (kind, maps.attempt(kind, false, round)) {
        (Kind::Pin, Ok(())) => {}
        (kind, Err(error)) if kind != Kind::Pin && is_refusal(&error) => {}
        (_, Ok(())) => {
            tally.alive_dead += 1;
            tally.wrong("what a living one holds was to be had".into());
        }
        (_, Err(error)) => tally.wrong(error.to_string()),
    }
    second.send_line("still?");
    if second.hear().as_deref() != Some("mine") {
        tally.alive_dead += 1;
        tally.wrong("the lock of a living owner was taken".into());
    }
    second.send_line("release");
    if second.hear().as_deref() != Some("released") {
        tally.wrong("the second process cannot give it back".into());
    }
    if let Err(error) = maps.attempt(kind, true, round) {
        tally.wrong(format!("what was given back is not to be had: {error}"));
    }
}

/// Verifies that no process has left anything behind.
fn at_the_end(maps: Maps, tally: &mut Tally) {
    let Maps { place, patient, brief } = maps;
    drop(brief);
    doing("the end");
    let region = Region::open(&place).expect("the region");
    // The dead processes' seats come free when the system has closed their files.
    let more = region.seats_beyond(1).expect("seats");
    if more > 0 {
        tally.wrong(format!("{more} seats are taken beside ours"));
    }
    drop(region);
    let end = || -> Result<u64, mapvar::Error> {
        empty(&patient)?;
        overfill(&patient, 64 << 20);
        Ok(patient.stat()?.used)
    };
    match end() {
        // The space of one record that waits for another flush, and that of "flushed".
        Ok(used) if used <= if place.is_file() { 40_000 } else { 0 } => {}
        other => tally.wrong(format!("{other:?} bytes are taken by nobody in {}", place.text())),
    }
    match patient.check() {
        Ok(check) if check.is_whole() => {}
        other => tally.wrong(format!("check: {other:?}")),
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    watch(Duration::from_mins(1), clean_up);
    let Seeded { short, seed } = options.seeded;
    let rounds = options.rounds.unwrap_or(if short { 100 } else { default_rounds() });
    println!("reuse: {rounds} rounds, --seed {seed}");
    let mut random = Random::new(seed);
    if !can_choose() {
        println!(
            "SKIPPED: process numbers cannot be chosen here (Linux, clone3 with set_tid, as root)"
        );
        return ExitCode::from(SKIPPED);
    }
    let folder = Folder::quick("reuse").expect("a folder");
    let name = unique("reuse");
    // Where numbers cannot be chosen, many owners' numbers are awaited at once, each in its own
    // map.
    let copies = if cfg!(windows) { KINDS.len() } else { 1 };
    let maps: Result<Vec<Maps>, _> = (0..copies)
        .flat_map(|number| {
            let file = folder.join(format!("{number}.map"));
            [Place::Name(format!("{name}.{number}")), Place::File(file)].map(Maps::make)
        })
        .collect();
    let mut tally = Tally::default();
    match maps {
        Ok(maps) => {
            all_rounds(&maps, rounds, &mut random, &mut tally);
            for maps in maps {
                at_the_end(maps, &mut tally);
            }
        }
        Err(error) => tally.wrong(format!("no map to begin with: {error}")),
    }
    if cfg!(unix) && !objects(&name).is_empty() {
        tally.wrong("the name is left".into());
    }
    drop(folder);
    tally.waits.sort();
    let [p50, p99, most] = percentiles(&tally.waits);
    println!(
        "what the dead held was had after p50 {p50:?}, p99 {p99:?}, max {most:?}; {} numbers went to others",
        tally.missed
    );
    figure(
        &format!(
            "process numbers {}{}",
            if cfg!(windows) { "that came back" } else { "forced to come back" },
            system()
        ),
        format!(
            "{}, {} dead taken for living, {} living taken for dead",
            tally.rounds, tally.dead_alive, tally.alive_dead
        ),
        "all 0",
    );
    if !tally.wrong.is_empty() {
        remove_objects(&name);
        println!(
            "{} things are wrong; the same again: --seed {} {rounds}",
            tally.wrong.len(),
            seed
        );
    }
    verdict(tally.wrong.is_empty())
}

const fn default_rounds() -> u64 {
    if cfg!(windows) { 14 } else { 1_000 }
}

#[cfg(target_os = "linux")]
fn can_choose() -> bool {
    let mut first = start("again", &["bare", "x"]);
    let _ = first.hear();
    first.kill();
    clone("again", &["bare", "x"], Some(first.pid)).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn can_choose() -> bool {
    cfg!(windows)
}

/// Requests each number from the kernel.
#[cfg(target_os = "linux")]
fn all_rounds(maps: &[Maps], rounds: u64, random: &mut Random, tally: &mut Tally) {
    let mut round = 0;
    while tally.rounds < rounds && tally.wrong.len() < ENOUGH {
        round += 1;
        let kind = KINDS[(round % KINDS.len() as u64) as usize];
        let maps = &maps[(round / KINDS.len() as u64 % 2) as usize];
        if !kind.is_for(&maps.place) {
            continue;
        }
        let variant = if random.below(2) == 0 { "open" } else { "bare" };
        doing(format!("round {round}, {kind:?}, {}, {variant}", maps.place.text()));
        let number = die(maps, kind, round, random, tally);
        let arguments = [variant, &maps.place.text()];
        let Some(mut second) = start_as(&arguments, number) else {
            tally.missed += 1;
            continue;
        };
        tally.rounds += 1;
        if let Some(said) = second.hear() {
            assert_eq!(said, number.to_string(), "the number asked for");
        } else {
            // It could not so much as open the map and write to it.
            tally.dead_alive += 1;
            tally.wrong("who has the number again cannot write".into());
            continue;
        }
        check_round(maps, kind, round, &mut second, tally);
        if round % 2 == 0 {
            second.kill();
        } else if !second.finish() {
            tally.wrong("the second process failed".into());
        }
    }
}

/// Returns `None` if another process has the number.
#[cfg(target_os = "linux")]
fn start_as(arguments: &[&str], number: u32) -> Option<Peer> {
    const EEXIST: i32 = 17;
    for _ in 0..100 {
        match clone("again", arguments, Some(number)) {
            Ok(second) => return Some(second),
            // The dead process may keep the number a moment longer, while another process has its
            // /proc entry open.
            Err(error) if error.raw_os_error() == Some(EEXIST) => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(error) => panic!("{error}"),
        }
    }
    None
}

/// The system reuses numbers after some hundreds of processes. So many owners die at once, and the
/// new process that gets one of their numbers stays.
#[cfg(not(target_os = "linux"))]
fn all_rounds(maps: &[Maps], rounds: u64, random: &mut Random, tally: &mut Tally) {
    let mut round = 0;
    while tally.rounds < rounds && tally.wrong.len() < ENOUGH {
        let mut waiting = std::collections::HashMap::new();
        for (number, maps) in maps.iter().enumerate() {
            let kind = KINDS[number / 2];
            if kind.is_for(&maps.place) {
                round += 1;
                doing(format!("round {round}, {kind:?}, {}", maps.place.text()));
                let number = die(maps, kind, round, random, tally);
                waiting.insert(number, (maps, kind));
            }
        }
        for started in 0..3_000 {
            if waiting.is_empty() || tally.rounds >= rounds {
                break;
            }
            doing(format!("process {started}, until {} numbers come back", waiting.len()));
            let mut second = start("again", &["bare", "x"]);
            let pid = second.hear().and_then(|pid| pid.parse().ok()).expect("a process");
            let Some((maps, kind)) = waiting.remove(&pid) else {
                second.send_line("end");
                second.finish();
                continue;
            };
            round += 1;
            tally.rounds += 1;
            doing(format!("round {round}, {kind:?}, {}, came back", maps.place.text()));
            check_round(maps, kind, round, &mut second, tally);
            second.kill();
        }
        if tally.rounds < rounds {
            tally.missed += waiting.len() as u64;
        }
    }
}
