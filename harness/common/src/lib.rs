//! What the harnesses share: random numbers of a seed, a watchdog, temporary folders and unique
//! names, second processes, and the lines of figures that a full run collects.

pub mod peer;
pub mod random;
pub mod watchdog;

/// The library's values and their codec, by its own sources: the library keeps the codec to itself.
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
use value::Value;

/// The exit code of a harness that cannot be run on this machine.
pub const SKIPPED: u8 = 77;

/// Whether the library makes a value of these bytes.
pub fn decodes(captured: OwnedValue) -> bool {
    Value::of(captured).is_ok()
}

/// Whether the library takes these bytes for MessagePack.
pub fn is_message_pack(bytes: &[u8]) -> bool {
    value::codec::is_message_pack(bytes)
}

/// A seed that no other run has, short enough to be typed.
pub fn seed_of_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 % 1_000_000_000_000
}

/// A name that no other run has. It contains the number of this process between two dots.
pub fn unique(what: &str) -> String {
    format!("{what}.{}.{:x}", std::process::id(), seed_of_clock() & 0xff_ffff)
}

/// Prints one line of the table that a full run ends with.
pub fn figure(what: &str, value: impl std::fmt::Display, goal: &str) {
    let goal = if goal.is_empty() { String::new() } else { format!(" (goal {goal})") };
    println!("figure: {what} = {value}{goal}");
}

/// Of sorted times the one below which this part of them lies.
pub fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
}

/// Of sorted times the median, the one below which 99 of 100 lie, and the longest.
pub fn percentiles(sorted: &[Duration]) -> [Duration; 3] {
    [0.5, 0.99, 1.0].map(|part| percentile(sorted, part))
}

/// The system that a figure is of, as a suffix.
pub const fn system() -> &'static str {
    if cfg!(windows) { " under Wine" } else { "" }
}

/// Where `Folder::quick` makes its folders, if the system has it.
const MEMORY: &str = "/dev/shm";

/// A folder of this run's own, removed with all that is in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(what: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), what)
    }

    /// In memory, where the system has that.
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

/// Removes every folder of this process, of which a process that ends early drops none.
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
