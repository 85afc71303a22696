//! A new index takes the place of the old one.

use super::{Pc, lock};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{self, CELLS, Cell, Operation},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Table,
    Empty,
    Fill,
    Root,
    Seq,
    Free,
    Clear,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let new = 1 - turn.world.root;
    match step {
        Begin => {
            if turn.table(new).taken && !turn.has(Fault::TableBeforeJournal) {
                return Next::Wrong("LEAKED: an index that is none".into());
            }
            if turn.has(Fault::TableBeforeJournal) && !turn.table(new).taken {
                turn.table(new).taken = true;
                return turn.go(Begin, "rebuild: a table, too early");
            }
            turn.world.journal =
                world::Journal { operation: Operation::Root, record: 0, old: turn.world.root, new };
            turn.go(Table, "rebuild: J = ROOT")
        }
        Table => {
            turn.table(new).taken = true;
            turn.go(Empty, "rebuild: a table")
        }
        Empty => {
            turn.table(new).cells = [Cell::Empty; CELLS];
            (turn.actor().i, turn.actor().cell) = (0, 0);
            turn.go(Fill, "rebuild: its words are empty")
        }
        Fill => {
            let old = turn.world.table().cells;
            let from = usize::from(actor.i);
            let next = (from..CELLS).find(|&at| matches!(old[at], Cell::Record(_)));
            let Some(next) = next else {
                (turn.actor().i, turn.actor().cell) = (0, 0);
                return turn.onward(Root);
            };
            turn.table(new).cells[usize::from(actor.cell)] = old[next];
            turn.actor().cell += 1;
            turn.actor().i = next as u8 + 1;
            turn.go(Fill, "rebuild: a word")
        }
        Root => {
            turn.world.root = new;
            turn.go(if turn.has(Fault::SeqAfterFree) { Free } else { Seq }, "rebuild: the root")
        }
        Seq => {
            turn.world.index_seq += 1;
            let late = turn.has(Fault::SeqAfterFree);
            turn.go(if late { Clear } else { Free }, "rebuild: index_seq + 1")
        }
        Free => {
            // `new` is the old one by now.
            *turn.table(new) = world::Table::default();
            turn.go(
                if turn.has(Fault::SeqAfterFree) { Seq } else { Clear },
                "rebuild: free the old",
            )
        }
        Clear => {
            turn.world.journal = world::Journal::default();
            lock::leave(turn, Pc::Ended, "rebuild: J = 0")
        }
    }
}
