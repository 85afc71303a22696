//! Who lacks room goes through the extents, under L, and frees those that nothing refers to: left
//! by the dead, or freed while somebody had them in use.

use super::{Pc, extent, lock};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{self, Extent, INVALID, Lock, NO_RECORD, Operation},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    /// At `chunk`.
    Chunk,
    Journal,
    Marked,
    Look,
    WakeSleepers,
    Unmark,
    Clear,
    Next,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let at = usize::from(actor.chunk);
    match step {
        Begin => {
            turn.actor().chunk = 0;
            turn.onward(Chunk)
        }
        Chunk => {
            if actor.chunk >= turn.world.chunk_count {
                turn.actor().chunk = 0;
                turn.actor().swept = Pc::Begin;
                return turn.onward(actor.swept);
            }
            match turn.world.chunks[at] {
                world::Chunk::Free => turn.onward(Next),
                // Who reserved or freed a run died between its words.
                world::Chunk::Further if turn.has(Fault::OrphansKept) => turn.onward(Next),
                world::Chunk::Further => {
                    turn.world.chunks[at] = world::Chunk::Free;
                    turn.go(Next, "sweep: a further chunk of nothing")
                }
                world::Chunk::First(_) => look_at(turn, at),
            }
        }
        Journal => {
            let record = turn.world.contents[at].record;
            turn.world.journal =
                world::Journal { operation: Operation::Sweep, record, ..world::Journal::default() };
            turn.actor().target = record;
            if turn.has(Fault::SweepMarkFirst) {
                return turn.go(Look, "sweep: J = SWEEP");
            }
            turn.actor().marked = Marked.into();
            turn.go(lock::Step::Mark, "sweep: J = SWEEP")
        }
        Marked => {
            if !actor.said {
                return turn.onward(Clear);
            }
            if turn.has(Fault::SweepMarkFirst) {
                return turn.onward(Journal);
            }
            turn.onward(Look)
        }
        // Under the mark nobody publishes, and who comes later finds the token void.
        Look => {
            let extent = extent_at(turn, at);
            let record = *turn.record(actor.target);
            let done: Pc =
                if turn.has(Fault::SweepWithoutMark) { Clear } else { WakeSleepers }.into();
            if record.id != 0 && record.refers(usize::from(record.current), extent) {
                return turn.go(done, "sweep: the record refers to it");
            }
            if let Some(slot) = (0..2).find(|&slot| record.refers(slot, extent))
                && !turn.has(Fault::FreeBeforeInvalid)
            {
                turn.record(actor.target).slots[slot].version = INVALID;
                return turn.go(Look, "sweep: an old slot's, slot.version = INVALID");
            }
            extent::free(turn, extent, done)
        }
        WakeSleepers => {
            if !turn.has(Fault::SleepersAfterUnmark) {
                turn.wake_sleepers(actor.target);
            }
            turn.go(Unmark, "sweep: wakes who waits for the lock")
        }
        Unmark => {
            turn.record(actor.target).lock = Lock::Free;
            turn.go(Clear, "sweep: unmark")
        }
        Clear => {
            if turn.has(Fault::SleepersAfterUnmark) {
                turn.wake_sleepers(actor.target);
            }
            turn.world.journal = world::Journal::default();
            turn.actor().target = 0;
            turn.actor().said = false;
            turn.go(Next, "sweep: J = 0")
        }
        Next => {
            let run = match turn.world.chunks[at] {
                world::Chunk::First(run) => run,
                _ => 1,
            };
            turn.actor().chunk += run;
            turn.onward(Chunk)
        }
    }
}

fn extent_at(turn: &Turn, at: usize) -> Extent {
    Extent { at: at as u8, token: turn.world.contents[at].token }
}

fn look_at(turn: &mut Turn, at: usize) -> Next {
    let head = turn.world.contents[at];
    let extent = extent_at(turn, at);
    // Void: somebody had it in use when it was freed. For an insertion: published only under L.
    if head.token == 0 || head.record == NO_RECORD {
        return extent::free(turn, extent, Step::Next);
    }
    let record = *turn.record(head.record);
    if record.id != 0 && record.refers(usize::from(record.current), extent) {
        return turn.go(Step::Next, "sweep: the current slot refers to it");
    }
    if turn.has(Fault::SweepWithoutMark) {
        turn.actor().target = head.record;
        return turn.onward(Step::Look);
    }
    if turn.has(Fault::SweepMarkFirst) {
        turn.actor().target = head.record;
        turn.actor().marked = Step::Marked.into();
        return turn.onward(lock::Step::Mark);
    }
    turn.onward(Step::Journal)
}
