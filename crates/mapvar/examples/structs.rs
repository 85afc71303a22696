//! A plain struct: its type in Rust, and its fields by name in every language.
//!
//! ```console
//! $ cargo run --features derive --example structs -- sim &
//! $ mapvar get sim car.rpm
//! 900.0
//! ```
#![allow(clippy::print_stdout, reason = "it is the program's task")]

use mapvar::{Map, Plain};
use std::io;

#[derive(Plain, Clone, Copy, Debug)]
#[repr(C)]
struct Wheel {
    on: bool,
    speed: f32,
}

#[derive(Plain, Clone, Copy, Debug)]
#[repr(C)]
struct Car {
    gear: i8,
    rpm: f32,
    lap: u64,
    wheels: [Wheel; 4],
}

fn main() -> mapvar::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "sim".into());
    let map = Map::options().name(&name).open_or_create()?;
    let car = map.plain::<Car>("car")?;
    let wheel = Wheel { on: true, speed: 1.5 };
    car.set(Car { gear: -1, rpm: 900.0, lap: u64::MAX, wheels: [wheel; 4] })?;
    println!("ready: `mapvar get {name} car.rpm`; Enter ends");
    // Other programs read and set it until this one ends.
    let _ = io::stdin().read_line(&mut String::new());
    println!("{:?}", car.get()?);
    Ok(())
}
