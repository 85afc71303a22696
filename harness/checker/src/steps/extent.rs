//! Extents are given back: by who replaced them, at once, and by who sweeps.

use super::lock;
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::{Chunk, Extent, Lock, PLACES},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Gives back what stands in `old`, then goes on at `released`.
    Begin,
    Next,
    Left,
    /// The deed begins again, a bounded number of times.
    Again,
    /// Under L: frees `freeing`, if it is what it was and nobody has it in use, then goes on at
    /// `freed`.
    Void,
    Pins,
    First,
    Further,
}

/// Frees an extent under L, then goes on.
pub fn free(turn: &mut Turn, extent: Extent, then: impl Into<super::Pc>) -> Next {
    let actor = turn.actor();
    actor.freeing = extent;
    actor.freed = then.into();
    actor.i = 0;
    turn.onward(Step::Void)
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let Extent { token, .. } = actor.freeing;
    let chunk = actor.freeing.chunk();
    match step {
        Begin => {
            if actor.old == [Extent::NONE; 2] {
                return turn.onward(actor.released);
            }
            lock::enter(turn, Word::L, Next)
        }
        Next => {
            let Some(number) = actor.old.iter().position(|old| old.is_some()) else {
                turn.actor().left = Left.into();
                return turn.onward(lock::Step::LeaveWord);
            };
            turn.actor().old[number] = Extent::NONE;
            let mut extent = actor.old[number];
            if turn.has(Fault::ReleaseWithoutToken) {
                extent.token = turn.world.contents[extent.chunk()].token;
            }
            free(turn, extent, Next)
        }
        Left => turn.onward(actor.released),
        Again => {
            if actor.tries == 1 {
                return turn.go(super::Pc::Ended, "gives up: Full");
            }
            turn.actor().tries += 1;
            turn.again("begins again")
        }
        Void => {
            if !turn.world.stands(actor.freeing) && token != 0 {
                return leave(turn, "free: it was freed before");
            }
            if turn.has(Fault::PinsBeforeVoid) && actor.i == 0 {
                return turn.onward(Pins);
            }
            // Then `fence(SeqCst)`: who has it in use stores its pin, and then looks at the token.
            turn.world.contents[chunk].token = 0;
            if turn.has(Fault::PinsIgnored) || turn.has(Fault::PinsBeforeVoid) {
                return turn.go(First, "free: token = 0");
            }
            turn.go(Pins, "free: token = 0")
        }
        Pins => {
            if usize::from(actor.i) == PLACES {
                if turn.has(Fault::PinsBeforeVoid) {
                    return turn.onward(Void);
                }
                return turn.onward(First);
            }
            turn.actor().i += 1;
            let place = turn.world.places[usize::from(actor.i)];
            let lives = match place.lock {
                Lock::Held(_) => true,
                Lock::Died => turn.has(Fault::DeadPinsCount),
                _ => false,
            };
            if place.pin == actor.freeing.pin() && lives {
                // Whoever reserved it keeps it: only who looked meanwhile begins again.
                turn.world.contents[chunk].token = token;
                return leave(turn, "free: somebody has it in use, token as it was");
            }
            turn.go(Pins, "free: a place, which has not got it")
        }
        // The first one's word goes first: what is left of a run without it is room.
        First if turn.has(Fault::FurtherFreedFirst) && actor.i != u8::MAX => {
            if let Chunk::First(2) = turn.world.chunks[chunk] {
                turn.world.chunks[chunk + 1] = Chunk::Free;
            }
            turn.actor().i = u8::MAX;
            turn.go(First, "free: the further chunk")
        }
        First => {
            let run = turn.world.chunks[chunk];
            turn.world.chunks[chunk] = Chunk::Free;
            turn.actor().i = 0;
            if run == Chunk::First(2) && !turn.has(Fault::FurtherFreedFirst) {
                return turn.go(Further, "free: the first chunk");
            }
            leave(turn, "free: the first chunk")
        }
        Further => {
            turn.world.chunks[chunk + 1] = Chunk::Free;
            leave(turn, "free: the further chunk")
        }
    }
}

fn leave(turn: &mut Turn, did: &'static str) -> Next {
    let freed = turn.actor().freed;
    turn.actor().freeing = Extent::NONE;
    turn.actor().freed = super::Pc::Begin;
    turn.actor().i = 0;
    turn.go(freed, did)
}
