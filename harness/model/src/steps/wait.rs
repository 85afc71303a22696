//! Who waits for another value sleeps, and is woken.

use super::{Pc, lookup};
use crate::{
    actor::Life,
    fault::Fault,
    turn::{Next, Turn},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Version,
    Wake,
    Flag,
    SameId,
    Park,
    Births,
    ParkForBirth,
    Woken,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let record = *turn.record(actor.record);
    match step {
        Version => {
            turn.actor().version = record.version;
            turn.go(Wake, "wait: the version seen")
        }
        Wake => {
            turn.actor().seen = record.wake;
            turn.go(Flag, "wait: wake")
        }
        Flag => {
            turn.record(actor.record).waited = true;
            if record.version != actor.version {
                return turn.go(Pc::Ended, "wait: fetch_or(WAIT), and it changed");
            }
            let ignored = turn.has(Fault::WaiterIgnoresId);
            turn.go(if ignored { Park } else { SameId }, "wait: fetch_or(WAIT)")
        }
        SameId => {
            let same = record.id == actor.id;
            turn.go(if same { Park.into() } else { Pc::Ended }, "wait: the id")
        }
        Park => {
            if record.wake != actor.seen {
                return turn.go(Pc::Ended, "wait: wake moved");
            }
            turn.actor().life = Life::Parked;
            turn.go(Woken, "wait: sleeps")
        }
        // No record: for the birth of one.
        Births => {
            let this = turn.actor();
            (this.id, this.version) = (0, 0);
            this.found = Pc::Ended;
            this.missed = ParkForBirth.into();
            let seen = turn.world.births_wake;
            turn.actor().versions[0] = seen;
            turn.go(lookup::Step::Seq, "wait: births_wake")
        }
        ParkForBirth => {
            if turn.world.births_wake != actor.versions[0] {
                return turn.go(Pc::Ended, "wait: births_wake moved");
            }
            turn.actor().seen = actor.versions[0];
            turn.actor().life = Life::Parked;
            turn.go(Woken, "wait: sleeps until a birth")
        }
        Woken => turn.go(Pc::Ended, "wait: woken"),
    }
}
