//! Writes of another process at any moment: I1 (bytes), I2 (source check), I3 (torn values), I11
//! (source check).
//!
//! `mapvar-engine-sim`, `tests/hostile_loads.rs`, tests I1 and I2 with loads whose results an
//! attacker chooses.

use crate::{
    common::{Random, Watchdog, quick_folder, scaled, unique},
    peer::{Peer, options, report, stamp_of, stamped},
};
use mapvar::{ErrorKind, Map};
use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Fuller: `tests/files/hostile.rs` (10,000 damaged maps), `mapvar-engine-sim`,
/// `tests/hostile_loads.rs`, `harness/fuzz`.
#[test]
fn i01_bytes_that_change_under_a_map_do_no_harm() {
    let _watchdog = Watchdog::new("I1", Duration::from_mins(1));
    let mut random = Random::new("I1");
    let dir = quick_folder();
    let path = dir.path().join("hostile.map");
    let map = Map::options()
        .file(&path)
        .size(4_000)
        .max_size(1 << 19)
        .timeout(Duration::from_millis(1))
        .create()
        .unwrap();
    let words = map.stat().unwrap().region / 8;
    let mut peer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let at = match random.below(3) {
                    0 => random.below(words),
                    1 => 0x1000 / 8 + random.below(0x200),
                    _ => 0x7000 / 8 + random.below(0xe00),
                } * 8;
                let word = match random.below(4) {
                    0 => random.next(),
                    1 => random.below(words * 8) & !63,
                    2 => 0,
                    _ => random.below(64),
                };
                peer.seek(SeekFrom::Start(at)).unwrap();
                peer.write_all(&word.to_le_bytes()).unwrap();
            }
        });
        for round in 0..scaled(400) {
            for number in 0..8_usize {
                let name = format!("v{number}");
                let _ = map.set(&name, vec![7_u8; [4, 90, 900, 9_000][(round + number) % 4]]);
                let _ = (
                    map.get::<Vec<u8>>(&name),
                    map.get::<mapvar::Value>(&name),
                    map.contains(&name),
                );
                let _ = map.transaction(|tx| {
                    tx.set(&name, round)?;
                    tx.set("other", number)
                });
                let _ = (
                    map.snapshot([&name, "other"]),
                    map.update(&name, |n: Option<i64>| n.unwrap_or(0) + 1),
                );
                let _ = map.atomic_or("count", 1_i64).and_then(|count| count.fetch_add(1));
                if number == 0 {
                    let _ = (map.remove(&name), map.flush(), map.stat(), map.count());
                }
            }
            for entry in map.iter().flatten() {
                let _ = (entry.kind(), entry.get::<mapvar::Value>(), entry.version());
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Returns every Rust file below a folder of a crate, with its code without comments.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(below)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code: Vec<_> =
                    text.lines().map(|line| line.split("//").next().unwrap()).collect();
                files.push((path, code.join("\n")));
            }
        }
    }
    assert!(files.len() > 3, "{below} was not found");
    files
}

/// Fuller: `mapvar-engine-sim`, `tests/hostile_loads.rs`.
#[test]
fn i02_no_slice_of_the_region_leaves_mapvar_os() {
    for below in ["engine/src", "mapvar/src", "cli/src"] {
        for (path, code) in sources(below) {
            for word in ["from_raw_parts", "copy_nonoverlapping", "as_slice_unchecked", "unsafe {"]
            {
                assert!(!code.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

/// The kernel decides whether an owner is alive, by its locks; no code finds a process by its id.
///
/// Fuller: `crates/os/tests/contract.rs`
/// (`the_lock_of_a_killed_holder_is_recovered_and_others_go_on`,
/// `a_seat_is_seen_taken_until_its_process_gives_it_back_or_is_killed`,
/// `a_forged_owner_costs_time_and_no_more`).
#[test]
fn i11_no_process_is_asked_for_by_its_number() {
    // The calls that find a process, and the files that may do so, and how often: to name a program
    // in a message, and (`may_run`) to refuse a file that another mount has used.
    let asked: [(&str, &[(&str, usize)]); 6] = [
        ("pidfd_open", &[]),
        ("libc::kill", &[]),
        ("kill_process", &[("sys/unix/machine.rs", 1)]),
        ("GetExitCodeProcess", &[]),
        ("OpenProcess(", &[("sys/windows/machine.rs", 1)]),
        ("\"/proc/{", &[("sys/unix/machine.rs", 2), ("sys/unix/lock/robust.rs", 1)]),
    ];
    for below in ["os/src", "engine/src", "mapvar/src"] {
        for (path, code) in sources(below) {
            for (word, but) in asked {
                let allowed = but.iter().find(|(file, _)| path.ends_with(file));
                let allowed = allowed.map_or(0, |(_, times)| *times);
                let times = code.matches(word).count();
                assert!(times <= allowed, "{}: {word}", path.display());
            }
        }
    }
}

const SIZES: [usize; 5] = [1, 8, 100, 1_500, 12_000];

/// Role: rewrites the shared variables with values of every size.
pub(crate) fn rewrite(arguments: &[String]) {
    let map = options(&arguments[0]).open().unwrap();
    let from: u64 = arguments[1].parse().unwrap();
    for stamp in from..from + scaled(2_000) as u64 {
        let at = (stamp % 3) as usize;
        map.set(&format!("v{at}"), stamped(stamp, SIZES[(stamp / 3 % 5) as usize])).unwrap();
        map.transaction(|tx| {
            tx.set("left", stamped(stamp, 40))?;
            tx.set("right", stamped(stamp, 3_000))
        })
        .unwrap();
    }
    report("done");
}

/// Fuller: `tests/load.rs` (100 threads of four processes), `harness/loom` (every ordering).
#[test]
fn i03_no_value_is_torn_whatever_its_size() {
    let _watchdog = Watchdog::new("I3", Duration::from_mins(2));
    let name = unique("torn");
    let map = options(&name).size(1 << 20).create().unwrap();
    for variable in ["v0", "v1", "v2", "left", "right"] {
        map.set(variable, stamped(0, 12_000)).unwrap();
    }
    let over = AtomicBool::new(false);
    let mut writers: Vec<_> =
        ["1", "1000000"].map(|from| Peer::start("rewrite", &[&name, from])).into();
    let reads: usize = thread::scope(|scope| {
        let readers: Vec<_> = (0..2_usize)
            .map(|number| {
                let (map, over) = (&map, &over);
                scope.spawn(move || {
                    let mut buffer = vec![0; 12_000 * 8];
                    let var = map.var::<Vec<u8>>("v0").unwrap();
                    let mut reads = 0;
                    while !over.load(Ordering::Relaxed) {
                        stamp_of(&map.get::<Vec<u8>>(&format!("v{}", number + 1)).unwrap());
                        let len = var.read_bytes(&mut buffer).unwrap();
                        stamp_of(&buffer[..len]);
                        reads += 2;
                        match map.snapshot(["left", "right"]) {
                            Ok(both) => {
                                let of = |name| stamp_of(&both.get::<Vec<u8>>(name).unwrap());
                                assert_eq!(of("left"), of("right"), "a transaction is whole");
                                reads += 1;
                            }
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Contended, "{error}"),
                        }
                    }
                    reads
                })
            })
            .collect();
        for writer in &mut writers {
            writer.expect("done");
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    println!("{reads} reads, none torn");
    writers.into_iter().for_each(Peer::finish);
}

/// On every system a flush writes the pages to the file (`msync`, `FlushViewOfFile`), and then
/// waits for the device (`fdatasync`, `FlushFileBuffers`). `unix.rs` checks this by strace;
/// `harness/power` shows that one such barrier is enough.
#[test]
fn i21_the_barrier_is_in_that_order() {
    let code = |below: &str, file: &str| {
        sources(below).into_iter().find(|(path, _)| path.ends_with(file)).unwrap().1
    };
    let mem = code("engine/src", "mem/mapped.rs");
    let barrier = mem.split("impl Mem for Mapped").nth(1).unwrap();
    let barrier = barrier.split("fn barrier").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let (write, wait) = (barrier.find("flush_start"), barrier.find(".sync()"));
    assert!(write.is_some() && write < wait, "{barrier}");
    assert!(code("os/src", "windows/mapping.rs").contains("FlushViewOfFile("));
    // On Windows `sync_all` calls FlushFileBuffers.
    assert!(code("os/src", "windows/section/handle.rs").contains("sync_all()"));
}
