//! Waking another process: half of a round trip between two processes that take turns.

use crate::work::child;
use crate::{
    Result,
    measure::{Leg, Plan, quantile},
    peers::{
        Bell,
        bells::{Futex, Streamed, Watched},
    },
};
use core_affinity::CoreId;
use std::time::Instant;

/// Returns work with a child on this core; the figure is the quantile of the wakes of a round.
fn ring<B: Bell>(core: CoreId, part: f64) -> Result<impl FnMut(u64) -> f64> {
    let mut bell = B::create("wake")?;
    let mut child = child::start(core, &["bell", B::WORD, &bell.address()])?;
    child.answer()?;
    let mut turn = 0_u32;
    Ok(move |count| {
        let _ = &child;
        let mut wakes = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        for _ in 0..count {
            turn = turn.wrapping_add(1);
            let began = Instant::now();
            bell.ring_and_wait(turn);
            wakes.push(began.elapsed().as_nanos() as f64 / 2.0);
        }
        quantile(&wakes, part)
    })
}

pub fn legs(plan: &Plan, cores: &[CoreId]) -> Result<Vec<Leg>> {
    let mut legs = Vec::new();
    let (Some(&own), Some(&first)) = (cores.last(), cores.first()) else { return Ok(legs) };
    let mut places = vec![("one core", own)];
    if first.id == own.id {
        plan.report.absent("wake on two cores", Futex::PEER, "left out: one core");
    } else {
        places.push(("two cores", first));
    }
    for (place, core) in places {
        for (word, part) in [("p50", 0.5), ("p90", 0.9)] {
            let title = format!("wake on {place}, {word}");
            if plan.steps.is_some() || !plan.wants(&title) {
                continue;
            }
            plan.report.absent(&title, "named event", "left out: Windows only");
            legs.push(
                Leg::clocked(title, ring::<Watched>(core, part)?)
                    .beside_clocked(Futex::PEER, ring::<Futex>(core, part)?),
            );
        }
    }
    Ok(legs)
}

/// The stream of the feature `stream`, compared with a watch, on one core.
pub fn streaming(plan: &Plan, cores: &[CoreId]) -> Result<Vec<Leg>> {
    let mut legs = Vec::new();
    for (word, part) in [("p50", 0.5), ("p90", 0.9)] {
        let title = format!("wake by the stream, {word}");
        let Some(&core) = cores.last() else { return Ok(legs) };
        if plan.steps.is_some() || !plan.wants(&title) {
            continue;
        }
        legs.push(
            Leg::clocked(title, ring::<Streamed>(core, part)?)
                .beside_clocked("watch", ring::<Watched>(core, part)?),
        );
    }
    Ok(legs)
}
