//! A handle to a plain struct.

use super::{
    field::{FieldVar, NO_STRUCTS},
    place::Place,
};
use crate::{
    Map,
    map::versioned::{Compared, UPDATES},
    name::checked,
    plain::{Plain, PlainField, description, number},
};
use mapvar_engine::{mem::Mem, version::Version};
use mapvar_os::{Error, ErrorKind, Result};
use std::{borrow::Borrow, fmt, marker::PhantomData, sync::Arc};

/// A handle to a variable that is a plain struct; from [`Map::plain`].
///
/// [`get`](Self::get) and [`set`](Self::set) copy the bytes of the struct and do nothing else. The
/// layout of the struct is in the map, so that every program reads and writes its fields by name:
/// as a [`Value`](crate::Value), by [`Map::get_field`], by the command, and in other languages.
///
/// The variable may be absent: [`get`](Self::get) then fails, and [`set`](Self::set) creates it.
/// The handle is `'static`, `Send` and `Sync`, and owns a clone of the map.
pub struct PlainVar<T> {
    place: Place,
    // `fn() -> T`: a handle owns no `T`, so it is `Send` and `Sync` for every `T`.
    of: PhantomData<fn() -> T>,
}

impl Map {
    /// Returns a handle to a variable that is a plain struct, for repeated use.
    ///
    /// It stores the layout of the struct in the map, once for each type. In a file the first
    /// handle to a new type flushes, since a power cut must not leave a value without its layout.
    ///
    /// ```
    /// # #[cfg(feature = "derive")] {
    /// # let name = format!("doc-map-plain.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// #[derive(mapvar::Plain, Clone, Copy, Debug, PartialEq)]
    /// #[repr(C)]
    /// struct Pose {
    ///     x: f64,
    ///     y: f64,
    ///     moving: bool,
    /// }
    ///
    /// let pose = map.plain::<Pose>("pose")?;
    /// pose.set(Pose { x: 1.0, y: 2.0, moving: true })?;
    /// assert_eq!(pose.get()?.y, 2.0);
    /// pose.field::<f64>("x")?.set(3.0)?;
    /// assert_eq!(map.get_field("pose", "x")?, mapvar::Value::F64(3.0));
    /// # }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`WrongKind`](ErrorKind::WrongKind) if the variable holds anything but a struct of this
    /// layout; the message names both. [`InvalidName`](ErrorKind::InvalidName);
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a struct of more than 4,096 fields or 16
    /// levels; [`AlreadyExists`](ErrorKind::AlreadyExists) if the map has another layout of the
    /// same number, which is the hash of its description; [`Unsupported`](ErrorKind::Unsupported)
    /// for a [`Format::Marshal`](crate::Format::Marshal) map. If the map has no such layout yet,
    /// those of [`set`](Self::set), and for a file those of [`flush`](Self::flush).
    pub fn plain<T: Plain>(&self, name: &str) -> Result<PlainVar<T>> {
        let stored = self.stored("open variable", NO_STRUCTS)?;
        let open = || {
            checked(name)?;
            let layout = Arc::new(T::layout());
            let id = number(&description(&layout).map_err(Error::from)?);
            let place = Place::new(self, stored, name, Arc::clone(&layout), id);
            place.check()?;
            stored.publish(&layout)?;
            Ok(place)
        };
        let place =
            stored.run(open).map_err(|trouble| stored.failed("open variable", name, trouble))?;
        Ok(PlainVar { place, of: PhantomData })
    }
}

impl<T: Plain> PlainVar<T> {
    /// Returns the value.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no variable;
    /// [`WrongKind`](ErrorKind::WrongKind) if another program has set the variable to another kind
    /// or type, which the message names; [`Corrupt`](ErrorKind::Corrupt) if a `bool` is neither 0
    /// nor 1.
    #[inline]
    pub fn get(&self) -> Result<T> {
        let mut bytes = T::zeroed();
        if self.place.try_read(T::SIZE, 0, bytes.as_mut()) && T::is_valid(bytes.as_ref()) {
            return Ok(T::read(bytes.as_ref()));
        }
        self.get_slowly()
    }

    #[cold]
    #[inline(never)]
    fn get_slowly(&self) -> Result<T> {
        self.find_versioned()?
            .map(|(value, _)| value)
            .ok_or_else(|| self.place.stored.absent("get variable", &self.place.name))
    }

    /// Returns the value, or `None` if there is no variable.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find(&self) -> Result<Option<T>> {
        let mut bytes = T::zeroed();
        if self.place.try_read(T::SIZE, 0, bytes.as_mut()) && T::is_valid(bytes.as_ref()) {
            return Ok(Some(T::read(bytes.as_ref())));
        }
        Ok(self.find_versioned()?.map(|(value, _)| value))
    }

    /// Returns the value and its version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn get_versioned(&self) -> Result<(T, Version)> {
        self.find_versioned()?
            .ok_or_else(|| self.place.stored.absent("get variable", &self.place.name))
    }

    fn find_versioned(&self) -> Result<Option<(T, Version)>> {
        let mut bytes = T::zeroed();
        let Some(version) = self.place.read_slowly(0, bytes.as_mut())? else { return Ok(None) };
        if !T::is_valid(bytes.as_ref()) {
            return Err(self.place.invalid());
        }
        Ok(Some((T::read(bytes.as_ref()), version)))
    }

    /// Sets the variable, and creates it if there is none.
    ///
    /// # Errors
    /// Those of [`Map::set`]; [`WrongKind`](ErrorKind::WrongKind) if another program has set the
    /// variable to another kind or type, which the message names.
    #[inline]
    pub fn set(&self, value: impl Borrow<T>) -> Result<()> {
        let mut bytes = T::zeroed();
        value.borrow().write(bytes.as_mut());
        self.place.write(bytes.as_ref())
    }

    /// Sets the variable if it still has the version `expected`; with [`Version::ABSENT`] only if
    /// there is none.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn compare_and_set(
        &self,
        expected: Version,
        value: impl Borrow<T>,
    ) -> Result<Compared<Version>> {
        let mut bytes = T::zeroed();
        value.borrow().write(bytes.as_mut());
        let check = || self.place.check();
        let checked = self.place.stored.run(check);
        checked.map_err(|trouble| self.place.failed("set variable", trouble))?;
        self.place.write_if(expected, bytes.as_ref())
    }

    /// Replaces the value by the result of `change`, and returns that result.
    ///
    /// No lock is held while `change` runs. If another writer sets the variable meanwhile, `change`
    /// is called again with the new value, up to 1,000 times.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set); [`Conflict`](ErrorKind::Conflict) if
    /// other writers set the variable during each call.
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<T> {
        match self.try_update(|value| Ok::<_, Error>(Some(change(value))))? {
            Some(value) => Ok(value),
            // `change` returns a value each time it is called.
            None => self.get(),
        }
    }

    /// As [`update`](Self::update), with a `change` that may fail, or return `None` to leave the
    /// value as it is. Returns the new value, or `None` if nothing was set.
    ///
    /// # Errors
    /// Those of [`update`](Self::update), and of `change`.
    pub fn try_update<E: From<Error>>(
        &self,
        mut change: impl FnMut(T) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        for round in 0..UPDATES {
            let (value, version) = self.get_versioned()?;
            let Some(value) = change(value)? else { return Ok(None) };
            if self.compare_and_set(version, &value)?.is_set() {
                return Ok(Some(value));
            }
            let _ = self.place.stored.inner.store.mem().pause(round);
        }
        let variable = self.place.stored.variable(&self.place.name);
        Err(Error::new(ErrorKind::Conflict, "update variable", variable)
            .detail("other processes wrote it at each attempt; try again")
            .into())
    }

    /// Returns a handle to one field, by its name or path, as in `wheels.2.speed`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such field;
    /// [`WrongKind`](ErrorKind::WrongKind) if it is of another type.
    pub fn field<F: PlainField>(&self, path: &str) -> Result<FieldVar<F>> {
        FieldVar::open(&self.place, path)
    }
}

impl<T> PlainVar<T> {
    /// Returns the variable's name.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Returns the variable's map.
    pub fn map(&self) -> &Map {
        &self.place.map
    }
}

impl<T> Clone for PlainVar<T> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for PlainVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlainVar").field(&self.place.stored.variable(self.name())).finish()
    }
}
