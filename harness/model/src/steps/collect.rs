//! The record of a removed variable is given back, with what its slots own.

use super::{Pc, extent, lock};
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::{self, Cell, Lock, Operation},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Marked,
    Look,
    Id,
    Wake,
    Slots,
    Index,
    Seq,
    Free,
    WakeSleepers,
    Unmark,
    Clear,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let number = actor.target;
    match step {
        Begin => {
            let Some(number) = (match turn.deed {
                crate::actor::Deed::Collect(number) => Some(number),
                _ => None,
            }) else {
                return Next::Wrong("the checker: nothing to collect".into());
            };
            turn.actor().target = number;
            let record = *turn.record(number);
            if !record.taken || record.id == 0 || !is_tombstone(&record) {
                return lock::leave(turn, Pc::Ended, "collect: nothing to do");
            }
            turn.world.journal = world::Journal {
                operation: Operation::Unlink,
                record: number,
                ..world::Journal::default()
            };
            if turn.has(Fault::CollectWithoutMark) {
                return turn.go(Look, "collect: J = UNLINK");
            }
            turn.actor().marked = Marked.into();
            turn.go(lock::Step::Mark, "collect: J = UNLINK")
        }
        Marked if !actor.said => turn.onward(Clear),
        Marked if turn.has(Fault::CollectWithoutLook) => turn.onward(Id),
        Marked => turn.onward(Look),
        Look => {
            turn.actor().said = false;
            let record = *turn.record(number);
            if is_tombstone(&record) {
                return turn.go(Id, "collect: a tombstone");
            }
            // Who set the mark may have died before he woke those whom a dead holder had not woken.
            if !turn.has(Fault::ReplayDoesNotWake) {
                turn.wake_value(number);
            }
            turn.go(WakeSleepers, "collect: no tombstone any more, wake")
        }
        Id => {
            let record = *turn.record(number);
            let lives = turn.world.truth.values[usize::from(record.name)] != 0;
            if record.id != 0 && !is_tombstone(&record) && lives {
                return Next::Wrong("LOST: a variable that is set is collected".into());
            }
            turn.actor().said = false;
            turn.record(number).id = 0;
            let quiet = turn.has(Fault::CollectDoesNotWake);
            turn.go(if quiet { Index } else { Wake }, "collect: id = 0")
        }
        Wake => {
            turn.wake_value(number);
            turn.go(Index, "collect: wake")
        }
        Slots => {
            // Without an id the record owns nothing.
            let Some(slot) = turn.record(number).slots.get(usize::from(actor.slot)).copied() else {
                turn.actor().slot = 0;
                return turn.onward(Free);
            };
            turn.actor().slot += 1;
            if slot.extent.is_some() {
                return extent::free(turn, slot.extent, Slots);
            }
            turn.onward(Slots)
        }
        Index => {
            let root = turn.world.root;
            if let Some(cell) = turn.world.table().place_of(usize::from(number)) {
                turn.table(root).cells[cell] = Cell::Tombstone;
            }
            turn.go(Seq, "collect: the index word, tombstone")
        }
        Seq => {
            turn.world.index_seq += 1;
            turn.actor().slot = 0;
            turn.go(Slots, "collect: index_seq + 1")
        }
        Free => {
            turn.record(number).taken = false;
            let early = turn.has(Fault::JournalBeforeUnmark);
            turn.go(if early { Clear } else { WakeSleepers }, "collect: the record's bit")
        }
        WakeSleepers => {
            if !turn.has(Fault::SleepersAfterUnmark) {
                turn.wake_sleepers(number);
            }
            turn.go(Unmark, "collect: wakes who waits for the lock")
        }
        Unmark => {
            turn.record(number).lock = Lock::Free;
            if turn.has(Fault::JournalBeforeUnmark) {
                return finish(turn, "collect: unmark");
            }
            turn.go(Clear, "collect: unmark")
        }
        Clear => {
            if turn.has(Fault::SleepersAfterUnmark) {
                turn.wake_sleepers(number);
            }
            turn.world.journal = world::Journal::default();
            let marked = turn.record(number).lock == Lock::MarkL;
            if turn.has(Fault::JournalBeforeUnmark) && marked {
                return turn.go(WakeSleepers, "collect: J = 0, too early");
            }
            finish(turn, "collect: J = 0")
        }
    }
}

fn is_tombstone(record: &world::Record) -> bool {
    let slot = record.current();
    slot.value == 0 && !slot.extent.is_some()
}

fn finish(turn: &mut Turn, did: &'static str) -> Next {
    let actor = *turn.actor();
    if actor.replaying {
        turn.actor().replaying = false;
        turn.actor().target = 0;
        return turn.go(actor.entered, did);
    }
    debug_assert!(actor.word == Word::L, "collects under L");
    lock::leave(turn, Pc::Ended, did)
}
