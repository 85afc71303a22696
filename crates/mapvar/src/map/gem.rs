//! Maps in the layout of Ruby's gem, and values as Ruby's Marshal writes them.

use crate::{Map, Value, gem::GemMap, map::Body};
use mapvar_os::Result;

impl Map {
    /// Returns what only a map of [`Format::Marshal`](crate::Format::Marshal) has; `None` for another map.
    pub fn as_gem(&self) -> Option<GemMap<'_>> {
        match &self.0 {
            Body::Gem(gem) => Some(GemMap(gem)),
            Body::Store(_) => None,
        }
    }

    /// Returns a variable's value as Ruby's `Marshal.dump` would write it.
    ///
    /// From a [`Format::Marshal`](crate::Format::Marshal) map it returns the stored bytes. They keep what a [`Value`](crate::Value)
    /// cannot represent: the default of a Hash, and objects that occur more than once.
    ///
    /// ```
    /// # let name = format!("doc-marshal.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set("bar", 77)?;
    /// assert_eq!(map.marshal("bar")?, b"\x04\x08iR");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and of [`Value::to_marshal`](crate::Value::to_marshal).
    pub fn marshal(&self, name: &str) -> Result<Vec<u8>> {
        match &self.0 {
            Body::Gem(gem) => gem.marshal(name),
            Body::Store(map) => map.get::<Value>(name)?.to_marshal().map_err(|error| {
                error.during("get variable", format!("{name:?} of {}", map.object()))
            }),
        }
    }
}
