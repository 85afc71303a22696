//! Two processes that wake each other in turns, by the map and by what the system has.

use crate::{Owned, Plan, raw, unique};
use mapvar::Map;
use std::time::{Duration, Instant};

pub fn echo(name: &str) {
    let map = Map::open(name).expect("the map");
    let pong = map.var::<u64>("pong").expect("a variable");
    let mut watch = map.watch("ping").expect("a watch");
    map.set("ready", true).expect("a set");
    loop {
        let number: u64 = watch.wait().expect("a change").get().expect("a number");
        pong.set(number).expect("a set");
    }
}

/// Where the scheduler puts the two decides more than all else, and it is in one mood or the other
/// for seconds: so both are put on one processor, then on two.
pub fn run(plan: &Plan) -> bool {
    let pinned = raw::pin(0);
    let modes: &[(&str, &str)] = if pinned {
        &[("one processor", "0"), ("two processors", "1")]
    } else {
        &[("any processor", "")]
    };
    for (mode, other) in modes {
        measure(plan, mode, other);
    }
    true
}

fn measure(plan: &Plan, mode: &str, other: &str) {
    let (turns, rounds) = if plan.short { (5, 100) } else { (40, 500) };
    let name = unique("wake");
    let map = Map::options().name(&name).create().expect("a map");
    map.set("pong", 0_u64).expect("a set");
    let ping = map.var_or("ping", 0_u64).expect("a variable");
    let mut watch = map.watch("pong").expect("a watch");
    let mut ready = map.watch("ready").expect("a watch");
    let _echo = Owned::start("as-echo", &name, &[other]);
    ready.wait().expect("a change");
    let raw = raw::Pinger::new(other);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut number = 0;
    for turn in 0..turns {
        for round in 0..rounds {
            number += 1;
            let began = Instant::now();
            ping.set(number).expect("a set");
            while watch.wait().expect("a change").get::<u64>().expect("a number") != number {}
            keep(&mut ours, turn, round, began);
        }
        for round in 0..rounds {
            let began = Instant::now();
            raw.ping();
            keep(&mut theirs, turn, round, began);
        }
    }
    let (ours, theirs) = (Spread::of(ours), Spread::of(theirs));
    let (what, goal) = raw::WHAT;
    for (share, ours, theirs) in [("p50", ours.p50, theirs.p50), ("p90", ours.p90, theirs.p90)] {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let missed = if ratio > goal { ", MISSED" } else { "" };
        println!(
            "figure: waits, there and back on {mode}, {share} = {ratio:.2} of {what} ({ours:.1?} and {theirs:.1?}; goal {goal}{missed})"
        );
    }
}

/// The first of a turn finds both processes asleep, or the processor elsewhere.
fn keep(times: &mut Vec<Duration>, turn: usize, round: usize, began: Instant) {
    if turn > 0 && round > 0 {
        times.push(began.elapsed());
    }
}

struct Spread {
    p50: Duration,
    p90: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |percent: usize| times[times.len() * percent / 100];
        Self { p50: at(50), p90: at(90) }
    }
}
