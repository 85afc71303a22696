//! Saves variables from a damaged map into another one.
//!
//! Each record is validated by its own words, so neither the header, nor the chunk table, nor the
//! index is needed. The damaged map is only read.

use crate::{
    Map, MapOptions, Value, gem::map::Gem, map::store_map::Stored, name::is_reserved, plain,
    plain::Found, repair::open::open_region, repair::structs, repair::structs::Judge, value::codec,
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    inspect::survivors::Lost,
    layout::CHUNK,
    mem::read_only::ReadOnly,
    store::Store,
    value::{Kind, OwnedValue, Raw},
};
use mapvar_os::{Error, ErrorKind, Result};
use std::collections::HashMap;

/// The outcome of [`MapOptions::salvage`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let (old, new) = (dir.path().join("old.map"), dir.path().join("new.map"));
/// # mapvar::Map::options().file(&old).create()?.set("foo", "hello")?;
/// # let map = mapvar::Map::options().file(&new).create()?;
/// let salvage = mapvar::Map::options().file(&old).salvage(&map)?;
/// println!("{} variables saved", salvage.saved());
/// for lost in salvage.lost() {
///     println!("lost: {lost:?}");
/// }
/// # assert_eq!(salvage.saved(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    saved: u64,
    lost: Vec<Lost>,
}

impl Salvage {
    /// Returns how many variables were saved, including those with an older value, and without the
    /// plain structs that no reader can read.
    pub fn saved(&self) -> u64 {
        self.saved
    }

    /// Returns the values that were not saved, in the order of their offsets in the damaged map.
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }
}

impl MapOptions {
    /// Copies every variable of this map that is whole `into` another map.
    ///
    /// It works for a damaged map that [`open`](Self::open) refuses, even if header, tables or
    /// index are destroyed. It changes no byte of the damaged map.
    ///
    /// If the newest value of a variable is damaged, the newest whole value of its older ones is
    /// saved. It is then reported as [lost](Salvage::lost) with [`older`](Lost::older). Damage is
    /// not detected if the bytes are still a valid text, number or sequence of bytes.
    ///
    /// A plain struct whose layout is damaged is [lost](Salvage::lost) too: no reader finds its
    /// fields. Its bytes are saved nevertheless, and the next program that opens the variable by its
    /// type stores the layout again.
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
    /// [`NotAMap`](ErrorKind::NotAMap) if no part of a map is found;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if both are the same map; and the errors of
    /// opening a section, and of [`Map::set`] for the other map.
    pub fn salvage(&self, into: &Map) -> Result<Salvage> {
        self.awaited(|| self.try_salvage(into))
            .map_err(|error: Error| error.during("salvage", self.object()))
    }

    fn try_salvage(&self, into: &Map) -> Result<Salvage> {
        if let Some(gem) = self.open_gem_if_it_is_one()? {
            return of_payload(&gem, into);
        }
        let into = into.stored("salvage", "salvage into a map with Format::Store")?;
        let region = open_region(self)?;
        let store = &region.store;
        let same = if into.inner.facts.file {
            let theirs = into.inner.store.mem().section().id()?;
            // A second mount shows the same file under another device.
            let ours = store.mem().section().id()?;
            theirs.zip(ours).is_some_and(|(one, two)| one.is_same_file(&two) != Some(false))
        } else {
            into.inner.facts.uuid[0] == store.uuid
        };
        if same {
            return Err(Error::new(ErrorKind::InvalidArgument, "salvage", "")
                .detail("it is the map to salvage into; make a new one"));
        }
        let mut salvage = Salvage::default();
        let found = store.survivors(region.bytes.div_ceil(CHUNK), &mut salvage.lost);
        let mut layouts = layouts(store, &found);
        let mut judge = Judge::default();
        // Locks are not copied: their owners use the damaged map.
        for (name, handle) in found.into_iter().filter(|(name, _)| !is_reserved(name.as_bytes())) {
            let (captured, lost) = store.newest_whole(handle, codec::is_message_pack);
            if let Some((at, what)) = lost {
                let older = captured.is_some();
                salvage.lost.push(Lost::new(at, Some(name.clone()), what, older));
            }
            if let Some(captured) = captured {
                let find = |id| Ok(layouts.remove(&id).unwrap_or(Found::Absent));
                let flaw = into.run(|| judge.carry(&captured, into, find)).map_err(
                    |trouble: EngineError| trouble.during("save layouts into", into.object()),
                )?;
                save(into, &name, handle.atomic, &captured)?;
                if let Some(flaw) = flaw {
                    let what = format!("{flaw}; its bytes are saved");
                    salvage.lost.push(Lost::new(handle.at, Some(name), what, false));
                } else {
                    salvage.saved += 1;
                }
            }
        }
        salvage.lost.sort_by_key(|lost| lost.at);
        store.mem().lost().map_or(Ok(salvage), Err)
    }
}

/// Returns the layouts of plain structs, by their numbers.
fn layouts(store: &Store<ReadOnly>, found: &[(String, Handle)]) -> HashMap<u32, Found> {
    let layout = |(name, handle): &(String, Handle)| {
        let id = u32::from_str_radix(name.strip_prefix(plain::PREFIX)?, 16).ok()?;
        let (captured, _) = store.newest_whole(*handle, codec::is_message_pack);
        Some((id, structs::found(name, captured.as_ref())))
    };
    found.iter().filter_map(layout).collect()
}

/// Copies all variables of a gem map; a damaged one has no parts to save.
fn of_payload(gem: &Gem, into: &Map) -> Result<Salvage> {
    let mut salvage = Salvage::default();
    for (name, captured) in gem.all("")? {
        match captured.and_then(codec::decode::<Value>) {
            Ok(value) => {
                into.set(&name, &value)?;
                salvage.saved += 1;
            }
            // The payload is one piece, so the place of a value in it says nothing.
            Err(error) => salvage.lost.push(Lost::new(0, Some(name), error.to_string(), false)),
        }
    }
    Ok(salvage)
}

pub(super) fn save(into: &Stored, name: &str, atomic: bool, captured: &OwnedValue) -> Result<()> {
    let raw = if captured.kind == Kind::Nil as u8 {
        Raw::bytes(Kind::Nil, 0, &[])
    } else {
        captured.raw()
    };
    let saved = into.run(|| {
        let store = &into.inner.store;
        if atomic {
            into.find_or_create(name, &raw, true).map(|_| ())
        } else {
            store.set(store.query(name.as_bytes()), &raw).map(|_| ())
        }
    });
    saved.map_err(|trouble: EngineError| into.failed("save variable", name, trouble))
}
