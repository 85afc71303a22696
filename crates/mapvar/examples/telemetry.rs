//! A simulator that publishes its telemetry, and an overlay that shows it.
//!
//! The publisher sets a struct and single values, sixty times a second. The overlay sleeps until
//! something changes. It notices when the publisher dies, and goes on when another is started.
//!
//!     cargo run -p mapvar --example telemetry -- overlay race
//!     cargo run -p mapvar --example telemetry -- publish race     # in another terminal
//!     mapvar set race stop true                                   # ends both

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::{Map, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Default, Serialize, Deserialize)]
struct Car {
    speed: f64,
    rpm: f64,
    gear: i32,
    throttle: f64,
    brake: f64,
    steering: f64,
    fuel: f64,
    tyres: [f64; 4],
    position: (f64, f64),
}

impl Car {
    /// Stands for the simulation.
    fn at(tick: u32) -> Self {
        let speed = f64::from(tick % 300);
        Self { speed, rpm: speed * 30.0, gear: 1 + (speed / 60.0) as i32, ..Self::default() }
    }
}

const TICK: Duration = Duration::from_millis(16);
const TICKS_PER_LAP: u32 = 20;

fn publish(map: &str) -> Result<()> {
    let map = Map::options().name(map).open_or_create()?;
    let car = map.var_or("car", &Car::default())?;
    let flag = map.var_or("flag", "green")?;
    let mut stop = map.watch("stop")?;
    // It ends with this process, however this process ends.
    map.set_ephemeral("publisher", std::process::id())?;

    for tick in 0.. {
        car.set(Car::at(tick))?;
        // A watch reports a new flag only, not each tick.
        flag.set_if_changed(if tick % 100 < 50 { "green" } else { "yellow" })?;
        if tick % TICKS_PER_LAP == TICKS_PER_LAP - 1 {
            lap_ended(&map, 90.0 - f64::from(tick % 7))?;
        }
        // It is a sleep until the next tick that "stop" ends at once.
        if stop.recv_timeout(TICK)?.is_some() {
            break;
        }
    }
    Ok(())
}

/// Sets three variables as one: no reader finds the new count with the old times.
fn lap_ended(map: &Map, seconds: f64) -> Result<()> {
    map.transaction(|tx| {
        let laps: u32 = tx.find("lap/count")?.unwrap_or(0);
        let best: f64 = tx.find("lap/best")?.unwrap_or(f64::INFINITY);
        tx.set("lap/count", laps + 1)?;
        tx.set("lap/last", seconds)?;
        tx.set("lap/best", best.min(seconds))
    })
}

fn overlay(map: &str) -> Result<()> {
    // The map need not exist yet. It lasts as long as a process has it open, so it outlives a
    // publisher that this overlay has seen.
    let map = Map::options().name(map).wait(Duration::from_mins(1)).open()?;
    // The watch begins before the first look, so nothing is missed between them.
    let mut changes = map.watch_any(["car", "flag", "lap/count", "publisher", "stop"])?;
    if let Some(owner) = map.owner("publisher")? {
        println!("publisher {} is here", owner.pid);
    }
    loop {
        let change = changes.recv()?;
        match change.name() {
            "publisher" => match change.find::<u32>()? {
                Some(pid) => println!("publisher {pid} is here"),
                None => println!("the publisher is gone"),
            },
            "car" => {
                let Car { speed, rpm, gear, .. } = change.get()?;
                println!("car {speed:3.0} km/h {rpm:5.0} rpm gear {gear}");
            }
            "flag" => println!("flag {}", change.get::<String>()?),
            "lap/count" => {
                let lap = map.snapshot(["lap/count", "lap/last", "lap/best"])?;
                let [last, best] = [lap.get::<f64>("lap/last")?, lap.get("lap/best")?];
                println!("lap {}: {last:.1} s, best {best:.1} s", lap.get::<u32>("lap/count")?);
            }
            _ => return Ok(()),
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["publish", map] => publish(map)?,
        ["overlay", map] => overlay(map)?,
        _ => return Err("usage: telemetry (publish|overlay) MAP".into()),
    }
    Ok(())
}
