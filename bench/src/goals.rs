//! The goals, in one table.
//!
//! A goal names a row by its operation and its peer. Its limit is the largest accepted ratio of
//! ours to the peer's, or, without a peer, the largest accepted figure in the row's unit.

pub struct Goal {
    /// The number, which several rows may share.
    pub id: &'static str,
    operation: &'static str,
    peer: Option<&'static str>,
    pub limit: f64,
}

const fn ratio(id: &'static str, operation: &'static str, peer: &'static str, limit: f64) -> Goal {
    Goal { id, operation, peer: Some(peer), limit }
}

/// `limit` is in nanoseconds, or in bytes.
const fn figure(id: &'static str, operation: &'static str, limit: f64) -> Goal {
    Goal { id, operation, peer: None, limit }
}

/// The goals as the last table of a run lists them.
pub const TITLES: &[(&str, &str)] = &[
    ("G1", "get by Atomic, Var, 64 B / iceoryx2"),
    ("G2", "get by name / std at 1 k, 1 M, 10 M; / foldhash"),
    ("G3", "two readers of one variable / of two"),
    ("G5", "set of 8 B, 64 B / robust mutex"),
    ("G6", "get and set / memcpy, 4 KiB, 16 KiB and above"),
    ("G7", "wake / raw futex, one core and two, p50 and p90"),
    ("G8", "kill to next set, p99, 0 and 4 GB mapped"),
    ("G9", "insert, walk / LMDB at 1 M"),
    ("G10", "attach at 1 M"),
    ("G13", "flush of 1, of 100 / msync; / SQLite's WAL"),
    ("G15", "transaction, snapshot / single, / LMDB"),
    ("G16", "instructions of notification (callgrind; not in this bench)"),
    ("G17", "one change told to a watch of 100,000"),
    ("G18", "insertion into a watched map of 1 M / unwatched"),
    ("G19", "flush of one, 1 M and 10 M with Atomics / 1 k"),
    ("G20", "plain struct of 320 B / seqlock by hand"),
    ("B3", "bytes a variable at 1 M, u64 and 100 B of text"),
    ("B7", "round trip by the stream / by a watch"),
];

const ICEORYX: &str = "iceoryx2";
const STD: &str = "std HashMap";
const FOLDHASH: &str = "foldhash HashMap";
const MUTEX: &str = "robust mutex";
const MEMCPY: &str = "memcpy";
const FUTEX: &str = "raw futex";
const LMDB: &str = "LMDB";
const MSYNC: &str = "stores and msync";
const SQLITE: &str = "SQLite";
const SINGLE: &str = "single sets and gets";
const SEQLOCK: &str = "seqlock by hand";
const OTHERS: &str = "different variables";

pub const GOALS: &[Goal] = &[
    ratio("G1", "get Atomic<u64>", ICEORYX, 0.25),
    ratio("G1", "get Var<u64>", ICEORYX, 0.5),
    ratio("G1", "get 64 B, read_bytes", ICEORYX, 0.7),
    ratio("G2", "get by name, 1 k", STD, 0.65),
    ratio("G2", "get by name, 1 M", STD, 0.45),
    ratio("G2", "get by name, 10 M", STD, 0.55),
    ratio("G2", "get by name, 1 k", FOLDHASH, 1.5),
    ratio("G2", "get by name, 1 M", FOLDHASH, 1.0),
    ratio("G3", "same Atomic<u64>", OTHERS, 1.05),
    ratio("G3", "same Var<u64>", OTHERS, 1.05),
    ratio("G5", "set Var<u64>", MUTEX, 0.65),
    ratio("G5", "set 64 B, write_bytes", MUTEX, 0.75),
    ratio("G6", "get bytes, 4 KiB", MEMCPY, 1.3),
    ratio("G6", "get bytes, 16 KiB", MEMCPY, 1.05),
    ratio("G6", "get bytes, 64 KiB", MEMCPY, 1.05),
    ratio("G6", "get bytes, 256 KiB", MEMCPY, 1.05),
    ratio("G6", "get bytes, 1 MiB", MEMCPY, 1.05),
    ratio("G6", "get bytes, 4 MiB", MEMCPY, 1.05),
    ratio("G6", "get bytes, 16 MiB", MEMCPY, 1.05),
    ratio("G6", "get bytes, 64 MiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 4 KiB", MEMCPY, 1.3),
    ratio("G6", "set bytes, 16 KiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 64 KiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 256 KiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 1 MiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 4 MiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 16 MiB", MEMCPY, 1.05),
    ratio("G6", "set bytes, 64 MiB", MEMCPY, 1.05),
    ratio("G7", "wake on one core, p50", FUTEX, 1.1),
    ratio("G7", "wake on one core, p90", FUTEX, 1.1),
    ratio("G7", "wake on two cores, p50", FUTEX, 1.1),
    ratio("G7", "wake on two cores, p90", FUTEX, 1.1),
    figure("G8", "kill to next set, 0 GB, p99", 1e6),
    figure("G8", "kill to next set, 4 GB, p99", 1e6),
    ratio("G9", "insert, 1 M", LMDB, 1.0),
    ratio("G9", "walk, 1 M", LMDB, 1.5),
    figure("G10", "attach, 1 M", 100e3),
    ratio("G13", "flush of 1", MSYNC, 1.1),
    ratio("G13", "flush of 100", MSYNC, 1.1),
    ratio("G13", "flush of 1", SQLITE, 1.0),
    ratio("G13", "flush of 100", SQLITE, 1.0),
    ratio("G15", "transaction of 100", SINGLE, 2.5),
    ratio("G15", "snapshot of 100", SINGLE, 2.5),
    ratio("G15", "transaction of 1", LMDB, 1.0),
    ratio("G15", "transaction of 10", LMDB, 1.0),
    ratio("G15", "transaction of 100", LMDB, 1.0),
    ratio("G15", "transaction of 500", LMDB, 1.0),
    ratio("G15", "snapshot of 1", LMDB, 1.0),
    ratio("G15", "snapshot of 10", LMDB, 1.0),
    ratio("G15", "snapshot of 100", LMDB, 1.0),
    ratio("G15", "snapshot of 500", LMDB, 1.0),
    figure("G17", "told, watch of 100 k", 2e3),
    ratio("G18", "insert, watched, 1 M", "insert, unwatched", 1.2),
    ratio("G19", "flush of 1 of 1 M, with Atomics", "flush of 1 of 1 k", 1.2),
    ratio("G19", "flush of 1 of 10 M, with Atomics", "flush of 1 of 1 k", 1.2),
    ratio("G20", "get struct of 320 B", SEQLOCK, 1.5),
    ratio("G20", "set struct of 320 B", SEQLOCK, 1.5),
    figure("B3", "memory a variable, u64, 1 M", 200.0),
    figure("B3", "memory a variable, 100 B of text, 1 M", 500.0),
    ratio("B7", "wake by the stream, p50", "watch", 2.0),
    // Older goals, of plain structs beside their bytes.
    ratio("–", "get struct of 40 fields", "read_bytes of its bytes", 2.0),
    ratio("–", "set struct of 40 fields", "write_bytes of its bytes", 2.0),
];

/// Returns the goal of a row.
pub fn of(operation: &str, peer: Option<&str>) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.operation == operation && goal.peer == peer)
}
