//! What who takes L or T finds half-done, it ends or undoes.

use super::{collect, transaction};
use crate::{
    fault::Fault,
    turn::{Next, Turn},
    world::{Cell, Chunk, Journal, Lock, Operation, Table},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Structure,
    Births,
    FreeRecord,
    RootSeq,
    FreeTable,
    Clear,
    Transaction,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let Journal { operation, record, old, new } = turn.world.journal;
    match step {
        Structure => match operation {
            Operation::Nothing => {
                turn.actor().replaying = false;
                let entered = turn.actor().entered;
                turn.onward(entered)
            }
            Operation::Insert => {
                let linked = turn.world.table().place_of(usize::from(record));
                let published = if turn.has(Fault::IndexAfterId) {
                    linked.is_some()
                } else {
                    turn.record(record).id != 0
                };
                if published {
                    let quiet = turn.has(Fault::BirthsNotReplayed);
                    return turn.go(
                        if quiet { Clear } else { Births },
                        "replay: the insertion was published",
                    );
                }
                if let Some(cell) = linked {
                    let root = turn.world.root;
                    turn.table(root).cells[cell] = Cell::Tombstone;
                    return turn.go(Structure, "replay: the insertion's word, tombstone");
                }
                turn.record(record).id = 0;
                turn.go(FreeRecord, "replay: the insertion was not published")
            }
            Operation::Unlink => {
                turn.actor().target = record;
                let marked = turn.record(record).lock == Lock::MarkL;
                if marked || turn.has(Fault::ReplayWithoutMark) {
                    return turn.go(collect::Step::Look, "replay: a record was being collected");
                }
                turn.go(Clear, "replay: nothing was collected yet")
            }
            Operation::Root => {
                if turn.world.root == new {
                    return turn.go(RootSeq, "replay: the new index was published");
                }
                turn.table(new).taken = false;
                turn.go(Clear, "replay: free the new index")
            }
            Operation::Run => {
                let run = usize::from(old)..usize::from(old + new);
                if let Some(at) = run.rev().find(|at| turn.world.chunks[*at] != Chunk::Free) {
                    turn.world.chunks[at] = Chunk::Free;
                    return turn.go(Structure, "replay: a chunk of a run");
                }
                turn.go(Clear, "replay: nothing is left of the run")
            }
        },
        Births => {
            turn.world.births_wake += 1;
            turn.go(Clear, "replay: births_wake, wake")
        }
        FreeRecord => {
            turn.record(record).taken = false;
            turn.go(Clear, "replay: the insertion's bit")
        }
        RootSeq => {
            turn.world.index_seq += 1;
            turn.go(FreeTable, "replay: index_seq + 1")
        }
        FreeTable => {
            *turn.table(old) = Table::default();
            turn.go(Clear, "replay: free the old index")
        }
        Clear => {
            turn.world.journal = Journal::default();
            turn.actor().replaying = false;
            turn.actor().target = 0;
            let entered = turn.actor().entered;
            turn.go(entered, "replay: J = 0")
        }
        Transaction => {
            turn.actor().i = 0;
            if turn.world.members.committed {
                return turn.go(transaction::Step::Publish, "replay: a transaction was committed");
            }
            turn.onward(transaction::Step::Unmark)
        }
    }
}
