//! `docs/read_map.py`, written from docs/FORMAT.md alone, prints the same as `mapvar list`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[derive(mapvar::Plain)]
#[repr(C)]
struct Wheel {
    on: bool,
    speed: f32,
    grid: [[i16; 3]; 2],
}

#[derive(mapvar::Plain)]
#[repr(C)]
struct Car {
    gear: i8,
    wheels: [Wheel; 2],
    lap: u64,
    fuel: f64,
}

#[test]
fn the_other_reader_prints_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let works = Command::new("python3").arg("--version").output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no python3 here, so no reader built from docs/FORMAT.md was run");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut maps: Vec<PathBuf> = fs::read_dir(root.join("crates/mapvar/tests/fixtures/v1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // A map with chunks beyond the first chunk table, and a value that goes around the second
    // table.
    let large = dir.path().join("large.map");
    let map = mapvar::Map::options().file(&large).size(1).create().unwrap();
    map.set("large", vec![7_u8; 9 << 20]).unwrap();
    map.set("after", (1, "two", 0.25, [1e-9, 1e22])).unwrap();
    let pod = |len| mapvar::Value::Pod { type_id: 7, bytes: vec![1; len] };
    let within = mapvar::Value::List([0, 4, 12, 300, 70_000].map(pod).into());
    map.set("within", &within).unwrap();
    let wheel = |speed| Wheel { on: speed > 0.0, speed, grid: [[1, -2, 3], [4, 5, -6]] };
    let car = Car { gear: -1, wheels: [wheel(0.0), wheel(1.5)], lap: u64::MAX, fuel: 1e-9 };
    map.plain::<Car>("car").unwrap().set(car).unwrap();
    // While this process lives, so that its ephemeral variables exist.
    map.set_ephemeral("mine", 1).unwrap();
    map.flush().unwrap();
    let live = dir.path().join("live.map");
    fs::copy(&large, &live).unwrap();
    map.close().unwrap();
    maps.extend([large, live]);
    assert!(maps.len() >= 3);
    for map in maps {
        let copy = dir.path().join("copy.map");
        fs::copy(&map, &copy).unwrap();
        let mapvar = Path::new(env!("CARGO_BIN_EXE_mapvar"));
        let listed = output(Command::new(mapvar).arg("list").arg("--file").arg(&copy));
        let read = output(Command::new("python3").arg(root.join("docs/read_map.py")).arg(&copy));
        for (listed, read) in listed.lines().zip(read.lines()) {
            assert!(listed == read, "{}:\n{listed:.300}\n{read:.300}", map.display());
        }
        assert_eq!(listed.lines().count(), read.lines().count(), "{}", map.display());
    }
}
