//! What can be had from a damaged map: its records, each judged by its own words. Neither the
//! header, nor the chunk table, nor the index is needed; the damaged map is only read.

use crate::{
    Map, MapOptions, Value,
    engine::{Handle, Store},
    gem::Gem,
    layout::{self, CHUNK, State, chunk, journal, kind, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    raw::{Captured, Kind, Raw},
    stored::{Stored, is_reserved},
    trouble::Trouble,
    unopened::look_at,
    whole::{Header, Held, Place},
};
use mapvar_os::{Error, ErrorKind, Result};
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
};

/// What came of [`MapOptions::salvage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    saved: u64,
    lost: Vec<Lost>,
}

impl Salvage {
    /// How many variables were saved, those with an older value among them.
    pub fn saved(&self) -> u64 {
        self.saved
    }

    /// What was not, in the order of its places.
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }
}

/// A variable that was lost, or its newest value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Where the damage is, in bytes from the start of the damaged map.
    pub at: u64,
    /// Its name, as far as it is known.
    pub variable: Option<String>,
    /// What is wrong there.
    pub what: String,
    /// Whether an older value of it was saved, or one that is not known to be the newest.
    pub older: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost at {:#x}: ", self.at)?;
        match &self.variable {
            Some(name) => write!(f, "variable {name:?}: {}", self.what)?,
            None => f.write_str(&self.what)?,
        }
        f.write_str(if self.older { "; an older value of it is saved" } else { "" })
    }
}

impl MapOptions {
    /// Sets, `into` another map, every variable of this one that is whole: from the records
    /// themselves, so that it works where [`open`](Self::open) refuses the map and where header,
    /// chunk table or index are destroyed. Not one byte of the damaged map changes.
    ///
    /// Where a variable's newest value is damaged, the newest of its older ones that is whole is
    /// taken, and told as [lost](Salvage::lost) with [`older`](Lost::older). Damage to the bytes of
    /// a text, a number or a sequence of bytes that still make sense is not seen.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (damaged, new) = (dir.path().join("damaged.map"), dir.path().join("new.map"));
    /// # mapvar::Map::options().file(&damaged).create()?.set("foo", "hello")?;
    /// # let mut bytes = std::fs::read(&damaged)?;
    /// # bytes[..512].fill(0);
    /// # std::fs::write(&damaged, bytes)?;
    /// use mapvar::Map;
    ///
    /// assert!(Map::options().file(&damaged).open().is_err());
    /// let map = Map::options().file(&new).create()?;
    /// let salvage = Map::options().file(&damaged).salvage(&map)?;
    /// assert!(salvage.lost().is_empty());
    /// assert_eq!(map.get::<String>("foo")?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NotAMap`](ErrorKind::NotAMap) where there is nothing of a map;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) where both are the same map; and what
    /// setting a variable of the other map answers.
    pub fn salvage(&self, into: &Map) -> Result<Salvage> {
        self.salvage_told(into).map_err(|error: Error| error.during("salvage", self.object()))
    }

    fn salvage_told(&self, into: &Map) -> Result<Salvage> {
        if let Some(gem) = self.open_gem_if_it_is_one()? {
            return of_payload(&gem, into);
        }
        let into = into.stored("salvage", "salvage into a map with Format::Store")?;
        let region = look_at(self)?;
        let store = &region.store;
        let same = if into.inner.facts.file {
            let theirs = into.inner.store.mem().section().id()?;
            theirs.is_some() && theirs == store.mem().section().id()?
        } else {
            into.inner.facts.uuid[0] == store.uuid
        };
        if same {
            return Err(Error::new(ErrorKind::InvalidArgument, "salvage", "")
                .detail("it is the map to salvage into; make a new one"));
        }
        let mut salvage = Salvage::default();
        let found = store.survivors(region.bytes.div_ceil(CHUNK), &mut salvage.lost);
        // Whose locks they were is of no use in another map.
        for (name, handle) in found.into_iter().filter(|(name, _)| !is_reserved(name.as_bytes())) {
            let (captured, lost) = store.newest_whole(handle);
            if let Some((at, what)) = lost {
                let older = captured.is_some();
                salvage.lost.push(Lost { at, variable: Some(name.clone()), what, older });
            }
            if let Some(captured) = captured {
                save(into, &name, handle.atomic, &captured)?;
                salvage.saved += 1;
            }
        }
        salvage.lost.sort_by_key(|lost| lost.at);
        store.mem().lost().map_or(Ok(salvage), Err)
    }
}

/// Of a gem's map all of it can be had, or nothing.
fn of_payload(gem: &Gem, into: &Map) -> Result<Salvage> {
    let mut salvage = Salvage::default();
    for (name, captured) in gem.all()? {
        into.set_value(&name, &Value::of(captured?)?)?;
        salvage.saved += 1;
    }
    Ok(salvage)
}

fn save(into: &Stored, name: &str, atomic: bool, captured: &Captured) -> Result<()> {
    let raw = if captured.kind == Kind::Nil as u8 {
        Raw::bytes(Kind::Nil, 0, &[])
    } else {
        captured.raw()
    };
    let saved = into.run(|| {
        let store = &into.inner.store;
        if atomic {
            into.find_or_make(name, &raw, true).map(|_| ())
        } else {
            store.set(store.query(name.as_bytes()), &raw).map(|_| ())
        }
    });
    saved.map_err(|trouble: Trouble| into.failed("save variable", name, trouble))
}

/// Whether a chunk holds records.
enum Holds {
    /// Of this class, and everything in it that is no record is one that was lost.
    Records(usize),
    /// Perhaps: what is whole counts.
    Perhaps,
    Others,
}

impl<M: Mem> Store<M> {
    /// The variables whose names are whole, in the order of their records.
    pub(crate) fn survivors(&self, chunks: u64, lost: &mut Vec<Lost>) -> Vec<(String, Handle)> {
        let mut by_name: HashMap<String, Handle> = HashMap::new();
        let mut add = |handle: Handle, name: String| match by_name.entry(name) {
            // Of two that bear a name the newer one counts.
            Entry::Occupied(mut entry) if entry.get().id < handle.id => {
                entry.insert(handle);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => {
                entry.insert(handle);
            }
        };
        let mut number = layout::META_CHUNKS;
        while number < chunks.min(layout::MOST_CHUNKS) {
            if let Some(span) = self.run_from(number) {
                number += span;
                continue;
            }
            match self.holds(number) {
                Holds::Records(class) => self.in_chunk(number, class, &mut add, Some(lost)),
                Holds::Perhaps => {
                    for class in 0..layout::RECORD_CLASSES.len() {
                        self.in_chunk(number, class, &mut add, None);
                    }
                }
                Holds::Others => {}
            }
            number += 1;
        }
        let mut found: Vec<_> = by_name.into_iter().collect();
        found.sort_unstable_by_key(|(_, handle)| handle.at);
        found
    }

    /// Chunks of the run that begins with chunk `number`, if table and header agree that one does.
    fn run_from(&self, number: u64) -> Option<u64> {
        let agreed = self.chunk_says(number) == Header::Good(kind::RUN, 0)
            && self.chunk_kind(number).is_ok_and(|(kind, _)| kind == kind::RUN);
        let span = self.run_len(number).ok().filter(|_| agreed)?;
        // Each of its chunks says so in the table: else it is cut short there.
        let rest = (1..span.min(layout::MOST_CHUNKS)).take_while(|next| {
            layout::holds_table(number + next)
                || self.chunk_kind(number + next).is_ok_and(|(kind, _)| kind == kind::REST)
        });
        Some(1 + rest.count() as u64)
    }

    fn holds(&self, number: u64) -> Holds {
        let table = self.chunk_kind(number).ok();
        match (self.chunk_says(number), table) {
            (Header::Good(kind::RECORDS, class), _) if class < layout::RECORD_CLASSES.len() => {
                Holds::Records(class)
            }
            (Header::Good(..), _) => Holds::Others,
            (_, Some((kind::RECORDS, class))) if class < layout::RECORD_CLASSES.len() => {
                Holds::Records(class)
            }
            // Another's header, whole, is the image of a map in a value that is gone.
            (Header::Bad(_), Some((kind::FREE, _))) if self.is_anothers(number) => Holds::Others,
            (Header::Bad(_), _) | (Header::None, Some((kind::RECORDS, _))) => Holds::Perhaps,
            (Header::None, _) => Holds::Others,
        }
    }

    fn is_anothers(&self, number: u64) -> bool {
        let Some(words) = self.mem().words(number * CHUNK, chunk::WORDS) else { return false };
        let load = |word| words.load(word, Relaxed);
        let said = load(chunk::NUMBER);
        said != number || load(chunk::UUID) != self.uuid
    }

    fn in_chunk(
        &self,
        number: u64,
        class: usize,
        add: &mut impl FnMut(Handle, String),
        mut lost: Option<&mut Vec<Lost>>,
    ) {
        let base = number * CHUNK;
        let taken = self.mem().words(base, chunk::WORDS).map_or(0, |words| {
            // Only a header that is whole says which places are taken.
            let whole = matches!(self.chunk_says(number), Header::Good(..));
            if whole { words.load(chunk::BITS, Relaxed) } else { 0 }
        });
        for within in 0..layout::records_in_chunk(class) {
            let at = base + layout::CHUNK_HEADER + (within * layout::record_bytes(class)) as u64;
            let (at, what, variable) = match self.place(at, class) {
                Place::Variable(handle, name) => {
                    add(handle, name);
                    continue;
                }
                Place::Free { atomic: false }
                    if taken >> within & 1 != 0 && !self.is_journalled(at) =>
                {
                    (at, "its place is taken, and nothing stands there", None)
                }
                Place::Flawed(at, what, name) => (at, what, name),
                Place::Free { .. } | Place::Retired(..) => continue,
            };
            if let Some(lost) = &mut lost {
                lost.push(Lost { at, variable, what: what.into(), older: false });
            }
        }
    }

    /// Whether the record was just being made or collected.
    fn is_journalled(&self, at: u64) -> bool {
        self.mem().words(journal::AT, journal::WORDS).is_some_and(|journal| {
            journal.load(journal::OPERATION, Relaxed) != journal::NOTHING
                && journal.load(journal::RECORD, Relaxed) == at
        })
    }

    /// The value of a variable, or the newest of its older ones where that is damaged: then also
    /// where the damage is, and what. Nothing at all for one that is removed.
    pub(crate) fn newest_whole(&self, handle: Handle) -> (Option<Captured>, Option<(u64, String)>) {
        let Some(line) = self.mem().words(handle.at, record::LINE) else { return (None, None) };
        let state = State(line.load(record::STATE, Acquire));
        let version = |number| {
            let words = self.mem().words(handle.slot_at(number), slot::LEAST);
            words.map_or(slot::INVALID, |words| words.load(slot::VERSION, Relaxed))
        };
        let current = state.current();
        let published = version(current) == state.version();
        let flaw = if published {
            match self.held(handle, current) {
                Held::Value(captured) => return (Some(captured), None),
                // Whoever an ephemeral one was to end with has ended.
                Held::Tombstone | Held::Ephemeral(_) => return (None, None),
                Held::Nothing => (handle.at, "its current slot holds nothing".into()),
                Held::Flawed(at, what) => (at, what),
            }
        } else {
            (handle.at, "the version of its value is not the one published".into())
        };
        // One that is newer than what was published was not.
        let mut others: Vec<usize> = (0..slot::COUNT)
            .filter(|number| version(*number) != slot::INVALID && version(*number) > 0)
            .filter(|number| !published || version(*number) < state.version())
            .collect();
        others.sort_unstable_by_key(|number| std::cmp::Reverse(version(*number)));
        if handle.atomic && others.len() != 1 {
            // Its slots say only of which kind the word is.
            others.clear();
        }
        for number in others {
            match self.held(handle, number) {
                Held::Value(captured) => return (Some(captured), Some(flaw)),
                Held::Ephemeral(_) | Held::Tombstone => break,
                Held::Nothing | Held::Flawed(..) => {}
            }
        }
        (None, Some(flaw))
    }
}
