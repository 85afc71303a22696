//! One run: lives between power cuts, drawn from a seed.

use crate::{
    chance::Chance,
    fault::Fault,
    flush::flush,
    layout::{
        ATOMIC_NAME, CHUNK, CHUNKS, COMPLETE, IDENTITY, NAMES, RECORDS, SUPERBLOCK, SUPERBLOCKS,
        WORDS, chunk_at,
    },
    process::{Process, Running},
    recover::{recover, survey, values},
    set::{set, set_atomic},
    structure::collect,
    transaction::transaction,
    world::{Reused, World},
};
use std::{cell::RefCell, rc::Rc};

const WRITERS: usize = 3;

#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub steps: u64,
    pub cuts: u64,
    pub recoveries: u64,
    pub interrupted: u64,
    /// Recoveries that accepted an epoch whose flush had not returned.
    pub ahead: u64,
    /// Recoveries that rejected a good superblock.
    pub rejected: u64,
    pub flushes: u64,
    pub deaths: u64,
    pub damaged: u64,
    /// Rot that looked like a torn flush.
    pub unseen: u64,
    pub reused: Reused,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.cuts += other.cuts;
        self.recoveries += other.recoveries;
        self.interrupted += other.interrupted;
        self.ahead += other.ahead;
        self.rejected += other.rejected;
        self.flushes += other.flushes;
        self.deaths += other.deaths;
        self.damaged += other.damaged;
        self.unseen += other.unseen;
        self.reused.records += other.reused.records;
        self.reused.erased += other.reused.erased;
        self.reused.blocks += other.reused.blocks;
        self.reused.extents += other.reused.extents;
        self.reused.chunks += other.reused.chunks;
    }
}

pub struct Run {
    world: Rc<RefCell<World>>,
    /// What the scheduler draws from: not the protocol's own, so that a trace changes nothing.
    chance: Chance,
    processes: u32,
    /// Words that a cut writes together.
    sector: usize,
    /// How dear a death is.
    mortality: usize,
    figures: Figures,
}

impl Run {
    pub fn new(seed: u64, fault: Option<Fault>, trace: bool) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed);
        // 8 bytes, a line, a sector of 512.
        let sector = [1, 1, 1, 8, 64][chance.below(5)];
        let mortality = [60, 200, 1000][chance.below(3)];
        let world = Rc::new(RefCell::new(World::new(seed, fault, trace)));
        Self { world, chance, processes: 0, sector, mortality, figures: Figures::default() }
    }

    /// Lives until something is wrong or the run is at its end.
    pub fn go(mut self, rot: bool) -> (Figures, Result<(), String>) {
        let lives = 1 + self.chance.below(4);
        let longest = [60, 150, 400, 900][self.chance.below(4)];
        for life in 1..=lives {
            let rots = rot && life == lives;
            let result = self.live(longest).and_then(|()| self.cut_and_recover(rots));
            if life == lives || result.is_err() {
                self.figures.reused = self.world.borrow().reused;
                return (self.figures, result);
            }
        }
        (self.figures, Ok(()))
    }

    fn process(&mut self) -> Process {
        self.processes += 1;
        Process::new(&self.world, self.processes)
    }

    fn verdict(&self) -> Result<(), String> {
        self.world.borrow().oracle.verdict()
    }

    // --- A life ------------------------------------------------------------------------------

    fn live(&mut self, longest: usize) -> Result<(), String> {
        let mut running: Vec<Option<Running>> = (0..=WRITERS).map(|_| None).collect();
        let mut left = 1 + self.chance.below(longest);
        let flusher_often = 1 + self.chance.below(4);
        // Some sleep: a whole flush goes by while they are between two steps.
        let sleepy = [30, 100, usize::MAX][self.chance.below(3)];
        let mut wakes_at = [0; WRITERS + 1];
        let mut now = 0;
        // Half of the lives end where a flush is about to end.
        let mut patience = if self.chance.once_in(2) { 400 } else { 0 };
        loop {
            if left > 0 {
                left -= 1;
            } else if patience > 0 && !self.world.borrow().telling {
                patience -= 1;
            } else {
                return self.verdict();
            }
            self.figures.steps += 1;
            let flusher = self.chance.below(6) < flusher_often;
            let at = if flusher { WRITERS } else { self.chance.below(WRITERS) };
            now += 1;
            if wakes_at[at] > now {
                continue;
            }
            if !flusher && self.chance.once_in(sleepy) {
                wakes_at[at] = now + 50 + self.chance.below(250);
            }
            if running[at].is_none() {
                running[at] = Some(if flusher { self.start_flush() } else { self.start_writer() });
            }
            let Some(process) = &mut running[at] else { continue };
            let id = process.id;
            if process.step() {
                running[at] = None;
            } else if self.chance.once_in(self.mortality) {
                self.figures.deaths += 1;
                running[at] = None;
                let mut world = self.world.borrow_mut();
                world.died(id);
                if flusher {
                    world.live.flushing = false;
                    world.telling = false;
                }
                world.tell(|| format!("p{id} dies"));
            }
            self.verdict()?;
        }
    }

    fn start_flush(&mut self) -> Running {
        self.figures.flushes += 1;
        let p = self.process();
        Running::start(p.me, flush(p))
    }

    fn start_writer(&mut self) -> Running {
        let p = self.process();
        let id = p.me;
        match self.chance.below(12) {
            0 | 1 => {
                let mut names: Vec<usize> = (0..ATOMIC_NAME).collect();
                let several = 2 + self.chance.below(2);
                while names.len() > several {
                    names.swap_remove(self.chance.below(names.len()));
                }
                Running::start(id, transaction(p, names))
            }
            2 | 3 => {
                let removed: Vec<usize> = {
                    let world = self.world.borrow();
                    (0..RECORDS)
                        .filter(|&record| {
                            world.live.records[record]
                                && world.is_tombstone(record, world.state(record).current)
                        })
                        .collect()
                };
                let record = match removed.len() {
                    0 => self.chance.below(RECORDS),
                    several => removed[self.chance.below(several)],
                };
                Running::start(id, collect(p, record))
            }
            4 => Running::start(id, set_atomic(p)),
            _ => {
                let name = self.chance.below(NAMES - 1);
                let value = if self.chance.once_in(4) {
                    None
                } else {
                    Some(self.world.borrow_mut().some_value())
                };
                Running::start(id, set(p, name, value))
            }
        }
    }

    // --- A cut, and what follows -------------------------------------------------------------

    fn cut(&mut self) {
        self.figures.cuts += 1;
        let mut world = self.world.borrow_mut();
        world.disk.cut(&mut self.chance, self.sector, &SUPERBLOCKS);
        // What lies beyond the length that arrived did not arrive.
        for at in chunk_at(world.length())..WORDS {
            world.disk.overwrite(at, 0);
        }
        world.boot += 1;
        world.tell(|| format!("=== the power is cut, sectors of {} words", self.sector));
    }

    fn cut_and_recover(&mut self, rots: bool) -> Result<(), String> {
        self.cut();
        if rots {
            return self.rot();
        }
        let mut interruptions = self.chance.below(4);
        let mut first = None;
        loop {
            let Some(survey) = survey(&self.world.borrow()) else {
                return Err("nothing can be accepted".into());
            };
            self.figures.recoveries += 1;
            self.world.borrow().tell(|| format!("recovery: {survey:x?}"));
            self.world.borrow().oracle.accepted(survey.epoch)?;
            if survey.damaged {
                return Err("damage is reported, and there is none".into());
            }
            let said = (survey.epoch, survey.accepted);
            if *first.get_or_insert(said) != said {
                return Err(format!("accepted {first:?}, and then {said:?}"));
            }
            let complete = self.world.borrow().oracle.complete();
            self.figures.ahead += u64::from(survey.epoch > complete);
            let higher = |which| {
                self.world.borrow().superblock(which).is_some_and(|s| s.epoch > survey.epoch)
            };
            self.figures.rejected += u64::from(higher(0) || higher(1));

            let p = self.process();
            let found = survey.clone();
            let mut recovery = Running::start(p.me, async move { recover(&p, &found).await });
            let mut steps = if interruptions > 0 { self.chance.below(30) } else { usize::MAX };
            let mut done = false;
            while steps > 0 && !done {
                steps -= 1;
                done = recovery.step();
            }
            self.verdict()?;
            let trusted = self.world.borrow().disk.load(IDENTITY) == self.world.borrow().boot;
            if trusted != done {
                return Err("the identity does not say that recovery was done".into());
            }
            if done {
                return self.check(survey.epoch);
            }
            interruptions -= 1;
            self.figures.interrupted += 1;
            if self.chance.once_in(3) {
                self.world.borrow().tell(|| "--- recovery is killed".into());
            } else {
                self.cut();
            }
        }
    }

    fn check(&mut self, epoch: u64) -> Result<(), String> {
        let mut world = self.world.borrow_mut();
        let values = values(&world)?;
        world.tell(|| format!("recovered epoch {epoch}: {values:?}"));
        world.oracle.recovered(epoch, &values)?;
        world.oracle.go_on(epoch, &values);
        Ok(())
    }

    /// A word of the file is no longer what was written.
    fn rot(&mut self) -> Result<(), String> {
        let at = match self.chance.below(8) {
            0 => SUPERBLOCKS[self.chance.below(2)] + self.chance.below(SUPERBLOCK),
            _ => chunk_at(0) + self.chance.below(CHUNKS * CHUNK),
        };
        let expected = survey(&self.world.borrow());
        let witness = self.world.borrow().disk.load(COMPLETE);
        let was = self.world.borrow().disk.load(at);
        let now = match self.chance.below(3) {
            0 => 0,
            1 => was ^ 1 << self.chance.below(64),
            _ => crate::chance::mix(was, at as u64),
        };
        self.world.borrow_mut().disk.overwrite(at, now);
        self.world.borrow().tell(|| format!("word {at} rots, {was:x} to {now:x}"));
        let Some(survey) = survey(&self.world.borrow()) else {
            // It says that nothing can be had: loud enough.
            self.figures.damaged += 1;
            return Ok(());
        };
        self.figures.recoveries += 1;
        let p = self.process();
        let found = survey.clone();
        let mut recovery = Running::start(p.me, async move { recover(&p, &found).await });
        while !recovery.step() {}
        self.verdict()?;
        let mut world = self.world.borrow_mut();
        world.tell(|| format!("recovery: {survey:x?}"));
        let values = values(&world)?;
        world.oracle.was_ever(&values)?;
        if survey.damaged {
            self.figures.damaged += 1;
            return Ok(());
        }
        // The limit: the newest superblock rotted, or a slot that it counts, before the word D says
        // that its epoch was complete. That is what a torn flush looks like.
        let before = expected.map_or(0, |expected| expected.epoch);
        if survey.epoch < before && witness < before {
            // What was ahead of D had been promised to nobody.
            self.figures.unseen += u64::from(survey.epoch < world.oracle.complete());
            return Ok(());
        }
        world.oracle.recovered(survey.epoch, &values)
    }
}
