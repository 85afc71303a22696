//! The common parts of the harnesses: seeded random numbers, a watchdog, temporary folders and
//! unique names, second processes, and the lines of figures that a full run collects.

pub mod contents;
pub mod peer;
pub mod random;
pub mod watchdog;

/// The library's values and their codec, compiled from its sources: the library does not export the
/// codec.
#[path = "../../../crates/mapvar/src/value/mod.rs"]
#[allow(clippy::pedantic, dead_code, reason = "the library's own lints hold there")]
mod value;

pub use random::Random;

use mapvar_engine::value::OwnedValue;
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use value::{Value, codec};

/// The exit code of a harness that cannot be run on this machine.
pub const SKIPPED: u8 = 77;

/// Returns whether the library decodes these bytes to a value.
pub fn decodes(captured: OwnedValue) -> bool {
    codec::decode::<Value>(captured).is_ok()
}

/// Returns whether the library accepts these bytes as MessagePack.
pub fn is_message_pack(bytes: &[u8]) -> bool {
    value::codec::is_message_pack(bytes)
}

/// Returns a seed that no other run has, short enough to be typed.
pub fn seed_of_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 % 1_000_000_000_000
}

/// Returns a name that no other run has. It contains the number of this process between two dots.
pub fn unique(what: &str) -> String {
    format!("{what}.{}.{:x}", std::process::id(), seed_of_clock() & 0xff_ffff)
}

/// Prints one line of the table that ends a full run.
pub fn figure(what: &str, value: impl std::fmt::Display, goal: &str) {
    let goal = if goal.is_empty() { String::new() } else { format!(" (goal {goal})") };
    println!("figure: {what} = {value}{goal}");
}

/// Returns the given percentile of sorted times.
pub fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
}

/// Returns the median, the 99th percentile and the maximum of sorted times.
pub fn percentiles(sorted: &[Duration]) -> [Duration; 3] {
    [0.5, 0.99, 1.0].map(|part| percentile(sorted, part))
}

/// Returns the system of a figure, as a suffix.
pub const fn system() -> &'static str {
    if cfg!(windows) { " under Wine" } else { "" }
}

/// Parent of the folders of `Folder::quick`, if the system has it.
const MEMORY: &str = "/dev/shm";

/// A folder that belongs to this run. It is removed on drop, with its content.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(what: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), what)
    }

    /// Creates a folder in memory, if the system supports that.
    pub fn quick(what: &str) -> io::Result<Self> {
        Self::within(Path::new(MEMORY), what).or_else(|_| Self::new(what))
    }

    pub fn within(parent: &Path, what: &str) -> io::Result<Self> {
        let path = parent.join(format!("mapvar-{}", unique(what)));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    pub fn remove(&self) {
        // Under Wine a file may be mapped for a moment longer than its process lives.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes every folder of this process: a process that ends early drops none.
fn remove_folders() {
    let own = format!(".{}.", std::process::id());
    for parent in [MEMORY.into(), std::env::temp_dir()] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("mapvar-") && name.contains(&own) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}
