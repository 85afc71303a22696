//! Files that are no maps, and damaged maps: an operation fails with the right error and never
//! panics or hangs. A file that is no map stays unchanged.

use crate::common::{self, Random, Watchdog, scaled};
use mapvar::{ErrorKind, Map};
use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::Command,
    time::Duration,
};

/// Creates a map with variables of every kind, and returns its bytes.
fn valid(path: &Path) -> Vec<u8> {
    let map = Map::options().file(path).size(8_000).create().unwrap();
    for number in 0..12 {
        map.set(&format!("int {number}"), number).unwrap();
        map.set(&format!("text {number}"), "hello ".repeat(number)).unwrap();
    }
    map.set(&"long".repeat(100), vec![1_u8; 900]).unwrap();
    map.set("list", (1, "two", 3.0)).unwrap();
    map.set("nil", ()).unwrap();
    map.atomic_or("count", 7_i64).unwrap();
    map.set("gone", 1).unwrap();
    map.remove("gone").unwrap();
    map.close().unwrap();
    fs::read(path).unwrap()
}

/// Calls every operation, and ignores the results.
fn use_all(map: &Map) {
    for name in ["int 3", "text 9", "list", "nil", "count", "gone", "new", "text 0"] {
        let _ = map.get::<i64>(name);
        let _ = map.find::<String>(name);
        let _ = map.get::<mapvar::Value>(name);
        let _ = map.contains(name);
        let _ = map.set(name, 5);
        let _ = map.set(name, "some text");
        if let Ok(var) = map.var::<i64>(name) {
            let _ = (var.get(), var.set(6), var.kind(), var.version(), var.write_bytes(&[1, 2]));
            let _ = var.read_bytes(&mut [0; 16]);
        }
        if let Ok(atomic) = map.atomic::<i64>(name) {
            let _ = (atomic.load(), atomic.fetch_add(1), atomic.swap(2), atomic.store(3));
            let _ = atomic.compare_exchange(1, 2);
        }
        let _ = map.remove(name);
        let _ = map.atomic_or(name, 1_i64);
        let _ = map.var_or(name, 1_i64);
    }
    let _ = map.set(&"long".repeat(100), 1);
    for entry in map.iter().flatten() {
        let _ = (entry.kind(), entry.get::<mapvar::Value>(), entry.get::<f64>(), entry.version());
    }
    let _ = map.count();
    let _ = map.stat();
    let _ = map.clear();
    let _ = map.flush();
}

#[test]
fn ten_thousand_damaged_maps() {
    let _watchdog = Watchdog::new("the damaged maps", Duration::from_secs(401));
    let mut random = Random::new("damaged maps");
    let dir = common::quick_folder();
    let path = dir.path().join("valid.map");
    let valid = valid(&path);
    let words = valid.len() as u64 / 8;
    let (mut opened, mut refused) = (0, 0);
    for round in 0..scaled(10_000) {
        let mut bytes = valid.clone();
        let hits = 1 + random.below(12);
        for _ in 0..hits {
            let at = match random.below(3) {
                // Anywhere; in the chunks after the tables; in the live words and the journal.
                0 => random.below(words),
                1 => 4096 + random.below(words - 4096),
                _ => 512 + random.below(96),
            } as usize
                * 8;
            let word = match random.below(6) {
                0 => random.next(),
                1 => random.below(words * 8) & !63,
                2 => 0,
                3 => u64::MAX,
                4 => random.below(64),
                _ => {
                    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
                        ^ 1 << random.below(64)
                }
            };
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        match random.below(20) {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => bytes.extend(vec![0xa5; random.below(40_000) as usize]),
            2 => {
                let at = random.below(bytes.len() as u64 - 4096) as usize;
                bytes[at..at + 4096].fill(0);
            }
            _ => {}
        }
        let damaged = dir.path().join(format!("{}.map", round % 8));
        fs::write(&damaged, &bytes).unwrap();
        // Forged lock words name owners that do not exist, or that are alive; so the timeout is
        // short.
        match Map::options()
            .file(&damaged)
            .max_size(1 << 19)
            .timeout(Duration::from_millis(2))
            .open()
        {
            Ok(map) => {
                opened += 1;
                use_all(&map);
            }
            Err(error) => {
                refused += 1;
                assert_ne!(error.kind(), ErrorKind::NotFound, "{error}");
            }
        }
        if let Ok(map) = Map::options().file(&damaged).read_only(true).open() {
            use_all(&map);
        }
        if round % 4 == 0 {
            damage_in_use(&damaged, &valid, &bytes);
        }
    }
    println!("{} damaged maps: {opened} opened and used, {refused} refused", opened + refused);
    assert!(opened > 0 && refused > 0);
}

/// Damages a map while it is open, as a hostile peer would: it writes only the words that differ.
///
/// The open of a damaged copy recovers it, which repairs much of the damage.
fn damage_in_use(path: &Path, valid: &[u8], damaged: &[u8]) {
    fs::write(path, valid).unwrap();
    let map = Map::options().file(path).timeout(Duration::from_millis(2)).open().unwrap();
    assert!(map.recovery().is_some_and(|found| !found.damaged));
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for (at, (old, new)) in valid.chunks(8).zip(damaged.chunks(8)).enumerate() {
        // Recovery has just written these words for this file, so they stay.
        if old != new && !(0x200..0x240).contains(&(at * 8)) {
            file.seek(SeekFrom::Start(at as u64 * 8)).unwrap();
            file.write_all(new).unwrap();
        }
    }
    use_all(&map);
    drop(map);
    if let Ok(map) = Map::options().file(path).timeout(Duration::from_millis(2)).open() {
        use_all(&map);
    }
}

fn refused(path: &Path) -> mapvar::Error {
    let before = fs::read(path).ok();
    let options = Map::options().file(path).timeout(Duration::from_millis(300));
    let error = options.open().expect_err("it opened");
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    // An attempt to create a map there does not change the file either.
    assert!(options.open_or_create().is_err());
    assert!(options.create().is_err());
    assert!(options.read_only(true).open().is_err());
    assert_eq!(fs::read(path).ok(), before, "the file was changed");
    error
}

#[test]
fn files_that_are_no_maps() {
    let _watchdog = Watchdog::new("files that are no maps", Duration::from_mins(1));
    let mut random = Random::new("no maps");
    let dir = common::quick_folder();
    let mut noise: Vec<u8> = Vec::new();
    noise.resize_with(200_000, || random.next() as u8);
    let zeros = vec![0; 100_000];
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("one byte", b"M"),
        ("text", b"foo = hello\n"),
        ("long text", "foo = hello\n".repeat(10_000).as_bytes()),
        ("zeros", &zeros),
        ("noise", &noise),
        ("magic alone", b"MAPVAR\r\n"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(refused(&path).kind(), ErrorKind::NotAMap, "{name}");
    }
}

#[test]
fn a_map_of_another_version_and_one_cut_short() {
    let dir = common::quick_folder();
    let path = dir.path().join("good.map");
    let good = valid(&path);

    let path = dir.path().join("newer.map");
    let mut newer = good.clone();
    newer[8] = 2;
    fs::write(&path, &newer).unwrap();
    let error = refused(&path);
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.to_string().contains("version is 2"), "{error}");

    let path = dir.path().join("short.map");
    for len in [40_000, 32_768] {
        fs::write(&path, &good[..len]).unwrap();
        let error = refused(&path);
        assert_eq!(error.kind(), ErrorKind::Truncated, "{len}: {error}");
        assert!(error.to_string().contains(&len.to_string()), "{error}");
    }
    // A copy that ends in what the map grew by is one without the end's variables.
    let copy = Map::options().file(&path);
    fs::write(&path, &good[..65_536]).unwrap();
    let error = copy.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsRecovery, "{error}");
    assert!(error.to_string().contains("torn copy"), "{error}");
    // If another program truncates the file itself, the opener of this boot finds it.
    let path = dir.path().join("truncated.map");
    let map = Map::options().file(&path).create().unwrap();
    let large = vec![1_u8; 200_000];
    map.set("large", &large).unwrap();
    map.close().unwrap();
    let whole = fs::read(&path).unwrap();
    for len in [whole.len() - 1, whole.len() / 2, 65_536] {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len as u64).unwrap();
        let error = refused(&path);
        assert_eq!(error.kind(), ErrorKind::Truncated, "{len}: {error}");
        assert!(error.to_string().contains(&len.to_string()), "{error}");
    }
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(&whole).unwrap();
    drop(file);
    let map = Map::options().file(&path).open().unwrap();
    assert_eq!(map.get::<Vec<u8>>("large").unwrap(), large);

    // A flag that this version does not know, with a valid checksum.
    let path = dir.path().join("flag.map");
    let mut flag = good.clone();
    flag[13] = 1;
    let mut sector = flag[8..512].to_vec();
    sector[8..16].fill(0);
    flag[16..24].copy_from_slice(&u64::from(crc32fast::hash(&sector)).to_le_bytes());
    fs::write(&path, &flag).unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::Version);

    let path = dir.path().join("header.map");
    let mut header = good.clone();
    header[50] ^= 4;
    fs::write(&path, &header).unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::Corrupt);
}

#[test]
fn a_directory_a_device_and_a_pipe_are_no_maps() {
    let _watchdog = Watchdog::new("a directory, a device and a pipe", Duration::from_mins(1));
    let dir = common::quick_folder();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let error = refused(&folder);
    assert!(matches!(error.kind(), ErrorKind::NameTaken | ErrorKind::PermissionDenied), "{error}");
    if Path::new("/dev/null").exists() {
        for device in ["/dev/null", "/dev/zero"] {
            let error = Map::options().file(device).open().expect_err(device);
            assert_eq!(error.kind(), ErrorKind::NameTaken, "{error}");
        }
        let pipe = dir.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            let error = Map::options().file(&pipe).open().expect_err("a pipe");
            assert_eq!(error.kind(), ErrorKind::NameTaken, "{error}");
        }
    }
    let missing = dir.path().join("missing.map");
    let error = Map::options().file(&missing).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!missing.exists());
}
