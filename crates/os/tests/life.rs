//! What tells a living process from a dead one, under what an operator, a monitor or another user
//! can do: reading a dead process's memory map, forking, locking bytes with the right to read.
//!
//! A test that needs a second process starts this executable again, with the name of a role in its
//! environment.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "fork, and locks on bytes")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{
    Attach, Error, ErrorKind, Name, RubyLock, Scope, Seat, Seats, Section, SectionOptions,
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

const ROLE: &str = "MAPVAR_LIFE_ROLE";
const PATH: &str = "MAPVAR_LIFE_PATH";
const ID: &str = "lifetest";
const MINUTE: Duration = Duration::from_mins(1);

/// A second process in a role. A drop kills it.
struct Peer(Child, BufReader<ChildStdout>);

impl Peer {
    fn start(role: &str, path: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).env(PATH, path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    #[track_caller]
    fn expect(&mut self, report: &str) {
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).unwrap() != 0, "no {report:?}: it has ended");
            if let Some((_, said)) = line.split_once('@') {
                return assert_eq!(said.trim_end(), report);
            }
        }
    }

    /// SIGKILL. Returns when the process is gone.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// Waits until the parent closes the pipe or dies.
fn await_end() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A file that is removed when this value is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("mapvar.life.{}.{count}", std::process::id())))
    }

    fn options(&self) -> SectionOptions {
        Section::options().file(&self.0).timeout(Duration::from_millis(50))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn sit(section: &Section) -> Seat {
    section.take_seat(Scope::Local, ID, 4).unwrap()
}

fn is_taken(section: &Section, slot: usize) -> bool {
    section.is_seat_taken(Scope::Local, ID, slot).unwrap()
}

/// The roles.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let path = env::var(PATH).unwrap();
    let section = || Section::options().file(&path).open().unwrap();
    match role.as_str() {
        "sit" => sit_in_much_memory(&section()),
        "fork" => fork_and_wait(section()),
        "name" => {
            let name = Name::new(&path).unwrap();
            let _section = Section::options().name(name).size(100).create().unwrap();
            report("ready");
            await_end();
        }
        other => panic!("no role {other:?}"),
    }
}

/// Role: has a seat, is attached, and maps the whole section.
fn sit_in_much_memory(section: &Section) {
    let view = section.view().map().unwrap();
    view.read_at(0, &mut vec![0; view.len()]).unwrap();
    let _seat = sit(section);
    let mut attachment = section.attach(MINUTE).unwrap();
    attachment.done().unwrap();
    report("ready");
    await_end();
}

#[test]
fn a_killed_process_is_dead_while_its_memory_map_is_read() {
    const ROUNDS: usize = 20;
    let scratch = Scratch::new();
    let section = scratch.options().size(96 << 20).create().unwrap();
    section.view().map().unwrap().write_at(0, &vec![1; 96 << 20]).unwrap();
    let mut late = 0;
    for _ in 0..ROUNDS {
        let mut peer = Peer::start("sit", &scratch.0);
        peer.expect("ready");
        assert!(is_taken(&section, 0));
        let smaps = format!("/proc/{}/smaps", peer.0.id());
        let (end, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !end.load(Ordering::Relaxed) {
                        let _ = fs::read(&smaps);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while reads.load(Ordering::Relaxed) < 3 {
                thread::yield_now();
            }
            peer.kill();
            // The system has reported its end, so nothing of it may count as alive.
            let seat = is_taken(&section, 0);
            let alone = section.attach(Duration::ZERO).is_ok_and(|attachment| attachment.alone());
            end.store(true, Ordering::Relaxed);
            late += usize::from(seat || !alone);
        });
    }
    assert_eq!(late, 0, "of {ROUNDS} killed processes");
}

/// Role: forks a child that outlives this process and has its copies of everything.
fn fork_and_wait(section: Section) {
    let seat = sit(&section);
    let mut attachment = section.attach(MINUTE).unwrap();
    attachment.done().unwrap();
    // SAFETY: the child has only this thread, and its calls take no lock of another thread.
    if unsafe { libc::fork() } == 0 {
        // The child's own handle gets the descriptors that its parent's copies had.
        let own = Section::options().file(env::var(PATH).unwrap()).open().unwrap();
        let mine = sit(&own);
        let closed = seat.is_taken(0).is_err_and(|error| error.kind() == ErrorKind::Closed);
        drop((seat, attachment, section));
        let whole = own.size().is_ok();
        let another = Section::options().file(env::var(PATH).unwrap()).open().unwrap();
        let kept = whole && mine.slot() == 1 && is_taken(&another, 1) && is_taken(&another, 0);
        report(match (closed, kept) {
            (true, true) => "forked",
            (false, _) => "the child uses its parent's seat",
            (_, false) => "the child loses its own handle",
        });
        await_end();
        // SAFETY: ends the process without exit handlers, as a child after fork must.
        unsafe { libc::_exit(0) };
    }
    thread::sleep(3 * MINUTE);
}

#[test]
fn a_child_after_fork_keeps_no_seat_and_no_place_of_a_killed_parent() {
    let scratch = Scratch::new();
    let section = scratch.options().size(100).create().unwrap();
    let mut peer = Peer::start("fork", &scratch.0);
    peer.expect("forked");
    assert!(is_taken(&section, 0) && is_taken(&section, 1));
    assert!(!section.attach(MINUTE).unwrap().alone());
    // The child lives until its pipe is closed, which `kill` would do.
    let pipe = peer.0.stdin.take();
    peer.kill();
    // Its own seat is taken, and its parent's is free.
    assert!(is_taken(&section, 1));
    assert!(!is_taken(&section, 0), "the child keeps its dead parent's seat");
    assert!(section.attach(MINUTE).unwrap().alone());
    drop(pipe);
}

#[test]
fn a_handle_to_inherit_keeps_its_seat_to_itself() {
    let scratch = Scratch::new();
    let section = scratch.options().size(100).create().unwrap();
    let mine = scratch.options().inherit(true).open().unwrap();
    let seat = sit(&mine);
    let mut sleeper = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let links = format!("/proc/{}/fd", sleeper.id());
    let here = fs::canonicalize(&scratch.0).unwrap();
    let copies = || {
        let links = fs::read_dir(&links).unwrap().flatten();
        links.filter(|link| fs::read_link(link.path()).is_ok_and(|to| to == here)).count()
    };
    assert_eq!(copies(), 1, "the memory alone is inherited");
    assert!(is_taken(&section, 0));
    drop((seat, mine));
    assert!(!is_taken(&section, 0));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Locks every byte of the file shared, or unlocks them, by a descriptor that can only read.
fn lock_shared(file: &fs::File, kind: i32) {
    // SAFETY: the struct consists of integers, for which all zeros is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    // SAFETY: the descriptor is open, and the call only reads the struct.
    let done = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_shared_lock_of_a_reader_is_no_owner_and_is_named() {
    #[track_caller]
    fn names_the_reader<T>(result: Result<T, Error>, kind: ErrorKind) {
        let Err(error) = result else { panic!("no error, {kind} was due") };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("shared lock"), "{error}");
    }
    let scratch = Scratch::new();
    let section = scratch.options().size(100).create().unwrap();
    let reader = fs::File::open(&scratch.0).unwrap();
    // All bytes: those of the file, the seats, the gate, the byte of growth.
    lock_shared(&reader, libc::F_RDLCK);
    for slot in 0..4 {
        assert!(!is_taken(&section, slot), "a shared lock counts as an owner of seat {slot}");
    }
    names_the_reader(section.take_seat(Scope::Local, ID, 4), ErrorKind::Full);
    names_the_reader(section.attach(Duration::ZERO), ErrorKind::TimedOut);
    names_the_reader(section.grow(1 << 20), ErrorKind::TimedOut);
    let gem = RubyLock::of(&section).unwrap();
    names_the_reader(gem.take(Duration::ZERO), ErrorKind::TimedOut);
    names_the_reader(gem.unlock(false), ErrorKind::TimedOut);
    lock_shared(&reader, libc::F_UNLCK);
    section.grow(1 << 20).unwrap();
    assert!(section.attach(Duration::ZERO).unwrap().alone());
    assert_eq!(sit(&section).slot(), 0);
}

/// Returns the path of the section of a name (docs/PLATFORM.md).
fn place(name: &Name) -> PathBuf {
    // SAFETY: the call returns a number.
    let uid = unsafe { libc::geteuid() };
    Path::new("/dev/shm").join(format!("mapvar.{uid}.{name}"))
}

/// What `reap_left` (names.rs) removes, and what it leaves.
#[test]
fn names_of_killed_processes_go_when_any_name_is_created() {
    let name = |what: &str| Name::new(&format!("life.{what}.{}", std::process::id())).unwrap();
    let (left, living, new) = (name("left"), name("living"), name("new"));
    let mut killed = Peer::start("name", Path::new(left.as_str()));
    killed.expect("ready");
    let mut lives = Peer::start("name", Path::new(living.as_str()));
    lives.expect("ready");
    killed.kill();
    assert!(place(&left).exists() && place(&living).exists());
    // A section that is being built aside has no lock yet.
    let built = PathBuf::from(format!("{}~{}", place(&new).display(), std::process::id()));
    fs::write(&built, "").unwrap();
    // Another process, which has not created a name in the last second.
    let mut creator = Peer::start("name", Path::new(new.as_str()));
    creator.expect("ready");
    assert!(!place(&left).exists(), "a name that a killed process left");
    assert!(place(&living).exists() && place(&new).exists());
    assert!(built.exists(), "a section that is being built");
    fs::remove_file(&built).unwrap();
    for (mut peer, name) in [(lives, living), (creator, new)] {
        peer.kill();
        assert_eq!(Section::options().name(name).open().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
