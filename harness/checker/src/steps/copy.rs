//! The value is copied into its extent, with no lock but a place's: while it stands there, and its
//! holder lives, nobody frees it.

use super::extent;
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::{Chunk, Extent, Lock},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Place,
    Pin,
    Stands,
    Write,
    Unpin,
    Leave,
    GiveUp,
}

/// Takes any place that can be had; those of the dead can.
pub fn take_place(turn: &mut Turn) -> bool {
    let Some(number) =
        (0..turn.world.places.len()).find(|&at| turn.can_take(turn.world.places[at].lock))
    else {
        return false;
    };
    turn.actor().place = number as u8;
    turn.place().lock = turn.held();
    turn.actor().pending = Word::Place(number as u8);
    true
}

pub fn leave_place(turn: &mut Turn) {
    turn.place().lock = Lock::Free;
    turn.actor().pending = Word::None;
    turn.actor().place = 0;
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let member = usize::from(actor.member);
    let extent = actor.mine[member];
    match step {
        Place => {
            if !take_place(turn) {
                return Next::Blocked;
            }
            let early = turn.has(Fault::TokenBeforePin);
            turn.go(if early { Stands } else { Pin }, "lock(place)")
        }
        Pin => {
            turn.place().pin = extent.pin();
            let unchecked = turn.has(Fault::TokenBeforePin) || turn.has(Fault::NoTokenAtPlace);
            turn.go(if unchecked { Write } else { Stands }, "copy: pin")
        }
        // After `fence(SeqCst)`: who frees it makes the token void, and then looks at the places.
        Stands => {
            if turn.world.stands(extent) {
                let early = turn.has(Fault::TokenBeforePin);
                return turn.go(if early { Pin } else { Write }, "copy: the token is right");
            }
            turn.actor().mine[member] = Extent::NONE;
            turn.actor().i = u8::MAX;
            turn.go(Unpin, "copy: the token is void")
        }
        Write => {
            if turn.has(Fault::UnpinnedCopy) {
                turn.place().pin = 0;
            }
            // Void for a moment, while somebody who sweeps looks at the places, is nothing yet.
            let token = turn.world.contents[extent.chunk()].token;
            let mine = token == 0 || token == extent.token;
            if !mine || turn.world.chunks[extent.chunk()] != Chunk::First(actor.run) {
                return Next::Wrong("OWNED: a copy into what is another's by now".into());
            }
            let value = actor.value;
            turn.world.contents[extent.chunk() + usize::from(actor.i)].data = value;
            turn.actor().i += 1;
            if turn.actor().i == actor.run {
                return turn.go(Unpin, "copy: the last of it");
            }
            turn.go(Write, "copy: a part of it")
        }
        Unpin => {
            turn.place().pin = 0;
            turn.go(Leave, "copy: pin = 0")
        }
        Leave => {
            leave_place(turn);
            let void = actor.i == u8::MAX;
            turn.actor().i = 0;
            if void {
                return turn.go(GiveUp, "unlock(place)");
            }
            turn.actor().reserved = super::Pc::Begin;
            turn.go(actor.reserved, "unlock(place)")
        }
        GiveUp => {
            turn.actor().old = actor.mine;
            turn.actor().mine = [Extent::NONE; 2];
            turn.actor().released = extent::Step::Again.into();
            turn.onward(extent::Step::Begin)
        }
    }
}
