//! Regression tests of growth.

use mapvar::{ErrorKind, Map, Value};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

#[test]
fn a_map_that_grew_beyond_what_this_process_set_aside_has_no_variable_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("beyond.map");
    let big = Map::options().file(&path).size(1024).create().unwrap();
    let small = Map::options().file(&path).max_size(1 << 20).open().unwrap();
    big.set("first", 1).unwrap();
    // An early large variable, so that the index itself does not move beyond that limit.
    let large = vec![1_u8; 900_000];
    big.set("large", &large).unwrap();
    for number in 0..600 {
        big.set(&format!("n{number}"), number).unwrap();
    }
    assert!(big.stat().unwrap().region > 1 << 20);
    for number in [0, 300, 599] {
        let name = format!("n{number}");
        match small.get::<i32>(&name) {
            Ok(found) => assert_eq!(found, number),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
        }
        if let Err(error) = small.set(&name, -1) {
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        } else {
            assert_eq!(big.get::<i32>(&name).unwrap(), -1);
        }
    }
    let mut names: Vec<String> = big.iter().map(|entry| entry.unwrap().name().into()).collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "names that come twice");
}

/// Makes a copy of the file as another boot finds it, truncated to `len` bytes.
fn another_boot(path: &Path, len: Option<usize>) -> std::path::PathBuf {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(len.unwrap_or(bytes.len()));
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    let copy = path.with_extension(format!("{}2", path.extension().unwrap().display()));
    fs::write(&copy, &bytes).unwrap();
    copy
}

#[test]
fn what_a_table_said_of_chunks_that_a_power_cut_took_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.map");
    let map = Map::options().file(&path).size(1024).create().unwrap();
    map.set("kept", 1).unwrap();
    map.flush().unwrap();
    let len = fs::metadata(&path).unwrap().len() as usize;
    // The map grows. The words of the new chunks reach the disk, but not the file's new length.
    for number in 0..2000 {
        map.set(&format!("n{number}"), number).unwrap();
    }
    let copy = another_boot(&path, Some(len));
    let again = Map::options().file(&copy).open().unwrap();
    assert_eq!(again.recovery().unwrap().variables, 1);
    for number in 0..2000 {
        again.set(&format!("m{number}"), number).unwrap();
    }
    again.flush().unwrap();
    let last = Map::options().file(another_boot(&copy, None)).open().unwrap();
    let recovery = last.recovery().unwrap();
    assert_eq!((recovery.variables, recovery.lost, recovery.damaged), (2001, 0, false));
}

#[test]
fn threads_that_meet_what_has_grown_at_once_all_read_it() {
    const ROUNDS: usize = 400;
    const THREADS: usize = 2;
    let dir = tempfile::tempdir().unwrap();
    let large = Value::Bytes(vec![7; 100_000]);
    for round in 0..ROUNDS {
        let path = dir.path().join(format!("{round}.map"));
        let writer = Map::options().file(&path).size(1024).create().unwrap();
        // Its view ends where the region ends now; each thread below may be the first to meet the rest.
        let readers = Map::options().file(&path).max_size(8 << 20).open().unwrap();
        writer.set("large", &large).unwrap();
        let ready = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    ready.fetch_add(1, SeqCst);
                    // A barrier of the system would wake them one after the other.
                    while ready.load(SeqCst) < THREADS {
                        std::hint::spin_loop();
                    }
                    let found = readers.get::<Value>("large");
                    assert!(
                        found.as_ref().is_ok_and(|found| *found == large),
                        "round {round}: a thread that was overtaken found {:?}",
                        found.map(|found| found.kind())
                    );
                });
            }
        });
        drop((readers, writer));
        fs::remove_file(&path).unwrap();
    }
}

/// Returns how many bytes of address space the mappings of a file have in this process.
#[cfg(target_os = "linux")]
fn addresses_of(path: &std::path::Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let range = |line: &str| {
        let (first, end) = line.split_once(' ')?.0.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(number(end)? - number(first)?)
    };
    let path = path.to_str().unwrap();
    maps.lines().filter(|line| line.ends_with(path)).filter_map(range).sum()
}

#[test]
#[cfg(target_os = "linux")]
fn the_maps_of_a_process_do_not_take_all_its_addresses() {
    // In a process of its own, since the maps of other tests get less meanwhile.
    const ROLE: &str = "MAPVAR_MANY_MAPS";
    const MAPS: usize = if cfg!(target_pointer_width = "64") { 400 } else { 200 };
    if std::env::var_os(ROLE).is_none() {
        let test = "growth::the_maps_of_a_process_do_not_take_all_its_addresses";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", test, "--nocapture"]).env(ROLE, "");
        assert!(child.status().unwrap().success());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap().join("many.map");
    // A creator's mapping bears no name in /proc, since its file had none yet.
    drop(Map::options().file(&path).size(1_000).create().unwrap());
    let open = || Map::options().file(&path).open().unwrap();
    let first = open();
    let one = addresses_of(&path);
    let maps: Vec<Map> = (0..MAPS).map(|_| open()).collect();
    let all = addresses_of(&path);
    if cfg!(target_pointer_width = "64") {
        assert_eq!(one, 64 << 30);
        assert!(all < 9 << 40, "{} GiB for {} maps", all >> 30, maps.len() + 1);
    } else {
        assert!(all < 2 << 30, "{} MiB for {} maps", all >> 20, maps.len() + 1);
    }
    // The last ones still grow.
    maps.last().unwrap().set("large", vec![7_u8; 1 << 20]).unwrap();
    assert_eq!(first.get::<Vec<u8>>("large").unwrap().len(), 1 << 20);
    drop(maps);
    drop(first);
    let _again = open();
    if cfg!(target_pointer_width = "64") {
        assert_eq!(addresses_of(&path), 64 << 30, "closed maps count no more");
    }
}
