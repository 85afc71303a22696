//! The table of shapes in `crates/mapvar/examples/shapes`: what Rust has set, the command prints
//! as the table says, and what the command sets from that, Rust reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "../../mapvar/examples/shapes/table.rs"]
mod table;

use std::process::Command;

fn mapvar(words: &[&str]) -> String {
    let mut attempts = 0;
    let output = loop {
        match Command::new(env!("CARGO_BIN_EXE_mapvar")).args(words).output() {
            // Under load, Wine sometimes fails with "internal error", and starts the next process.
            Err(error) if error.raw_os_error() == Some(1359) && attempts < 20 => {
                attempts += 1;
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            other => break other.unwrap(),
        }
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_command_prints_and_sets_every_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shapes.map");
    let file = path.to_str().unwrap();
    let map = mapvar::Map::options().file(&path).create().unwrap();
    table::write(&map).unwrap();
    for (name, shown) in table::TABLE {
        assert_eq!(mapvar(&["get", "--file", file, name]), format!("{shown}\n"), "{name}");
        let kind = mapvar(&["get", "--kind", "--file", file, name]);
        let by_type: &[&str] = if kind == "nil\n" { &["--type", "nil"] } else { &[] };
        // Over the variable itself, whose kind stays.
        let set = [&["set", "--file", file], by_type, &["--", name, shown]].concat();
        mapvar(&set);
        assert_eq!(mapvar(&["get", "--kind", "--file", file, name]), kind, "{name}");
        assert_eq!(mapvar(&["get", "--file", file, name]), format!("{shown}\n"), "{name}");
    }
    assert_eq!(table::read(&map, ""), Vec::<String>::new());
    // Into a new variable, as JSON and more.
    for (name, shown) in table::TABLE {
        if shown.starts_with(['[', '{']) {
            let new = format!("{name}.new");
            mapvar(&["set", "--file", file, "--type", "json", &new, shown]);
            assert_eq!(mapvar(&["get", "--file", file, &new]), format!("{shown}\n"), "{name}");
        }
    }
    mapvar(&["check", "--file", file]);
}
