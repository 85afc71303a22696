//! What only a map in the layout of Ruby's gem has.

use crate::{
    gem::map::Gem,
    gem::report::{Clobbered, LockStat},
};
use mapvar_os::Result;
use std::fmt;

/// A map of [`Format::Marshal`](crate::Format::Marshal), with what only such a map has; from [`Map::as_gem`](crate::Map::as_gem).
///
/// ```
/// # let name = format!("doc-as-gem.{}", std::process::id());
/// use mapvar::{Format, Map};
///
/// let map = Map::options().name(&name).format(Format::Marshal).create()?;
/// map.set("foo", "hello")?;
/// let gem = map.as_gem().expect("a gem's map");
/// assert_eq!(gem.read_string(2)?, [4, 8]);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct GemMap<'a>(pub(crate) &'a Gem);

impl GemMap<'_> {
    /// Returns which variables that this map has set another program has erased, and forgets their
    /// names.
    ///
    /// It reports erasures that an operation on variables has detected. Only a map with [`OnClobber::Reassert`](crate::gem::OnClobber::Reassert) or
    /// [`Error`](crate::gem::OnClobber::Error) detects them.
    ///
    /// ```
    /// # let name = format!("doc-clobbered.{}", std::process::id());
    /// use mapvar::{Format, Map, gem::OnClobber};
    ///
    /// let options = Map::options().name(&name).format(Format::Marshal);
    /// let map = options.clone().gem(|gem| gem.on_clobber(OnClobber::Reassert)).create()?;
    /// map.set("foo", "hello")?;
    /// options.open()?.remove("foo")?;
    /// assert_eq!(map.find::<String>("foo")?, None); // detects the erasure
    /// let clobbered = map.as_gem().expect("a gem's map").clobbered()?;
    /// assert_eq!((clobbered.count, clobbered.names), (1, vec!["foo".to_owned()]));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed) in a child after `fork`.
    pub fn clobbered(&self) -> Result<Clobbered> {
        self.0.clobbered()
    }

    /// Returns statistics of the lock of the map.
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed) in a child after `fork`.
    pub fn lock_stat(&self) -> Result<LockStat> {
        self.0.lock_stat()
    }

    /// Returns the address of the map's memory in this process, for foreign code.
    ///
    /// Other processes change the memory, and it is unmapped when the last handle is closed.
    pub fn address(&self) -> usize {
        self.0.address()
    }

    /// Returns the first `len` raw bytes of the map, as the gem's `read_string`
    /// does.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) if the map is shorter; [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn read_string(&self, len: usize) -> Result<Vec<u8>> {
        self.0.read_string(len)
    }

    /// Writes raw bytes to the start of the map, as the gem's `write_string`
    /// does.
    ///
    /// It overwrites the variables, and adds no terminator.
    ///
    /// ```
    /// # let name = format!("doc-write-string.{}", std::process::id());
    /// use mapvar::{Format, Map};
    ///
    /// let map = Map::options().name(&name).format(Format::Marshal).size(64).create()?;
    /// let gem = map.as_gem().expect("a gem's map");
    /// gem.write_string("hello")?;
    /// assert_eq!(gem.read_string(5)?, b"hello");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`read_string`](Self::read_string); [`ReadOnly`](crate::ErrorKind::ReadOnly).
    pub fn write_string(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.0.write_string(bytes.as_ref())
    }
}

impl fmt::Debug for GemMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GemMap").field(&self.0.object()).finish()
    }
}
