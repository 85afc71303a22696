//! A new map file that gets its name once it is complete.
//!
//! A command that is killed while it copies or repairs would otherwise leave a valid map under that
//! name, with a part of the variables or none, and nothing would say so.

use crate::{exit::Failure, system};
use mapvar::{Error, ErrorKind, Map, Recover, Result};
use std::{fs, io, path::Path};

/// Creates a map file, fills it, flushes it, and gives it its name.
pub(super) fn create<T>(
    into: &Path,
    allow_network: bool,
    fill: impl FnOnce(&Map) -> Result<T>,
) -> std::result::Result<T, Failure> {
    let object = || format!("map file {:?}", into.display().to_string());
    if into.symlink_metadata().is_ok() {
        let error = Error::new(ErrorKind::AlreadyExists, "create", object());
        return Err(error.detail("it exists; choose another path, or remove it").into());
    }
    remove_abandoned(into, allow_network);
    let mut part = into.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&part);
    let done = filled(part, allow_network, fill).and_then(|done| {
        publish(part, into)
            .map_err(|cause| Error::new(ErrorKind::Io, "create", object()).because(cause))?;
        Ok(done)
    });
    if done.is_err() {
        // It is incomplete. If it cannot be removed, the original error is still the one to report.
        let _ = fs::remove_file(part);
    }
    Ok(done?)
}

/// Removes the incomplete files `INTO.PID.part` that killed commands left beside `into`.
///
/// A file stays if anything suggests that it is in use, or that it is no map. Errors are ignored: the
/// new file does not need the space or the name.
fn remove_abandoned(into: &Path, allow_network: bool) {
    let folder = into.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return };
    let Some(name) = into.file_name().and_then(|name| name.to_str()) else { return };
    for entry in entries.filter_map(io::Result::ok) {
        let found = entry.file_name();
        let middle = found
            .to_str()
            .and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".part"));
        let Some(pid) = middle.and_then(|pid| pid.parse().ok()) else { continue };
        // A file with this process's own number is of a dead one that had it before.
        let dead = pid == std::process::id() || !system::lives(pid);
        if dead && is_abandoned(&entry.path(), allow_network) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether the file is a map that no process has open. Ids of processes alone do not tell: the process
/// may be one of another pid namespace.
fn is_abandoned(part: &Path, allow_network: bool) -> bool {
    let options = Map::options().file(part).allow_network(allow_network);
    match options.read_only(true).recover(Recover::Never).open() {
        Ok(map) => map.participants().is_ok_and(|all| all.iter().all(|one| one.this)),
        // It was last used before a restart.
        Err(error) => error.kind() == ErrorKind::NeedsRecovery,
    }
}

fn filled<T>(part: &Path, allow_network: bool, fill: impl FnOnce(&Map) -> Result<T>) -> Result<T> {
    let map = Map::options().file(part).allow_network(allow_network).create()?;
    let done = fill(&map)?;
    map.flush()?;
    map.close()?;
    Ok(done)
}

/// Gives a file its name, which no other file may have.
fn publish(part: &Path, into: &Path) -> io::Result<()> {
    match fs::hard_link(part, into) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // Not every file system has hard links. A rename would replace a file of that name.
        Err(_) => fs::rename(part, into)?,
        Ok(()) => fs::remove_file(part)?,
    }
    // So that the name survives a power cut. Where a folder cannot be opened, the system does that.
    let folder = into.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = fs::File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}
