//! Recovery: what a file holds after a cut, and how it becomes a map again.

use crate::{
    fault::Fault,
    layout::{
        ATOMIC, BLOCKS_PER_CHUNK, CHECK, CHUNKS, COMPLETE, COUNT, DATA, EXTENTS_PER_CHUNK, ID,
        IDENTITY, INCARNATION, INCARNATION_SHIFT, INVALID, META, RECORDS, RECORDS_PER_CHUNK,
        RETIRED, SEAL, SLOTS, STATE, SUPERBLOCK, SUPERBLOCKS, State, VERSION, WORD, chunk_at,
        record_at, slot_at,
    },
    oracle::Values,
    process::{Process, step},
    world::{Kind, Live, Superblock, World},
};

/// A number so far above the highest good epoch is no epoch.
const TOO_FAR: u64 = 1 << 32;

/// What the first pass, which only reads, found.
#[derive(Clone, Debug)]
pub struct Survey {
    pub kinds: [Option<Kind>; CHUNKS],
    pub epoch: u64,
    /// Which superblock says so; None: epoch 0.
    pub accepted: Option<usize>,
    /// By its superblock, the live word, or the sum over all, something is lost.
    pub damaged: bool,
    pub next_epoch: u64,
    /// The slot of each record that is its value.
    pub picked: [Option<usize>; RECORDS],
}

/// Steps 1 to 5: nothing is written. None: nothing can be accepted.
pub fn survey(world: &World) -> Option<Survey> {
    let length = if world.has(Fault::LengthFromLiveWord) {
        (world.disk.load(COUNT) as usize).min(world.length())
    } else {
        world.length()
    };
    let kinds = std::array::from_fn(|chunk| world.header(chunk).filter(|_| chunk < length));
    let mut blocks: Vec<(usize, Superblock)> =
        (0..2).filter_map(|which| world.superblock(which).map(|said| (which, said))).collect();
    blocks.sort_by_key(|(_, said)| std::cmp::Reverse(said.epoch));
    let complete = world.disk.load(COMPLETE);

    let is_whole = |said: &Superblock| {
        let mut found = (0, 0);
        for record in 0..RECORDS {
            for slot in 0..SLOTS {
                if world.slot(record, slot, SEAL) == said.epoch
                    && counts(world, &kinds, record, slot)
                {
                    found = (found.0 + 1, u64::wrapping_add(found.1, world.share(record, slot)));
                }
            }
        }
        found == (said.count, said.sum) || world.has(Fault::NoSum)
    };
    let mut damaged = false;
    let mut accepted = None;
    for &(which, said) in &blocks {
        if is_whole(&said) {
            accepted = Some((which, said));
            break;
        }
        // D is stored after the barrier. An epoch up to D was whole once: this is rot.
        if said.epoch <= complete && !world.has(Fault::NoWitness) {
            damaged = true;
            accepted = Some((which, said));
            break;
        }
    }
    let epoch = match accepted {
        Some((_, said)) => said.epoch,
        // No flush was ever complete.
        None if complete == 0 => 0,
        None => return None,
    };
    // D beyond what is accepted: a complete epoch's superblock is gone.
    damaged |= complete > epoch && !world.has(Fault::NoWitness);

    let picked = std::array::from_fn(|record| {
        (0..SLOTS)
            .filter(|&slot| {
                world.slot(record, slot, SEAL) <= epoch && counts(world, &kinds, record, slot)
            })
            .max_by_key(|&slot| world.slot(record, slot, VERSION))
    });
    let all = picked
        .iter()
        .enumerate()
        .filter_map(|(record, slot)| slot.map(|slot| (record, slot)))
        .filter(|&(record, slot)| !world.is_tombstone(record, slot))
        .fold((0, 0), |(count, sum): (u64, u64), (record, slot)| {
            (count + 1, sum.wrapping_add(world.share(record, slot)))
        });
    let should = accepted.map_or((0, 0), |(_, said)| (said.count_all, said.sum_all));
    damaged |= all != should && !world.has(Fault::NoSumOfAll);

    let mut next_epoch = epoch;
    let highest_good = blocks.first().map_or(0, |(_, said)| said.epoch).max(epoch);
    let seals = (0..RECORDS).flat_map(|r| (0..SLOTS).map(move |s| world.slot(r, s, SEAL)));
    let heads = SUPERBLOCKS.iter().map(|&at| world.disk.load(at));
    for seen in seals.chain(heads) {
        if seen <= highest_good + TOO_FAR && !world.has(Fault::EpochReused) {
            next_epoch = next_epoch.max(seen);
        }
    }
    Some(Survey {
        kinds,
        epoch,
        accepted: accepted.map(|(which, _)| which),
        damaged,
        next_epoch: next_epoch + 1,
        picked,
    })
}

/// Is this a sealed slot, whole, of a whole record, in a chunk that says that it holds records?
fn counts(world: &World, kinds: &[Option<Kind>], record: usize, slot: usize) -> bool {
    let seal = world.slot(record, slot, SEAL);
    if kinds[record / RECORDS_PER_CHUNK] != Some(Kind::Records)
        || seal == 0
        || world.slot(record, slot, VERSION) == INVALID
        || world.plain_id(record) == 0
        || world.record(record, META) != world.meta(record)
        || world.name(record).is_none()
    {
        return false;
    }
    // What it points to must lie where such things lie, or two would have it.
    let block_lies = world
        .block_of(record)
        .is_none_or(|block| kinds[block / BLOCKS_PER_CHUNK] == Some(Kind::Blocks));
    let extent_lies = world
        .extent_of(record, slot)
        .is_none_or(|extent| kinds[extent / EXTENTS_PER_CHUNK] == Some(Kind::Extents));
    block_lies
        && extent_lies
        && world.slot(record, slot, CHECK) == world.checksum(record, slot, seal)
}

/// The second pass. It may be cut off anywhere, and begins at the survey again then.
pub async fn recover(p: &Process, survey: &Survey) {
    p.world().live = Live::new();
    p.world().telling = false;
    let mut births = 0;
    for chunk in 0..CHUNKS {
        match survey.kinds[chunk] {
            Some(kind) => p.world().live.kinds[chunk] = kind,
            None => put(p, chunk_at(chunk), 0).await,
        }
        let id = p.world().disk.load(chunk_at(chunk) + crate::layout::CHUNK_ID);
        if survey.kinds[chunk].is_some() {
            births = births.max(id);
        }
    }
    for (record, &slot) in survey.picked.iter().enumerate() {
        if survey.kinds[record / RECORDS_PER_CHUNK] != Some(Kind::Records) {
            continue;
        }
        {
            let world = p.world();
            if world.record(record, META) == world.meta(record) {
                births = births.max(world.plain_id(record));
            }
        }
        recover_record(p, record, slot, survey.next_epoch).await;
    }
    if !p.world().has(Fault::RejectedNotZeroed) {
        for (which, at) in SUPERBLOCKS.into_iter().enumerate() {
            let good = p.world().superblock(which);
            if Some(which) != survey.accepted && good.is_none_or(|said| said.epoch > survey.epoch) {
                // Its checksum alone: of several words some may be 0 by right, and zeroing only the
                // others would make a torn superblock a good one.
                if p.world().has(Fault::RejectedZeroedWhole) {
                    for i in 0..SUPERBLOCK {
                        put(p, at + i, 0).await;
                    }
                }
                put(p, at + SUPERBLOCK - 1, 0).await;
            }
        }
    }
    let incarnation = p.world().disk.load(INCARNATION) + 1;
    put(p, INCARNATION, incarnation).await;
    {
        let mut world = p.world();
        let length = world.length() as u64;
        world.disk.store(COUNT, length);
        let base = if world.has(Fault::VersionsFromSeen) {
            let seen = (0..RECORDS).map(|record| world.state(record).version).max().unwrap_or(0);
            seen + 1
        } else {
            incarnation << INCARNATION_SHIFT
        };
        world.live.version_base = base;
        world.live.births = births.max(base);
        world.live.next_epoch = survey.next_epoch;
        world.live.sums_unknown = survey.damaged;
    }
    if !p.world().has(Fault::NoBarrierBeforeIdentity) {
        let begun = p.world().disk.barrier_begins();
        step().await;
        p.world().disk.barrier_ends(begun);
        step().await;
    }
    put(p, COMPLETE, survey.epoch).await;
    let boot = p.world().boot;
    p.world().disk.store(IDENTITY, boot);
}

async fn recover_record(p: &Process, record: usize, picked: Option<usize>, next_epoch: u64) {
    let live = picked.filter(|&slot| !p.world().is_tombstone(record, slot));
    let kept = if p.world().has(Fault::TombstoneWiped) { live } else { picked };
    for slot in (0..SLOTS).filter(|&slot| Some(slot) != kept) {
        put(p, slot_at(record, slot) + VERSION, INVALID).await;
        put(p, slot_at(record, slot) + SEAL, 0).await;
    }
    let at = record_at(record);
    let id = p.world().plain_id(record);
    match (live, kept) {
        (Some(slot), _) => {
            if p.world().has(Fault::AcceptedSlotRewritten) {
                rewrite(p, record, slot).await;
            }
            let version = p.world().slot(record, slot, VERSION);
            let state = State { version, current: slot, a: slot, b: slot };
            put(p, at + STATE, state.pack()).await;
            put(p, at + ID, id).await;
            if p.world().record(record, ATOMIC) == 1 {
                let word = p.world().slot(record, slot, DATA);
                put(p, at + WORD, word).await;
            }
            claim(&mut p.world(), record, Some(slot));
        }
        (None, Some(_)) => {
            put(p, at + ID, id | RETIRED).await;
            let mut world = p.world();
            claim(&mut world, record, None);
            world.live.limbo.push((record, next_epoch));
        }
        // The barrier is before any use of it: it is free at once.
        (None, None) => put(p, at + ID, 0).await,
    }
}

/// Takes a record's place, its name's block, and its extent if it has one.
fn claim(world: &mut World, record: usize, slot: Option<usize>) {
    world.live.records[record] = true;
    if let Some(block) = world.block_of(record)
        && std::mem::replace(&mut world.live.blocks[block], true)
    {
        world.oracle.wrong(|| format!("r{record} shares name block {block}"));
    }
    let Some(slot) = slot else { return };
    if let Some(extent) = world.extent_of(record, slot)
        && std::mem::replace(&mut world.live.extents[extent], true)
    {
        world.oracle.wrong(|| format!("r{record} shares extent {extent}"));
    }
    if let Some(name) = world.name(record)
        && world.live.index[name].replace(record).is_some()
    {
        world.oracle.wrong(|| format!("two variables n{name}"));
    }
}

/// A new version, in place: a planted fault.
async fn rewrite(p: &Process, record: usize, slot: usize) {
    let at = slot_at(record, slot);
    let seal = p.world().slot(record, slot, SEAL);
    let version = p.world().slot(record, slot, VERSION) + 1;
    put(p, at + VERSION, version).await;
    let check = p.world().checksum(record, slot, seal);
    put(p, at + CHECK, check).await;
}

/// A store, if there is anything to change.
async fn put(p: &Process, at: usize, value: u64) {
    if p.world().disk.load(at) != value {
        p.store(at, value).await;
    }
}

/// What a reader finds.
pub fn values(world: &World) -> Result<Values, String> {
    let mut values = Values::default();
    for (name, value) in values.iter_mut().enumerate() {
        let Some(record) = world.find(name) else { continue };
        *value = world.value(record, world.state(record).current)?;
        if world.is_atomic(record) && *value != Some(world.record(record, WORD)) {
            return Err(format!("the Atomic's word is not its slot's {value:?}"));
        }
    }
    Ok(values)
}
