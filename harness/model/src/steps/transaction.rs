//! Two values are set as one: under T, with the records marked; the journal's status is the commit.

use super::{Pc, extent, lock, lookup, reserve};
use crate::{
    actor::{Actor, Deed, Word},
    fault::Fault,
    turn::{Next, Turn},
    world::{Extent, INVALID, Lock, Members, Slot},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Resolved,
    Extents,
    Journal,
    Count,
    Mark,
    Ids,
    Invalidate,
    Fill,
    To,
    Odd,
    Commit,
    // From here on also who replays.
    Publish,
    Wake,
    Finish,
    Status,
    Clear,
    Filled,
    Release,
    // Not committed.
    Unmark,
    UnmarkLate,
    Abandon,
    Again,
    Help,
    Helped,
}

/// Remembers what the name of this member led to; false if there is another name to resolve.
pub fn remember(turn: &mut Turn) -> bool {
    let actor = *turn.actor();
    let number = usize::from(actor.member);
    let this = turn.actor();
    this.records[number] = actor.record;
    this.ids[number] = actor.id;
    (this.record, this.id, this.version, this.i) = (0, 0, 0, 0);
    if number == 0 {
        this.member = 1;
        let name = turn.deed.member(1).0;
        turn.actor().name = name;
        return false;
    }
    (this.member, this.name) = (0, 0);
    (this.found, this.missed) = (Pc::Begin, Pc::Begin);
    true
}

/// Which member is number `i` in the order of the records.
pub fn order(actor: &Actor, i: usize) -> usize {
    if actor.records[0] <= actor.records[1] { i } else { 1 - i }
}

pub fn step(turn: &mut Turn, step: Step) -> Next {
    use Step::*;
    let actor = *turn.actor();
    let i = usize::from(actor.i);
    let number = turn.world.members.records[i.min(1)];
    match step {
        Resolved => {
            if !remember(turn) {
                return turn.onward(lookup::Step::Seq);
            }
            turn.onward(Extents)
        }
        // Before T: what is large is copied under no lock.
        Extents => {
            let missing = (0..2)
                .find(|&member| turn.deed.member(member).2 > 0 && !actor.mine[member].is_some());
            let Some(member) = missing else {
                let this = turn.actor();
                (this.value, this.run, this.member, this.i) = (0, 0, 0, 0);
                return lock::enter(turn, Word::T, Journal);
            };
            let (_, value, run) = turn.deed.member(member);
            let this = turn.actor();
            (this.value, this.run, this.member) = (value, run, member as u8);
            this.reserve_for = actor.records[member];
            this.reserve_id = actor.ids[member];
            this.reserved = Extents.into();
            turn.onward(reserve::Step::Begin)
        }
        Journal => {
            turn.world.members.records[i] = actor.records[order(&actor, i)];
            let early = turn.has(Fault::MarkBeforeJournal);
            turn.go(if early { Mark } else { Count }, "transaction: J.rec")
        }
        Count => {
            turn.world.members.count = actor.i + 1;
            if turn.has(Fault::MarkBeforeJournal) {
                return next_mark(turn, "transaction: J.n");
            }
            turn.go(Mark, "transaction: J.n")
        }
        Mark => mark(turn, number),
        // A record may have become another variable's since its name was looked up.
        Ids => {
            turn.actor().i = 0;
            let right = (0..2).all(|at| turn.record(actor.records[at]).id == actor.ids[at]);
            if !right && !turn.has(Fault::NoIdsAfterMarks) {
                turn.actor().left = Abandon.into();
                return turn.go(Unmark, "transaction: another id");
            }
            let first = begin(turn);
            turn.go(first, "transaction: the ids are right")
        }
        Invalidate => {
            let member = order(&actor, i);
            let record = turn.record(number);
            let slot = &mut record.slots[1 - usize::from(record.current)];
            let old = slot.extent;
            slot.version = INVALID;
            turn.actor().old[member] = old;
            turn.go(Fill, "transaction: slot.version = INVALID")
        }
        Fill => {
            let member = order(&actor, i);
            let (name, value, _) = turn.deed.member(member);
            let extent = actor.mine[member];
            let record = turn.record(number);
            if record.name != name {
                return Next::Wrong("MIXED: it fills a slot of another variable's record".into());
            }
            let value = if extent.is_some() { 0 } else { value };
            record.slots[record.other()] = Slot { version: record.version + 1, value, extent };
            turn.go(To, "transaction: fill the slot")
        }
        To => {
            let record = *turn.record(number);
            turn.world.members.slots[i] = record.other() as u8;
            turn.world.members.versions[i] = record.version + 1;
            turn.actor().i = (actor.i + 1) % 2;
            let last = if turn.has(Fault::CommitBeforeFill) { Publish } else { Odd };
            turn.go(if i == 0 { Invalidate } else { last }, "transaction: J.to")
        }
        Odd => {
            turn.world.tseq += 1;
            turn.go(Commit, "transaction: tseq odd")
        }
        Commit => {
            if turn.has(Fault::CommitBeforeFill) {
                turn.world.tseq += 1;
            }
            let members = turn.world.members;
            let part = |at: usize| {
                let record = &turn.world.records[usize::from(members.records[at])];
                (record.id, record.version + 1)
            };
            let parts = [part(0), part(1)];
            turn.world.members.committed = true;
            let truth = &mut turn.world.truth;
            truth.committed[usize::from(truth.commits)] = parts;
            truth.commits += 1;
            if turn.has(Fault::CommitBeforeFill) {
                return turn.go(Invalidate, "transaction: COMMITTED, too early");
            }
            turn.go(Publish, "transaction: COMMITTED")
        }
        Publish => publish(turn),
        Wake => wake_and_unmark(turn),
        Finish => {
            turn.actor().i = 0;
            let odd = turn.world.tseq % 2 == 1;
            if odd && !(turn.has(Fault::SequenceStaysOdd) && actor.replaying) {
                turn.world.tseq += 1;
                return turn.go(Status, "apply: tseq even");
            }
            turn.onward(Status)
        }
        Status => {
            if turn.has(Fault::StatusBeforeUnmark)
                && !actor.replaying
                && turn.world.members.committed
            {
                turn.world.members =
                    Members { records: turn.world.members.records, ..Members::default() };
                turn.actor().i = 0;
                return turn.go(UnmarkLate, "apply: status = 0, too early");
            }
            if turn.world.members.committed {
                turn.world.members.committed = false;
                return turn.go(Clear, "apply: status = 0");
            }
            turn.onward(Clear)
        }
        Clear => {
            turn.world.members = Members::default();
            turn.actor().i = 0;
            if actor.replaying {
                turn.actor().replaying = false;
                return turn.go(actor.entered, "replay: n = 0");
            }
            turn.go(Filled, "apply: n = 0")
        }
        Filled => {
            let Some(member) = actor.mine.iter().position(|extent| extent.is_some()) else {
                turn.actor().left = Release.into();
                return turn.onward(lock::Step::LeaveWord);
            };
            if !turn.world.stands(actor.mine[member]) {
                return Next::Wrong("OWNED: freed while its filler lives".into());
            }
            turn.world.contents[actor.mine[member].chunk()].filler = 0;
            turn.actor().mine[member] = Extent::NONE;
            turn.go(Filled, "transaction: filler = 0")
        }
        Release => {
            turn.actor().released = Pc::Ended;
            turn.onward(extent::Step::Begin)
        }
        Unmark => unmark(turn),
        UnmarkLate => {
            if turn.world.tseq % 2 == 1 {
                turn.world.tseq += 1;
                return turn.go(UnmarkLate, "apply: tseq even");
            }
            if i == 2 {
                return turn.onward(Clear);
            }
            turn.record(number).lock = Lock::Free;
            turn.actor().i += 1;
            turn.go(UnmarkLate, "apply: unmark")
        }
        Abandon | Help => {
            turn.actor().released =
                if step == Help { Helped.into() } else { extent::Step::Again.into() };
            turn.onward(extent::Step::Forsake)
        }
        // Taking L replays what its dead holder left, and so takes the mark away.
        Helped => {
            turn.actor().left = Again.into();
            lock::enter(turn, Word::L, lock::Step::LeaveWord)
        }
        Again => turn.onward(extent::Step::Again),
    }
}

fn begin(turn: &Turn) -> Step {
    if turn.has(Fault::CommitBeforeFill) { Step::Commit } else { Step::Invalidate }
}

fn next_mark(turn: &mut Turn, did: &'static str) -> Next {
    let i = turn.actor().i;
    turn.actor().i = (i + 1) % 2;
    turn.go(if i == 0 { Step::Journal } else { Step::Ids }, did)
}

fn mark(turn: &mut Turn, number: u8) -> Next {
    let said = turn.actor().said;
    match lock::try_mark(turn, number, Lock::MarkT, said) {
        lock::Marked::Yes => {
            turn.actor().said = false;
            if turn.has(Fault::MarkBeforeJournal) {
                return turn.go(Step::Count, "MARK_T");
            }
            next_mark(turn, "MARK_T")
        }
        lock::Marked::Wake => {
            turn.actor().said = true;
            turn.wake_value(number);
            turn.go(Step::Mark, "wakes who waits for the value: the record's holder died")
        }
        lock::Marked::Stale => Next::Wrong("STUCK: a mark of T that nobody took away".into()),
        lock::Marked::Busy if turn.record(number).lock == Lock::MarkL => {
            if turn.has(Fault::WaitsForMarkL) {
                return Next::Blocked;
            }
            turn.actor().left = Step::Help.into();
            turn.actor().i = 0;
            turn.go(Step::Unmark, "transaction: L has marked one")
        }
        lock::Marked::Busy if matches!(turn.deed, Deed::Transact(_)) => Next::Blocked,
        lock::Marked::Busy => {
            // The deadline: what was reserved is given back.
            turn.actor().tries = 1;
            turn.actor().left = Step::Abandon.into();
            turn.actor().i = 0;
            turn.go(Step::Unmark, "transaction: TimedOut")
        }
    }
}

/// Makes the filled slots the current ones.
fn publish(turn: &mut Turn) -> Next {
    let i = usize::from(turn.actor().i);
    let members = turn.world.members;
    if i >= usize::from(members.count) {
        turn.actor().i = 0;
        let early = turn.has(Fault::StatusBeforeUnmark) && !turn.actor().replaying;
        return turn.onward(if early { Step::Status } else { Step::Wake });
    }
    turn.actor().i += 1;
    let (version, slot) = (members.versions[i], members.slots[i]);
    let record = *turn.record(members.records[i]);
    let due = record.lock == Lock::MarkT && record.version < version;
    let anyway = turn.has(Fault::ApplyWithoutMark) && version != 0 && record.version != version;
    if !due && !anyway {
        return turn.onward(Step::Publish);
    }
    let filled = record.slots[usize::from(slot)];
    if version != record.version + 1 || filled.version != version {
        return Next::Wrong("LOST: a transaction publishes what it has not filled".into());
    }
    let value = if filled.extent.is_some() {
        turn.world.contents[filled.extent.chunk()].data
    } else {
        filled.value
    };
    turn.world.truth.values[usize::from(record.name)] = value;
    let shared = turn.record(members.records[i]);
    (shared.version, shared.current, shared.waited) = (version, slot, false);
    if turn.has(Fault::WakeAtPublication) && record.waited {
        turn.actor().target = members.records[i];
        turn.actor().marked = Step::Publish.into();
        return turn.go(lock::Step::WakeValue, "apply: publish");
    }
    turn.go(Step::Publish, "apply: publish")
}

/// Where the mark still stands: wakes, then takes it away.
fn wake_and_unmark(turn: &mut Turn) -> Next {
    let actor = *turn.actor();
    let i = usize::from(actor.i);
    if i >= usize::from(turn.world.members.count) {
        turn.actor().i = 0;
        return turn.onward(Step::Finish);
    }
    let number = turn.world.members.records[i];
    if turn.record(number).lock != Lock::MarkT {
        turn.actor().i += 1;
        return turn.onward(Step::Wake);
    }
    if !actor.said {
        turn.actor().said = true;
        if !turn.has(Fault::WakeAtPublication) {
            turn.wake_value(number);
        }
        turn.wake_sleepers(number);
        return turn.go(Step::Wake, "apply: wakes who waits for value or lock");
    }
    turn.actor().said = false;
    turn.record(number).lock = Lock::Free;
    turn.actor().i += 1;
    turn.go(Step::Wake, "apply: unmark")
}

/// Takes the marks of a transaction away that was not committed.
fn unmark(turn: &mut Turn) -> Next {
    let actor = *turn.actor();
    let i = usize::from(actor.i);
    let members = turn.world.members;
    if i < usize::from(members.count) {
        let number = members.records[i];
        if turn.record(number).lock != Lock::MarkT {
            turn.actor().i += 1;
            return turn.onward(Step::Unmark);
        }
        if !actor.said {
            turn.actor().said = true;
            turn.wake_sleepers(number);
            return turn.go(Step::Unmark, "unmark: wakes who waits for the lock");
        }
        turn.actor().said = false;
        turn.record(number).lock = Lock::Free;
        turn.actor().i += 1;
        return turn.go(Step::Unmark, "unmark: not committed");
    }
    turn.actor().i = 0;
    if turn.world.tseq % 2 == 1 && !turn.has(Fault::SequenceStaysOdd) {
        turn.world.tseq += 1;
        return turn.go(Step::Unmark, "unmark: tseq even");
    }
    let idle = members.count == 0;
    turn.world.members = Members::default();
    if actor.replaying {
        turn.actor().replaying = false;
        return if idle {
            turn.onward(actor.entered)
        } else {
            turn.go(actor.entered, "replay: n = 0")
        };
    }
    turn.go(lock::Step::LeaveWord, "unmark: n = 0")
}
