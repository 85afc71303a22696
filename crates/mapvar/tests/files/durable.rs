//! Flush and recovery on real files. The tests copy a file, which is the best state that a power
//! cut at that moment could leave, and open the copy under another boot id.

use mapvar::{ErrorKind, Map, Recover};
use std::{fs, path::Path};
#[cfg(target_os = "linux")]
use std::{os::unix::fs::FileExt, time::Duration};

/// Makes a copy of the file as another boot finds it.
fn another_boot(path: &Path) -> std::path::PathBuf {
    let mut bytes = fs::read(path).unwrap();
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    let copy = path.with_extension("copy");
    fs::write(&copy, &bytes).unwrap();
    copy
}

/// As [`another_boot`], in place, and without reading the file.
#[cfg(target_os = "linux")]
pub(crate) fn another_boot_of(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut sector = [0; 0x38];
    file.read_exact_at(&mut sector, 0x200).unwrap();
    sector[0] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&sector[..0x30])) | 1 << 32;
    sector[0x30..].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&sector, 0x200).unwrap();
}

fn open(path: &Path) -> Map {
    Map::options().file(path).open().unwrap()
}

#[test]
fn pages_that_precede_the_first_flush_are_no_variables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new.map");
    let map = Map::options().file(&path).create().unwrap();
    let created = fs::read(&path).unwrap();
    map.set("never flushed", 1).unwrap();
    map.set("large", vec![7_u8; 3_000]).unwrap();
    // A power cut left what the creation had flushed, and of the later writes all but the first two
    // pages: the region has no identity and no births, and yet records.
    let mut disk = fs::read(&path).unwrap();
    disk[..0x2000].copy_from_slice(&created[..0x2000]);
    disk[0x200..0x400].fill(0);
    let path = dir.path().join("disk.map");
    fs::write(&path, disk).unwrap();

    let options = Map::options().file(&path);
    let refused = options.clone().recover(Recover::Never).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NeedsRecovery, "{refused}");
    let reader = options.clone().read_only(true).open().unwrap();
    assert_eq!(reader.count().unwrap(), 0);
    assert!(!reader.contains("never flushed").unwrap());
    assert_eq!(options.open().unwrap().count().unwrap(), 0);
}

#[test]
fn what_was_flushed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("durable.map");
    let map = Map::options().file(&path).size(2 << 20).create().unwrap();
    let long = "a name that does not fit ".repeat(30);
    map.set("number", 1).unwrap();
    map.set("large", vec![7_u8; 300_000]).unwrap();
    map.set(&long, "text").unwrap();
    map.set("removed", 1).unwrap();
    map.atomic_or("count", 5_i64).unwrap();
    map.flush().unwrap();
    map.atomic::<i64>("count").unwrap().fetch_add(1).unwrap();
    map.set("number", 2).unwrap();
    map.remove("removed").unwrap();
    map.set("never flushed", 1).unwrap();

    let again = open(&another_boot(&path));
    let recovery = again.recovery().unwrap();
    assert_eq!((recovery.variables, recovery.lost, recovery.damaged), (5, 0, false));
    assert_eq!(again.get::<i64>("number").unwrap(), 1);
    assert_eq!(again.get::<Vec<u8>>("large").unwrap(), vec![7; 300_000]);
    assert_eq!(again.get::<String>(&long).unwrap(), "text");
    assert_eq!(again.get::<i64>("removed").unwrap(), 1);
    assert_eq!(again.atomic::<i64>("count").unwrap().load().unwrap(), 5);
    assert!(!again.contains("never flushed").unwrap());
    again.set("number", 9).unwrap();
    again.close().unwrap();

    // The same boot and the same file: no recovery runs, and no value is lost.
    let copy = path.with_extension("copy");
    let again = open(&copy);
    assert_eq!(again.recovery(), None);
    assert_eq!(again.get::<i64>("number").unwrap(), 9);
    again.set("number", 10).unwrap();
    drop(again);
    // The last handle has flushed when it was dropped.
    assert_eq!(open(&another_boot(&copy)).get::<i64>("number").unwrap(), 10);
    assert_eq!(map.get::<i64>("number").unwrap(), 2, "the map itself is as it was");
}

#[test]
fn a_map_that_nobody_flushed_is_recovered_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    let again = open(&another_boot(&path));
    assert_eq!(again.recovery().unwrap().variables, 0);
    assert!(again.is_empty().unwrap());
    again.set("y", 2).unwrap();
}

#[test]
fn a_reader_does_not_recover() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.close().unwrap();
    let copy = another_boot(&path);
    let before = fs::read(&copy).unwrap();
    // It sees the last flush, in memory of its own.
    let reader = Map::options().file(&copy).read_only(true).open().unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 1);
    assert_eq!(reader.recovery().unwrap().variables, 1);
    drop(reader);
    assert_eq!(fs::read(&copy).unwrap(), before);
    drop(open(&copy));
    let reader = Map::options().file(&copy).read_only(true).open().unwrap();
    assert_eq!(reader.get::<i64>("x").unwrap(), 1);
    assert!(reader.flush().is_err());
}

#[test]
fn threads_write_while_others_flush() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("a", 0_u64).unwrap();
    map.set("b", 0_u64).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..2_000_u64 {
                map.transaction(|both| {
                    both.set("a", number)?;
                    both.set("b", number)
                })
                .unwrap();
                map.set(&format!("other {}", number % 50), number).unwrap();
            }
        });
        let flusher = scope.spawn(|| (0..20).for_each(|_| map.flush().unwrap()));
        for _ in 0..10 {
            map.flush().unwrap();
        }
        flusher.join().unwrap();
        let again = open(&another_boot(&path));
        let recovery = again.recovery().unwrap();
        assert!(!recovery.damaged, "{recovery:?}");
        let (a, b): (u64, u64) = (again.get("a").unwrap(), again.get("b").unwrap());
        assert_eq!(a, b, "a transaction is whole");
        writer.join().unwrap();
    });
}

#[test]
fn a_map_that_has_grown_is_recovered_as_long_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("grown.map");
    let map = Map::options().file(&path).size(10_000).create().unwrap();
    let before = fs::metadata(&path).unwrap().len();
    for number in 0..300_u32 {
        map.set(&format!("n{number}"), vec![number as u8; 20_000]).unwrap();
    }
    map.flush().unwrap();
    assert!(fs::metadata(&path).unwrap().len() > before);
    let again = open(&another_boot(&path));
    assert_eq!(again.recovery().unwrap().variables, 300);
    for number in 0..300_u32 {
        let value: Vec<u8> = again.get(&format!("n{number}")).unwrap();
        assert_eq!(value, vec![number as u8; 20_000]);
    }
    again.clear().unwrap();
    again.set("new", vec![1_u8; 1 << 20]).unwrap();
    again.flush().unwrap();
}

/// The structure lock names an owner in another pid namespace. Here its number is that of a living
/// process, which has nothing to do with the map.
#[test]
#[cfg(target_os = "linux")]
fn locks_of_another_namespace_are_freed_by_an_opener_that_is_alone() {
    const NAMESPACE: usize = 0x200 + 40;
    const STRUCTURE_LOCK: usize = 0x1100;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("namespace.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("old", 1).unwrap();
    map.close().unwrap();
    // In place: a copy would be recovered.
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut sector = [0; 0x38];
    file.read_exact_at(&mut sector, 0x200).unwrap();
    sector[NAMESPACE - 0x200] ^= 1;
    let crc = u64::from(crc32fast::hash(&sector[..0x30])) | 1 << 32;
    sector[0x30..].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&sector, 0x200).unwrap();
    file.write_all_at(&std::process::id().to_le_bytes(), STRUCTURE_LOCK as u64).unwrap();

    let map = Map::options().file(&path).timeout(Duration::from_millis(50)).open().unwrap();
    assert_eq!(map.recovery(), None);
    map.set("new", 2).unwrap();
    assert_eq!(map.get::<i64>("old").unwrap(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_flush_that_waits_for_another_process_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flusher.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // The flush lock at 0x10e8 has the token of the first seat (0x2000 + 40): `map` does not flush,
    // as a process that was stopped during a flush.
    let mut token = [0; 8];
    file.read_exact_at(&mut token, 0x2000 + 40).unwrap();
    assert_ne!(token, [0; 8]);
    file.write_all_at(&token, 0x10e8).unwrap();
    let second = Map::options().file(&path).timeout(Duration::from_millis(30)).open().unwrap();
    let refused = second.flush().unwrap_err();
    assert_eq!(refused.kind(), mapvar::ErrorKind::TimedOut, "{refused}");
    assert_eq!(refused.holder().map(|it| it.pid), Some(std::process::id()), "{refused}");
    drop(map);
    second.flush().unwrap();
}
