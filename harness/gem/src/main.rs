//! Maps in the layout of Ruby's gem win32-mmap, shared with others: under Wine with a program that
//! makes the gem's calls (`standin.c`), elsewhere with a second process of our own.
//!
//!     mapvar-gem [--seconds S] [--standin EXE]

use mapvar::{ErrorKind, Format, Map, MapOptions, Name, OnClobber, Scope, Section, Unlocked};
use mapvar_os::RubyLock;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const SIZE: u64 = 4096;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let seconds: f64 = after("--seconds").map_or(60.0, |text| text.parse().expect("seconds"));
    let limit = Duration::from_secs_f64(seconds * 4.0 + 120.0);
    thread::spawn(move || {
        thread::sleep(limit);
        eprintln!("watchdog: it hangs for {limit:?}");
        std::process::exit(101);
    });
    if let Some(name) = after("--peer") {
        return peer(&name, seconds);
    }
    let name = format!("gem.{}", std::process::id());
    match after("--standin") {
        Some(exe) => {
            shared(&exe, &format!("{name}.share"), seconds);
            killed(&exe, &format!("{name}.kill"));
            leaked(&exe, &format!("{name}.leak"));
            posted(&exe, &format!("{name}.post"));
            broken(&exe, &format!("{name}.broken"), seconds / 10.0);
        }
        None => two(&name, seconds),
    }
    println!("all held");
}

fn options(name: &str) -> MapOptions {
    Map::options().name(name).format(Format::Marshal).size(SIZE).timeout(Duration::from_secs(10))
}

/// Killed and waited for, however it ends.
struct Peer {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
        let out = BufReader::new(process.stdout.take().expect("its output"));
        Self { process, out }
    }

    fn standin(exe: &str, what: &str, name: &str, seconds: f64) -> Self {
        let mut command = Command::new(exe);
        command.args([what, name, &SIZE.to_string(), &seconds.to_string()]);
        Self::start(&mut command)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim().into()
    }

    fn kill(mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn print_holds(map: &Map) {
    let lock = map.lock_stat().expect("a gem's map");
    println!("figure: lock taken = {} times", lock.taken);
    println!("figure: hold time, p50 = {:?}", lock.median);
    println!("figure: hold time, p99 = {:?} (goal under 1 ms)", lock.p99);
    println!("figure: hold time, longest = {:?}", lock.longest);
}

/// Eight variables of ours beside four of the gem's, each of whose writes erases ours.
fn shared(exe: &str, name: &str, seconds: f64) {
    let map = options(name).on_clobber(OnClobber::Reassert).create().expect("create");
    let mut peer = Peer::standin(exe, "share", name, seconds);
    assert_eq!(peer.line(), "ready");
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
        reported += map.clobbered().names.len() as u64;
        let seen = map.snapshot(&names).expect("snapshot");
        let missing: Vec<&str> = names
            .iter()
            .zip(acknowledged)
            .filter(|(name, value)| seen.find::<i64>(name).expect("a number") != *value)
            .map(|(name, _)| *name)
            .collect();
        // All are back, or were just erased again, which is reported.
        let erased = map.clobbered().names;
        reported += erased.len() as u64;
        for name in missing {
            assert!(erased.iter().any(|erased| erased == name), "{name} is gone, and not reported");
        }
        if let Some(theirs) = map.find::<i64>("g0").expect("g0") {
            assert!(theirs >= newest, "g0 was {newest} and is {theirs}");
            newest = theirs;
        }
    }
    let told = peer.line();
    peer.process.wait().expect("wait");
    let told: Vec<u64> = told.split(' ').map(|word| word.parse().expect("a number")).collect();
    let [rounds, missed, lost, erased] = told[..] else { panic!("{told:?}") };
    // The last erase is seen by a last look; the next write puts all back.
    map.len().expect("len");
    reported += map.clobbered().names.len() as u64;
    map.set("last", true).expect("set");
    for (name, value) in names.iter().zip(acknowledged) {
        assert_eq!(map.find::<i64>(name).expect("find"), value, "{name}");
    }
    assert_eq!(map.get::<u64>("g3").expect("g3"), rounds);
    assert!(rounds > 10 && sets > 10, "{rounds} and {sets}");
    assert_eq!(lost, 0, "values of the stand-in were lost");
    assert_eq!(reported, erased, "erases reported, and done");
    println!("figure: the stand-in's writes = {rounds}, ours = {sets}");
    println!("figure: the stand-in's values lost = {lost} (goal 0)");
    println!("figure: erases reported = {reported} of {erased} (goal all)");
    println!("figure: waits of 10 ms that the stand-in missed = {missed} (goal 0)");
    print_holds(&map);
}

/// d7: killed while it holds the lock.
fn killed(exe: &str, name: &str) {
    let map = options(name).create().expect("create");
    for round in 1..=5 {
        let mut peer = Peer::standin(exe, "hold", name, 0.0);
        assert_eq!(peer.line(), "holding");
        if round == 1 {
            peer.kill();
            // Nobody else has the semaphore open, so it went with its holder.
            map.set("foo", round).expect("set behind a killed holder");
            continue;
        }
        // While we wait for it.
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
        println!("figure: set behind a killed holder = {:?}", set.saturating_duration_since(began));
    }
    let recovered = map.lock_stat().expect("a gem's").recovered;
    assert_eq!(recovered, 4, "dead holders were found out");
    println!("figure: locks taken over = {recovered} of 4 (goal 4)");
}

/// d3: kept for ever by one who lives.
fn leaked(exe: &str, name: &str) {
    let map = options(name).timeout(Duration::from_millis(300)).create().expect("create");
    let mut peer = Peer::standin(exe, "hold", name, 0.0);
    assert_eq!(peer.line(), "holding");
    assert_eq!(map.set("foo", 1).expect_err("held").kind(), ErrorKind::TimedOut);
    assert_eq!(options(name).unlock(false).expect_err("held").kind(), ErrorKind::TimedOut);
    assert_eq!(options(name).unlock(true).expect("unlock"), Unlocked::Freed);
    map.set("foo", 1).expect("set");
    assert_eq!(options(name).unlock(false).expect("unlock"), Unlocked::WasFree);
    println!("a lock that a living program has left is freed by force, and not otherwise");
}

/// d6: given back by one who does not hold it.
fn posted(exe: &str, name: &str) {
    let map = options(name).create().expect("create");
    let mut peer = Peer::standin(exe, "post", name, 0.0);
    assert_eq!(peer.line(), "ready");
    let section = Name::of_gem(name, Scope::Local).expect("name");
    let section = Section::options().name(section).open().expect("open");
    let lock = RubyLock::of(&section).expect("lock");
    let held = lock.take(Duration::from_secs(10)).expect("take");
    let mut to = peer.process.stdin.take().expect("its input");
    writeln!(to).expect("write");
    assert_eq!(peer.line(), "1", "the post was let in");
    assert!(!held.give().expect("give").exclusive, "298 was overlooked");
    map.set("foo", 1).expect("set");
    assert_eq!(map.get::<i64>("foo").expect("get"), 1);
    println!("a lock that another has given back while it was held is noticed (298)");
}

/// The same all the time, while we write.
fn broken(exe: &str, name: &str, seconds: f64) {
    let map = options(name).create().expect("create");
    let mut peer = Peer::standin(exe, "post", name, 0.0);
    assert_eq!(peer.line(), "ready");
    let mut to = peer.process.stdin.take().expect("its input");
    let poster = thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < until {
            writeln!(to).expect("write");
            peer.line();
        }
    });
    let mut sets = 0_i64;
    while !poster.is_finished() {
        map.set("foo", sets).expect("set");
        assert_eq!(map.get::<i64>("foo").expect("get"), sets);
        sets += 1;
    }
    poster.join().expect("the poster");
    let broken = map.lock_stat().expect("a gem's").broken;
    println!("figure: exclusion seen to be broken = {broken} times in {sets} sets");
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

/// Two processes of ours; then one is killed again and again.
fn two(name: &str, seconds: f64) {
    let map = options(name).on_clobber(OnClobber::Reassert).create().expect("create");
    let me = std::env::current_exe().expect("this program");
    let start = |seconds: f64| {
        let seconds = seconds.to_string();
        let mut peer = Peer::start(Command::new(&me).args(["--peer", name, "--seconds", &seconds]));
        assert_eq!(peer.line(), "ready");
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
    let theirs: u64 = other.line().parse().expect("a number");
    other.process.wait().expect("wait");
    assert_eq!(map.get::<u64>("both").expect("both"), rounds + theirs, "an update was lost");
    assert_eq!(map.clobbered().count, 0, "one of ours has erased something");
    println!("figure: updates by two processes = {}, lost = 0 (goal 0)", rounds + theirs);
    for round in 0..20_u64 {
        let victim = start(60.0);
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
    println!("figure: processes killed = 20, locks left behind = 0 (goal 0)");
    print_holds(&map);
}
