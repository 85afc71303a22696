//! The layouts of plain structs in a map: hidden variables, one for each type.
//!
//! A layout is stored before the first value of its type, and in a file it is durable before: so a
//! power cut leaves no value without it. No call removes it.

use super::{
    captured::Captured,
    shape::{Flaw, Layout},
    wire::{MOST, described, description, number},
};
use mapvar_engine::{
    error::EngineError,
    mem::{Mem, mapped::Mapped},
    store::Store,
    value::{Data, Kind, OwnedValue, Raw, SlotView},
    variable::named::AGAIN,
};
use mapvar_os::{Error, ErrorKind};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The names of the hidden variables: this, and the number in eight hexadecimal digits.
pub(crate) const PREFIX: &str = "\0plain\0";

/// The layouts of a map that this process has read. A layout never changes, since its number is the
/// hash of its description.
#[derive(Debug, Default)]
pub(crate) struct Layouts(Mutex<HashMap<u32, Arc<Layout>>>);

/// The most layouts to remember: another process may store any number.
const MOST_KNOWN: usize = 1024;

/// Returns the name of the hidden variable for the layout with this number.
pub(crate) fn name_of(id: u32) -> String {
    format!("{PREFIX}{id:08x}")
}

/// The outcome of reading a hidden variable.
pub(crate) enum Found {
    Absent,
    /// What it holds has another number.
    Damaged,
    Description(Vec<u8>),
}

impl Found {
    /// Returns the layout, of which this is the number, or why there is none.
    pub(crate) fn layout(&self, id: u32) -> std::result::Result<Layout, Flaw> {
        let missing = |what: &str| {
            Flaw::new(
                ErrorKind::Corrupt,
                format!(
                    "it is a struct whose layout, {id:08x}, {what}; the next program that opens \
                     it by its type stores the layout again"
                ),
            )
        };
        match self {
            Self::Absent => Err(missing("the map does not have")),
            Self::Damaged => Err(missing("is damaged")),
            Self::Description(bytes) => described(bytes),
        }
    }
}

impl Layouts {
    /// Returns the layout with this number, as the map describes it.
    pub(crate) fn layout(
        &self,
        store: &Store<Mapped>,
        id: u32,
    ) -> Result<std::result::Result<Arc<Layout>, Flaw>, EngineError> {
        if let Some(layout) = self.known().get(&id) {
            return Ok(Ok(Arc::clone(layout)));
        }
        Ok(description_of(store, id)?.layout(id).map(|layout| {
            let layout = Arc::new(layout);
            let mut known = self.known();
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(id, Arc::clone(&layout));
            layout
        }))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u32, Arc<Layout>>> {
        // A panic elsewhere leaves the entries whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the layout to a value that is a plain struct.
    pub(crate) fn captured_of(
        &self,
        store: &Store<Mapped>,
        raw: OwnedValue,
    ) -> Result<Captured, EngineError> {
        if raw.kind != Kind::Plain as u8 {
            return Ok(raw.into());
        }
        let layout = self.layout(store, raw.type_id)?;
        Ok(Captured::plain(raw, layout))
    }

    /// Turns a plain struct into a dictionary of its fields; returns any other value as it is.
    #[inline]
    pub(crate) fn described(
        &self,
        store: &Store<Mapped>,
        raw: OwnedValue,
    ) -> Result<OwnedValue, EngineError> {
        if raw.kind != Kind::Plain as u8 {
            return Ok(raw);
        }
        Ok(self.captured_of(store, raw)?.described()?)
    }

    /// Stores a layout, if the map does not have it; returns its number.
    ///
    /// In a file it is durable when this returns. A map that was opened for reading stays as it is.
    pub(crate) fn publish(
        &self,
        store: &Store<Mapped>,
        file: bool,
        layout: &Layout,
    ) -> Result<u32, EngineError> {
        let bytes = description(layout).map_err(Error::from)?;
        let id = number(&bytes);
        if store.live_mut().is_err() {
            // No value can be set. The layouts are compared where the map has one.
            if let Found::Description(stored) = description_of(store, id)?
                && stored != bytes
            {
                return Err(self.collision(store, id, layout)?);
            }
            return Ok(id);
        }
        self.publish_description(store, &bytes)?;
        for _ in 0..AGAIN {
            let name = name_of(id);
            let found = store.read_named(store.query(name.as_bytes()), |_| ())?;
            match found {
                Some((handle, (), _)) if file && !store.is_durable(handle)? => {
                    // A flush that runs may contain the value that is set next, and not the layout,
                    // which it has passed.
                    store.flush()?;
                }
                Some(_) => return Ok(id),
                None => self.publish_description(store, &bytes)?,
            }
        }
        Err(EngineError::Contended)
    }

    /// Stores a description, if the map does not have it.
    pub(crate) fn publish_description(
        &self,
        store: &Store<Mapped>,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let (id, raw) = (number(bytes), Raw::bytes(Kind::Bytes, 0, bytes));
        let name = name_of(id);
        for _ in 0..AGAIN {
            match description_of(store, id)? {
                Found::Description(stored) if stored == bytes => return Ok(()),
                Found::Description(_) => {
                    return Err(match described(bytes) {
                        Ok(layout) => self.collision(store, id, &layout)?,
                        Err(flaw) => Error::from(flaw).into(),
                    });
                }
                // Of two processes that do this at once, one inserts it.
                Found::Absent => drop(store.set_if(store.query(name.as_bytes()), &raw, None)?),
                // Only these bytes have the number, so no other layout is overwritten.
                Found::Damaged => drop(store.set(store.query(name.as_bytes()), &raw)?),
            }
        }
        Err(EngineError::Contended)
    }

    #[cold]
    fn collision(
        &self,
        store: &Store<Mapped>,
        id: u32,
        layout: &Layout,
    ) -> Result<EngineError, EngineError> {
        let other = match self.layout(store, id)? {
            Ok(other) => other.to_string(),
            Err(flaw) => flaw.detail,
        };
        let detail = format!(
            "its layout {layout} has the number of another layout in the map, {other}; rename one \
             of the types"
        );
        Ok(Error::new(ErrorKind::AlreadyExists, "", "").detail(detail).into())
    }
}

/// Reads the description of the layout with this number.
pub(crate) fn description_of<M: Mem>(store: &Store<M>, id: u32) -> Result<Found, EngineError> {
    let name = name_of(id);
    let take = |view: SlotView<'_, M>| {
        (view.kind() == Kind::Bytes as u8 && view.len() <= MOST).then(|| view.capture())
    };
    Ok(match store.read_named(store.query(name.as_bytes()), take)? {
        None => Found::Absent,
        Some((_, None, _)) => Found::Damaged,
        Some((_, Some(captured), _)) => match captured?.data {
            Data::Bytes(bytes) if number(&bytes) == id => Found::Description(bytes),
            _ => Found::Damaged,
        },
    })
}
