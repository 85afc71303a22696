//! Reads of a value that a thread on another core sets without a pause.

use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{Cell, Value as _, board::Blackboard, seqlock::Seqlock},
    values::handles::{Handles, get_into},
};
use core_affinity::CoreId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

/// What the writer is to do, and its progress; each has a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

#[derive(Default)]
struct Shared {
    writes: Line<AtomicBool>,
    ends: Line<AtomicBool>,
    batches: Line<AtomicU64>,
}

/// A thread that writes when it is told to.
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start<C: Cell>(core: CoreId, cell: C) -> Self {
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        let thread = thread::spawn(move || {
            core_affinity::set_for_current(core);
            let mut value = C::Value::of(7);
            let mut number = 0;
            while !theirs.ends.0.load(Relaxed) {
                if !theirs.writes.0.load(Relaxed) {
                    thread::park();
                    continue;
                }
                for _ in 0..256 {
                    number += 1;
                    value.touch(number);
                    cell.set(std::hint::black_box(&value));
                }
                theirs.batches.0.fetch_add(1, Relaxed);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn go(&self) {
        let before = self.shared.batches.0.load(Relaxed);
        self.shared.writes.0.store(true, Relaxed);
        self.wake();
        while self.shared.batches.0.load(Relaxed) == before {
            let failed = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(!failed, "the writer failed");
            thread::yield_now();
        }
    }

    fn pause(&self) {
        self.shared.writes.0.store(false, Relaxed);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.ends.0.store(true, Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// Returns work that reads while the writer writes.
fn under<C: Cell>(core: CoreId, reader: C, writer: C) -> impl FnMut(u64) -> f64 {
    let (mut reads, writer) = (get_into(reader), Writer::start(core, writer));
    move |count| {
        // Waking the writer may take longer than a round: then one read would seem to fill it.
        let count = count.max(20_000);
        writer.go();
        let began = Instant::now();
        reads(count);
        let took = began.elapsed();
        writer.pause();
        took.as_nanos() as f64 / count as f64
    }
}

pub fn legs(plan: &Plan, cores: &[CoreId]) -> Result<Vec<Leg>> {
    let titles = ["u64", "64 B"].map(|what| format!("get {what} under a writer"));
    if plan.steps.is_some() || !plan.wants_any(&titles) {
        return Ok(Vec::new());
    }
    let [core, _, ..] = *cores else {
        for title in titles {
            plan.report.absent(&title, "iceoryx2", "left out: one core");
        }
        return Ok(Vec::new());
    };
    let [number, bytes] = titles;
    let ours = Handles::new()?;
    let board = Blackboard::new()?;
    let (floor, wide_floor) = (Seqlock::new(7_u64)?, Seqlock::new([7_u8; 64])?);
    let number = Leg::clocked(number, under(core, ours.number.clone(), ours.number))
        .beside_clocked("iceoryx2", under(core, board.read::<u64>(1)?, board.write::<u64>(1)?))
        .beside_clocked("seqlock by hand", under(core, floor.again(), floor));
    let bytes = Leg::clocked(bytes, under(core, ours.bytes.clone(), ours.bytes))
        .beside_clocked(
            "iceoryx2",
            under(core, board.read::<[u8; 64]>(101)?, board.write::<[u8; 64]>(101)?),
        )
        .beside_clocked("seqlock by hand", under(core, wide_floor.again(), wide_floor));
    Ok(vec![number, bytes])
}
