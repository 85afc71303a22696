//! The storm: chains of processes that are killed one after the other, survivors beside them, and
//! what must hold after each death and at the end.

use super::{
    leaks,
    order::{Ended, Killer, Order, START, When},
    process,
    settle::{Perhaps, probe, settle},
    shared::{ACTORS, Shared, word},
    survivor,
    work::{Flaw, Op, Worker, options, private},
};
use crate::region::{LIMIT, Place, objects, remove_objects};
use mapvar::{ErrorKind, Map};
use mapvar_harness::{Folder, Random, figure, percentiles, random::mix, unique};
use serde_bytes::Bytes;
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
    /// Use no maps by name.
    pub(crate) files: bool,
    pub(crate) keep: Option<PathBuf>,
}

/// What a run leaves on a machine; removed however the run ends.
pub(crate) struct Scratch {
    pub(crate) folder: Folder,
    /// A part of the name of each of the run's maps.
    pub(crate) tag: String,
}

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { folder: Folder::quick("kill")?, tag: unique("kill") })
    }

    fn clean(&self) {
        self.folder.remove();
        remove_objects(&self.tag);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clean();
    }
}

/// What the run has counted.
#[derive(Default)]
struct Counts {
    kills: u64,
    /// Kills during an operation, by the operation.
    within: Vec<u64>,
    /// Kills before the map was open.
    early: u64,
    /// Durations, after a kill, of a set, a transaction and a removal where the dead process may
    /// have owned a lock.
    probes: Vec<Duration>,
    operations: u64,
    survived: u64,
    reads: u64,
    longest: Duration,
    checks: u64,
    growths: u64,
    /// Files of creators that died before they were published (Windows).
    unpublished: u64,
    /// The flaws, by kind: lost, torn, hung, leaked, others.
    flaws: [u64; 5],
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
        if std::fs::copy(self.place.folder.join(name), &to).is_ok() {
            println!("    kept as {}", to.display());
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

    fn era(&self, era: u64, kills: u64, killers: &mut [Box<dyn Killer>]) -> Result<(), Flaw> {
        let seed = mix(self.plan.seed.wrapping_add(era << 32));
        let mut random = Random::new(seed);
        let target = if era.is_multiple_of(2) && !self.plan.files {
            Place::Name(format!("{}.{era}", self.place.tag))
        } else {
            Place::File(self.place.folder.join(format!("{era}.map")))
        };
        let passing = 8 + random.below(120);
        let before = (leaks::handles(), leaks::mappings());
        let began = Instant::now();
        self.weather(era, kills, &target, passing, seed, killers)?;
        if cfg!(windows) {
            // An era takes long there, so the run shows that it is alive.
            let by = if target.is_file() { "in a file" } else { "by name" };
            println!("map {era}, {by}: {kills} kills, {:.1} s", began.elapsed().as_secs_f64());
        }
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
        target: &Place,
        passing: u64,
        seed: u64,
        killers: &mut [Box<dyn Killer>],
    ) -> Result<(), Flaw> {
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
        let survivors = survivor::start(&self.shared_path, SURVIVORS, seed, passing, target);
        *lock(&self.survivors) = Some(survivors.map_err(other)?);

        let left = AtomicUsize::new(kills as usize);
        let perhaps = Mutex::new(Perhaps::default());
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let checker = scope.spawn(|| self.keep_checking(&map, &over, era));
            let mut threads = Vec::new();
            for (number, killer) in killers.iter_mut().enumerate() {
                let chain = Chain { run: self, era, number, passing, target, seed };
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
            ("adds", sum(word::ADDS), perhaps.adds, map.atomic::<u64>("adds")?.get()?),
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

    /// Verifies that a name disappears with its last user, without any further call.
    fn closed_by_the_last(target: &Place) -> Result<(), Flaw> {
        let target = private(target, DRIVER);
        let Place::Name(name) = &target else { return Ok(()) };
        drop(options(&target).create()?);
        nothing_left(name)
    }

    /// Kills the last user of a map: its name must disappear, and its file must hold what was
    /// acknowledged.
    fn last_one_killed(
        &self,
        map: Map,
        mut driver: Worker<'_>,
        target: &Place,
        passing: u64,
        seed: u64,
        killer: &mut dyn Killer,
    ) -> Result<(), Flaw> {
        let dying = self.shared.actor(DYING);
        let mut maker = Worker::of(map.clone(), target, dying, 1 << 24, passing, Random::new(seed));
        maker.make_own()?;
        driver.make_common()?;
        drop(maker);
        let mut held = Some((map, driver));
        let order = Order {
            seed,
            actor: DYING,
            life: 1 << 25,
            only: None,
            passing,
            when: When::Told,
            delay: Duration::from_micros(200),
            target: target.clone(),
        };
        let ended = killer.run(&order, &self.shared, &mut || held = None).map_err(other)?;
        dying.put(word::STOP, 1);
        if let Ended::Otherwise(how) = ended {
            return Err(Flaw::Other(format!("a process {how}")));
        }
        match target {
            Place::Name(_) => {
                // The process may be seen as gone a moment before all its resources are.
                let began = Instant::now();
                loop {
                    match options(target).open() {
                        Err(error) if error.kind() == ErrorKind::NotFound => break,
                        Ok(_) if began.elapsed() < LIMIT => thread::sleep(Duration::from_millis(1)),
                        Ok(_) => {
                            return Err(Flaw::Leaked("a name whose users are all gone".into()));
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Place::File(path) => {
                let map = options(target).open()?;
                let actor = self.shared.actor(DRIVER);
                let mut verifier = Worker::of(map, target, actor, 1, passing, Random::new(seed));
                settle(&mut verifier, dying, target, passing, true, &mut Perhaps::default())?;
                whole(&verifier.map, "after the last one")?;
                drop(verifier);
                let _ = std::fs::remove_file(path);
            }
        }
        remove_private(&private(target, DYING))?;
        dying.cancel();
        let mut files = leaks::files(self.place.folder.path());
        if cfg!(windows) {
            // On Windows a killed creator leaves such files there, as docs/PLATFORM.md says.
            let (left, others) = files.into_iter().partition::<Vec<_>, _>(|name| {
                name.starts_with(".mapvar-") && name.strip_suffix(".new").is_some()
            });
            for name in &left {
                std::fs::remove_file(self.place.folder.join(name)).map_err(other)?;
            }
            lock(&self.counts).unpublished += left.len() as u64;
            files = others;
        }
        if files != ["shared"] {
            return Err(Flaw::Leaked(format!("left in the folder: {files:?}")));
        }
        Ok(())
    }

    fn report(&self, took: Duration) {
        let mut counts = lock(&self.counts);
        let where_ = if cfg!(windows) { "Wine" } else { "native" };
        let [lost, torn, hung, leaked, other] = counts.flaws;
        let (kills, within) = (counts.kills, counts.within.iter().sum::<u64>());
        let by: Vec<_> = Op::ALL
            .iter()
            .zip(&counts.within)
            .map(|((op, _), count)| format!("{op:?} {count}"))
            .collect();
        println!("deaths within: {}", by.join(", "));
        println!(
            "{} operations by the dead, {} by survivors, {} values read whole, {} checks of the \
             whole map meanwhile, {} maps that grew, {:.1} s",
            counts.operations,
            counts.survived,
            counts.reads,
            counts.checks,
            counts.growths,
            took.as_secs_f64()
        );
        if counts.unpublished > 0 {
            println!("{} files of killed creators, not published", counts.unpublished);
        }
        counts.probes.sort();
        let [p50, p99, most] = percentiles(&counts.probes);
        let figure = |what: &str, value: String, goal| {
            figure(&format!("{what}, {where_}"), value, goal);
        };
        let flaws = format!(
            "{kills}: {lost} lost, {torn} torn, {hung} hung, {leaked} leaked, {other} otherwise wrong"
        );
        figure("kills", flaws, "all 0");
        let share = within as f64 * 100.0 / kills.max(1) as f64;
        figure("kills in the midst of an operation", format!("{share:.1} %"), "");
        let rate = kills as f64 / took.as_secs_f64().max(1e-3);
        figure("kills a second", format!("{rate:.0}"), "");
        let probes = format!("p50 {p50:.0?}, p99 {p99:.0?}, most {most:.0?}");
        figure("set, transaction and removal right after a kill", probes, "");
        let longest = format!("longest operation of anybody beside {kills} kills");
        figure(&longest, format!("{:.0?}", counts.longest), "below 5 s");
    }
}

/// The processes of one chain, which run one after the other.
struct Chain<'a> {
    run: &'a Run<'a>,
    era: u64,
    number: usize,
    passing: u64,
    target: &'a Place,
    seed: u64,
}

impl Chain<'_> {
    fn run(
        &self,
        killer: &mut dyn Killer,
        mut verifier: Worker<'_>,
        left: &AtomicUsize,
        perhaps: &Mutex<Perhaps>,
    ) {
        let mut random = Random::new(self.seed ^ (self.number as u64 + 1) << 40);
        for life in 1.. {
            if self.run.is_over()
                || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
            {
                return;
            }
            let order = self.order(life, &mut random);
            if let Err(flaw) = self.life(&order, killer, &mut verifier, perhaps) {
                let Order { when, delay, only, .. } = order;
                let context = format!(
                    "era {}, chain {}, life {life}, killed {delay:?} after {when:?}, nearly only \
                     {only:?}, {:?}",
                    self.era, self.number, self.target
                );
                self.run.fail(&context, &flaw);
                return;
            }
        }
    }

    fn order(&self, life: u64, random: &mut Random) -> Order {
        let when = if random.one_in(8) { When::Started } else { When::Ready };
        // Mostly soon, since each life begins with other operations; now and then late.
        let most = if random.one_in(10) { 3_000_000 } else { 300_000 };
        // Under Wine a process takes 100 times as long to start.
        let most = if when == When::Started && cfg!(windows) { 60_000_000 } else { most };
        let only = if random.one_in(2) {
            let (op, often) = Op::ALL[random.below(Op::ALL.len() as u64) as usize];
            (often > 0).then_some(op)
        } else {
            None
        };
        Order {
            seed: random.word(),
            actor: DYING + self.number,
            life,
            only,
            passing: self.passing,
            when,
            delay: Duration::from_nanos(random.below(most)),
            target: self.target.clone(),
        }
    }

    fn life(
        &self,
        order: &Order,
        killer: &mut dyn Killer,
        verifier: &mut Worker<'_>,
        perhaps: &Mutex<Perhaps>,
    ) -> Result<(), Flaw> {
        let actor = self.run.shared.actor(order.actor);
        actor.put(word::STOP, 0);
        let ended = killer.run(order, &self.run.shared, &mut || {}).map_err(other)?;
        actor.put(word::STOP, 1);
        if let Ended::Otherwise(how) = ended {
            return Err(Flaw::Other(format!("the process {how}, see above")));
        }
        let under_way = actor.under_way();
        {
            let mut counts = lock(&self.run.counts);
            counts.kills += 1;
            counts.early += u64::from(actor.get(word::READY) != order.life);
            if let Some(count) = under_way.and_then(|it| counts.within.get_mut(it.op as usize)) {
                *count += 1;
            }
        }
        let mut more = Perhaps::default();
        settle(verifier, actor, self.target, self.passing, false, &mut more)?;
        {
            let mut perhaps = lock(perhaps);
            perhaps.adds += more.adds;
            perhaps.steps += more.steps;
            perhaps.moves += more.moves;
        }
        let took = probe(verifier, actor, under_way.map(|it| it.of))?;
        lock(&self.run.counts).probes.push(took);
        if order.life.is_multiple_of(64) {
            verifier.reopen()?;
        }
        Ok(())
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

/// Verifies that no object of the system has a name that contains `name`.
fn nothing_left(name: &str) -> Result<(), Flaw> {
    let left = objects(name);
    if left.is_empty() {
        return Ok(());
    }
    Err(Flaw::Leaked(format!("left in /dev/shm: {left:?}")))
}

fn other(error: impl std::fmt::Display) -> Flaw {
    Flaw::Other(error.to_string())
}

fn whole(map: &Map, what: &str) -> Result<(), Flaw> {
    let check = map.check()?;
    if check.is_whole() { Ok(()) } else { Err(Flaw::Other(format!("{what}: {}", faults(&check)))) }
}

fn faults(check: &mapvar::Check) -> String {
    let mut found: Vec<_> = check.findings().iter().collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    lines.truncate(12);
    lines.join("; ")
}

/// Waits until a process ends by itself; returns how it ended.
fn wait(mut child: std::process::Child, limit: Duration) -> Result<String, Flaw> {
    let began = Instant::now();
    loop {
        match child.try_wait().map_err(other)? {
            Some(status) => {
                return Ok(status.code().map_or("a signal".into(), |code| format!("exit {code}")));
            }
            None if began.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Flaw::Hung("the survivors do not end".into()));
            }
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Removes all variables. No space may stay in use, except by the records of Atomics, which wait
/// for an Atomic of the same name.
fn emptied(map: &Map, target: &Place, atomics: u64) -> Result<(), Flaw> {
    let mut state = String::new();
    for _ in 0..8 {
        map.clear()?;
        // A value that does not fit makes the engine examine everything that dead processes left
        // behind.
        let stat = map.stat()?;
        let len = stat.free as usize + (64 << 10);
        match map.set("sweep", Bytes::new(&vec![0; len])) {
            // The map may not grow that far; the engine examined everything nonetheless.
            Err(error) if error.kind() == ErrorKind::Full => {}
            done => done?,
        }
        map.remove("sweep")?;
        if target.is_file() {
            // Removed variables are reclaimed once two flushes have seen them.
            map.flush()?;
            map.flush()?;
        }
        let (stat, check) = (map.stat()?, map.check()?);
        if stat.used == atomics * 320 && check.findings().is_empty() && stat.variables == 0 {
            return Ok(());
        }
        state = format!(
            "{} bytes are used where {} would be, {} variables; {}",
            stat.used,
            atomics * 320,
            stat.variables,
            faults(&check)
        );
    }
    Err(Flaw::Leaked(state))
}

/// The number of seats for processes.
const SEATS: usize = 128;

/// Verifies that every seat but this process's own can be taken, and so can the slots of writing
/// threads.
fn seats(map: &Map, target: &Place) -> Result<(), Flaw> {
    // A value that is filled outside its record needs a seat for its process.
    let take = |map: &Map| map.set("seat", Bytes::new(&[0; 3_000]));
    take(map)?;
    let mut others = Vec::new();
    let began = Instant::now();
    for number in 1..SEATS {
        let other = options(target).open()?;
        // A process that was killed may keep its seat for some milliseconds.
        while let Err(error) = take(&other) {
            if began.elapsed() > LIMIT {
                return Err(Flaw::Leaked(format!("of {SEATS} seats {number} can be had: {error}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
        others.push(other);
    }
    map.remove("seat")?;
    Ok(())
}

/// Removes the map of a single actor: under a name there must be none any more, in a file it must
/// be whole.
fn remove_private(target: &Place) -> Result<(), Flaw> {
    match options(target).open() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(map) => {
            whole(&map, &format!("{target:?}"))?;
            drop(map);
            match target {
                Place::File(path) => std::fs::remove_file(path).map_err(other),
                Place::Name(_) => Err(Flaw::Leaked(format!("{target:?}, whose user is gone"))),
            }
        }
    }
}
