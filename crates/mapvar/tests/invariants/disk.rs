//! Disks and files: I8, and the part of I10 that every system can test.

use crate::common::{Watchdog, quick_folder};
use mapvar::{ErrorKind, Map};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Makes a copy of the file as another boot finds it: the best state that a power cut at this
/// moment could leave.
fn after_a_power_cut(path: &Path) -> PathBuf {
    let mut bytes = fs::read(path).unwrap();
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    let copy = path.with_extension("copy");
    fs::write(&copy, &bytes).unwrap();
    copy
}

/// Fuller: `tests/files/durable.rs`; `harness/power` (any sector or word at any version since the
/// last barrier).
#[test]
fn i08_what_was_flushed_survives_a_power_cut_and_all_else_is_as_before() {
    let _watchdog = Watchdog::new("I8", Duration::from_mins(1));
    let dir = quick_folder();
    let path = dir.path().join("i08.map");
    let map = Map::options().file(&path).size(1 << 16).create().unwrap();
    for round in 0..12_u64 {
        map.transaction(|tx| {
            tx.set("left", round)?;
            tx.set("right", vec![round; 2_000])
        })
        .unwrap();
        map.set(&format!("v{}", round % 5), vec![round as u8; 40 * (round as usize % 70)]).unwrap();
        map.remove(&format!("v{}", (round + 2) % 5)).unwrap();
        map.flush().unwrap();
        let names: Vec<_> = map.iter().map(|entry| entry.unwrap().name().to_owned()).collect();
        let values: Vec<_> = names
            .iter()
            .map(|name| (name.clone(), map.get::<mapvar::Value>(name).unwrap()))
            .collect();
        // None of these changes is flushed.
        map.set("left", 999).unwrap();
        map.set("lost", round).unwrap();
        map.remove(&format!("v{}", round % 5)).unwrap();

        let again = Map::options().file(after_a_power_cut(&path)).open().unwrap();
        let recovery = again.recovery().unwrap();
        assert_eq!((recovery.lost, recovery.damaged), (0, false), "{round}");
        assert_eq!(again.count().unwrap(), values.len() as u64, "{round}");
        for (name, value) in &values {
            assert_eq!(&again.get::<mapvar::Value>(name).unwrap(), value, "{round}: {name}");
        }
        map.remove("lost").unwrap();
    }
}

/// A renamed or removed file stays the file of its map as long as a handle is open, and another map
/// may be created with its name. A flush, and the close, report that no other process finds it.
/// Windows may refuse the rename or the removal, which then has no
/// effect.
#[test]
fn i10_a_file_renamed_or_removed_under_its_map_stays_its() {
    let _watchdog = Watchdog::new("I10, renamed", Duration::from_mins(1));
    let dir = quick_folder();
    let (path, other) = (dir.path().join("i10.map"), dir.path().join("other.map"));
    let map = Map::options().file(&path).size(4_000).create().unwrap();
    map.set("x", 1).unwrap();
    let works = |map: &Map, number: i64, found: bool| {
        map.set("x", number).unwrap();
        map.set("large", vec![number; 4_000]).unwrap();
        match map.flush() {
            Ok(()) => assert!(found, "a flush of what nobody finds"),
            Err(error) => {
                assert!(!found, "{error}");
                assert_eq!(error.kind(), ErrorKind::NameRemoved, "{error}");
            }
        }
        assert_eq!(map.get::<i64>("x").unwrap(), number);
        assert_eq!(map.get::<Vec<i64>>("large").unwrap(), vec![number; 4_000]);
    };
    let mut gone = false;
    if fs::rename(&path, &other).is_ok() {
        gone = true;
        works(&map, 2, false);
        let second = Map::options().file(&other).open().unwrap();
        assert_eq!(second.get::<i64>("x").unwrap(), 2);
        works(&second, 3, true);
        assert_eq!(map.get::<i64>("x").unwrap(), 3);
    }
    let there = if other.exists() { &other } else { &path };
    if fs::remove_file(there).is_ok() {
        works(&map, 4, false);
        if let Ok(new) = Map::options().file(there).create() {
            assert!(new.is_empty().unwrap(), "another map of that name");
            works(&new, 5, true);
        }
        works(&map, 6, false);
        gone = true;
    }
    let closed = map.close().map_err(|error| error.kind());
    assert_eq!(closed, if gone { Err(ErrorKind::NameRemoved) } else { Ok(()) });
}
