//! Rounds, medians and the table.

use crate::Result;
use std::time::{Duration, Instant};

/// The legs to run, and the number and length of their rounds.
#[derive(Debug)]
pub struct Plan {
    words: Vec<String>,
    /// Runs our side alone, this many times, without a clock.
    pub steps: Option<u64>,
    pub rounds: usize,
    pub round: Duration,
}

impl Plan {
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Self> {
        // A round is shorter than a time slice of the scheduler. So on a busy machine most rounds
        // are not interrupted, and the median is of those.
        let round = Duration::from_micros(250);
        let mut plan = Self { words: Vec::new(), steps: None, rounds: 2001, round };
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => plan.rounds = 301,
                "--steps" => {
                    let count = args.next().ok_or("--steps: how many?")?;
                    plan.steps = Some(count.parse()?);
                }
                // `cargo bench` adds this.
                "--bench" => {}
                _ if arg.starts_with('-') => {
                    return Err(format!("{arg}: [--quick] [--steps N] [WORD...]").into());
                }
                _ => plan.words.push(arg),
            }
        }
        Ok(plan)
    }

    /// Returns whether this leg was asked for.
    pub fn wants(&self, operation: &str) -> bool {
        self.words.iter().all(|word| operation.contains(word.as_str()))
    }
}

/// Runs an operation a given number of times.
pub type Work = Box<dyn FnMut(u64)>;

struct Peer {
    name: &'static str,
    goal: Option<f64>,
    work: Work,
}

/// An operation; prints one line of the table for each peer.
pub struct Leg {
    operation: String,
    /// Whether one operation takes longer than a round.
    slow: bool,
    ours: Work,
    peers: Vec<Peer>,
}

impl Leg {
    pub fn new(operation: impl Into<String>, ours: impl FnMut(u64) + 'static) -> Self {
        Self { operation: operation.into(), slow: false, ours: Box::new(ours), peers: Vec::new() }
    }

    /// For an operation that takes longer than a round: a round is one operation, and there are a
    /// tenth of the rounds.
    pub fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// Adds a peer; `goal` is the largest accepted ratio of ours to the peer's.
    pub fn beside(
        mut self,
        name: &'static str,
        goal: impl Into<Option<f64>>,
        work: impl FnMut(u64) + 'static,
    ) -> Self {
        self.peers.push(Peer { name, goal: goal.into(), work: Box::new(work) });
        self
    }

    /// Measures the operation and prints its lines.
    pub fn run(mut self, plan: &Plan) {
        if !plan.wants(&self.operation) {
            return;
        }
        if let Some(steps) = plan.steps {
            (self.ours)(steps);
            return;
        }
        let mut works = vec![self.ours];
        let mut heads = Vec::new();
        for Peer { name, goal, work } in self.peers {
            works.push(work);
            heads.push((name, goal));
        }
        let rounds = if self.slow { plan.rounds.div_ceil(10) } else { plan.rounds };
        let count = |work: &mut Work| if self.slow { 1 } else { count_for(plan.round, work) };
        let counts: Vec<u64> = works.iter_mut().map(count).collect();
        let mut figures = vec![Vec::with_capacity(rounds); works.len()];
        for _ in 0..rounds {
            for ((work, &count), figures) in works.iter_mut().zip(&counts).zip(&mut figures) {
                // Warms up the caches, which hold the other side's data.
                work(count / 8);
                figures.push(time(&mut **work, count));
            }
        }
        let [ours, peers @ ..] = figures.as_slice() else { return };
        if heads.is_empty() {
            line(&self.operation, median(ours), None);
        }
        for ((name, goal), peer) in heads.into_iter().zip(peers) {
            let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
            let beside = (name, median(peer), median(&ratios), goal);
            line(&self.operation, median(ours), Some(beside));
        }
    }
}

/// Prints a line of the table.
pub fn line(operation: &str, ours: f64, beside: Option<(&str, f64, f64, Option<f64>)>) {
    let Some((name, peer, ratio, goal)) = beside else {
        println!("{operation:<34} {ours:>8.2}");
        return;
    };
    let verdict = match goal {
        Some(goal) if ratio <= goal => format!("{goal:>6.2} met"),
        Some(goal) => format!("{goal:>6.2} MISSED"),
        None => format!("{:>6}", "-"),
    };
    println!("{operation:<34} {ours:>8.2}   {name:<28} {peer:>8.2} {ratio:>6.2}x {verdict}");
}

fn time(work: &mut dyn FnMut(u64), count: u64) -> f64 {
    let began = Instant::now();
    work(count);
    began.elapsed().as_nanos() as f64 / count as f64
}

/// Returns how many operations take at least as long as a round.
fn count_for(round: Duration, work: &mut dyn FnMut(u64)) -> u64 {
    let mut count = 64;
    loop {
        // The shortest of five, since the others may have been interrupted.
        let each = (0..5).map(|_| time(work, count)).fold(f64::INFINITY, f64::min);
        let took = each * count as f64;
        if took >= round.as_nanos() as f64 {
            return count;
        }
        count *= 2;
    }
}

/// Returns the median; 0 of an empty list.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
