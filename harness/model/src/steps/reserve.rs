//! Room for a large value: a run of chunks, under L, for the record `reserve_for`.

use super::{Pc, copy, grow, lock, sweep};
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::{self, CHUNKS, Chunk, Extent, Operation},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Find,
    Journal,
    Further,
    First,
    Clear,
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
            let token = turn.world.tokens;
            turn.actor().mine[member] = Extent { at: at as u8, token };
            let filler = turn.me as u8 + 1;
            let filler = if turn.has(Fault::NoFiller) { 0 } else { filler };
            let head = &mut turn.world.contents[at];
            head.token = token;
            (head.record, head.id, head.filler) = (actor.reserve_for, actor.reserve_id, filler);
            let first = actor.run == 1;
            turn.go(if first { First } else { Journal }, "reserve: the head")
        }
        Journal => {
            let at = actor.mine[member].at;
            turn.world.journal =
                world::Journal { operation: Operation::Run, record: 0, old: at, new: actor.run };
            turn.go(Further, "reserve: J = RUN")
        }
        Further => {
            turn.world.chunks[actor.mine[member].chunk() + 1] = Chunk::Further;
            turn.go(First, "reserve: the further chunk")
        }
        First => {
            turn.world.chunks[actor.mine[member].chunk()] = Chunk::First(actor.run);
            if actor.run == 1 {
                return lock::leave(turn, Left, "reserve: the bit");
            }
            turn.go(Clear, "reserve: the first chunk")
        }
        Clear => {
            turn.world.journal = world::Journal::default();
            lock::leave(turn, Left, "reserve: J = 0")
        }
        Left => {
            turn.actor().has_swept = false;
            turn.actor().length = 0;
            turn.onward(copy::Step::Write)
        }
    }
}
