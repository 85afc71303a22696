//! A value that was copied out of a map, with the layout by which it can be read later.

use super::{
    dict::dict,
    shape::{Flaw, Layout},
};
use crate::{Kind, value::codec};
use mapvar_engine::value::{Data, OwnedValue};
use mapvar_os::Result;
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
        codec::decode(self.clone().described()?)
    }
}

impl From<OwnedValue> for Captured {
    fn from(raw: OwnedValue) -> Self {
        Self { raw, layout: None }
    }
}
