//! The operations that are counted. Each is run a number of times in a loop of its own.

use mapvar::{Map, Plain};
use std::{error::Error, hint::black_box};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// 40 fields, as in bench/.
#[derive(Plain, Clone, Copy)]
#[repr(C)]
struct Car {
    lap: u64,
    time: f64,
    wheels: [f32; 28],
    gears: [i16; 10],
}

/// An operation, by the name under which its figure is recorded.
pub struct Operation {
    pub name: &'static str,
    run: fn(&Map, u64) -> Result<()>,
}

pub const ALL: &[Operation] = &[
    Operation { name: "get Atomic<u64>", run: get_atomic },
    Operation { name: "add to Atomic<i64>", run: add },
    Operation { name: "get Var<u64>", run: get },
    Operation { name: "set Var<u64>", run: set },
    Operation { name: "read 64 bytes", run: read_bytes },
    Operation { name: "write 64 bytes", run: write_bytes },
    Operation { name: "get by name", run: get_by_name },
    Operation { name: "set by name", run: set_by_name },
    Operation { name: "find what is absent", run: find_absent },
    Operation { name: "get a plain struct", run: get_plain },
    Operation { name: "set a plain struct", run: set_plain },
    Operation { name: "transaction of 10", run: transaction },
    Operation { name: "snapshot of 10", run: snapshot },
    Operation { name: "set and tell a watch", run: wake },
];

/// Runs the operation of this name so many times, on a map of its own.
pub fn run(name: &str, times: u64) -> Result<()> {
    let operation = ALL.iter().find(|operation| operation.name == name);
    let operation = operation.ok_or_else(|| format!("there is no operation {name:?}"))?;
    let map = Map::options().name(format!("instructions.{}", std::process::id())).create()?;
    (operation.run)(&map, times)
}

fn get_atomic(map: &Map, times: u64) -> Result<()> {
    let atomic = map.atomic_or("a", 1_u64)?;
    for _ in 0..times {
        black_box(black_box(&atomic).load()?);
    }
    Ok(())
}

fn add(map: &Map, times: u64) -> Result<()> {
    let atomic = map.atomic_or("a", 1_i64)?;
    for _ in 0..times {
        black_box(black_box(&atomic).fetch_add(1)?);
    }
    Ok(())
}

fn get(map: &Map, times: u64) -> Result<()> {
    let var = map.var_or("a", 1_u64)?;
    for _ in 0..times {
        black_box(black_box(&var).get()?);
    }
    Ok(())
}

fn set(map: &Map, times: u64) -> Result<()> {
    let var = map.var_or("a", 1_u64)?;
    for number in 0..times {
        black_box(&var).set(black_box(number))?;
    }
    Ok(())
}

fn read_bytes(map: &Map, times: u64) -> Result<()> {
    let var = map.var_or("a", vec![7_u8; 64])?;
    let mut into = [0; 64];
    for _ in 0..times {
        black_box(black_box(&var).read_bytes(black_box(&mut into))?);
    }
    Ok(())
}

fn write_bytes(map: &Map, times: u64) -> Result<()> {
    let var = map.var_or("a", vec![7_u8; 64])?;
    let bytes = [7; 64];
    for _ in 0..times {
        black_box(&var).write_bytes(black_box(&bytes))?;
    }
    Ok(())
}

fn get_by_name(map: &Map, times: u64) -> Result<()> {
    map.set("plant.pump.7.pressure", 1)?;
    for _ in 0..times {
        black_box(map.get::<u64>(black_box("plant.pump.7.pressure"))?);
    }
    Ok(())
}

fn set_by_name(map: &Map, times: u64) -> Result<()> {
    for number in 0..times {
        map.set(black_box("plant.pump.7.pressure"), black_box(number))?;
    }
    Ok(())
}

fn find_absent(map: &Map, times: u64) -> Result<()> {
    for _ in 0..times {
        black_box(map.find::<u64>(black_box("plant.pump.7.pressure"))?);
    }
    Ok(())
}

fn car() -> Car {
    Car { lap: 1, time: 2.0, wheels: [3.0; 28], gears: [4; 10] }
}

fn get_plain(map: &Map, times: u64) -> Result<()> {
    let var = map.plain::<Car>("a")?;
    var.set(car())?;
    for _ in 0..times {
        black_box(black_box(&var).get()?);
    }
    Ok(())
}

fn set_plain(map: &Map, times: u64) -> Result<()> {
    let (var, car) = (map.plain::<Car>("a")?, car());
    for _ in 0..times {
        black_box(&var).set(black_box(&car))?;
    }
    Ok(())
}

fn ten(map: &Map) -> Result<Vec<String>> {
    let names: Vec<String> = (0..10).map(|number| format!("pump.{number}")).collect();
    names.iter().try_for_each(|name| map.set(name, 1))?;
    Ok(names)
}

fn transaction(map: &Map, times: u64) -> Result<()> {
    let names = ten(map)?;
    for number in 0..times / 10 {
        map.transaction(|tx| names.iter().try_for_each(|name| tx.set(name, number)))?;
    }
    Ok(())
}

fn snapshot(map: &Map, times: u64) -> Result<()> {
    let names = ten(map)?;
    for _ in 0..times / 10 {
        black_box(map.snapshot(&names)?);
    }
    Ok(())
}

fn wake(map: &Map, times: u64) -> Result<()> {
    let var = map.var_or("a", 1_u64)?;
    let mut watch = map.watch("a")?;
    for number in 0..times {
        var.set(number)?;
        black_box(watch.recv()?);
    }
    Ok(())
}
