//! A variable is made: journal, bit, record, index word, and its id last, which publishes it.

use super::{Pc, extent, lock, set, transaction};
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::{self, Cell, Extent, INVALID, Operation},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Look,
    Journal,
    Bit,
    Name,
    Slot,
    State,
    Births,
    Index,
    Id,
    Wake,
    Clear,
    WakeLate,
    GiveUp,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let number = actor.target;
    match step {
        Begin => lock::enter(turn, Word::L, Look),
        Look => {
            let found = turn.world.find(actor.name);
            if let Some(found) = found.filter(|_| !turn.has(Fault::NoSecondLookup)) {
                turn.actor().record = found as u8;
                turn.actor().id = turn.world.records[found].id;
                let then: Pc = if turn.deed.is_transaction() {
                    transaction::Step::Resolved.into()
                } else {
                    set::Step::Begin.into()
                };
                return lock::leave(turn, then, "insert: found, now that L is held");
            }
            let room = turn.world.records.iter().position(|record| !record.taken);
            let (Some(room), Some(_)) = (room, turn.world.table().vacancy()) else {
                turn.actor().tries = 1;
                return lock::leave(turn, GiveUp, "insert: Full");
            };
            turn.actor().target = room as u8;
            turn.onward(if turn.has(Fault::BitBeforeJournal) { Bit } else { Journal })
        }
        Journal => {
            turn.world.journal =
                world::Journal { operation: Operation::Insert, record: number, old: 0, new: 0 };
            let next = if turn.has(Fault::BitBeforeJournal) { Name } else { Bit };
            turn.go(next, "insert: J = INSERT")
        }
        Bit => {
            turn.record(number).taken = true;
            let next = if turn.has(Fault::BitBeforeJournal) { Journal } else { Name };
            turn.go(next, "insert: the record's bit")
        }
        Name => {
            let record = turn.record(number);
            record.id = 0;
            let valid = record.slots.iter().map(|slot| slot.version).filter(|at| *at != INVALID);
            let version = valid.max().unwrap_or(0).max(record.version) + 1;
            record.name = actor.name;
            turn.actor().version = version;
            turn.go(
                if turn.has(Fault::IdBeforeSlot) { Births } else { Slot },
                "insert: id = 0, name",
            )
        }
        Slot => {
            // A large value is set once there is a record for it.
            let value = if actor.run > 0 { 0 } else { actor.value };
            turn.record(number).slots[0] =
                world::Slot { version: actor.version, value, extent: Extent::NONE };
            turn.go(State, "insert: the slot")
        }
        State => {
            let record = turn.record(number);
            (record.version, record.current, record.waited) = (actor.version, 0, false);
            record.slots[1] = world::Slot { version: INVALID, value: 0, extent: Extent::NONE };
            turn.go(if turn.has(Fault::IdBeforeSlot) { Wake } else { Births }, "insert: state")
        }
        Births => {
            turn.world.births += 1;
            turn.go(if turn.has(Fault::IndexAfterId) { Id } else { Index }, "insert: births + 1")
        }
        Index => {
            let root = turn.world.root;
            if let Some(cell) = turn.world.table().vacancy() {
                turn.table(root).cells[cell] = Cell::Record(number);
            }
            turn.go(if turn.has(Fault::IndexAfterId) { Wake } else { Id }, "insert: the index word")
        }
        Id => {
            let id = turn.world.births;
            turn.record(number).id = id;
            let value = if actor.run > 0 { 0 } else { actor.value };
            turn.world.truth.values[usize::from(actor.name)] = value;
            let this = turn.actor();
            (this.record, this.id, this.version) = (number, id, 0);
            let next = if turn.has(Fault::IndexAfterId) {
                Index
            } else if turn.has(Fault::IdBeforeSlot) {
                turn.actor().version = turn.record(number).version + 1;
                Slot
            } else {
                Wake
            };
            turn.go(next, "insert: the id")
        }
        Wake => {
            if turn.has(Fault::BirthsNotReplayed) {
                return turn.onward(Clear);
            }
            turn.world.births_wake += 1;
            turn.go(Clear, "insert: births_wake, wake")
        }
        Clear => {
            turn.world.journal = world::Journal::default();
            let then: Pc = if turn.deed.is_transaction() {
                transaction::Step::Resolved.into()
            } else if turn.has(Fault::BirthsNotReplayed) {
                WakeLate.into()
            } else if actor.run > 0 {
                set::Step::Begin.into()
            } else {
                Pc::Ended
            };
            lock::leave(turn, then, "insert: J = 0")
        }
        WakeLate => {
            turn.world.births_wake += 1;
            turn.go(Pc::Ended, "insert: births_wake, wake")
        }
        GiveUp => {
            turn.actor().released = extent::Step::Again.into();
            turn.onward(extent::Step::Begin)
        }
    }
}
