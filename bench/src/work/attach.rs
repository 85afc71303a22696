//! A process that opens a store of another process, gets one variable, and closes the store.

use super::{
    child,
    names::{Names, figure},
};
use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{
        Attach, Store,
        databases::{Lmdb, Sqlite},
        ours::Ours,
    },
};
use core_affinity::CoreId;

/// Returns work of a child on the same core; the clock is the child's.
fn attach<P: Attach>(core: CoreId, count: usize) -> Result<impl FnMut(u64) -> f64> {
    let mut store = P::create_shared("attach", count)?;
    let names = Names::ascending(count);
    store.fill(names.iter())?;
    let name = names.iter().nth(count / 2).ok_or("no names")?;
    let mut child = child::start(core, &["attach", P::WORD, &store.address(), name])?;
    Ok(move |times| {
        // The store stays open here.
        let _ = &store;
        child.ask(times).expect("an answer").parse().expect("nanoseconds")
    })
}

pub fn legs(plan: &Plan, cores: &[CoreId], count: usize) -> Result<Vec<Leg>> {
    let title = format!("attach, {}", figure(count));
    let Some(&core) = cores.last() else { return Err("no core to run on".into()) };
    // Our side is in the child, where `--steps` would not see it.
    if plan.steps.is_some() || !plan.wants(&title) {
        return Ok(Vec::new());
    }
    let leg = Leg::clocked(title, attach::<Ours>(core, count)?)
        .beside_clocked(Lmdb::PEER, attach::<Lmdb>(core, count)?)
        .beside_clocked(Sqlite::PEER, attach::<Sqlite>(core, count)?);
    Ok(vec![leg])
}
