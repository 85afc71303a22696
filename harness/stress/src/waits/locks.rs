//! Many processes, a few locks, a kill every 200 ms.

use super::start_role;
use mapvar::{ErrorKind, Map, lock::Acquired};
use mapvar_harness::{Random, figure, peer::Owned, seed_of_clock, unique};
use std::{
    thread,
    time::{Duration, Instant},
};

const LOCKS: u64 = 8;
/// A longer wait is a hang.
const HANG: Duration = Duration::from_secs(5);
const STOP: Duration = Duration::from_secs(10);

/// Acquires locks in random order until the process is killed.
pub(super) fn worker(name: &str, seed: &str) {
    let map = Map::options().name(name).timeout(Duration::from_mins(1)).open().expect("the map");
    let mut random = Random::new(seed.parse().expect("a seed"));
    let me = u64::from(std::process::id());
    let taken = map.atomic_or("taken", 0_u64).expect("a counter");
    let recovered = map.atomic_or("told", 0_u64).expect("a counter");
    let wrong = |what: String| {
        println!("WRONG: {what}");
        let _ = map.atomic_or("wrong", 0_u64).and_then(|wrong| wrong.fetch_add(1));
    };
    loop {
        let number = random.below(LOCKS);
        let lock = map.lock(&format!("lock.{number}")).expect("a lock");
        let (inside, stops) = (format!("inside.{number}"), format!("stops.{number}"));
        let stopped = || map.find::<u64>(&stops).ok().flatten().unwrap_or(0);
        let shared = random.below(4) == 0;
        let (began, stops_before) = (Instant::now(), stopped());
        let got = if shared { lock.share() } else { lock.acquire() };
        let guard = match got {
            Ok(guard) => guard,
            Err(error) => {
                wrong(format!("process {me}: {error}"));
                continue;
            }
        };
        if began.elapsed() > HANG && stopped() == stops_before && stops_before % 2 == 0 {
            wrong(format!("process {me} waited {:?} for lock {number}", began.elapsed()));
        }
        let found: u64 = map.find(&inside).expect("a look").unwrap_or(0);
        match guard.acquired() {
            Acquired::Clean | Acquired::AbandonedShared(_) if found != 0 => {
                wrong(format!(
                    "lock {number}: {found} is within, or died untold; {me} is told nothing"
                ));
            }
            Acquired::Clean | Acquired::AbandonedShared(_) => {}
            Acquired::Abandoned(dead) => {
                recovered.fetch_add(1).expect("a count");
                if found != 0 && found != u64::from(dead.pid) {
                    wrong(format!(
                        "lock {number}: {found} is within, and {} is said to be dead",
                        dead.pid
                    ));
                }
                // A recoverer repairs the half-changed value, even if it has the lock shared.
                map.set(&inside, 0_u64).expect("a set");
            }
            other => wrong(format!("lock {number}: acquired as {other:?}")),
        }
        if !shared {
            map.set(&inside, me).expect("a set");
            thread::sleep(Duration::from_micros(random.below(1_500)));
            let found: u64 = map.get(&inside).expect("a look");
            if found != me {
                wrong(format!("lock {number}: {found} is within beside {me}"));
            }
            map.set(&inside, 0_u64).expect("a set");
        }
        if let Err(error) = guard.release() {
            wrong(format!("process {me}: {error}"));
        }
        taken.fetch_add(1).expect("a count");
    }
}

pub(super) fn run(short: bool) -> bool {
    let windows = std::env::consts::FAMILY == "windows";
    let (processes, seconds) = match (short, windows) {
        (true, _) => (8_u64, 6),
        (false, true) => (16, 60),
        (false, false) => (64, 180),
    };
    let name = unique("waits.locks");
    let map = Map::options().name(&name).size(1 << 20).create().expect("a map");
    let counter = |name: &str| map.atomic_or(name, 0_u64).expect("a counter");
    let (taken, recovered, wrong) = (counter("taken"), counter("told"), counter("wrong"));
    let seed = seed_of_clock();
    println!("locks: seed {seed}");
    let mut random = Random::new(seed);
    let start =
        |random: &mut Random| start_role("worker", &[&name, &random.below(1 << 31).to_string()]);
    let mut workers: Vec<Owned> = (0..processes).map(|_| start(&mut random)).collect();
    let began = Instant::now();
    let (mut kills, mut stops, mut lost) = (0_u64, 0_u64, 0_u64);
    // The stopped owner, if any: which lock, which process, since when.
    let mut stopped: Option<(u64, u32, Instant)> = None;
    let stop_after = Duration::from_secs(if short { 1 } else { 15 });
    let stop_for = if short { Duration::from_secs(2) } else { STOP };
    let mut next_stop = began + stop_after;
    while began.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(200));
        let victim = random.below(processes) as usize;
        let spared = stopped.is_some_and(|(_, pid, _)| workers[victim].0.id() == pid);
        if !spared {
            workers[victim] = start(&mut random);
            kills += 1;
        }
        match stopped {
            Some((number, pid, since)) => {
                let holders = map.lock(&format!("lock.{number}")).and_then(|lock| lock.claims());
                let holds =
                    holders.expect("claims").iter().any(|one| one.held && one.holder.pid == pid);
                if !holds {
                    lost += 1;
                    println!("WRONG: lock {number} was taken from process {pid}, which is stopped");
                }
                if since.elapsed() > stop_for || !holds {
                    signal("-CONT", pid);
                    map.set(&format!("stops.{number}"), stops * 2).expect("a set");
                    stopped = None;
                    next_stop = Instant::now() + stop_after;
                }
            }
            None if !windows && Instant::now() > next_stop => {
                stopped = stop_a_holder(&map, &mut stops);
            }
            None => {}
        }
    }
    if let Some((_, pid, _)) = stopped {
        signal("-CONT", pid);
    }
    drop(workers);
    // No process is left: each lock must be free at once, whichever process died with it.
    let mut left = 0;
    for number in 0..LOCKS {
        let lock = map.lock(&format!("lock.{number}")).expect("a lock");
        match lock.acquire_timeout(HANG) {
            Ok(guard) => drop(guard),
            Err(error) if error.kind() == ErrorKind::TimedOut => left += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let count = |of: &mapvar::Atomic<u64>| of.load().expect("a count");
    let faults = count(&wrong) + lost + left;
    figure(
        &format!("waits, {processes} processes and {LOCKS} locks for {seconds} s"),
        format!(
            "{} taken, {kills} killed, {} told of, {stops} holders stopped, {faults} wrong",
            count(&taken),
            count(&recovered),
        ),
        "0 wrong",
    );
    faults == 0
}

/// Stops a process that owns a lock exclusively, if there is one.
fn stop_a_holder(map: &Map, stops: &mut u64) -> Option<(u64, u32, Instant)> {
    for number in 0..LOCKS {
        let lock = map.lock(&format!("lock.{number}")).ok()?;
        let alone = |pid: u32| {
            let claims = lock.claims().expect("claims");
            claims.iter().any(|one| one.held && !one.shared && one.alive && one.holder.pid == pid)
        };
        let claims = lock.claims().expect("claims");
        let Some(one) = claims.iter().find(|one| one.held && !one.shared) else { continue };
        let pid = one.holder.pid;
        signal("-STOP", pid);
        thread::sleep(Duration::from_millis(5));
        if alone(pid) {
            *stops += 1;
            map.set(&format!("stops.{number}"), *stops * 2 - 1).expect("a set");
            return Some((number, pid, Instant::now()));
        }
        signal("-CONT", pid);
    }
    None
}

/// Signals a process that this one has started.
fn signal(which: &str, pid: u32) {
    let _ = std::process::Command::new("kill").arg(which).arg(pid.to_string()).status();
}
