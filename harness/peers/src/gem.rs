//! Maps in the layout of Ruby's gem win32-mmap, shared with other processes: under Wine with a
//! program that makes the gem's calls (`standin.c`), elsewhere with a second process of this
//! program.

use mapvar::{
    ErrorKind, Format, Map, MapOptions, Scope,
    gem::{OnClobber, Unlock, Unlocked},
    section::{Name, Section},
};
use mapvar_harness::{
    figure,
    peer::{self, Peer},
    unique,
    watchdog::watch,
};
use mapvar_os::RubyLock;
use std::{
    io::Write,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const SIZE: u64 = 4096;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Runs for some seconds
    #[arg(long)]
    short: bool,
    /// The program that makes the gem's calls, built for Windows
    #[arg(long)]
    standin: Option<String>,
    /// Runs as the second process, on the map of this name
    #[arg(long, hide = true)]
    peer: Option<String>,
}

pub(crate) fn run(options: &Options) {
    let seconds = if options.short { 5.0 } else { options.seconds };
    watch(Duration::from_secs_f64(seconds * 4.0 + 120.0), || ());
    if let Some(name) = &options.peer {
        return peer(name, seconds);
    }
    let name = unique("gem");
    match &options.standin {
        Some(exe) => {
            shared(exe, &format!("{name}.share"), seconds);
            killed(exe, &format!("{name}.kill"));
            leaked(exe, &format!("{name}.leak"));
            posted(exe, &format!("{name}.post"));
            broken(exe, &format!("{name}.broken"), seconds / 10.0);
        }
        None => two(&name, seconds),
    }
    println!("all held");
}

fn options(name: &str) -> MapOptions {
    Map::options().name(name).format(Format::Marshal).size(SIZE).timeout(Duration::from_secs(10))
}

/// Starts the stand-in, and waits until it is ready.
fn standin(exe: &str, what: &str, name: &str, seconds: f64) -> Peer {
    let mut command = Command::new(exe);
    command.args([what, name, &SIZE.to_string(), &seconds.to_string()]);
    let mut peer = Peer::start(&mut command).expect("start");
    assert_eq!(line(&mut peer), if what == "hold" { "holding" } else { "ready" });
    peer
}

fn line(peer: &mut Peer) -> String {
    peer.hear().expect("a line")
}

fn print_holds(map: &Map) {
    let lock = map.as_gem().expect("a gem's map").lock_stat().expect("statistics");
    figure("lock taken", format!("{} times", lock.taken), "");
    figure("hold time, p50", format!("{:?}", lock.median), "");
    figure("hold time, p99", format!("{:?}", lock.p99), "under 1 ms");
    figure("hold time, longest", format!("{:?}", lock.longest), "");
}

/// Sets eight variables of ours beside four of the gem's; each write of the gem erases ours.
fn shared(exe: &str, name: &str, seconds: f64) {
    let map =
        options(name).gem(|gem| gem.on_clobber(OnClobber::Reassert)).create().expect("create");
    let mut peer = standin(exe, "share", name, seconds);
    let mut acknowledged: [Option<i64>; 8] = [None; 8];
    let names: Vec<String> = (0..8).map(|at| format!("m{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut sets, mut reported, mut newest) = (0_i64, 0, 0);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        let at = (sets % 8) as usize;
        map.set(names[at], sets).expect("set");
        acknowledged[at] = Some(sets);
        sets += 1;
        reported +=
            map.as_gem().expect("a gem's").clobbered().expect("erasures").names.len() as u64;
        let seen = map.snapshot(&names).expect("snapshot");
        let missing: Vec<&str> = names
            .iter()
            .zip(acknowledged)
            .filter(|(name, value)| seen.find::<i64>(name).expect("a number") != *value)
            .map(|(name, _)| *name)
            .collect();
        // All are there, unless the stand-in has just erased them again, which must be reported.
        let erased = map.as_gem().expect("a gem's").clobbered().expect("erasures").names;
        reported += erased.len() as u64;
        for name in missing {
            assert!(erased.iter().any(|erased| erased == name), "{name} is gone, and not reported");
        }
        if let Some(theirs) = map.find::<i64>("g0").expect("g0") {
            assert!(theirs >= newest, "g0 was {newest} and is {theirs}");
            newest = theirs;
        }
    }
    let counts = line(&mut peer);
    peer.finish();
    let counts: Vec<u64> = counts.split(' ').map(|word| word.parse().expect("a number")).collect();
    let [rounds, missed, lost, erased] = counts[..] else { panic!("{counts:?}") };
    // A last read notices the last erase; the next write restores all variables.
    map.count().expect("len");
    reported += map.as_gem().expect("a gem's").clobbered().expect("erasures").names.len() as u64;
    map.set("last", true).expect("set");
    for (name, value) in names.iter().zip(acknowledged) {
        assert_eq!(map.find::<i64>(name).expect("find"), value, "{name}");
    }
    assert_eq!(map.get::<u64>("g3").expect("g3"), rounds);
    assert!(rounds > 10 && sets > 10, "{rounds} and {sets}");
    assert_eq!(lost, 0, "values of the stand-in were lost");
    assert_eq!(reported, erased, "erases reported, and done");
    figure("the stand-in's writes", format!("{rounds}, ours = {sets}"), "");
    figure("the stand-in's values lost", lost, "0");
    figure("erases reported", format!("{reported} of {erased}"), "all");
    figure("waits of 10 ms that the stand-in missed", missed, "0");
    print_holds(&map);
}

/// d7: the lock's owner is killed.
fn killed(exe: &str, name: &str) {
    let map = options(name).create().expect("create");
    for round in 1..=5 {
        let mut peer = standin(exe, "hold", name, 0.0);
        if round == 1 {
            peer.kill();
            // Our own handle keeps the semaphore, and its count of 0.
            map.set("foo", round).expect("set behind a killed holder");
            continue;
        }
        // The owner is killed while another thread waits for the lock.
        let waiter = map.clone();
        let waiter = thread::spawn(move || {
            waiter.set("foo", round).expect("set behind a killed holder");
            Instant::now()
        });
        thread::sleep(Duration::from_millis(100));
        assert!(!waiter.is_finished(), "it was held");
        let began = Instant::now();
        peer.kill();
        let set = waiter.join().expect("the waiter");
        let took = set.saturating_duration_since(began);
        figure("set behind a killed holder", format!("{took:?}"), "");
    }
    let recovered = map.as_gem().expect("a gem's").lock_stat().expect("statistics").recovered;
    assert_eq!(recovered, 5, "dead holders were found out");
    figure("locks taken over", format!("{recovered} of 5"), "5");
}

/// d3: a living process keeps the lock for ever.
fn leaked(exe: &str, name: &str) {
    let map = options(name).timeout(Duration::from_millis(300)).create().expect("create");
    let _peer = standin(exe, "hold", name, 0.0);
    assert_eq!(map.set("foo", 1).expect_err("held").kind(), ErrorKind::TimedOut);
    assert_eq!(
        options(name).unlock(Unlock::Abandoned).expect_err("held").kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(options(name).unlock(Unlock::Any).expect("unlock"), Unlocked::Freed);
    map.set("foo", 1).expect("set");
    assert_eq!(options(name).unlock(Unlock::Abandoned).expect("unlock"), Unlocked::WasFree);
    println!("a lock that a living program has left is freed by force, and not otherwise");
}

/// d6: a process releases a lock that another process owns.
fn posted(exe: &str, name: &str) {
    let map = options(name).create().expect("create");
    let mut peer = standin(exe, "post", name, 0.0);
    let section = Name::of_gem(name, Scope::Local).expect("name");
    let section = Section::options().name(section).open().expect("open");
    let lock = RubyLock::of(&section).expect("lock");
    let held = lock.take(Duration::from_secs(10)).expect("take");
    let mut to = peer.take_input().expect("its input");
    writeln!(to).expect("write");
    assert_eq!(line(&mut peer), "1", "the post was let in");
    assert!(!held.give().expect("give").exclusive, "298 was overlooked");
    map.set("foo", 1).expect("set");
    assert_eq!(map.get::<i64>("foo").expect("get"), 1);
    println!("a lock that another has given back while it was held is noticed (298)");
}

/// The same again and again, while this process writes.
fn broken(exe: &str, name: &str, seconds: f64) {
    let map = options(name).create().expect("create");
    let mut peer = standin(exe, "post", name, 0.0);
    let mut to = peer.take_input().expect("its input");
    let poster = thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < until {
            writeln!(to).expect("write");
            line(&mut peer);
        }
    });
    let mut sets = 0_i64;
    while !poster.is_finished() {
        map.set("foo", sets).expect("set");
        assert_eq!(map.get::<i64>("foo").expect("get"), sets);
        sets += 1;
    }
    poster.join().expect("the poster");
    let broken = map.as_gem().expect("a gem's").lock_stat().expect("statistics").broken;
    figure("exclusion seen to be broken", format!("{broken} times in {sets} sets"), "");
}

/// The second process of `two`.
fn peer(name: &str, seconds: f64) {
    let map = options(name).open().expect("open");
    println!("ready");
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut rounds = 0_u64;
    while Instant::now() < until {
        map.update("both", |n: Option<u64>| n.unwrap_or(0) + 1).expect("update");
        map.set("theirs", rounds).expect("set");
        rounds += 1;
        thread::sleep(Duration::from_micros(rounds % 4 * 500));
    }
    println!("{rounds}");
}

/// Two processes of this program share a map; then one of them is killed again and again.
fn two(name: &str, seconds: f64) {
    let map =
        options(name).gem(|gem| gem.on_clobber(OnClobber::Reassert)).create().expect("create");
    let start = |seconds: f64| {
        let seconds = seconds.to_string();
        let mut command = peer::this(["gem", "--peer", name, "--seconds", &seconds]);
        let mut peer = Peer::start(&mut command).expect("start");
        assert_eq!(line(&mut peer), "ready");
        peer
    };
    let mut other = start(seconds);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut rounds = 0_u64;
    while Instant::now() < until {
        map.update("both", |n: Option<u64>| n.unwrap_or(0) + 1).expect("update");
        map.set("ours", rounds).expect("set");
        assert_eq!(map.get::<u64>("ours").expect("get"), rounds);
        rounds += 1;
        thread::sleep(Duration::from_micros(rounds % 3 * 500));
    }
    let theirs: u64 = line(&mut other).parse().expect("a number");
    assert!(other.finish(), "the second process failed");
    assert_eq!(map.get::<u64>("both").expect("both"), rounds + theirs, "an update was lost");
    assert_eq!(
        map.as_gem().expect("a gem's").clobbered().expect("erasures").count,
        0,
        "one of ours has erased something"
    );
    figure("updates by two processes", format!("{}, lost = 0", rounds + theirs), "0");
    for round in 0..20_u64 {
        let mut victim = start(60.0);
        thread::sleep(Duration::from_micros(700 * round));
        victim.kill();
        match map.set("ours", round) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                println!("killed in the midst of a write: half a payload, cleared");
                map.clear().expect("clear");
            }
            Err(error) => panic!("{error}"),
        }
    }
    figure("processes killed", "20, locks left behind = 0", "0");
    print_holds(&map);
}
