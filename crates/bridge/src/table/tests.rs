//! A model of both tables with an engine between them, under faults in every order that a seed
//! makes. The model itself is tested: each planted mistake must be caught.

mod world;

use world::{Mistake, World};

const STEPS: usize = 120;

/// Runs one history; returns what is wrong.
fn history(seed: u64, mistake: Option<Mistake>) -> Result<(), String> {
    let mut world = World::new(seed, mistake);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.settle()
}

#[test]
fn readers_become_equal_and_never_step_back() {
    for seed in 1..=4000 {
        if let Err(wrong) = history(seed, None) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

#[test]
fn each_planted_mistake_is_caught() {
    for mistake in Mistake::ALL {
        let caught = (1..=4000).any(|seed| history(seed, Some(mistake)).is_err());
        assert!(caught, "{mistake:?} is not caught");
    }
}
