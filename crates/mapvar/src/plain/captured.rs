//! A value that was copied out of a map, with the layout by which it can be read later.

use super::{
    dict::dict,
    shape::{Flaw, Layout},
    typed::Plain,
    wire::{description, number},
};
use crate::{Kind, value::codec};
use mapvar_engine::value::{Data, OwnedValue};
use mapvar_os::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A value, and for a plain struct its layout, or why there is none.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    raw: OwnedValue,
    layout: Option<std::result::Result<Arc<Layout>, Flaw>>,
}

impl Captured {
    /// A plain struct with its layout.
    pub(crate) fn plain(raw: OwnedValue, layout: std::result::Result<Arc<Layout>, Flaw>) -> Self {
        Self { raw, layout: Some(layout) }
    }

    /// Returns the value as it is stored.
    pub(crate) fn raw(&self) -> &OwnedValue {
        &self.raw
    }

    /// Returns the kind as it is stored.
    pub(crate) fn stored_kind(&self) -> Result<Kind> {
        self.raw.kind()
    }

    /// Returns the value, for a plain struct as a dictionary of its fields.
    pub(crate) fn described(self) -> Result<OwnedValue> {
        match (self.layout, &self.raw.data) {
            (Some(layout), Data::Bytes(bytes)) => Ok(dict(&*layout?, bytes)?),
            _ => Ok(self.raw),
        }
    }

    pub(crate) fn decoded<T: DeserializeOwned>(&self) -> Result<T> {
        match self.layout {
            None => codec::decode(self.raw.clone()),
            Some(_) => codec::decode(self.clone().described()?),
        }
    }

    /// Returns the plain struct. Fails if the value is anything but one of this very layout.
    pub(crate) fn plain_as<T: Plain>(&self) -> Result<T> {
        let ours = T::layout();
        let id = number(&description(&ours)?);
        let bytes = match &self.raw.data {
            Data::Bytes(bytes) => bytes.as_slice(),
            Data::Word(_) => &[],
        };
        let found = (self.raw.kind, self.raw.type_id, bytes.len());
        if found != (Kind::Plain as u8, id, T::SIZE) {
            return Err(other((&ours, id), found, self.layout.as_ref()));
        }
        if !T::is_valid(bytes) {
            return Err(
                Error::new(ErrorKind::Corrupt, "", "").detail("a bool in it is neither 0 nor 1")
            );
        }
        Ok(T::read(bytes))
    }
}

/// The error for a value that is no struct of our layout. It names both types. `found` has the
/// numbers of its kind and type, and its length; `theirs` is its layout, if it is a plain struct.
#[cold]
pub(crate) fn other(
    (ours, id): (&Layout, u32),
    (kind, type_id, len): (u8, u32, usize),
    theirs: Option<&std::result::Result<Arc<Layout>, Flaw>>,
) -> Error {
    let error = |kind, detail| Error::new(kind, "", "").detail(detail);
    if kind != Kind::Plain as u8 {
        let found = Kind::of(kind).map_or("a value of a later version", Kind::name);
        return error(
            ErrorKind::WrongKind,
            format!("it is {found}, and this program has it as {ours}; remove it first"),
        );
    }
    if type_id == id {
        return error(
            ErrorKind::Corrupt,
            format!("it has {len} bytes, and its layout {:?} has {}", ours.name(), ours.size()),
        );
    }
    let found = match theirs {
        Some(Ok(theirs)) => format!(
            "it holds {theirs}, and this program has it as {ours}: {}",
            theirs.difference(ours)
        ),
        Some(Err(flaw)) => {
            format!("this program has it as {ours}, and it is another: {}", flaw.detail)
        }
        None => format!("this program has it as {ours}, and it is another"),
    };
    error(ErrorKind::WrongKind, format!("{found}; remove it first, or use the same type"))
}

impl From<OwnedValue> for Captured {
    fn from(raw: OwnedValue) -> Self {
        Self { raw, layout: None }
    }
}
