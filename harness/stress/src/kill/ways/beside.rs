//! What must hold beside a process that is stopped, and of one that has died in any way.

use crate::{
    kill::{
        shared::{Actor, word},
        value::SMALL,
        work::{Flaw, Op, options},
    },
    region::{LIMIT, Place},
};
use mapvar::{ErrorKind, Map};
use serde_bytes::Bytes;
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long an operation waits beside a stopped process.
const SHORT: Duration = Duration::from_millis(if cfg!(windows) { 200 } else { 20 });

/// What the operations beside stopped processes have come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stops {
    pub(crate) processes: u64,
    pub(crate) done: u64,
    /// Time-outs that named the stopped process.
    pub(crate) named: u64,
    /// Time-outs that named another process, which another chain has stopped or which is slow.
    pub(crate) others: u64,
}

impl Stops {
    pub(crate) fn add(&mut self, other: Self) {
        self.processes += other.processes;
        self.done += other.done;
        self.named += other.named;
        self.others += other.others;
    }
}

/// Opens a map whose operations do not wait for a stopped process.
pub(crate) fn impatient(target: &Place) -> Result<Map, Flaw> {
    let began = Instant::now();
    loop {
        match options(target).timeout(SHORT).open() {
            // Another process may be stopped while it opens the map.
            Err(error) if error.kind() == ErrorKind::TimedOut && began.elapsed() < LIMIT => {}
            map => return Ok(map?),
        }
    }
}

type Try = fn(&Map, &str) -> mapvar::Result<()>;

const TRIES: [(Op, Try); 6] = [
    (Op::SetCommon, |map, _| {
        let mut bytes = Vec::new();
        SMALL.fill(1, &mut bytes);
        map.set("common.small", Bytes::new(&bytes))
    }),
    (Op::Pass, |map, name| map.set(name, 1)),
    (Op::Transact, |map, name| {
        map.transaction(|tx| {
            tx.set(name, 2)?;
            tx.set("beside", 3)
        })
    }),
    (Op::Pass, |map, name| map.remove(name).map(drop)),
    (Op::Snapshot, |map, _| map.snapshot(["account.0", "account.1"]).map(drop)),
    (Op::Flush, |map, _| map.flush()),
];

/// Runs two operations while the process `pid` is stopped. Each must succeed, or name the process that
/// it has waited for.
pub(crate) fn beside_stopped(
    map: &Map,
    pid: u32,
    has_the_map: bool,
    actor: Actor<'_>,
) -> Result<Stops, Flaw> {
    let mut stops = Stops { processes: 1, ..Stops::default() };
    if has_the_map && !is_listed(map, pid)? && is_stopped(pid) {
        return Err(Flaw::Other(format!("process {pid}, which is stopped, counts as dead")));
    }
    let name = format!("beside.{}", actor.number);
    // Two of them, so that the process is not stopped for long: others may wait for it.
    let first = pid as usize % TRIES.len();
    for (op, run) in TRIES.into_iter().cycle().skip(first).take(2) {
        actor.begin(op as u64, word::NOTHING, 0);
        try_beside(map, pid, &name, run, &mut stops)
            .map_err(|what| Flaw::Other(format!("{op:?} beside a stopped process: {what}")))?;
        actor.end();
    }
    Ok(stops)
}

fn try_beside(map: &Map, pid: u32, name: &str, run: Try, stops: &mut Stops) -> Result<(), String> {
    let mut unnamed = String::new();
    // The owner may die between the time-out and the question for its name.
    for _ in 0..3 {
        let Err(error) = run(map, name) else {
            stops.done += 1;
            return Ok(());
        };
        if error.kind() != ErrorKind::TimedOut {
            return Err(error.to_string());
        }
        match error.holder() {
            Some(holder) if holder.pid == pid => stops.named += 1,
            Some(_) => stops.others += 1,
            None => {
                unnamed = error.to_string();
                continue;
            }
        }
        return Ok(());
    }
    Err(format!("a time-out that names no owner: {unnamed}"))
}

/// Whether it is still stopped: it is so for a limited time.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // The program's name, in parentheses, may contain anything.
    let state = stat.as_deref().ok().and_then(|stat| stat.rsplit_once(") "));
    cfg!(windows) || state.is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

fn is_listed(map: &Map, pid: u32) -> Result<bool, Flaw> {
    Ok(map.participants()?.iter().any(|participant| participant.holder.pid == pid))
}

/// Verifies that a process which has ended does not count as alive for long. Returns for how long it
/// did, if it did at all: for a moment it may, since the next process locks its seat before it
/// writes its own id there.
pub(crate) fn counts_as_dead(map: &Map, pid: u32) -> Result<Option<Duration>, Flaw> {
    let began = Instant::now();
    let mut late = None;
    while is_listed(map, pid)? {
        if began.elapsed() > LIMIT {
            let what = format!("process {pid}, which has ended, counts as alive");
            return Err(Flaw::Other(what));
        }
        thread::sleep(Duration::from_micros(100));
        late = Some(began.elapsed());
    }
    Ok(late)
}
