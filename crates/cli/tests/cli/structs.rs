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
    run(["wait-for", sim, "car.rpm=8.0", "--timeout", "100ms"]).fails(29);
    run(["wait-for", sim, "!car.speed", "--timeout", "20s"]).ok();
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
