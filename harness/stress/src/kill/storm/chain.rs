//! The processes of one chain, which run one after the other, and what is verified after each.

use super::{
    DYING, Run, lock, other,
    settle::{Perhaps, probe, settle},
};
use crate::{
    kill::{
        order::{Ended, Killer, Order, When},
        shared::word,
        ways::{
            self, Phase, Way,
            beside::{beside_stopped, counts_as_dead, impatient},
            reader::Reader,
        },
        work::{Flaw, Op, Worker},
    },
    region::Place,
};
use mapvar::Map;
use mapvar_harness::Random;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// The processes of one chain, which run one after the other.
pub(super) struct Chain<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) era: u64,
    pub(super) number: usize,
    pub(super) passing: u64,
    /// Paths of the one map: one for each mount.
    pub(super) targets: &'a [Place],
    pub(super) seed: u64,
}

impl Chain<'_> {
    pub(super) fn run(
        &self,
        killer: &mut dyn Killer,
        mut verifier: Worker<'_>,
        left: &AtomicUsize,
        perhaps: &Mutex<Perhaps>,
    ) {
        let mut random = Random::new(self.seed ^ (self.number as u64 + 1) << 40);
        let map = match impatient(&self.targets[0]) {
            Ok(map) => map,
            Err(flaw) => return self.run.fail(&format!("era {}", self.era), &flaw),
        };
        for life in 1.. {
            if self.run.is_over()
                || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
            {
                return;
            }
            let order = self.order(life, &mut random);
            if let Err(flaw) = self.life(&order, killer, &mut verifier, &map, perhaps) {
                let Order { when, delay, only, way, target, .. } = order;
                let context = format!(
                    "era {}, chain {}, life {life}, {way:?} {delay:?} after {when:?}, nearly only \
                     {only:?}, {target:?}",
                    self.era, self.number
                );
                self.run.fail(&context, &flaw);
                return;
            }
        }
    }

    fn order(&self, life: u64, random: &mut Random) -> Order {
        let way = self.run.plan.way.unwrap_or_else(|| Way::choose(random));
        let way = if way.is_known(self.run.plan.start) { way } else { Way::Killed };
        let when =
            if random.one_in(8) && !way.needs_the_map() { When::Started } else { When::Ready };
        // Mostly soon, since each life begins with other operations; now and then late.
        let most = if random.one_in(10) { 3_000_000 } else { 300_000 };
        // Under Wine a process takes 100 times as long to start.
        let most = if when == When::Started && cfg!(windows) { 60_000_000 } else { most };
        let only = if random.one_in(2) {
            let (op, often) = Op::ALL[random.below(Op::ALL.len() as u64) as usize];
            (often > 0).then_some(op)
        } else {
            None
        };
        let longest = match way {
            Way::Forked | Way::Started | Way::Executes => ways::LONGEST,
            _ => Duration::from_millis(5),
        };
        let target = &self.targets[random.below(self.targets.len() as u64) as usize];
        Order {
            seed: random.word(),
            actor: DYING + self.number,
            life,
            only,
            passing: self.passing,
            when,
            delay: Duration::from_nanos(random.below(most)),
            way,
            linger: longest.mul_f64((1 + random.below(8)) as f64 / 8.0),
            target: target.clone(),
        }
    }

    /// Runs one process to its end, and verifies what it leaves.
    fn life(
        &self,
        order: &Order,
        killer: &mut dyn Killer,
        verifier: &mut Worker<'_>,
        impatient: &Map,
        perhaps: &Mutex<Perhaps>,
    ) -> Result<(), Flaw> {
        let actor = self.run.shared.actor(order.actor);
        actor.put(word::STOP, 0);
        let mut seen = Ok(());
        let mut reader = None;
        let mut stopped = false;
        let ended = killer.run(order, &self.run.shared, &mut |phase, pid| match phase {
            Phase::Born => reader = Some(Reader::of(pid)),
            Phase::Stopped => {
                stopped = true;
                let has_the_map = actor.get(word::READY) == order.life;
                match beside_stopped(impatient, pid, has_the_map, verifier.actor) {
                    Ok(stops) => lock(&self.run.counts).stops.add(stops),
                    Err(flaw) => seen = Err(flaw),
                }
            }
            Phase::Dead if seen.is_ok() => {
                seen = self.dead(order, pid, verifier).and_then(|()| {
                    // Whatever keeps the dead process in the system does so until here.
                    self.verify(order, verifier, perhaps)
                });
            }
            Phase::Ready | Phase::Dead => {}
        });
        let read = reader.map_or(0, Reader::end);
        let ended = ended.map_err(other)?;
        actor.put(word::STOP, 1);
        match ended {
            Ended::Otherwise(how) => {
                let seen = seen.err().map_or(String::new(), |flaw| format!("; {flaw}"));
                return Err(Flaw::Other(format!("the process {how}, see above{seen}")));
            }
            Ended::Killed { outlived } => {
                let mut counts = lock(&self.run.counts);
                counts.kills += 1;
                counts.early += u64::from(actor.get(word::READY) != order.life);
                counts.ways[order.way as usize] += 1;
                counts.outlived += u64::from(outlived);
                counts.monitored += read;
                counts.unstopped += u64::from(order.way == Way::Traced && !stopped);
                #[cfg(unix)]
                if order.way == Way::Signalled {
                    *counts.signals.entry(ways::unix::name_of_signal(order)).or_default() += 1;
                }
            }
        }
        seen?;
        if order.way == Way::Killed {
            self.verify(order, verifier, perhaps)?;
        }
        if order.life.is_multiple_of(64) {
            verifier.reopen()?;
        }
        Ok(())
    }

    /// Verifies that a process which has ended does not count as alive, whatever is left of it.
    fn dead(&self, order: &Order, pid: u32, verifier: &Worker<'_>) -> Result<(), Flaw> {
        self.run.shared.actor(order.actor).put(word::STOP, 1);
        // Windows cleans up after it has reported the end. A program that a process starts has its
        // descriptors for a moment.
        let took = counts_as_dead(&verifier.map, pid)?;
        let mut counts = lock(&self.run.counts);
        let Some(took) = took else { return Ok(()) };
        counts.latest = counts.latest.max(took);
        let late = &mut counts.late[order.way as usize];
        *late += 1;
        let (late, deaths) = (*late, 1 + counts.ways[order.way as usize]);
        if ways::DIES_AT_ONCE && late > 10 + deaths / 10 {
            let what =
                format!("{late} of {deaths} dead processes ({:?}) counted as alive", order.way);
            return Err(Flaw::Other(what));
        }
        Ok(())
    }

    fn verify(
        &self,
        order: &Order,
        verifier: &mut Worker<'_>,
        perhaps: &Mutex<Perhaps>,
    ) -> Result<(), Flaw> {
        let actor = self.run.shared.actor(order.actor);
        let under_way = actor.under_way();
        if let Some(under_way) = under_way {
            let mut counts = lock(&self.run.counts);
            counts.within.get_mut(under_way.op as usize).into_iter().for_each(|count| *count += 1);
        }
        let mut more = Perhaps::default();
        settle(verifier, actor, &self.targets[0], self.passing, false, &mut more)?;
        {
            let mut perhaps = lock(perhaps);
            perhaps.adds += more.adds;
            perhaps.steps += more.steps;
            perhaps.moves += more.moves;
        }
        let took = probe(verifier, actor, under_way.map(|it| it.of))?;
        lock(&self.run.counts).probes.push(took);
        Ok(())
    }
}
