//! One field of a plain struct: by a handle, and by name where the type is not known.

use super::place::Place;
use crate::{
    Map, Value,
    map::store_map::{Stored, which},
    map::versioned::UPDATES,
    name::checked,
    plain::{PlainField, fill, fill_struct, part_of},
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
    mem::Mem,
    value::{Data, Kind, Raw},
    variable::named::AGAIN,
    version::Version,
};
use mapvar_os::{Error, ErrorKind, Result};
use std::{fmt, marker::PhantomData};

/// A handle to one field of a plain struct; from [`PlainVar::field`](crate::PlainVar::field).
pub struct FieldVar<F> {
    place: Place,
    offset: usize,
    of: PhantomData<fn() -> F>,
}

impl<F: PlainField> FieldVar<F> {
    /// Opens the part of the struct at `path`.
    pub(super) fn open(place: &Place, path: &str) -> Result<Self> {
        let failed =
            |error: Error| error.during("open field", place.stored.field_of(&place.name, path));
        let (offset, shape) = place.layout.find(path).map_err(|flaw| failed(flaw.into()))?;
        if *shape != F::shape() {
            let detail = format!("it is {shape}, and {} was asked for", F::shape());
            return Err(failed(Error::new(ErrorKind::WrongKind, "", "").detail(detail)));
        }
        Ok(Self { place: place.clone(), offset, of: PhantomData })
    }

    /// Returns the field. No other byte of the struct is copied.
    ///
    /// # Errors
    /// Those of [`PlainVar::get`](crate::PlainVar::get).
    pub fn get(&self) -> Result<F> {
        self.find()?.ok_or_else(|| self.place.stored.absent("get variable", &self.place.name))
    }

    /// Returns the field, or `None` if there is no variable.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find(&self) -> Result<Option<F>> {
        // The size of a field is no constant that an array can have here.
        let mut short = [0; 64];
        let mut long = Vec::new();
        let bytes = match short.get_mut(..F::SIZE) {
            Some(short) => short,
            None => {
                long.resize(F::SIZE, 0);
                long.as_mut_slice()
            }
        };
        if !self.place.try_read(self.place.layout.size(), self.offset, bytes)
            && self.place.read_slowly(self.offset, bytes)?.is_none()
        {
            return Ok(None);
        }
        if F::is_valid(bytes) { Ok(Some(F::read(bytes))) } else { Err(self.place.invalid()) }
    }

    /// Sets the field, and leaves the others as they are.
    ///
    /// If the struct is long or the variable is in use at that moment, it reads the struct, and sets
    /// it if no other writer has done so meanwhile; else it begins again, up to 1,000 times.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no variable;
    /// [`Conflict`](ErrorKind::Conflict) if other writers set it during each attempt; and those of
    /// [`PlainVar::set`](crate::PlainVar::set).
    #[allow(clippy::needless_pass_by_value, reason = "by reference, `set(&1.0)` would be the rule")]
    pub fn set(&self, value: F) -> Result<()> {
        let place = &self.place;
        let mut short = [0; 64];
        if let Some(part) = short.get_mut(..F::SIZE) {
            value.write(part);
            if let Some(done) = place.try_write_part(self.offset, part) {
                return done;
            }
        }
        let mut bytes = vec![0; place.layout.size()];
        for round in 0..UPDATES {
            let Some(version) = place.read_slowly(0, &mut bytes)? else {
                return Err(place.stored.absent("set variable", &place.name));
            };
            if let Some(part) = bytes.get_mut(self.offset..self.offset + F::SIZE) {
                value.write(part);
            }
            if place.write_if(version, &bytes)?.is_set() {
                return Ok(());
            }
            let _ = place.stored.inner.store.mem().pause(round);
        }
        Err(conflict(&place.stored, &place.name))
    }
}

impl<F> Clone for FieldVar<F> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), ..*self }
    }
}

impl<F> fmt::Debug for FieldVar<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldVar")
            .field("variable", &self.place.stored.variable(&self.place.name))
            .field("offset", &self.offset)
            .finish()
    }
}

#[cold]
fn conflict(stored: &Stored, name: &str) -> Error {
    Error::new(ErrorKind::Conflict, "set a field of variable", stored.variable(name))
        .detail("other processes wrote it at each attempt; try again")
}

impl Map {
    /// Returns a field of a plain struct, whose type this program need not know.
    ///
    /// The path has the names of fields, and the indices of elements, as in `wheels.2.speed`. No
    /// other byte of the struct is copied.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no variable, or no such field in it;
    /// [`WrongKind`](ErrorKind::WrongKind) if it is no plain struct;
    /// [`Corrupt`](ErrorKind::Corrupt) and [`Version`](ErrorKind::Version) if its layout is of no
    /// use; [`Unsupported`](ErrorKind::Unsupported) for a
    /// [`Format::Marshal`](crate::Format::Marshal) map.
    pub fn get_field(&self, name: &str, path: &str) -> Result<Value> {
        let map = self.stored("get a field of variable", NO_STRUCTS)?;
        map.run(|| map.read_field(name, path))
            .map_err(|trouble| trouble.during("get field", map.field_of(name, path)))
    }

    /// Sets a field of a plain struct, whose type this program need not know; with an empty `path`,
    /// the whole struct.
    ///
    /// An integer converts to any type that holds it, and a float is rounded to an `f32`, as
    /// [`get`](Self::get) does. An array takes a list of as many elements, and a struct a
    /// dictionary of all its fields. The other fields stay as they are, also if other programs set
    /// them at the same time.
    ///
    /// # Errors
    /// Those of [`get_field`](Self::get_field) and [`set`](Self::set);
    /// [`WrongKind`](ErrorKind::WrongKind) and [`OutOfRange`](ErrorKind::OutOfRange) if the field
    /// cannot hold the value; [`Conflict`](ErrorKind::Conflict) if other writers set the variable
    /// at each of 1,000 attempts.
    pub fn set_field(&self, name: &str, path: &str, value: &Value) -> Result<()> {
        let map = self.stored("set a field of variable", NO_STRUCTS)?;
        map.run(|| map.write_field(name, path, value)).map_err(|trouble| match path {
            "" => map.failed("set variable", name, trouble),
            path => trouble.during("set field", map.field_of(name, path)),
        })
    }
}

impl Stored {
    #[cold]
    fn field_of(&self, name: &str, path: &str) -> String {
        format!("{path:?} of {}", self.variable(name))
    }

    fn read_field(&self, name: &str, path: &str) -> Result<Value, EngineError> {
        let store = &self.inner.store;
        for _ in 0..AGAIN {
            let query = store.query(checked(name)?);
            let found =
                store.read_named(query, |view| (view.kind(), view.type_id(), view.len()))?;
            let Some((_, facts, _)) = found else { return Err(no_variable()) };
            let (kind, type_id, len) = facts;
            if kind != Kind::Plain as u8 {
                return Err(no_struct(kind));
            }
            let layout = self.layout(type_id)?.map_err(Error::from)?;
            if len != layout.size() {
                return Err(wrong_length(len, layout.size()));
            }
            let (offset, shape) = layout.find(path).map_err(Error::from)?;
            let mut bytes = Vec::new();
            let size = shape.size();
            bytes.try_reserve_exact(size).map_err(|_| Error::new(ErrorKind::NoSpace, "", ""))?;
            bytes.resize(size, 0);
            let same = store.read_named(store.query(checked(name)?), |view| {
                let same = (view.kind(), view.type_id(), view.len()) == facts;
                if same {
                    view.copy_part_to(offset, &mut bytes);
                }
                same
            })?;
            // Otherwise another program has set another type meanwhile.
            if matches!(same, Some((_, true, _))) {
                let packed = part_of(shape, &bytes).map_err(Error::from)?;
                return Ok(codec::unpack(&packed)?);
            }
        }
        Err(EngineError::Contended)
    }

    fn write_field(&self, name: &str, path: &str, value: &Value) -> Result<(), EngineError> {
        let store = &self.inner.store;
        for round in 0..UPDATES {
            let Some(found) = self.read_versioned(name)? else { return Err(no_variable()) };
            let (mut bytes, type_id) = match (found.captured.kind, found.captured.data) {
                (kind, Data::Bytes(bytes)) if kind == Kind::Plain as u8 => {
                    (bytes, found.captured.type_id)
                }
                (kind, _) => return Err(no_struct(kind)),
            };
            let layout = self.layout(type_id)?.map_err(Error::from)?;
            if bytes.len() != layout.size() {
                return Err(wrong_length(bytes.len(), layout.size()));
            }
            if path.is_empty() {
                fill_struct(&layout, value, &mut bytes)?;
            } else {
                let (offset, shape) = layout.find(path).map_err(Error::from)?;
                let part = bytes.get_mut(offset..offset + shape.size());
                fill(shape, value, part.unwrap_or_default())?;
            }
            let raw = Raw::bytes(Kind::Plain, type_id, &bytes);
            let version = Version::from((found.handle.id, found.number));
            if store.set_if(store.query(checked(name)?), &raw, which(version))?.is_ok() {
                return Ok(());
            }
            let _ = store.mem().pause(round);
        }
        Err(conflict(self, name).into())
    }
}

pub(super) const NO_STRUCTS: &str = "the gem's layout has no plain structs; make the map with \
                                     Format::Store";

#[cold]
fn no_variable() -> EngineError {
    Error::new(ErrorKind::NotFound, "", "").detail("no variable of this name").into()
}

#[cold]
fn no_struct(kind: u8) -> EngineError {
    let found = Kind::of(kind).map_or("a value of a later version", Kind::name);
    let detail = format!("it is {found}, and no struct with fields");
    Error::new(ErrorKind::WrongKind, "", "").detail(detail).into()
}

#[cold]
fn wrong_length(len: usize, size: usize) -> EngineError {
    let detail = format!("it has {len} bytes, and its layout {size}");
    Error::new(ErrorKind::Corrupt, "", "").detail(detail).into()
}
