//! One field of a plain struct by its name, from C and from the command.
//!
//! `cargo xtask bench` builds both and names their folder in `MAPVAR_BUILT`. Without it this group
//! is left out, with a line that says so. A process that is started runs on the core of this one.

use crate::{
    Result,
    measure::{Leg, Plan},
    values::handles::{each, map},
    values::library::{Library, Opened},
    values::structs::{Car, car},
};
use mapvar::{Map, Value};
use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    rc::Rc,
};

const C_GET: &str = "get one field of 40, C";
const C_GET_VALUE: &str = "get one field of 40, C value";
const C_SET: &str = "set one field of 40, C";
const C_SET_VALUE: &str = "set one field of 40, C value";
const COMMAND_GET: &str = "get one field of 40, command";
const COMMAND_SET: &str = "set one field of 40, command";

pub fn legs(plan: &Plan) -> Result<Vec<Leg>> {
    let titles = [C_GET, C_GET_VALUE, C_SET, C_SET_VALUE, COMMAND_GET, COMMAND_SET];
    if !titles.iter().any(|title| plan.wants(title)) {
        return Ok(Vec::new());
    }
    let Some(built) = std::env::var_os("MAPVAR_BUILT") else {
        println!("one field, from C and from the command: left out; `cargo xtask bench` runs it");
        return Ok(Vec::new());
    };
    let built = Path::new(&built);
    let map = map("outside", 1 << 20)?;
    map.plain::<Car>("car")?.set(car(7))?;
    map.set_field("car", "rpm", &Value::F64(7000.0))?;
    map.set("number", 7000.0)?;
    let name = format!("bench-outside.{}", std::process::id());
    let library = Library::load(&built.join("libmapvar.so"))?;
    let mut legs = Vec::from(from_c(&map, &Rc::new(library.open(&name)?))?);
    legs.extend(from_command(&Mapvar { program: built.join("mapvar"), map: name })?);
    // The command opens the map by its name, which exists as long as a program has the map open.
    std::mem::forget(map);
    Ok(legs)
}

fn from_c(map: &Map, c: &Rc<Opened>) -> Result<[Leg; 4]> {
    let same = [c.get_field_f64("rpm"), c.get_field("rpm"), c.get_f64("number")];
    assert!(same.iter().all(|read| (read - 7000.0).abs() < 0.5), "C reads {same:?}");
    let typed = |c: &Rc<Opened>| {
        let c = c.clone();
        each(move |_| _ = black_box(c.get_field_f64(black_box("rpm"))))
    };
    let set_typed = |c: &Rc<Opened>| {
        let c = c.clone();
        each(move |number| c.set_field_f64(black_box("rpm"), number as f64))
    };
    let get = Leg::new(C_GET, typed(c))
        .beside("C, a number of its own", {
            let c = c.clone();
            each(move |_| _ = black_box(c.get_f64(black_box("number"))))
        })
        .beside("Rust, Map::get_field", {
            let map = map.clone();
            each(move |_| _ = black_box(map.get_field("car", black_box("rpm")).expect("there")))
        })
        .beside("Rust, by handle", {
            let field = map.plain::<Car>("car")?.field::<f32>("rpm")?;
            each(move |_| _ = black_box(black_box(&field).get().expect("there")))
        });
    let get_value = Leg::new(C_GET_VALUE, {
        let c = c.clone();
        each(move |_| _ = black_box(c.get_field(black_box("rpm"))))
    })
    .beside("C, as a double", typed(c));
    let set = Leg::new(C_SET, set_typed(c))
        .beside("C, a number of its own", {
            let c = c.clone();
            each(move |number| c.set_f64(black_box("number"), number as f64))
        })
        .beside("Rust, Map::set_field", {
            let map = map.clone();
            each(move |number| {
                let value = Value::F64(number as f64);
                map.set_field("car", black_box("rpm"), &value).expect("there");
            })
        });
    let set_value = Leg::new(C_SET_VALUE, {
        let c = c.clone();
        each(move |number| c.set_field(black_box("rpm"), number as f64))
    })
    .beside("C, as a double", set_typed(c));
    Ok([get, get_value, set, set_value])
}

/// The command, and the map that it works on.
struct Mapvar {
    program: PathBuf,
    map: String,
}

impl Mapvar {
    /// One start of the command for each operation.
    fn each(&self, verb: &str, rest: &[&str]) -> impl FnMut(u64) + use<> {
        let mut command = Command::new(&self.program);
        command.arg(verb).arg(&self.map).args(rest).stdout(Stdio::null());
        each(move |_| run(&mut command))
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("a program that starts");
    assert!(status.success(), "{command:?}: {status}");
}

fn from_command(mapvar: &Mapvar) -> Result<[Leg; 2]> {
    let read = Command::new(&mapvar.program).args(["get", &mapvar.map, "car.rpm"]).output()?;
    if !read.status.success() {
        return Err(String::from_utf8_lossy(&read.stderr).into());
    }
    // What a process that does nothing takes.
    let nothing = || {
        let mut command = Command::new("/bin/true");
        each(move |_| run(&mut command))
    };
    let version = || {
        let mut command = Command::new(&mapvar.program);
        command.arg("--version").stdout(Stdio::null());
        each(move |_| run(&mut command))
    };
    let get = Leg::new(COMMAND_GET, mapvar.each("get", &["car.rpm"]))
        .beside("mapvar get of a number", mapvar.each("get", &["number"]))
        .beside("mapvar --version", version())
        .beside("/bin/true", nothing());
    let set = Leg::new(COMMAND_SET, mapvar.each("set", &["car.rpm", "7000"]))
        .beside("mapvar set of a number", mapvar.each("set", &["number", "7000"]))
        .beside("mapvar --version", version())
        .beside("/bin/true", nothing());
    Ok([get, set])
}
