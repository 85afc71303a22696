//! Figures that must not grow: taken many times while all processes are at rest, and compared.

#[cfg(unix)]
use crate::region::proc_bytes;
use mapvar_harness::{figure, system};
use std::collections::HashMap;

/// What a process reports about itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Descriptors, or handles.
    pub(crate) open: u64,
    /// Views of our maps.
    pub(crate) views: u64,
    /// Bytes of memory that are private to the process.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
}

impl Sample {
    pub(crate) fn of<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        let mut next = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Self { open: next(), views: next(), memory: next(), threads: next() }
    }

    /// Takes the sample of this process.
    #[cfg(unix)]
    pub(crate) fn here(what: &str) -> Self {
        let count = |folder: &str| std::fs::read_dir(folder).map_or(0, |all| all.count() as u64);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Self {
            open: count("/proc/self/fd"),
            views: maps.lines().filter(|line| line.contains(what)).count() as u64,
            memory: proc_bytes("/proc/self/status", "RssAnon:").unwrap_or(0),
            threads: count("/proc/self/task"),
        }
    }

    #[cfg(windows)]
    pub(crate) fn here(_: &str) -> Self {
        let (open, threads) = crate::windows::handles_and_threads();
        Self { open, views: 0, memory: crate::windows::memory(), threads }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) children: HashMap<usize, Sample>,
    /// Bytes of the map in a file.
    pub(crate) region: u64,
    /// Bytes in use in the map with a name, when all was removed and the engine has reclaimed what
    /// no process owns.
    pub(crate) used: u64,
    /// Bytes in use in the map in a file, where the engine reclaims that only when space is short.
    pub(crate) unswept: u64,
    /// Seats of both maps that no living process has.
    pub(crate) seats: u64,
    pub(crate) files: u64,
}

/// The series of every figure, one row each.
#[derive(Default)]
pub(crate) struct Drift {
    rows: HashMap<String, Vec<u64>>,
}

/// Returns the largest growth allowed: a part of the first value, and a constant on top.
fn bound(what: &str) -> (f64, u64) {
    match what {
        // A slot of Windows' locks is released only when a thread takes the next one.
        "open" => (0.0, if cfg!(windows) { 6 } else { 0 }),
        "memory" => (0.1, if cfg!(windows) { 4 << 20 } else { 1 << 20 }),
        // One growth step adds half of the size.
        "region" => (0.6, 8 << 20),
        "unswept" => (0.5, 16 << 20),
        "files" => (0.0, 2 * super::PASSING),
        _ => (0.0, 0),
    }
}

impl Drift {
    pub(crate) fn note(&mut self, figures: Figures, stayers: usize) {
        let mut note = |what: String, value| self.rows.entry(what).or_default().push(value);
        for (number, sample) in figures.children.into_iter().filter(|child| child.0 < stayers) {
            note(format!("open {number}"), sample.open);
            note(format!("views {number}"), sample.views);
            note(format!("memory {number}"), sample.memory);
            note(format!("threads {number}"), sample.threads);
        }
        note("region".into(), figures.region);
        note("used".into(), figures.used);
        note("unswept".into(), figures.unswept);
        note("seats".into(), figures.seats);
        note("files".into(), figures.files);
    }

    /// Prints the figures; returns those that have grown.
    pub(crate) fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut worst: HashMap<&str, (i64, u64, u64)> = HashMap::new();
        for (row, values) in &self.rows {
            let what = row.split(' ').next().unwrap_or(row);
            // The first quarter of the samples is warm-up; of the rest, the first and the last
            // quarter are compared.
            let rest = &values[values.len() / 4..];
            let quarter = rest.len().div_ceil(4);
            let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
            let (first, last) = (most(&rest[..quarter]), most(&rest[rest.len() - quarter..]));
            let (part, more) = bound(what);
            let grown = last as i64 - first as i64;
            if what == "seats" && last > 0 {
                wrong.push(format!("seats are taken by nobody: {values:?}"));
            }
            if last > first + (first as f64 * part) as u64 + more {
                wrong.push(format!("{row} has grown from {first} to {last}: {values:?}"));
            }
            let entry = worst.entry(what).or_insert((i64::MIN, 0, 0));
            if grown > entry.0 {
                *entry = (grown, first, last);
            }
        }
        let of = |what: &str| {
            let (_, first, last) = worst.get(what).copied().unwrap_or_default();
            (first, last)
        };
        let grown = |what: &str| worst.get(what).map_or(0, |worst| worst.0);
        let (memory, region, used) = (of("memory"), of("region"), of("used"));
        let mb = |bytes: u64| bytes as f64 / 1e6;
        figure(
            &format!("drift in the soak{}", system()),
            format!(
                "{} {:+} (to {}), views {}, threads {}, seats {}, files {}; memory of a process at most {:+.2} MB \
                 (to {:.2}), region {:.1} to {:.1} MB, bytes taken when all is removed {} to {}",
                if cfg!(windows) { "handles" } else { "descriptors" },
                grown("open"),
                of("open").1,
                grown("views"),
                grown("threads"),
                grown("seats"),
                grown("files"),
                mb(memory.1) - mb(memory.0),
                mb(memory.1),
                mb(region.0),
                mb(region.1),
                used.0,
                used.1,
            ),
            "no drift",
        );
        wrong
    }
}
