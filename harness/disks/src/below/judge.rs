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
/// also on a file system that is mounted for reading, and by one that recovers the file.
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
    let mount = |options: &str| {
        Mounted::new(system, &world.drive.image(), &world.at, options).map_err(|error| {
            format!("the file system cannot be mounted: {error}; {}", kernel_says())
        })
    };
    let mut seen = Vec::new();
    if random.one_in(8) {
        let mounted = mount(&format!("{options},ro"))?;
        seen.push(("a reader on a read-only file system", read(world, allowed)?));
        mounted.end()?;
        // The mount has replayed the journal. A second mount would not.
        world.drive.insert(disk.clone());
    }
    let mounted = mount(options)?;
    seen.push(("a reader", read(world, allowed)?));
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
    let short = |contents: &[Content]| contents.iter().map(contents::brief).collect::<Vec<_>>();
    match map {
        Err(error) if error.kind() == mapvar::ErrorKind::NotFound => {
            if allowed.absent {
                return Ok(None);
            }
            Err(format!("there is no file, allowed {:?}", short(&allowed.contents)))
        }
        Err(error) => Err(error.to_string()),
        Ok(map) => {
            let found = contents::read(map).map_err(|it| it.to_string())?;
            if allowed.contents.contains(&found) {
                return Ok(Some(found));
            }
            let brief = contents::brief(&found);
            Err(format!("recovered {brief:?}, allowed {:?}", short(&allowed.contents)))
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
