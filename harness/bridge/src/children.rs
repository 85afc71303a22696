//! The processes that the harness starts. All are ended with it, however it ends.

use std::{
    collections::BTreeMap,
    io,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
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
