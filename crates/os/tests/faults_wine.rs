//! A lost mapping is an error: the cases that can be tested under Wine.
//!
//! Windows does not permit the truncation of a mapped file, and a test cannot disconnect a disk.
//! Under Wine a program of the host system truncates the file, and the fault is an access
//! violation.

#![cfg(windows)]
#![allow(unsafe_code, reason = "the faults of others")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::undocumented_unsafe_blocks,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{Access, ErrorKind, Section, View, faults, machine};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Barrier, atomic::Ordering},
    thread,
    time::Duration,
};

#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetLastError() -> u32;
    fn SetLastError(error: u32);
}

const ROLE: &str = "MAPVAR_FAULTS_ROLE";
const PATH: &str = "MAPVAR_FAULTS_PATH";
const PAGES: usize = 64;
/// A program of the host system.
const TRUNCATE: &str = r"Z:\usr\bin\truncate";

fn under_wine() -> bool {
    let there = Path::new(TRUNCATE).exists();
    if !there {
        eprintln!("SKIPPED: nothing here can make a mapped file shorter");
    }
    there
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!(r"Z:\tmp\mapvar-faults-wine.{}.{name}", std::process::id());
        let _ = fs::remove_file(&name);
        Self(name.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn section(path: &Path) -> Section {
    let size = (PAGES * machine::page_size()) as u64;
    Section::options().file(path).size(size).open_or_create().unwrap()
}

fn shorten(path: &Path) {
    let beneath = path.to_str().unwrap().trim_start_matches("Z:").replace('\\', "/");
    // Wine returns no usable handle of a host program, so this polls the file for the result.
    let _ = Command::new(TRUNCATE).args(["-s", "100", &beneath]).spawn();
    for _ in 0..6000 {
        if fs::metadata(path).unwrap().len() == 100 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{beneath} is not made shorter");
}

fn lose(view: &View) {
    let error = view.read_at(machine::page_size(), &mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

/// The roles.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let path = PathBuf::from(env::var_os(PATH).unwrap());
    match role.as_str() {
        "opted out" => {
            assert!(faults::leave_alone());
            let view = section(&path).view().map().unwrap();
            shorten(&path);
            lose(&view);
        }
        "foreign" => {
            let view = section(&path).view().map().unwrap();
            shorten(&path);
            lose(&view);
            eprintln!("still here");
            // A fault outside all views.
            unsafe { std::ptr::without_provenance_mut::<u8>(64).write_volatile(1) };
        }
        "read-only" => {
            let view = section(&path).view().access(Access::Read).map().unwrap();
            eprintln!("still here");
            unsafe { view.as_ptr().write_volatile(1) };
        }
        other => panic!("no role {other}"),
    }
}

#[track_caller]
fn dies(role: &str, path: &Path) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).env(PATH, path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // On Windows the code of the exception; under Wine its debugger sets the code. A panic is 101.
    let code = output.status.code();
    assert!(!matches!(code, Some(0 | 101)), "{role}: {code:?} {stderr}");
    stderr
}

#[test]
fn a_file_made_shorter_is_an_error_of_the_views_that_touch_it() {
    if !under_wine() {
        return;
    }
    let scratch = Scratch::new("shorter");
    let section = section(&scratch.0);
    let map = |access| section.view().access(access).map().unwrap();
    let page = machine::page_size();
    let (reader, writer) = (map(Access::Read), map(Access::ReadWrite));
    let (private, untouched) = (map(Access::CopyOnWrite), map(Access::ReadWrite));
    writer.write_at(0, b"begin").unwrap();
    let epoch = machine::epoch();
    shorten(&scratch.0);

    let mut bytes = [1; 5];
    reader.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"begin");
    assert!(reader.lost().is_none());
    let error = reader.read_at(9 * page, &mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.to_string().contains("is gone; open it anew"), "{error}");
    assert!(!machine::is_epoch(epoch));
    assert_eq!(reader.flush(0..1).unwrap_err().kind(), ErrorKind::Truncated);
    let words = writer.words_mut(page, 8).unwrap();
    words.fetch_add(3, 5, Ordering::AcqRel);
    assert_eq!(words.load(3, Ordering::Acquire), 5, "the store that was done again");
    assert_eq!(writer.lost().unwrap().kind(), ErrorKind::Truncated);
    assert!(private.write_at(9 * page, &vec![1; 20 * page]).is_err());
    assert!(untouched.lost().is_none());
    untouched.write_at(0, b"still").unwrap();
    for view in [reader, writer, private, untouched] {
        view.close().unwrap();
    }
}

/// Each piece of a view is replaced when it is accessed; the first loss of a piece is the loss of
/// the view.
#[test]
fn the_loss_of_a_piece_is_the_loss_of_the_view() {
    if !under_wine() {
        return;
    }
    let granule = machine::granularity();
    let mut released = false;
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let scratch = Scratch::new("pieces");
        let section = Section::options().file(&scratch.0).size(granule as u64).create().unwrap();
        let map = || {
            let view = section.view().len(granule as u64).reserve(1 << 20).map().unwrap();
            for pieces in [2, 3] {
                section.grow((pieces * granule) as u64).unwrap();
                view.grow(pieces * granule).unwrap();
            }
            view
        };
        // A view of three pieces, a view of one piece, and a view that is not accessed.
        let view = map();
        let whole = section.view().reserve(1 << 20).map().unwrap();
        let untouched = map();
        let epoch = machine::epoch();
        shorten(&scratch.0);
        for (step, piece) in order.into_iter().enumerate() {
            assert_eq!(view.is_lost(), step > 0);
            let at = piece * granule + machine::page_size();
            let words = view.words_mut(at, 8).unwrap();
            words.fetch_add(3, 5, Ordering::AcqRel);
            assert_eq!(words.load(3, Ordering::Acquire), 5, "the store that was done again");
            assert!(view.is_lost() && !machine::is_epoch(epoch));
        }
        let lost = view.lost().unwrap();
        assert_eq!(lost.kind(), ErrorKind::Truncated);
        let byte = order[0] * granule + machine::page_size() + 24;
        assert!(lost.to_string().contains(&format!("byte {byte} is gone")), "{lost}");
        assert_eq!(view.flush(0..3 * granule).unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(view.grow(4 * granule).unwrap_err().kind(), ErrorKind::Truncated);
        assert!(whole.write_at(granule - 3, b"across").is_err());
        assert!(untouched.lost().is_none());
        let base = view.as_ptr().addr();
        view.close().unwrap();
        whole.close().unwrap();
        drop((untouched, section));
        fs::remove_file(&scratch.0).unwrap();
        // All addresses were released, including those of replaced pieces.
        let again = Section::options().size(1 << 20).create().unwrap();
        released |= again.view().base_address(base).map().is_ok();
    }
    // Another test may map memory there first, but not each time.
    assert!(released);
}

#[test]
fn many_threads_fault_at_once() {
    if !under_wine() {
        return;
    }
    let scratch = Scratch::new("threads");
    let page = machine::page_size();
    for round in 0..5 {
        let section = section(&scratch.0);
        let (first, second) = (section.view().map().unwrap(), section.view().map().unwrap());
        let epoch = machine::epoch();
        let ready = Barrier::new(8);
        shorten(&scratch.0);
        thread::scope(|scope| {
            for thread in 0..8 {
                let view = if thread % 2 == 0 { &first } else { &second };
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    for step in 0..PAGES - 1 {
                        let at = (1 + (step * 7 + thread * round) % (PAGES - 1)) * page;
                        view.words_mut(at, 2).unwrap().fetch_add(0, 1, Ordering::AcqRel);
                        assert!(!machine::is_epoch(epoch) && view.is_lost());
                    }
                });
            }
        });
        drop((first, second, section));
        fs::remove_file(&scratch.0).unwrap();
    }
}

#[test]
fn the_faults_of_others_end_the_process_as_before() {
    if !under_wine() {
        return;
    }
    let scratch = Scratch::new("others");
    assert!(dies("foreign", &scratch.0).contains("still here"));
    let _ = fs::remove_file(&scratch.0);
    assert!(dies("read-only", &scratch.0).contains("still here"));
    let _ = fs::remove_file(&scratch.0);
    dies("opted out", &scratch.0);
}

/// A fault can happen between a call that fails and the code that asks why.
#[test]
fn a_fault_leaves_the_last_error_as_it_was() {
    if !under_wine() {
        return;
    }
    let scratch = Scratch::new("last-error");
    let view = section(&scratch.0).view().map().unwrap();
    shorten(&scratch.0);
    let words = view.words(machine::page_size(), 1).unwrap();
    unsafe { SetLastError(4321) };
    let word = words.load(0, Ordering::Relaxed);
    let error = unsafe { GetLastError() };
    assert_eq!((word, error), (0, 4321));
    assert!(view.is_lost());
}
