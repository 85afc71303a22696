//! One of several processes that share a map.
//!
//! It adds, changes and removes variables of its own, and counts in a shared atomic, until its
//! standard input ends.
//!
//! The tests of the Ruby gem start it together with programs in Ruby and C that do the same.
//!
//! `cargo run --example peer -- MAP NAME`

#![allow(clippy::print_stdout, reason = "a program of the console")]

use mapvar::Map;
use std::{
    error::Error,
    io::{Read, stdin},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

static ENDED: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), Box<dyn Error>> {
    let [map, me]: [String; 2] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "two arguments are needed: the map's name, and one of this process")?;
    thread::spawn(|| {
        // An error counts as the end, too.
        let _ = stdin().read_to_end(&mut Vec::new());
        ENDED.store(true, Relaxed);
    });
    let map = Map::open(&map)?;
    let total = map.atomic_or("total", 0_i64)?;
    let mut rounds = 0_i64;
    while !ENDED.load(Relaxed) {
        let name = format!("{me}.{}", rounds % 50);
        map.set(&name, rounds)?;
        if map.get::<i64>(&name)? != rounds {
            return Err(format!("{name} is not what was set").into());
        }
        if rounds % 3 == 0 {
            map.remove(&format!("{me}.{}", (rounds + 25) % 50))?;
        }
        total.fetch_add(1)?;
        rounds += 1;
    }
    println!("{rounds}");
    Ok(())
}
