//! Who lacks room takes the extents of old values, then goes through all of them, under L, and frees
//! those that nobody has in use: left by the dead, or freed while somebody had them pinned.

use super::{Pc, extent, lock};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{self, Extent, INVALID, Lock, Operation, RECORDS},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    /// The old value of `target`.
    Old,
    Journal,
    Marked,
    Invalidate,
    Forget,
    WakeSleepers,
    Unmark,
    Clear,
    /// At `chunk`.
    Chunk,
    Next,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let at = usize::from(actor.chunk);
    let target = actor.target;
    match step {
        Begin => {
            turn.actor().chunk = 0;
            turn.actor().target = 0;
            turn.onward(Old)
        }
        Old if usize::from(target) == RECORDS => {
            turn.actor().target = 0;
            turn.onward(Chunk)
        }
        Old => {
            let record = *turn.record(target);
            if record.id != 0 && record.slots[record.other()].extent.is_some() {
                let first = turn.has(Fault::SweepMarkFirst);
                turn.actor().marked = Marked.into();
                return turn.onward(if first {
                    lock::Step::Mark.into()
                } else {
                    Pc::from(Journal)
                });
            }
            turn.actor().target += 1;
            turn.onward(Old)
        }
        Journal => {
            turn.world.journal = world::Journal {
                operation: Operation::Unlink,
                record: target,
                ..world::Journal::default()
            };
            if turn.has(Fault::SweepWithoutMark) || turn.has(Fault::SweepMarkFirst) {
                return turn.go(Invalidate, "sweep: J = UNLINK");
            }
            turn.go(lock::Step::Mark, "sweep: J = UNLINK")
        }
        Marked if !actor.said => turn.onward(Clear),
        Marked => {
            turn.actor().said = false;
            turn.onward(if turn.has(Fault::SweepMarkFirst) { Journal } else { Invalidate })
        }
        Invalidate => {
            let slot = turn.record(target).other();
            let early = turn.has(Fault::FreeBeforeInvalid);
            if !early {
                turn.record(target).slots[slot].version = INVALID;
            }
            turn.go(Forget, "sweep: slot.version = INVALID")
        }
        Forget => {
            let slot = turn.record(target).other();
            let old = turn.record(target).slots[slot].extent;
            turn.record(target).slots[slot].extent = Extent::NONE;
            let unmarked = turn.has(Fault::SweepWithoutMark);
            let then: Step = if unmarked { Clear } else { WakeSleepers };
            if !old.is_some() {
                return turn.go(then, "sweep: no old value any more");
            }
            extent::free(turn, old, then)
        }
        WakeSleepers => {
            if !turn.has(Fault::SleepersAfterUnmark) {
                turn.wake_sleepers(target);
            }
            turn.go(Unmark, "sweep: wakes who waits for the lock")
        }
        Unmark => {
            turn.record(target).lock = Lock::Free;
            turn.go(Clear, "sweep: unmark")
        }
        Clear => {
            if turn.has(Fault::SleepersAfterUnmark) {
                turn.wake_sleepers(target);
            }
            turn.world.journal = world::Journal::default();
            turn.actor().target += 1;
            turn.actor().said = false;
            turn.go(Old, "sweep: J = 0")
        }
        Chunk => {
            if actor.chunk >= turn.world.chunk_count {
                turn.actor().chunk = 0;
                turn.actor().swept = Pc::Begin;
                return turn.onward(actor.swept);
            }
            match turn.world.chunks[at] {
                world::Chunk::Free => turn.onward(Next),
                // Who freed a run died between its words.
                world::Chunk::Further if turn.has(Fault::OrphansKept) => turn.onward(Next),
                world::Chunk::Further => {
                    turn.world.chunks[at] = world::Chunk::Free;
                    turn.go(Next, "sweep: a further chunk of nothing")
                }
                world::Chunk::First(_) => {
                    let token = turn.world.contents[at].token;
                    extent::free(turn, Extent { at: at as u8, token }, Next)
                }
            }
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
