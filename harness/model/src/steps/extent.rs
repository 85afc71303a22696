//! Extents are given back: by who replaced them, at once, and by who sweeps.

use super::lock;
use crate::{
    actor::Word,
    fault::Fault,
    turn::{self, Next, Turn},
    world::{ACTORS, Chunk, Extent},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Gives back what stands in `old`, then goes on at `released`.
    Begin,
    Next,
    Left,
    /// The deed begins again, a bounded number of times.
    Again,
    /// What is in `mine` is no slot's: its filler goes, and it is given back; then on at `released`.
    Forsake,
    /// Under L: frees `freeing`, if nobody has it in use, then goes on at `freed`.
    Filler,
    Slots,
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
    turn.onward(Step::Filler)
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
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
            free(turn, actor.old[number], Next)
        }
        Left => turn.onward(actor.released),
        Again => {
            if actor.tries == 1 {
                return turn.go(super::Pc::Ended, "gives up: Full");
            }
            turn.actor().tries += 1;
            turn.again("begins again")
        }
        Forsake => {
            let Some(number) = actor.mine.iter().position(|mine| mine.is_some()) else {
                return turn.onward(Begin);
            };
            let extent = actor.mine[number];
            if !turn.world.stands(extent) {
                return turn::Next::Wrong("OWNED: freed while its filler lives".into());
            }
            turn.world.contents[extent.chunk()].filler = 0;
            turn.actor().old[number] = extent;
            turn.actor().mine[number] = Extent::NONE;
            turn.go(Forsake, "forsake: filler = 0")
        }
        Filler => {
            if !matches!(turn.world.chunks[chunk], Chunk::First(_)) {
                return leave(turn, "free: it was freed before");
            }
            let filler = turn.world.contents[chunk].filler;
            let lives = filler != 0
                && (!turn.world.is_dead(filler - 1) || turn.has(Fault::DeadFillersCount));
            if lives && !turn.has(Fault::FillerIgnored) {
                return leave(turn, "free: its filler lives");
            }
            turn.go(Slots, "free: no filler that lives")
        }
        Slots => {
            let head = turn.world.contents[chunk];
            let record = *turn.record(head.record);
            let slot = usize::from(actor.i);
            let owns = record.id != 0 && record.id == head.id;
            if slot == 2 || !(owns || turn.has(Fault::OwnerIdIgnored)) {
                turn.actor().i = 0;
                return turn.onward(Pins);
            }
            turn.actor().i += 1;
            let passed = turn.has(Fault::InvalidSlotsOwnNothing)
                && record.slots[slot].version == crate::world::INVALID;
            if record.refers(slot, actor.freeing.at) && !passed {
                return leave(turn, "free: a slot refers to it");
            }
            turn.go(Slots, "free: a slot, which does not refer to it")
        }
        Pins => {
            let pinned = (0..ACTORS).any(|who| {
                turn.world.pins[who] == actor.freeing.pin()
                    && (turn.has(Fault::DeadPinsCount) || !turn.world.is_dead(who as u8))
            });
            if pinned && !turn.has(Fault::PinsIgnored) {
                return leave(turn, "free: somebody has it pinned");
            }
            turn.go(First, "free: no pin")
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
