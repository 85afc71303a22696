//! Room for a large value: a run of chunks, under L, for the record `reserve_for`.

use super::{Pc, copy, grow, lock, sweep};
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::{CHUNKS, Chunk, Extent},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Find,
    Further,
    First,
    Left,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let member = usize::from(actor.member);
    match step {
        Begin => {
            turn.actor().has_swept = false;
            turn.actor().length = turn.world.section + 1;
            lock::enter(turn, Word::L, Find)
        }
        Find => {
            let Some(at) = turn.world.free_run(actor.run) else {
                if !actor.has_swept {
                    turn.actor().has_swept = true;
                    turn.actor().swept = Find.into();
                    return turn.onward(sweep::Step::Begin);
                }
                if usize::from(turn.world.chunk_count) < CHUNKS {
                    turn.actor().grown = Find.into();
                    return turn.onward(grow::Step::Section);
                }
                return lock::leave(turn, Pc::Ended, "reserve: Full");
            };
            if at + usize::from(actor.run) > usize::from(turn.world.section) {
                return Next::Wrong("OUTSIDE: an extent beyond the end of the section".into());
            }
            turn.world.tokens += 1;
            let token = if turn.has(Fault::TokensRepeat) { 1 } else { turn.world.tokens };
            turn.actor().mine[member] = Extent { at: at as u8, token };
            let head = &mut turn.world.contents[at];
            head.token = token;
            head.record = actor.reserve_for;
            let first = actor.run == 1 || turn.has(Fault::FirstBeforeFurther);
            turn.go(if first { First } else { Further }, "reserve: token and head")
        }
        // The first one's word is stored last: it makes the run one.
        Further => {
            turn.world.chunks[actor.mine[member].chunk() + 1] = Chunk::Further;
            if turn.has(Fault::FirstBeforeFurther) {
                return lock::leave(turn, Left, "reserve: the further chunk");
            }
            turn.go(First, "reserve: the further chunk")
        }
        First => {
            turn.world.chunks[actor.mine[member].chunk()] = Chunk::First(actor.run);
            if turn.has(Fault::FirstBeforeFurther) && actor.run == 2 {
                return turn.go(Further, "reserve: the first chunk");
            }
            lock::leave(turn, Left, "reserve: the first chunk")
        }
        Left => {
            turn.actor().has_swept = false;
            turn.actor().length = 0;
            turn.onward(copy::Step::Place)
        }
    }
}
