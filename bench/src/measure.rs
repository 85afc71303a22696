//! Rounds and medians.

use crate::{
    Result, goals,
    record::{Report, Row, Unit},
};
use std::time::{Duration, Instant};

/// The legs to run, the number and length of their rounds, and where their rows go.
#[derive(Debug)]
pub struct Plan {
    words: Vec<String>,
    /// Runs our side alone, this many times, without a clock.
    pub steps: Option<u64>,
    /// Leaves out what takes minutes.
    pub quick: bool,
    /// Prints how long the groups take, and runs none.
    pub lists: bool,
    pub rounds: usize,
    pub round: Duration,
    pub report: Report,
}

const USAGE: &str = "[--quick] [--plan] [--steps N] [--record] [WORD...]";

impl Plan {
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Self> {
        // A round is shorter than a time slice of the scheduler. So on a busy machine most rounds
        // are not interrupted, and the median is of those.
        let round = Duration::from_micros(250);
        let (mut words, mut steps) = (Vec::new(), None);
        let (mut quick, mut lists, mut record) = (false, false, false);
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => quick = true,
                "--plan" => lists = true,
                "--steps" => {
                    let count = args.next().ok_or("--steps: how many?")?;
                    steps = Some(count.parse()?);
                }
                "--record" => record = true,
                // `cargo bench` adds this.
                "--bench" => {}
                _ if arg.starts_with('-') => return Err(format!("{arg}: {USAGE}").into()),
                _ => words.push(arg),
            }
        }
        // A record of some legs would look like one of all.
        let recorded = record || (words.is_empty() && steps.is_none());
        let rounds = if quick { 301 } else { 2001 };
        let report = Report::new(quick, recorded);
        Ok(Self { words, steps, quick, lists, rounds, round, report })
    }

    /// Returns whether this leg was asked for.
    pub fn wants(&self, operation: &str) -> bool {
        self.words.iter().all(|word| operation.contains(word.as_str()))
    }

    /// Returns whether one of these legs was asked for. A group asks before its set-up.
    pub fn wants_any<T: AsRef<str>>(&self, operations: &[T]) -> bool {
        operations.iter().any(|operation| self.wants(operation.as_ref()))
    }

    /// Returns whether all legs were asked for.
    pub fn is_whole(&self) -> bool {
        self.words.is_empty() && self.steps.is_none()
    }

    /// Returns how many rounds of this length a leg gets: fewer, if they are long.
    ///
    /// `part` of the usual time is spent on them.
    fn rounds_of(&self, nanoseconds: f64, part: f64) -> usize {
        let (leg, fewest) = if self.quick { (1e9, 3.0) } else { (20e9, 9.0) };
        let (leg, fewest) = (leg * part, (fewest * part).max(3.0));
        let rounds = (leg / nanoseconds).clamp(fewest, self.rounds as f64);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "3 to 2001")]
        let rounds = rounds as usize;
        rounds
    }
}

/// Runs an operation a given number of times, and returns the figure of one.
pub type Clocked = Box<dyn FnMut(u64) -> f64>;

struct Peer {
    name: &'static str,
    work: Clocked,
}

/// An operation; prints one line of the table for each peer.
pub struct Leg {
    operation: String,
    ours: Clocked,
    peers: Vec<Peer>,
    part: f64,
}

impl Leg {
    /// `ours` runs the operation as many times as it is told.
    pub fn new(operation: impl Into<String>, ours: impl FnMut(u64) + 'static) -> Self {
        Self::clocked(operation, timed(ours))
    }

    /// As [`new`](Self::new), for work that reads the clock itself: to leave out what is no part
    /// of the operation, or to return a quantile.
    pub fn clocked(operation: impl Into<String>, ours: impl FnMut(u64) -> f64 + 'static) -> Self {
        Self { operation: operation.into(), ours: Box::new(ours), peers: Vec::new(), part: 1.0 }
    }

    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Adds a peer.
    pub fn beside(self, name: &'static str, work: impl FnMut(u64) + 'static) -> Self {
        self.beside_clocked(name, timed(work))
    }

    /// Adds a peer whose work reads the clock itself.
    pub fn beside_clocked(
        mut self,
        name: &'static str,
        work: impl FnMut(u64) -> f64 + 'static,
    ) -> Self {
        self.peers.push(Peer { name, work: Box::new(work) });
        self
    }

    /// Spends a quarter of the usual time: for rounds that are long, and legs that are many.
    pub fn briefly(self) -> Self {
        Self { part: 0.25, ..self }
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
        let mut names = Vec::new();
        for Peer { name, work } in self.peers {
            works.push(work);
            names.push(name);
        }
        let turns: Vec<Turn> =
            works.iter_mut().map(|work| Turn::of(plan.round, &mut **work)).collect();
        let rounds = plan.rounds_of(turns.iter().map(|turn| turn.nanoseconds).sum(), self.part);
        let mut figures = vec![Vec::with_capacity(rounds); works.len()];
        for _ in 0..rounds {
            for ((work, turn), figures) in works.iter_mut().zip(&turns).zip(&mut figures) {
                // Warms up the caches, which hold the other side's data.
                if turn.count >= 8 {
                    work(turn.count / 8);
                }
                figures.push(work(turn.count));
            }
        }
        let [ours, peers @ ..] = figures.as_slice() else { return };
        let row = Row::new(&self.operation, Unit::Nanoseconds, median(ours));
        if names.is_empty() || goals::of(&self.operation, None).is_some() {
            plan.report.add(row.clone());
        }
        for (name, peer) in names.into_iter().zip(peers) {
            let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
            plan.report.add(row.clone().beside(name, median(peer), median(&ratios)));
        }
    }
}

/// Returns work that is timed as a whole.
fn timed(mut work: impl FnMut(u64)) -> impl FnMut(u64) -> f64 {
    move |count| {
        let began = Instant::now();
        work(count);
        began.elapsed().as_nanos() as f64 / count as f64
    }
}

/// What one side does in a round.
struct Turn {
    count: u64,
    nanoseconds: f64,
}

impl Turn {
    /// Finds how many operations take at least as long as a round.
    fn of(round: Duration, work: &mut dyn FnMut(u64) -> f64) -> Self {
        let mut count = 1;
        loop {
            // The shortest of several, since the others may have been interrupted.
            let mut shortest = f64::INFINITY;
            for _ in 0..5 {
                let began = Instant::now();
                work(count);
                let took = began.elapsed();
                shortest = shortest.min(took.as_nanos() as f64);
                // A long operation is tried once.
                if took > round * 40 {
                    break;
                }
            }
            if shortest >= round.as_nanos() as f64 {
                return Self { count, nanoseconds: shortest };
            }
            count *= 2;
        }
    }
}

/// Returns the median; 0 of an empty list.
pub fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// Returns the figure below which this part of them lies; 0 of an empty list.
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let [figure] = quantiles(figures.to_vec(), [part]);
    figure
}

/// As [`quantile`], for several parts.
pub fn quantiles<const N: usize>(mut figures: Vec<f64>, parts: [f64; N]) -> [f64; N] {
    figures.sort_unstable_by(f64::total_cmp);
    parts.map(|part| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = (figures.len() as f64 * part) as usize;
        figures.get(at.min(figures.len().saturating_sub(1))).copied().unwrap_or_default()
    })
}
