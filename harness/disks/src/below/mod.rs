//! The run: records of each file system, and the states that power cuts may leave of them.

mod disk;
mod drive;
mod systems;
mod record;
mod judge;

use clap::Parser;
use disk::{Disk, Style, Walk};
use drive::Drive;
use judge::judge;
use mapvar_harness::{Folder, Random, SKIPPED, figure, peer, random::mix, seed_of_clock, watchdog};
use record::{Allowed, Record, has_strace, record, writer};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};
use systems::{Boots, Mounted, SYSTEMS, System};

/// Power cuts below real file systems: `cargo xtask harness disks`. It takes root.
#[derive(Parser)]
#[command(args_override_self = true)]
struct Options {
    /// Number of states (2,400), and the file systems: ext4, xfs, btrfs (all)
    words: Vec<String>,
    /// Some dozens of states
    #[arg(long)]
    short: bool,
    /// The seed of the operations and of the cuts; what the kernel writes when is not repeated
    #[arg(long, default_value_t = seed_of_clock())]
    seed: u64,
    /// The folder for the disks that are wrong
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The folder of this run; given to the process in the namespace of its own
    #[arg(long, hide = true)]
    apart: Option<PathBuf>,
}

impl Options {
    /// Returns the number of states of each file system, and the file systems; `None` if a word is
    /// invalid.
    fn amount(&self) -> Option<(usize, Vec<&'static System>)> {
        let mut states: usize = if self.short { 45 } else { 2_400 };
        let mut chosen = Vec::new();
        for word in &self.words {
            match SYSTEMS.iter().find(|system| system.name == word) {
                Some(system) => chosen.push(system),
                None => states = word.parse().ok()?,
            }
        }
        if chosen.is_empty() {
            chosen.extend(&SYSTEMS);
        }
        Some((states.div_ceil(chosen.len()), chosen))
    }
}

/// The places of a run.
struct World {
    drive: Drive,
    boots: Boots,
    /// Where file systems are mounted.
    at: PathBuf,
}

impl World {
    fn map(&self) -> PathBuf {
        self.at.join("live.map")
    }
}

/// States of one record. More would show less: its flushes are few.
const STATES: usize = 40;
/// After so many wrong states a file system is done with.
const ENOUGH: usize = 5;

#[derive(Default)]
struct Counts {
    states: usize,
    /// States of a power cut in the midst of a recovery.
    again: usize,
    /// States in which some write that no flush had made durable was at stake.
    open: usize,
    values: usize,
    events: usize,
    flushes: usize,
    kills: usize,
    wrong: usize,
}

struct Run<'a> {
    world: &'a World,
    system: &'static System,
    options: &'a Options,
    formatted: Disk,
    random: Random,
    /// The states so far, so that none counts twice.
    prints: HashSet<(u64, u64)>,
    counts: Counts,
}

impl Run<'_> {
    /// Makes states of a record until there are `most`, or until it has no more.
    fn states(&mut self, number: u64, record: &Record, most: usize) -> Result<(), String> {
        let options = self.system.options(number);
        let mut walk = Walk::new(&record.start, &record.events);
        let all = (record.events.len() - record.from + 1) as u64;
        let mut cuts: Vec<_> =
            (0..STATES).map(|_| record.from + self.random.below(all) as usize).collect();
        cuts.sort_unstable();
        for cut in cuts {
            if self.counts.states >= most || self.counts.wrong >= ENOUGH {
                break;
            }
            let mut made = None;
            // Most cuts have few states: right behind a flush nothing is open.
            for _ in 0..8 {
                let style = Style::any(&mut self.random);
                let (disk, print, open) = walk.state(cut, style, &record.own, &mut self.random);
                if self.prints.insert((number, print)) {
                    made = Some((disk, style, open));
                    break;
                }
            }
            let Some((disk, style, open)) = made else { continue };
            let what = format!(
                "record {number} ({options}), cut {cut} of {}, {style:?}",
                record.events.len()
            );
            let again = self.random.one_in(5);
            self.counts.open += usize::from(open > 0);
            let judged = self.one(&what, options, &disk, &record.allowed(cut), !again)?;
            if let (Some(judged), true) = (judged, again) {
                let allowed = Allowed {
                    absent: judged.found.is_none(),
                    contents: judged.found.into_iter().collect(),
                };
                let cut = self.random.below(judged.events.len() as u64 + 1) as usize;
                let style = Style::any(&mut self.random);
                let mut walk = Walk::new(&disk, &judged.events);
                let (disk, _, _) = walk.state(cut, style, &record.own, &mut self.random);
                let what = format!(
                    "{what}; then cut {cut} of {} of its recovery, {style:?}",
                    judged.events.len()
                );
                self.counts.again += 1;
                self.one(&what, options, &disk, &allowed, true)?;
            }
        }
        Ok(())
    }

    /// Judges one state, and reports it if it is wrong.
    fn one(
        &mut self,
        what: &str,
        options: &str,
        disk: &Disk,
        allowed: &Allowed,
        tidy: bool,
    ) -> Result<Option<judge::Judged>, String> {
        watchdog::doing(format!("{}: {what}", self.system.name));
        self.counts.states += 1;
        let with = (&mut self.random, tidy);
        match judge(self.world, self.system, options, disk, allowed, with) {
            Ok(judged) => {
                self.counts.values += judged.values;
                Ok(Some(judged))
            }
            Err(wrong) => {
                self.counts.wrong += 1;
                println!(
                    "WRONG: {}, seed {}: {what}: {wrong}",
                    self.system.name, self.options.seed
                );
                if let Some(folder) = &self.options.keep {
                    let name = format!("{}-{}.img", self.system.name, self.counts.wrong);
                    let path = folder.join(name);
                    disk.save(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                    println!("  the disk: {}", path.display());
                }
                Ok(None)
            }
        }
    }

    fn record(&mut self, number: u64, swallow: bool) -> Result<Record, String> {
        watchdog::doing(format!("{}: record {number}", self.system.name));
        let seed = mix(self.options.seed ^ mix(number));
        let with = (&self.formatted, self.system.options(number));
        let record = record(self.world, self.system, with, seed, swallow)?;
        self.counts.events += record.events.len();
        self.counts.flushes += record.flushes;
        self.counts.kills += record.kills;
        Ok(record)
    }

    /// Makes states of a process whose syncs do nothing: some must be wrong.
    fn control(&mut self) -> Result<bool, String> {
        let record = self.record(0, true)?;
        let mut walk = Walk::new(&record.start, &record.events);
        let states = 8;
        let mut caught = 0;
        for number in 1..=states {
            watchdog::step();
            let cut = record.from + (record.until - record.from) * number / states;
            let (disk, _, _) = walk.state(cut, Style::Nothing, &record.own, &mut self.random);
            let with = (&mut self.random, false);
            let allowed = record.allowed(cut);
            let judged =
                judge(self.world, self.system, self.system.options(0), &disk, &allowed, with);
            // Other reports would show that the harness, and not the map, is broken.
            caught += usize::from(judged.is_err_and(|wrong| wrong.contains(", allowed [")));
        }
        let name = self.system.name;
        figure(
            &format!("{name} without fsync"),
            format!("{caught} of {states} states caught"),
            "1",
        );
        if caught == 0 {
            println!("WRONG: {name}: a process whose syncs do nothing was not noticed");
        }
        Ok(caught > 0)
    }
}

/// Runs one file system; returns whether all is well.
fn run(
    options: &Options,
    world: &World,
    system: &'static System,
    states: usize,
) -> Result<bool, String> {
    let began = Instant::now();
    let mut run = Run {
        world,
        system,
        options,
        formatted: world.drive.disk(),
        random: Random::new(options.seed),
        prints: HashSet::new(),
        counts: Counts::default(),
    };
    let mut well = true;
    if has_strace() {
        well &= run.control()?;
    } else {
        println!("control SKIPPED: no strace here (ci/apt strace), or it may not trace");
    }
    run.counts = Counts::default();
    let mut number = 0;
    while run.counts.states < states && run.counts.wrong < ENOUGH {
        let record = run.record(number, false)?;
        if record.flushes > 0 && !record.events.iter().any(|it| matches!(it, disk::Event::Flush)) {
            return Err("flushes returned, and none reached the disk".into());
        }
        run.states(number, &record, states)?;
        number += 1;
    }
    let Counts { states, again, open, values, events, flushes, kills, wrong } = run.counts;
    println!(
        "{}: {number} records with {events} events, {flushes} flushes of the map and {kills} kills; \
         {open} states with open writes, {again} cuts in the midst of a recovery, {values} values \
         compared, {:.0} s",
        system.name,
        began.elapsed().as_secs_f64()
    );
    figure(
        &format!("crash states of {}", system.name),
        format!("{states}, {wrong} wrong"),
        "0 wrong",
    );
    Ok(well && wrong == 0)
}

/// Formats the drive; fails if this machine lacks the file system.
fn format(world: &World, system: &System) -> Result<(), String> {
    world.drive.insert(Disk::empty());
    system.make(&world.drive.image())?;
    Mounted::new(system, &world.drive.image(), &world.at, system.options(0))?.end()
}

/// Runs in the mount namespace of its own.
fn apart(options: &Options, folder: &Path) -> ExitCode {
    let Some((states, systems)) = options.amount() else {
        eprintln!("{:?}: a number of states, ext4, xfs and btrfs are all there is", options.words);
        return ExitCode::from(2);
    };
    watchdog::watch(Duration::from_mins(2), || ());
    // Its input ends with the process that started it, whatever ended that.
    std::thread::spawn(|| {
        while peer::next_order().is_some() {}
        std::process::exit(130);
    });
    let skipped = |why: String| {
        println!("SKIPPED: {why}");
        ExitCode::from(SKIPPED)
    };
    let drive = match Drive::start(folder.join("drive")) {
        Ok(drive) => drive,
        Err(error) => return skipped(format!("no FUSE here: {error}")),
    };
    let boots = match Boots::new(folder.join("boot_id")) {
        Ok(boots) => boots,
        Err(error) => return skipped(error),
    };
    let world = World { drive, boots, at: folder.join("mounted") };
    std::fs::create_dir(&world.at).expect("a folder");
    let (mut well, mut ran) = (true, false);
    for system in systems {
        watchdog::doing(system.name);
        if let Err(why) = format(&world, system) {
            println!("{} SKIPPED: {why}", system.name);
            continue;
        }
        ran = true;
        well &= run(options, &world, system, states).unwrap_or_else(|error| {
            println!("FAILED: {}, seed {}: {error}", system.name, options.seed);
            false
        });
    }
    if !ran {
        return skipped("none of the file systems can be made and mounted".into());
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, role, path, seed, done] = words.as_slice()
        && role == "--writer"
    {
        let numbers = [seed, done].map(|it| it.parse().unwrap_or(0));
        return match writer(path, numbers[0], numbers[1]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the writer: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let options = Options::parse();
    if let Some(folder) = options.apart.clone() {
        return apart(&options, &folder);
    }
    println!("seed {}", options.seed);
    let skip = |why: &str| {
        println!("SKIPPED: {why}");
        ExitCode::from(SKIPPED)
    };
    if !rustix::process::geteuid().is_root() {
        return skip("mounting a file system on a loop device takes root");
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg("-m");
        command
    };
    if !unshare().arg("true").stderr(Stdio::null()).status().is_ok_and(|it| it.success()) {
        return skip("this user may not have mounts of its own (unshare -m)");
    }
    // The folder outlives the process that has mounts in it, so it can be removed at any end.
    let folder = match Folder::quick("disks") {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    watchdog::watch(Duration::MAX, || ());
    let mut command = unshare();
    command.stdin(Stdio::piped()).arg(std::env::current_exe().expect("this program has a path"));
    command.args(&words[1..]).arg("--apart").arg(folder.path());
    command.args(["--seed", &options.seed.to_string()]);
    let ended = peer::Owned::start(&mut command).and_then(|mut child| {
        // Kept open: waiting would close it.
        let _input = child.0.stdin.take();
        child.0.wait()
    });
    drop(folder);
    match ended {
        Ok(status) => ExitCode::from(status.code().unwrap_or(1) as u8),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
