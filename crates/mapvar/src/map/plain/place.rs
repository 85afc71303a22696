//! The variable of a plain struct: its name, its layout, and the record in which it was found last.

use crate::{
    Map, Value,
    map::{store_map::Stored, target::Remembered, versioned::Compared},
    name::checked,
    plain::{Layout, other},
};
use mapvar_engine::{
    error::EngineError,
    mem::mapped::Mapped,
    value::{Kind, Raw, SlotView},
    version::Version,
};
use mapvar_os::{Error, ErrorKind, Result};
use std::sync::Arc;

/// The common part of the handles to a struct and to its fields.
pub(super) struct Place {
    pub(super) map: Map,
    pub(super) stored: Stored,
    pub(super) name: Arc<str>,
    pub(super) layout: Arc<Layout>,
    /// The number of the layout.
    id: u32,
    found: Remembered,
}

/// What a variable holds: the numbers of its kind and type, and its length.
type Facts = (u8, u32, usize);

impl Place {
    pub(super) fn new(
        map: &Map,
        stored: &Stored,
        name: &str,
        layout: Arc<Layout>,
        id: u32,
    ) -> Self {
        let found = Remembered::new(stored);
        Self { map: map.clone(), stored: stored.clone(), name: name.into(), layout, id, found }
    }

    /// Fails if the variable holds anything but a struct of this layout.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let store = &self.stored.inner.store;
        let found = store.read_named(store.query(checked(&self.name)?), |view| facts(&view))?;
        let Some((handle, found, _)) = found else { return Ok(()) };
        if !self.is_ours(found) {
            return Err(self.other(found));
        }
        self.found.remember(handle);
        Ok(())
    }

    fn is_ours(&self, found: Facts) -> bool {
        found == (Kind::Plain as u8, self.id, self.layout.size())
    }

    /// Copies the bytes from `from` on, in one attempt; returns whether it succeeded. `len` is the
    /// size of the struct.
    #[inline]
    pub(super) fn try_read(&self, len: usize, from: usize, into: &mut [u8]) -> bool {
        let store = self.found.store();
        self.found.here().is_some_and(|(here, record)| {
            store.try_read_plain_here(here, record, (self.id, len), from, into)
        }) && self.stored.is_usable()
    }

    /// Copies the bytes from `from` on. Returns the version of the value; `None` if there is no
    /// variable.
    #[inline(never)]
    pub(super) fn read_slowly(&self, from: usize, into: &mut [u8]) -> Result<Option<Version>> {
        let read = || {
            let store = &self.stored.inner.store;
            let query = store.query(checked(&self.name)?);
            let found = store.read_named(query, |view: SlotView<'_, Mapped>| {
                let found = facts(&view);
                let ours = self.is_ours(found);
                if ours {
                    view.copy_part_to(from, into);
                }
                (ours, found)
            })?;
            match found {
                None => Ok(None),
                Some((handle, (true, _), number)) => {
                    self.found.remember(handle);
                    Ok(Some(Version::from((handle.id, number))))
                }
                Some((_, (false, found), _)) => Err(self.other(found)),
            }
        };
        self.stored.run(read).map_err(|trouble| self.failed("get variable", trouble))
    }

    /// Sets the variable to these bytes, and creates it if there is none. Fails if it holds
    /// anything but a struct of this layout, unless another program sets that at the same time.
    #[inline]
    pub(super) fn write(&self, bytes: &[u8]) -> Result<()> {
        if self.stored.is_usable()
            && let Some((here, record)) = self.found.here()
            && self.found.store().try_write_plain_here(here, record, self.id, bytes)
        {
            return self.stored.acknowledged("set variable", &self.name, ());
        }
        self.write_slowly(Raw::bytes(Kind::Plain, self.id, bytes))
    }

    /// Sets the bytes from `from` on, in one attempt, if the variable holds a struct of this layout.
    /// `None` says nothing of the variable; the result is that of the whole operation.
    #[inline]
    pub(super) fn try_write_part(&self, from: usize, part: &[u8]) -> Option<Result<()>> {
        let (here, record) = self.found.here().filter(|_| self.stored.is_usable())?;
        let layout = (self.id, self.layout.size());
        let wrote = self.found.store().try_write_part_here(here, record, layout, from, part);
        wrote.then(|| self.stored.acknowledged("set variable", &self.name, ()))
    }

    // By value: by reference, `raw` would be written to memory on the fast path too.
    #[cold]
    #[inline(never)]
    fn write_slowly(&self, raw: Raw<'_>) -> Result<()> {
        let write = || {
            self.check()?;
            let store = &self.stored.inner.store;
            store.set(store.query(checked(&self.name)?), &raw)?;
            if let Some(handle) = store.find(store.query(checked(&self.name)?))? {
                self.found.remember(handle);
            }
            Ok(())
        };
        self.stored.run(write).map_err(|trouble| self.failed("set variable", trouble))
    }

    /// Sets the variable to these bytes if it has the version `expected`.
    pub(super) fn write_if(&self, expected: Version, bytes: &[u8]) -> Result<Compared<Version>> {
        self.stored.put_if(&self.name, expected, &Raw::bytes(Kind::Plain, self.id, bytes))
    }

    /// The error for a variable that holds something else.
    #[cold]
    fn other(&self, found: Facts) -> EngineError {
        let (kind, type_id, _) = found;
        let foreign = kind == Kind::Plain as u8 && type_id != self.id;
        match foreign.then(|| self.stored.layout(type_id)).transpose() {
            Ok(theirs) => other((&self.layout, self.id), found, theirs.as_ref()).into(),
            Err(trouble) => trouble,
        }
    }

    #[cold]
    pub(super) fn failed(&self, operation: &'static str, trouble: EngineError) -> Error {
        self.stored.failed(operation, &self.name, trouble)
    }

    /// The error of a `bool` that is neither 0 nor 1.
    #[cold]
    pub(super) fn invalid(&self) -> Error {
        // The way by the layout finds which one.
        match self.map.get::<Value>(&self.name) {
            Err(error) => error,
            Ok(_) => {
                Error::new(ErrorKind::Corrupt, "get variable", self.stored.variable(&self.name))
                    .detail("a bool in it was neither 0 nor 1")
            }
        }
    }
}

fn facts(view: &SlotView<'_, Mapped>) -> Facts {
    (view.kind(), view.type_id(), view.len())
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self {
            map: self.map.clone(),
            stored: self.stored.clone(),
            name: Arc::clone(&self.name),
            layout: Arc::clone(&self.layout),
            id: self.id,
            found: self.found.clone(),
        }
    }
}
