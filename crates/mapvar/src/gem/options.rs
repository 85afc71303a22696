//! Options for a map of the gem.

use crate::gem::report::OnClobber;
use mapvar_os::{Access, Protection, SectionFlags};

/// Settings for a map of [`Format::Marshal`](crate::Format::Marshal); from
/// [`MapOptions::gem`](crate::MapOptions::gem).
///
/// ```
/// # let name = format!("doc-gem-options-type.{}", std::process::id());
/// use mapvar::{Format, Map, section::SectionFlags};
///
/// let options = Map::options().name(&name).format(Format::Marshal);
/// let map = options.gem(|gem| gem.flags(SectionFlags::COMMIT).inherit(true)).create()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[must_use = "`MapOptions::gem` uses the returned settings"]
pub struct GemOptions {
    pub(crate) on_clobber: OnClobber,
    pub(crate) protection: Option<Protection>,
    pub(crate) flags: SectionFlags,
    pub(crate) inherit: bool,
    pub(crate) access: Option<Access>,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}

impl GemOptions {
    /// Sets the reaction when another program erases variables of this map;
    /// [`OnClobber::Accept`] by default.
    pub fn on_clobber(mut self, on_clobber: OnClobber) -> Self {
        self.on_clobber = on_clobber;
        self
    }

    /// Sets the protection of the map's section; [`Protection::ReadWrite`] by
    /// default, or `ReadOnly` with [`read_only`](crate::MapOptions::read_only).
    ///
    /// With a protection that does not allow writing, the map is opened for reading only, unless
    /// [`access`](Self::access) is [`Access::CopyOnWrite`]. A [`Format::Store`](crate::Format::Store) map fails with
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if this option or one of the five below is
    /// set.
    pub fn protection(mut self, protection: Protection) -> Self {
        self.protection = Some(protection);
        self
    }

    /// Sets the `SEC_` flags of the map's section; see
    /// [`SectionOptions::flags`](crate::section::SectionOptions::flags).
    pub fn flags(mut self, flags: SectionFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets whether child processes inherit the handle of the map's section; see
    /// [`SectionOptions::inherit`](crate::section::SectionOptions::inherit).
    pub fn inherit(mut self, inherit: bool) -> Self {
        self.inherit = inherit;
        self
    }

    /// Sets how this process accesses the memory of the map.
    ///
    /// With [`Access::CopyOnWrite`], other processes do not see the values that this process sets,
    /// and the values are lost when it closes the map.
    pub fn access(mut self, access: Access) -> Self {
        self.access = Some(access);
        self
    }

    /// Sets whether this process may run code in the memory of the map; the
    /// [`protection`](Self::protection) must allow it.
    pub fn execute(mut self, execute: bool) -> Self {
        self.execute = execute;
        self
    }

    /// Sets the address at which the memory of the map is mapped; 0, the default,
    /// is any address.
    ///
    /// The address is a multiple of the system's granularity (64 KiB on Windows, a page elsewhere).
    /// Opening fails if the address is not free.
    pub fn base_address(mut self, address: usize) -> Self {
        self.base_address = address;
        self
    }
}
