//! A set, an Atomic's store, and what a value is made of.

use crate::{
    fault::Fault,
    layout::{
        ATOMIC_NAME, DATA, DESC, EXTENT, IN_EXTENT, INLINE, INVALID, RECORD, SEAL, TOMBSTONE,
        VALUE, VERSION, WORD, extent_at, record_at, slot_at,
    },
    process::{Process, step},
    structure,
    world::World,
};

/// A value on its way: in the slot, or in an extent that is filled already.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    Removed,
    Inline(u64),
    Extent(u64, usize),
}

impl Content {
    pub fn value(self) -> Option<u64> {
        match self {
            Self::Removed => None,
            Self::Inline(value) | Self::Extent(value, _) => Some(value),
        }
    }
}

impl World {
    pub fn some_value(&mut self) -> u64 {
        if self.few_values { 1 + self.chance.below(2) as u64 } else { self.oracle.new_value() }
    }

    fn words_of(value: u64, i: usize) -> u64 {
        if i == 0 { value } else { crate::chance::mix(value, i as u64) }
    }

    /// An Atomic's slot, which holds no pattern: its value is one word.
    fn inline_words(value: u64, atomic: bool) -> [u64; INLINE] {
        std::array::from_fn(|i| if atomic && i > 0 { 0 } else { Self::words_of(value, i) })
    }

    fn publish(&mut self, record: usize, slot: usize, version: u64) {
        let state = self.state(record);
        let next = crate::layout::State { version, current: slot, ..state };
        if self.has(Fault::ExtentReusedAtOnce)
            && let Some(extent) = self.extent_of(record, state.current)
        {
            self.free_extent(extent);
        }
        self.put_record(record, crate::layout::STATE, next.pack());
        let value = self.slot_value(record, slot);
        let id = self.plain_id(record);
        self.oracle.version_given(id, version, value);
    }

    fn slot_value(&self, record: usize, slot: usize) -> Option<u64> {
        (!self.is_tombstone(record, slot)).then(|| self.data(record, slot)[0])
    }
}

/// Publishes a filled slot: also what a replayed transaction does.
pub fn publish(world: &mut World, record: usize, slot: usize, version: u64) {
    world.publish(record, slot, version);
}

/// Reserves an extent and fills it, outside every lock.
pub async fn reserve(p: &Process, value: u64) -> Option<usize> {
    let extent = structure::take_extent(p).await?;
    let at = extent_at(extent);
    let image = {
        let mut world = p.world();
        let places: Vec<usize> =
            (0..crate::layout::RECORDS).filter(|&r| world.live.records[r]).collect();
        // A value can be anything, also what stood in a record.
        if places.is_empty() || !world.chance.once_in(3) {
            None
        } else {
            let record = places[world.chance.below(places.len())];
            Some(world.disk.words(record_at(record), RECORD).to_vec())
        }
    };
    let words: Vec<u64> = (0..EXTENT)
        .map(|i| match &image {
            Some(image) if i > 0 => image[i],
            _ => World::words_of(value, i),
        })
        .collect();
    p.world().oracle.value_made(&words);
    for (part, chunk) in words.chunks(EXTENT / 2).enumerate() {
        for (i, &word) in chunk.iter().enumerate() {
            p.world().disk.store(at + part * (EXTENT / 2) + i, word);
        }
        step().await;
    }
    Some(extent)
}

/// Fills a free slot with what is to be published; the record is locked or marked.
pub async fn fill(p: &Process, record: usize, content: Content) -> (usize, u64) {
    let (slot, version) = {
        let mut world = p.world();
        (world.free_slot(record), world.next_version(record))
    };
    invalidate(p, record, slot).await;
    put_content(p, record, slot, content).await;
    p.store(slot_at(record, slot) + VERSION, version).await;
    (slot, version)
}

/// A slot that is none of cur, A and B loses its value, and so its extent.
pub async fn invalidate(p: &Process, record: usize, slot: usize) {
    let extent = {
        let mut world = p.world();
        let held = world.slot(record, slot, VERSION) != INVALID;
        let extent = world.extent_of(record, slot).filter(|_| held);
        world.put_slot(record, slot, VERSION, INVALID);
        extent
    };
    step().await;
    if let Some(extent) = extent {
        let mut world = p.world();
        // With the fault it was free before, and may be another's by now.
        if !world.has(Fault::ExtentReusedAtOnce) {
            world.free_extent(extent);
        }
    }
}

/// All of a slot but its version.
pub async fn put_content(p: &Process, record: usize, slot: usize, content: Content) {
    let at = slot_at(record, slot);
    p.world().put_slot(record, slot, SEAL, 0);
    match content {
        Content::Removed => p.store(at + DESC, TOMBSTONE).await,
        Content::Extent(_, extent) => {
            p.world().put_slot(record, slot, DATA, extent as u64);
            p.store(at + DESC, VALUE | IN_EXTENT).await;
        }
        Content::Inline(value) => {
            p.store(at + DESC, VALUE).await;
            let words = {
                let mut world = p.world();
                let words = World::inline_words(value, world.is_atomic(record));
                world.oracle.value_made(&words);
                words
            };
            for (i, word) in words.into_iter().enumerate() {
                p.world().put_slot(record, slot, DATA + i, word);
                if i % 2 == 1 {
                    step().await;
                }
            }
        }
    }
}

/// Sets a variable that may not be there yet. None removes it.
pub async fn set(p: Process, name: usize, value: Option<u64>) {
    let found = {
        let world = p.world();
        world.find(name).map(|record| (record, world.id(record)))
    };
    let (record, id) = match (found, value) {
        (Some(found), _) => found,
        (None, None) => return,
        (None, Some(value)) => {
            if let Some((record, id)) = structure::insert(&p, name, Content::Inline(value)).await {
                // Somebody else was first: what was found is set.
                (record, id)
            } else {
                return;
            }
        }
    };
    let content = match value {
        None => Content::Removed,
        Some(value) => {
            let large = p.world().chance.once_in(2);
            match if large { reserve(&p, value).await } else { None } {
                Some(extent) => Content::Extent(value, extent),
                None => Content::Inline(value),
            }
        }
    };
    p.lock(record).await;
    if p.world().id(record) != id {
        if let Content::Extent(_, extent) = content {
            p.world().free_extent(extent);
        }
        return p.unlock(record).await;
    }
    let (slot, version) = fill(&p, record, content).await;
    p.world().live.dirty[record] = true;
    step().await;
    let seq = {
        let mut world = p.world();
        world.publish(record, slot, version);
        let seq = world.oracle.published(&[(name, content.value())]);
        world.tell(|| {
            format!("p{} n{name} r{record} slot {slot} v{version:x} = {content:?} #{seq}", p.me)
        });
        seq
    };
    step().await;
    p.unlock(record).await;
    p.world().oracle.returned([name], seq);
}

/// An operation on an Atomic: no lock, the dirty bit after it.
pub async fn set_atomic(p: Process) {
    let found = p.world().find(ATOMIC_NAME);
    let value = p.world().oracle.new_value();
    let Some(record) = found else {
        structure::insert(&p, ATOMIC_NAME, Content::Inline(value)).await;
        return;
    };
    let seq = {
        let mut world = p.world();
        world.put_record(record, WORD, value);
        let seq = world.oracle.published(&[(ATOMIC_NAME, Some(value))]);
        world.tell(|| format!("p{} Atomic r{record} = {value} #{seq}", p.me));
        seq
    };
    step().await;
    p.world().live.dirty[record] = true;
    p.world().oracle.returned([ATOMIC_NAME], seq);
}
