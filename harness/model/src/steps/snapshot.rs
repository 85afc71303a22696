//! Two values of one instant: read twice without a lock, else under T and marks.

use super::{Pc, lock, lookup, transaction};
use crate::{
    actor::Word,
    fault::Fault,
    turn::{Next, Turn},
    world::Lock,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Resolved,
    Seq,
    Read,
    Same,
    SameSeq,
    Journal,
    Count,
    Mark,
    Marked,
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let i = usize::from(actor.i);
    match step {
        Resolved => {
            if !transaction::remember(turn) {
                return turn.onward(lookup::Step::Seq);
            }
            turn.onward(Seq)
        }
        Seq if actor.attempts == 2 => {
            turn.actor().i = 0;
            lock::enter(turn, Word::T, Journal)
        }
        Seq if turn.world.tseq % 2 == 1 => turn.again_at(Seq, "snapshot: a commit is under way"),
        Seq => {
            turn.actor().seq = turn.world.tseq;
            turn.actor().i = 0;
            turn.go(Read, "snapshot: tseq")
        }
        Read => {
            let record = *turn.record(actor.records[i]);
            turn.actor().torn |= record.id != actor.ids[i];
            turn.actor().versions[i] = record.version;
            turn.actor().i = (actor.i + 1) % 2;
            turn.go(if i == 0 { Read } else { Same }, "snapshot: reads one")
        }
        Same => {
            let record = *turn.record(actor.records[i]);
            if record.id != actor.ids[i] && !turn.has(Fault::SnapshotWithoutIds) {
                return turn.go(Pc::Ended, "snapshot: one is gone");
            }
            if record.version != actor.versions[i] {
                return turn.again_at(Seq, "snapshot: one has moved, again");
            }
            turn.actor().i = (actor.i + 1) % 2;
            turn.go(if i == 0 { Same } else { SameSeq }, "snapshot: one is the same")
        }
        SameSeq => {
            if turn.world.tseq != actor.seq {
                return turn.again_at(Seq, "snapshot: tseq moved, again");
            }
            if actor.torn {
                return Next::Wrong("MIXED: a snapshot of another variable's record".into());
            }
            match torn(turn) {
                Some(torn) => Next::Wrong(torn),
                None => turn.go(Pc::Ended, "snapshot: answers"),
            }
        }
        Journal => {
            let order = transaction::order(&actor, i);
            turn.world.members.records[i] = actor.records[order];
            turn.go(Count, "snapshot: J.rec")
        }
        Count => {
            turn.world.members.count = actor.i + 1;
            turn.go(Mark, "snapshot: J.n")
        }
        Mark => {
            let number = turn.world.members.records[i];
            match lock::try_mark(turn, number, Lock::MarkT, actor.said) {
                lock::Marked::Yes => {
                    turn.actor().said = false;
                    turn.actor().i = (actor.i + 1) % 2;
                    turn.go(if i == 0 { Journal } else { Marked }, "MARK_T")
                }
                lock::Marked::Wake => {
                    turn.actor().said = true;
                    turn.wake_value(number);
                    turn.go(Mark, "wakes who waits for the value: the record's holder died")
                }
                lock::Marked::Busy if turn.record(number).lock == Lock::MarkL => {
                    turn.actor().left = Pc::Ended;
                    turn.actor().i = 0;
                    turn.go(transaction::Step::Unmark, "snapshot: TimedOut")
                }
                lock::Marked::Busy => Next::Blocked,
                lock::Marked::Stale => {
                    Next::Wrong("STUCK: a mark of T that nobody took away".into())
                }
            }
        }
        Marked => {
            for number in 0..2 {
                let record = *turn.record(actor.records[number]);
                turn.actor().versions[number] = record.version;
            }
            if let Some(torn) = torn(turn) {
                return Next::Wrong(torn);
            }
            turn.actor().left = Pc::Ended;
            turn.actor().i = 0;
            turn.go(transaction::Step::Unmark, "snapshot: reads all")
        }
    }
}

impl Turn {
    fn again_at(&mut self, at: Step, did: &'static str) -> Next {
        let actor = self.actor();
        actor.attempts += 1;
        (actor.i, actor.seq, actor.versions, actor.torn) = (0, 0, [0; 2], false);
        self.go(at, did)
    }
}

/// Whether the versions read hold one part of a committed transaction and not the other.
fn torn(turn: &mut Turn) -> Option<String> {
    let actor = *turn.actor();
    let truth = &turn.world.truth;
    let version_of =
        |id: u8| actor.ids.iter().position(|own| *own == id).map(|number| actor.versions[number]);
    for [(first, at_first), (second, at_second)] in &truth.committed[..usize::from(truth.commits)] {
        if let (Some(one), Some(two)) = (version_of(*first), version_of(*second))
            && (one >= *at_first) != (two >= *at_second)
        {
            return Some(format!("TORN: a snapshot has half of a transaction ({one}, {two})"));
        }
    }
    None
}
