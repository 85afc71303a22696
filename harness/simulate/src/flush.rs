//! The flush: a checkpoint epoch.

use crate::{
    fault::Fault,
    layout::{
        CHECK, COMPLETE, ID, RECORDS, RECORDS_PER_CHUNK, RETIRED, SEAL, STATE, SUPERBLOCKS, State,
        WORD, record_at, slot_at,
    },
    process::{Process, step},
    set::{Content, fill, publish},
    transaction::{Marked, make_room_for_l, mark, unmark},
    world::{Kind, Superblock, World},
};
use std::collections::BTreeSet;

pub async fn flush(p: Process) {
    // F is a lock of the system: a death frees it.
    if p.world().live.flushing {
        return;
    }
    let epoch = {
        let mut world = p.world();
        world.live.flushing = true;
        let epoch = if world.has(Fault::DeadEpochReused) {
            world.complete() + 1
        } else {
            world.live.next_epoch
        };
        world.live.next_epoch = epoch + 1;
        world.oracle.flush_begins(epoch);
        world.tell(|| format!("p{} flush {epoch} begins, D {}", p.me, world.complete()));
        epoch
    };
    step().await;
    if p.world().has(Fault::SweepOutsideT) {
        sweep(&p).await;
    }
    p.lock_t().await;
    let chosen = choose(&p).await;
    {
        let mut world = p.world();
        world.oracle.flush_chose(epoch);
        world.tell(|| format!("p{} flush {epoch} chose {chosen:?}", p.me));
    }
    p.unlock_t().await;

    seal(&p, epoch, &chosen).await;
    let said = sums(&p.world(), epoch, &chosen);
    {
        let mut world = p.world();
        let all = sums_of_all(&world, epoch);
        if world.fault.is_none() && all != (said.count_all, said.sum_all) {
            world.oracle.wrong(|| format!("flush {epoch} sums {said:x?}, and all is {all:x?}"));
        }
    }
    step().await;
    // A flush over two epochs back: D stands in the other one.
    let which = {
        let world = p.world();
        let d = world.complete();
        let holds_d = |which: &usize| world.disk.load(SUPERBLOCKS[*which]) == d;
        let holder = (0..2).find(holds_d).unwrap_or(0);
        if world.has(Fault::SuperblockInPlace) { holder } else { 1 - holder }
    };
    for (i, word) in World::superblock_words(said).into_iter().enumerate() {
        p.store(SUPERBLOCKS[which] + i, word).await;
    }
    p.world().tell(|| format!("p{} flush {epoch} superblock {which} {said:x?}", p.me));
    p.world().telling = true;
    if p.world().has(Fault::WitnessBeforeBarrier) {
        p.store(COMPLETE, epoch).await;
    }
    if p.world().has(Fault::InFlightForgotten) {
        p.world().live.in_flight = [false; RECORDS];
    }
    let begun = p.world().disk.barrier_begins();
    step().await;
    {
        let mut world = p.world();
        if world.has(Fault::NoDataBarrier) {
            world.disk.barrier_ends_for(begun, &(SUPERBLOCKS[0]..SUPERBLOCKS[1] + 8));
        } else {
            world.disk.barrier_ends(begun);
        }
    }
    step().await;
    p.store(COMPLETE, epoch).await;
    p.world().live.in_flight = [false; RECORDS];
    step().await;
    {
        let mut world = p.world();
        world.live.flushing = false;
        world.telling = false;
        world.oracle.flush_returned(epoch);
        world.tell(|| format!("p{} flush {epoch} returned", p.me));
    }
    step().await;
}

/// Moves the dirty bits to those in flight. A death in between leaves a bit in both, never in none.
async fn sweep(p: &Process) {
    for word in 0..RECORDS / RECORDS_PER_CHUNK {
        let bits = word * RECORDS_PER_CHUNK..(word + 1) * RECORDS_PER_CHUNK;
        let seen: Vec<usize> = bits.filter(|&record| p.world().live.dirty[record]).collect();
        let first_cleared = p.world().has(Fault::DirtyClearedFirst);
        for half in [first_cleared, !first_cleared] {
            for &record in &seen {
                let live = &mut p.world().live;
                if half {
                    live.dirty[record] = false;
                } else {
                    live.in_flight[record] = true;
                }
            }
            if !seen.is_empty() {
                step().await;
            }
        }
        if word % 2 == 0 {
            step().await;
        }
    }
}

/// Under T: which slot of each record the epoch is made of.
async fn choose(p: &Process) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    // A record that is marked for L ends the choice: it is begun again, since a transaction may
    // commit while T is given up.
    'again: loop {
        if !p.world().has(Fault::SweepOutsideT) {
            sweep(p).await;
        }
        let candidates: Vec<usize> = {
            let world = p.world();
            let is_atomic = |record: usize| {
                world.live.kinds[record / RECORDS_PER_CHUNK] == Kind::Records
                    && world.live.records[record]
                    && world.is_atomic(record)
            };
            (0..RECORDS).filter(|&r| world.live.in_flight[r] || is_atomic(r)).collect()
        };
        for record in candidates {
            loop {
                p.world().live.transactional.records = vec![record];
                step().await;
                if let Marked::Done = mark(p, record).await {
                    break;
                }
                make_room_for_l(p).await;
                p.lock_t().await;
                if !p.world().has(Fault::ChoiceNotBegunAgain) {
                    continue 'again;
                }
            }
            choose_slot(p, record, &mut chosen).await;
            unmark(p).await;
        }
        return chosen;
    }
}

async fn choose_slot(p: &Process, record: usize, chosen: &mut BTreeSet<usize>) {
    let id = p.world().record(record, ID);
    if id == 0 || id & RETIRED != 0 {
        return;
    }
    let word = {
        let world = p.world();
        let current = world.state(record).current;
        let word = world.record(record, WORD);
        let stale = world.value(record, current) != Ok(Some(word));
        (world.is_atomic(record) && stale && !world.has(Fault::AtomicNotCopied)).then_some(word)
    };
    if let Some(word) = word {
        let (slot, version) = fill(p, record, Content::Inline(word)).await;
        publish(&mut p.world(), record, slot, version);
        step().await;
    }
    let mut world = p.world();
    let state = world.state(record);
    let durable = world.is_durable(record, state.b);
    if state.current != state.b || !durable || world.has(Fault::DurableResealed) {
        let keep = state.current != state.b && (durable || world.has(Fault::DeadChoicePromoted));
        let a = if keep { state.b } else { state.a };
        let next = State { a, b: state.current, ..state };
        world.put_record(record, STATE, next.pack());
        world.tell(|| format!("p{} chooses r{record} slot {}", p.me, next.b));
        // An Atomic comes here without its bit, and so may what has just been made in the place of
        // one. With it nobody erases the record before it is sealed.
        if !world.has(Fault::ChosenWithoutBit) {
            world.live.in_flight[record] = true;
        }
        chosen.insert(record);
    }
}

/// Without a lock: nobody writes to A or B, and nobody collects what is not durable.
async fn seal(p: &Process, epoch: u64, chosen: &BTreeSet<usize>) {
    for &record in chosen {
        let (slot, check) = {
            let world = p.world();
            let slot = world.state(record).b;
            (slot, world.checksum(record, slot, epoch))
        };
        p.store(slot_at(record, slot) + CHECK, check).await;
        p.store(slot_at(record, slot) + SEAL, epoch).await;
        debug_assert!(record_at(record) < slot_at(record, slot));
    }
}

/// The sums over the chosen, and over all: from D's by what changed.
fn sums(world: &World, epoch: u64, chosen: &BTreeSet<usize>) -> Superblock {
    let complete = world.complete();
    let base = (0..2)
        .filter_map(|which| world.superblock(which))
        .find(|said| said.epoch == complete)
        .unwrap_or_default();
    let mut said = Superblock { epoch, count: 0, sum: 0, ..base };
    for &record in chosen {
        let State { a, b, .. } = world.state(record);
        let share = world.share(record, b);
        said.count += 1;
        said.sum = said.sum.wrapping_add(share);
        if world.is_durable(record, a) && a != b && !world.is_tombstone(record, a) {
            said.count_all = said.count_all.wrapping_sub(1);
            said.sum_all = said.sum_all.wrapping_sub(world.share(record, a));
        }
        if !world.is_tombstone(record, b) {
            said.count_all = said.count_all.wrapping_add(1);
            said.sum_all = said.sum_all.wrapping_add(share);
        }
    }
    if world.live.sums_unknown {
        (said.count_all, said.sum_all) = sums_of_all(world, epoch);
    }
    said
}

/// The sum over all, the long way.
pub fn sums_of_all(world: &World, epoch: u64) -> (u64, u64) {
    (0..RECORDS)
        .filter(|&record| {
            world.live.kinds[record / RECORDS_PER_CHUNK] == Kind::Records
                && world.live.records[record]
                && world.id(record) != 0
                && world.id(record) & RETIRED == 0
        })
        .map(|record| (record, world.state(record).b))
        .filter(|&(record, b)| {
            let seal = world.slot(record, b, SEAL);
            0 < seal && seal <= epoch && !world.is_tombstone(record, b)
        })
        .fold((0, 0), |(count, sum), (record, b)| {
            (count + 1, u64::wrapping_add(sum, world.share(record, b)))
        })
}
