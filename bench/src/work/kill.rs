//! The time from the death of a process that sets a variable without a pause to the end of the next
//! `set` of it by another.

use super::child;
use crate::{
    Result, machine,
    measure::{Leg, Plan, median, quantile},
    record::{Row, Unit},
    scratch,
};
use core_affinity::CoreId;
use mapvar::Map;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Kills a child so many times, and returns the times in nanoseconds.
fn kill(core: CoreId, gigabytes: usize, times: u32) -> Result<Vec<f64>> {
    let name = scratch::name("kill");
    let map = Map::options().name(&name).size(1 << 16).create()?;
    let variable = map.var_or("victim", 0_u64)?;
    let bytes = (gigabytes << 30).to_string();
    let mut figures = Vec::new();
    for number in 0..times {
        let mut child = child::start(core, &["set", &name, &bytes])?;
        child.answer()?;
        // A different moment each time, so that deaths find the lock taken and free.
        sleep(Duration::from_micros(1_000 + u64::from(number) * 37 % 500));
        let began = Instant::now();
        child.kill()?;
        variable.set(u64::from(number))?;
        figures.push(began.elapsed().as_nanos() as f64);
    }
    Ok(figures)
}

/// Adds its rows itself: there is no peer, and no round.
pub fn legs(plan: &Plan, cores: &[CoreId]) -> Result<Vec<Leg>> {
    let Some(&core) = cores.first() else { return Ok(Vec::new()) };
    // A process of 4 GB takes some seconds to start.
    let runs = if plan.quick { [(0, 50), (4, 3)] } else { [(0, 400), (4, 40)] };
    for (gigabytes, times) in runs {
        let titles = ["p50", "p99"].map(|part| format!("kill to next set, {gigabytes} GB, {part}"));
        if plan.steps.is_some() || !plan.wants_any(&titles) {
            continue;
        }
        // One that is still dying, and the next.
        let needed = 2 * gigabytes as u64 + 1;
        if machine::memory()? >> 30 < needed {
            for title in titles {
                plan.report.absent(&title, "–", &format!("skipped: needs {needed} GB"));
            }
            continue;
        }
        let figures = kill(core, gigabytes, times)?;
        let [half, most] = titles;
        plan.report.add(Row::new(&half, Unit::Nanoseconds, median(&figures)));
        plan.report.add(Row::new(&most, Unit::Nanoseconds, quantile(&figures, 0.99)));
    }
    Ok(Vec::new())
}
