//! A change of a variable, as a watch reports it.

use crate::{Kind, Value, Version, value::codec};
use mapvar_engine::value::OwnedValue;
use mapvar_os::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What a variable changed to, as a [`Watch`](crate::Watch) saw it: the newest value when it was
/// asked.
#[derive(Clone, Debug)]
pub struct Change {
    pub(crate) name: Arc<str>,
    pub(crate) captured: Option<OwnedValue>,
    pub(crate) version: Version,
    pub(crate) skipped: u64,
}

impl Change {
    /// The variable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was removed, and there is no value.
    pub fn is_removed(&self) -> bool {
        self.captured.is_none()
    }

    /// Its value, or `None` where it was removed.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub fn value(&self) -> Result<Option<Value>> {
        self.captured.clone().map(Value::of).transpose().map_err(|error| self.with_context(error))
    }

    /// Its value as a `T`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it was removed; [`ErrorKind::WrongKind`],
    /// [`ErrorKind::OutOfRange`], [`ErrorKind::Corrupt`].
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        let Some(captured) = self.captured.clone() else {
            let error = Error::new(ErrorKind::NotFound, "", "");
            return Err(self.with_context(error.detail("the change is that it was removed")));
        };
        codec::decode(captured).map_err(|error| self.with_context(error))
    }

    /// Its kind, or `None` where it was removed.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] where this version does not know it.
    pub fn kind(&self) -> Result<Option<Kind>> {
        self.captured
            .as_ref()
            .map(OwnedValue::kind)
            .transpose()
            .map_err(|error| self.with_context(error))
    }

    /// Which value it is: of the same number as [`Map::version`](crate::Map::version) tells. Of an
    /// [`Atomic`](crate::Atomic) the number is its word.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many changes of this variable there were since the last one that the watch told, and
    /// before this one. Exact, but where the variable was removed and made again meanwhile: then at
    /// least so many. Of an [`Atomic`](crate::Atomic), whose changes nobody counts, 0.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(crate) fn with_context(&self, error: Error) -> Error {
        error.during("get variable", format!("{:?}", self.name))
    }
}
