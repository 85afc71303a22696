//! A lost mapping is an error, and all other faults have the effect that they have without this
//! crate.
//!
//! These are the tests for Unix; `tests/faults_wine.rs` has those for Windows. A test that ends a
//! process, or changes its signals, starts a second process: this executable again, with the name
//! of a role in its environment.

#![cfg(unix)]
#![allow(unsafe_code, reason = "signals, and the faults of others")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{Access, ErrorKind, Locks, Scope, Section, View, faults, machine};
use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering, fence},
    },
    thread,
    time::{Duration, Instant},
};

const ROLE: &str = "MAPVAR_FAULTS_ROLE";
const PATH: &str = "MAPVAR_FAULTS_PATH";

// ---------------------------------------------------------------------------------------------
// Second processes

fn command(role: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).env(PATH, path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a role until its process ends; kills the process after a minute.
fn run(role: &str, path: &Path) -> Output {
    let mut child = command(role, path).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn lives(role: &str, path: &Path) -> String {
    let output = run(role, path);
    assert!(output.status.success(), "{role}: {:?}: {}", output.status, text(&output));
    text(&output)
}

#[track_caller]
fn dies(role: &str, path: &Path, signal: i32) -> String {
    let output = run(role, path);
    assert_eq!(output.status.signal(), Some(signal), "{role}: {}", text(&output));
    text(&output)
}

/// The roles.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    // The faults that end this process are intended, so it writes no core file.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
    let path = PathBuf::from(env::var_os(PATH).unwrap());
    match role.as_str() {
        "truncate" => fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap(),
        #[cfg(target_os = "linux")]
        "full" => full(&path),
        "opted out" => {
            assert!(faults::leave_alone());
            assert!(faults::leave_alone(), "the second time too");
            lose(&file(&path));
        }
        "too late" => {
            let view = file(&path);
            assert!(!faults::leave_alone());
            lose(&view);
        }
        "foreign fault" => {
            drop(file(&path));
            foreign_fault();
        }
        "foreign fault, ignored" => {
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_IGN) };
            drop(file(&path));
            unsafe { libc::raise(libc::SIGBUS) };
            foreign_fault();
        }
        "foreign fault, default" => {
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
            lose(&file(&path));
            foreign_fault();
        }
        "sent, default" => {
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
            lose(&file(&path));
            unsafe { libc::raise(libc::SIGBUS) };
        }
        // At the first signal Rust's own handler restores the default action and returns.
        "sent, Rust's" => {
            let view = file(&path);
            unsafe { libc::raise(libc::SIGBUS) };
            lose(&view);
            unsafe { libc::raise(libc::SIGBUS) };
        }
        "chained" => chained(&path, libc::SA_SIGINFO, full_handler as *const () as usize),
        "chained, plain" => chained(&path, 0, plain_handler as *const () as usize),
        "overflow" => {
            lose(&file(&path));
            let stack = thread::Builder::new().name("deep".into()).stack_size(256 << 10);
            stack.spawn(|| assert!(deep(1) > 0)).unwrap().join().unwrap();
        }
        "forked" => forked(&path),
        other => panic!("no role {other}"),
    }
}

// ---------------------------------------------------------------------------------------------
// Helpers

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("mapvar-faults.{}.{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const PAGES: usize = 64;

fn page() -> usize {
    machine::page_size()
}

fn section(path: &Path) -> Section {
    Section::options().file(path).size((PAGES * page()) as u64).open_or_create().unwrap()
}

fn file(path: &Path) -> View {
    section(path).view().map().unwrap()
}

/// Truncates the file and reads a lost page.
fn lose(view: &View) {
    let path = PathBuf::from(env::var_os(PATH).unwrap());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
    let error = view.read_at(page(), &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

/// Maps a page outside this crate and truncates its file to 0 bytes.
fn foreign() -> *mut u8 {
    let scratch = Scratch::new("foreign");
    let open = fs::File::options().read(true).write(true).create_new(true).open(&scratch.0);
    let open = open.unwrap();
    open.set_len(page() as u64).unwrap();
    unsafe {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&open);
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let at = libc::mmap(std::ptr::null_mut(), page(), access, shared, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        open.set_len(0).unwrap();
        at.cast()
    }
}

fn foreign_fault() {
    let at = foreign();
    unsafe { at.read_volatile() };
}

#[allow(unconditional_recursion, reason = "what is tested")]
fn deep(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    deep(depth + 1) + frame[(depth % 64) as usize]
}

static CALLED: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// Repairs the page of its own mapping, as the handler of a program would.
extern "C" fn full_handler(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    assert!(!context.is_null());
    ADDRESS.store(unsafe { (*info).si_addr() }.addr(), Ordering::Relaxed);
    repair();
}

static MINE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain_handler(signal: i32) {
    assert_eq!(signal, libc::SIGBUS);
    repair();
}

fn repair() {
    CALLED.fetch_add(1, Ordering::Relaxed);
    // The signals that the handler's mask blocks are blocked, and so is SIGBUS.
    unsafe {
        let mut mask = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        assert_eq!(libc::sigismember(&raw const mask, libc::SIGUSR1), 1);
        assert_eq!(libc::sigismember(&raw const mask, libc::SIGBUS), 1);
        let (access, how) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
        );
        let at = std::ptr::with_exposed_provenance_mut(MINE.load(Ordering::Relaxed));
        libc::mmap(at, page(), access, how, -1, 0);
    }
}

/// A handler that was installed before gets its own faults, but not those of views.
fn chained(path: &Path, flags: i32, handler: usize) {
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaddset(&raw mut action.sa_mask, libc::SIGUSR1);
        assert_eq!(libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()), 0);
    }
    let view = file(path);
    lose(&view);
    assert_eq!(CALLED.load(Ordering::Relaxed), 0, "it got a fault of ours");
    let at = foreign();
    MINE.store(at.expose_provenance(), Ordering::Relaxed);
    assert_eq!(unsafe { at.read_volatile() }, 0);
    assert_eq!(CALLED.load(Ordering::Relaxed), 1);
    if flags & libc::SA_SIGINFO != 0 {
        assert_eq!(ADDRESS.load(Ordering::Relaxed), at.addr());
    }
    // A signal that was sent goes to that handler too.
    unsafe { libc::raise(libc::SIGBUS) };
    assert_eq!(CALLED.load(Ordering::Relaxed), 2);
    unsafe {
        let mut mask = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        assert_eq!(libc::sigismember(&raw const mask, libc::SIGUSR1), 0, "still blocked");
    }
    assert_eq!(view.lost().unwrap().kind(), ErrorKind::Truncated);
}

/// A child has the fault handler and the registry of its parent.
fn forked(path: &Path) {
    let view = file(path);
    let epoch = machine::epoch();
    let child = unsafe { libc::fork() };
    if child == 0 {
        let anew = !machine::is_epoch(epoch);
        lose(&view);
        unsafe { libc::_exit(if anew { 7 } else { 8 }) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 7));
    assert!(machine::is_epoch(epoch));
    assert!(view.lost().is_none());
    assert!(view.read_at(page(), &mut [0]).is_err());
}

// ---------------------------------------------------------------------------------------------
// The tests

#[test]
fn a_file_made_shorter_is_an_error_of_the_views_that_touch_it() {
    let scratch = Scratch::new("shorter");
    let section = section(&scratch.0);
    let map = |access| section.view().access(access).map().unwrap();
    let (reader, writer) = (map(Access::Read), map(Access::ReadWrite));
    let (private, untouched) = (map(Access::CopyOnWrite), map(Access::ReadWrite));
    let anonymous = Section::options().size(8192).create().unwrap().view().map().unwrap();
    writer.write_at(0, b"begin").unwrap();
    writer.write_at(9 * page(), b"gone").unwrap();
    private.write_at(9 * page(), b"mine").unwrap();
    let epoch = machine::epoch();

    lives("truncate", &scratch.0);

    // The rest of the file is readable, with zeros up to the end of its last page.
    let mut bytes = [1; 5];
    reader.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"begin");
    reader.read_at(page() - 5, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 5]);
    assert!(reader.lost().is_none() && !reader.is_lost());

    let error = reader.read_at(9 * page(), &mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    let message = error.to_string();
    assert!(message.starts_with("read from file "), "{message}");
    assert!(message.contains(&format!("byte {} is gone; open it anew", 9 * page())), "{message}");
    assert!(!machine::is_epoch(epoch));
    // A lost view stays lost, at every offset.
    assert_eq!(reader.read_at(0, &mut bytes).unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(reader.flush(0..1).unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(reader.lost().unwrap().kind(), ErrorKind::Truncated);
    let words = reader.words(0, reader.len() / 8).unwrap();
    assert_eq!(words.load(9 * page() / 8, Ordering::Acquire), 0);
    assert_eq!(words.load(0, Ordering::Relaxed).to_le_bytes()[..5], *b"begin");

    let error = writer.write_at(5 * page() - 3, b"across").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(private.write_at(9 * page(), b"x").unwrap_err().kind(), ErrorKind::Truncated);

    assert!(untouched.lost().is_none());
    untouched.write_at(0, b"still").unwrap();
    untouched.flush_durable(0..5).unwrap();
    assert_eq!(fs::read(&scratch.0).unwrap()[..5], *b"still");
    anonymous.write_at(0, b"other").unwrap();
    assert!(anonymous.lost().is_none());
    for view in [reader, writer, private, untouched, anonymous] {
        view.close().unwrap();
    }
}

/// The reserved part of a lost view is lost too, regardless of its length, and stays lost.
#[test]
fn a_lost_view_does_not_grow() {
    let scratch = Scratch::new("grow");
    let section = section(&scratch.0);
    let map = || section.view().reserve(64 << 30).map().unwrap();
    let (lost, other) = (map(), map());
    let size = PAGES * page();
    section.grow(2 * size as u64).unwrap();
    for view in [&lost, &other] {
        view.grow(2 * size).unwrap();
        view.write_at(2 * size - 4, b"last").unwrap();
    }
    lives("truncate", &scratch.0);
    let error = lost.read_at(2 * size - 4, &mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);

    section.grow(4 * size as u64).unwrap();
    assert_eq!(lost.grow(4 * size).unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(lost.len(), 2 * size);
    let words = lost.words_mut(0, lost.len() / 8).unwrap();
    words.store(lost.len() / 8 - 1, 7, Ordering::Release);
    // A view that was not accessed meanwhile is intact.
    other.grow(4 * size).unwrap();
    let mut bytes = vec![1; 2 * size];
    other.read_at(2 * size, &mut bytes).unwrap();
    assert_eq!(bytes, vec![0; 2 * size]);
    other.write_at(4 * size - 3, b"end").unwrap();
    assert_eq!(other.words(2 * size - 8, 1).unwrap().load(0, Ordering::Relaxed), 0, "not shared");
    assert!(fs::read(&scratch.0).unwrap().ends_with(b"end"));
    lost.close().unwrap();
    other.close().unwrap();
}

#[test]
fn every_kind_of_access_survives() {
    let scratch = Scratch::new("kinds");
    let views: Vec<_> = (0..9).map(|_| file(&scratch.0)).collect();
    let epoch = machine::epoch();
    lives("truncate", &scratch.0);
    let at = 7;
    for (which, view) in views.iter().enumerate() {
        let words = view.words_mut(page(), 64).unwrap();
        let mut bytes = vec![1; 30 * page()];
        match which {
            0 => drop(words.load(at, Ordering::SeqCst)),
            1 => words.store(at, 5, Ordering::Release),
            2 => drop(words.swap(at, 5, Ordering::AcqRel)),
            3 => drop(words.fetch_add(at, 5, Ordering::AcqRel)),
            4 => drop(words.compare_exchange(at, 0, 5)),
            5 => drop(words.fetch_or(at, 5, Ordering::AcqRel)),
            // Misaligned, and across many pages.
            6 => assert!(view.read_at(page() + 3, &mut bytes).is_err()),
            7 => assert!(view.write_at(page() + 3, &bytes).is_err()),
            _ => {
                // A lost lock word reads as free, and is private to this process.
                let locks = Locks::new(Scope::Local, "faults", 0, 8).unwrap();
                let _ = locks.lock(view, page(), Duration::from_secs(1)).unwrap();
                locks.unlock(view, page());
            }
        }
        assert_eq!(view.lost().unwrap().kind(), ErrorKind::Truncated, "{which}");
        assert!(!machine::is_epoch(epoch));
        if (1..6).contains(&which) {
            assert_eq!(words.load(at, Ordering::Relaxed), 5, "{which}: the retried store");
        }
    }
}

#[test]
fn many_threads_fault_at_once() {
    let scratch = Scratch::new("threads");
    for round in 0..20 {
        let _ = fs::remove_file(&scratch.0);
        let views = [file(&scratch.0), file(&scratch.0)];
        let epoch = machine::epoch();
        let ready = Barrier::new(8);
        lives("truncate", &scratch.0);
        thread::scope(|scope| {
            for thread in 0..8 {
                let (view, ready) = (&views[thread % 2], &ready);
                scope.spawn(move || {
                    ready.wait();
                    for step in 0..PAGES - 1 {
                        let at = (1 + (step * 7 + thread * round) % (PAGES - 1)) * page();
                        let words = view.words_mut(at, 2).unwrap();
                        if thread < 4 {
                            words.fetch_add(thread / 2, 1, Ordering::AcqRel);
                        } else {
                            words.load(1, Ordering::Relaxed);
                            fence(Ordering::Acquire);
                        }
                        // All threads see the loss, whichever of them faulted.
                        assert!(!machine::is_epoch(epoch));
                        assert!(view.is_lost());
                    }
                });
            }
        });
    }
}

/// A hole causes no fault as long as there is free space to fill it.
#[cfg(target_os = "linux")]
#[test]
fn a_hole_reads_as_zeros_and_is_filled() {
    let scratch = Scratch::new("hole");
    let view = file(&scratch.0);
    view.write_at(5 * page(), b"gone").unwrap();
    let open = fs::OpenOptions::new().write(true).open(&scratch.0).unwrap();
    let hole = i64::try_from(4 * page()).unwrap();
    let punched = unsafe {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&open);
        libc::fallocate64(fd, mode, hole, hole)
    };
    if punched != 0 {
        eprintln!("SKIPPED: the file system of {} has no holes", scratch.0.display());
        return;
    }
    let mut bytes = [1; 4];
    view.read_at(5 * page(), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4]);
    view.write_at(6 * page(), b"back").unwrap();
    view.flush_durable(0..view.len()).unwrap();
    assert!(view.lost().is_none());
}

/// Runs in a file system of 64 KiB that is mounted for this test.
#[cfg(target_os = "linux")]
#[test]
fn a_full_file_system_is_an_error() {
    let place = env::temp_dir().join(format!("mapvar-faults.{}.full", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let mut inside = Command::new("unshare");
    let script = r#"mount -t tmpfs -o size=64k none "$1" 2>/dev/null || exit 77; exec "$2" --exact child --nocapture"#;
    inside.args(["-Urm", "sh", "-c", script, "sh"]).arg(&place).arg(env::current_exe().unwrap());
    inside.env(ROLE, "full").env(PATH, place.join("file"));
    let output = inside.output();
    let _ = fs::remove_dir(&place);
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) if output.status.code() == Some(77) || text(&output).contains("unshare") => {
            eprintln!("SKIPPED: nothing can be mounted here: {}", text(&output));
        }
        Ok(output) => panic!("{:?}: {}", output.status, text(&output)),
        Err(error) => eprintln!("SKIPPED: no unshare here: {error}"),
    }
}

/// Role: writes to a sparse file until the file system is full.
#[cfg(target_os = "linux")]
fn full(path: &Path) {
    // RESERVE creates a sparse file.
    let size = (PAGES * page()) as u64;
    let section = Section::options()
        .file(path)
        .size(size)
        .flags(mapvar_os::SectionFlags::RESERVE)
        .create()
        .unwrap();
    let (view, other) = (section.view().map().unwrap(), section.view().map().unwrap());
    let mut written = 0;
    let error = loop {
        match view.write_at(written * page(), &[7; 100]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!((1..PAGES).contains(&written));
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("free some space"), "{error}");
    // Other views see all acknowledged writes. The pages of the lost view are still shared, except
    // the one that could not be allocated.
    let mut byte = [0];
    for at in 0..written {
        other.read_at(at * page(), &mut byte).unwrap();
        assert_eq!(byte, [7]);
    }
    view.words_mut(0, 1).unwrap().store(0, 9, Ordering::Release);
    other.read_at(0, &mut byte).unwrap();
    assert_eq!(byte, [9]);
    assert!(other.lost().is_none() && view.is_lost());
    // Each lost page makes two more mappings. So the limit is reached with one mapping left, or with
    // none, depending on how many the process has besides.
    scattered(&path.with_extension("even"));
    let besides = Section::options().size(100).create().unwrap();
    let _mapping = besides.view().map().unwrap();
    scattered(&path.with_extension("odd"));
}

/// Loses more scattered pages than the number of mappings that a process may have, in each of two
/// views.
#[cfg(target_os = "linux")]
fn scattered(path: &Path) {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: usize = most.trim().parse().unwrap();
    if most > 1 << 17 {
        eprintln!("SKIPPED: this system allows {most} mappings");
        return;
    }
    let size = ((2 * most + 100) * page()) as u64;
    let section = Section::options()
        .file(path)
        .size(size)
        .flags(mapvar_os::SectionFlags::RESERVE)
        .create()
        .unwrap();
    let views = [(); 2].map(|()| section.view().map().unwrap());
    for view in &views {
        let words = view.words_mut(0, view.len() / 8).unwrap();
        for at in (0..view.len() / page()).step_by(2) {
            words.store(at * page() / 8, 1, Ordering::Relaxed);
        }
        assert!(view.is_lost());
    }
    // The last one first: it consists of many mappings, whose end lets the system divide the others,
    // which it may have joined.
    for view in views.into_iter().rev() {
        view.close().unwrap();
    }
}

#[test]
fn who_opts_out_has_the_fault() {
    let scratch = Scratch::new("out");
    dies("opted out", &scratch.0, libc::SIGBUS);
    let _ = fs::remove_file(&scratch.0);
    lives("too late", &scratch.0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_foreign_fault_is_what_it_was() {
    let scratch = Scratch::new("foreign");
    for role in [
        "foreign fault",
        "foreign fault, ignored",
        "foreign fault, default",
        "sent, default",
        "sent, Rust's",
    ] {
        let _ = fs::remove_file(&scratch.0);
        dies(role, &scratch.0, libc::SIGBUS);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_handler_that_was_there_before_gets_its_own_faults() {
    let scratch = Scratch::new("chained");
    lives("chained", &scratch.0);
    let _ = fs::remove_file(&scratch.0);
    lives("chained, plain", &scratch.0);
}

#[test]
fn an_overflowing_stack_is_told_as_before() {
    let scratch = Scratch::new("overflow");
    let text = dies("overflow", &scratch.0, libc::SIGABRT);
    assert!(text.contains("'deep'") && text.contains("overflowed its stack"), "{text}");
}

#[test]
fn a_child_after_fork_has_its_own_losses() {
    let scratch = Scratch::new("forked");
    lives("forked", &scratch.0);
}

/// Makes a call of the handler fail in this thread, as old kernels and sandboxes do.
#[cfg(target_os = "linux")]
fn without_membarrier() {
    let statement = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let compare = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut filter = [
        // The number of the call is the first field of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { jf: 1, ..statement(compare, libc::SYS_membarrier as u32) },
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
        assert_eq!(libc::syscall(libc::SYS_membarrier, 0, 0), -1);
    }
}

/// A fault can happen between a call that fails and the code that asks why.
#[test]
#[cfg(target_os = "linux")]
fn a_fault_leaves_errno_as_it_was() {
    let scratch = Scratch::new("errno");
    let view = file(&scratch.0);
    fs::OpenOptions::new().write(true).open(&scratch.0).unwrap().set_len(100).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            without_membarrier();
            let words = view.words(page(), 1).unwrap();
            unsafe { *libc::__errno_location() = 4321 };
            let word = words.load(0, Ordering::Relaxed);
            let errno = unsafe { *libc::__errno_location() };
            assert_eq!((word, errno), (0, 4321));
            assert!(view.is_lost());
        });
    });
}
