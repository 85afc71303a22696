//! A value, or a tombstone, is set to a record that was found.

use super::{Pc, copy, extent, lock, reserve};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{ACTORS, Chunk, Extent, INVALID, Slot},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Lock,
    SameId,
    Own,
    Reserve,
    Invalidate,
    Fill,
    Publish,
    Wake,
    Filled,
    Release,
    GiveUp,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let record = *turn.record(actor.record);
    match step {
        // What is small enough goes to the extent that the slot has, if it may.
        Begin if actor.run == 1 && !actor.mine[0].is_some() => {
            turn.actor().wanted = actor.record;
            turn.actor().locked = Own.into();
            turn.onward(lock::Step::Record)
        }
        // Else a large value is copied before the record is locked.
        Begin | Reserve if actor.run > 0 && !actor.mine[0].is_some() => {
            (turn.actor().reserve_for, turn.actor().reserve_id) = (actor.record, actor.id);
            turn.actor().reserved = Lock.into();
            turn.onward(reserve::Step::Begin)
        }
        Begin | Reserve | Lock => {
            turn.actor().wanted = actor.record;
            turn.actor().locked = SameId.into();
            turn.onward(lock::Step::Record)
        }
        Own => {
            let extent = record.slots[record.other()].extent;
            let head = turn.world.contents[extent.chunk()];
            let pinned = (0..ACTORS)
                .any(|who| turn.world.pins[who] == extent.pin() && !turn.world.is_dead(who as u8));
            let own = extent.is_some()
                && turn.world.chunks[extent.chunk()] == Chunk::First(1)
                && (head.record, head.id, head.filler) == (actor.record, actor.id, 0);
            if record.id == actor.id && own && (!pinned || turn.has(Fault::WritesOverPins)) {
                turn.actor().mine[0] = Extent { token: head.token, ..extent };
                turn.actor().in_place = true;
                return turn.go(Invalidate, "set: the slot has an extent");
            }
            turn.actor().left = Reserve.into();
            turn.go(lock::Step::LeaveRecord, "set: not in place")
        }
        SameId => {
            if record.id == actor.id {
                return turn.go(Invalidate, "set: the id is right");
            }
            turn.actor().left = GiveUp.into();
            turn.go(lock::Step::LeaveRecord, "set: another id")
        }
        Invalidate => {
            let slot = &mut turn.record(actor.record).slots[record.other()];
            let old = slot.extent;
            slot.version = INVALID;
            turn.actor().version = record.version;
            if actor.in_place {
                turn.actor().reserved = Fill.into();
                turn.actor().in_place = false;
                return turn.go(copy::Step::Write, "set: slot.version = INVALID");
            }
            turn.actor().old[0] = old;
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
            if record.waited {
                return turn.go(Wake, "set: state.swap");
            }
            published(turn, "set: state.swap")
        }
        Wake => {
            turn.wake_value(actor.record);
            published(turn, "set: wake")
        }
        Release => {
            turn.actor().released = Pc::Ended;
            turn.onward(extent::Step::Begin)
        }
        Filled => {
            turn.world.contents[actor.mine[0].chunk()].filler = 0;
            turn.actor().mine[0] = Extent::NONE;
            turn.actor().left = Release.into();
            turn.go(lock::Step::LeaveRecord, "set: filler = 0")
        }
        GiveUp => {
            turn.actor().released = extent::Step::Again.into();
            turn.onward(extent::Step::Forsake)
        }
    }
}

fn published(turn: &mut Turn, did: &'static str) -> Next {
    if turn.actor().mine[0].is_some() {
        return turn.go(Step::Filled, did);
    }
    turn.actor().left = Step::Release.into();
    turn.go(lock::Step::LeaveRecord, did)
}
