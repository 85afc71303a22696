//! Opens maps in the layout of Ruby's gem.

use crate::{
    gem::map::{self, Gem, Mapping, Spec},
    gem::options::GemOptions,
    gem::report::{Unlock, Unlocked},
    map::options::{MapOptions, Want},
    report::Format,
};
use mapvar_os::{Access, Error, ErrorKind, Name, Protection, Result, Section};

impl MapOptions {
    /// Returns the section that the gem would use, if there is one, and whether it is recognized as
    /// a map of the gem.
    pub(super) fn gem_section(&self) -> Option<(Spec, bool)> {
        let spec = self.gem_spec().ok()?;
        let is_one = map::is_one(&spec)?;
        Some((spec, is_one))
    }

    /// Opens a gem map for reading, for `check` and `salvage`; `None` if it is not one.
    pub(crate) fn open_gem_if_it_is_one(&self) -> Result<Option<Gem>> {
        let reading = self.clone().read_only(true);
        match self.format {
            Some(Format::Marshal) => reading.obtain_gem(Want::Open).map(Some),
            Some(Format::Store) => Ok(None),
            None => {
                if self.file.is_none() && self.section()?.open().is_ok() {
                    return Ok(None);
                }
                match reading.gem_section() {
                    Some((spec, true)) => Gem::open(&spec, false).map(Some),
                    _ => Ok(None),
                }
            }
        }
    }

    pub(super) fn obtain_gem(&self, want: Want) -> Result<Gem> {
        let spec = self.gem_spec()?;
        match want {
            Want::Create => Gem::create(&spec),
            Want::Open => Gem::open(&spec, false),
            Want::Either => match Gem::open(&spec, true) {
                Err(error) if error.kind() == ErrorKind::NotFound => match Gem::create(&spec) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        Gem::open(&spec, true)
                    }
                    other => other,
                },
                other => other,
            },
        }
    }

    fn gem_spec(&self) -> Result<Spec> {
        let section = match (&self.file, &self.name) {
            (None, Some(name)) => Section::options().name(Name::of_gem(name, self.scope)?),
            _ => self.section()?,
        };
        let usual = if self.read_only { Protection::ReadOnly } else { Protection::ReadWrite };
        let protection = self.gem.protection.unwrap_or(usual);
        let reads = self.read_only || !protection.writable();
        let usual = if reads { Access::Read } else { Access::ReadWrite };
        let access = self.gem.access.unwrap_or(usual);
        if self.read_only && access != Access::Read {
            return Err(Error::new(ErrorKind::InvalidArgument, "open", "").detail(format!(
                "`read_only` and an access of {access:?}; leave one of them out"
            )));
        }
        let timeout = if self.timed { self.timeout } else { map::TIMEOUT };
        Ok(Spec {
            section: section
                .protection(protection)
                .flags(self.gem.flags)
                .inherit(self.gem.inherit)
                .allow_network(self.allow_network)
                .timeout(timeout),
            size: self.size,
            sized: self.sized,
            read_only: access == Access::Read,
            mapping: Mapping {
                access,
                execute: self.gem.execute,
                base_address: self.gem.base_address,
            },
            file: self.file.is_some(),
            timeout,
            on_clobber: self.gem.on_clobber,
            object: self.object(),
        })
    }

    /// Frees the lock of a [`Format::Marshal`](crate::Format::Marshal) map if the lock's owner is dead.
    ///
    /// On Windows the gem's lock does not record its owner. Every operation on the map frees an
    /// abandoned lock, unless another program has the lock object open. In that case this call
    /// fails, unless `whose` is [`Unlock::Any`]. Use that only if you know that no program writes. A
    /// program that uses the gem keeps the lock forever after an exception. On Unix the system
    /// releases the lock of a dead process, so there is nothing to free, and no lock is taken from a
    /// living process.
    ///
    /// ```
    /// # let name = format!("doc-unlock.{}", std::process::id());
    /// use mapvar::{
    ///     Format, Map,
    ///     gem::{Unlock, Unlocked},
    /// };
    ///
    /// let map = Map::options().name(&name).format(Format::Marshal).create()?;
    /// assert_eq!(Map::options().name(&name).unlock(Unlock::Abandoned)?, Unlocked::WasFree);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) if a living program may hold it;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a map of [`Format::Store`](crate::Format::Store), whose locks
    /// have names ([`Lock::force_unlock`](crate::lock::Lock::force_unlock));
    /// [`NotFound`](ErrorKind::NotFound), and the other errors of opening a section.
    pub fn unlock(&self, whose: Unlock) -> Result<Unlocked> {
        self.awaited(|| self.try_unlock(whose))
            .map_err(|error| error.during("unlock", self.object()))
    }

    fn try_unlock(&self, whose: Unlock) -> Result<Unlocked> {
        // Any file can be locked as the gem locks its own, and so be taken for one of the gem.
        let unlocked = if self.file.is_some() && self.is_stored() {
            Err(named_locks())
        } else {
            self.gem_spec().and_then(|spec| map::unlock(&spec, whose))
        };
        match unlocked {
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_stored() => {
                Err(named_locks())
            }
            other => other,
        }
    }

    /// Fails if settings for a gem's map are set that a map of mapvar's layout does not have.
    pub(super) fn refuse_settings_of_a_gem(&self) -> Result<()> {
        let plain = GemOptions { on_clobber: self.gem.on_clobber, ..GemOptions::default() };
        if self.gem == plain {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "open", "").detail(
            "protection, access, flags, inherit, execute and base_address are for a map of \
             Format::Marshal, or a Section; say that format, or leave them out",
        ))
    }
}

fn named_locks() -> Error {
    Error::new(ErrorKind::InvalidArgument, "unlock", "").detail(
        "a map of mapvar has locks with names, and no name of a lock was given; name it \
         (`mapvar locks` lists them)",
    )
}
