//! The conformance suite: the promises of the crate, which are the same on every system. It passes
//! on Linux and under Wine.
//!
//! The tests of sharing start second processes. Each runs this executable again, with the name of a
//! role in its environment. No test asserts a maximum run time; a watchdog ends a test that hangs.

#![allow(clippy::disallowed_types, reason = "a counter of the test's own")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{
    Access, Attach, Error, ErrorKind, Locks, Name, Origin, Protection, Refused, Scope, Seat, Seats,
    Section, SectionFlags, SectionOptions, Taken, View, machine,
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

const ROLE: &str = "MAPVAR_CONTRACT_ROLE";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

// ---------------------------------------------------------------------------------------------
// Second processes

/// Another process, in a role of [`child`]. A drop kills it.
struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Starts a process. Under load Wine sometimes fails with "internal error" (1359), and the next
/// attempt succeeds; so this retries that error.
fn start(command: &mut Command) -> Child {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(1359) => {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            other => return other.unwrap(),
        }
    }
    panic!("no process can be started")
}

impl Peer {
    fn start(role: &str, args: &[&str]) -> Self {
        Self::start_by(Command::new(env::current_exe().unwrap()), role, args)
    }

    /// Starts the process by a command that ends in this executable, or runs its arguments.
    fn start_by(mut command: Command, role: &str, args: &[&str]) -> Self {
        command.args(["--exact", "child", "--nocapture"]).env(ROLE, role);
        for (at, arg) in args.iter().enumerate() {
            command.env(format!("{ROLE}{at}"), arg);
        }
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line of [`report`] and returns it.
    #[track_caller]
    fn next_report(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read != 0, "the peer ended without a word");
            // The test harness writes "test child ... " before the report, on the same line.
            if let Some((_, report)) = line.split_once('@') {
                return report.trim_end().to_owned();
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, report: &str) {
        assert_eq!(self.next_report(), report);
    }

    /// Lets the process continue: see [`await_go`].
    fn go(&mut self) {
        let input = self.input.as_mut().unwrap();
        input.write_all(b"go\n").unwrap();
        input.flush().unwrap();
    }

    /// SIGKILL, or `TerminateProcess`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its standard input, and waits until it ends in an orderly way.
    #[track_caller]
    fn end(mut self) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the peer failed: {rest}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reports a line to the parent.
fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// Waits until the parent lets this process continue; false if it closed the pipe or died.
fn await_go() -> bool {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap_or(0) != 0
}

fn arg(at: usize) -> String {
    env::var(format!("{ROLE}{at}")).unwrap()
}

/// Not a test: the entry point of second processes.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let _watch = Watchdog::new(&role, 3 * MINUTE);
    match role.as_str() {
        "say" => say(),
        "hold" => hold(),
        "race" => race(),
        "churn" => churn(),
        "die_in_fill" => die_in_fill(),
        "attach" => stay_attached(),
        "seat" => stay_seated(),
        "lock" => hold_lock(),
        "count" => count_under_lock(),
        "grow" => grow_in_turns(),
        "step" => grow_in_steps(),
        #[cfg(target_os = "linux")]
        "full" => unix::grow_where_there_is_no_room(),
        #[cfg(target_os = "linux")]
        "ulimit" => unix::grow_within_limits(),
        #[cfg(unix)]
        "fork" => unix::fork_with_everything(),
        #[cfg(unix)]
        "fork_seat" => unix::fork_with_a_seat(),
        other => panic!("no role {other:?}"),
    }
}

/// Aborts the process after a time limit, so that a hang is a failure with a name.
struct Watchdog(Arc<AtomicU32>);

impl Watchdog {
    fn new(what: &str, limit: Duration) -> Self {
        let done = Arc::new(AtomicU32::new(0));
        let (what, seen) = (what.to_owned(), done.clone());
        thread::spawn(move || {
            let start = Instant::now();
            while seen.load(Ordering::Relaxed) == 0 {
                if start.elapsed() > limit {
                    // Not `eprintln`: the test harness would capture the output.
                    let mut err = std::io::stderr();
                    let _ = writeln!(err, "watchdog: {what} did not end within {limit:?}");
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self(done)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

fn watch() -> Watchdog {
    Watchdog::new(thread::current().name().unwrap_or("test"), MINUTE)
}

// ---------------------------------------------------------------------------------------------
// Names, files, helpers

fn unique(label: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // A process that is ended leaves its folders, and under Wine a later one has its number.
    static TIME: LazyLock<u128> =
        LazyLock::new(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff_ffff);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("contract.{label}.{}.{:x}.{count}", std::process::id(), *TIME)
}

fn name(label: &str) -> Name {
    Name::new(&unique(label)).unwrap()
}

/// A directory that is removed when this value is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = env::temp_dir().join(unique("dir"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("a.map")
    }

    /// Returns the number of its entries.
    fn entries(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn by_name(name: &Name) -> SectionOptions {
    Section::options().name(name.clone())
}

fn by_file(path: &Path) -> SectionOptions {
    Section::options().file(path)
}

fn whole(section: &Section) -> View {
    section.view().map().unwrap()
}

fn bytes(view: &View, at: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    view.read_at(at, &mut bytes).unwrap();
    bytes
}

/// Asserts that the error is of `kind` and that its message names operation, object and remedy.
#[track_caller]
fn is<T>(result: Result<T, Error>, kind: ErrorKind, object: &str) -> Error {
    let Err(error) = result else { panic!("no error, {kind} was due") };
    assert_eq!(error.kind(), kind, "{error}");
    let message = error.to_string();
    assert!(message.contains(object), "{message:?} does not name {object:?}");
    assert!(!error.operation().is_empty() && message.starts_with(error.operation()), "{message:?}");
    assert!(message.contains("; "), "{message:?} has no remedy");
    error
}

/// Calls `attempt` until it returns a value; for effects that the system causes some time after a
/// process was killed.
fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

// ---------------------------------------------------------------------------------------------
// Create, open, open or create

#[test]
fn a_named_section_is_created_once_and_opened_by_others() {
    let _watch = watch();
    let name = name("create");
    is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
    let made = by_name(&name).size(5000).create().unwrap();
    assert_eq!(made.origin(), Origin::Created);
    whole(&made).write_at(4990, b"0123456789").unwrap();

    is(by_name(&name).size(5000).create(), ErrorKind::AlreadyExists, name.as_str());
    let opened = by_name(&name).open().unwrap();
    assert_eq!(opened.origin(), Origin::Opened);
    let either = by_name(&name).size(100).open_or_create().unwrap();
    assert_eq!(either.origin(), Origin::Opened);
    for section in [&opened, &either] {
        assert_eq!(section.size().unwrap(), made.size().unwrap());
        assert_eq!(bytes(&whole(section), 4990, 10), b"0123456789");
        assert_eq!(section.id().unwrap(), None);
    }
    // The size may be rounded up to a page.
    let size = made.size().unwrap();
    assert!((5000..=8192).contains(&size) || size == machine::page_size() as u64, "{size}");
}

#[test]
fn open_or_create_makes_a_section_where_there_is_none() {
    let _watch = watch();
    let name = name("either");
    let made = by_name(&name).size(64).open_or_create().unwrap();
    assert_eq!(made.origin(), Origin::Created);
    assert_eq!(bytes(&whole(&made), 0, 64), [0; 64]);
    drop(made);
    is(by_name(&name).open_or_create(), ErrorKind::InvalidArgument, name.as_str());
}

#[test]
fn a_file_is_created_once_with_its_exact_size_and_opened_by_others() {
    let _watch = watch();
    let scratch = Scratch::new();
    let path = scratch.file();
    is(by_file(&path).open(), ErrorKind::NotFound, "a.map");
    let made = by_file(&path).size(5001).create().unwrap();
    assert_eq!(made.origin(), Origin::Created);
    assert_eq!(made.size().unwrap(), 5001);
    whole(&made).write_at(4991, b"0123456789").unwrap();

    is(by_file(&path).size(9).create(), ErrorKind::AlreadyExists, "a.map");
    let opened = by_file(&path).size(5001).open().unwrap();
    assert_eq!(opened.origin(), Origin::Opened);
    let either = by_file(&path).size(1).open_or_create().unwrap();
    assert_eq!(either.origin(), Origin::Opened);
    for section in [&opened, &either] {
        assert_eq!(section.size().unwrap(), 5001);
        assert_eq!(bytes(&whole(section), 4991, 10), b"0123456789");
        assert_eq!(section.id().unwrap(), made.id().unwrap());
    }
    assert!(made.id().unwrap().is_some_and(|id| id.file != 0));
    let id = made.id().unwrap();
    thread::sleep(Duration::from_millis(20));
    whole(&made).write_at(0, b"later").unwrap();
    whole(&made).flush_durable(0..5).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"last").unwrap();
    assert_eq!(by_file(&path).open().unwrap().id().unwrap(), id, "it is another when written to");
    drop((made, opened, either));
    assert_eq!(fs::metadata(&path).unwrap().len(), 5001);
    assert_eq!(scratch.entries(), 1, "something was left beside the file");
}

#[test]
fn a_file_that_was_there_is_opened_as_it_is() {
    let _watch = watch();
    let scratch = Scratch::new();
    fs::write(scratch.file(), b"hello").unwrap();
    let section = by_file(&scratch.file()).open_or_create().unwrap();
    assert_eq!((section.origin(), section.size().unwrap()), (Origin::Opened, 5));
    assert_eq!(bytes(&whole(&section), 0, 5), b"hello");
    drop(section);
    assert_eq!(fs::read(scratch.file()).unwrap(), b"hello");
}

#[test]
fn open_or_create_makes_a_file_where_there_is_none() {
    let _watch = watch();
    let scratch = Scratch::new();
    is(by_file(&scratch.file()).open_or_create(), ErrorKind::InvalidArgument, "a.map");
    let section = by_file(&scratch.file()).size(3).open_or_create().unwrap();
    assert_eq!((section.origin(), section.size().unwrap()), (Origin::Created, 3));
    assert_eq!(bytes(&whole(&section), 0, 3), [0; 3]);
    let nowhere = scratch.0.join("nowhere").join("b.map");
    is(by_file(&nowhere).size(1).create(), ErrorKind::NotFound, "b.map");
    is(by_file(&nowhere).open(), ErrorKind::NotFound, "b.map");
}

#[test]
fn an_anonymous_section_is_memory_of_its_own() {
    let _watch = watch();
    let one = Section::options().size(100).create().unwrap();
    let other = Section::options().size(100).open_or_create().unwrap();
    assert_eq!((one.origin(), other.origin()), (Origin::Created, Origin::Created));
    assert!(one.size().unwrap() >= 100);
    let (view, again) = (whole(&one), whole(&one));
    view.write_at(50, b"mine").unwrap();
    assert_eq!(bytes(&again, 50, 4), b"mine");
    assert_eq!(bytes(&whole(&other), 50, 4), [0; 4]);
    is(Section::options().open(), ErrorKind::InvalidArgument, "anonymous");
    is(Section::options().create(), ErrorKind::InvalidArgument, "anonymous");
}

#[test]
fn a_size_of_nothing_is_refused() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("nothing");
    is(by_name(&name).size(0).create(), ErrorKind::InvalidArgument, name.as_str());
    is(by_name(&name).size(0).open_or_create(), ErrorKind::InvalidArgument, name.as_str());
    is(by_file(&scratch.file()).size(0).create(), ErrorKind::InvalidArgument, "a.map");
    assert_eq!(scratch.entries(), 0);
    is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());

    // A file of 0 bytes opens, but has no range to map.
    fs::write(scratch.file(), b"").unwrap();
    let mapped = by_file(&scratch.file()).open().and_then(|section| section.view().map());
    let said = mapped.as_ref().unwrap_err().to_string();
    assert!(said.contains("0 bytes") && said.contains("grow it"), "{said}");
    is(mapped, ErrorKind::InvalidArgument, "a.map");
    assert_eq!(fs::metadata(scratch.file()).unwrap().len(), 0);
}

#[test]
fn a_section_smaller_than_asked_for_is_not_opened() {
    let _watch = watch();
    let scratch = Scratch::new();
    fs::write(scratch.file(), b"hello").unwrap();
    is(by_file(&scratch.file()).size(6).open(), ErrorKind::TooLarge, "a.map");
    is(by_file(&scratch.file()).size(6).open_or_create(), ErrorKind::TooLarge, "a.map");
    assert_eq!(fs::read(scratch.file()).unwrap(), b"hello");

    let name = name("small");
    let made = by_name(&name).size(10).create().unwrap();
    let more = made.size().unwrap() + 1;
    is(by_name(&name).size(more).open(), ErrorKind::TooLarge, name.as_str());
    is(by_name(&name).size(more).open_or_create(), ErrorKind::TooLarge, name.as_str());
    assert!(by_name(&name).size(more - 1).open().is_ok());
}

#[test]
fn sizes_beyond_4_gib_are_exact() {
    let _watch = watch();
    let scratch = Scratch::new();
    let size = (5 << 30) + 123;
    let large = |options: SectionOptions| options.flags(SectionFlags::RESERVE).size(size).create();
    let file = large(by_file(&scratch.file())).unwrap();
    assert_eq!(file.size().unwrap(), size);
    let at = (4 << 30) + 77_777;
    let view = file.view().offset(at).len(1000).map().unwrap();
    view.write_at(3, b"far out").unwrap();
    view.flush_durable(0..1000).unwrap();
    // What has no addresses is refused, and so is what pointers cannot cross.
    #[cfg(target_pointer_width = "32")]
    for too_long in [size, 3 << 30] {
        is(file.view().len(too_long).map(), ErrorKind::TooLarge, "a.map");
    }
    drop((view, file));
    let mut plain = fs::File::open(scratch.file()).unwrap();
    plain.seek(SeekFrom::Start(at + 3)).unwrap();
    let mut read = [0; 7];
    plain.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"far out");

    let named = large(by_name(&name("large"))).unwrap();
    let reported = named.size().unwrap();
    assert!(reported >= size && reported - size < 64 << 10, "{reported}");
}

#[test]
fn what_fill_writes_is_there_before_others_open() {
    let _watch = watch();
    let scratch = Scratch::new();
    for options in [by_file(&scratch.file()), by_name(&name("fill"))] {
        let options = options.size(100);
        let section = options.create_with(|view| view.write_at(90, b"0123456789")).unwrap();
        assert_eq!(bytes(&whole(&section), 90, 10), b"0123456789");
        let mut filled = false;
        let opened = options
            .open_or_create_with(|_| {
                filled = true;
                Ok(())
            })
            .unwrap();
        assert!(!filled, "an old section was filled again");
        assert_eq!(bytes(&whole(&opened), 90, 10), b"0123456789");
        section.refill(|view| view.write_at(0, b"again")).unwrap();
        assert_eq!(bytes(&whole(&opened), 0, 5), b"again");
    }
}

#[test]
fn a_fill_that_fails_leaves_nothing_behind() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("unfilled");
    let fail = |_: &View| Err(Error::new(ErrorKind::Corrupt, "fill", "the test"));
    for options in [by_file(&scratch.file()), by_name(&name)] {
        let error = options.clone().size(100).create_with(fail).unwrap_err();
        assert_eq!((error.kind(), error.object()), (ErrorKind::Corrupt, "the test"));
        let error = options.clone().size(100).open_or_create_with(fail).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(options.open().unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(scratch.entries(), 0);
}

#[test]
fn names_that_break_the_rule_are_refused() {
    for bad in ["", "a b", "a/b", "a\\b", "Local\\a", "../a", "é", "a\0b", &"a".repeat(121)] {
        assert_eq!(Name::new(bad).unwrap_err().kind(), ErrorKind::InvalidName, "{bad:?}");
        assert_eq!(Name::global(bad).unwrap_err().kind(), ErrorKind::InvalidName, "{bad:?}");
    }
    let _watch = watch();
    let longest = Name::new(&format!("{:x<120}", unique("long"))).unwrap();
    let section = by_name(&longest).size(10).create().unwrap();
    assert_eq!(by_name(&longest).open().unwrap().size().unwrap(), section.size().unwrap());
}

#[test]
fn the_scopes_are_apart() {
    let _watch = watch();
    let text = unique("scope");
    let local = by_name(&Name::new(&text).unwrap()).size(10).create().unwrap();
    let global = by_name(&Name::global(&text).unwrap()).size(10).create().unwrap();
    whole(&local).write_at(0, b"local").unwrap();
    assert_eq!(bytes(&whole(&global), 0, 5), [0; 5]);
    // Names are case-sensitive.
    let upper = Name::new(&text.to_uppercase()).unwrap();
    is(by_name(&upper).open(), ErrorKind::NotFound, "");
}

#[test]
fn a_directory_is_no_section() {
    let _watch = watch();
    let scratch = Scratch::new();
    for protection in [Protection::ReadOnly, Protection::ReadWrite] {
        let options = by_file(&scratch.0).protection(protection).size(10);
        is(options.open(), ErrorKind::NameTaken, "contract.dir");
        is(options.open_or_create(), ErrorKind::NameTaken, "contract.dir");
    }
    is(by_file(&scratch.0).size(10).create(), ErrorKind::NameTaken, "contract.dir");
    assert_eq!(scratch.entries(), 0);
}

// ---------------------------------------------------------------------------------------------
// Views

#[test]
fn views_begin_and_end_anywhere() {
    let _watch = watch();
    let scratch = Scratch::new();
    let plain: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(scratch.file(), &plain).unwrap();
    let section = by_file(&scratch.file()).open().unwrap();
    for (offset, len) in [(0, 1), (1, 1), (7, 4096), (4095, 2), (65_535, 70_000), (299_999, 1)] {
        let view = section.view().offset(offset).len(len).map().unwrap();
        assert_eq!((view.offset(), view.len() as u64), (offset, len));
        let at = offset as usize;
        assert_eq!(bytes(&view, 0, len as usize), plain[at..at + len as usize]);
        view.write_at(len as usize - 1, b"!").unwrap();
        assert_eq!(bytes(&whole(&section), at + len as usize - 1, 1), b"!");
        whole(&section).write_at(0, &plain).unwrap();
    }
    let rest = section.view().offset(1000).map().unwrap();
    assert_eq!(rest.len(), 299_000);
}

#[test]
fn ranges_beyond_the_section_are_refused() {
    let _watch = watch();
    let scratch = Scratch::new();
    let section = by_file(&scratch.file()).size(5000).create().unwrap();
    let map = |offset, len| section.view().offset(offset).len(len).map();
    is(map(0, 5001), ErrorKind::OutOfRange, "a.map");
    is(map(5000, 1), ErrorKind::OutOfRange, "a.map");
    is(map(u64::MAX, 2), ErrorKind::OutOfRange, "a.map");
    is(map(1, u64::MAX), ErrorKind::OutOfRange, "a.map");
    is(map(100, 0), ErrorKind::InvalidArgument, "a.map");
    is(section.view().offset(5000).map(), ErrorKind::InvalidArgument, "a.map");
    is(section.view().offset(5001).map(), ErrorKind::OutOfRange, "a.map");

    let view = section.view().offset(3).len(100).map().unwrap();
    is(view.read_at(99, &mut [0; 2]), ErrorKind::OutOfRange, "a.map");
    is(view.write_at(usize::MAX, b"ab"), ErrorKind::OutOfRange, "a.map");
    is(view.write_string([1; 101]), ErrorKind::OutOfRange, "a.map");
    is(view.read_string(101), ErrorKind::OutOfRange, "a.map");
    assert!(view.read_at(100, &mut []).is_ok());
}

#[test]
fn strings_are_bytes() {
    let _watch = watch();
    let section = Section::options().size(100).create().unwrap();
    let view = section.view().len(16).map().unwrap();
    view.write_string("a\0é").unwrap();
    assert_eq!(view.read_string(6).unwrap(), [b'a', 0, 0xc3, 0xa9, 0, 0]);
}

#[test]
fn words_are_checked_and_little_endian() {
    let _watch = watch();
    let section = Section::options().size(4096).create().unwrap();
    let view = section.view().offset(3).len(100).map().unwrap();
    assert!(view.words(0, 1).is_none(), "byte 3 of the section is no word");
    assert!(view.words(5, 12).is_none(), "beyond the end");
    let words = view.words_mut(5, 11).unwrap();
    words.store(10, 0x0807_0605_0403_0201, Ordering::Release);
    assert_eq!(bytes(&view, 85, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(words.compare_exchange(10, 1, 2), Err(0x0807_0605_0403_0201));
}

#[test]
fn a_view_for_reading_refuses_writes() {
    let _watch = watch();
    let name = name("readonly");
    let made = by_name(&name).size(100).create().unwrap();
    whole(&made).write_at(0, b"hello").unwrap();
    let view = made.view().access(Access::Read).map().unwrap();
    assert_eq!(view.access(), Access::Read);
    is(view.write_at(0, b"HELLO"), ErrorKind::ReadOnly, name.as_str());
    assert!(view.words_mut(0, 1).is_none());
    assert_eq!(bytes(&view, 0, 5), b"hello");

    let reader = by_name(&name).protection(Protection::ReadOnly).open().unwrap();
    assert_eq!(bytes(&whole(&reader), 0, 5), b"hello");
    is(reader.view().access(Access::ReadWrite).map(), ErrorKind::ReadOnly, name.as_str());
    whole(&made).write_at(0, b"later").unwrap();
    assert_eq!(bytes(&whole(&reader), 0, 5), b"later");
}

#[test]
fn a_file_for_reading_is_mapped_without_the_right_to_write() {
    let _watch = watch();
    let scratch = Scratch::new();
    fs::write(scratch.file(), b"hello").unwrap();
    let mut permissions = fs::metadata(scratch.file()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(scratch.file(), permissions.clone()).unwrap();
    let section = by_file(&scratch.file()).protection(Protection::ReadOnly).open().unwrap();
    assert_eq!(bytes(&whole(&section), 0, 5), b"hello");
    is(section.view().access(Access::ReadWrite).map(), ErrorKind::ReadOnly, "a.map");
    let copy = section.view().access(Access::CopyOnWrite).map().unwrap();
    copy.write_at(0, b"HELLO").unwrap();
    assert_eq!(bytes(&copy, 0, 5), b"HELLO");
    drop((copy, section));
    assert_eq!(fs::read(scratch.file()).unwrap(), b"hello");
    #[allow(clippy::permissions_set_readonly_false, reason = "to remove it again")]
    permissions.set_readonly(false);
    fs::set_permissions(scratch.file(), permissions).unwrap();
}

#[test]
fn nobody_else_sees_what_is_written_to_a_copy() {
    let _watch = watch();
    let section = by_name(&name("copy")).size(100).create().unwrap();
    let shared = whole(&section);
    shared.write_at(0, b"hello").unwrap();
    let copy = section.view().access(Access::CopyOnWrite).map().unwrap();
    assert_eq!(bytes(&copy, 0, 5), b"hello");
    copy.write_at(0, b"HELLO").unwrap();
    assert_eq!(bytes(&copy, 0, 5), b"HELLO");
    assert_eq!(bytes(&shared, 0, 5), b"hello");
}

#[test]
fn code_is_run_only_where_the_protection_allows_it() {
    let _watch = watch();
    let section = Section::options().size(100).create().unwrap();
    is(section.view().execute(true).map(), ErrorKind::PermissionDenied, "anonymous");
    let options = Section::options().size(100).protection(Protection::ExecuteReadWrite);
    let section = options.create().unwrap();
    let view = section.view().execute(true).map().unwrap();
    view.write_at(0, b"code").unwrap();
    let reading = section.view().execute(true).access(Access::Read).map().unwrap();
    assert_eq!(bytes(&reading, 0, 4), b"code");
}

#[test]
fn a_base_address_is_met_exactly_or_refused() {
    let _watch = watch();
    let section = Section::options().size(200_000).create().unwrap();
    // Below 2 GiB, where 32-bit programs have addresses too.
    let base = 0x5000_0000_usize;
    let at = |address| section.view().base_address(address);
    let view = at(base).map().unwrap();
    assert_eq!(view.as_ptr().addr(), base);
    view.write_at(0, b"hello").unwrap();
    let error = at(base).map().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::InvalidArgument),
        "taken: {:?} {error}",
        error.kind()
    );
    assert_eq!(bytes(&view, 0, 5), b"hello", "the mapping that was there was replaced");
    is(at(base + 1).map(), ErrorKind::InvalidArgument, "anonymous");
    is(at(base + machine::granularity() / 2).map(), ErrorKind::InvalidArgument, "anonymous");
    let elsewhere = base + (1 << 28);
    let offset = at(elsewhere).offset(machine::granularity() as u64 + 5).map().unwrap();
    assert_eq!(offset.as_ptr().addr(), elsewhere + 5);
}

#[test]
fn flush_writes_ranges_and_checks_their_bounds() {
    let _watch = watch();
    let scratch = Scratch::new();
    let section = by_file(&scratch.file()).size(100_000).create().unwrap();
    let view = section.view().offset(11).len(90_000).map().unwrap();
    view.write_at(70_000, b"flushed").unwrap();
    view.flush(0..0).unwrap();
    view.flush(69_999..70_008).unwrap();
    view.flush_durable(0..90_000).unwrap();
    view.flush_durable(5..6).unwrap();
    is(view.flush(0..90_001), ErrorKind::OutOfRange, "a.map");
    is(view.flush_durable(90_000..90_001), ErrorKind::OutOfRange, "a.map");
    view.close().unwrap();
    section.close().unwrap();
    assert_eq!(&fs::read(scratch.file()).unwrap()[70_011..70_018], b"flushed");

    // Without a file a flush has no effect and returns no error.
    let named = by_name(&name("flush")).size(100).create().unwrap();
    whole(&named).flush_durable(0..100).unwrap();
}

#[test]
fn close_reports_and_leaves_the_others_alone() {
    let _watch = watch();
    let section = by_name(&name("close")).size(100).create().unwrap();
    let (one, other) = (whole(&section), whole(&section));
    one.write_at(0, b"hello").unwrap();
    one.close().unwrap();
    section.close().unwrap();
    assert_eq!(bytes(&other, 0, 5), b"hello");
    other.close().unwrap();
}

#[test]
fn handles_go_between_threads_and_show_what_they_are() {
    fn both<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    let _watch = watch();
    let name = name("threads");
    let section = by_name(&name).size(8).create().unwrap();
    let view = whole(&section);
    both(&section);
    both(&view);
    assert!(format!("{section:?} {view:?}").contains(name.as_str()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    view.words_mut(0, 1).unwrap().fetch_add(0, 1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(bytes(&view, 0, 8), 4000_u64.to_le_bytes());
}

#[test]
fn a_section_to_inherit_is_used_like_any_other() {
    let _watch = watch();
    let name = name("inherit");
    let section = by_name(&name).size(100).inherit(true).create().unwrap();
    whole(&section).write_at(0, b"hello").unwrap();
    let opened = by_name(&name).inherit(true).open().unwrap();
    assert_eq!(bytes(&whole(&opened), 0, 5), b"hello");
    drop((section, opened));
    // Processes that other tests start meanwhile inherit it too.
    eventually(|| by_name(&name).open().err());
}

// ---------------------------------------------------------------------------------------------
// Between processes

/// Role: opens by file or name, reports 5 bytes from byte 10 on, and overwrites them.
fn say() {
    let section = match arg(0).as_str() {
        "file" => by_file(Path::new(&arg(1))),
        _ => by_name(&Name::new(&arg(1)).unwrap()),
    };
    let section = section.open().unwrap();
    let view = whole(&section);
    report(&String::from_utf8(bytes(&view, 10, 5)).unwrap());
    view.write_at(10, b"world").unwrap();
    report("written");
}

#[test]
fn two_processes_share_bytes_by_name_and_by_file() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("share");
    let path = scratch.file();
    for (by, at, options) in
        [("name", name.as_str(), by_name(&name)), ("file", path.to_str().unwrap(), by_file(&path))]
    {
        let section = options.size(100).create().unwrap();
        let view = whole(&section);
        view.write_at(10, b"hello").unwrap();
        let mut peer = Peer::start("say", &[by, at]);
        peer.expect("hello");
        peer.expect("written");
        assert_eq!(bytes(&view, 10, 5), b"world", "by {by}");
        peer.end();
    }
}

/// Role: opens or creates a name and keeps it open until [`Peer::go`] or [`Peer::end`].
fn hold() {
    let options = by_name(&Name::new(&arg(0)).unwrap()).size(4096);
    let section = options.open_or_create().unwrap();
    let view = whole(&section);
    report(&format!("{:?} {:?}", section.origin(), view.read_string(5).unwrap()));
    await_go();
}

#[test]
fn a_name_lives_as_long_as_a_view_and_then_is_gone() {
    let _watch = watch();
    let name = name("life");
    let section = by_name(&name).size(4096).create().unwrap();
    let view = whole(&section);
    view.write_at(0, b"alive").unwrap();
    drop(section);
    let mut peer = Peer::start("hold", &[name.as_str()]);
    peer.expect(&format!("Opened {:?}", b"alive"));
    drop(view);
    let last = by_name(&name).open().unwrap();
    assert_eq!(bytes(&whole(&last), 0, 5), b"alive");
    drop(last);
    assert!(by_name(&name).open().is_ok(), "the peer holds it still");
    peer.end();
    eventually(|| by_name(&name).open().err());
    is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
    let anew = by_name(&name).size(4096).create().unwrap();
    assert_eq!(bytes(&whole(&anew), 0, 5), [0; 5]);
}

#[test]
fn the_name_of_a_killed_holder_is_free() {
    let _watch = watch();
    for round in 0..4 {
        let name = name("killed");
        let mut peer = Peer::start("hold", &[name.as_str()]);
        peer.expect(&format!("Created {:?}", [0; 5]));
        let ours = by_name(&name).open().unwrap();
        whole(&ours).write_at(0, b"stays").unwrap();
        if round % 2 == 0 {
            drop(ours);
            peer.kill();
            eventually(|| by_name(&name).open().err());
        } else {
            peer.kill();
            let again = by_name(&name).open().unwrap();
            assert_eq!(bytes(&whole(&again), 0, 5), b"stays");
            drop((ours, again));
        }
        is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
        let anew = match round {
            0 | 1 => by_name(&name).size(10).create(),
            _ => by_name(&name).size(10).open_or_create(),
        };
        let anew = anew.unwrap();
        assert_eq!(anew.origin(), Origin::Created);
        assert_eq!(bytes(&whole(&anew), 0, 5), [0; 5]);
    }
}

/// Role: opens or creates a section at the same time as other processes, and reports its origin and
/// the stamp in it.
fn race() {
    let options = match arg(0).as_str() {
        "file" => by_file(Path::new(&arg(1))),
        _ => by_name(&Name::new(&arg(1)).unwrap()),
    };
    report("ready");
    assert!(await_go());
    let stamp = u64::from(std::process::id());
    let section = options
        .size(8 * 512)
        .timeout(MINUTE)
        .open_or_create_with(|view| {
            let words = view.words_mut(0, 512).unwrap();
            for at in 0..512 {
                words.fetch_add(at, stamp, Ordering::Relaxed);
                if at % 64 == 0 {
                    thread::yield_now();
                }
            }
            Ok(())
        })
        .unwrap();
    let view = whole(&section);
    let words = view.words(0, 512).unwrap();
    let first = words.load(0, Ordering::Acquire);
    let same = (0..512).all(|at| words.load(at, Ordering::Relaxed) == first);
    report(&format!("{:?} {}", section.origin(), if same { first } else { 0 }));
    await_go();
}

#[test]
fn of_64_processes_that_race_one_creates_and_all_get_the_same() {
    let _watch = Watchdog::new("64 processes", 3 * MINUTE);
    let scratch = Scratch::new();
    let (name, path) = (unique("race"), scratch.file());
    for (by, at) in [("name", name.as_str()), ("file", path.to_str().unwrap())] {
        let mut peers: Vec<Peer> = (0..64).map(|_| Peer::start("race", &[by, at])).collect();
        for peer in &mut peers {
            peer.expect("ready");
        }
        for peer in &mut peers {
            peer.go();
        }
        let reports: Vec<String> = peers.iter_mut().map(Peer::next_report).collect();
        let created: Vec<&String> =
            reports.iter().filter(|line| line.starts_with("Created")).collect();
        assert_eq!(created.len(), 1, "by {by}: {reports:?}");
        let stamp = created[0].split_once(' ').unwrap().1;
        assert_ne!(stamp, "0", "by {by}: half-filled");
        for line in &reports {
            assert_eq!(line.split_once(' ').unwrap().1, stamp, "by {by}");
        }
        peers.into_iter().for_each(Peer::end);
    }
    assert_eq!(scratch.entries(), 1);
}

/// Role: creates a section, and never returns from `fill`.
fn die_in_fill() {
    let options = match arg(0).as_str() {
        "file" => by_file(Path::new(&arg(1))),
        _ => by_name(&Name::new(&arg(1)).unwrap()),
    };
    let _ = options.size(4096).create_with(|view| {
        view.write_at(0, b"half")?;
        report("filling");
        await_go();
        Ok(())
    });
}

#[test]
fn a_creator_killed_while_it_fills_is_in_nobodys_way() {
    let _watch = watch();
    let scratch = Scratch::new();
    let (text, path) = (unique("halffill"), scratch.file());
    let name = Name::new(&text).unwrap();
    for (by, at, options) in
        [("name", text.as_str(), by_name(&name)), ("file", path.to_str().unwrap(), by_file(&path))]
    {
        let mut peer = Peer::start("die_in_fill", &[by, at]);
        peer.expect("filling");
        peer.kill();
        eventually(|| options.open().err());
        let error = options.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "by {by}: {error}");
        let section =
            options.size(4096).open_or_create_with(|view| view.write_at(0, b"whole")).unwrap();
        assert_eq!(section.origin(), Origin::Created, "by {by}");
        assert_eq!(bytes(&whole(&section), 0, 5), b"whole", "by {by}");
    }
}

#[test]
fn opening_and_closing_at_the_same_time_never_splits_a_name() {
    // Threads are enough, since handles are independent of each other. A thread that gets a section
    // increments a counter in it by one handle, and checks by a second handle that the name leads
    // to the same section.
    let _watch = watch();
    let name = name("split");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let section = by_name(&name).size(8).timeout(MINUTE).open_or_create().unwrap();
                    let other = by_name(&name).open().unwrap();
                    let (ours, theirs) = (whole(&section), whole(&other));
                    let count = ours.words_mut(0, 1).unwrap();
                    let before = count.fetch_add(0, 1, Ordering::AcqRel);
                    let seen = theirs.words(0, 1).unwrap().load(0, Ordering::Acquire);
                    assert!(seen > before, "two sections under one name: {seen} after {before}");
                }
            });
        }
    });
    is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
}

/// Role: repeatedly opens, creates and closes one name. While it has a section open, it compares
/// the section with those of the other processes.
///
/// Each process records its state in a file of words. Word 0 + n has the stamp of the section of
/// process n, 0 for none. Word 64 + n has a count that is odd while process n is being killed. Word
/// 128 counts splits.
fn churn() {
    let name = Name::new(&arg(0)).unwrap();
    let held = by_file(Path::new(&arg(1))).open().unwrap();
    let held = whole(&held);
    let held = held.words_mut(0, 129).unwrap();
    let own: usize = arg(2).parse().unwrap();
    report("ready");
    for round in 0..ROUNDS {
        let stamp = machine::random().unwrap()[0] | 1;
        let fill = |view: &View| {
            view.words_mut(0, 1).unwrap().store(0, stamp, Ordering::Release);
            Ok(())
        };
        let options = by_name(&name).size(8).timeout(MINUTE);
        let section = match round % 3 {
            0 if round % 2 == 0 => options.protection(Protection::ReadOnly).open(),
            0 => options.open(),
            1 => options.create_with(fill),
            _ => options.open_or_create_with(fill),
        };
        let section = match section {
            Ok(section) => section,
            Err(error) => {
                let expected = [ErrorKind::NotFound, ErrorKind::AlreadyExists];
                assert!(expected.contains(&error.kind()), "{error}");
                continue;
            }
        };
        let view = whole(&section);
        let mine = view.words(0, 1).unwrap().load(0, Ordering::Acquire);
        // On Windows a section is visible before it is filled, except to `open_or_create_with`.
        if mine == 0 {
            assert!(cfg!(windows) && round % 3 == 0, "half-made");
            continue;
        }
        held.store(own, mine, Ordering::SeqCst);
        for other in (0..CHURNERS).cycle().take(20 * CHURNERS) {
            let before = held.read().load(64 + other, Ordering::SeqCst);
            let theirs = held.read().load(other, Ordering::SeqCst);
            let after = held.fetch_add(64 + other, 0, Ordering::SeqCst);
            if before.is_multiple_of(2) && before == after && theirs != 0 && theirs != mine {
                held.fetch_add(128, 1, Ordering::SeqCst);
            }
        }
        if round % 5 == 0 {
            thread::sleep(Duration::from_micros(stamp % 300));
        }
        held.store(own, 0, Ordering::SeqCst);
    }
    report("done");
    await_go();
}

/// Two, because the name is then removed and created most often.
const CHURNERS: usize = 2;
/// Fewer on Windows: under Wine each round needs a round trip to the server.
const ROUNDS: u32 = if cfg!(windows) { 400 } else { 8_000 };

#[test]
fn processes_that_come_go_and_are_killed_never_split_a_name() {
    // On Linux the test counts splits if any of the three rules of names.rs is left out.
    let _watch = Watchdog::new("churning", 3 * MINUTE);
    let scratch = Scratch::new();
    let (name, path) = (name("churn"), scratch.file());
    let held = by_file(&path).size(8 * 129).create().unwrap();
    let held = whole(&held);
    let held = held.words_mut(0, 129).unwrap();
    let start = |own: usize| {
        Peer::start("churn", &[name.as_str(), path.to_str().unwrap(), &own.to_string()])
    };
    let mut peers: Vec<Peer> = (0..CHURNERS).map(start).collect();
    for round in 0..30 {
        let own = round % CHURNERS;
        peers[own].expect("ready");
        thread::sleep(Duration::from_millis(round as u64 % 7));
        held.fetch_add(64 + own, 1, Ordering::SeqCst);
        let next = start(own);
        std::mem::replace(&mut peers[own], next).kill();
        held.store(own, 0, Ordering::SeqCst);
        held.fetch_add(64 + own, 1, Ordering::SeqCst);
    }
    for peer in &mut peers {
        peer.expect("ready");
        peer.expect("done");
    }
    peers.into_iter().for_each(Peer::end);
    assert_eq!(held.read().load(128, Ordering::SeqCst), 0, "two sections under one name");
    eventually(|| by_name(&name).open().err());
}

// ---------------------------------------------------------------------------------------------
// Attaching

/// Role: attaches to a file and stays attached, before or after `done`.
fn stay_attached() {
    let section = by_file(Path::new(&arg(0))).open().unwrap();
    let mut attachment = section.attach(MINUTE).unwrap();
    if arg(1) == "done" {
        attachment.done().unwrap();
    }
    report(if attachment.alone() { "alone" } else { "not alone" });
    await_go();
}

#[test]
fn who_attaches_knows_whether_it_is_alone() {
    let _watch = watch();
    let scratch = Scratch::new();
    let section = by_file(&scratch.file()).size(100).create().unwrap();
    let mut first = section.attach(SECOND).unwrap();
    assert!(first.alone());

    // No other handle can attach until `done`.
    let second = by_file(&scratch.file()).open().unwrap();
    let error = is(second.attach(Duration::from_millis(50)), ErrorKind::TimedOut, "a.map");
    assert!(error.to_string().contains("another process"), "{error}");
    first.done().unwrap();
    first.done().unwrap();
    assert!(first.alone(), "it was");
    let mut other = second.attach(SECOND).unwrap();
    assert!(!other.alone());
    other.done().unwrap();

    // A drop detaches also without `done`.
    drop((first, other));
    let third = section.attach(SECOND).unwrap();
    assert!(third.alone());
    drop(third);

    // The first handle has detached, and a later one is still attached.
    let mut first = section.attach(SECOND).unwrap();
    first.done().unwrap();
    let mut other = second.attach(SECOND).unwrap();
    other.done().unwrap();
    drop(first);
    let fourth = by_file(&scratch.file()).open().unwrap();
    assert!(!fourth.attach(SECOND).unwrap().alone(), "another is there");
    drop(other);
    assert!(second.attach(SECOND).unwrap().alone());
}

#[test]
fn a_reader_attaches_and_is_never_told_that_it_is_alone() {
    let _watch = watch();
    let scratch = Scratch::new();
    let writer = by_file(&scratch.file()).size(100).create().unwrap();
    let reader = by_file(&scratch.file()).protection(Protection::ReadOnly).open().unwrap();
    let mut reading = reader.attach(SECOND).unwrap();
    assert!(!reading.alone());
    reading.done().unwrap();
    assert!(writer.attach(SECOND).unwrap().alone(), "a reader takes no place");
    drop(reading);
    assert!(writer.attach(SECOND).unwrap().alone());
}

#[test]
fn what_a_killed_process_was_attached_to_is_free() {
    let _watch = watch();
    let scratch = Scratch::new();
    let section = by_file(&scratch.file()).size(100).create().unwrap();
    let path = scratch.file();
    for stage in ["done", "gate"] {
        let mut peer = Peer::start("attach", &[path.to_str().unwrap(), stage]);
        peer.expect("alone");
        match stage {
            "done" => assert!(!section.attach(SECOND).unwrap().alone()),
            _ => drop(is(section.attach(Duration::from_millis(50)), ErrorKind::TimedOut, "a.map")),
        }
        peer.kill();
        eventually(|| section.attach(MINUTE).unwrap().alone().then_some(()));
    }
}

#[test]
fn without_a_file_the_creator_is_alone() {
    let _watch = watch();
    let name = name("attach");
    let made = by_name(&name).size(100).create().unwrap();
    let opened = by_name(&name).open().unwrap();
    assert!(made.attach(SECOND).unwrap().alone());
    assert!(!opened.attach(SECOND).unwrap().alone());
    let anonymous = Section::options().size(10).create().unwrap();
    assert!(anonymous.attach(SECOND).unwrap().alone());
}

// ---------------------------------------------------------------------------------------------
// Seats

/// Returns an id for seats that no other test uses.
fn seat_id() -> String {
    unique("seat").chars().filter(char::is_ascii_alphanumeric).collect()
}

#[track_caller]
fn sit(section: &Section, id: &str, seats: usize) -> Seat {
    section.take_seat(Scope::Local, id, seats).unwrap()
}

/// Returns the arguments by which a peer opens the section: see [`section_of_parent`].
fn section_args(path: &Path, name: Option<&Name>) -> [String; 2] {
    match name {
        Some(name) => ["name".into(), name.as_str().into()],
        None => ["file".into(), path.to_str().unwrap().into()],
    }
}

fn section_of_parent() -> Section {
    let options = match arg(0).as_str() {
        "name" => by_name(&Name::new(&arg(1)).unwrap()),
        _ => by_file(Path::new(&arg(1))),
    };
    options.open().unwrap()
}

/// Role: takes a seat and waits; then leaves the seat and waits.
fn stay_seated() {
    let section = section_of_parent();
    let seat = sit(&section, &arg(2), 4);
    report(&format!("seat {}", seat.slot()));
    if await_go() {
        drop(seat);
        report("left");
        await_go();
    }
}

#[test]
fn a_seat_is_seen_taken_until_its_process_gives_it_back_or_is_killed() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("seat");
    for name in [None, Some(&name)] {
        let options = name.map_or_else(|| by_file(&scratch.file()), by_name);
        let section = options.size(100).create().unwrap();
        let id = seat_id();
        let [kind, object] = section_args(&scratch.file(), name);
        let peer = || Peer::start("seat", &[&kind, &object, &id]);
        let mine = sit(&section, &id, 4);
        assert_eq!(mine.slot(), 0);
        let taken = || [0, 1, 2, 3].map(|slot| mine.is_taken(slot).unwrap());
        assert_eq!(taken(), [true, false, false, false]);

        let mut killed = peer();
        killed.expect("seat 1");
        let mut orderly = peer();
        orderly.expect("seat 2");
        for _ in 0..100 {
            assert_eq!(taken(), [true, true, true, false], "a look takes nothing");
        }
        killed.kill();
        eventually(|| (taken() == [true, false, true, false]).then_some(()));
        // A process can leave its seat before it ends.
        orderly.go();
        orderly.expect("left");
        assert_eq!(taken(), [true, false, false, false]);
        orderly.end();

        let mut next = peer();
        next.expect("seat 1");
        assert_eq!(taken(), [true, true, false, false]);
        next.end();
        eventually(|| (taken() == [true, false, false, false]).then_some(()));
    }
}

#[test]
fn who_opens_twice_has_two_seats_and_a_handle_has_one_at_a_time() {
    let _watch = watch();
    let scratch = Scratch::new();
    let (id, other_id) = (seat_id(), seat_id());
    let one = by_file(&scratch.file()).size(100).create().unwrap();
    let two = by_file(&scratch.file()).open().unwrap();
    let first = sit(&one, &id, 8);
    let second = sit(&two, &id, 8);
    assert_eq!((first.slot(), second.slot()), (0, 1));
    for seat in [&first, &second] {
        assert!(seat.is_taken(0).unwrap() && seat.is_taken(1).unwrap());
        for free in [2, 7, 8, 1 << 20, usize::MAX] {
            assert!(!seat.is_taken(free).unwrap(), "{free}");
        }
    }
    is(one.take_seat(Scope::Local, &id, 8), ErrorKind::InvalidArgument, "a.map");

    // Another thread may leave the seat, and the handle can then take a seat again.
    thread::scope(|scope| scope.spawn(|| drop(first)).join().unwrap());
    assert!(!second.is_taken(0).unwrap());
    let again = sit(&one, &id, 8);
    assert_eq!(again.slot(), 0);
    assert!(second.is_taken(0).unwrap());
    // The seat keeps the handle open.
    drop(one);
    assert!(second.is_taken(0).unwrap() && again.is_taken(0).unwrap());
    drop(again);
    assert!(!second.is_taken(0).unwrap());

    let shown = format!("{second:?}");
    assert!(shown.starts_with("Seat") && shown.contains("slot: 1"), "{shown}");

    // The seats of another section are independent.
    let memory = Section::options().size(100).create().unwrap();
    let alone = sit(&memory, &other_id, 2);
    assert_eq!(alone.slot(), 0);
    assert!(alone.is_taken(0).unwrap() && !alone.is_taken(1).unwrap());
}

#[test]
fn when_all_seats_are_taken_the_next_is_told_so() {
    let _watch = watch();
    let name = name("seat");
    let id = seat_id();
    let sections: Vec<Section> =
        (0..4).map(|_| by_name(&name).size(100).open_or_create().unwrap()).collect();
    let mut seats: Vec<Seat> = sections[..3].iter().map(|section| sit(section, &id, 3)).collect();
    for _ in 0..2 {
        let error = is(sections[3].take_seat(Scope::Local, &id, 3), ErrorKind::Full, name.as_str());
        assert!(error.to_string().contains("all 3 seats are taken"), "{error}");
    }
    drop(seats.remove(1));
    let seat = sit(&sections[3], &id, 3);
    assert_eq!(seat.slot(), 1);
    assert!(seats[0].is_taken(1).unwrap());
}

#[test]
fn seats_are_for_writers_and_there_are_some() {
    let _watch = watch();
    let scratch = Scratch::new();
    let id = seat_id();
    let writer = by_file(&scratch.file()).size(100).create().unwrap();
    for seats in [0, Seat::MOST + 1, usize::MAX] {
        is(writer.take_seat(Scope::Local, &id, seats), ErrorKind::InvalidArgument, "a.map");
    }
    let reader = by_file(&scratch.file()).protection(Protection::ReadOnly).open().unwrap();
    is(reader.take_seat(Scope::Local, &id, 4), ErrorKind::ReadOnly, "a.map");
    let seat = sit(&writer, &id, Seat::MOST);
    assert!(!seat.is_taken(Seat::MOST - 1).unwrap());
    // A reader can check a seat, which does not take it.
    let is_taken = |slot| reader.is_seat_taken(Scope::Local, &id, slot).unwrap();
    assert!(is_taken(seat.slot()) && !is_taken(seat.slot() + 1) && !is_taken(usize::MAX));
    assert!(is_taken(seat.slot()));
    // Seats and attachments are independent.
    let mut attachment = writer.attach(SECOND).unwrap();
    assert!(attachment.alone());
    attachment.done().unwrap();
    drop(attachment);
    assert!(seat.is_taken(seat.slot()).unwrap());
}

#[test]
fn of_many_who_come_and_go_each_has_its_seat_for_itself() {
    const SEATS: usize = 4;
    let _watch = Watchdog::new("coming and going", 3 * MINUTE);
    let times = if cfg!(windows) { 300 } else { 3_000 };
    let scratch = Scratch::new();
    let id = seat_id();
    by_file(&scratch.file()).size(100).create().unwrap();
    let holders: [AtomicU32; SEATS] = Default::default();
    thread::scope(|scope| {
        for _ in 0..2 * SEATS {
            scope.spawn(|| {
                let section = by_file(&scratch.file()).open().unwrap();
                let mut had = 0;
                while had < times {
                    let seat = match section.take_seat(Scope::Local, &id, SEATS) {
                        Ok(seat) => seat,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                            continue;
                        }
                    };
                    let holders = &holders[seat.slot()];
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two in one seat");
                    for slot in 0..SEATS {
                        // Other seats may change meanwhile; the own seat is always taken.
                        let taken = seat.is_taken(slot).unwrap();
                        assert!(taken || slot != seat.slot());
                    }
                    assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1, "two in one seat");
                    drop(seat);
                    had += 1;
                }
            });
        }
    });
    let section = by_file(&scratch.file()).open().unwrap();
    let seat = sit(&section, &id, SEATS);
    for slot in 0..SEATS {
        assert_eq!(seat.is_taken(slot).unwrap(), slot == seat.slot());
    }
}

// ---------------------------------------------------------------------------------------------
// Locks. The region of these tests: the lock word at byte 0, plain counters from byte 64 on, the
// table of slots at byte 4096.

const TABLE: usize = 4096;
const SLOTS: usize = 64;
const REGION: u64 = 64 << 10;

/// A region, its locks, and their names.
struct Region {
    name: Name,
    id: String,
    view: View,
    locks: Locks,
}

impl Region {
    fn new() -> Self {
        let name = name("lock");
        let id: String = name.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
        let section = by_name(&name).size(REGION).create().unwrap();
        Self::of(name, id, &section)
    }

    fn of(name: Name, id: String, section: &Section) -> Self {
        let locks = Locks::new(Scope::Local, &id, TABLE, SLOTS).unwrap();
        Self { name, id, view: whole(section), locks }
    }

    fn of_parent() -> Self {
        let name = Name::new(&arg(0)).unwrap();
        let section = by_name(&name).open().unwrap();
        Self::of(name, arg(1), &section)
    }

    fn peer(&self, role: &str) -> Peer {
        Peer::start(role, &[self.name.as_str(), &self.id])
    }

    fn lock(&self, timeout: Duration) -> Result<Taken, Refused> {
        self.locks.lock(&self.view, 0, timeout)
    }

    fn unlock(&self) {
        self.locks.unlock(&self.view, 0);
    }

    /// Increments two counters by separate loads and stores: an increment is lost if two threads do
    /// this at once.
    fn add(&self) {
        let counter = self.view.words_mut(64, 2).unwrap();
        for at in 0..2 {
            let old = counter.read().load(at, Ordering::Relaxed);
            counter.store(at, old + 1, Ordering::Relaxed);
        }
    }

    fn counters(&self) -> [u64; 2] {
        let counter = self.view.words(64, 2).unwrap();
        [counter.load(0, Ordering::Relaxed), counter.load(1, Ordering::Relaxed)]
    }

    fn count(&self, times: u32) {
        for _ in 0..times {
            assert_eq!(self.lock(MINUTE).unwrap(), Taken::Clean);
            self.add();
            self.unlock();
        }
    }
}

/// Fewer on Windows: under Wine each lock needs a round trip to the server.
const TIMES: u32 = if cfg!(windows) { 2_000 } else { 20_000 };

/// Role: increments the counters under the lock.
fn count_under_lock() {
    let region = Region::of_parent();
    report("ready");
    assert!(await_go());
    region.count(TIMES);
    report("counted");
}

#[test]
fn a_lock_lets_one_in_at_a_time_of_threads_and_processes() {
    let _watch = Watchdog::new("counting", 3 * MINUTE);
    let region = Region::new();
    let mut peers: Vec<Peer> = (0..3).map(|_| region.peer("count")).collect();
    for peer in &mut peers {
        peer.expect("ready");
    }
    for peer in &mut peers {
        peer.go();
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| region.count(TIMES));
        }
    });
    for peer in &mut peers {
        peer.expect("counted");
    }
    assert_eq!(region.counters(), [u64::from(7 * TIMES); 2]);
    peers.into_iter().for_each(Peer::end);
}

/// Role: acquires the lock, owns it until [`Peer::go`], and releases it.
fn hold_lock() {
    let region = Region::of_parent();
    let taken = region.lock(MINUTE).unwrap();
    report(&format!("{taken:?}"));
    await_go();
    region.unlock();
    report("freed");
    await_go();
}

#[test]
fn the_lock_of_a_killed_holder_is_recovered_and_others_go_on() {
    let _watch = Watchdog::new("killed holders", 3 * MINUTE);
    let region = Region::new();
    for round in 0..50 {
        let mut holder = region.peer("lock");
        holder.expect("Clean");
        if round % 2 == 0 {
            // A waiter sleeps already when the owner is killed.
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let taken = region.lock(20 * SECOND).unwrap();
                    region.unlock();
                    taken
                });
                thread::sleep(Duration::from_millis(5));
                holder.kill();
                assert_eq!(waiter.join().unwrap(), Taken::Recovered, "round {round}");
            });
        } else {
            holder.kill();
            assert_eq!(region.lock(20 * SECOND).unwrap(), Taken::Recovered, "round {round}");
            region.unlock();
        }
        // The recovery is reported once; after it the lock is clean.
        region.count(1);
    }
    assert_eq!(region.counters(), [50; 2]);
}

#[test]
fn of_many_waiters_one_recovers_and_all_go_on() {
    let _watch = watch();
    let region = Region::new();
    for _ in 0..5 {
        let mut holder = region.peer("lock");
        holder.expect("Clean");
        thread::scope(|scope| {
            let wait = || {
                let taken = region.lock(MINUTE).unwrap();
                region.add();
                region.unlock();
                taken
            };
            let waiters: Vec<_> = (0..8).map(|_| scope.spawn(wait)).collect();
            thread::sleep(Duration::from_millis(20));
            holder.kill();
            let recovered = waiters
                .into_iter()
                .filter(|_| true)
                .map(|waiter| waiter.join().unwrap())
                .filter(|taken| *taken == Taken::Recovered)
                .count();
            assert_eq!(recovered, 1);
        });
    }
    assert_eq!(region.counters(), [40; 2]);
}

#[test]
fn the_lock_of_a_thread_that_ended_is_recovered() {
    let _watch = watch();
    let region = Region::new();
    for _ in 0..20 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = region.lock(MINUTE).unwrap();
            });
        });
        assert_eq!(region.lock(MINUTE).unwrap(), Taken::Recovered);
        region.unlock();
    }
    region.count(1);
}

#[test]
fn a_living_owner_keeps_its_lock() {
    let _watch = watch();
    let region = Region::new();
    let mut holder = region.peer("lock");
    holder.expect("Clean");
    for timeout in [0, 1, 300] {
        let refused = region.lock(Duration::from_millis(timeout)).unwrap_err();
        let Refused::TimedOut(Some(owner)) = refused else { panic!("{refused:?}") };
        assert_eq!(owner.pid, holder.pid());
    }
    let pid = holder.pid();
    // A stopped owner is alive. Windows has no such signal.
    let stopped = cfg!(unix) && signal("STOP", pid);
    let refused = region.lock(Duration::from_millis(300)).unwrap_err();
    assert!(matches!(refused, Refused::TimedOut(Some(owner)) if owner.pid == pid));
    assert!(!stopped || signal("CONT", pid));
    holder.go();
    holder.expect("freed");
    assert_eq!(region.lock(MINUTE).unwrap(), Taken::Clean);
    region.unlock();
    holder.end();
}

fn signal(name: &str, pid: u32) -> bool {
    Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success()
}

#[test]
fn a_forged_owner_costs_time_and_no_more() {
    let _watch = watch();
    let region = Region::new();
    // No thread has the id 0x3fffffef and no slot has that generation; then the same with the other
    // bits set; then owner 1.
    for forged in [0x3fff_ffef_u32, 0x7fff_ffef, 0xbfff_ffef, 0xffff_ffef, 1, 0x8000_0001] {
        region.view.write_at(0, &forged.to_le_bytes()).unwrap();
        match region.lock(Duration::from_millis(50)) {
            Err(Refused::TimedOut(_)) => {}
            // Windows looks the owner up in the table; an owner that is not in it is dead.
            Ok(Taken::Recovered) if cfg!(windows) => region.unlock(),
            other => panic!("{forged:#x}: {other:?}"),
        }
    }
    // First a dead owner, as the kernel of Linux writes it; then no owner, but the waiters bit set.
    region.view.write_at(0, &0xc000_0000_u32.to_le_bytes()).unwrap();
    assert_eq!(region.lock(SECOND).unwrap(), Taken::Recovered);
    region.unlock();
    region.view.write_at(0, &0x8000_0000_u32.to_le_bytes()).unwrap();
    assert_eq!(region.lock(SECOND).unwrap(), Taken::Clean);
    region.unlock();
    region.count(1);
}

#[test]
fn a_mark_is_answered_and_its_end_lets_waiters_in() {
    let _watch = watch();
    let region = Region::new();
    let (locks, view) = (&region.locks, &region.view);
    assert_eq!(locks.mark(view, 0, Locks::MARK_T), Ok(Taken::Clean));
    assert!(locks.is_marked(view, 0, Locks::MARK_T) && !locks.is_marked(view, 0, Locks::MARK_L));
    assert_eq!(locks.mark(view, 0, Locks::MARK_L), Err(Locks::MARK_T));
    let refused = region.lock(SECOND).unwrap_err();
    assert!(matches!(refused, Refused::Marked(mark) if mark == Locks::MARK_T));
    // After the refusal the thread can acquire another lock.
    assert_eq!(locks.lock(view, 8, SECOND).unwrap(), Taken::Clean);
    locks.unlock(view, 8);
    locks.unmark(view, 0);
    assert!(!locks.is_marked(view, 0, Locks::MARK_T));
    region.count(1);

    assert_eq!(region.lock(SECOND).unwrap(), Taken::Clean);
    assert!(locks.mark(view, 0, Locks::MARK_L).is_err(), "it is held");
    region.unlock();
    view.write_at(0, &0x4000_0000_u32.to_le_bytes()).unwrap();
    assert_eq!(locks.mark(view, 0, Locks::MARK_L), Ok(Taken::Recovered));
    locks.reset(view, 0);
    region.count(1);
}

#[test]
fn a_lock_word_out_of_place_is_refused() {
    let _watch = watch();
    let region = Region::new();
    let (locks, view) = (&region.locks, &region.view);
    for at in [1, 2, REGION as usize - 3, REGION as usize, usize::MAX] {
        let refused = locks.lock(view, at, SECOND).unwrap_err();
        let Refused::Failed(error) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let section = by_name(&region.name).open().unwrap();
    let reading = section.view().access(Access::Read).map().unwrap();
    assert!(matches!(locks.lock(&reading, 0, SECOND), Err(Refused::Failed(_))));
    region.count(1);
}

#[test]
fn a_wake_word_moves_on() {
    let _watch = watch();
    let region = Region::new();
    for count in 1..=3_u64 {
        region.locks.wake(&region.view, 128);
        assert_eq!(bytes(&region.view, 128, 8), count.to_le_bytes());
    }
}

// ---------------------------------------------------------------------------------------------
// Growth

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A section of 16 KiB that may grow to 4 MiB.
fn growable(options: SectionOptions) -> Section {
    options.size(16 << 10).max_size(4 << 20).create().unwrap()
}

/// Maps its first `len` bytes, and reserves address space for 4 MiB.
fn growing(section: &Section, len: usize) -> View {
    section.view().len(len as u64).reserve(4 << 20).map().unwrap()
}

#[test]
fn a_view_grows_where_it_is() {
    let _watch = watch();
    let scratch = Scratch::new();
    for options in [by_file(&scratch.file()), by_name(&name("grow")), Section::options()] {
        let section = growable(options);
        let view = growing(&section, 16 * KIB);
        let (other, place) = (growing(&section, 16 * KIB), view.as_ptr());
        assert_eq!(view.len(), 16 * KIB);
        assert_eq!(view.reserved(), 4 * MIB);
        view.write_at(16 * KIB - 3, b"end").unwrap();
        let mut len = 16 * KIB;
        for grown in [48 * KIB, 64 * KIB, 80 * KIB, 256 * KIB, MIB, 4 * MIB] {
            assert!(view.words(len, 1).is_none() && view.plain_words(len, 1).is_none());
            section.grow(grown as u64).unwrap();
            assert!(section.size().unwrap() >= grown as u64);
            assert_eq!(view.len(), len, "the section grew, and not the view");
            view.grow(grown).unwrap();
            assert_eq!((view.len(), view.as_ptr()), (grown, place));
            assert!(bytes(&view, len, grown - len).iter().all(|byte| *byte == 0), "{grown}");
            // A repeated or a smaller size has no effect.
            section.grow(grown as u64).unwrap();
            section.grow(1).unwrap();
            view.grow(grown).unwrap();
            view.grow(1).unwrap();
            assert_eq!(view.len(), grown);
            view.write_at(grown - 8, &grown.to_le_bytes()).unwrap();
            let words = view.plain_words_mut(len, (grown - len) / 8).unwrap();
            words.store(0, len as u64, Ordering::Relaxed);
            len = grown;
        }
        assert!(view.words(len - 8, 2).is_none() && view.plain_words(len - 8, 2).is_none());
        assert_eq!(bytes(&view, 16 * KIB - 3, 3), b"end");
        assert_eq!(other.len(), 16 * KIB);
        other.grow(len).unwrap();
        assert_eq!(bytes(&other, 0, len), bytes(&view, 0, len));
        let whole = growing(&section, len);
        assert_eq!(bytes(&whole, 0, len), bytes(&view, 0, len));
        view.close().unwrap();
    }
}

#[test]
fn a_view_grows_only_as_far_as_reserved_and_as_its_section_goes() {
    let _watch = watch();
    let scratch = Scratch::new();
    for (object, options) in [("a.map", by_file(&scratch.file())), ("anonym", Section::options())] {
        let section = options.size(16 << 10).max_size(1 << 20).create().unwrap();
        let view = section.view().len(16 << 10).reserve(128 << 10).map().unwrap();
        if object == "a.map" {
            is(view.grow(128 * KIB), ErrorKind::OutOfRange, object);
        }
        section.grow(1 << 20).unwrap();
        is(view.grow(128 * KIB + 1), ErrorKind::TooLarge, object);
        is(view.grow(usize::MAX), ErrorKind::TooLarge, object);
        assert_eq!(view.len(), 16 * KIB);
        view.grow(128 * KIB).unwrap();
        let fixed = section.view().len(16 << 10).map().unwrap();
        is(fixed.grow(256 * KIB), ErrorKind::TooLarge, object);
        let ragged = section.view().offset(100).len(1000).reserve(4000);
        is(ragged.map(), ErrorKind::InvalidArgument, object);
        // A range that does not begin at byte 0 grows as well.
        let within = section.view().offset(64 << 10).len(64 << 10).reserve(192 << 10);
        let within = within.map().unwrap();
        within.grow(192 * KIB).unwrap();
        within.write_at(192 * KIB - 4, b"last").unwrap();
        let whole = section.view().len(256 << 10).map().unwrap();
        assert_eq!(bytes(&whole, 256 * KIB - 4, 4), b"last");
    }
    let small = Section::options().size(16 << 10).max_size(64 << 10).create().unwrap();
    is(small.grow((64 << 10) + 1), ErrorKind::TooLarge, "anonymous");
    let large = Section::options().size(1).max_size(2).flags(SectionFlags::LARGE_PAGES);
    is(large.create(), ErrorKind::InvalidArgument, "anonymous");
}

#[test]
fn a_view_for_reading_grows_and_its_section_does_not() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("reader");
    for (object, options) in [("a.map", by_file(&scratch.file())), (name.as_str(), by_name(&name))]
    {
        let section = options.clone().size(64 << 10).max_size(4 << 20).create().unwrap();
        let reader = options.protection(Protection::ReadOnly).open().unwrap();
        let view = growing(&reader, 64 * KIB);
        is(reader.grow(128 << 10), ErrorKind::ReadOnly, object);
        section.grow(256 << 10).unwrap();
        growing(&section, 256 * KIB).write_at(200 * KIB, b"news").unwrap();
        view.grow(256 * KIB).unwrap();
        assert_eq!(bytes(&view, 200 * KIB, 4), b"news");
        is(view.write_at(0, b"x"), ErrorKind::ReadOnly, object);
        assert!(view.words_mut(200 * KIB, 1).is_none());
        assert!(view.plain_words_mut(200 * KIB, 1).is_none());
    }
}

#[test]
fn a_file_that_is_shorter_than_is_known_is_not_extended() {
    let _watch = watch();
    let scratch = Scratch::new();
    let path = scratch.file();
    let section = growable(by_file(&path));
    // As if it had been longer: Windows lets no program make the file of a section shorter.
    is(section.grow_from(32 << 10, 256 << 10), ErrorKind::Truncated, "a.map");
    assert_eq!(fs::metadata(&path).unwrap().len(), 16 << 10);
    section.grow_from(16 << 10, 256 << 10).unwrap();
    assert_eq!(section.size().unwrap(), 256 << 10);
}

#[test]
fn what_is_flushed_of_a_grown_view_is_in_the_file() {
    let _watch = watch();
    let scratch = Scratch::new();
    let section = growable(by_file(&scratch.file()));
    let view = growing(&section, 16 * KIB);
    for grown in [100 * KIB, 300 * KIB, 700 * KIB] {
        section.grow(grown as u64).unwrap();
        view.grow(grown).unwrap();
    }
    let content = (0..700 * KIB / 8).flat_map(usize::to_le_bytes).collect::<Vec<_>>();
    view.write_at(0, &content).unwrap();
    view.flush_start(0..20 * KIB).unwrap();
    view.flush_start(90 * KIB..600 * KIB + 1).unwrap();
    view.sync().unwrap();
    view.flush(0..700 * KIB).unwrap();
    view.flush_durable(300 * KIB - 1..300 * KIB + 1).unwrap();
    is(view.flush_start(0..700 * KIB + 1), ErrorKind::OutOfRange, "a.map");
    view.close().unwrap();
    section.close().unwrap();
    assert!(fs::read(scratch.file()).unwrap().starts_with(&content));
    growing(&growable(Section::options()), 16 * KIB).sync().unwrap();
}

#[test]
fn fill_sees_the_first_size_and_not_what_may_come() {
    let _watch = watch();
    let name = name("first");
    let options = by_name(&name).size(16 << 10).max_size(4 << 20);
    let seen = |view: &View| {
        assert_eq!(view.len(), 16 * KIB);
        Ok(())
    };
    let made = options.create_with(seen).unwrap();
    let opened = options.open_or_create().unwrap();
    for section in [made, opened] {
        section.refill(seen).unwrap();
    }
}

#[test]
fn threads_read_while_others_grow() {
    let _watch = watch();
    let scratch = Scratch::new();
    for options in [by_file(&scratch.file()), by_name(&name("threads")), Section::options()] {
        let section = growable(options);
        let view = growing(&section, 16 * KIB);
        let mark = |len: usize| {
            view.plain_words_mut(len - 8, 1).unwrap().store(0, len as u64, Ordering::Relaxed);
        };
        mark(16 * KIB);
        let done = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    while done.load(Ordering::Relaxed) == 0 {
                        // The last word of the view is reachable, and contains 0 or the length.
                        let len = view.len();
                        let last = view.plain_words(len - 8, 1).unwrap();
                        let last = last.load(0, Ordering::Acquire);
                        assert!(last == 0 || last == len as u64, "{last} at the end of {len}");
                        assert!(view.read_at(len - 100, &mut [0; 100]).is_ok());
                    }
                });
            }
            for len in (32 * KIB..=4 * MIB).step_by(240 * KIB) {
                // Two threads at once, as when two writers need more space at the same time.
                thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            section.grow(len as u64).unwrap();
                            view.grow(len).unwrap();
                        });
                    }
                });
                mark(len);
            }
            done.store(1, Ordering::Relaxed);
        });
    }
}

fn found() -> SectionOptions {
    let options = match arg(0).as_str() {
        "file" => by_file(Path::new(&arg(1))),
        _ => by_name(&Name::new(&arg(1)).unwrap()),
    };
    options.max_size(4 << 20)
}

/// Role: extends its view after the parent has grown the section, grows the section further, and
/// extends its view again after the parent's next growth.
fn grow_in_turns() {
    let section = found().open().unwrap();
    let view = growing(&section, 64 * KIB);
    let place = view.as_ptr();
    report("open");
    await_go();
    view.grow(256 * KIB).unwrap();
    report(&String::from_utf8(bytes(&view, 256 * KIB - 6, 6)).unwrap());
    section.grow(MIB as u64).unwrap();
    view.grow(MIB).unwrap();
    view.write_at(MIB - 5, b"child").unwrap();
    report("grown");
    await_go();
    view.grow(4 * MIB).unwrap();
    report(&String::from_utf8(bytes(&view, 4 * MIB - 5, 5)).unwrap());
    assert_eq!(view.as_ptr(), place);
}

#[test]
fn a_view_reaches_what_another_process_grew() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("turns");
    let path = scratch.file();
    for (by, at, options) in
        [("name", name.as_str(), by_name(&name)), ("file", path.to_str().unwrap(), by_file(&path))]
    {
        let section = options.size(64 << 10).max_size(4 << 20).create().unwrap();
        let view = growing(&section, 64 * KIB);
        let place = view.as_ptr();
        let mut peer = Peer::start("grow", &[by, at]);
        peer.expect("open");
        section.grow(256 << 10).unwrap();
        view.grow(256 * KIB).unwrap();
        view.write_at(256 * KIB - 6, b"parent").unwrap();
        peer.go();
        peer.expect("parent");
        peer.expect("grown");
        view.grow(MIB).unwrap();
        assert_eq!(bytes(&view, MIB - 5, 5), b"child", "by {by}");
        section.grow(4 << 20).unwrap();
        view.grow(4 * MIB).unwrap();
        view.write_at(4 * MIB - 5, b"again").unwrap();
        peer.go();
        peer.expect("again");
        assert_eq!(view.as_ptr(), place);
        peer.end();
    }
}

const STEP: usize = 112 * KIB;
const STEPS: usize = 24;

/// Role: in each step grows section and view, as the other processes of this role do, and writes
/// its own mark to the new part.
fn grow_in_steps() {
    let me = arg(2).parse::<usize>().unwrap();
    let section = found().open().unwrap();
    let view = growing(&section, 64 * KIB);
    report("open");
    await_go();
    for step in 1..=STEPS {
        section.grow((64 * KIB + step * STEP) as u64).unwrap();
        view.grow(64 * KIB + step * STEP).unwrap();
        let at = 64 * KIB + step * STEP - 8 * (me + 1);
        view.plain_words_mut(at, 1).unwrap().store(0, (step + me) as u64, Ordering::Relaxed);
    }
}

#[test]
fn of_processes_that_grow_at_once_none_loses_anything() {
    let _watch = watch();
    let scratch = Scratch::new();
    let name = name("steps");
    let path = scratch.file();
    for (by, at, options) in
        [("name", name.as_str(), by_name(&name)), ("file", path.to_str().unwrap(), by_file(&path))]
    {
        let section = options.size(64 << 10).max_size(4 << 20).create().unwrap();
        let view = growing(&section, 64 * KIB);
        let mut peers =
            (0..4).map(|me| Peer::start("step", &[by, at, &me.to_string()])).collect::<Vec<_>>();
        for peer in &mut peers {
            peer.expect("open");
        }
        peers.iter_mut().for_each(Peer::go);
        peers.into_iter().for_each(Peer::end);
        view.grow(64 * KIB + STEPS * STEP).unwrap();
        for step in 1..=STEPS {
            for me in 0..4 {
                let mark = view.plain_words(64 * KIB + step * STEP - 8 * (me + 1), 1).unwrap();
                assert_eq!(mark.load(0, Ordering::Relaxed), (step + me) as u64, "{step} of {me}");
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The machine

#[test]
fn facts_about_the_machine_are_the_same_each_time() {
    assert!(machine::page_size().is_power_of_two());
    assert!(machine::granularity().is_multiple_of(machine::page_size()));
    let boot = machine::boot_id().unwrap();
    assert_ne!(boot, [0, 0]);
    assert_eq!(machine::boot_id().unwrap(), boot);
    assert_ne!(machine::random().unwrap(), machine::random().unwrap());
    assert_eq!(machine::generation(), machine::generation());
    assert_eq!(machine::pid_namespace().unwrap(), machine::pid_namespace().unwrap());
}

// ---------------------------------------------------------------------------------------------
// Tests for which the standard library has the means only on Unix: modes, links, fifos, inherited
// descriptors.

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    };

    /// Returns the path of the section of a name (docs/PLATFORM.md).
    fn place(name: &Name) -> PathBuf {
        let scratch = Scratch::new();
        let uid = fs::metadata(&scratch.0).unwrap().uid();
        let directory = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };
        Path::new(directory).join(format!("mapvar.{uid}.{name}"))
    }

    fn mkfifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[track_caller]
    fn refused(name: &Name, kind: ErrorKind) {
        for _ in 0..2 {
            is(by_name(name).open(), kind, name.as_str());
            is(by_name(name).size(10).create(), kind, name.as_str());
            is(by_name(name).size(10).open_or_create(), kind, name.as_str());
        }
    }

    #[test]
    fn what_is_made_is_readable_and_writable_by_its_owner_only() {
        let _watch = watch();
        let scratch = Scratch::new();
        let name = name("mode");
        let file = by_file(&scratch.file()).size(10).create().unwrap();
        let named = by_name(&name).size(10).create().unwrap();
        for path in [scratch.file(), place(&name)] {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "{path:?}");
        }
        drop((file, named));
        assert!(!place(&name).exists(), "the last handle takes the name with it");
    }

    #[test]
    fn another_kind_of_object_under_the_name_is_refused_and_left_alone() {
        let _watch = watch();
        let directory = name("dir");
        fs::create_dir(place(&directory)).unwrap();
        refused(&directory, ErrorKind::NameTaken);
        fs::remove_dir(place(&directory)).unwrap();

        let fifo = name("fifo");
        mkfifo(&place(&fifo));
        refused(&fifo, ErrorKind::NameTaken);
        fs::remove_file(place(&fifo)).unwrap();

        let (link, target) = (name("link"), name("target"));
        let section = by_name(&target).size(10).create().unwrap();
        symlink(place(&target), place(&link)).unwrap();
        refused(&link, ErrorKind::NameTaken);
        fs::remove_file(place(&link)).unwrap();
        drop(section);

        let socket = name("socket");
        let bound = std::os::unix::net::UnixListener::bind(place(&socket)).unwrap();
        refused(&socket, ErrorKind::NameTaken);
        drop(bound);
        fs::remove_file(place(&socket)).unwrap();
    }

    #[test]
    fn what_others_may_write_to_is_not_trusted() {
        let _watch = watch();
        let name = name("shared");
        fs::write(place(&name), [0; 10]).unwrap();
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(place(&name), fs::Permissions::from_mode(mode)).unwrap();
            refused(&name, ErrorKind::PermissionDenied);
        }
        // Before the mode: a trusted file with one name and no holder is removed by any process that
        // creates a section.
        let second = place(&super::name("second"));
        fs::hard_link(place(&name), &second).unwrap();
        fs::set_permissions(place(&name), fs::Permissions::from_mode(0o600)).unwrap();
        refused(&name, ErrorKind::PermissionDenied);
        fs::remove_file(second).unwrap();
        // Now it counts as a section without a living holder.
        is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
        assert!(!place(&name).exists());
    }

    #[test]
    fn another_users_object_is_refused() {
        let _watch = watch();
        let name = name("foreign");
        fs::write(place(&name), [0; 10]).unwrap();
        // Only root can change the owner of a file; the other tests do not need root.
        if chown(place(&name), Some(54_321), None).is_ok() {
            for mode in [0o600, 0o666, 0o000] {
                fs::set_permissions(place(&name), fs::Permissions::from_mode(mode)).unwrap();
                refused(&name, ErrorKind::ForeignOwner);
            }
        }
        fs::remove_file(place(&name)).unwrap();
    }

    #[test]
    fn a_path_to_a_fifo_or_device_is_refused_without_opening_it() {
        let _watch = watch();
        let scratch = Scratch::new();
        mkfifo(&scratch.file());
        let looped = scratch.0.join("loop.map");
        symlink(&looped, &looped).unwrap();
        let nothing = scratch.0.join("nothing.map");
        symlink(scratch.0.join("nowhere"), &nothing).unwrap();
        for path in [&scratch.file(), Path::new("/dev/zero"), &looped] {
            let object = path.file_name().unwrap().to_str().unwrap();
            for protection in [Protection::ReadOnly, Protection::ReadWrite] {
                let options = by_file(path).protection(protection);
                is(options.open(), ErrorKind::NameTaken, object);
                is(options.clone().size(10).open_or_create(), ErrorKind::NameTaken, object);
            }
            is(by_file(path).size(10).create(), ErrorKind::NameTaken, object);
        }
        is(by_file(&nothing).open(), ErrorKind::NotFound, "nothing.map");
        is(by_file(&nothing).size(10).open_or_create(), ErrorKind::NameTaken, "nothing.map");
    }

    #[test]
    fn a_symbolic_link_to_a_file_is_followed() {
        let _watch = watch();
        let scratch = Scratch::new();
        fs::write(scratch.file(), b"hello").unwrap();
        let link = scratch.0.join("link.map");
        symlink(scratch.file(), &link).unwrap();
        let section = by_file(&link).size(5).open_or_create().unwrap();
        assert_eq!(bytes(&whole(&section), 0, 5), b"hello");
        is(by_file(&link).size(5).create(), ErrorKind::AlreadyExists, "link.map");
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_nothing() {
        let _watch = watch();
        let scratch = Scratch::new();
        let huge = 1 << 50;
        let name = name("huge");
        for options in [by_file(&scratch.file()), by_name(&name), Section::options()] {
            let error = options.size(huge).create().unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::TooLarge),
                "{:?} {error}",
                error.kind()
            );
        }
        assert_eq!(scratch.entries(), 0);
        assert!(!place(&name).exists());
    }

    /// Returns the mappings of this file: (length, permissions).
    #[cfg(target_os = "linux")]
    fn mapped(path: &Path) -> Vec<(usize, String)> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let lines = maps.lines().filter(|line| line.ends_with(path.to_str().unwrap()));
        let number = |hex| usize::from_str_radix(hex, 16).unwrap();
        lines
            .map(|line| {
                let (range, rest) = line.split_once(' ').unwrap();
                let (from, to) = range.split_once('-').unwrap();
                (number(to) - number(from), rest[..4].to_owned())
            })
            .collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_reserved_is_one_mapping_and_goes_with_the_view() {
        let _watch = watch();
        let scratch = Scratch::new();
        drop(growable(by_file(&scratch.file())));
        // Opened by its path, so that /proc/self/maps contains the path.
        let section = by_file(&scratch.file()).open().unwrap();
        for close in [false, true] {
            let view = growing(&section, 16 * KIB);
            section.grow(MIB as u64).unwrap();
            view.grow(MIB).unwrap();
            view.write_at(MIB - 1, b"x").unwrap();
            assert_eq!(mapped(&scratch.file()), [(4 * MIB, "rw-s".to_owned())]);
            if close {
                view.close().unwrap();
            } else {
                drop(view);
            }
            assert_eq!(mapped(&scratch.file()), []);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_grown_section_has_all_its_memory() {
        let _watch = watch();
        let scratch = Scratch::new();
        let section = growable(by_file(&scratch.file()));
        section.grow(3 << 20).unwrap();
        let about = fs::metadata(scratch.file()).unwrap();
        assert_eq!(about.len(), 3 << 20);
        assert!(about.blocks() * 512 >= 3 << 20, "{} blocks", about.blocks());
        let named = by_name(&name("blocks")).size(1).create().unwrap();
        named.grow(3 << 20).unwrap();
        let named = fs::File::from(named.as_fd().try_clone_to_owned().unwrap());
        assert_eq!(named.metadata().unwrap().blocks() * 512, 3 << 20);
    }

    /// Role: runs in a mount namespace in which `/dev/shm` and a directory have 2 MiB each. The
    /// file system of another directory does not support allocation.
    #[cfg(target_os = "linux")]
    pub(super) fn grow_where_there_is_no_room() {
        let (small, plain) = (PathBuf::from(arg(0)), PathBuf::from(arg(1)));
        let name = name("full");
        for (object, options) in
            [("a.map", by_file(&small.join("a.map"))), (name.as_str(), by_name(&name))]
        {
            let section = growable(options);
            let view = growing(&section, 16 * KIB);
            view.write_at(0, b"kept").unwrap();
            for _ in 0..2 {
                is(section.grow(4 << 20), ErrorKind::NoSpace, object);
                assert_eq!(section.size().unwrap(), 16 << 10);
                assert_eq!(bytes(&view, 0, 4), b"kept");
                is(view.grow(32 * KIB), ErrorKind::OutOfRange, object);
            }
            // The failed calls have released their blocks.
            section.grow(1 << 20).unwrap();
            view.grow(MIB).unwrap();
            view.write_at(MIB - 4, b"more").unwrap();
        }
        let section = growable(by_file(&plain.join("a.map")));
        let view = growing(&section, 16 * KIB);
        section.grow(1 << 20).unwrap();
        view.grow(MIB).unwrap();
        assert!(bytes(&view, 16 * KIB, MIB - 16 * KIB).iter().all(|byte| *byte == 0));
        assert_eq!(fs::metadata(plain.join("a.map")).unwrap().blocks() * 512, 1 << 20);
        report("done");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn where_there_is_no_room_the_section_stays_as_it_was() {
        let _watch = watch();
        let scratch = Scratch::new();
        let (small, plain) = (scratch.0.join("small"), scratch.0.join("plain"));
        fs::create_dir(&small).unwrap();
        fs::create_dir(&plain).unwrap();
        let (small, plain) = (small.to_str().unwrap(), plain.to_str().unwrap());
        let mounts = format!(
            "mount -t tmpfs -o size=2m none /dev/shm && mount -t tmpfs -o size=2m none '{small}' \
             && mount -t ramfs none '{plain}'"
        );
        let apart = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["-Urm", "sh", "-c", script]);
            command
        };
        let tried = apart(&mounts).stderr(Stdio::null()).status();
        if !tried.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this user may not mount a file system of his own (unshare -Urm)");
            return;
        }
        let mut command = apart(&format!("{mounts} && exec \"$@\""));
        command.arg("sh").arg(env::current_exe().unwrap());
        let mut peer = Peer::start_by(command, "full", &[small, plain]);
        peer.expect("done");
        peer.end();
    }

    /// Role: runs with a limit of 1 or 2 MiB for a file, and of 4 GiB for address space.
    #[cfg(target_os = "linux")]
    pub(super) fn grow_within_limits() {
        let section = growable(by_file(Path::new(&arg(0))));
        let view = section.view().reserve(1 << 50).map().unwrap();
        // The view reserves a part of the address space, and leaves at least as much unreserved.
        assert!((64 * MIB..=2048 * MIB).contains(&view.reserved()), "{}", view.reserved());
        is(section.grow(4 << 20), ErrorKind::TooLarge, "a.map");
        assert_eq!(section.size().unwrap(), 16 << 10);
        section.grow(1 << 20).unwrap();
        view.grow(MIB).unwrap();
        view.write_at(MIB - 1, b"x").unwrap();
        let all = section.view().reserve(u64::MAX).map().unwrap();
        assert_eq!(all.len(), MIB);
        report("done");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn limits_of_the_process_are_errors_or_less_reserve() {
        let _watch = watch();
        let scratch = Scratch::new();
        let mut command = Command::new("sh");
        // The unit is 512 bytes, or 1 KiB if the shell is bash.
        command.args(["-c", "ulimit -f 2048 && ulimit -v 4194304 && exec \"$@\"", "sh"]);
        command.arg(env::current_exe().unwrap());
        let mut peer = Peer::start_by(command, "ulimit", &[scratch.file().to_str().unwrap()]);
        peer.expect("done");
        peer.end();
    }

    #[test]
    fn what_unix_has_not_is_unsupported() {
        let _watch = watch();
        let scratch = Scratch::new();
        for flag in [SectionFlags::IMAGE, SectionFlags::NO_CACHE, SectionFlags::WRITE_COMBINE] {
            let options = Section::options().size(10).flags(flag);
            is(options.create(), ErrorKind::Unsupported, "anonymous");
        }
        let both = by_file(&scratch.file()).name(name("both")).size(10);
        is(both.create(), ErrorKind::Unsupported, "a.map");
        assert_eq!(scratch.entries(), 0);
        let contradicting = SectionFlags::COMMIT | SectionFlags::RESERVE;
        let options = Section::options().size(10).flags(contradicting);
        is(options.create(), ErrorKind::InvalidArgument, "anonymous");
    }

    #[test]
    fn child_programs_inherit_a_descriptor_only_if_asked() {
        let _watch = watch();
        let scratch = Scratch::new();
        for inherit in [false, true] {
            let name = name("inherit");
            for options in [by_file(&scratch.file()), by_name(&name), Section::options()] {
                let section = options.size(10).inherit(inherit).open_or_create().unwrap();
                let number = section.as_fd().as_raw_fd();
                let script = format!("true <&{number}");
                let mut shell = Command::new("sh");
                let status = shell.args(["-c", &script]).stderr(Stdio::null()).status().unwrap();
                assert_eq!(status.success(), inherit, "{section:?}");
            }
            // Processes that other tests start meanwhile inherit it too.
            eventually(|| by_name(&name).open().err());
        }
    }

    #[test]
    fn a_view_that_is_dropped_under_a_lock_does_not_lose_it() {
        let _watch = watch();
        let region = Region::new();
        let section = by_name(&region.name).open().unwrap();
        for close in [false, true] {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let view = whole(&section);
                    let _ = region.locks.lock(&view, 0, MINUTE).unwrap();
                    if close {
                        is(view.close(), ErrorKind::InvalidArgument, region.name.as_str());
                    }
                });
            });
            assert_eq!(region.lock(MINUTE).unwrap(), Taken::Recovered);
            region.unlock();
        }
    }

    #[test]
    fn a_native_name_is_exactly_that_object_and_stays() {
        let _watch = watch();
        let text = unique("native");
        let name = Name::native(&format!("/{text}")).unwrap();
        is(by_name(&name).open(), ErrorKind::NotFound, &text);
        let section = by_name(&name).size(10).create().unwrap();
        whole(&section).write_at(0, b"hello").unwrap();
        is(by_name(&name).size(10).create(), ErrorKind::AlreadyExists, &text);
        drop(section);
        let bare = Name::native(&text).unwrap();
        let again = by_name(&bare).size(10).open_or_create().unwrap();
        assert_eq!(again.origin(), Origin::Opened);
        assert_eq!(bytes(&whole(&again), 0, 5), b"hello");
        if cfg!(target_os = "linux") {
            fs::remove_file(Path::new("/dev/shm").join(&text)).unwrap();
        }
        for bad in ["a/b", "/a/b", "/", ".", "..", &"a".repeat(256)] {
            assert_eq!(Name::native(bad).unwrap_err().kind(), ErrorKind::InvalidName, "{bad}");
        }
    }

    #[test]
    fn a_name_removed_by_hand_leaves_its_users_together() {
        let _watch = watch();
        let name = name("byhand");
        let section = by_name(&name).size(10).create().unwrap();
        let other = by_name(&name).open().unwrap();
        fs::remove_file(place(&name)).unwrap();
        is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
        let anew = by_name(&name).size(10).create().unwrap();
        whole(&section).write_at(0, b"hello").unwrap();
        assert_eq!(bytes(&whole(&other), 0, 5), b"hello");
        drop((section, other));
        assert!(by_name(&name).open().is_ok(), "the new one's name went with the old one's users");
        drop(anew);
    }

    /// Role: forks while it has a named section, an attachment to a file, and the region of a lock;
    /// the child drops its copies of them.
    #[allow(unsafe_code, reason = "fork is")]
    pub(super) fn fork_with_everything() {
        let region = Region::of_parent();
        let file = by_file(Path::new(&arg(2))).open().unwrap();
        let mut attachment = file.attach(MINUTE).unwrap();
        attachment.done().unwrap();
        let generation = machine::generation();
        region.count(1);
        // SAFETY: the child has only this thread. Its calls acquire no lock that another thread of
        // this process could own: the watchdog only sleeps.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let anew = machine::generation() != generation;
            drop(attachment);
            drop(file);
            drop(by_name(&region.name).open());
            // The child acquires the lock under its own thread id, and ends as its owner. The view
            // is still mapped: without it the kernel could not mark the word.
            let taken = region.lock(MINUTE);
            let clean = matches!(taken, Ok(Taken::Clean));
            let code = i32::from(!anew) + 2 * i32::from(!clean);
            // SAFETY: ends the process without exit handlers, as a child after fork must.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above and writes its status to a local.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, status), (child, 0));
        assert_eq!(machine::generation(), generation);
        assert_eq!(region.lock(MINUTE).unwrap(), Taken::Recovered);
        region.unlock();
        report("forked");
        await_go();
        drop(attachment);
        report("detached");
        await_go();
    }

    #[test]
    fn a_child_after_fork_takes_nothing_from_its_parent() {
        let _watch = watch();
        let scratch = Scratch::new();
        let file = by_file(&scratch.file()).size(10).create().unwrap();
        let region = Region::new();
        let path = scratch.file();
        let args = [region.name.as_str(), &region.id, path.to_str().unwrap()];
        let mut peer = Peer::start("fork", &args);
        peer.expect("forked");
        // Now only the peer has the name open and is attached to the file.
        let name = region.name.clone();
        drop(region);
        assert!(by_name(&name).open().is_ok(), "the child took the name away");
        assert!(!file.attach(SECOND).unwrap().alone(), "the child gave the place back");
        peer.go();
        peer.expect("detached");
        assert!(file.attach(SECOND).unwrap().alone());
        peer.end();
        is(by_name(&name).open(), ErrorKind::NotFound, name.as_str());
    }

    /// Role: takes a seat and forks twice: the first child drops the seat, the second one outlives
    /// this process.
    #[allow(unsafe_code, reason = "fork is")]
    pub(super) fn fork_with_a_seat() {
        let section = section_of_parent();
        let seat = sit(&section, &arg(2), 4);
        let unseated = section_of_parent();
        // SAFETY: as in `fork_with_everything`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let closed =
                |error: Option<Error>| error.is_some_and(|e| e.kind() == ErrorKind::Closed);
            let right = [
                closed(seat.is_taken(0).err()),
                closed(seat.is_taken(seat.slot()).err()),
                closed(unseated.take_seat(Scope::Local, &arg(2), 4).err()),
                // The child has opened this section itself.
                sit(&section_of_parent(), &arg(2), 4).slot() == 2,
            ];
            drop(seat);
            drop(section);
            // SAFETY: ends the process without exit handlers, as a child after fork must.
            unsafe { libc::_exit(i32::from(right != [true; 4])) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above and writes its status to a local.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, status), (child, 0));
        report(&format!("seat {}", seat.slot()));
        assert!(await_go());
        // SAFETY: as above.
        if unsafe { libc::fork() } == 0 {
            report("forked");
            await_go();
            // SAFETY: as above.
            unsafe { libc::_exit(0) };
        }
        thread::sleep(3 * MINUTE);
    }

    #[test]
    fn a_child_after_fork_has_no_seat_and_keeps_none() {
        let _watch = watch();
        let scratch = Scratch::new();
        let section = by_file(&scratch.file()).size(10).create().unwrap();
        let id = seat_id();
        let [kind, path] = section_args(&scratch.file(), None);
        let mine = sit(&section, &id, 4);
        let mut peer = Peer::start("fork_seat", &[&kind, &path, &id]);
        peer.expect("seat 1");
        assert!(mine.is_taken(1).unwrap(), "the child gave its parent's seat back");
        peer.go();
        peer.expect("forked");
        peer.child.kill().unwrap();
        peer.child.wait().unwrap();
        assert!(!mine.is_taken(1).unwrap(), "the child keeps its dead parent's seat");
        // The child ends when its pipe is closed.
        drop(peer.input.take());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_without_a_name_has_seats() {
        let _watch = watch();
        let section = Section::options().size(10).create().unwrap();
        let fd = section.as_fd().as_raw_fd();
        let again = by_file(Path::new(&format!("/proc/self/fd/{fd}"))).open().unwrap();
        let id = seat_id();
        let (one, two) = (sit(&section, &id, 2), sit(&again, &id, 2));
        assert_eq!((one.slot(), two.slot()), (0, 1));
        assert!(one.is_taken(1).unwrap() && two.is_taken(0).unwrap());
        drop(two);
        assert!(!one.is_taken(1).unwrap());
    }
}
