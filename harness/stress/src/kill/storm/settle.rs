//! After a death: the dead process's variables must hold what was acknowledged, or the result of
//! the operation under way. The value found is the acknowledged one from then on.

use crate::{
    kill::{
        shared::{Actor, word},
        value::{PASSING, SMALL},
        work::{BYTES, Flaw, Op, Worker, options, own, passing_name, private},
    },
    region::{LIMIT, Place},
};
use serde_bytes::Bytes;
use std::time::{Duration, Instant};

/// Results that are unknown because a process died during the operation: by how much each shared
/// count may exceed what was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Perhaps {
    pub(crate) adds: u64,
    pub(crate) steps: u64,
    pub(crate) moves: u64,
}

/// Verifies all own variables of `dead`. Of its passing variables it verifies the one that an
/// operation was changing and a few others, or every one if `all`.
pub(crate) fn settle(
    by: &mut Worker<'_>,
    dead: Actor<'_>,
    target: &Place,
    passing: u64,
    all: bool,
    perhaps: &mut Perhaps,
) -> Result<(), Flaw> {
    by.actor.begin(Op::Read as u64, word::NOTHING, 0);
    let name = |what: &str| format!("{}.{what}", dead.number);
    for (of, what, size) in BYTES {
        let name = name(what);
        let found = by.read(&name, size)?;
        accept(dead, of, &name, found.unwrap_or(0))?;
    }
    for (of, what) in [(own::WORD, "word"), (own::STEPS, "steps")] {
        let name = name(what);
        accept(dead, of, &name, by.map.find::<u64>(&name)?.unwrap_or(0))?;
    }
    for (of, what) in [(own::COUNT, "count"), (own::MARK, "mark")] {
        let name = name(what);
        accept(dead, of, &name, by.map.atomic::<u64>(&name)?.load()?)?;
    }
    let transacted = by.transacted_of(dead.number)?;
    accept(dead, own::TX, &name("tx"), transacted)?;

    let under_way = dead.under_way();
    let about = under_way.map(|it| it.of as u64).filter(|of| *of >= word::PASSING as u64);
    let about = about.map(|of| of - word::PASSING as u64);
    let some: Vec<u64> = if all {
        (0..passing).collect()
    } else {
        (0..4).map(|_| by.random.below(passing)).chain(about).collect()
    };
    for number in some {
        let name = passing_name(dead.number, number);
        let found = by.read(&name, PASSING)?;
        accept(dead, word::PASSING + number as usize, &name, found.unwrap_or(0))?;
    }
    let was_private = under_way.is_some_and(|it| it.op == Op::Private as u64);
    if target.is_file() && dead.get(own::PRIVATE) != 0 && (all || was_private) {
        let map = options(&private(target, dead.number)).open()?;
        let bytes = map.find::<serde_bytes::ByteBuf>("private")?.unwrap_or_default();
        let found = SMALL.stamp_of(&bytes);
        let found = found.ok_or_else(|| Flaw::Torn(format!("private: {bytes:x?}")))?;
        accept(dead, own::PRIVATE, &name("private"), found)?;
    }
    match under_way.map(|it| it.of) {
        Some(word::ADDS) => perhaps.adds += 1,
        Some(word::STEPS) => perhaps.steps += 1,
        Some(word::MOVES) => perhaps.moves += 1,
        _ => {}
    }
    dead.cancel();
    by.actor.end();
    Ok(())
}

fn accept(dead: Actor<'_>, of: usize, name: &str, found: u64) -> Result<(), Flaw> {
    let (acknowledged, under_way) = dead.expected(of);
    if found == acknowledged {
        return Ok(());
    }
    if Some(found) == under_way {
        dead.put(of, found);
        return Ok(());
    }
    let under_way = under_way.map_or(String::new(), |it| format!(" and {it:#x} under way"));
    Err(Flaw::Lost(format!("{name}: {acknowledged:#x} acknowledged{under_way}, found {found:#x}")))
}

/// Writes at once wherever the dead process may have owned a lock: to the variable it was changing,
/// to the index, and by a transaction. Returns how long that took.
pub(crate) fn probe(
    by: &mut Worker<'_>,
    dead: Actor<'_>,
    about: Option<usize>,
) -> Result<Duration, Flaw> {
    let began = Instant::now();
    by.actor.begin(Op::SetSmall as u64, word::NOTHING, 0);
    let name = format!("probe.{}", dead.number);
    let stamp = dead.get(word::STAMP) | 1 << 63;
    if let Some((of, what, size)) = BYTES.iter().find(|it| Some(it.0) == about).copied() {
        // No process changes a dead process's variables before they are verified: see `Chain`.
        let mut bytes = Vec::new();
        size.fill(stamp, &mut bytes);
        by.map.set(&format!("{}.{what}", dead.number), Bytes::new(&bytes))?;
        dead.put(of, stamp);
    }
    by.map.set(&name, 1)?;
    by.map.transaction(|tx| {
        tx.set(&name, 2)?;
        tx.set("probe", 3)
    })?;
    if !by.map.remove(&name)? {
        return Err(Flaw::Lost(format!("{name} was not there to be removed")));
    }
    by.actor.end();
    let took = began.elapsed();
    if took > LIMIT {
        return Err(Flaw::Hung(format!("set, transaction and removal after a kill took {took:?}")));
    }
    Ok(took)
}
