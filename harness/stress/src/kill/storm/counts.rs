//! What a run counts, and how it reports that.

use super::{Run, lock};
use crate::kill::{
    ways::{Way, beside::Stops},
    work::Op,
};
use mapvar_harness::{figure, percentiles};
use std::{collections::BTreeMap, time::Duration};

/// What the run has counted.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) kills: u64,
    /// Kills during an operation, by the operation.
    pub(super) within: Vec<u64>,
    /// Kills before the map was open.
    pub(super) early: u64,
    /// Durations, after a kill, of a set, a transaction and a removal where the dead process may
    /// have owned a lock.
    pub(super) probes: Vec<Duration>,
    pub(super) operations: u64,
    pub(super) survived: u64,
    pub(super) reads: u64,
    pub(super) longest: Duration,
    pub(super) checks: u64,
    pub(super) growths: u64,
    /// Files of creators that died before they were published (Windows).
    pub(super) unpublished: u64,
    /// Deaths by way.
    pub(super) ways: [u64; Way::TEXTS.len()],
    /// Deaths by the name of a signal.
    pub(super) signals: BTreeMap<&'static str, u64>,
    /// Deaths whose process was outlived by another one until all was verified.
    pub(super) outlived: u64,
    pub(super) stops: Stops,
    /// Stops that the system refused.
    pub(super) unstopped: u64,
    /// What could be read of processes while they were killed.
    pub(super) monitored: u64,
    /// Dead processes that counted as alive at the first look, by way, and for how long at most.
    pub(super) late: [u64; Way::TEXTS.len()],
    pub(super) latest: Duration,
    /// Maps that were used by two mounts at a time, and mounts anew with another device number.
    pub(super) twice: u64,
    pub(super) remounts: u64,
    /// Openings after a remount that had to be told that no process uses the file, since another
    /// program has the number of a dead one.
    pub(super) taken: u64,
    /// The flaws, by kind: lost, torn, hung, leaked, others.
    pub(super) flaws: [u64; 5],
}

impl Run<'_> {
    pub(super) fn report(&self, took: Duration) {
        let mut counts = lock(&self.counts);
        let where_ = if cfg!(windows) { "Wine" } else { "native" };
        let [lost, torn, hung, leaked, other] = counts.flaws;
        let (kills, within) = (counts.kills, counts.within.iter().sum::<u64>());
        let by: Vec<_> = Op::ALL
            .iter()
            .zip(&counts.within)
            .map(|((op, _), count)| format!("{op:?} {count}"))
            .collect();
        println!("deaths within: {}", by.join(", "));
        println!(
            "{} operations by the dead, {} by survivors, {} values read whole, {} checks of the \
             whole map meanwhile, {} maps that grew, {:.1} s",
            counts.operations,
            counts.survived,
            counts.reads,
            counts.checks,
            counts.growths,
            took.as_secs_f64()
        );
        if counts.unpublished > 0 {
            println!("{} files of killed creators, not published", counts.unpublished);
        }
        counts.probes.sort();
        let [p50, p99, most] = percentiles(&counts.probes);
        let figure = |what: &str, value: String, goal| {
            figure(&format!("{what}, {where_}"), value, goal);
        };
        let flaws = format!(
            "{kills}: {lost} lost, {torn} torn, {hung} hung, {leaked} leaked, {other} otherwise wrong"
        );
        figure("kills", flaws, "all 0");
        let share = within as f64 * 100.0 / kills.max(1) as f64;
        figure("kills in the midst of an operation", format!("{share:.1} %"), "");
        let rate = kills as f64 / took.as_secs_f64().max(1e-3);
        figure("kills a second", format!("{rate:.0}"), "");
        let probes = format!("p50 {p50:.0?}, p99 {p99:.0?}, most {most:.0?}");
        figure("set, transaction and removal right after a kill", probes, "");
        self.report_ways(&counts, where_);
        let longest = format!("longest operation of anybody beside {kills} kills");
        figure(&longest, format!("{:.0?}", counts.longest), "below 5 s");
    }

    fn report_ways(&self, counts: &Counts, where_: &str) {
        let plain = Way::Killed as usize;
        for (way, (text, count)) in Way::TEXTS.iter().zip(&counts.ways).enumerate() {
            if way != plain && Way::ALL.get(way).is_some_and(|way| way.is_known(self.plan.start)) {
                figure(&format!("of these, {text}, {where_}"), count, "");
            }
        }
        if !counts.signals.is_empty() {
            let signals: Vec<_> =
                counts.signals.iter().map(|(name, count)| format!("{name} {count}")).collect();
            println!("ended by signals: {}", signals.join(", "));
        }
        if counts.unstopped > 0 {
            println!("SKIPPED: {} stops by a tracer, which this system refuses", counts.unstopped);
        }
        let Stops { processes, done, named, others } = counts.stops;
        if processes > 0 {
            let what = format!("operations beside {processes} stopped processes, {where_}");
            let value = format!(
                "{done} done, {named} time-outs that named it, {others} that named another one"
            );
            figure(&what, value, "none without a name");
        }
        println!(
            "{} processes were outlived by a child until all was verified; {} readings of dying \
             processes; {} dead ones counted as alive for a moment, {:.0?} at most",
            counts.outlived,
            counts.monitored,
            counts.late.iter().sum::<u64>(),
            counts.latest
        );
        if counts.twice > 0 {
            let value = format!("{}, {} openings had to take over", counts.remounts, counts.taken);
            figure("remounts after a kill with another device number", value, "none loses a value");
            figure("maps used by two mounts of one file system", counts.twice, "");
        }
    }
}
