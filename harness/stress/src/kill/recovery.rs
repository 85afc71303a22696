//! Measures the time from the death of a lock's owner until a peer that waits for the lock has
//! finished its operation.
//!
//! The owner takes the lock itself, with the engine's own `Locks` on the map's own word. So it
//! certainly owns the lock when it is killed. For a flush, the engine owns the flush lock: its
//! flush waits for a variable whose lock another thread of the process owns.

use super::{
    order::START,
    process,
    shared::{Actor, Shared, word},
    storm::{self, INTERRUPTED},
    work::options,
};
use crate::region::{LIMIT, Place, Region, at, proc_bytes};
use mapvar::Map;
use mapvar_harness::{figure, percentiles};
use serde_bytes::Bytes;
use std::{
    io,
    path::Path,
    process::ExitCode,
    sync::atomic::Ordering::SeqCst,
    thread,
    time::{Duration, Instant},
};

/// The lock that the killed process owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Variable,
    Structure,
    Transactions,
    Flush,
}

impl Held {
    const ALL: [Self; 4] = [Self::Variable, Self::Structure, Self::Transactions, Self::Flush];

    fn name(self) -> &'static str {
        match self {
            Self::Variable => "a variable's lock",
            Self::Structure => "the lock of the structure",
            Self::Transactions => "the lock of transactions",
            Self::Flush => "a flush",
        }
    }
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// Runs the process that is to be killed.
pub(crate) fn hold(shared: &Path, arguments: &[&str]) -> io::Result<ExitCode> {
    process::end_with_parent();
    let shared = Shared::open(shared)?;
    let [held, life, touched, path] = arguments else { return Err(other("no holder")) };
    let held = Held::ALL[held.parse::<usize>().map_err(other)? & 3];
    let life: u64 = life.parse().map_err(other)?;
    let touched: usize = touched.parse().map_err(other)?;
    let map = options(&Place::File(path.into())).open().map_err(other)?;
    let region = Region::open(&Place::File(path.into())).map_err(other)?;
    let Region { view, locks, .. } = &region;
    for at in (0..touched.min(view.len())).step_by(4096) {
        // Writes to the page and leaves it unchanged: no other process writes now. (The compiler
        // would drop an `or` of nothing.)
        if let (Some(words), Some(seen)) = (view.words_mut(at, 1), view.words(at, 1)) {
            words.store(0, seen.load(0, SeqCst), SeqCst);
        }
    }
    // Under Wine another process opens this file, so it describes that process.
    if !cfg!(windows)
        && let Some(mapped) = proc_bytes("/proc/self/status", "RssShmem:")
        && mapped < touched as u64 / 100 * 99
    {
        return Err(other(format!("only {mapped} bytes are in the page tables")));
    }
    let word = match held {
        Held::Variable | Held::Flush => {
            region.record("held").ok_or_else(|| other("no such variable"))? + 8
        }
        Held::Structure => at::L,
        Held::Transactions => at::T,
    };
    if held == Held::Flush {
        // So that the flush has a change to write.
        map.set("held", life).map_err(other)?;
    }
    let _ = locks.lock(view, word, LIMIT).map_err(|refused| other(format!("{refused:?}")))?;
    if held == Held::Flush {
        thread::spawn(move || map.flush());
        while region.word(at::FLUSHER) == 0 {
            thread::sleep(Duration::from_micros(100));
        }
    } else {
        std::mem::forget(map);
    }
    shared.actor(1).put(word::READY, life);
    loop {
        thread::sleep(START);
    }
}

/// One death.
struct Sample {
    /// From just before the kill until the peer's operation had returned.
    from_kill: Duration,
    /// From the report of the death until the peer's operation had returned.
    from_end: Duration,
}

fn sample(
    map: &Map,
    shared: (&Shared, &Path),
    path: &str,
    held: Held,
    life: u64,
    touched: usize,
) -> io::Result<Sample> {
    let actor: Actor<'_> = shared.0.actor(1);
    let kind = Held::ALL.iter().position(|it| *it == held).unwrap_or(0);
    let arguments = [kind.to_string(), life.to_string(), touched.to_string()];
    let [kind, number, bytes] = &arguments;
    let mut child = process::start("hold", shared.1, &[kind, number, bytes, path])?;
    let began = Instant::now();
    while actor.get(word::READY) != life {
        if began.elapsed() > START * 3 || child.try_wait()?.is_some() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(other(format!("who was to hold {held:?} did not come so far")));
        }
        thread::sleep(Duration::from_micros(200));
    }
    thread::scope(|scope| {
        let peer = scope.spawn(|| {
            let done = match held {
                Held::Variable => map.set("held", life),
                Held::Structure => map.set(&format!("new {life}"), life),
                Held::Transactions => map.transaction(|tx| {
                    tx.set("left", life)?;
                    tx.set("right", life)
                }),
                Held::Flush => map.flush(),
            };
            (done, Instant::now())
        });
        // Time for the peer to fall asleep.
        thread::sleep(Duration::from_millis(3));
        let waits = !peer.is_finished();
        let killed = Instant::now();
        child.kill()?;
        child.wait()?;
        let ended = Instant::now();
        let (done, at) = peer.join().map_err(|_| other("the peer panicked"))?;
        done.map_err(|error| other(format!("{held:?}: {error}")))?;
        if !waits {
            return Err(other(format!("the peer did not wait for {held:?}")));
        }
        Ok(Sample {
            from_kill: at.saturating_duration_since(killed),
            from_end: at.saturating_duration_since(ended),
        })
    })
}

/// Measures `count` deaths of each kind, and `large` of each with 4 GB of the map in the page
/// tables of the process that dies.
pub(crate) fn run(place: &storm::Scratch, count: u64, large: u64) -> io::Result<bool> {
    let shared_path = place.folder.join("held");
    let shared = Shared::create(&shared_path)?;
    let mut life = 0;
    for (size, touched, count) in [(4_000, 0, count), (1 << 32, 4_usize << 30, large)] {
        if count == 0 {
            continue;
        }
        // Also under Wine: its /proc is Linux's.
        let needed = if touched == 0 { 0 } else { 7_u64 << 30 };
        if proc_bytes("/proc/meminfo", "MemAvailable:").unwrap_or(0) < needed {
            println!("SKIPPED: recovery with 4 GB mapped: less than 7 GB of memory are available");
            continue;
        }
        let path = place.folder.join(format!("held.{size}.map"));
        let path = path.to_string_lossy();
        let target = Place::of(&path);
        let map = options(&target).size(size).create().map_err(other)?;
        for name in ["held", "left", "right"] {
            map.set(name, 0_u64).map_err(other)?;
        }
        // A map grows with what is set in it.
        let filling = vec![7; 1 << 28];
        for number in 0..touched.div_ceil(filling.len()) {
            map.set(&format!("filling {number}"), Bytes::new(&filling)).map_err(other)?;
        }
        drop(filling);
        for held in Held::ALL {
            let (mut from_kill, mut from_end) = (Vec::new(), Vec::new());
            for _ in 0..count {
                if INTERRUPTED.load(SeqCst) {
                    return Ok(false);
                }
                life += 1;
                let sample = sample(&map, (&shared, &shared_path), &path, held, life, touched)?;
                from_kill.push(sample.from_kill);
                from_end.push(sample.from_end);
            }
            print_figures(held, touched, &mut from_kill, &mut from_end);
        }
        drop(map);
        std::fs::remove_file(&*path)?;
    }
    Ok(true)
}

fn print_figures(
    held: Held,
    touched: usize,
    from_kill: &mut [Duration],
    from_end: &mut [Duration],
) {
    from_kill.sort();
    from_end.sort();
    let (where_, goal) = match (cfg!(windows), held) {
        (true, _) => ("Wine", 50),
        (false, Held::Flush) => ("native", 25),
        (false, _) => ("native", 1),
    };
    let held = held.name();
    let [p50, p99, most] = percentiles(from_end);
    println!("{held}: from the report of the death: p50 {p50:.1?}, p99 {p99:.1?}, most {most:.1?}");
    let [p50, p99, most] = percentiles(from_kill);
    let missed = if p99 > Duration::from_millis(goal) { ", MISSED" } else { "" };
    figure(
        &format!(
            "peer goes on after the death of who held {held}, {where_}, {} GB mapped, {} deaths",
            touched >> 30,
            from_kill.len()
        ),
        format!("p50 {p50:.2?}, p99 {p99:.2?}, most {most:.2?}"),
        &format!("p99 {goal} ms{missed}"),
    );
}
