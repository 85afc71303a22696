//! Two processes that wake each other in turns, by the map and by the system's own means.

use super::{raw, start_role};
use mapvar::Map;
use mapvar_harness::{figure, percentile, unique};
use std::time::{Duration, Instant};

pub(super) fn echo(name: &str) {
    let map = Map::open(name).expect("the map");
    let pong = map.var::<u64>("pong").expect("a variable");
    let mut watch = map.watch("ping").expect("a watch");
    map.set("ready", true).expect("a set");
    loop {
        let number: u64 = watch.recv().expect("a change").get().expect("a number");
        pong.set(number).expect("a set");
    }
}

/// Measures with both processes on one processor, then on two. Their placement decides more than
/// anything else, and the scheduler changes it only every few seconds.
pub(super) fn run(short: bool) -> bool {
    let pinned = raw::pin(0);
    let modes: &[(&str, &str)] = if pinned {
        &[("one processor", "0"), ("two processors", "1")]
    } else {
        &[("any processor", "")]
    };
    for (mode, other) in modes {
        measure(short, mode, other);
    }
    true
}

fn measure(short: bool, mode: &str, other: &str) {
    let (turns, rounds) = if short { (5, 100) } else { (40, 500) };
    let name = unique("waits.wake");
    let map = Map::options().name(&name).create().expect("a map");
    map.set("pong", 0_u64).expect("a set");
    let ping = map.var_or("ping", 0_u64).expect("a variable");
    let mut watch = map.watch("pong").expect("a watch");
    let mut ready = map.watch("ready").expect("a watch");
    let _echo = start_role("echo", &[&name, other]);
    ready.recv().expect("a change");
    let raw = raw::Pinger::new(other);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut number = 0;
    for turn in 0..turns {
        for round in 0..rounds {
            number += 1;
            let began = Instant::now();
            ping.set(number).expect("a set");
            while watch.recv().expect("a change").get::<u64>().expect("a number") != number {}
            keep(&mut ours, turn, round, began);
        }
        for round in 0..rounds {
            let began = Instant::now();
            raw.ping();
            keep(&mut theirs, turn, round, began);
        }
    }
    ours.sort();
    theirs.sort();
    let (what, goal) = raw::WHAT;
    for (share, part) in [("p50", 0.5), ("p90", 0.9)] {
        let (ours, theirs) = (percentile(&ours, part), percentile(&theirs, part));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let missed = if ratio > goal { ", MISSED" } else { "" };
        figure(
            &format!("waits, there and back on {mode}, {share}"),
            format!("{ratio:.2} of {what} ({ours:.1?} and {theirs:.1?}; goal {goal}{missed})"),
            "",
        );
    }
}

/// Keeps a duration, but none of the first: in the first round of a turn both processes may be
/// asleep, or the processor busy elsewhere.
fn keep(times: &mut Vec<Duration>, turn: usize, round: usize, began: Instant) {
    if turn > 0 && round > 0 {
        times.push(began.elapsed());
    }
}
