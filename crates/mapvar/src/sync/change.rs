//! A change of a variable, as a watch returns it.

use crate::{
    Kind, Version,
    plain::{Captured, Plain},
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A change of a variable, with its newest value; returned by a [`Watch`](crate::Watch).
///
/// ```
/// # let name = format!("doc-change.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// map.set("level", 0)?;
/// let mut watch = map.watch("level")?;
/// map.set("level", 1)?;
/// map.set("level", 2)?;
/// let change = watch.recv()?;
/// assert_eq!((change.name(), change.get::<i64>()?, change.skipped()), ("level", 2, 1));
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Change {
    pub(crate) name: Arc<str>,
    /// The map, in messages.
    pub(crate) object: Arc<str>,
    pub(crate) captured: Option<Captured>,
    pub(crate) version: Version,
    pub(crate) skipped: u64,
}

impl Change {
    /// The name of the variable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the variable was removed, so that there is no value.
    pub fn is_removed(&self) -> bool {
        self.captured.is_none()
    }

    /// Returns the value as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the variable was removed; [`ErrorKind::WrongKind`],
    /// [`ErrorKind::OutOfRange`], [`ErrorKind::Corrupt`].
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        self.find()?.ok_or_else(|| {
            let error = Error::new(ErrorKind::NotFound, "", "");
            self.with_context(error.detail("the change is that it was removed"))
        })
    }

    /// Returns the value as a `T`, or `None` if the variable was removed.
    ///
    /// ```
    /// # let name = format!("doc-change-find.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("level", 1)?;
    /// let mut watch = map.watch("level")?;
    /// map.remove("level")?;
    /// assert_eq!(watch.recv()?.find::<i64>()?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let found = self.captured.as_ref().map(Captured::decoded).transpose();
        found.map_err(|error| self.with_context(error))
    }

    /// Returns the value as a plain struct, or `None` if the variable was removed.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is anything but a struct of this layout;
    /// [`ErrorKind::Corrupt`] if a `bool` is neither 0 nor 1.
    pub fn plain<T: Plain>(&self) -> Result<Option<T>> {
        let found = self.captured.as_ref().map(Captured::plain_as).transpose();
        found.map_err(|error| self.with_context(error))
    }

    /// Returns the kind of the value, or `None` if the variable was removed.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if this version of the library does not know the kind.
    pub fn kind(&self) -> Result<Option<Kind>> {
        self.captured
            .as_ref()
            .map(Captured::stored_kind)
            .transpose()
            .map_err(|error| self.with_context(error))
    }

    /// The version of the value, as [`Map::version`](crate::Map::version) returns it.
    ///
    /// For an [`Atomic`](crate::Atomic), its number is the word itself.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The number of changes between this one and the last one that the watch returned.
    ///
    /// It is exact, unless the variable was removed and created again in between: then it is a
    /// lower bound. For an [`Atomic`](crate::Atomic) it is 0, since changes of an `Atomic` are not
    /// counted.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(crate) fn with_context(&self, error: Error) -> Error {
        error.during("get the change of variable", format!("{:?} of {}", self.name, self.object))
    }
}
