//! Cases that only Linux can provoke: file systems of any size, holes, resource limits.

use super::{
    Options,
    cases::{self, Style},
    children::{Program, run},
    report::Figure,
};
use mapvar_harness::{Folder, Random};
use rustix::{
    fs::{FallocateFlags, fallocate},
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const PAGE: u64 = 4_096;

fn pages(options: &Options) -> Vec<u64> {
    (1..=64).filter(|pages| !options.short || pages % 9 == 1).collect()
}

/// A file system in memory of a given size, mounted until this is dropped.
pub struct Small(PathBuf);

impl Small {
    pub fn new(at: &Path, bytes: u64) -> Result<Self, String> {
        let size = std::ffi::CString::new(format!("size={bytes},mode=700"))
            .map_err(|it| it.to_string())?;
        mount("none", at, "tmpfs", MountFlags::empty(), Some(size.as_c_str()))
            .map_err(|error| format!("tmpfs of {bytes} bytes: {error}"))?;
        Ok(Self(at.into()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A child that has just ended may keep it busy a moment longer.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Returns the command that gives this user a private mount namespace; `None` if the user may not
/// have one.
pub fn apart() -> Option<Vec<&'static str>> {
    for how in [vec!["unshare", "-m"], vec!["unshare", "-Urm"]] {
        let mut command = Command::new(how[0]);
        command.args(&how[1..]).args(["mount", "-t", "tmpfs", "none", "/mnt"]);
        let tried = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if tried.is_ok_and(|status| status.success()) {
            return Some(how);
        }
    }
    None
}

/// Runs this program again in that namespace, with the same options, for this leg.
pub fn begin_apart(how: &[&str], leg: &str) -> bool {
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(how[0]);
    command.args(&how[1..]).arg(this).args(std::env::args().skip(1)).args(["--apart", leg]);
    command.status().is_ok_and(|status| status.success())
}

/// Runs each style at each size, in a file and by name, and the other cases of a full disk.
pub fn disks(options: &Options) -> Figure {
    let mut figure = Figure::new("full disk");
    let this = Program::this();
    let folder = Folder::new("full").expect("a folder");
    let file = folder.join("full.map").to_string_lossy().into_owned();
    let pages = pages(options);
    for size in &pages {
        let mut case = |arguments: &[&str]| {
            let apart = || {
                let _small = Small::new(folder.path(), size * PAGE)?;
                let _memory = Small::new(Path::new("/dev/shm"), size * PAGE)?;
                run(&this, arguments, None)
            };
            figure.note(&format!("{size} pages"), apart());
        };
        for style in Style::ALL {
            case(&["fill", style.name(), &file]);
            case(&["fill", style.name(), "full"]);
        }
        case(&["room-again", &file]);
        case(&["recover", &file]);
        case(&["hole-on-full", &file]);
    }
    figure.sizes = pages.len();
    figure
}

/// Truncates a file at each page while a process reads and writes it, and punches holes at each
/// page.
pub fn shorter(options: &Options) -> Figure {
    let mut figure = Figure::new("truncation and holes");
    let this = Program::this();
    let folder = Folder::quick("full").expect("a folder");
    let path = folder.join("shorter.map");
    let file = path.to_string_lossy().into_owned();
    let len = match cases::filled(&file).map(|map| map.stat()) {
        Ok(_) => fs::metadata(&path).map_or(0, |it| it.len()),
        Err(flaw) => {
            figure.note("a map as it should be", Err(flaw));
            return figure;
        }
    };
    let _ = fs::remove_file(&path);
    let all = len / PAGE;
    let boundaries: Vec<u64> =
        (0..=all).filter(|page| !options.short || page % 11 == 0 || *page < 2).collect();
    let (mut noticed, mut extended) = (0, 0);
    for page in &boundaries {
        let mut random = Random::new(options.seed ^ page);
        for role in ["while-truncated", "view-truncated"] {
            let all = all.to_string();
            let arguments: &[&str] =
                if role == "view-truncated" { &[role, &file, &all] } else { &[role, &file] };
            let mut cut = || {
                thread::sleep(Duration::from_micros(random.below(3_000)));
                let opened = fs::OpenOptions::new().write(true).open(&path);
                let _ = opened.and_then(|file| file.set_len(page * PAGE));
            };
            let done = run(&this, arguments, Some(&mut cut));
            let lost =
                done.as_ref().is_ok_and(|said| said.contains("lost") && !said.contains("lost 0"));
            noticed += u64::from(lost);
            let done = match done {
                // A growth that was under way extended the file again (`Section::grow_from`).
                Ok(_) if !lost && fs::metadata(&path).is_ok_and(|it| it.len() > page * PAGE) => {
                    extended += 1;
                    Ok(String::new())
                }
                // Every operation of a map uses these pages: header, live words, table and index.
                Ok(_) if !lost && *page < 8 => Err(format!("{role}: nobody noticed")),
                done => done,
            };
            figure.note(&format!("shorter at page {page}"), done);
            let _ = fs::remove_file(&path);
        }
        if *page < all {
            for many in [1, 2] {
                let (page, many) = (page.to_string(), many.to_string());
                let done = run(&this, &["hole", &file, &page, &many], None);
                figure.note(&format!("a hole of {many} at page {page}"), done);
                let _ = fs::remove_file(&path);
            }
        }
    }
    figure.sizes = boundaries.len();
    let cuts = boundaries.len() * 2;
    println!(
        "  {noticed} of {cuts} truncations were noticed as a loss; {extended} came at the moment of a growth"
    );
    if extended * 10 > cuts {
        figure.note("truncations", Err("files that were truncated are extended".into()));
    }
    figure
}

/// Limits what the process may have, at each page.
pub fn limits(options: &Options) -> [Figure; 2] {
    let mut files = Figure::new("RLIMIT_FSIZE");
    let mut memory = Figure::new("RLIMIT_AS");
    let this = Program::this();
    let folder = Folder::quick("full").expect("a folder");
    let path = folder.join("limited.map");
    let file = path.to_string_lossy().into_owned();
    let pages = pages(options);
    for size in &pages {
        let size = size.to_string();
        for style in Style::ALL {
            let name = format!("full.{}", std::process::id());
            for what in [file.as_str(), &name] {
                let done = run(&this, &["limit", "file", &size, style.name(), what], None);
                if done.is_err() {
                    // A process ended by a signal leaves its name behind; the next opener removes
                    // it.
                    let _ = mapvar::Map::options().name(&name).size(1).open_or_create();
                }
                files.note(&format!("{size} pages"), done);
                let _ = fs::remove_file(&path);
            }
            for kind in ["memory", "memory-coarse"] {
                let done = run(&this, &["limit", kind, &size, style.name(), &file], None);
                memory.note(&format!("{size}, {kind}"), done);
                let _ = fs::remove_file(&path);
            }
        }
    }
    files.sizes = pages.len();
    // One limit in single pages beyond the current use, the other in sixteen times as many.
    memory.sizes = 2 * pages.len();
    [files, memory]
}

/// Role: sets a limit, then fills a map as another role does.
pub fn limited(kind: &str, pages: u64, style: Style, what: &str) -> Result<bool, String> {
    let (resource, most) = match kind {
        "file" => (Resource::Fsize, pages * PAGE),
        _ => {
            // Small allocations come from memory reserved here. The library must turn a failed
            // system call into an error, but no code can recover when the allocator fails on a
            // small one.
            let reserve: Vec<Vec<u8>> = (0..256).map(|_| vec![1; 16 << 10]).collect();
            let last = vec![1_u8; 1 << 10];
            drop(reserve);
            std::mem::forget(last);
            let status = fs::read_to_string("/proc/self/statm").map_err(|it| it.to_string())?;
            let now: u64 = status.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0);
            let more = if kind == "memory" { pages } else { pages * 16 };
            (Resource::As, (now + more) * PAGE)
        }
    };
    let limit = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(most), maximum: limit.maximum })
        .map_err(|error| error.to_string())?;
    let done = if kind == "file" {
        cases::fill_one(what, style)
    } else {
        cases::fill_in_memory(what, style)
    };
    setrlimit(resource, limit).map_err(|error| error.to_string())?;
    done
}

fn punch(path: &str, page: u64, pages: u64) -> Result<(), String> {
    let file = fs::OpenOptions::new().write(true).open(path).map_err(|it| it.to_string())?;
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, how, page * PAGE, pages * PAGE).map_err(|it| format!("no hole: {it}"))
}

/// Role: punches a hole into the file of a map in use.
pub fn hole(path: &str, page: u64, pages: u64) -> Result<bool, String> {
    let map = cases::filled(path)?;
    punch(path, page, pages)?;
    for _ in 0..2 {
        cases::use_all(&map, cases::AFTER_ZEROS, false)?;
    }
    let _ = (map.clear(), map.flush(), map.check(), map.close());
    let _ = mapvar::Map::options().file(path).open();
    Ok(true)
}

/// Role: punches a hole where no free space is left for the page to come back.
pub fn hole_on_full(path: &str) -> Result<bool, String> {
    let options = cases::options(path);
    let Ok(map) = options.create() else { return Ok(false) };
    let mut acked = cases::Values::new();
    cases::fill(&map, Style::Extents, &mut acked)?;
    let len = fs::metadata(path).map_err(|it| it.to_string())?.len();
    let filler = Path::new(path).with_extension("filler");
    for page in [len / PAGE - 1, len / PAGE / 2, 5] {
        cases::take_all(&filler)?;
        punch(path, page, 1)?;
        // The pages that the hole freed are taken too.
        cases::take_all(&filler.with_extension("more"))?;
        cases::use_all(&map, cases::AFTER_ZEROS, false)?;
    }
    let _ = map.close();
    Ok(true)
}
