//! Names and files of this run.

use crate::{Result, peers::Place};
use std::{
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Returns a name that nothing else has.
pub fn name(label: &str) -> String {
    format!("bench-{label}-{}.{}", NEXT.fetch_add(1, Relaxed), process::id())
}

/// The folder of this run on tmpfs, if the system has one, or on the disk of the program.
fn root(place: Place) -> Result<PathBuf> {
    let own = format!("mapvar-bench.{}", process::id());
    let memory = PathBuf::from("/dev/shm");
    if place == Place::Memory && memory.is_dir() {
        return Ok(memory.join(own));
    }
    let program = std::env::current_exe()?;
    Ok(program.parent().ok_or("the program has no folder")?.join(own))
}

/// Returns the path of a file that does not exist yet.
pub fn path(label: &str, place: Place) -> Result<PathBuf> {
    let root = root(place)?;
    std::fs::create_dir_all(&root)?;
    Ok(root.join(name(label)))
}

/// Returns a new folder.
pub fn folder(label: &str, place: Place) -> Result<PathBuf> {
    let path = path(label, place)?;
    std::fs::create_dir(&path)?;
    Ok(path)
}

/// Removes what a group left. Files that are still open keep their space until they are closed.
pub fn clear() -> Result<()> {
    for place in [Place::Memory, Place::Disk] {
        let root = root(place)?;
        if root.is_dir() {
            std::fs::remove_dir_all(root)?;
        }
    }
    Ok(())
}
