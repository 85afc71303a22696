//! From memmap2 to mapvar in two steps: the same file without `unsafe`, then named variables.
//!
//! The old program keeps a ring of records in a mapped file: 16 bytes of header (the text "RING",
//! four spare bytes, the number of records ever written), and 64 records of 16 bytes (a time and a
//! measured value). It wrote a record so, and hoped that no other process did at the same time:
//!
//! ```ignore
//! let mut ring = unsafe { memmap2::MmapMut::map_mut(&file)? };
//! let next = u64::from_le_bytes(ring[8..16].try_into()?);
//! let at = 16 + (next % 64) as usize * 16;
//! ring[at..at + 8].copy_from_slice(&time.to_le_bytes());
//! ring[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
//! ring[8..16].copy_from_slice(&(next + 1).to_le_bytes());
//! ```
//!
//!     cargo run -p mapvar --example memmap2 -- old-file ring.bin
//!     cargo run -p mapvar --example memmap2 -- write ring.bin 21.5    # step 1: through a View
//!     cargo run -p mapvar --example memmap2 -- show ring.bin
//!     cargo run -p mapvar --example memmap2 -- import ring.bin ring.map
//!     cargo run -p mapvar --example memmap2 -- set ring.map 22.5      # step 2: by variables
//!     cargo run -p mapvar --example memmap2 -- follow ring.map 10     # which can be waited for

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::Map;
use mapvar::section::{Section, View};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::atomic::Ordering::SeqCst, time::SystemTime};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SLOTS: u64 = 64;
const SIZE: usize = 16 + SLOTS as usize * 16;

#[derive(Serialize, Deserialize)]
struct Record {
    time: f64,
    value: f64,
}

/// Step 1: the same bytes. A range beyond the end is an error, and so is a file that was cut.
fn ring(file: &Path) -> Result<View> {
    let view = Section::options().file(file).open()?.view().map()?;
    if view.read_string(4)? == b"RING" { Ok(view) } else { Err("it is not a ring".into()) }
}

fn write(file: &Path, value: f64) -> Result<()> {
    let view = ring(file)?;
    // The count is an atomic word, so that two writers get two slots.
    let count = view.words_mut(8, 1).ok_or("no word begins at byte 8")?;
    let at = 16 + (count.fetch_add(0, 1, SeqCst) % SLOTS) as usize * 16;
    view.write_at(at, &now()?.to_le_bytes())?;
    // Here a reader finds a new time with an old value, and for ever if this process is killed.
    view.write_at(at + 8, &value.to_le_bytes())?;
    Ok(view.flush_durable(0..SIZE)?)
}

fn records(file: &Path) -> Result<(u64, Vec<Record>)> {
    let view = ring(file)?;
    let number = |at| -> Result<f64> {
        let mut bytes = [0; 8];
        view.read_at(at, &mut bytes)?;
        Ok(f64::from_le_bytes(bytes))
    };
    let written = view.words(8, 1).ok_or("no word begins at byte 8")?.load(0, SeqCst);
    let slots = (0..written.min(SLOTS)).map(|slot| 16 + slot as usize * 16);
    let records = slots.map(|at| Ok(Record { time: number(at)?, value: number(at + 8)? }));
    Ok((written, records.collect::<Result<_>>()?))
}

/// Step 2: a record is a variable, whose value is never half old and half new.
fn import(file: &Path, map: &Path) -> Result<()> {
    let (count, records) = records(file)?;
    let map = Map::options().file(map).create()?;
    for (slot, record) in records.iter().enumerate() {
        map.set(&format!("record/{slot:02}"), record)?;
    }
    map.atomic_or("count", count)?;
    Ok(map.close()?)
}

fn now() -> Result<f64> {
    Ok(SystemTime::UNIX_EPOCH.elapsed()?.as_secs_f64())
}

fn set(map: &Path, value: f64) -> Result<()> {
    let map = Map::options().file(map).open()?;
    let slot = map.atomic::<u64>("count")?.fetch_add(1)? % SLOTS;
    map.set(&format!("record/{slot:02}"), Record { time: now()?, value })?;
    Ok(map.flush()?)
}

/// Shows the next changes, asleep in between; the bytes of a file cannot wake anybody.
fn follow(map: &Path, changes: usize) -> Result<()> {
    let map = Map::options().file(map).open()?;
    let mut watch = map.watch_prefix("record/")?;
    println!("{} records", map.atomic::<u64>("count")?.load()?);
    for _ in 0..changes {
        let change = watch.recv()?;
        println!("{} = {}", change.name(), change.get::<Record>()?.value);
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["old-file", file] => std::fs::write(file, [&b"RING"[..], &[0; SIZE - 4]].concat())?,
        ["write", file, value] => write(file.as_ref(), value.parse()?)?,
        ["show", file] => {
            records(file.as_ref())?.1.iter().for_each(|it| println!("{:.3} {}", it.time, it.value));
        }
        ["import", file, map] => import(file.as_ref(), map.as_ref())?,
        ["set", map, value] => set(map.as_ref(), value.parse()?)?,
        ["follow", map, changes] => follow(map.as_ref(), changes.parse()?)?,
        _ => return Err("usage: see the top of the source".into()),
    }
    Ok(())
}
