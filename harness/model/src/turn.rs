//! One step of one process.

use crate::{
    actor::{Actor, Deed, Life, Word},
    fault::Fault,
    steps::Pc,
    world::{Lock, Record, Table, World},
};

/// What a step came to.
#[derive(Debug)]
pub enum Next {
    /// Something was done that others can see, or see the order of.
    Done(&'static str),
    /// The process only knows now where it goes on: it does so in the same step.
    Onward,
    /// It cannot go on until somebody else has done something.
    Blocked,
    /// The protocol is broken.
    Wrong(String),
}

pub struct Turn {
    pub world: World,
    pub me: usize,
    pub deed: Deed,
    pub fault: Option<Fault>,
}

impl Turn {
    pub fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn actor(&mut self) -> &mut Actor {
        &mut self.world.actors[self.me]
    }

    pub fn record(&mut self, number: u8) -> &mut Record {
        &mut self.world.records[usize::from(number)]
    }

    pub fn table(&mut self, number: u8) -> &mut Table {
        &mut self.world.tables[usize::from(number)]
    }

    pub fn held(&self) -> Lock {
        Lock::Held(self.me as u8)
    }

    /// Whether a lock can be taken by who waits for it. On Windows, as the fault has it, the word
    /// of a dead holder names it until somebody waits and asks for its token.
    pub fn can_take(&self, lock: Lock) -> bool {
        match lock {
            Lock::Free | Lock::Died => true,
            Lock::Held(who) => self.has(Fault::MarkTrustsOwner) && self.world.is_dead(who),
            Lock::MarkT | Lock::MarkL => false,
        }
    }

    pub fn go(&mut self, to: impl Into<Pc>, did: &'static str) -> Next {
        self.actor().at = to.into();
        Next::Done(did)
    }

    pub fn onward(&mut self, to: impl Into<Pc>) -> Next {
        self.actor().at = to.into();
        Next::Onward
    }

    /// The same deed from its beginning, with nothing remembered.
    pub fn again(&mut self, did: &'static str) -> Next {
        let Actor { deed, tries, .. } = *self.actor();
        *self.actor() = Actor::begin(deed, tries);
        Next::Done(did)
    }

    pub fn wake_value(&mut self, record: u8) {
        let record = self.record(record);
        record.wake += 1;
    }

    /// Wakes one who sleeps on the lock of a record.
    pub fn wake_sleeper(&mut self, record: u8) {
        self.world.wake_sleeper(record);
    }

    pub fn wake_sleepers(&mut self, record: u8) {
        while self.world.wake_sleeper(record) {}
    }
}

impl World {
    pub fn wake_sleeper(&mut self, record: u8) -> bool {
        let sleeper = self
            .actors
            .iter_mut()
            .find(|actor| actor.life == Life::Asleep && actor.wanted == record);
        let found = sleeper.is_some();
        if let Some(actor) = sleeper {
            actor.life = Life::Running;
        }
        found
    }

    pub fn lock_word(&mut self, word: Word) -> Option<&mut Lock> {
        match word {
            Word::None => None,
            Word::L => Some(&mut self.structure),
            Word::T => Some(&mut self.transactions),
            Word::Record(record) => Some(&mut self.records[usize::from(record)].lock),
        }
    }

    /// A process ends, at this very step, and the kernel looks at its pending word.
    pub fn kill(&mut self, who: usize, told: bool) {
        let Actor { pending, life, at, wanted, .. } = self.actors[who];
        let held = Lock::Held(who as u8);
        match self.lock_word(pending) {
            Some(word) if *word == held => {
                if told {
                    *word = Lock::Died;
                }
                if let Word::Record(record) = pending {
                    self.wake_sleeper(record);
                }
            }
            // It was woken to take a lock that is free: the wake is passed on.
            None if life == Life::Running && at.takes_record() => {
                let lock = self.records[usize::from(wanted)].lock;
                if matches!(lock, Lock::Free | Lock::Died) {
                    self.wake_sleeper(wanted);
                }
            }
            _ => {}
        }
        self.actors[who] = Actor { life: Life::Dead, ..Actor::default() };
        self.truth.deaths += 1;
    }

    pub fn is_dead(&self, who: u8) -> bool {
        self.actors[usize::from(who)].life == Life::Dead
    }

    /// After each step: who is parked on a word that moved wakes, and who looks for a value may
    /// find the one that stands now.
    pub fn settle(&mut self) {
        for number in 0..self.actors.len() {
            let actor = self.actors[number];
            if actor.life == Life::Parked {
                let word = if actor.id == 0 {
                    self.births_wake
                } else {
                    self.records[usize::from(actor.record)].wake
                };
                if word != actor.seen {
                    self.actors[number].life = Life::Running;
                }
            }
            if actor.answers != 0 {
                self.actors[number].answers |= 1 << self.truth.values[usize::from(actor.name)];
            }
        }
    }
}
