//! Locks of records, L and T. A thread holds one at a time: the one that its pending word names.

use super::{Pc, collect, replay};
use crate::{
    actor::{self, Life},
    fault::Fault,
    turn::{Next, Turn},
    world::Lock,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Takes the lock of the record `wanted`, then goes on at `locked`.
    Record,
    TellDeath,
    /// It bore a mark: L or T was taken, which replayed, and is left again.
    Helped,
    /// Gives it back, then goes on at `left`.
    LeaveRecord,
    /// Takes `word`, replays, then goes on at `entered`.
    Word,
    LeaveWord,
    /// Marks the record `target`, once, then goes on at `marked`, with `said` telling whether.
    Mark,
    /// Wakes who waits for the value of `target`, then goes on at `marked`.
    WakeValue,
    MarkTold,
}

/// Takes L or T, then goes on.
pub fn enter(turn: &mut Turn, word: actor::Word, then: impl Into<Pc>) -> Next {
    turn.actor().word = word;
    turn.actor().entered = then.into();
    turn.onward(Step::Word)
}

/// Leaves L or T, then goes on.
pub fn leave(turn: &mut Turn, then: impl Into<Pc>, did: &'static str) -> Next {
    turn.actor().left = then.into();
    turn.go(Step::LeaveWord, did)
}

/// What came of a try to mark.
pub enum Marked {
    Yes,
    /// The holder died: those who wait for the value are woken first.
    Wake,
    Busy,
    Stale,
}

/// Puts a mark into the lock of a record, once. `told`: those who wait for its value were woken.
pub fn try_mark(turn: &mut Turn, record: u8, mark: Lock, told: bool) -> Marked {
    let lock = turn.record(record).lock;
    match lock {
        lock if lock == mark => return Marked::Stale,
        Lock::Free => {}
        Lock::Died if told || turn.has(Fault::DeathNotTold) => {}
        Lock::Died => return Marked::Wake,
        _ => return Marked::Busy,
    }
    turn.record(record).lock = mark;
    Marked::Yes
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let lock = turn.record(actor.wanted).lock;
    let lock_before = turn.record(actor.target).lock;
    match step {
        Record => match lock {
            Lock::Free => {
                turn.record(actor.wanted).lock = turn.held();
                turn.actor().pending = actor::Word::Record(actor.wanted);
                turn.go(actor.locked, "lock(record)")
            }
            Lock::MarkT => enter(turn, actor::Word::T, Helped),
            Lock::MarkL => enter(turn, actor::Word::L, Helped),
            Lock::Held(_) if !turn.can_take(lock) => {
                turn.actor().life = Life::Asleep;
                turn.go(Record, "lock(record): sleeps")
            }
            Lock::Died | Lock::Held(_) => {
                turn.record(actor.wanted).lock = turn.held();
                turn.actor().pending = actor::Word::Record(actor.wanted);
                let quiet = turn.has(Fault::DeathNotTold);
                let next = if quiet { actor.locked } else { TellDeath.into() };
                turn.go(next, "lock(record), whose holder died")
            }
        },
        TellDeath => {
            turn.wake_value(actor.wanted);
            turn.go(actor.locked, "wakes who waits for the value")
        }
        Helped => {
            turn.actor().left = Record.into();
            turn.onward(LeaveWord)
        }
        LeaveRecord => {
            if turn.has(Fault::PendingClearedFirst) && actor.pending != actor::Word::None {
                turn.actor().pending = actor::Word::None;
                return turn.go(LeaveRecord, "pending = 0, too early");
            }
            turn.record(actor.wanted).lock = Lock::Free;
            turn.wake_sleeper(actor.wanted);
            turn.actor().pending = actor::Word::None;
            turn.actor().wanted = 0;
            turn.go(actor.left, "unlock(record)")
        }
        Word => {
            let held = turn.held();
            let lock = turn.world.lock_word(actor.word).map_or(Lock::Free, |lock| *lock);
            if !turn.can_take(lock) {
                return Next::Blocked;
            }
            if let Some(lock) = turn.world.lock_word(actor.word) {
                *lock = held;
            }
            turn.actor().pending = actor.word;
            if actor.word == actor::Word::T {
                turn.actor().replaying = true;
                return turn.go(replay::Step::Transaction, "lock(T)");
            }
            if turn.has(Fault::NoReplay) {
                return turn.go(actor.entered, "lock(L), no replay");
            }
            turn.actor().replaying = true;
            turn.go(replay::Step::Structure, "lock(L)")
        }
        LeaveWord => {
            if turn.has(Fault::PendingClearedFirst) && actor.pending != actor::Word::None {
                turn.actor().pending = actor::Word::None;
                return turn.go(LeaveWord, "pending = 0, too early");
            }
            let did = if actor.word == actor::Word::T {
                turn.world.transactions = Lock::Free;
                "unlock(T)"
            } else {
                turn.world.structure = Lock::Free;
                "unlock(L)"
            };
            let this = turn.actor();
            this.pending = actor::Word::None;
            this.word = actor::Word::None;
            (this.entered, this.left) = (Pc::Begin, Pc::Begin);
            (this.i, this.target, this.said) = (0, 0, false);
            turn.go(actor.left, did)
        }
        // Who dies before this leaves it to who replays.
        MarkTold => {
            turn.wake_value(actor.target);
            turn.go(actor.marked, "wakes who waits for the value: the record's holder died")
        }
        WakeValue => {
            turn.wake_value(actor.target);
            turn.actor().target = 0;
            turn.go(actor.marked, "apply: wake")
        }
        Mark => match try_mark(turn, actor.target, Lock::MarkL, true) {
            Marked::Yes => {
                turn.actor().said = true;
                turn.go(
                    if lock_before == Lock::Died { MarkTold.into() } else { actor.marked },
                    "MARK_L",
                )
            }
            Marked::Wake => Next::Blocked,
            Marked::Stale => Next::Wrong("STUCK: a mark of L that nobody took away".into()),
            Marked::Busy => {
                let collecting = actor.marked == Pc::Collect(collect::Step::Marked);
                if turn.has(Fault::CollectWaits) && collecting {
                    return Next::Blocked;
                }
                turn.actor().said = false;
                turn.go(actor.marked, "no mark: somebody has the record")
            }
        },
    }
}
