//! Target (b): loads under the control of an attacker. One operation runs on a valid region, and
//! one load, a few or all of them return values that the attacker chooses.

use crate::DECODER;
use crate::{
    driver::{Case, Target},
    random::Random,
    regions::{self, Region},
};
use mapvar_engine::store::Store;
use mapvar_engine_sim::{
    adversary::{Lies, MOST_LOADS},
    operations::{self, OPERATIONS},
};
use std::collections::HashMap;

/// The regions, and how many loads each operation makes in each.
#[derive(Debug)]
pub struct Loads {
    regions: Vec<Region>,
    honest: HashMap<(usize, u64, usize), u64>,
}

impl Default for Loads {
    /// Returns the target with all the regions.
    fn default() -> Self {
        Self { regions: regions::all(), honest: HashMap::new() }
    }
}

impl Loads {
    /// Returns how many loads an operation makes when no load lies.
    fn honest(&mut self, at: usize, which: u64, number: usize) -> u64 {
        let region = &self.regions[at];
        *self.honest.entry((at, which, number)).or_insert_with(|| {
            region.mem.reset();
            let mut store = Store::new(region.mem.clone(), &region.facts).expect("a store");
            operations::operate(&mut store, &region.handles, which, number, DECODER);
            region.mem.loads().max(1)
        })
    }

    fn lied_to(region: &Region, which: u64, number: usize, lies: Lies) {
        region.mem.reset();
        let mut store = Store::new(region.mem.clone(), &region.facts).expect("a store");
        region.mem.begin(Some(lies), MOST_LOADS);
        operations::operate(&mut store, &region.handles, which, number, DECODER);
    }
}

/// Chooses an operation. Those that read the whole region are rarer, since one takes as long as a
/// hundred others.
fn operation(random: &mut Random) -> u64 {
    let which = random.below(OPERATIONS);
    match which {
        11..=16 | 18..=20 | 24 | 26.. if random.below(4) != 0 => random.below(11),
        other => other,
    }
}

impl Target for Loads {
    fn run(&mut self, case: &Case) -> u64 {
        let mut random = Random::new(case.seed);
        let at = regions::number_of_seed(&self.regions, case.seed);
        let (which, number) = (operation(&mut random), random.below(24) as usize);
        let honest = self.honest(at, which, number);
        let region = &self.regions[at];
        let lies = regions::lies(&mut random, honest, &region.places);
        case.record(|| {
            let operation = operations::operation_name(which);
            format!("region: {}; {operation} {number} ({honest} loads); {lies:?}", region.called)
        });
        Self::lied_to(region, which, number, lies);
        1
    }
}

impl Loads {
    /// Runs a case from bytes that libFuzzer made.
    pub fn run_bytes(&mut self, bytes: &[u8]) {
        let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return };
        let [region, which, number, first] = *head;
        let region = &self.regions[usize::from(region) % self.regions.len()];
        let lies = Lies::script(rest).after(u64::from(first));
        Self::lied_to(region, u64::from(which) % OPERATIONS, usize::from(number), lies);
    }
}
