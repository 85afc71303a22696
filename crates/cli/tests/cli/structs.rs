//! Plain structs: whole, and their fields by name.

#![allow(clippy::float_cmp, reason = "a value reads back with each of its bits")]

use crate::harness::{Folder, Held, run, unique};
use crate::waits::{Running, await_participants};
use mapvar::{Map, Plain};

#[derive(Plain, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Wheel {
    on: bool,
    speed: f32,
}

#[derive(Plain, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Car {
    gear: i8,
    rpm: f32,
    wheels: [Wheel; 2],
}

const CAR: Car = Car {
    gear: -1,
    rpm: 900.5,
    wheels: [Wheel { on: true, speed: 1.5 }, Wheel { on: false, speed: 0.0 }],
};

/// A program that every system has.
const PROGRAM: &str = env!("CARGO_BIN_EXE_mapvar");

#[test]
fn fields_are_read_and_set() {
    let sim = &unique("structs");
    let _held = Held::new([sim.as_str()]);
    let map = Map::open(sim).unwrap();
    let car = map.plain::<Car>("car").unwrap();
    car.set(CAR).unwrap();
    assert_eq!(run(["get", sim, "car.rpm"]).ok(), "900.5\n");
    assert_eq!(run(["get", sim, "car.wheels.0.on", "car.gear"]).ok(), "true\n-1\n");
    assert_eq!(run(["get", "--kind", sim, "car", "car.rpm"]).ok(), "struct\nfloat\n");
    let whole = "{\"gear\": -1, \"rpm\": 900.5, \"wheels\": [{\"on\": true, \"speed\": 1.5}, {\"on\": \
                 false, \"speed\": 0.0}]}";
    assert_eq!(run(["get", sim, "car"]).ok(), format!("{whole}\n"));
    assert_eq!(run(["list", sim]).ok(), format!("car\tstruct\t{whole}\n"));

    run(["set", sim, "car.rpm", "5"]).ok();
    run(["set", sim, "car.wheels.1.on", "true"]).ok();
    assert_eq!(car.field::<f32>("rpm").unwrap().get().unwrap(), 5.0);
    assert!(car.get().unwrap().wheels[1].on);
    let error = run(["set", sim, "car.gear", "128"]).fails(14);
    assert!(error.contains("\"gear\" of \"car\"") && error.contains("128"), "{error}");
    let error = run(["set", sim, "car.gear", "x"]).fails(13);
    assert!(error.contains("\"car.gear\""), "{error}");
    let error = run(["get", sim, "car.speed"]).fails(1);
    assert!(error.contains("\"speed\" of \"car\"") && error.contains("Car {"), "{error}");

    // A variable of that name wins.
    map.set("car.rpm", "mine").unwrap();
    assert_eq!(run(["get", sim, "car.rpm"]).ok(), "mine\n");
    run(["set", sim, "car.rpm", "yours"]).ok();
    assert_eq!(map.get::<String>("car.rpm").unwrap(), "yours");
    assert_eq!(car.field::<f32>("rpm").unwrap().get().unwrap(), 5.0);
    run(["rm", sim, "car.rpm"]).ok();
    assert_eq!(run(["get", sim, "car.rpm"]).ok(), "5.0\n");
    // A whole struct is set by all its fields, and stays one.
    let other = whole.replace("900.5", "7.0");
    run(["set", sim, "car", &other]).ok();
    assert_eq!(run(["get", "--kind", sim, "car"]).ok(), "struct\n");
    assert_eq!(car.get().unwrap().rpm, 7.0);
    let error = run(["set", sim, "car", "{\"rpm\": 1}"]).fails(19);
    assert!(error.contains("\"car\"") && error.contains("fields given"), "{error}");
    assert_eq!(run(["get", sim, "car"]).ok(), format!("{other}\n"));
    run(["get", sim, "car.wheels.01"]).fails(1);
    // A variable is not made where there is a field.
    run(["hold", sim, "--join", "--var", "car.gear=3", "--", PROGRAM, "--version"]).ok();
    assert_eq!((car.get().unwrap().gear, map.contains("car.gear").unwrap()), (3, false));
    run(["hold", sim, "--join", "--ephemeral", "car.gear=4", "--", PROGRAM, "--version"]).fails(19);
    // Names of variables have dots too.
    map.plain::<Wheel>("my.wheel").unwrap().set(CAR.wheels[0]).unwrap();
    assert_eq!(run(["get", sim, "my.wheel.speed"]).ok(), "1.5\n");
    run(["set", sim, "your.wheel", "1"]).ok();
    run(["get", sim, "your.wheel.speed"]).fails(1);
}

#[test]
fn a_field_is_watched_and_waited_for() {
    let sim = &unique("struct-watch");
    let _held = Held::new([sim.as_str()]);
    let map = Map::open(sim).unwrap();
    let car = map.plain::<Car>("car").unwrap();
    car.set(CAR).unwrap();
    let watch = Running::new(["watch", sim, "car.rpm", "ready"]);
    await_participants(sim, 3);
    car.field::<i8>("gear").unwrap().set(2).unwrap();
    map.set("ready", 1).unwrap();
    // A change of another field is none of this one.
    assert_eq!(watch.line(), "ready\tint\t1");
    car.field::<f32>("rpm").unwrap().set(7.0).unwrap();
    assert_eq!(watch.line(), "car.rpm\tfloat\t7.0");
    map.remove("car").unwrap();
    assert_eq!(watch.line(), "car.rpm\tremoved\t");
    car.set(Car { gear: 2, rpm: 7.0, ..CAR }).unwrap();
    assert_eq!(watch.line(), "car.rpm\tfloat\t7.0");

    run(["wait-for", sim, "car.rpm=7.0", "car.gear=2", "--timeout", "20s"]).ok();
    let error = run(["wait-for", sim, "car.rpm=8.0", "no", "--timeout", "100ms"]).fails(29);
    for part in ["car.rpm=8.0 no in map", sim, "car.rpm is 7.0", "there is no no"] {
        assert!(error.contains(part), "{error}");
    }
    run(["wait-for", sim, "!car.speed", "--timeout", "20s"]).ok();
}

#[test]
fn a_field_that_no_struct_has_is_not_waited_for() {
    let sim = &unique("struct-typo");
    let _held = Held::new([sim.as_str()]);
    let map = Map::open(sim).unwrap();
    map.plain::<Car>("car").unwrap().set(CAR).unwrap();
    // Without a limit of time: each would wait for ever.
    for words in [
        &["watch", sim, "car.nope"][..],
        &["watch", sim, "other", "car.wheels.7"],
        &["wait-for", sim, "car.nope=1"],
        &["wait-for", sim, "car.nope!=1"],
        &["wait-for", sim, "car.nope"],
    ] {
        let error = run(words).fails(1);
        assert!(error.contains("of \"car\" of map") && error.contains(sim), "{error}");
    }
    run(["wait-for", sim, "!car.nope"]).ok();
    // The struct comes later, and does not have the field either.
    map.remove("car").unwrap();
    let waits = Running::new(["wait-for", sim, "car.nope=1"]);
    await_participants(sim, 3);
    map.plain::<Car>("car").unwrap().set(CAR).unwrap();
    assert_eq!(waits.ends(), Some(1));
}

#[test]
fn messages_name_the_map_and_what_helps() {
    let sim = &unique("struct-words");
    let _held = Held::new([sim.as_str()]);
    let map = Map::open(sim).unwrap();
    map.plain::<Car>("car").unwrap().set(CAR).unwrap();
    map.set("f", 1.5).unwrap();
    map.set("y", mapvar::Value::Dict(vec![("k".into(), 1.into())])).unwrap();
    let of = |what: &str| format!("{what:?} of map {sim:?}");
    let error = run(["set", sim, "f", "fast"]).fails(13);
    assert!(error.contains(&of("f")) && error.contains("--type"), "{error}");
    let error = run(["set", sim, "car.gear", "fast"]).fails(13);
    assert!(error.contains(&of("car.gear")) && !error.contains("--type"), "{error}");
    let error = run(["set", sim, "car.rpm", "1e300"]).fails(14);
    assert!(error.contains("1e300 does not fit f32; give a number that fits"), "{error}");
    let error = run(["rm", sim, "car.rpm"]).fails(1);
    assert!(error.contains(&of("car.rpm")) && error.contains("field of the struct"), "{error}");
    let error = run(["rm", sim, "none"]).fails(1);
    assert!(error.contains(&of("none")), "{error}");
    let error = run(["hold", sim, "--join", "--ephemeral", "car.gear=4", "--", PROGRAM]).fails(19);
    assert!(error.contains(&of("car.gear")), "{error}");
    for words in [["get", sim, "y.k"], ["get", sim, "y.k.k"]] {
        let error = run(words).fails(1);
        assert!(error.contains("only structs have VAR.FIELD"), "{error}");
    }
    let ran = run(["set", sim, "y.k", "5"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("variable \"y.k\" is new: only structs"), "{ran:?}");
    run(["set", sim, "y.k", "6"]).ok();
    let error = run(["unlock", sim, "none", "--force", "--timeout", "1ms"]);
    assert_eq!(error.code, Some(0), "{error:?}");
}

#[test]
fn a_damaged_layout_is_reported_by_each_command() {
    let folder = Folder::new();
    let (one, two, three) = (&folder.path("one"), &folder.path("two"), &folder.path("three"));
    let map = Map::options().file(one).create().unwrap();
    map.plain::<Car>("car").unwrap().set(CAR).unwrap();
    map.set("other", 1).unwrap();
    map.close().unwrap();
    let mut bytes = std::fs::read(one).unwrap();
    let at = bytes.windows(7).position(|bytes| bytes == b"\x06wheels").unwrap();
    bytes[at + 6] = b'z';
    std::fs::write(one, bytes).unwrap();

    let check = run(["check", "--file", one]);
    let text = String::from_utf8(check.out).unwrap();
    assert_eq!(check.code, Some(1), "{text}");
    assert!(text.contains("variable \"car\": it is a struct whose layout, "), "{text}");
    assert!(text.ends_with("2 variables, 2 faults, 0 notes\n"), "{text}");
    let copy = run(["copy", "--file", one, "--into", two]);
    assert_eq!(copy.code, Some(1), "{copy:?}");
    assert!(copy.err.contains("\"car\" of map file"), "{copy:?}");
    assert!(copy.err.contains("1 variable copied; 1 left out"), "{copy:?}");
    let repair = run(["repair", "--file", one, "--into", three]);
    let text = String::from_utf8(repair.out).unwrap();
    assert_eq!(repair.code, Some(1), "{text}");
    assert!(text.ends_with("1 variable saved, 0 of them with an older value; 1 lost\n"), "{text}");
    for file in [two, three] {
        let error = run(["get", "--file", file, "car"]).fails(26);
        assert!(error.contains("the map does not have"), "{error}");
    }

    let error = run(["set", "--file", one, "car", "5"]).fails(26);
    assert!(error.contains("is damaged") && error.contains("; --type TYPE sets a"), "{error}");
    let error = run(["set", "--file", one, "car.gear", "5"]).fails(26);
    assert!(error.contains("is damaged") && !error.contains("--type"), "{error}");
    run(["set", "--file", one, "car", "5", "--type", "int"]).ok();
    assert_eq!(run(["get", "--file", one, "car"]).ok(), "5\n");
}

#[test]
fn copy_and_repair_carry_structs() {
    let folder = Folder::new();
    let (one, two, three) = (folder.path("one"), folder.path("two"), folder.path("three"));
    let map = Map::options().file(&one).create().unwrap();
    map.plain::<Car>("car").unwrap().set(CAR).unwrap();
    run(["copy", "--file", &one, "--into", &two]).ok();
    assert_eq!(run(["get", "--file", &two, "car.rpm"]).ok(), "900.5\n");
    map.close().unwrap();
    run(["repair", "--file", &one, "--into", &three]).ok();
    assert_eq!(run(["get", "--file", &three, "car.rpm"]).ok(), "900.5\n");
    run(["check", "--file", &three]).ok();
}
