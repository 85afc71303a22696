//! Stands in for `map.rs` in a build without the feature `gem`: there is no such map, and no value
//! of these types.

use crate::report::Stat;
use mapvar_engine::{value::OwnedValue, version::Version};
use mapvar_os::{Error, Origin, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{convert::Infallible, time::Duration};

/// See `Spec` in `map.rs`.
pub(crate) enum Spec {}

/// See `Gem` in `map.rs`.
#[derive(Clone)]
pub(crate) struct Gem(Infallible);

#[allow(unused_variables, clippy::needless_pass_by_value, reason = "the signatures of `map.rs`")]
impl Gem {
    pub(crate) fn open(spec: &Spec, _lengthen: bool) -> Result<Self> {
        match *spec {}
    }

    pub(crate) fn set(&self, name: &str, value: impl Serialize) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        match self.0 {}
    }

    pub(crate) fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.0 {}
    }

    pub(crate) fn contains(&self, name: &str) -> Result<bool> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, name: &str) -> Result<bool> {
        match self.0 {}
    }

    pub(crate) fn try_update<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        name: &str,
        change: impl FnMut(Option<T>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        match self.0 {}
    }

    pub(crate) fn version(&self, name: &str) -> Result<Version> {
        match self.0 {}
    }

    pub(crate) fn find_versioned<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<(Option<T>, Version)> {
        match self.0 {}
    }

    pub(crate) fn set_if(
        &self,
        name: &str,
        expected: Version,
        captured: Result<OwnedValue>,
    ) -> Result<std::result::Result<Version, Version>> {
        match self.0 {}
    }

    pub(crate) fn all(&self, prefix: &str) -> Result<Vec<(String, Result<OwnedValue>)>> {
        match self.0 {}
    }

    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        match self.0 {}
    }

    pub(crate) fn captured_all(
        &self,
        names: &[&str],
    ) -> Result<Vec<Option<(OwnedValue, Version)>>> {
        match self.0 {}
    }

    pub(crate) fn count(&self) -> Result<u64> {
        match self.0 {}
    }

    pub(crate) fn clear(&self) -> Result<u64> {
        match self.0 {}
    }

    pub(crate) fn origin(&self) -> Origin {
        match self.0 {}
    }

    pub(crate) fn timeout(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn size(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn object(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn check_name(&self) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        match self.0 {}
    }

    pub(crate) fn examine(&self) -> Result<std::result::Result<u64, String>> {
        match self.0 {}
    }

    pub(crate) fn flush(&self) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn flush_if_dirty(&self) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn close(self) -> Result<()> {
        match self.0 {}
    }
}
