//! Sparse files: a file that is long, and has little data, costs what its data cost. Each test would
//! take minutes and gigabytes if anything walked over the holes.

use crate::durable::another_boot_of;
use mapvar::{ErrorKind, Map};
use mapvar_engine::layout;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// 1 TiB: 64 Mi chunks.
const LONG: u64 = 1 << 40;
const WIDE: bool = cfg!(target_pointer_width = "64");
const CHUNK: u64 = 0x4000;
/// The live word with the number of chunks.
const CHUNKS: u64 = 0x1180;

/// A map with small and large variables, flushed and closed.
fn made(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("sparse.map");
    let map = Map::options().file(&path).size(1 << 20).create().unwrap();
    for number in 0..100 {
        map.set(&format!("v{number}"), number).unwrap();
    }
    map.set("large", vec![7_u8; 3 << 20]).unwrap();
    map.set("zeros", vec![0_u8; 3 << 20]).unwrap();
    map.close().unwrap();
    path
}

fn edit(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// Makes the file long. Returns false where the file system has no such files.
fn stretch(path: &Path) -> bool {
    let long = edit(path).set_len(LONG).is_ok();
    if !long {
        println!("SKIPPED: no file of {LONG} bytes on this file system");
    }
    long
}

fn blocks(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

fn whole(map: &Map) {
    for number in 0..100 {
        assert_eq!(map.get::<i64>(&format!("v{number}")).unwrap(), number);
    }
    assert_eq!(map.get::<Vec<u8>>("large").unwrap(), vec![7; 3 << 20]);
    assert_eq!(map.get::<Vec<u8>>("zeros").unwrap(), vec![0; 3 << 20]);
    assert_eq!(map.count().unwrap(), 102);
}

#[test]
fn a_long_file_is_recovered_for_the_price_of_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(&dir);
    if !stretch(&path) {
        return;
    }
    another_boot_of(&path);
    let before = blocks(&path);
    // A reader recovers a copy in memory, of the data alone.
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.recovery().unwrap().variables, 102);
    whole(&reader);
    drop(reader);
    assert_eq!(blocks(&path), before);
    let map = Map::options().file(&path).open().unwrap();
    let recovery = map.recovery().unwrap();
    assert_eq!((recovery.variables, recovery.lost, recovery.damaged), (102, 0, false));
    whole(&map);
    let stat = map.stat().unwrap();
    assert_eq!(stat.variables, 102);
    assert!(stat.largest_free <= stat.free, "{stat:?}");
    if WIDE {
        // All that the opener can map: without a `max_size` 64 GiB.
        assert_eq!(stat.region, 64 << 30);
        assert!(stat.free > 60 << 30, "{stat:?}");
    }
    assert!(map.check().unwrap().is_whole(), "{:?}", map.check().unwrap().findings());
    map.set("after", 1).unwrap();
    drop(map);
    // Nothing filled the holes: neither with data, nor with tables of zeros.
    assert!(blocks(&path) < before + (1 << 20), "{before} {}", blocks(&path));
}

/// A copy by `cp --sparse=always` has a hole wherever the original has a block of zeros, also within
/// a value. The checksum of the value counts them.
#[test]
fn zeros_that_a_copy_made_holes_of_are_still_the_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(&dir);
    let copy = dir.path().join("copy.map");
    let (from, to) = (File::open(&path).unwrap(), File::create(&copy).unwrap());
    let len = from.metadata().unwrap().len();
    to.set_len(len).unwrap();
    let mut block = vec![0; 4096];
    for at in (0..len).step_by(block.len()) {
        from.read_exact_at(&mut block, at).unwrap();
        if block.iter().any(|byte| *byte != 0) {
            to.write_all_at(&block, at).unwrap();
        }
    }
    assert!(blocks(&copy) < 5 << 20, "{}", blocks(&copy));
    let map = Map::options().file(&copy).open().unwrap();
    assert_eq!(map.recovery().unwrap().lost, 0);
    whole(&map);
}

/// `check` and `salvage` of a file whose words claim as many chunks as the file is long.
#[test]
fn a_forged_number_of_chunks_costs_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(&dir);
    if !stretch(&path) {
        return;
    }
    edit(&path).write_all_at(&(LONG / CHUNK).to_le_bytes(), CHUNKS).unwrap();
    let options = Map::options().file(&path);
    if !WIDE {
        // The whole file is mapped, and would need more addresses than a process of 32 bits has.
        assert_eq!(options.check().unwrap_err().kind(), ErrorKind::TooLarge);
        return;
    }
    let check = options.check().unwrap();
    // Only the words of the chunks that hold tables are missing: 24 bytes for each chunk, and a chunk
    // more for each of the first groups.
    assert!(check.faults() as u64 <= LONG / CHUNK * 24 / CHUNK + 3, "{}", check.faults());
    assert_eq!(check.variables(), 102);
    let saved = Map::options().file(dir.path().join("saved.map")).create().unwrap();
    assert_eq!(options.salvage(&saved).unwrap().saved(), 102);
    whole(&saved);
    let map = options.read_only(true).open().unwrap();
    assert_eq!(map.stat().unwrap().variables, 102);
    drop(map);

    // Without a header, the region's number is what most chunks say.
    edit(&path).write_all_at(&[0; 512], 0).unwrap();
    let check = Map::options().file(&path).check().unwrap();
    assert_eq!(check.variables(), 102);
    let saved = Map::options().file(dir.path().join("again.map")).create().unwrap();
    assert_eq!(Map::options().file(&path).salvage(&saved).unwrap().saved(), 102);
}

/// Resident bytes of this process. A page of a hole that is read counts.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// A table that calls each hole a chunk of records, or of what else has a header: no walk reads them.
#[test]
fn a_forged_chunk_table_costs_its_own_length() {
    const BYTES: u64 = 4 << 30;
    if !WIDE || cfg!(not(target_os = "linux")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = made(&dir);
    let file = edit(&path);
    let real = file.metadata().unwrap().len() / CHUNK;
    if file.set_len(BYTES).is_err() {
        println!("SKIPPED: no file of {BYTES} bytes on this file system");
        return;
    }
    // The creator writes the tables of a growth in the chunks behind its old end.
    for kind in [layout::kind::RECORDS, layout::kind::EXTENTS] {
        for number in (real.next_power_of_two()..BYTES / CHUNK).rev() {
            let kind = if layout::holds_table(number) { layout::kind::TABLE } else { kind };
            file.write_all_at(&kind.to_le_bytes(), layout::table_word(number)).unwrap();
        }
        file.write_all_at(&(BYTES / CHUNK).to_le_bytes(), CHUNKS).unwrap();
        let options = Map::options().file(&path).max_size(BYTES);
        let map = options.clone().read_only(true).open().unwrap();
        let before = resident();
        let less = |what: &str| {
            let read = resident().saturating_sub(before);
            assert!(read < BYTES / 4, "{what} read {read} bytes of holes");
        };
        assert_eq!(map.iter().filter_map(Result::ok).count(), 102);
        assert_eq!(map.count().unwrap(), 102);
        less("a walk");
        let check = map.check().unwrap();
        less("a check");
        assert_eq!(check.variables(), 102);
        // One for each chunk would take gigabytes.
        assert_eq!((check.faults(), check.notes()), (10_001, 0));
        let last = check.findings().last().unwrap();
        assert!(last.what.ends_with("more faults are not listed"), "{last}");
        let error = options.recovery_timeout(Duration::ZERO).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("recovery_timeout"), "{error}");
    }
}

/// A recovery that takes too long ends with an error, has changed nothing that the next one needs,
/// and a longer time is the remedy.
#[test]
fn a_recovery_ends_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(&dir);
    another_boot_of(&path);
    for _ in 0..3 {
        let options = Map::options().file(&path).recovery_timeout(Duration::ZERO);
        let error = options.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("longer"), "{error}");
        let error = options.read_only(true).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
    // A short timeout for locks does not shorten it: such programs call again, and would recover
    // for ever.
    let map = Map::options().file(&path).timeout(Duration::ZERO).open().unwrap();
    assert_eq!(map.recovery().unwrap().variables, 102);
    whole(&map);
}
