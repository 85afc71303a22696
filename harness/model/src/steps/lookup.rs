//! A name is looked up, without a lock.

use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{CELLS, Cell},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Seq,
    Root,
    Word,
    Id,
    Name,
    SameId,
    Miss,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    match step {
        // `index_seq` is loaded first, then the root: the order is what makes a miss count.
        Seq if turn.has(Fault::RootBeforeSeq) => {
            turn.actor().root = turn.world.root;
            turn.go(Root, "lookup: root")
        }
        Root if turn.has(Fault::RootBeforeSeq) => {
            turn.actor().seq = turn.world.index_seq;
            turn.actor().cell = 0;
            turn.go(Word, "lookup: index_seq")
        }
        Seq => {
            turn.actor().seq = turn.world.index_seq;
            turn.go(Root, "lookup: index_seq")
        }
        Root => {
            turn.actor().root = turn.world.root;
            turn.actor().cell = 0;
            turn.go(Word, "lookup: root")
        }
        Word => {
            if usize::from(actor.cell) == CELLS {
                return turn.onward(Miss);
            }
            let cell = turn.table(actor.root).cells[usize::from(actor.cell)];
            turn.actor().cell += 1;
            match cell {
                Cell::Empty => turn.go(Miss, "lookup: an empty word"),
                Cell::Tombstone => turn.go(Word, "lookup: a tombstone"),
                Cell::Record(record) => {
                    turn.actor().record = record;
                    turn.go(Id, "lookup: a word")
                }
            }
        }
        Id => {
            let id = turn.record(actor.record).id;
            if id == 0 {
                return turn.go(Word, "lookup: no id, next word");
            }
            turn.actor().seen = id;
            turn.go(Name, "lookup: id")
        }
        Name => {
            if turn.record(actor.record).name == actor.name {
                turn.go(SameId, "lookup: the name")
            } else {
                turn.go(Word, "lookup: another name, next word")
            }
        }
        SameId => {
            if turn.record(actor.record).id != actor.seen {
                return turn.go(Seq, "lookup: another id, again");
            }
            turn.actor().id = actor.seen;
            forget(turn);
            turn.go(actor.found, "lookup: found")
        }
        Miss => {
            if turn.world.index_seq != actor.seq && !turn.has(Fault::MissNotChecked) {
                return turn.go(Seq, "lookup: index_seq moved, again");
            }
            forget(turn);
            turn.actor().record = 0;
            turn.go(actor.missed, "lookup: not there")
        }
    }
}

fn forget(turn: &mut Turn) {
    let actor = turn.actor();
    (actor.seen, actor.seq, actor.cell, actor.root) = (0, 0, 0, 0);
}
