//! A state of the disk, mounted by the kernel and opened as after a restart of the machine.

use super::{
    World,
    disk::{Disk, Event},
    record::Allowed,
    systems::{Mounted, System},
};
use mapvar::Map;
use mapvar_harness::{
    Random,
    contents::{self, Content},
};

/// A state that was as it should be, and the record of its recovery.
pub struct Judged {
    pub found: Option<Content>,
    pub events: Vec<Event>,
    /// The number of variables that were compared.
    pub values: usize,
}

/// Mounts a disk, and compares what the map has with what it may have: by a handle for reading,
/// also while the file system is mounted for reading, and by one that recovers the file.
/// If `tidy`, the map is used afterwards, and `events` has more than a recovery.
pub fn judge(
    world: &World,
    system: &System,
    options: &str,
    disk: &Disk,
    allowed: &Allowed,
    (random, tidy): (&mut Random, bool),
) -> Result<Judged, String> {
    world.boots.begin();
    world.drive.insert(disk.clone());
    let mounted = Mounted::new(system, &world.drive.image(), &world.at, options)
        .map_err(|it| format!("the file system cannot be mounted: {it}; {}", kernel_says()))?;
    let mut seen = vec![("a reader", read(world, allowed)?)];
    if random.one_in(8) {
        mounted.writable(false)?;
        seen.push(("a reader on a read-only file system", read(world, allowed)?));
        mounted.writable(true)?;
    }
    let found = recover(world, allowed, tidy)?;
    for (who, content) in seen {
        if content != found {
            let [theirs, ours] = [&content, &found].map(|it| it.as_ref().map(contents::brief));
            return Err(format!("{who} found {theirs:?}, and the recovery {ours:?}"));
        }
    }
    mounted.end()?;
    let values = found.as_ref().map_or(0, Content::len);
    Ok(Judged { found, events: world.drive.take_events(), values })
}

/// Returns the end of the kernel's log.
fn kernel_says() -> String {
    let output = std::process::Command::new("dmesg").output().map(|it| it.stdout);
    let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().rev().take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// Returns the content of an open map; `None` if there is no file.
fn compare(map: &mapvar::Result<Map>, allowed: &Allowed) -> Result<Option<Content>, String> {
    let allows = || {
        format!("allowed {:?}", allowed.contents.iter().map(contents::brief).collect::<Vec<_>>())
    };
    match map {
        Err(error) if error.kind() == mapvar::ErrorKind::NotFound && allowed.absent => Ok(None),
        Err(error) => Err(format!("{error}, {}", allows())),
        Ok(map) => {
            let found = contents::read(map).map_err(|error| format!("{error}, {}", allows()))?;
            if allowed.contents.contains(&found) {
                return Ok(Some(found));
            }
            Err(format!("recovered {:?}, {}", contents::brief(&found), allows()))
        }
    }
}

fn read(world: &World, allowed: &Allowed) -> Result<Option<Content>, String> {
    let map = Map::options().file(world.map()).read_only(true).open();
    compare(&map, allowed).map_err(|it| format!("a reader: {it}"))
}

fn recover(world: &World, allowed: &Allowed, tidy: bool) -> Result<Option<Content>, String> {
    let map = Map::options().file(world.map()).open();
    let found = compare(&map, allowed)?;
    let Ok(map) = map else { return Ok(found) };
    match map.recovery() {
        Some(it) if it.lost > 0 || it.damaged || it.torn => {
            return Err(format!("a recovery reports damage where there is none: {it:?}"));
        }
        None if found.as_ref().is_some_and(|it| !it.is_empty()) => {
            return Err("it was not recovered".into());
        }
        _ => {}
    }
    if tidy {
        contents::tidy(&map)?;
    }
    map.close().map_err(|error| error.to_string())?;
    Ok(found)
}
