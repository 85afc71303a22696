//! The region grows, under L: the section first, then the word that says so.

use super::Pc;
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::CHUNKS,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Section,
    Count,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    let actor = *turn.actor();
    let count = turn.world.chunk_count;
    let early = turn.has(Fault::CountBeforeSection);
    let grown = actor.grown;
    match step {
        Step::Section if usize::from(count) == CHUNKS => turn.go(grown, "grow: no more"),
        Step::Section if early && count == turn.world.section => {
            turn.world.chunk_count += 1;
            turn.go(Step::Section, "grow: number of chunks")
        }
        Step::Section => {
            // It never shrinks: who died here left it longer than the word says.
            let wanted = if turn.has(Fault::LengthBeforeL) {
                actor.length
            } else {
                turn.world.section.max(count + u8::from(!early))
            };
            turn.world.section = wanted;
            turn.go(if early { grown } else { Step::Count.into() }, "grow: the section")
        }
        Step::Count => {
            turn.world.chunk_count = turn.world.section;
            turn.actor().grown = Pc::Begin;
            turn.actor().length = 0;
            turn.go(grown, "grow: number of chunks")
        }
    }
}
