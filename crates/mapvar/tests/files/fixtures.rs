//! Maps in the repository, one created on each system. This build must read each of them
//! completely, and must refuse them if their header names another version.
//!
//!     MAPVAR_FIXTURES=write cargo test -p mapvar --test files fixtures:: -- --ignored
//!     MAPVAR_FIXTURES=write cargo xtask windows test -p mapvar --test files fixtures:: -- --ignored
//!
//! create them again, each command that of its system. This is permitted only until the first
//! version is published.

use crate::common;
use mapvar::{ErrorKind, Map, MapOptions, Value};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn long(what: &str) -> String {
    format!("{what}, a name that does not fit its record {}", "and goes on ".repeat(20))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 64 % 251) as u8).collect()
}

/// Returns the content of each fixture.
fn variables() -> Vec<(String, Value)> {
    let text = |text: &str| Value::Str(text.into());
    let mut all = vec![
        ("nil", Value::Nil),
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("int", Value::I64(-77)),
        ("least", Value::I64(i64::MIN)),
        ("uint", Value::U64(u64::MAX)),
        ("float", Value::F64(-0.1)),
        ("tiny", Value::F64(1.5e-7)),
        ("huge", Value::F64(1e300)),
        ("empty", text("")),
        ("text", text("Grüße, 世界\tand\na line")),
        ("Grüße", text("a name that is no ASCII")),
        ("bytes", Value::Bytes(vec![0, 1, 254, 255])),
        (
            "list",
            Value::List(vec![Value::I64(1), text("two \"quoted\""), Value::F64(3.5), Value::Nil]),
        ),
        (
            "dict",
            Value::Dict(vec![
                (text("x"), Value::F64(1.0)),
                (text("deeper"), Value::List(vec![Value::Bool(true), Value::I64(-40_000)])),
            ]),
        ),
        ("pod", Value::Pod { type_id: 7, bytes: vec![1, 2, 3] }),
        ("opaque", Value::Opaque { language: 0x7262, bytes: vec![9; 40] }),
        ("class 10", text(&"b".repeat(96))),
        ("class 14", text(&"c".repeat(480))),
        ("class 15", text(&"d".repeat(960))),
        ("extent", Value::Bytes(bytes(1_500))),
        ("large extent", Value::Bytes(bytes(8_000))),
        ("run", Value::Bytes(bytes(40_000))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    all.push((long("long"), Value::I64(1)));
    all.push((long("long and large"), Value::Str("e".repeat(3_000))));
    all.push(("count".into(), Value::I64(42)));
    all.push((long("long count"), Value::U64(u64::MAX)));
    all.push(("level".into(), Value::F64(0.5)));
    all
}

fn fill(map: &Map) {
    for number in 0..60 {
        map.set(&format!("gone {number}"), number).unwrap();
    }
    map.set("gone and large", vec![5_u8; 20_000]).unwrap();
    for (name, value) in variables() {
        match name.as_str() {
            "count" => drop(map.atomic_or(&name, 40_i64).unwrap().fetch_add(2).unwrap()),
            "level" => drop(map.atomic_or(&name, 0.5).unwrap()),
            _ if name == long("long count") => drop(map.atomic_or(&name, u64::MAX).unwrap()),
            _ => {
                // Three times, so that the current slot is not the first one.
                map.set(&name, &Value::Nil).unwrap();
                map.set(&name, Value::I64(5)).unwrap();
                map.set(&name, &value).unwrap();
            }
        }
    }
    map.atomic_or("gone count", 1_i64).unwrap();
    map.remove("gone count").unwrap();
    map.remove("gone and large").unwrap();
    for number in 0..60 {
        assert!(map.remove(&format!("gone {number}")).unwrap());
    }
}

#[test]
#[ignore = "makes the fixture of this system anew: MAPVAR_FIXTURES=write cargo test -p mapvar --test files fixtures:: -- --ignored"]
fn write() {
    if std::env::var("MAPVAR_FIXTURES").as_deref() != Ok("write") {
        println!("MAPVAR_FIXTURES=write makes it anew");
        return;
    }
    fs::create_dir_all(folder()).unwrap();
    let path = folder().join(format!("{}.map", std::env::consts::OS));
    let _ = fs::remove_file(&path);
    let map = Map::options().file(&path).size(60_000).create().unwrap();
    fill(&map);
    map.flush().unwrap();
    assert!(map.check().unwrap().is_whole());
    map.close().unwrap();
}

fn fixtures() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "map"));
    all.sort();
    for system in ["linux.map", "windows.map"] {
        assert!(all.iter().any(|path| path.ends_with(system)), "no fixture {system}");
    }
    all
}

fn read_all(map: &Map) {
    let mut expected = variables();
    for (name, value) in &expected {
        assert_eq!(&map.get::<Value>(name).unwrap(), value, "{name}");
    }
    let mut found: Vec<_> = map
        .iter()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.name().to_owned(), entry.get::<Value>().unwrap()))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, expected);
    assert_eq!(map.count().unwrap(), expected.len() as u64);
    let check = map.check().unwrap();
    assert!(check.is_whole(), "{:?}", check.findings());
    assert_eq!(check.variables(), expected.len() as u64);
}

#[test]
fn each_is_read_whole_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for fixture in fixtures() {
        let path = dir.path().join(fixture.file_name().unwrap());
        fs::copy(&fixture, &path).unwrap();
        let check = Map::options().file(&path).check().unwrap();
        assert!(check.is_whole(), "{}: {:?}", fixture.display(), check.findings());
        assert_eq!(fs::read(&path).unwrap(), fs::read(&fixture).unwrap(), "a check wrote to it");
        // The file is a copy, so a writable open recovers it.
        let map = Map::options().file(&path).open().unwrap();
        read_all(&map);
        read_all(&Map::options().file(&path).read_only(true).open().unwrap());
        // Afterwards the map works like any other.
        map.set("int", "text now").unwrap();
        map.atomic::<i64>("count").unwrap().fetch_add(1).unwrap();
        map.set("new", vec![3_u8; 30_000]).unwrap();
        assert!(map.remove("run").unwrap());
        let check = map.check().unwrap();
        assert!(check.is_whole(), "{:?}", check.findings());
        map.close().unwrap();
        let map = Map::options().file(&path).open().unwrap();
        assert_eq!(map.get::<i64>("count").unwrap(), 43);
        assert!(map.get::<Vec<u8>>("new").unwrap() == vec![3; 30_000]);
        map.close().unwrap();
    }
}

/// Sets the checksum of the header to the right value.
fn seal(bytes: &mut [u8]) {
    let mut sector = bytes[8..512].to_vec();
    sector[8..16].fill(0);
    bytes[16..24].copy_from_slice(&u64::from(crc32fast::hash(&sector)).to_le_bytes());
}

/// A change of a map's bytes.
type Change = fn(&mut [u8]);

#[test]
fn what_another_version_would_have_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let table: [(&str, Change, ErrorKind, &str); 8] = [
        (
            "version is 2",
            |b| {
                b[8] = 2;
                seal(b);
            },
            ErrorKind::Version,
            "version is 2",
        ),
        (
            "version is 0",
            |b| {
                b[8] = 0;
                seal(b);
            },
            ErrorKind::Version,
            "version is 0",
        ),
        (
            "a flag",
            |b| {
                b[12] |= 2;
                seal(b);
            },
            ErrorKind::Version,
            "version",
        ),
        (
            "another flag",
            |b| {
                b[15] |= 0x80;
                seal(b);
            },
            ErrorKind::Version,
            "version",
        ),
        (
            "the layout",
            |b| {
                b[72] ^= 1;
                seal(b);
            },
            ErrorKind::Version,
            "another build",
        ),
        ("big-endian", |b| b[..8].reverse(), ErrorKind::NotAMap, "not a map"),
        ("no checksum", |b| b[40] ^= 1, ErrorKind::Corrupt, "checksum"),
        ("no magic", |b| b[..8].fill(0), ErrorKind::NotAMap, "not a map"),
    ];
    for fixture in fixtures() {
        for (what, change, kind, said) in &table {
            let path = dir.path().join("other.map");
            let mut bytes = fs::read(&fixture).unwrap();
            change(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            let options = Map::options().file(&path);
            let reading = options.clone().read_only(true);
            for opened in [options.open(), reading.open(), options.open_or_create()] {
                let error = opened.expect_err(what);
                assert_eq!(error.kind(), *kind, "{what}: {error}");
                assert!(error.to_string().contains(said), "{what}: {error}");
            }
            check_and_salvage(&options, *kind, what);
            assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: it was written to");
        }
    }
}

/// Asserts that `check` and `salvage` refuse another version, and report and salvage a damaged map.
fn check_and_salvage(options: &MapOptions, kind: ErrorKind, what: &str) {
    let into = Map::options().name(common::unique("other")).create().unwrap();
    let (check, salvage) = (options.check(), options.salvage(&into));
    if kind == ErrorKind::Version {
        assert_eq!(check.expect_err(what).kind(), kind);
        assert_eq!(salvage.expect_err(what).kind(), kind);
        assert!(into.is_empty().unwrap());
    } else {
        assert!(!check.unwrap().is_whole(), "{what}");
        assert_eq!(salvage.unwrap().lost(), []);
        read_all(&into);
    }
}
