//! Plain structs: by their type, by their fields, and from a second process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::print_stdout,
    clippy::large_stack_arrays,
    reason = "a test fails by a panic; a value reads back with each of its bits"
)]

mod common;

use common::{Owned, child, map, role, start};
use mapvar::{Compared, ErrorKind, Kind, Map, Plain, Value, Version};
use serde::Deserialize;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

#[derive(Plain, Clone, Copy, Debug, PartialEq, Deserialize)]
#[repr(C)]
struct Wheel {
    on: bool,
    speed: f32,
}

#[derive(Plain, Clone, Copy, Debug, PartialEq, Deserialize)]
#[repr(C)]
struct Car {
    gear: i8,
    rpm: f32,
    lap: u64,
    wheels: [Wheel; 4],
    grid: [[i16; 3]; 2],
    fuel: f64,
    r#type: u8,
    driver: i64,
}

fn car() -> Car {
    let wheel = |speed| Wheel { on: speed > 1.0, speed };
    Car {
        gear: -1,
        rpm: 900.5,
        lap: u64::MAX,
        wheels: [wheel(0.0), wheel(1.0), wheel(2.0), wheel(3.0)],
        grid: [[1, 2, 3], [-4, -5, i16::MIN]],
        fuel: 0.1,
        r#type: 255,
        driver: i64::MIN,
    }
}

/// Another struct of the same name.
mod other {
    #[derive(mapvar::Plain)]
    #[repr(C)]
    pub(super) struct Car {
        pub(super) gear: i8,
        pub(super) rpm: f64,
    }
}

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    let map = Map::open(&arguments[0]).unwrap();
    match role.as_str() {
        "peer" => {
            let theirs = map.plain::<Car>("car").unwrap();
            assert_eq!(theirs.get().unwrap(), car());
            theirs.field::<f32>("rpm").unwrap().set(1.0).unwrap();
            let error = map.plain::<other::Car>("car").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongKind);
            let text = error.to_string();
            for part in ["\"car\"", "rpm: f32", "rpm: f64", "at byte 4", "at byte 8"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        "mover" => {
            map.transaction(|tx| {
                let car = tx.plain::<Car>("car")?.unwrap();
                tx.set_plain("car", &Car { gear: 5, ..car })?;
                tx.set("moved", true)
            })
            .unwrap();
        }
        "foreigner" => {
            let theirs = map.plain::<other::Car>("late").unwrap();
            said("open");
            wait_for_line();
            let error = theirs.set(other::Car { gear: 1, rpm: 2.0 }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongKind);
            for part in ["\"late\"", "rpm: f32", "rpm: f64"] {
                assert!(error.to_string().contains(part), "{part}: {error}");
            }
        }
        "racer" => {
            said("ready");
            wait_for_line();
            for number in 0..8 {
                let name = format!("car {} {number}", std::process::id());
                map.plain::<Car>(&name).unwrap().set(car()).unwrap();
            }
        }
        other => panic!("no role {other}"),
    }
    said("done");
}

fn said(what: &str) {
    println!("\nchild: {what}");
}

fn wait_for_line() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn heard(from: &mut impl BufRead, what: &str) {
    let wanted = format!("child: {what}");
    let mut line = String::new();
    while !line.ends_with(&wanted) {
        line.clear();
        assert_ne!(from.read_line(&mut line).unwrap(), 0, "the child ended before {what:?}");
        line.truncate(line.trim_end().len());
    }
}

#[test]
fn what_is_set_is_read_in_every_way() {
    let (map, _) = map("plain-ways");
    let var = map.plain::<Car>("car").unwrap();
    assert_eq!(var.get().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(var.find().unwrap(), None);
    var.set(car()).unwrap();
    assert_eq!(var.get().unwrap(), car());
    assert_eq!(var.find().unwrap(), Some(car()));
    assert_eq!(map.plain::<Car>("car").unwrap().get().unwrap(), car());

    // By the names of the fields, without the type.
    assert_eq!(map.get::<Car>("car").unwrap(), car());
    assert_eq!(map.var::<Car>("car").unwrap().get().unwrap(), car());
    let value = map.get::<Value>("car").unwrap();
    assert_eq!(
        value.to_string(),
        "{\"gear\": -1, \"rpm\": 900.5, \"lap\": 18446744073709551615, \"wheels\": \
         [{\"on\": false, \"speed\": 0.0}, {\"on\": false, \"speed\": 1.0}, \
         {\"on\": true, \"speed\": 2.0}, {\"on\": true, \"speed\": 3.0}], \
         \"grid\": [[1, 2, 3], [-4, -5, -32768]], \"fuel\": 0.1, \"type\": 255, \
         \"driver\": -9223372036854775808}"
    );
    assert_eq!(map.kind("car").unwrap(), Kind::Plain);
    assert_eq!(map.var::<Value>("car").unwrap().kind().unwrap(), Kind::Plain);
    assert_eq!(map.get_versioned::<Car>("car").unwrap().0, car());
    assert_eq!(map.snapshot(["car"]).unwrap().get::<Car>("car").unwrap(), car());
    assert_eq!(map.snapshot(["car"]).unwrap().find::<Value>("car").unwrap().unwrap(), value);
    map.transaction(|tx| {
        assert_eq!(tx.get::<Car>("car")?, car());
        assert_eq!(tx.find::<Value>("car")?.unwrap(), value);
        Ok::<_, mapvar::Error>(())
    })
    .unwrap();
    let entries: Vec<_> = map.iter().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 1, "the layout is no variable of the user's");
    assert_eq!(entries[0].kind().unwrap(), Kind::Plain);
    assert_eq!(entries[0].get::<Car>().unwrap(), car());
    assert_eq!(map.count().unwrap(), 1);
    let check = map.check().unwrap();
    assert_eq!((check.findings(), check.variables()), (&[][..], 1));

    let mut watch = map.watch_all().unwrap();
    var.set(Car { gear: 3, ..car() }).unwrap();
    let change = watch.recv().unwrap();
    assert_eq!((change.name(), change.kind().unwrap()), ("car", Some(Kind::Plain)));
    assert_eq!(change.get::<Car>().unwrap().gear, 3);
}

#[test]
fn a_struct_takes_part_in_transactions_snapshots_and_waits() {
    let (map, name) = map("plain-waits");
    let var = map.plain::<Car>("car").unwrap();
    map.transaction(|tx| {
        assert_eq!(tx.plain::<Car>("car")?, None);
        tx.set_plain("car", &car())?;
        assert_eq!(tx.plain::<Car>("car")?, Some(car()));
        tx.set_plain("wheel", &Wheel { on: true, speed: 1.0 })
    })
    .unwrap();
    assert_eq!(var.get().unwrap(), car());
    assert_eq!(map.get_field("wheel", "speed").unwrap(), Value::F64(1.0));
    let seen = map.snapshot(["car", "wheel", "absent"]).unwrap();
    assert_eq!(seen.plain("car").unwrap(), Some(car()));
    assert_eq!(seen.plain::<Car>("absent").unwrap(), None);
    assert_eq!(seen.plain::<Car>("wheel").unwrap_err().kind(), ErrorKind::WrongKind);

    let mut watch = var.watch().unwrap();
    let mut mover = Owned(start(&mut child("child_entry", "mover", &[&name])));
    let found = var.wait_until(None, |car| car.gear == 5).unwrap();
    assert_eq!(found, Some(Car { gear: 5, ..car() }));
    assert_eq!(watch.recv().unwrap().plain().unwrap(), found);
    assert!(mover.0.wait().unwrap().success());
    assert!(map.get::<bool>("moved").unwrap());
    assert_eq!(var.wait_until(Duration::ZERO, |car| car.gear == 6).unwrap(), None);

    let slower =
        |car: Car| Ok::<_, mapvar::Error>((car.gear > 4).then_some(Car { gear: 4, ..car }));
    assert_eq!(var.try_update(slower).unwrap().unwrap().gear, 4);
    assert_eq!(var.try_update(slower).unwrap(), None);
    map.remove("car").unwrap();
    while watch.recv().unwrap().plain::<Car>().unwrap().is_some() {}
}

#[test]
fn a_program_with_another_layout_is_told_at_its_first_set() {
    let (map, name) = map("plain-late");
    let mut other = Owned(start(&mut child("child_entry", "foreigner", &[&name])));
    let mut says = BufReader::new(other.0.stdout.take().unwrap());
    heard(&mut says, "open");
    let ours = map.plain::<Car>("late").unwrap();
    ours.set(car()).unwrap();
    other.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    heard(&mut says, "done");
    assert!(other.0.wait().unwrap().success());
    assert_eq!(ours.get().unwrap(), car());

    // A variable that became something else is not replaced by the fast path either.
    map.set("late", "text").unwrap();
    assert_eq!(ours.set(car()).unwrap_err().kind(), ErrorKind::WrongKind);
    let version = map.version("late").unwrap();
    let error = ours.compare_and_set(version, car()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind);
    assert_eq!(map.get::<String>("late").unwrap(), "text");
    map.remove("late").unwrap();
    ours.set(car()).unwrap();
    assert_eq!(ours.get().unwrap(), car());
}

#[test]
fn the_bytes_are_those_of_c_and_padding_is_zero() {
    let (map, _) = map("plain-bytes");
    map.plain::<Car>("car").unwrap().set(car()).unwrap();
    let mut bytes = [0xff; 200];
    let len = map.var::<Value>("car").unwrap().read_bytes(&mut bytes).unwrap();
    let bytes = &bytes[..len];
    assert_eq!(len, 88);
    if cfg!(target_pointer_width = "64") {
        assert_eq!(len, size_of::<Car>());
        assert_eq!(std::mem::offset_of!(Car, fuel), 64);
    }
    assert_eq!(bytes[..8], [255, 0, 0, 0, 0, 0x20, 0x61, 0x44]);
    assert_eq!(bytes[16..24], [0; 8], "a wheel that is off");
    assert_eq!(bytes[32..36], [1, 0, 0, 0], "a wheel that is on, and its padding");
    assert_eq!(bytes[48..60], [1, 0, 2, 0, 3, 0, 252, 255, 251, 255, 0, 128]);
    assert_eq!(bytes[60..64], [0; 4]);
    assert_eq!(bytes[64..72], 0.1_f64.to_le_bytes());
    assert_eq!(bytes[72..80], [255, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn fields_are_read_and_set_by_name() {
    let (map, _) = map("plain-fields");
    let var = map.plain::<Car>("car").unwrap();
    let rpm = var.field::<f32>("rpm").unwrap();
    assert_eq!(rpm.get().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rpm.set(1.0).unwrap_err().kind(), ErrorKind::NotFound);
    var.set(car()).unwrap();
    assert_eq!(rpm.get().unwrap(), 900.5);
    rpm.set(1000.0).unwrap();
    let speed = var.field::<f32>("wheels.2.speed").unwrap();
    speed.set(7.0).unwrap();
    assert_eq!(speed.get().unwrap(), 7.0);
    assert_eq!(var.field::<[i16; 3]>("grid.1").unwrap().get().unwrap(), [-4, -5, i16::MIN]);
    assert_eq!(var.field::<[Wheel; 4]>("wheels").unwrap().get().unwrap()[2].speed, 7.0);
    let mut expected = Car { rpm: 1000.0, ..car() };
    expected.wheels[2].speed = 7.0;
    assert_eq!(var.get().unwrap(), expected);

    let error = var.field::<f64>("rpm").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind);
    assert!(error.to_string().contains("is f32, and f64"), "{error}");
    for path in ["", "x", "rpm.x", "wheels.4", "wheels.x", "wheels.1.x", "grid.0.3", "grid.-1", "."]
    {
        let error = var.field::<f32>(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path:?}: {error}");
        let error = map.get_field("car", path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path:?}: {error}");
        assert!(error.to_string().contains("\"car\""), "{error}");
    }

    assert_eq!(map.get_field("car", "gear").unwrap(), Value::I64(-1));
    assert_eq!(map.get_field("car", "lap").unwrap(), Value::U64(u64::MAX));
    assert_eq!(map.get_field("car", "wheels.3.on").unwrap(), Value::Bool(true));
    assert_eq!(map.get_field("car", "grid.0").unwrap().to_string(), "[1, 2, 3]");
    assert_eq!(map.get_field("none", "x").unwrap_err().kind(), ErrorKind::NotFound);
    map.set("text", "x").unwrap();
    assert_eq!(map.get_field("text", "x").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(map.set_field("text", "x", &Value::Nil).unwrap_err().kind(), ErrorKind::WrongKind);

    // What is set is what is read.
    for path in
        ["gear", "rpm", "lap", "wheels", "wheels.1", "grid", "grid.1.2", "fuel", "type", "driver"]
    {
        let value = map.get_field("car", path).unwrap();
        map.set_field("car", path, &value).unwrap();
        assert_eq!(map.get_field("car", path).unwrap(), value, "{path}");
        assert_eq!(var.get().unwrap(), expected, "{path}");
    }
    map.set_field("car", "rpm", &Value::I64(5)).unwrap();
    assert_eq!(rpm.get().unwrap(), 5.0);
    for (path, value, kind) in [
        ("gear", Value::I64(128), ErrorKind::OutOfRange),
        ("gear", Value::F64(1.0), ErrorKind::WrongKind),
        ("gear", Value::Bool(true), ErrorKind::WrongKind),
        ("rpm", Value::F64(1e300), ErrorKind::OutOfRange),
        ("rpm", Value::I64((1 << 24) + 1), ErrorKind::OutOfRange),
        ("rpm", Value::Str("1".into()), ErrorKind::WrongKind),
        ("lap", Value::I64(-1), ErrorKind::OutOfRange),
        ("wheels.0.on", Value::I64(1), ErrorKind::WrongKind),
        ("wheels.0", Value::Nil, ErrorKind::WrongKind),
        ("wheels", Value::List(vec![]), ErrorKind::InvalidArgument),
        ("grid.0", Value::Bytes(vec![1, 2, 3]), ErrorKind::WrongKind),
        ("wheels.0", Value::Dict(vec![]), ErrorKind::InvalidArgument),
    ] {
        let before = var.get().unwrap();
        let error = map.set_field("car", path, &value).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}: {error}");
        let text = error.to_string();
        assert!(text.contains("\"car\"") && text.contains(path), "{text}");
        assert_eq!(var.get().unwrap(), before, "{path}");
    }
}

/// Two fields, in a struct that is set by one attempt, and in one that is too long for that.
#[derive(Plain, Clone, Copy)]
#[repr(C)]
struct Short {
    first: u64,
    filler: [u8; 300],
    second: u64,
}

#[derive(Plain, Clone, Copy)]
#[repr(C)]
struct Long {
    first: u64,
    filler: [u8; 600],
    second: u64,
}

#[test]
fn fields_that_two_threads_set_stay_apart() {
    const ROUNDS: u64 = 2_000;
    let (map, _) = map("plain-fields");
    let short = map.plain::<Short>("short").unwrap();
    short.set(Short { first: 0, filler: [7; 300], second: 0 }).unwrap();
    let long = map.plain::<Long>("long").unwrap();
    long.set(Long { first: 0, filler: [7; 600], second: 0 }).unwrap();
    std::thread::scope(|scope| {
        for field in ["first", "second"] {
            let fields = [short.field::<u64>(field), long.field::<u64>(field)];
            scope.spawn(move || {
                let [short, long] = fields.map(Result::unwrap);
                for number in 1..=ROUNDS {
                    short.set(number).unwrap();
                    assert_eq!(short.get().unwrap(), number);
                    if number % 10 == 0 {
                        long.set(number).unwrap();
                        assert_eq!(long.get().unwrap(), number);
                    }
                }
            });
        }
    });
    let found = short.get().unwrap();
    assert_eq!((found.first, found.filler, found.second), (ROUNDS, [7; 300], ROUNDS));
    let found = long.get().unwrap();
    assert_eq!((found.first, found.filler, found.second), (ROUNDS, [7; 600], ROUNDS));
}

#[test]
fn a_struct_is_set_only_over_one_of_its_own_layout() {
    let (map, _) = map("plain-over");
    let wheel = map.plain::<Wheel>("wheel").unwrap();
    let speed = wheel.field::<f32>("speed").unwrap();
    wheel.set(Wheel { on: true, speed: 1.0 }).unwrap();
    // Each in the same record, at the same id.
    for other in [Value::from(1), Value::from("12345678"), Value::Bytes(vec![0; 8])] {
        map.set("wheel", &other).unwrap();
        assert_eq!(
            wheel.set(Wheel { on: true, speed: 2.0 }).unwrap_err().kind(),
            ErrorKind::WrongKind
        );
        assert_eq!(speed.set(2.0).unwrap_err().kind(), ErrorKind::WrongKind);
        assert_eq!(map.get::<Value>("wheel").unwrap(), other);
    }
    assert!(map.remove("wheel").unwrap());
    assert_eq!(speed.set(2.0).unwrap_err().kind(), ErrorKind::NotFound);
    wheel.set(Wheel { on: true, speed: 3.0 }).unwrap();
    speed.set(4.0).unwrap();
    assert_eq!(wheel.get().unwrap(), Wheel { on: true, speed: 4.0 });
}

#[test]
fn versions_and_updates() {
    let (map, _) = map("plain-versions");
    let var = map.plain::<Wheel>("wheel").unwrap();
    let wheel = Wheel { on: true, speed: 1.0 };
    let Compared::Set(first) = var.compare_and_set(Version::ABSENT, wheel).unwrap() else {
        panic!("there was no variable");
    };
    assert_eq!(var.compare_and_set(Version::ABSENT, wheel).unwrap(), Compared::Changed(first));
    assert_eq!(var.get_versioned().unwrap(), (wheel, first));
    let updated = var.update(|wheel| Wheel { speed: wheel.speed + 1.0, ..wheel }).unwrap();
    assert_eq!(updated.speed, 2.0);
    assert_ne!(map.version("wheel").unwrap(), first);

    // A handle survives a removal, and so does the layout.
    assert!(map.remove("wheel").unwrap());
    assert_eq!(var.get().unwrap_err().kind(), ErrorKind::NotFound);
    var.set(wheel).unwrap();
    assert_eq!(var.get().unwrap(), wheel);
    assert_eq!(map.clear().unwrap(), 1);
    assert_eq!(var.find().unwrap(), None);
    let by_reference = &wheel;
    var.set(by_reference).unwrap();
    assert_eq!(map.get_field("wheel", "speed").unwrap(), Value::F64(1.0));

    // A variable of another kind in its place is an error, and it stays.
    map.set("wheel", "round").unwrap();
    let error = var.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind);
    assert!(error.to_string().contains("str"), "{error}");
    assert_eq!(map.plain::<Wheel>("wheel").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(var.set(wheel).unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(map.get::<String>("wheel").unwrap(), "round");
}

#[test]
fn a_second_process_agrees_or_is_told_of_both_layouts() {
    let (map, name) = map("plain-peer");
    let var = map.plain::<Car>("car").unwrap();
    var.set(car()).unwrap();
    let mut peer = Owned(start(&mut child("child_entry", "peer", &[&name])));
    heard(&mut BufReader::new(peer.0.stdout.take().unwrap()), "done");
    assert_eq!(var.get().unwrap(), Car { rpm: 1.0, ..car() });
}

#[test]
fn processes_that_store_a_layout_at_once_agree() {
    let (map, name) = map("plain-racers");
    let racers = (0..3).map(|_| {
        let mut racer =
            Owned(start(child("child_entry", "racer", &[&name]).stdout(Stdio::piped())));
        let mut said = BufReader::new(racer.0.stdout.take().unwrap());
        heard(&mut said, "ready");
        (racer, said)
    });
    let mut racers: Vec<_> = racers.collect();
    for (racer, _) in &mut racers {
        racer.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
    for (_, said) in &mut racers {
        heard(said, "done");
    }
    assert_eq!(map.count().unwrap(), 24);
    for entry in &map {
        assert_eq!(entry.unwrap().get::<Car>().unwrap(), car());
    }
    assert_eq!(map.check().unwrap().findings(), []);
}

/// Larger than any record, and than a chunk.
#[derive(Plain, Clone, Debug, PartialEq)]
#[repr(C)]
struct Large {
    first: u8,
    samples: [f32; 5000],
    odd: [u8; 7],
    last: u16,
}

#[test]
fn large_structs_lie_in_extents() {
    let (map, _) = map("plain-large");
    let mut large = Large { first: 1, samples: [0.5; 5000], odd: [1, 2, 3, 4, 5, 6, 7], last: 9 };
    large.samples[4999] = 2.5;
    let var = map.plain::<Large>("large").unwrap();
    for round in 0..3 {
        large.last = round;
        var.set(&large).unwrap();
        assert_eq!(var.get().unwrap(), large);
        assert_eq!(var.field::<u16>("last").unwrap().get().unwrap(), round);
        assert_eq!(var.field::<[u8; 7]>("odd").unwrap().get().unwrap(), large.odd);
        assert_eq!(var.field::<u8>("odd.6").unwrap().get().unwrap(), 7);
        assert_eq!(map.get_field("large", "samples.4999").unwrap(), Value::F64(2.5));
    }
    var.field::<f32>("samples.4000").unwrap().set(8.0).unwrap();
    large.samples[4000] = 8.0;
    assert_eq!(var.get().unwrap(), large);
}

#[test]
fn a_number_that_does_not_fit_is_named_in_short() {
    let (map, _) = map("plain-range");
    map.plain::<Car>("car").unwrap().set(car()).unwrap();
    let error = map.set_field("car", "rpm", &Value::F64(1e300)).unwrap_err().to_string();
    assert!(error.ends_with(": 1e300 does not fit f32; give a number that fits"), "{error}");
    map.set("large", 1e300).unwrap();
    let error = map.get::<f32>("large").unwrap_err().to_string();
    assert!(error.ends_with(": 1e300 does not fit f32; ask for a wider type"), "{error}");
}

#[test]
fn a_copy_and_a_repair_carry_the_layout() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let file = |name: &str| Map::options().file(path(name));
    let map = file("one.map").create().unwrap();
    map.plain::<Car>("car").unwrap().set(car()).unwrap();
    map.set("other", 1).unwrap();
    let into = file("two.map").create().unwrap();
    assert_eq!(map.copy_to(&into).unwrap().variables, 2);
    assert_eq!(into.get::<Car>("car").unwrap(), car());
    assert_eq!(into.count().unwrap(), 2);

    map.close().unwrap();
    let mut bytes = fs::read(path("one.map")).unwrap();
    bytes[..512].fill(0);
    fs::write(path("one.map"), bytes).unwrap();
    let into = file("three.map").create().unwrap();
    let salvage = file("one.map").salvage(&into).unwrap();
    assert_eq!((salvage.saved(), salvage.lost().len()), (2, 0));
    assert_eq!(into.get::<Car>("car").unwrap(), car());
    assert_eq!(into.plain::<Car>("car").unwrap().get().unwrap(), car());
}

#[test]
fn a_flushed_value_has_its_layout_after_a_power_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.map");
    let map = Map::options().file(&path).create().unwrap();
    let var = map.plain::<Car>("car").unwrap();
    var.set(car()).unwrap();
    map.flush().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    let copy = dir.path().join("copy.map");
    fs::write(&copy, &bytes).unwrap();
    let copy = Map::options().file(&copy).open().unwrap();
    assert_eq!(copy.get::<Car>("car").unwrap(), car());
    assert_eq!(copy.recovery().unwrap().variables, 1);
}

#[test]
fn a_damaged_layout_is_an_error_and_the_next_program_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.map");
    let map = Map::options().file(&path).create().unwrap();
    map.plain::<Wheel>("wheel").unwrap().set(Wheel { on: true, speed: 2.0 }).unwrap();
    map.close().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // "on" of the description: version, name, size, alignment, count, then the field.
    let description = b"\x01\x05Wheel\x08\x00\x00\x00\x02\x02\x00\x02on";
    let at = bytes.windows(description.len()).position(|part| part == description).unwrap();
    bytes[at + description.len() - 1] = b'f';
    fs::write(&path, &bytes).unwrap();

    let map = Map::options().file(&path).open().unwrap();
    let errors = [
        map.get::<Value>("wheel").unwrap_err(),
        map.get::<Wheel>("wheel").unwrap_err(),
        map.get_field("wheel", "speed").unwrap_err(),
        map.set_field("wheel", "speed", &Value::F64(1.0)).unwrap_err(),
        map.iter().next().unwrap().unwrap().get::<Value>().unwrap_err(),
        map.snapshot(["wheel"]).unwrap().find::<Value>("wheel").unwrap_err(),
        map.transaction(|tx| tx.find::<Value>("wheel").map(drop)).unwrap_err(),
        map.var::<Value>("wheel").unwrap().get().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("\"wheel\""), "{error}");
    }
    // The layout, and the struct that nobody can read without it.
    let check = map.check().unwrap();
    let about: Vec<_> = check.findings().iter().map(|it| it.variable.as_deref()).collect();
    assert!(check.faults() == 2 && about.contains(&Some("wheel")), "{check:?}");
    // Nothing is lost.
    assert_eq!(map.kind("wheel").unwrap(), Kind::Plain);
    let wheel = map.plain::<Wheel>("wheel").unwrap();
    assert_eq!(wheel.get().unwrap(), Wheel { on: true, speed: 2.0 });
    assert_eq!(map.get_field("wheel", "speed").unwrap(), Value::F64(2.0));
    assert!(map.check().unwrap().is_whole());
}

#[test]
fn a_reader_needs_no_right_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.map");
    let map = Map::options().file(&path).create().unwrap();
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    let theirs = reader.plain::<Car>("car").unwrap();
    assert_eq!(theirs.find().unwrap(), None);
    map.plain::<Car>("car").unwrap().set(car()).unwrap();
    assert_eq!(theirs.get().unwrap(), car());
    assert_eq!(theirs.set(car()).unwrap_err().kind(), ErrorKind::ReadOnly);
    // Now the map has the layout.
    assert_eq!(reader.plain::<Car>("car").unwrap().get().unwrap(), car());
    assert_eq!(reader.get_field("car", "rpm").unwrap(), Value::F64(900.5));
}

#[test]
fn a_field_has_another_name_in_the_map_if_asked() {
    #[derive(Plain)]
    #[repr(C)]
    #[plain(name = "Auto")]
    struct Car {
        #[plain(name = "Drehzahl [1/min]")]
        rpm: f32,
    }
    let (map, _) = map("plain-names");
    map.plain::<Car>("car").unwrap().set(Car { rpm: 1.0 }).unwrap();
    assert_eq!(map.get::<Value>("car").unwrap().to_string(), "{\"Drehzahl [1/min]\": 1.0}");
    assert_eq!(Car::layout().to_string(), "Auto { Drehzahl [1/min]: f32 }");
}

/// A reader of a map that other programs write trusts no byte of it.
#[test]
fn a_bool_that_is_none_is_found_wherever_it_lies() {
    #[derive(Plain, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Flags {
        one: bool,
        more: [bool; 3],
        wheel: Wheel,
        wheels: [[Wheel; 2]; 2],
    }
    let valid = [0_u8; <Flags as Plain>::SIZE];
    assert!(Flags::is_valid(&valid));
    let bools = [0, 1, 2, 3, 4, 12, 20, 28, 36];
    for at in 0..valid.len() {
        let mut bytes = valid;
        bytes[at] = 2;
        assert_eq!(Flags::is_valid(&bytes), !bools.contains(&at), "byte {at}");
        bytes[at] = 1;
        assert!(Flags::is_valid(&bytes), "byte {at}");
    }
}

/// A struct whose name is chosen at run time.
struct Named;

std::thread_local! {
    static NAME: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

fn named(number: u32) -> mapvar::plain::Layout {
    use mapvar::plain::{Field, Layout, Scalar, Shape};
    Layout::new(
        &format!("Named{number}"),
        1,
        1,
        vec![Field::new("x", 0, Shape::Scalar(Scalar::U8))],
    )
}

impl Plain for Named {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;
    type Bytes = [u8; 1];

    fn zeroed() -> [u8; 1] {
        [0]
    }

    fn layout() -> mapvar::plain::Layout {
        named(NAME.get())
    }

    fn write(&self, to: &mut [u8]) {
        to.fill(7);
    }

    fn is_valid(_: &[u8]) -> bool {
        true
    }

    fn read(_: &[u8]) -> Self {
        Self
    }
}

/// Of 100,000 layouts, two have the same number of 32 bits. Their values must not be mixed up.
#[test]
fn two_layouts_of_one_number_are_told_apart() {
    let number_of = |name: u32| {
        let name = format!("Named{name}");
        let description =
            [&[1, name.len() as u8], name.as_bytes(), b"\x01\0\0\0\0\x01\0\x01x\0\0\0\0\0\x06"];
        xxhash_rust::xxh3::xxh3_64(&description.concat()) as u32
    };
    let mut names = std::collections::HashMap::new();
    let (one, two) = (0..1_000_000)
        .find_map(|name| names.insert(number_of(name), name).map(|earlier| (earlier, name)))
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.map");
    let map = Map::options().file(&path).create().unwrap();
    NAME.set(one);
    map.plain::<Named>("one").unwrap().set(Named).unwrap();
    NAME.set(two);
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    for map in [&map, &reader] {
        let error = map.plain::<Named>("two").map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        let text = error.to_string();
        for part in [format!("Named{one} {{"), format!("Named{two} {{"), "rename".into()] {
            assert!(text.contains(&part), "{part}: {text}");
        }
    }
    assert_eq!(map.get_field("one", "x").unwrap(), Value::I64(7));
}
