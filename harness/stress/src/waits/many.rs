//! One watcher of very many variables.

use super::start_role;
use mapvar::Map;
use mapvar_harness::{figure, unique};
use std::{collections::HashMap, time::Instant};

/// Sets each variable `rounds` times.
pub(super) fn setter(name: &str, count: &str, rounds: &str) {
    let [count, rounds] = [count, rounds].map(|it| it.parse::<u64>().expect("a number"));
    let map = Map::open(name).expect("the map");
    let vars: Vec<_> = (0..count)
        .map(|number| map.var::<u64>(&format!("n.{number}")).expect("a variable"))
        .collect();
    for round in 1..=rounds {
        for var in &vars {
            var.set(round).expect("a set");
        }
    }
}

pub(super) fn run(short: bool) -> bool {
    let (count, rounds) = if short { (1_000_u64, 20_u64) } else { (10_000, 100) };
    let name = unique("waits.many");
    let map = Map::options().name(&name).size(4 << 20).create().expect("a map");
    for number in 0..count {
        map.set(&format!("n.{number}"), 0_u64).expect("a set");
    }
    let mut watch = map.watch_prefix("n.").expect("a watch");
    let mut last: HashMap<String, (u64, u64)> = HashMap::new();
    let (mut reported, mut done, mut wrong) = (0_u64, 0_u64, 0_u64);
    let began = Instant::now();
    let _setter = start_role("setter", &[&name, &count.to_string(), &rounds.to_string()]);
    while done < count {
        let change = watch.recv().expect("a change");
        let value: u64 = change.get().expect("a number");
        let (before, counted) = last.entry(change.name().to_owned()).or_default();
        if value <= *before {
            wrong += 1;
            println!("WRONG: {} is {value} after {before}", change.name());
        }
        *before = value;
        *counted += 1 + change.skipped();
        reported += 1;
        if value == rounds {
            done += 1;
            if *counted != rounds {
                wrong += 1;
                println!(
                    "WRONG: {} changed {rounds} times, and {counted} were told",
                    change.name()
                );
            }
        }
    }
    figure(
        &format!("waits, a watcher of {count} variables"),
        format!(
            "{} changes in {:.1} s, {reported} told, the others as skipped, {wrong} wrong",
            count * rounds,
            began.elapsed().as_secs_f64(),
        ),
        "0 wrong",
    );
    wrong == 0
}
