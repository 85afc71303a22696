//! The storm: chains of processes that are killed one after the other, survivors beside them, and
//! what must hold after each death and at the end.

mod chain;
mod counts;
mod ends;
#[cfg(target_os = "linux")]
pub(crate) mod mounts;
mod settle;

use super::{
    leaks,
    order::{Killer, START},
    process,
    shared::{ACTORS, Shared, word},
    survivor,
    ways::Way,
    work::{Flaw, Op, Worker, options, private},
};
use crate::region::{LIMIT, Place, remove_objects};
use chain::Chain;
use counts::Counts;
use ends::{emptied, nothing_left, remove_private, seats, wait};
use mapvar::Map;
use mapvar_harness::{Folder, Random, random::mix, unique};
use settle::{Perhaps, settle};
use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// Numbers of the actors.
const DRIVER: usize = 0;
const DYING: usize = 1;
const VERIFIERS: usize = 9;
const SURVIVORS: usize = 17;
pub(crate) const MOST_CHAINS: usize = 8;

/// The parameters of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kills: u64,
    pub(crate) seed: u64,
    pub(crate) chains: usize,
    /// The number of kills on one map.
    pub(crate) era: u64,
    #[cfg_attr(windows, allow(dead_code, reason = "nothing can be forked"))]
    /// Start a program for each process instead of forking.
    pub(crate) start: bool,
    /// The way in which every process dies, instead of any.
    pub(crate) way: Option<Way>,
    /// Use no maps by name.
    pub(crate) files: bool,
    pub(crate) keep: Option<PathBuf>,
}

/// What a run leaves on a machine; removed however the run ends.
pub(crate) struct Scratch {
    pub(crate) folder: Folder,
    /// A part of the name of each of the run's maps.
    pub(crate) tag: String,
    #[cfg(target_os = "linux")]
    mounts: Mutex<Option<mounts::Mounts>>,
}

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        // Before all else: the process has one thread.
        #[cfg(target_os = "linux")]
        let mounts = match mounts::Mounts::new() {
            Ok(mounts) => Mutex::new(Some(mounts)),
            Err(error) => {
                println!("SKIPPED: remounts and second mounts, which take root: {error}");
                Mutex::new(None)
            }
        };
        Ok(Self {
            folder: Folder::quick("kill")?,
            tag: unique("kill"),
            #[cfg(target_os = "linux")]
            mounts,
        })
    }

    fn clean(&self) {
        #[cfg(target_os = "linux")]
        if let Some(mounts) = &*lock(&self.mounts) {
            mounts.clean();
        }
        self.folder.remove();
        remove_objects(&self.tag);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clean();
    }
}

pub(crate) struct Run<'a> {
    plan: Plan,
    place: &'a Scratch,
    shared: Shared,
    shared_path: PathBuf,
    counts: Mutex<Counts>,
    failed: AtomicBool,
    survivors: Mutex<Option<std::process::Child>>,
}

/// Whether the user at the terminal has interrupted the run.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Run<'a> {
    pub(crate) fn new(plan: Plan, place: &'a Scratch) -> std::io::Result<Self> {
        let shared_path = place.folder.join("shared");
        let shared = Shared::create(&shared_path)?;
        let counts = Counts { within: vec![0; Op::ALL.len()], ..Counts::default() };
        let (counts, failed) = (Mutex::new(counts), AtomicBool::new(false));
        let survivors = Mutex::new(None);
        Ok(Self { plan, place, shared, shared_path, counts, failed, survivors })
    }

    /// Prints a flaw; no thread begins anything new after that.
    fn fail(&self, context: &str, flaw: &Flaw) {
        if INTERRUPTED.load(SeqCst) {
            // The interrupt reached the processes of the run too, so their ends are no flaws.
            return;
        }
        println!("{flaw}\n    {context}, --seed {}", self.plan.seed);
        self.failed.store(true, SeqCst);
        let kind = match flaw {
            Flaw::Lost(_) => 0,
            Flaw::Torn(_) => 1,
            Flaw::Hung(_) => 2,
            Flaw::Leaked(_) => 3,
            Flaw::Other(_) => 4,
        };
        lock(&self.counts).flaws[kind] += 1;
    }

    #[cfg_attr(windows, allow(clippy::unnecessary_wraps, reason = "a fork can fail"))]
    fn killer(&self) -> std::io::Result<Box<dyn Killer>> {
        #[cfg(unix)]
        if !self.plan.start {
            return Ok(Box::new(super::zygote::Zygote::start(&self.shared_path)?));
        }
        Ok(Box::new(process::Processes(self.shared_path.clone())))
    }

    /// Returns whether there is a flaw, or the user has interrupted the run.
    fn is_over(&self) -> bool {
        self.failed.load(SeqCst) || INTERRUPTED.load(SeqCst)
    }

    /// Runs the whole storm; returns whether all is well.
    pub(crate) fn storm(&self) -> std::io::Result<bool> {
        let began = Instant::now();
        let mut killers =
            (0..self.plan.chains).map(|_| self.killer()).collect::<std::io::Result<Vec<_>>>()?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.watch(&done));
            let mut left = self.plan.kills;
            for era in 0.. {
                if left == 0 || self.is_over() {
                    break;
                }
                // So that the run has at least one map of each kind.
                let kills = left.min(self.plan.era).min(self.plan.kills.div_ceil(2));
                left -= kills;
                let context = format!("era {era}");
                if let Err(flaw) = self.era(era, kills, &mut killers) {
                    self.fail(&context, &flaw);
                    self.keep(era);
                }
            }
            done.store(true, SeqCst);
        });
        drop(killers);
        let took = began.elapsed();
        self.report(took);
        let (kills, checks) = {
            let counts = lock(&self.counts);
            (counts.kills, counts.checks)
        };
        // The first check comes a quarter of a second after the start.
        if !self.is_over() && (kills < self.plan.kills || checks == 0 && kills >= 100) {
            println!("WRONG: {kills} of {} kills, {checks} checks", self.plan.kills);
            return Ok(false);
        }
        Ok(!self.is_over())
    }

    fn keep(&self, era: u64) {
        let Some(folder) = &self.plan.keep else { return };
        let name = format!("{era}.map");
        let to = folder.join(format!("{}.{name}", self.place.tag));
        for from in self.folders() {
            if std::fs::copy(from.join(&name), &to).is_ok() {
                println!("    kept as {}", to.display());
            }
        }
    }

    /// Ends the run if an operation of any actor hangs.
    fn watch(&self, done: &AtomicBool) {
        let mut seen = [(0, Instant::now()); ACTORS];
        while !done.load(SeqCst) {
            thread::sleep(Duration::from_millis(100));
            for (number, (last, since)) in seen.iter_mut().enumerate() {
                let actor = self.shared.actor(number);
                let begun = actor.get(word::BEGUN);
                let is_dead = (DYING..VERIFIERS).contains(&number) && actor.get(word::STOP) != 0;
                if begun != *last || actor.under_way().is_none() || is_dead {
                    (*last, *since) = (begun, Instant::now());
                } else if since.elapsed() > LIMIT + Duration::from_secs(1) {
                    let op = actor.under_way().map_or("?".into(), |it| Op::name(it.op));
                    let what =
                        format!("{} is at {op} for {:?}", actor_name(number), since.elapsed());
                    self.fail("by the watchdog", &Flaw::Hung(what));
                    // An operation with a limit ends by itself; processes without one are killed.
                    for _ in 0..80 {
                        if done.load(SeqCst) {
                            return;
                        }
                        thread::sleep(Duration::from_millis(100));
                    }
                    if let Some(survivors) = &mut *lock(&self.survivors) {
                        let _ = survivors.kill();
                        let _ = survivors.wait();
                    }
                    self.report(Duration::ZERO);
                    self.place.clean();
                    std::process::exit(1);
                }
            }
        }
    }

    /// Returns the folders of maps in files: of this run, or of the file system that is mounted.
    fn folders(&self) -> Vec<PathBuf> {
        #[cfg(target_os = "linux")]
        if let Some(mounts) = lock(&self.place.mounts).as_ref().filter(|it| it.is_mounted()) {
            return mounts.places().into();
        }
        vec![self.place.folder.path().into()]
    }

    /// Mounts a file system for every second map in a file, if this user may mount. Returns the
    /// folders for that map.
    fn mount(&self, era: u64) -> Vec<PathBuf> {
        #[cfg(target_os = "linux")]
        if let Some(mounts) = &mut *lock(&self.place.mounts) {
            let kind = match era % 8 {
                1 => Some(mounts::Kind::Overlay),
                5 => Some(mounts::Kind::Disk),
                _ => None,
            };
            if let Some(kind) = kind {
                match mounts.begin(kind) {
                    Ok(()) => lock(&self.counts).twice += 1,
                    Err(error) => println!("SKIPPED: remounts, {kind:?}: {error}"),
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = era;
        self.folders()
    }

    fn is_mounted(&self) -> bool {
        self.folders().len() > 1
    }

    /// Mounts the file system anew, if one is mounted.
    #[cfg_attr(
        windows,
        allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "there are no mounts")
    )]
    fn mount_again(&self) -> std::io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(mounts) = &mut *lock(&self.place.mounts)
            && mounts.again()?
        {
            lock(&self.counts).remounts += 1;
        }
        Ok(())
    }

    #[cfg_attr(
        windows,
        allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "there are no mounts")
    )]
    fn unmount(&self) -> std::io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(mounts) = &mut *lock(&self.place.mounts) {
            mounts.end()?;
        }
        Ok(())
    }

    /// Returns the files of the file system that is mounted, apart from its own.
    fn files_mounted(&self) -> Vec<String> {
        let own = "lost+found";
        let folders = if self.is_mounted() { self.folders() } else { Vec::new() };
        let files = folders.iter().flat_map(|folder| leaks::files(folder));
        files.filter(|name| name != own).collect()
    }

    fn era(&self, era: u64, kills: u64, killers: &mut [Box<dyn Killer>]) -> Result<(), Flaw> {
        let seed = mix(self.plan.seed.wrapping_add(era << 32));
        let mut random = Random::new(seed);
        let targets = if era.is_multiple_of(2) && !self.plan.files {
            vec![Place::Name(format!("{}.{era}", self.place.tag))]
        } else {
            let folders = self.mount(era);
            folders.iter().map(|folder| Place::File(folder.join(format!("{era}.map")))).collect()
        };
        let passing = 8 + random.below(120);
        let before = (leaks::handles(), leaks::mappings());
        let began = Instant::now();
        self.weather(era, kills, &targets, passing, seed, killers)?;
        let target = &targets[0];
        if cfg!(windows) {
            // An era takes long there, so the run shows that it is alive.
            let by = if target.is_file() { "in a file" } else { "by name" };
            println!("map {era}, {by}: {kills} kills, {:.1} s", began.elapsed().as_secs_f64());
        }
        self.unmount().map_err(other)?;
        if self.is_over() {
            return Ok(());
        }
        let after = (leaks::handles(), leaks::mappings());
        // Under Wine the system's libraries open handles of their own now and then.
        let more = |before: Option<usize>, after: Option<usize>, slack| {
            before.zip(after).is_some_and(|(before, after)| after > before + slack)
        };
        let slack = if cfg!(windows) { 16 } else { 0 };
        if more(before.0, after.0, slack) || more(before.1, after.1, 64) {
            let what =
                format!("handles and mappings: {before:?} before, {after:?} after {target:?}");
            return Err(Flaw::Leaked(what));
        }
        nothing_left(&self.place.tag)
    }

    /// Runs one map, from its creation to its end.
    fn weather(
        &self,
        era: u64,
        kills: u64,
        targets: &[Place],
        passing: u64,
        seed: u64,
        killers: &mut [Box<dyn Killer>],
    ) -> Result<(), Flaw> {
        let target = &targets[0];
        let map = options(target).create()?;
        let first_size = map.stat()?.region;
        let chains = killers.len();
        let of = |number: usize| {
            let actor = self.shared.actor(number);
            let random = Random::new(seed ^ number as u64);
            Worker::of(map.clone(), target, actor, 0, passing, random)
        };
        let mut driver = of(DRIVER);
        driver.make_own()?;
        driver.make_common()?;
        for number in (DYING..DYING + chains).chain([SURVIVORS, SURVIVORS + 1, SURVIVORS + 2]) {
            of(number).make_own()?;
        }
        // By another mount than who looks after the dead, if there are two.
        let theirs = targets.last().unwrap_or(target);
        let survivors = survivor::start(&self.shared_path, SURVIVORS, seed, passing, theirs);
        *lock(&self.survivors) = Some(survivors.map_err(other)?);

        let left = AtomicUsize::new(kills as usize);
        let perhaps = Mutex::new(Perhaps::default());
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let checker = scope.spawn(|| self.keep_checking(&map, &over, era));
            let mut threads = Vec::new();
            for (number, killer) in killers.iter_mut().enumerate() {
                let chain = Chain { run: self, era, number, passing, targets, seed };
                let verifier = of(VERIFIERS + number);
                let (left, perhaps) = (&left, &perhaps);
                threads
                    .push(scope.spawn(move || chain.run(killer.as_mut(), verifier, left, perhaps)));
            }
            let panicked = || Flaw::Other("a thread that looks has panicked, see above".into());
            for thread in threads {
                thread.join().unwrap_or_else(|_| self.fail(&format!("era {era}"), &panicked()));
            }
            over.store(true, SeqCst);
            checker.join().unwrap_or_else(|_| self.fail(&format!("era {era}"), &panicked()));
        });
        for killer in killers.iter_mut() {
            killer.rest().map_err(other)?;
        }
        self.shared.actor(SURVIVORS).put(word::STOP, 1);
        let survivors = lock(&self.survivors).take();
        let ended = survivors.map_or(Ok(String::new()), |survivors| wait(survivors, START))?;
        if ended != "exit 0" {
            return Err(Flaw::Other(format!("the survivors ended with {ended}, see above")));
        }
        if self.is_over() {
            return Ok(());
        }

        // No other process is left now. All variables are verified:
        let mut none = Perhaps::default();
        for number in (DYING..DYING + chains).chain([SURVIVORS]) {
            settle(&mut driver, self.shared.actor(number), target, passing, true, &mut none)?;
        }
        self.count_common(&driver, *lock(&perhaps))?;
        let growths = u64::from(map.stat()?.region > first_size);
        {
            let mut counts = lock(&self.counts);
            counts.growths += growths;
            for number in 0..ACTORS {
                let actor = self.shared.actor(number);
                let operations = actor.get(word::DONE);
                if (DYING..DYING + chains).contains(&number) {
                    counts.operations += operations;
                } else if number >= SURVIVORS {
                    counts.survived += operations;
                }
                counts.reads += actor.get(word::READS);
                let longest = Duration::from_nanos(actor.get(word::LONGEST));
                counts.longest = counts.longest.max(longest);
            }
        }
        // `adds`, and two for each actor that has variables of its own.
        let atomics = 1 + 2 * (1 + chains as u64 + 3);
        emptied(&map, target, atomics)?;
        seats(&map, target)?;
        Self::closed_by_the_last(target)?;
        for number in 0..ACTORS {
            remove_private(&private(target, number))?;
        }
        self.last_one_killed(map, driver, target, passing, seed, killers[0].as_mut())
    }

    /// Verifies the shared counts: every acknowledged change, and at most those of dead processes
    /// besides.
    fn count_common(&self, driver: &Worker<'_>, perhaps: Perhaps) -> Result<(), Flaw> {
        let sum = |word| (0..ACTORS).map(|number| self.shared.actor(number).get(word)).sum::<u64>();
        let map = &driver.map;
        for (what, acknowledged, perhaps, found) in [
            ("adds", sum(word::ADDS), perhaps.adds, map.atomic::<u64>("adds")?.load()?),
            ("steps", sum(word::STEPS), perhaps.steps, map.get("steps")?),
            ("moves", sum(word::MOVES), perhaps.moves, map.get("moves")?),
        ] {
            if !(acknowledged..=acknowledged + perhaps).contains(&found) {
                return Err(Flaw::Lost(format!(
                    "{what}: {acknowledged} acknowledged and {perhaps} more perhaps, found {found}"
                )));
            }
        }
        match driver.sum()? {
            0 => Ok(()),
            sum => Err(Flaw::Torn(format!("the accounts have {sum}"))),
        }
    }

    /// Checks the whole map every quarter of a second, while all actors go on.
    fn keep_checking(&self, map: &Map, over: &AtomicBool, era: u64) {
        while !over.load(SeqCst) && !self.failed.load(SeqCst) {
            thread::sleep(Duration::from_millis(250));
            match map.check() {
                Ok(check) if check.is_whole() => lock(&self.counts).checks += 1,
                Ok(check) => {
                    let faults = faults(&check);
                    self.fail(
                        &format!("era {era}, a check beside the others"),
                        &Flaw::Other(faults),
                    );
                }
                Err(error) => self.fail("a check beside the others", &error.into()),
            }
        }
    }
}

fn actor_name(number: usize) -> String {
    match number {
        DRIVER => "the driver".into(),
        DYING..VERIFIERS => format!("a process of chain {}", number - DYING),
        VERIFIERS..SURVIVORS => format!("who looks after chain {}", number - VERIFIERS),
        _ => format!("survivor {}", number - SURVIVORS),
    }
}

fn other(error: impl std::fmt::Display) -> Flaw {
    Flaw::Other(error.to_string())
}

fn whole(map: &Map, what: &str) -> Result<(), Flaw> {
    let check = map.check()?;
    if check.is_whole() { Ok(()) } else { Err(Flaw::Other(format!("{what}: {}", faults(&check)))) }
}

fn faults(check: &mapvar::check::Check) -> String {
    let mut found: Vec<_> = check.findings().iter().collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    lines.truncate(12);
    lines.join("; ")
}
