//! Histories of operations by several processes, and whether they are linearisable; the README.md
//! of the harnesses says what this shows.

mod checker;
mod clock;
mod history;
mod shared;
mod ticks;
mod worker;

use checker::{Verdict, check};
use clap::Parser;
use history::{ABSENT, KEYS, Operation, Question, VARIABLES, Values, questions};
use mapvar_harness::{
    Folder, Random, figure,
    peer::{Peer, this},
    seed_of_clock, unique, watchdog,
};
use shared::{HARNESS, PROCESSES, Shared};
use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
    time::{Duration, Instant},
};
use worker::{Fresh, NEVER, Order, User};

#[derive(Parser)]
#[command(name = "mapvar-histories", about = "Histories by several processes, checked")]
struct Options {
    /// How many histories: 10,000, or 400 with --short
    histories: Option<u64>,
    /// Runs the smallest amount that still shows something
    #[arg(long)]
    short: bool,
    /// Repeats the random choices of another run; the timing stays the machine's
    #[arg(long, default_value_t = seed_of_clock())]
    seed: u64,
}

/// Operations of a history, at least.
const OPERATIONS: u64 = 200;
/// Histories on one map.
const ERA: u64 = 250;
/// Longer than any round takes on a busy machine.
const HANG: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = if let ["as", "worker", shared, process] = words.as_slice() {
        let process = process.parse().expect("the number of a process");
        worker::run(Path::new(shared), process).map(|()| true)
    } else {
        run(&Options::parse())
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("WRONG: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The name of this run's maps that are in no file.
static NAME: OnceLock<String> = OnceLock::new();

fn name() -> &'static str {
    NAME.get_or_init(|| unique("histories"))
}

/// Removes the map by name, which a run that ends early would leave behind.
fn clean_up() {
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.starts_with("mapvar.") && file.contains(name()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let count = options.histories.unwrap_or(if options.short { 400 } else { 10_000 });
    println!("{count} histories, --seed {}", options.seed);
    watchdog::watch(HANG, clean_up);
    let folder = Folder::quick("histories")?;
    let began = Instant::now();
    let mut run = Run::new(&folder, options.seed)?;
    for round in 1..=count {
        watchdog::doing(format!("history {round}, --seed {}", options.seed));
        if !run.round(round)? {
            return Ok(false);
        }
    }
    run.report(count, began.elapsed());
    Ok(true)
}

#[derive(Default)]
struct Sums {
    operations: u64,
    /// Operations that overlap the one that began before them.
    overlaps: u64,
    killed: u64,
    /// Killed processes whose last operation may have happened.
    under_way: u64,
    undecided: u64,
    checking: Duration,
}

struct Run {
    seed: u64,
    folder: PathBuf,
    log: PathBuf,
    shared: Shared,
    processes: Vec<Option<Peer>>,
    /// This process's own handle on the map of the era.
    user: Option<User>,
    place: String,
    sums: Sums,
}

impl Run {
    fn new(folder: &Folder, seed: u64) -> io::Result<Self> {
        let log = folder.join("log");
        let shared = Shared::create(&log)?;
        Ok(Self {
            seed,
            folder: folder.path().into(),
            log,
            shared,
            processes: (0..PROCESSES).map(|_| None).collect(),
            user: None,
            place: String::new(),
            sums: Sums::default(),
        })
    }

    /// Makes a history and checks it; returns whether it is well.
    fn round(&mut self, round: u64) -> io::Result<bool> {
        let mut random = Random::new(self.seed ^ round << 40);
        if self.user.is_none() || round.is_multiple_of(ERA) {
            self.user = None;
            let era = round / ERA;
            self.place = if era.is_multiple_of(2) {
                format!("{}.{era}", name())
            } else {
                self.folder.join(format!("{era}.map")).display().to_string()
            };
            self.user = Some(User::open(&self.place).map_err(io::Error::other)?);
        }
        let user = self.user.as_ref().expect("opened above");
        let kills = [0, 0, 0, 0, 0, 1, 1, 1, 2, 3][random.below(10) as usize];
        let quota = OPERATIONS.div_ceil((PROCESSES - kills) as u64);
        let variables = 1 + random.below(VARIABLES as u64) as usize;
        let interrupted = [0, 1, 2, 4][random.below(4) as usize];
        // Which processes die, and at which of their operations.
        let mut dying: Vec<(usize, u64)> = Vec::new();
        while dying.len() < kills {
            let victim = random.below(PROCESSES as u64) as usize;
            if dying.iter().all(|(other, _)| *other != victim) {
                dying.push((victim, random.below(quota * 3 / 4)));
            }
        }
        let mut fresh = Fresh::new(round, HARNESS);
        let mut first: Values = [ABSENT; KEYS];
        for (key, value) in first.iter_mut().enumerate() {
            if key >= VARIABLES || random.one_in(2) {
                *value = fresh.next();
            }
            user.start_with(key, *value).map_err(io::Error::other)?;
        }
        self.shared.log(HARNESS).clear();
        for (number, process) in self.processes.iter_mut().enumerate() {
            self.shared.log(number).clear();
            let order = Order {
                round,
                seed: random.word() >> 1,
                quota,
                variables,
                interrupted,
                dies_at: dying.iter().find(|(it, _)| *it == number).map_or(NEVER, |it| it.1),
                place: self.place.clone(),
            };
            let log = self.log.display().to_string();
            let process = match process {
                Some(process) => process,
                None => process.insert(Peer::start(&mut this([
                    "as",
                    "worker",
                    &log,
                    &number.to_string(),
                ]))?),
            };
            process.send_line(&order.to_line());
        }
        for number in 0..PROCESSES {
            // The watchdog notices a process that ends before it is ready.
            shared::wait_until(|| self.shared.log(number).is_ready(round));
        }
        self.shared.begin(round);
        self.kill(&dying, &mut random);
        for (number, process) in self.processes.iter_mut().enumerate() {
            let Some(peer) = process else { continue };
            match peer.hear().as_deref() {
                Some("done") => {}
                Some(other) => return Err(io::Error::other(format!("process {number}: {other}"))),
                None => return Err(io::Error::other(format!("process {number} ended by itself"))),
            }
        }
        let user = self.user.as_ref().expect("opened above");
        user.read_all(self.shared.log(HARNESS)).map_err(io::Error::other)?;
        self.sums.killed += dying.len() as u64;
        Ok(self.check(round, &first))
    }

    /// Kills these processes soon after each says that it is time. Where a process can, it mostly
    /// kills itself before that.
    fn kill(&mut self, dying: &[(usize, u64)], random: &mut Random) {
        let mut left = dying.to_vec();
        shared::wait_until(|| {
            left.retain(|(victim, _)| {
                let is_time = self.shared.log(*victim).is_dying();
                if is_time && let Some(mut process) = self.processes[*victim].take() {
                    let (now, delay) = (Instant::now(), Duration::from_micros(random.below(60)));
                    while now.elapsed() < delay {
                        std::hint::spin_loop();
                    }
                    process.kill();
                }
                !is_time
            });
            left.is_empty()
        });
    }

    fn check(&mut self, round: u64, first: &Values) -> bool {
        let mut history: Vec<Operation> =
            (0..=HARNESS).flat_map(|process| self.shared.log(process).operations()).collect();
        history.sort_by_key(|operation| operation.began);
        let mut latest = 0;
        for operation in &history {
            self.sums.overlaps += u64::from(operation.began <= latest);
            // The rest of a killed process's operation is no overlap.
            latest = latest.max(operation.ended.unwrap_or(0));
        }
        self.sums.operations += history.len() as u64;
        self.sums.under_way += history.iter().filter(|it| it.ended.is_none()).count() as u64;
        let began = Instant::now();
        let mut well = true;
        for question in questions(&history) {
            match check(&question.operations, first) {
                Verdict::Explained => {}
                Verdict::Undecided => self.sums.undecided += 1,
                Verdict::Unexplained { stuck } => {
                    self.show(round, first, &question, stuck);
                    well = false;
                }
            }
        }
        self.sums.checking += began.elapsed();
        well
    }

    fn show(&self, round: u64, first: &Values, question: &Question, stuck: usize) {
        let Question { about, operations } = question;
        println!(
            "WRONG: no order explains the {about}: history {round}, --seed {}, map {}",
            self.seed, self.place
        );
        println!("  it began with {first:x?}; a process, its times in ns, and what it did:");
        let zero = operations.first().map_or(0, |operation| operation.began);
        for (number, operation) in operations.iter().enumerate() {
            let mut operation = operation.clone();
            operation.began -= zero;
            operation.ended = operation.ended.map(|ended| ended - zero);
            let mark = if number == stuck { "* " } else { "  " };
            println!("{mark}{operation}");
        }
        println!("  the operation with the star fits nowhere, in the order that comes furthest");
    }

    fn report(&self, count: u64, took: Duration) {
        let Sums { operations, overlaps, killed, under_way, undecided, checking } = self.sums;
        let system = mapvar_harness::system();
        figure(&format!("histories that an order explains{system}"), count - undecided, "");
        figure(&format!("operations in them{system}"), operations, "");
        let part = 100.0 * overlaps as f64 / operations.max(1) as f64;
        figure(
            &format!("operations that overlap an earlier one{system}"),
            format!("{part:.0} %"),
            "",
        );
        figure(&format!("processes killed{system}"), killed, "");
        figure(&format!("of them amid an operation that writes{system}"), under_way, "");
        let missed = if undecided == 0 { "" } else { ", MISSED" };
        figure(&format!("questions undecided{system}"), undecided, &format!("0{missed}"));
        println!("{} s, {} s of them for checks", took.as_secs(), checking.as_secs());
    }
}
