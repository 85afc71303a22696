//! The file systems: how each is made and mounted, and the boots of the machine that uses them.

use mapvar_harness::random::mix;
use rustix::{
    fs::{Advice, fadvise},
    mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount},
};
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

pub struct System {
    pub name: &'static str,
    mkfs: &'static [&'static str],
    /// Options of a mount, one for each record in turn.
    options: &'static [&'static str],
}

/// Sectors of 4,096 bytes, as disks write them; no part may be discarded, since a discarded part
/// has no content that a record could keep.
pub const SYSTEMS: [System; 3] = [
    System {
        name: "ext4",
        mkfs: &["-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0"],
        options: &["data=ordered", "data=writeback", "data=journal"],
    },
    System { name: "xfs", mkfs: &["-q", "-f", "-K", "-s", "size=4096"], options: &["rw", "wsync"] },
    System {
        name: "btrfs",
        mkfs: &["-q", "-f", "-K", "-s", "4096"],
        options: &["rw", "nodatacow", "compress", "notreelog"],
    },
];

/// Runs a program; returns what it said if it failed.
fn run(program: &str, arguments: &[&str], last: &[&Path]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).args(last).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.lines().collect::<Vec<_>>().join("; ")))
}

impl System {
    pub fn make(&self, image: &Path) -> Result<(), String> {
        run(&format!("mkfs.{}", self.name), self.mkfs, &[image])
    }

    /// The options of this record's mounts.
    pub fn options(&self, record: u64) -> &'static str {
        self.options[record as usize % self.options.len()]
    }
}

/// A file system on a loop device over the drive. The kernel replays its journal when it is mounted.
pub struct Mounted(PathBuf);

impl Mounted {
    /// The loop device is freed with the mount, also if this process is killed.
    pub fn new(system: &System, image: &Path, at: &Path, options: &str) -> Result<Self, String> {
        let options = format!("loop,{options}");
        run("mount", &["-t", system.name, "-o", &options], &[image, at])?;
        Ok(Self(at.into()))
    }

    pub fn writable(&self, writable: bool) -> Result<(), String> {
        let flags = if writable { MountFlags::empty() } else { MountFlags::RDONLY };
        mount_remount(&self.0, flags, "").map_err(|error| format!("remount: {error}"))
    }

    pub fn end(self) -> Result<(), String> {
        let done = self.unmount();
        std::mem::forget(self);
        done
    }

    fn unmount(&self) -> Result<(), String> {
        for _ in 0..200 {
            match unmount(&self.0, UnmountFlags::empty()) {
                // A process that has just ended may keep it busy a moment longer.
                Err(rustix::io::Errno::BUSY) => thread::sleep(Duration::from_millis(20)),
                other => return other.map_err(|error| format!("umount: {error}")),
            }
        }
        Err("umount: busy".into())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            let _ = unmount(&self.0, UnmountFlags::DETACH);
        }
    }
}

/// Writes some of a file's changed pages, without a flush, as the kernel does by itself after some
/// seconds.
pub fn write_back(path: &Path, at: u64, bytes: u64) {
    if let Ok(file) = File::open(path) {
        let _ = fadvise(&file, at, std::num::NonZero::new(bytes), Advice::DontNeed);
    }
}

/// Lets another file be flushed, which writes the file system's journal.
pub fn flush_another(path: &Path) {
    if let Ok(mut file) = File::create(path) {
        let _ = file.write_all(b"of no interest").and_then(|()| file.sync_all());
    }
}

/// The boots of the machine. In this mount namespace the kernel's file with the boot's id is one
/// of the harness's own, so that each state is opened as after a restart.
pub struct Boots {
    file: PathBuf,
    next: AtomicU64,
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Boots {
    pub fn new(file: PathBuf) -> Result<Self, String> {
        let boots = Self { file, next: AtomicU64::new(1) };
        boots.begin();
        mount_bind(&boots.file, BOOT_ID)
            .map_err(|error| format!("mount over {BOOT_ID}: {error}"))?;
        let seen = fs::read_to_string(BOOT_ID).map_err(|error| error.to_string())?;
        if seen.starts_with("00000000-") { Ok(boots) } else { Err(format!("{BOOT_ID} has {seen}")) }
    }

    /// Begins the next boot.
    pub fn begin(&self) {
        let id = mix(self.next.fetch_add(1, Relaxed)) >> 16;
        fs::write(&self.file, format!("00000000-0000-4000-8000-{id:012x}\n")).expect("a boot's id");
    }
}
