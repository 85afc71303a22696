//! The protocol, one file for each subject.

use crate::{
    actor::{Deed, Life, Word},
    turn::{Next, Turn},
};

pub mod collect;
pub mod copy;
pub mod extent;
pub mod get;
pub mod grow;
pub mod insert;
pub mod lock;
pub mod lookup;
pub mod rebuild;
pub mod replay;
pub mod reserve;
pub mod set;
pub mod snapshot;
pub mod sweep;
pub mod transaction;
pub mod wait;

/// The next step of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pc {
    #[default]
    Begin,
    Ended,
    Mend(Mend),
    Lookup(lookup::Step),
    Lock(lock::Step),
    Replay(replay::Step),
    Set(set::Step),
    Insert(insert::Step),
    Collect(collect::Step),
    Rebuild(rebuild::Step),
    Get(get::Step),
    Wait(wait::Step),
    Transaction(transaction::Step),
    Snapshot(snapshot::Step),
    Extent(extent::Step),
    Reserve(reserve::Step),
    Copy(copy::Step),
    Sweep(sweep::Step),
    Grow(grow::Step),
}

macro_rules! into_pc {
    ($($variant:ident: $step:ty),* $(,)?) => {
        $(impl From<$step> for Pc {
            fn from(step: $step) -> Self {
                Self::$variant(step)
            }
        })*
    };
}

into_pc! {
    Mend: Mend,
    Lookup: lookup::Step,
    Lock: lock::Step,
    Replay: replay::Step,
    Set: set::Step,
    Insert: insert::Step,
    Collect: collect::Step,
    Rebuild: rebuild::Step,
    Get: get::Step,
    Wait: wait::Step,
    Transaction: transaction::Step,
    Snapshot: snapshot::Step,
    Extent: extent::Step,
    Reserve: reserve::Step,
    Copy: copy::Step,
    Sweep: sweep::Step,
    Grow: grow::Step,
}

impl Pc {
    /// Whether the process is about to take a record's lock.
    pub fn takes_record(self) -> bool {
        self == Self::Lock(lock::Step::Record)
    }
}

/// Steps of who comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mend {
    Structure,
    Records,
}

pub fn step(turn: &mut Turn) -> Next {
    loop {
        let next = match turn.actor().at {
            Pc::Begin => begin(turn),
            Pc::Ended => ended(turn),
            Pc::Mend(step) => mend(turn, step),
            Pc::Lookup(step) => lookup::step(turn, step),
            Pc::Lock(step) => lock::step(turn, step),
            Pc::Replay(step) => replay::step(turn, step),
            Pc::Set(step) => set::step(turn, step),
            Pc::Insert(step) => insert::step(turn, step),
            Pc::Collect(step) => collect::step(turn, step),
            Pc::Rebuild(step) => rebuild::step(turn, step),
            Pc::Get(step) => get::step(turn, step),
            Pc::Wait(step) => wait::step(turn, step),
            Pc::Transaction(step) => transaction::step(turn, step),
            Pc::Snapshot(step) => snapshot::step(turn, step),
            Pc::Extent(step) => extent::step(turn, step),
            Pc::Reserve(step) => reserve::step(turn, step),
            Pc::Copy(step) => copy::step(turn, step),
            Pc::Sweep(step) => sweep::step(turn, step),
            Pc::Grow(step) => grow::step(turn, step),
        };
        if !matches!(next, Next::Onward) {
            return next;
        }
    }
}

fn begin(turn: &mut Turn) -> Next {
    let deed = turn.deed;
    let (name, value, run) = deed.member(0);
    let answers = 1 << turn.world.truth.values[usize::from(name)];
    let length = turn.world.section;
    let actor = turn.actor();
    actor.name = name;
    match deed {
        Deed::Set(..) | Deed::Remove(_) => {
            actor.value = value;
            actor.run = run;
            actor.found = set::Step::Begin.into();
            actor.missed = if value == 0 { Pc::Ended } else { insert::Step::Begin.into() };
            turn.onward(lookup::Step::Seq)
        }
        Deed::Get(_) => {
            actor.answers = answers;
            actor.found = get::Step::State.into();
            actor.missed = get::Step::Absent.into();
            turn.onward(lookup::Step::Seq)
        }
        Deed::Wait(_) => {
            actor.found = wait::Step::Version.into();
            actor.missed = wait::Step::Births.into();
            turn.onward(lookup::Step::Seq)
        }
        Deed::Transact(_) | Deed::TransactAtOnce(_) => {
            actor.found = transaction::Step::Resolved.into();
            actor.missed = insert::Step::Begin.into();
            turn.onward(lookup::Step::Seq)
        }
        Deed::Snapshot(_) => {
            actor.found = snapshot::Step::Resolved.into();
            actor.missed = Pc::Ended;
            turn.onward(lookup::Step::Seq)
        }
        Deed::Collect(record) => {
            actor.target = record;
            lock::enter(turn, Word::L, collect::Step::Begin)
        }
        Deed::Rebuild => lock::enter(turn, Word::L, rebuild::Step::Begin),
        Deed::Sweep => {
            actor.swept = lock::Step::LeaveWord.into();
            actor.left = Pc::Ended;
            lock::enter(turn, Word::L, sweep::Step::Begin)
        }
        Deed::Grow => {
            actor.length = length + 1;
            actor.grown = lock::Step::LeaveWord.into();
            actor.left = Pc::Ended;
            lock::enter(turn, Word::L, grow::Step::Section)
        }
        Deed::Mend => {
            actor.left = Mend::Structure.into();
            lock::enter(turn, Word::T, lock::Step::LeaveWord)
        }
    }
}

fn mend(turn: &mut Turn, step: Mend) -> Next {
    match step {
        Mend::Structure => {
            turn.actor().left = Mend::Records.into();
            turn.actor().swept = lock::Step::LeaveWord.into();
            lock::enter(turn, Word::L, sweep::Step::Begin)
        }
        Mend::Records => {
            // As the next to lock each record whose holder died.
            for record in 0..turn.world.records.len() as u8 {
                let lock = turn.record(record).lock;
                let dead = matches!(lock, crate::world::Lock::Held(who) if turn.world.is_dead(who));
                if lock == crate::world::Lock::Died || dead {
                    turn.wake_value(record);
                    turn.record(record).lock = crate::world::Lock::Free;
                    turn.wake_sleepers(record);
                }
            }
            turn.go(Pc::Ended, "locks each record whose holder died")
        }
    }
}

fn ended(turn: &mut Turn) -> Next {
    let deed = turn.actor().deed + 1;
    *turn.actor() = crate::actor::Actor::begin(deed, 0);
    // Whether there is another one is known to who made the scenario.
    turn.actor().life = Life::AtRest;
    Next::Done("is done")
}
