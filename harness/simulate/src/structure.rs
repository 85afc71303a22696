//! What happens under L: places for records, extents and names; inserting; collecting what was
//! removed; and the replay of a dead holder's journal.

use crate::{
    chance::hash,
    fault::Fault,
    layout::{
        ATOMIC, ATOMIC_NAME, BLOCK_AT, BLOCKS_PER_CHUNK, CHUNK, CHUNK_CHECK, CHUNK_HEADER,
        CHUNK_ID, CHUNKS, COUNT, EXTENTS_PER_CHUNK, ID, INVALID, LENGTH, META, NAME,
        RECORDS_PER_CHUNK, RETIRED, SEAL, SLOTS, STATE, State, VERSION, WORD, block_at, chunk_at,
        record_at, slot_at,
    },
    process::{Process, step},
    set::{Content, put_content},
    world::{Kind, Lock, Structural, World},
};

// --- Chunks ----------------------------------------------------------------------------------

/// A free chunk becomes one of `kind`; the file grows if there is none. Under L.
async fn cut_chunk(p: &Process, kind: Kind) -> Option<usize> {
    let chunk = {
        let mut world = p.world();
        let length = world.length();
        let used = world.disk.load(COUNT) as usize;
        let free = (0..used).find(|&chunk| world.live.kinds[chunk] == Kind::Free);
        match free {
            Some(chunk) => {
                world.reused.chunks += 1;
                chunk
            }
            None if used < CHUNKS => {
                world.disk.store(LENGTH, length.max(used + 1) as u64);
                world.disk.store(COUNT, used as u64 + 1);
                world.tell(|| format!("p{} the file grows to {}", p.me, used + 1));
                used
            }
            None => return None,
        }
    };
    step().await;
    let at = chunk_at(chunk);
    // The old header goes first: a process that dies here leaves a chunk without one.
    p.store(at, 0).await;
    if kind == Kind::Records {
        for i in CHUNK_HEADER..CHUNK {
            p.world().disk.store(at + i, 0);
        }
        step().await;
    }
    let mut world = p.world();
    let id = world.new_id();
    let words = [World::magic(kind), chunk as u64, id];
    for (i, word) in words.into_iter().enumerate().rev() {
        world.disk.store(at + i, word);
    }
    debug_assert_eq!(CHUNK_ID, 2);
    world.disk.store(at + CHUNK_CHECK, hash(words));
    world.live.kinds[chunk] = kind;
    world.tell(|| format!("p{} chunk {chunk} is cut for {kind:?}, id {id:x}", p.me));
    Some(chunk)
}

/// Empty chunks are free again, but for those of records.
fn release_chunks(world: &mut World) {
    for chunk in 0..CHUNKS {
        let live = &world.live;
        let empty = match live.kinds[chunk] {
            Kind::Extents => {
                (0..EXTENTS_PER_CHUNK).all(|i| !live.extents[chunk * EXTENTS_PER_CHUNK + i])
            }
            Kind::Blocks => {
                (0..BLOCKS_PER_CHUNK).all(|i| !live.blocks[chunk * BLOCKS_PER_CHUNK + i])
            }
            Kind::Free | Kind::Records => false,
        };
        if empty {
            world.live.kinds[chunk] = Kind::Free;
            world.tell(|| format!("chunk {chunk} is free"));
        }
    }
}

pub async fn take_extent(p: &Process) -> Option<usize> {
    p.lock_l().await;
    let mut chosen = p.world().choose_extent();
    if chosen.is_none() && cut_chunk(p, Kind::Extents).await.is_some() {
        chosen = p.world().choose_extent();
    }
    if let Some(extent) = chosen {
        p.world().live.extents[extent] = true;
    }
    p.unlock_l().await;
    chosen
}

async fn choose_block(p: &Process) -> Option<usize> {
    let chosen = p.world().choose_block();
    if chosen.is_some() || cut_chunk(p, Kind::Blocks).await.is_none() {
        return chosen;
    }
    p.world().choose_block()
}

/// A place that is free, or a retired one whose time has come, or one of a new chunk.
async fn choose_record(p: &Process) -> Option<usize> {
    {
        let mut world = p.world();
        let complete = world.complete();
        let early = world.has(Fault::RetiredReusedEarly);
        let ripe = world.live.limbo.iter().position(|&(_, r)| complete >= r || early);
        if let Some(i) = ripe {
            let (record, _) = world.live.limbo.swap_remove(i);
            // Its name goes with it, and not before.
            if let Some(block) = world.block_of(record)
                && !world.has(Fault::BlockReusedAtOnce)
            {
                world.free_block(block);
            }
            world.live.records[record] = false;
            world.reused.records += 1;
        }
        let free = (0..crate::layout::RECORDS).find(|&record| {
            world.live.kinds[record / RECORDS_PER_CHUNK] == Kind::Records
                && !world.live.records[record]
        });
        if free.is_some() {
            return free;
        }
    }
    cut_chunk(p, Kind::Records).await.map(|chunk| chunk * RECORDS_PER_CHUNK)
}

// --- Insert ----------------------------------------------------------------------------------

/// Makes a variable. If it is there by now, its record and id are the answer.
pub async fn insert(p: &Process, name: usize, content: Content) -> Option<(usize, u64)> {
    p.lock_l().await;
    let there = p.world().find(name);
    if let Some(record) = there {
        let id = p.world().id(record);
        p.unlock_l().await;
        return Some((record, id));
    }
    let seq = insert_locked(p, name, content).await;
    p.unlock_l().await;
    if let Some(seq) = seq {
        p.world().oracle.returned([name], seq);
    }
    None
}

async fn insert_locked(p: &Process, name: usize, content: Content) -> Option<u64> {
    let record = choose_record(p).await?;
    let block = if World::is_long(name) { Some(choose_block(p).await?) } else { None };
    p.world().live.structural = Structural::Insert { record, block };
    step().await;
    {
        let mut world = p.world();
        world.live.records[record] = true;
        if let Some(block) = block {
            world.live.blocks[block] = true;
        }
    }
    step().await;

    let at = record_at(record);
    p.store(at + ID, 0).await;
    let id = p.world().new_id();
    if let Some(block) = block {
        let words = p.world().long_name(id, name);
        for (i, word) in words.into_iter().enumerate() {
            p.world().disk.store(block_at(block) + i, word);
        }
        step().await;
    }
    for slot in 0..SLOTS {
        let mut world = p.world();
        world.put_slot(record, slot, VERSION, INVALID);
        world.put_slot(record, slot, SEAL, 0);
    }
    // If the place was another's, here its last slot goes. Rarely, or no flush would be cut off.
    let was_telling = {
        let mut world = p.world();
        let telling = world.telling || world.chance.once_in(10);
        std::mem::replace(&mut world.telling, telling)
    };
    step().await;
    p.world().telling = was_telling;
    let version = {
        let mut world = p.world();
        let head = if block.is_some() { 100 } else { name as u64 };
        world.put_record(record, NAME, head);
        world.put_record(record, ATOMIC, u64::from(name == ATOMIC_NAME));
        world.put_record(record, BLOCK_AT, block.map_or(0, |block| block_at(block) as u64));
        if name == ATOMIC_NAME {
            world.put_record(record, WORD, content.value().unwrap_or(0));
        }
        // Meta is over an id that is not yet there.
        let was = world.record(record, ID);
        world.put_record(record, ID, id);
        let meta = world.meta(record);
        world.put_record(record, ID, was);
        world.put_record(record, META, meta);
        1.max(world.live.version_base)
    };
    step().await;
    let slot = p.world().chance.below(SLOTS);
    put_content(p, record, slot, content).await;
    p.store(slot_at(record, slot) + VERSION, version).await;
    let state = State { version, current: slot, a: slot, b: slot };
    p.store(at + STATE, state.pack()).await;
    p.world().live.index[name] = Some(record);
    step().await;
    if p.world().has(Fault::DirtyBeforeId) {
        p.world().live.dirty[record] = true;
        step().await;
    }
    let seq = {
        let mut world = p.world();
        world.put_record(record, ID, id);
        world.oracle.version_given(id, version, content.value());
        // A variable made as a tombstone was absent before, too.
        let seq = world.oracle.published(&[(name, content.value())]);
        world.tell(|| {
            format!(
                "p{} made n{name} r{record} id {id:x} = {content:?} block {block:?} #{seq}",
                p.me
            )
        });
        seq
    };
    step().await;
    if !p.world().has(Fault::DirtyBeforeId) {
        p.world().live.dirty[record] = true;
        step().await;
    }
    p.world().live.structural = Structural::Nothing;
    step().await;
    Some(seq)
}

// --- Collect ---------------------------------------------------------------------------------

/// Tries to give back the record of a removed variable.
pub async fn collect(p: Process, record: usize) {
    p.lock_l().await;
    let removed = {
        let world = p.world();
        let id = world.id(record);
        world.live.kinds[record / RECORDS_PER_CHUNK] == Kind::Records
            && id != 0
            && id & RETIRED == 0
            && !world.is_atomic(record)
            && world.is_tombstone(record, world.state(record).current)
    };
    if removed {
        p.world().live.structural = Structural::Unlink { record };
        step().await;
        let taken = {
            let mut world = p.world();
            let free = matches!(world.live.locks[record], Lock::Free | Lock::Died);
            if free {
                world.live.locks[record] = Lock::ByL;
                world.tell(|| format!("p{} collects r{record}", p.me));
            }
            free
        };
        step().await;
        if taken {
            unlink(&p, record).await;
        }
        p.world().live.structural = Structural::Nothing;
        step().await;
    }
    if p.world().chance.once_in(4) {
        release_chunks(&mut p.world());
    }
    p.unlock_l().await;
}

/// With the mark: from the looks to the mark's end. Replay runs it again from its start.
async fn unlink(p: &Process, record: usize) {
    enum Way {
        Keep,
        Erase,
        Retire,
    }
    let way = {
        let world = p.world();
        let state = world.state(record);
        let id = world.id(record);
        // Whoever replays finds it half done: what was begun is ended.
        let begun = id & RETIRED != 0;
        let tombstone = world.is_tombstone(record, state.current);
        let never_sealed = (0..SLOTS).all(|slot| world.slot(record, slot, SEAL) == 0);
        let chosen = world.live.in_flight[record] && !world.has(Fault::YoungErasedInFlight);
        if id == 0 || (tombstone && !begun && never_sealed && !chosen) {
            Way::Erase
        } else if begun
            || (tombstone && state.current == state.b && world.is_durable(record, state.b))
        {
            if world.has(Fault::ErasedAtOnce) { Way::Erase } else { Way::Retire }
        } else {
            Way::Keep
        }
    };
    match way {
        Way::Keep => {}
        Way::Erase => {
            p.world().tell(|| format!("p{} erases r{record}", p.me));
            let name = p.world().name(record);
            let block = p.world().block_of(record);
            p.store(record_at(record) + ID, 0).await;
            for slot in 0..SLOTS {
                crate::set::invalidate(p, record, slot).await;
            }
            let mut world = p.world();
            forget(&mut world, name, record);
            if let Some(block) = block {
                world.free_block(block);
            }
            world.live.records[record] = false;
            world.reused.erased += 1;
            world.tell(|| format!("p{} erased r{record} n{name:?}", p.me));
        }
        Way::Retire => {
            let id = p.world().id(record);
            p.store(record_at(record) + ID, id | RETIRED).await;
            let kept = p.world().state(record).b;
            for slot in (0..SLOTS).filter(|&slot| slot != kept) {
                crate::set::invalidate(p, record, slot).await;
                p.store(slot_at(record, slot) + SEAL, 0).await;
            }
            let mut world = p.world();
            // Read after the clearing: a flush with this number covers it.
            let running = u64::from(world.has(Fault::RipeByRunning));
            let ripe = world.live.next_epoch - running;
            if !world.live.limbo.iter().any(|&(r, _)| r == record) {
                world.live.limbo.push((record, ripe));
            }
            let name = world.name(record);
            forget(&mut world, name, record);
            if world.has(Fault::BlockReusedAtOnce)
                && let Some(block) = world.block_of(record)
            {
                world.free_block(block);
            }
            world.tell(|| format!("p{} retired r{record} n{name:?} until {ripe}", p.me));
        }
    }
    step().await;
    p.world().live.locks[record] = Lock::Free;
    step().await;
}

fn forget(world: &mut World, name: Option<usize>, record: usize) {
    if let Some(name) = name
        && world.live.index[name] == Some(record)
    {
        world.live.index[name] = None;
    }
}

// --- Replay ----------------------------------------------------------------------------------

/// Whoever takes L ends what its last holder had begun.
pub async fn replay(p: &Process) {
    let journal = p.world().live.structural;
    match journal {
        Structural::Nothing => return,
        Structural::Insert { record, block } => {
            if p.world().id(record) == 0 {
                let mut world = p.world();
                for name in 0..crate::layout::NAMES {
                    forget(&mut world, Some(name), record);
                }
                world.live.records[record] = false;
                if let Some(block) = block {
                    world.free_block(block);
                }
                world.tell(|| format!("p{} undoes the insert of r{record}", p.me));
            } else if !p.world().has(Fault::DirtyBeforeId) {
                p.world().live.dirty[record] = true;
            }
        }
        Structural::Unlink { record } => {
            let marked = p.world().live.locks[record] == Lock::ByL;
            if marked {
                unlink(p, record).await;
            }
        }
    }
    step().await;
    p.world().live.structural = Structural::Nothing;
    step().await;
}
