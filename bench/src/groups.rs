//! The groups of legs, in the order of the table, and how long they take.

use crate::{
    Result,
    measure::{Leg, Plan},
    values::{composites, handles, outside, structs},
    work::{
        attach, batch, bytes,
        cores::{crowd, pauses, readers, writer},
        flush, growth, kill,
        names::{self, Verb},
        waiting::{wake, watches},
    },
};
use core_affinity::CoreId;

/// Creates the legs of a group.
type Legs<'a> = Box<dyn Fn(&Plan) -> Result<Vec<Leg>> + 'a>;

pub struct Group<'a> {
    /// Several groups may share one.
    pub title: &'static str,
    /// An estimate of a run without other work on the machine: set-up, and rounds.
    seconds: f64,
    pub legs: Legs<'a>,
}

const MILLION: usize = 1_000_000;

/// Collects the groups of a quick or a full run.
struct Groups<'a> {
    quick: bool,
    all: Vec<Group<'a>>,
}

impl<'a> Groups<'a> {
    /// Adds a group that takes so many seconds in a quick and in a full run.
    fn add(
        &mut self,
        title: &'static str,
        [quick, full]: [f64; 2],
        legs: impl Fn(&Plan) -> Result<Vec<Leg>> + 'a,
    ) {
        let seconds = if self.quick { quick } else { full };
        self.all.push(Group { title, seconds, legs: Box::new(legs) });
    }
}

pub fn all<'a>(plan: &Plan, cores: &'a [CoreId]) -> Vec<Group<'a>> {
    let mut groups = Groups { quick: plan.quick, all: Vec::new() };
    groups.add("by handle", [7.0, 28.0], handles::legs);
    groups.add("plain structs", [2.0, 6.0], structs::legs);
    groups.add("one field, from C and from the command", [4.0, 30.0], outside::legs);
    groups.add("values by serde", [2.0, 7.0], composites::legs);
    // The largest takes 8 GB.
    let largest = if plan.quick { MILLION } else { 10 * MILLION };
    let sizes = [100, 1_000, 100_000, MILLION, 10 * MILLION];
    let sizes = || sizes.into_iter().filter(|count| *count <= largest);
    for count in sizes() {
        for verb in [Verb::Get, Verb::Set] {
            let seconds = [1.5, 14.0];
            groups.add("by name", seconds, move |plan| names::legs(plan, verb, count));
        }
    }
    for size in bytes::SIZES {
        groups.add("bytes", [1.0, 10.0], move |plan| bytes::legs(plan, size));
    }
    if !plan.quick {
        groups.add("bytes", [0.0, 30.0], bytes::largest);
    }
    for size in batch::SIZES {
        let legs = move |plan: &Plan| batch::legs(plan, size);
        groups.add("several at once, of 1,000", [2.0, 10.0], legs);
    }
    for count in sizes() {
        groups.add("insertion", [3.0, 36.0], move |plan| Ok(growth::inserting(plan, count)));
    }
    for count in sizes() {
        let legs = move |plan: &Plan| growth::walking(plan, count);
        groups.add("walk, each variable", [1.5, 18.0], legs);
    }
    groups.add("memory", [20.0, 20.0], |plan| growth::weighing(plan, MILLION));
    groups.add("attach", [2.0, 28.0], move |plan| attach::legs(plan, cores, MILLION));
    for size in [1, 100] {
        let legs = move |plan: &Plan| flush::legs(plan, size);
        groups.add("changes that wait for the disk, of 10,000", [2.0, 23.0], legs);
    }
    for count in sizes().filter(|count| *count >= MILLION) {
        let legs = move |plan: &Plan| flush::of_large(plan, count);
        groups.add("a flush in a large map", [3.0, 50.0], legs);
    }
    groups.add("wake of a process", [3.0, 10.0], move |plan| wake::legs(plan, cores));
    groups.add("wake of a task", [2.0, 5.0], move |plan| wake::streaming(plan, cores));
    for count in [1, 1_000, 10_000, 100_000] {
        groups.add("watches of many", [0.5, 6.0], move |plan| watches::telling(plan, count));
    }
    groups.add("watched insertion", [9.0, 25.0], |plan| watches::inserting(plan, MILLION));
    groups.add("two readers, one core each", [4.0, 10.0], move |plan| readers::legs(plan, cores));
    groups.add("readers under a writer", [4.0, 15.0], move |plan| writer::legs(plan, cores));
    for size in crowd::SIZES {
        if !plan.quick || size == 2 {
            let legs = move |plan: &Plan| crowd::legs(plan, cores, size);
            groups.add("many threads, the time of one operation", [2.0, 17.0], legs);
        }
    }
    let grown = if plan.quick { 100_000 } else { MILLION };
    let legs = move |plan: &Plan| pauses::legs(plan, cores, grown);
    groups.add("growth while it is used", [1.0, 25.0], legs);
    groups.add("a killed writer", [12.0, 130.0], move |plan| kill::legs(plan, cores));
    groups.all
}

/// Prints how long each title should take, and took.
pub fn list(groups: &[Group<'_>], took: Option<&[f64]>) {
    println!("\nPlan, in seconds, on a machine without other work");
    let mut rows: Vec<(&str, f64, f64)> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let took = took.and_then(|took| took.get(at)).copied().unwrap_or_default();
        match rows.iter_mut().find(|row| row.0 == group.title) {
            Some(row) => {
                row.1 += group.seconds;
                row.2 += took;
            }
            None => rows.push((group.title, group.seconds, took)),
        }
    }
    let planned = rows.iter().map(|row| row.1).sum();
    let spent = rows.iter().map(|row| row.2).sum();
    rows.push(("all", planned, spent));
    for (title, planned, spent) in rows {
        print!("  {title:<44} {planned:>6.0}");
        if took.is_some() {
            print!("   took {spent:>6.0}");
        }
        println!();
    }
}
