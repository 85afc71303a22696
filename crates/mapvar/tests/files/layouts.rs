//! Files in which the layout of a plain struct is damaged.

use mapvar::{ErrorKind, Map, MapOptions, Plain, Value};
use std::{fs, path::Path};

#[derive(Plain, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Car {
    gear: i8,
    revolutions: f32,
}

const CAR: Car = Car { gear: 2, revolutions: 900.0 };

fn file(path: &Path) -> MapOptions {
    Map::options().file(path)
}

/// Makes a file with a struct, an old one and another variable, and replaces each `from` in it.
fn damaged(path: &Path, from: &[u8], to: &[u8]) {
    let map = file(path).create().unwrap();
    map.plain::<Car>("car").unwrap().set(CAR).unwrap();
    map.plain::<Car>("old").unwrap().set(CAR).unwrap();
    map.set("other", 1).unwrap();
    map.close().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<_> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_layout_is_a_fault_and_its_structs_are_lost() {
    for (what, from, to) in [
        // It still parses, with another field name: only its number tells.
        ("changed", &b"\x0brevolutions"[..], &b"\x0brevoluTions"[..]),
        ("cut off", b"\x0brevolutions", b"\xffrevolutions"),
        ("a later version", b"\x01\x03Car", b"\x02\x03Car"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        damaged(&path("one"), from, to);
        let of_file = file(&path("one")).check().unwrap();
        let map = file(&path("one")).open().unwrap();
        let of_map = map.check().unwrap();
        for check in [of_file, of_map] {
            let texts: Vec<_> = check.findings().iter().map(ToString::to_string).collect();
            assert_eq!((check.faults(), check.variables()), (3, 3), "{what}: {texts:?}");
            for part in ["variable \"car\": it is a struct", "variable \"old\"", "the layout "] {
                let found = texts.iter().find(|text| text.contains(part));
                assert!(found.is_some_and(|text| text.contains("is damaged")), "{what}: {texts:?}");
            }
        }

        let two = file(&path("two")).create().unwrap();
        let copied = map.copy_to(&two).unwrap();
        assert_eq!((copied.variables, copied.lost.len()), (1, 2), "{what}: {copied:?}");
        for error in &copied.lost {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            let text = error.to_string();
            assert!(text.contains("is damaged") && text.contains("one\""), "{what}: {text}");
        }
        map.close().unwrap();
        let three = file(&path("three")).create().unwrap();
        let salvage = file(&path("one")).salvage(&three).unwrap();
        let names: Vec<_> = salvage.lost().iter().map(|lost| lost.variable.as_deref()).collect();
        assert_eq!((salvage.saved(), names.len()), (1, 2), "{what}: {salvage:?}");
        assert!(names.contains(&Some("car")) && names.contains(&Some("old")), "{what}: {names:?}");
        for into in [two, three] {
            // No layout was made of the damaged one.
            let error = into.get::<Value>("car").unwrap_err();
            assert!(error.to_string().contains("the map does not have"), "{what}: {error}");
            assert_eq!(into.check().unwrap().faults(), 2, "{what}");
            // The bytes are there, and a program with the type brings the layout.
            assert_eq!(into.plain::<Car>("car").unwrap().get().unwrap(), CAR, "{what}");
            assert_eq!(into.get::<i8>("other").unwrap(), 1);
            assert!(into.check().unwrap().is_whole(), "{what}");
        }
    }
}

#[test]
fn a_layout_that_the_other_map_has_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    damaged(&path("one"), b"revolutions", b"revoluTions");
    let map = file(&path("one")).open().unwrap();
    let into = file(&path("two")).create().unwrap();
    into.plain::<Car>("mine").unwrap();
    let copied = map.copy_to(&into).unwrap();
    assert_eq!((copied.variables, copied.lost.len()), (3, 0), "{copied:?}");
    map.close().unwrap();
    let salvage = file(&path("one")).salvage(&into).unwrap();
    assert_eq!((salvage.saved(), salvage.lost().len()), (3, 0), "{salvage:?}");
    assert_eq!(into.get_field("car", "gear").unwrap().to_string(), "2");
}

#[test]
fn a_struct_with_a_bool_that_is_none_is_a_fault_and_lost() {
    #[derive(Plain, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Flag {
        before: [u8; 7],
        on: bool,
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let map = file(&path("one")).create().unwrap();
    map.plain::<Flag>("flag").unwrap().set(Flag { before: *b"pattern", on: true }).unwrap();
    map.close().unwrap();
    let mut bytes = fs::read(path("one")).unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == b"pattern\x01").unwrap();
    bytes[at + 7] = 7;
    fs::write(path("one"), bytes).unwrap();
    let check = file(&path("one")).check().unwrap();
    assert_eq!(check.faults(), 1, "{:?}", check.findings());
    let into = file(&path("two")).create().unwrap();
    let salvage = file(&path("one")).salvage(&into).unwrap();
    assert_eq!((salvage.saved(), salvage.lost().len()), (0, 1));
    let copied = file(&path("one")).open().unwrap().copy_to(&into).unwrap();
    assert_eq!((copied.variables, copied.lost.len()), (0, 1));
}
