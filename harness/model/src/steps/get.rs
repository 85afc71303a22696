//! A value is read: without a lock and without a pin; if that fails, the extent is pinned.

use super::{Pc, lock, lookup};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{Chunk, Extent},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    State,
    SameId,
    Slot,
    Read,
    Version,
    LastId,
    Absent,
    Lock,
    Pin,
    Gone,
    PinnedRead,
    Unpin,
    Answer,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let record = *turn.record(actor.record);
    let slot = record.slots[usize::from(actor.slot)];
    match step {
        State => {
            (turn.actor().version, turn.actor().slot) = (record.version, record.current);
            turn.go(SameId, "get: state")
        }
        SameId if record.id == actor.id => turn.go(Slot, "get: the id is right"),
        SameId | LastId if record.id != actor.id => lookup_again(turn),
        Slot => {
            turn.actor().copied = slot.extent;
            turn.actor().value = slot.value;
            turn.go(if slot.extent.is_some() { Read } else { Version }, "get: the slot")
        }
        Read => read_part(turn, Version),
        Version => {
            if slot.version == actor.version {
                return turn.go(LastId, "get: the version is right");
            }
            forget(turn);
            if actor.copied.is_some() {
                return turn.go(Lock, "get: torn, with a pin now");
            }
            turn.go(State, "get: torn, again")
        }
        Absent => {
            if actor.answers & 1 == 0 {
                return Next::Wrong("LOST: not found, and it was there all the time".into());
            }
            turn.go(Pc::Ended, "get: not there")
        }
        Lock => {
            turn.actor().wanted = actor.record;
            turn.actor().locked = Pin.into();
            turn.onward(lock::Step::Record)
        }
        Pin => {
            let current = record.current();
            turn.actor().copied = current.extent;
            turn.actor().value = current.value;
            let gone = record.id != actor.id;
            if !gone && current.extent.is_some() && !turn.has(Fault::UnpinnedCopy) {
                turn.world.pins[turn.me] = current.extent.pin();
            }
            turn.actor().left = match (gone, current.extent.is_some()) {
                (true, _) => Gone,
                (false, true) => PinnedRead,
                (false, false) => Answer,
            }
            .into();
            turn.go(lock::Step::LeaveRecord, "get: pin, under the record's lock")
        }
        Gone => lookup_again(turn),
        SameId | LastId | Answer => answer(turn),
        PinnedRead => {
            if !turn.world.stands(actor.copied) {
                return Next::Wrong("OWNED: freed while it was pinned".into());
            }
            read_part(turn, Unpin)
        }
        Unpin => {
            turn.world.pins[turn.me] = 0;
            turn.go(Answer, "get: pin = 0")
        }
    }
}

fn read_part(turn: &mut Turn, then: Step) -> Next {
    let actor = *turn.actor();
    let first = actor.copied.chunk();
    // The length stands in the slot; what the table says of the chunk is as good here.
    let run = match turn.world.chunks[first] {
        Chunk::First(run) => run,
        _ => 1,
    };
    let at = (first + usize::from(actor.i)).min(turn.world.contents.len() - 1);
    let part = turn.world.contents[at].data;
    turn.actor().torn |= actor.i > 0 && part != actor.value;
    turn.actor().value = part;
    turn.actor().i += 1;
    if actor.i + 1 >= run {
        turn.actor().i = 0;
        return turn.go(then, "get: the last of the extent");
    }
    Next::Done("get: a part of the extent")
}

fn answer(turn: &mut Turn) -> Next {
    let actor = *turn.actor();
    if actor.torn {
        return Next::Wrong("TORN: parts of two values".into());
    }
    if actor.answers & 1 << actor.value == 0 {
        return Next::Wrong(format!("MIXED: {} was never the value meanwhile", actor.value));
    }
    turn.go(Pc::Ended, "get: answers")
}

fn lookup_again(turn: &mut Turn) -> Next {
    forget(turn);
    turn.actor().copied = Extent::NONE;
    turn.go(lookup::Step::Seq, "get: another id, the name again")
}

fn forget(turn: &mut Turn) {
    let actor = turn.actor();
    (actor.version, actor.slot, actor.value, actor.torn, actor.i) = (0, 0, 0, false, 0);
}
