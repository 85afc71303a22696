//! One round: faults for a while, then all must become equal.

use crate::{
    proxy::Mode,
    rig::{NODES, Rig},
    server::Server,
};
use mapvar_harness::{Folder, Random, figure, percentiles, watchdog};
use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// What a round does.
#[derive(Debug)]
pub struct Plan {
    pub bridge: PathBuf,
    pub server: PathBuf,
    /// The version to which the server is upgraded.
    pub newer: Option<PathBuf>,
    pub faults: Duration,
    pub seed: u64,
}

/// Longer than bridges take on a busy machine until all is equal.
const PATIENCE: Duration = Duration::from_mins(1);
/// The feeds of three bridges: one of its own prefix, and one of each other.
const CONSUMERS: u64 = 9;
/// More than a bridge of some variables ever takes, in KiB.
const MEMORY: u64 = 200 << 10;

struct Round {
    rigs: Vec<Rig>,
    server: Server,
    random: Random,
    stores: u64,
    counts: [u64; 7],
    deck: Vec<usize>,
    /// How long it took until all were equal, after a fault of the server and after another one.
    took: [Vec<Duration>; 2],
}

/// Faults by their numbers, drawn without putting back, so that a short run has most of them.
const DECK: [usize; 10] = [0, 0, 0, 1, 2, 3, 4, 5, 6, 6];
const FAULTS: [&str; 7] =
    ["bridge kills", "restarts", "lost stores", "delays", "stalls", "cuts", "half-opens"];

/// Runs one round.
pub fn run(plan: &Plan) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let folder = Folder::new("bridge").map_err(failed)?;
    let result = run_in(plan, &folder);
    if result.is_err() {
        // For whoever looks at the failure.
        for log in ["bridge-a.log", "bridge-b.log", "bridge-c.log", "server.log"] {
            let text = std::fs::read_to_string(folder.join(log)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default();
            println!("--- the end of {log}\n{}", last.join("\n"));
        }
    }
    result
}

fn run_in(plan: &Plan, folder: &Folder) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    watchdog::doing("start");
    let server = Server::start(&plan.server, folder.path()).map_err(failed)?;
    let rigs = NODES.map(|node| Rig::new(node, &plan.bridge, server.address, folder.path()));
    let rigs = rigs.into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let random = Random::new(plan.seed);
    let took = [Vec::new(), Vec::new()];
    let mut round =
        Round { rigs, server, random, stores: 0, counts: [0; 7], deck: Vec::new(), took };
    round.write_and_check(Duration::from_millis(300))?;
    round.become_equal("before the first fault")?;
    let memory = round.memory();
    let began = Instant::now();
    let mut newer = plan.newer.as_ref();
    while began.elapsed() < plan.faults {
        if began.elapsed() > plan.faults / 2
            && let Some(newer) = newer.take()
        {
            watchdog::doing("upgrade");
            round.server.kill();
            round.server.change_program(newer);
            round.server.run().map_err(failed)?;
        }
        round.fault().map_err(failed)??;
    }
    round.become_equal("after the last fault")?;
    let counts = FAULTS.iter().zip(round.counts);
    let counts: Vec<String> = counts.map(|(fault, count)| format!("{count} {fault}")).collect();
    println!("{}: {}", plan.server.display(), counts.join(", "));
    for (what, goal, mut took) in [
        (
            "bridges: equal after a restarted server listens",
            Duration::from_secs(2),
            round.took[1].clone(),
        ),
        ("bridges: equal after another fault", Duration::from_secs(1), round.took[0].clone()),
    ] {
        if took.is_empty() {
            continue;
        }
        took.sort_unstable();
        let [half, .., most] = percentiles(&took);
        let missed = if most > goal { ", MISSED" } else { "" };
        let times = format!("{half:?} p50, {most:?} at most, of {}{missed}", took.len());
        figure(what, times, &format!("{goal:?}"));
    }
    round.no_leaks()?;
    let more = round.memory();
    figure("bridges: resident memory before and after, KiB", format!("{memory}, {more}"), "");
    if more > MEMORY {
        return Err(format!("LEAKED: a bridge has {more} KiB of memory"));
    }
    Ok(())
}

impl Round {
    /// Does one fault, while all write and check.
    fn fault(&mut self) -> std::io::Result<Result<(), String>> {
        let rig = self.random.below(3) as usize;
        let time = Duration::from_millis(50 + self.random.below(450));
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
        }
        let card = self.random.below(self.deck.len() as u64) as usize;
        let fault = self.deck.swap_remove(card);
        watchdog::doing(FAULTS[fault]);
        self.counts[fault] += 1;
        match fault {
            0 => self.rigs[rig].kill(),
            1 | 2 => self.server.kill(),
            3 => self.rigs[rig].proxy.set(Mode::Delay(time / 10)),
            4 => self.rigs[rig].proxy.set(Mode::Stall),
            5 => self.rigs[rig].proxy.cut(),
            _ => self.rigs[rig].proxy.set(Mode::HalfOpen),
        }
        let long = matches!(fault, 4 | 6) && self.random.one_in(2);
        let mut done = self.write_and_check(if long { time * 5 } else { time });
        match fault {
            0 => self.rigs[rig].start()?,
            1 => self.server.run()?,
            2 => {
                self.stores += 1;
                self.server.lose_store(self.stores);
                self.server.run()?;
            }
            4 | 6 if long => {
                // What was held back is lost with the connection, as at a router that fails.
                self.rigs[rig].proxy.cut();
                self.rigs[rig].proxy.set(Mode::Pass);
            }
            _ => self.rigs[rig].proxy.set(Mode::Pass),
        }
        if self.random.one_in(3) {
            // Nobody writes until all are equal.
            let when = format!("after the fault: {}", FAULTS[fault]);
            let took = done.and_then(|()| self.become_equal(&when));
            return Ok(took.map(|took| self.took[usize::from(matches!(fault, 1 | 2))].push(took)));
        }
        let pause = Duration::from_millis(self.random.below(400));
        done = done.and_then(|()| self.write_and_check(pause));
        Ok(done)
    }

    fn write_and_check(&mut self, time: Duration) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < time {
            for rig in &mut self.rigs {
                rig.write(&mut self.random).map_err(|error| error.to_string())?;
            }
            self.check()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        watchdog::step();
        let last: Vec<(&str, u64)> = self.rigs.iter().map(|rig| (rig.node, rig.last)).collect();
        for rig in &mut self.rigs {
            if rig.has_ended() {
                return Err(format!("FAILED: the bridge of {} has ended by itself", rig.node));
            }
            for (other, last) in &last {
                if *other != rig.node {
                    rig.check(other, || *last)?;
                }
            }
        }
        Ok(())
    }

    /// Waits until all maps are equal; returns how long it took.
    fn become_equal(&mut self, when: &str) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            self.check()?;
            let Some(difference) = self.difference().map_err(|error| error.to_string())? else {
                return Ok(began.elapsed());
            };
            if began.elapsed() > PATIENCE {
                return Err(format!("LOST: {when}: {difference}"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn difference(&self) -> mapvar::Result<Option<String>> {
        for owner in &self.rigs {
            let here = owner.content("x.")?;
            for reader in self.rigs.iter().filter(|reader| reader.node != owner.node) {
                let there = reader.content(&format!("{}.x.", owner.node))?;
                if here != there {
                    let names = here.keys().chain(there.keys());
                    let differs = names.filter(|name| here.get(*name) != there.get(*name));
                    let names: Vec<&String> = differs.collect();
                    return Ok(Some(format!(
                        "{} and {} differ in {names:?}",
                        owner.node, reader.node
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Waits until the server has removed the consumers of the killed bridges.
    fn no_leaks(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            self.check()?;
            if self.server.has_ended() {
                return Err("FAILED: the server has ended by itself".into());
            }
            let consumers = self.server.consumers().map_err(|error| error.to_string())?;
            if consumers == CONSUMERS {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("LEAKED: {consumers} consumers of {CONSUMERS}"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn memory(&self) -> u64 {
        self.rigs.iter().map(Rig::memory).max().unwrap_or(0)
    }
}
