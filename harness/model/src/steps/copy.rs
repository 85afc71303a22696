//! The value is copied into its extent, under no lock: while its filler lives nobody frees it.

use crate::{
    turn::{Next, Turn},
    world::Chunk,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Write,
}

pub fn step(turn: &mut Turn, _: Step) -> Next {
    let actor = *turn.actor();
    let extent = actor.mine[usize::from(actor.member)];
    if !turn.world.stands(extent) || turn.world.chunks[extent.chunk()] != Chunk::First(actor.run) {
        return Next::Wrong("OWNED: a copy into what is another's by now".into());
    }
    turn.world.contents[extent.chunk() + usize::from(actor.i)].data = actor.value;
    turn.actor().i += 1;
    if turn.actor().i < actor.run {
        return turn.go(Step::Write, "copy: a part of it");
    }
    turn.actor().i = 0;
    turn.actor().reserved = super::Pc::Begin;
    turn.go(actor.reserved, "copy: the last of it")
}
