//! A value, or a tombstone, is set to a record that was found.

use super::{Pc, extent, lock, reserve};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{Extent, INVALID, Slot},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Lock,
    SameId,
    Stands,
    Invalidate,
    Fill,
    Publish,
    Wake,
    Release,
    GiveUp,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let record = *turn.record(actor.record);
    match step {
        // A large value is copied before the record is locked.
        Begin if actor.run > 0 && !actor.mine[0].is_some() => {
            turn.actor().reserve_for = actor.record;
            turn.actor().reserved = Lock.into();
            turn.onward(reserve::Step::Begin)
        }
        Begin | Lock => {
            turn.actor().wanted = actor.record;
            turn.actor().locked = SameId.into();
            turn.onward(lock::Step::Record)
        }
        SameId => {
            if record.id == actor.id {
                let large = actor.mine[0].is_some() && !turn.has(Fault::NoTokenUnderLock);
                return turn.go(if large { Stands } else { Invalidate }, "set: the id is right");
            }
            turn.actor().left = GiveUp.into();
            turn.go(lock::Step::LeaveRecord, "set: another id")
        }
        // Under the record's lock: without its mark no sweep takes the extent from now on.
        Stands => {
            if turn.world.stands(actor.mine[0]) {
                return turn.go(Invalidate, "set: the token is right");
            }
            turn.actor().left = GiveUp.into();
            turn.go(lock::Step::LeaveRecord, "set: the token is void")
        }
        Invalidate => {
            let slot = &mut turn.record(actor.record).slots[record.other()];
            let old = if slot.version == INVALID { Extent::NONE } else { slot.extent };
            slot.version = INVALID;
            turn.actor().old[0] = old;
            turn.actor().version = record.version;
            turn.go(Fill, "set: slot.version = INVALID")
        }
        Fill => {
            turn.record(actor.record).slots[record.other()] = Slot {
                version: actor.version + 1,
                value: if actor.mine[0].is_some() { 0 } else { actor.value },
                extent: actor.mine[0],
            };
            turn.go(Publish, "set: fill the slot")
        }
        Publish => {
            if record.version != actor.version || record.lock != turn.held() {
                return Next::Wrong("LOST: a record changed under its lock".into());
            }
            if record.id != actor.id || record.name != actor.name {
                return Next::Wrong("MIXED: set publishes in another variable's record".into());
            }
            let value = actor.value;
            turn.world.truth.values[usize::from(actor.name)] = value;
            let shared = turn.record(actor.record);
            shared.current = record.other() as u8;
            shared.version = actor.version + 1;
            shared.waited = false;
            turn.actor().mine[0] = Extent::NONE;
            if record.waited {
                return turn.go(Wake, "set: state.swap");
            }
            turn.actor().left = Release.into();
            turn.go(lock::Step::LeaveRecord, "set: state.swap")
        }
        Wake => {
            turn.wake_value(actor.record);
            turn.actor().left = Release.into();
            turn.go(lock::Step::LeaveRecord, "set: wake")
        }
        Release => {
            turn.actor().released = Pc::Ended;
            turn.onward(extent::Step::Begin)
        }
        GiveUp => {
            turn.actor().old = actor.mine;
            turn.actor().mine = [Extent::NONE; 2];
            turn.actor().released = extent::Step::Again.into();
            turn.onward(extent::Step::Begin)
        }
    }
}
