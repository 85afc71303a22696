//! The processes that the harness starts. All are ended with it, however it ends.

use std::{
    collections::BTreeMap,
    io,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

static CHILDREN: Mutex<BTreeMap<u32, Child>> = Mutex::new(BTreeMap::new());

fn children() -> MutexGuard<'static, BTreeMap<u32, Child>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that is killed on drop.
#[derive(Debug)]
pub struct Running(u32);

impl Running {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let pid = child.id();
        children().insert(pid, child);
        Ok(Self(pid))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        let mut children = children();
        children.get_mut(&self.0).is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Returns the resident memory in KiB, where the system shows it.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Running {
    /// Returns the time that it has spent on processors, where the system shows it.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // The name of the program, which may contain spaces, is in brackets.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        // Linux counts in hundredths of a second.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = children().remove(&self.0);
        if let Some(child) = child {
            end(child);
        }
    }
}

fn end(mut child: Child) {
    // Fails if it has already ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// Kills all.
pub fn end_all() {
    std::mem::take(&mut *children()).into_values().for_each(end);
}
