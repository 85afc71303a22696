//! A monitor: threads that read everything about a process, all the time, while it is killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

pub(crate) struct Reader {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    reads: Arc<AtomicU64>,
}

impl Reader {
    /// Returns once each thread has read something.
    pub(crate) fn of(pid: u32) -> Self {
        let (end, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let begun = Arc::new(AtomicU64::new(0));
        let threads = READERS.iter().map(|read| {
            let (end, reads, begun) = (end.clone(), reads.clone(), begun.clone());
            thread::spawn(move || {
                let mut has_begun = false;
                while !end.load(SeqCst) {
                    reads.fetch_add(read(pid), SeqCst);
                    if !std::mem::replace(&mut has_begun, true) {
                        begun.fetch_add(1, SeqCst);
                    }
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        while begun.load(SeqCst) < threads.len() as u64 {
            thread::yield_now();
        }
        Self { end, threads, reads }
    }

    /// Returns how often something could be read.
    pub(crate) fn end(self) -> u64 {
        self.end.store(true, SeqCst);
        for thread in self.threads {
            let _ = thread.join();
        }
        self.reads.load(SeqCst)
    }
}

#[cfg(unix)]
const READERS: [fn(u32) -> u64; 3] = [memory, memory, files];

/// While its page tables are walked, the memory of a dead process stays.
#[cfg(unix)]
fn memory(pid: u32) -> u64 {
    let read = |what| std::fs::read(format!("/proc/{pid}/{what}")).is_ok_and(|it| !it.is_empty());
    u64::from(read("smaps_rollup")) + u64::from(read("smaps"))
}

#[cfg(unix)]
fn files(pid: u32) -> u64 {
    let mut reads = 0;
    for what in ["maps", "status", "stat", "statm", "environ", "cmdline", "io", "wchan"] {
        reads += u64::from(std::fs::read(format!("/proc/{pid}/{what}")).is_ok());
    }
    let entries = |folder| {
        let entries = std::fs::read_dir(format!("/proc/{pid}/{folder}")).into_iter().flatten();
        entries.flatten().map(|entry| entry.path())
    };
    // The links are read, and never followed: behind one of them lie the orders for the process.
    reads += entries("fd").chain(entries("map_files")).filter(|it| it.read_link().is_ok()).count()
        as u64;
    reads += entries("fdinfo").filter(|it| std::fs::read(it).is_ok()).count() as u64;
    reads
}

#[cfg(windows)]
const READERS: [fn(u32) -> u64; 2] = [super::windows::read, super::windows::read];
