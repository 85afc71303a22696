//! Processes of 32 and of 64 bits on one map. `--other` is this program, built for the other width.
//!
//! On each map (one with a name, one in a file) two processes of each width work until the end,
//! while others are killed in turns. A worker writes a line after each step, so the parent counts
//! outside the map's memory what the steps must have left in it. At the end a process of each width
//! reads the map. A last round is a control: one worker reports steps that it has not made.

use mapvar::{Map, MapOptions};
use mapvar_harness::{
    Folder, Random, figure,
    peer::{self, Peer, say},
    unique, watchdog,
};
use std::{
    error::Error,
    io::BufRead as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// This program, built for the other width
    #[arg(long)]
    other: PathBuf,
    /// How many processes are killed on each map
    #[arg(default_value_t = 60)]
    kills: u64,
    #[command(flatten)]
    seeded: crate::Seeded,
}

/// Bytes of the shortest large value.
const LARGE: usize = 72_000;
/// A step that a worker reports and does not make, in the control.
const NOT_MADE: u64 = 3;

pub(crate) fn run(options: &Options) -> ExitCode {
    watchdog::watch(Duration::from_mins(2), crate::clean_up);
    println!("seed {}", options.seeded.seed);
    let kills = if options.seeded.short { 8 } else { options.kills };
    let done = all(options, kills);
    if let Err(error) = &done {
        println!("WRONG: {error}");
    }
    crate::verdict(done.is_ok())
}

fn all(options: &Options, kills: u64) -> Result<()> {
    let this = std::env::current_exe()?;
    let programs = [this.as_path(), options.other.as_path()];
    let widths = programs.map(width_of);
    let [one, other] = widths;
    let (one, other) = (one?, other?);
    if one == other {
        return Err(format!("{} has {one} bits too", options.other.display()).into());
    }
    let mut random = Random::new(options.seeded.seed);
    let folder = Folder::new("mixed")?;
    for (what, place) in [
        ("by name", unique("mixed")),
        ("in a file", folder.join("mixed.map").to_string_lossy().into_owned()),
    ] {
        let round = Round { programs, place: &place, kills, planted: false };
        let steps = round.play(&mut random)?;
        let what = format!("{one} and {other} bits on a map {what}");
        figure(&format!("{what}, steps"), steps, "");
        figure(&format!("{what}, killed"), kills, "");
    }
    let place = unique("mixed");
    let control = Round { programs, place: &place, kills: 0, planted: true };
    let found = control.play(&mut random).is_err();
    figure("32 and 64 bits, control: a lost step is found", found, "true");
    if found {
        Ok(())
    } else {
        Err("a worker reports steps that it has not made, unnoticed".into())
    }
}

/// Asks a program how many bits its addresses have.
fn width_of(program: &Path) -> Result<u32> {
    let mut peer = Peer::start(Command::new(program).args(["mixed", "as", "width"]))?;
    let width = peer.hear().ok_or_else(|| format!("{} does not run", program.display()))?;
    Ok(width.parse()?)
}

struct Round<'a> {
    programs: [&'a Path; 2],
    place: &'a str,
    kills: u64,
    /// Whether a worker reports a step that it has not made.
    planted: bool,
}

/// A worker, and the number of steps that it has reported.
struct Worker {
    peer: Peer,
    steps: Arc<AtomicU64>,
    reader: JoinHandle<Option<String>>,
}

impl Round<'_> {
    /// Returns the number of all reported steps.
    fn play(&self, random: &mut Random) -> Result<u64> {
        let map = options(self.place).create()?;
        let mut made = Vec::new();
        let mut lasting = Vec::new();
        for (at, program) in self.programs.iter().cycle().take(4).enumerate() {
            let planted = self.planted && at == 1;
            lasting.push(self.start(program, at as u64, planted)?);
        }
        for (kill, program) in (0..self.kills).zip(self.programs.iter().cycle()) {
            watchdog::doing(format!("kill {kill}"));
            let worker = self.start(program, 4 + kill, false)?;
            // A program takes a while to start.
            while worker.steps.load(Relaxed) == 0 && !worker.reader.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_micros(random.below(20_000)));
            let Worker { mut peer, steps, reader } = worker;
            peer.kill();
            if let Ok(Some(wrong)) = reader.join() {
                return Err(wrong.into());
            }
            made.push(steps.load(Relaxed));
        }
        watchdog::doing("the lasting workers");
        while lasting.iter().any(|it| it.steps.load(Relaxed) < 50 && !it.reader.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
        let mut exact = Vec::new();
        for Worker { mut peer, steps, reader } in lasting {
            let ended_well = peer.finish();
            if let Ok(Some(wrong)) = reader.join() {
                return Err(wrong.into());
            }
            if !ended_well {
                return Err("a worker that nobody killed has failed".into());
            }
            exact.push(steps.load(Relaxed));
        }
        for program in self.programs {
            self.verify(program, &exact, &made)?;
        }
        map.close()?;
        Ok(exact.iter().chain(&made).sum())
    }

    fn start(&self, program: &Path, id: u64, planted: bool) -> Result<Worker> {
        let mut command = Command::new(program);
        command.args(["mixed", "as", "worker", self.place, &id.to_string(), &planted.to_string()]);
        let mut peer = Peer::start(&mut command)?;
        let output = peer.take_output().ok_or("a worker has no output")?;
        let steps = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&steps);
        // Reads the lines, and returns one that reports a fault.
        let reader = thread::spawn(move || {
            for line in output.lines().map_while(std::result::Result::ok) {
                match line.trim_end().strip_prefix("step ").and_then(|it| it.parse().ok()) {
                    Some(step) => {
                        counter.store(step, Relaxed);
                        watchdog::step();
                    }
                    None => return Some(line),
                }
            }
            None
        });
        Ok(Worker { peer, steps, reader })
    }

    /// Has a program read the map, and compares what it finds with the steps that were reported.
    fn verify(&self, program: &Path, exact: &[u64], killed: &[u64]) -> Result<()> {
        let workers = (exact.len() + killed.len()).to_string();
        let mut command = Command::new(program);
        let mut peer = Peer::start(command.args(["mixed", "as", "reader", self.place, &workers]))?;
        let line = peer.hear().unwrap_or_default();
        let numbers: Option<Vec<u64>> =
            line.split_whitespace().map(|word| word.parse().ok()).collect();
        let Some([atomic, locked, total, own @ ..]) = numbers.as_deref() else {
            return Err(format!("{} reads {line:?}", program.display()).into());
        };
        let reported: u64 = exact.iter().chain(killed).sum();
        // A killed worker may have made a part of a step that it did not report.
        let possible = reported..=reported + killed.len() as u64;
        for (what, found) in [("atomic", atomic), ("locked", locked), ("total", total)] {
            if !possible.contains(found) {
                let text = format!("{what} is {found}, and {reported} steps were reported");
                return Err(text.into());
            }
        }
        if own.iter().sum::<u64>() != *total {
            return Err(format!("a transaction was torn: {total} in all, and {own:?}").into());
        }
        let reported = exact.iter().map(|it| (it, 0)).chain(killed.iter().map(|it| (it, 1)));
        for ((steps, more), own) in reported.zip(own) {
            if !(*steps..=*steps + more).contains(own) {
                return Err(format!("a worker reported {steps} steps and made {own}").into());
            }
        }
        Ok(())
    }
}

fn options(place: &str) -> MapOptions {
    let timeout = Duration::from_mins(1);
    if Path::new(place).is_absolute() {
        Map::options().file(place).size(1 << 20).timeout(timeout)
    } else {
        Map::options().name(place).size(4 << 20).timeout(timeout)
    }
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    let done = match words {
        ["width"] => {
            say(usize::BITS);
            Ok(())
        }
        ["worker", place, id, planted] => work(place, id, *planted == "true"),
        ["reader", place, workers] => read(place, workers),
        _ => panic!("no role {words:?}"),
    };
    if let Err(error) = &done {
        say(format!("{} bits: {error}", usize::BITS));
    }
    crate::verdict(done.is_ok())
}

/// Makes steps until the input ends.
fn work(place: &str, id: &str, planted: bool) -> Result<()> {
    let over = Arc::new(AtomicU64::new(0));
    let end = Arc::clone(&over);
    thread::spawn(move || {
        while peer::next_order().is_some() {}
        end.store(1, Relaxed);
    });
    let map = options(place).open()?;
    let atomic = map.atomic_or::<u64>("atomic", 0)?;
    let lock = map.lock("turn")?;
    let own = format!("own {id}");
    let mut step = 0;
    while over.load(Relaxed) == 0 {
        step += 1;
        if !planted || step != NOT_MADE {
            add(&map, &own)?;
        }
        atomic.fetch_add(1)?;
        {
            let _turn = lock.acquire()?;
            let before: u64 = map.find("locked")?.unwrap_or(0);
            map.set("locked", before + 1)?;
        }
        // Values that do not fit a record, of different lengths, written by all and read by all.
        let byte = step as u8;
        map.set("large", serde_bytes::Bytes::new(&vec![byte; LARGE + usize::from(byte)]))?;
        let large: serde_bytes::ByteBuf = map.get("large")?;
        let whole = large.first().is_some_and(|first| {
            large.len() == LARGE + usize::from(*first) && large.iter().all(|it| it == first)
        });
        if !whole {
            return Err(format!("a large value is torn: {} bytes", large.len()).into());
        }
        // Structural changes.
        let name = format!("a name that is too long for a record and comes and goes {id} {step}");
        map.set(&name, step)?;
        if !map.remove(&name)? {
            return Err("a variable is gone that only this worker removes".into());
        }
        say(format_args!("step {step}"));
    }
    map.close()?;
    Ok(())
}

/// Adds to two variables at once.
fn add(map: &Map, own: &str) -> Result<()> {
    loop {
        let done = map.transaction(|tx| {
            for name in ["total", own] {
                let before: u64 = tx.find(name)?.unwrap_or(0);
                tx.set(name, before + 1)?;
            }
            Ok(())
        });
        match done {
            Err(error) if error.kind() == mapvar::ErrorKind::Conflict => {}
            done => return Ok(done?),
        }
    }
}

fn read(place: &str, workers: &str) -> Result<()> {
    let map = options(place).open()?;
    let workers: u64 = workers.parse()?;
    let own: Vec<String> = (0..workers).map(|id| format!("own {id}")).collect();
    let names: Vec<&str> =
        ["atomic", "locked", "total"].into_iter().chain(own.iter().map(String::as_str)).collect();
    let snapshot = map.snapshot(&names)?;
    let mut numbers = Vec::new();
    for name in names {
        numbers.push(snapshot.find::<u64>(name)?.unwrap_or(0).to_string());
    }
    say(numbers.join(" "));
    Ok(())
}
