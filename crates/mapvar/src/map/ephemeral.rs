//! Ephemeral variables, which end with the process that set them; `docs/FORMAT.md`, "Ephemeral
//! values".

use crate::{Map, map::store_map::Stored, name::checked, value::codec};
use mapvar_engine::{mem::Mem, value::Raw};
use mapvar_os::{Holder, Result};
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;

const SET: &str = "set ephemeral variable";

impl Map {
    /// Sets a variable that ends with this process, its owner process.
    ///
    /// The variable exists as long as this process has the map open. A handle keeps it open, and so
    /// does an object that owns a handle, such as a [`Var`](crate::Var) or a
    /// [`Watch`](crate::Watch). The variable ends when the process closes the map, or ends in any
    /// way. No process has to clean up, and watchers of the variable get its removal as a change.
    ///
    /// Once the system reports that the owner process has ended, no read finds the variable. A
    /// watch notices within about 20 ms. After a kill the variable may be visible for some
    /// milliseconds more, while the system releases the process's resources. A forked child of the
    /// owner process does not keep it visible.
    ///
    /// Any other write makes it an ordinary variable, which stays: [`set`](Self::set) by any
    /// process, [`compare_and_set`](Self::compare_and_set), a transaction. `set_ephemeral` by
    /// another process makes that process the owner.
    ///
    /// A read asks the system whether the owner process lives, and so takes about 50 times as long
    /// as another read. It takes 0.7 µs on Linux, and 20 to 50 µs on Windows (measured under Wine).
    /// Setting the variable takes no longer than usual. If the value is read often, set it as an
    /// ordinary variable, and use an ephemeral one only to show that the process is present.
    ///
    /// ```
    /// # let name = format!("doc-ephemeral.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// let worker = mapvar::Map::open(&name)?;
    /// worker.set_ephemeral("worker/7", "busy")?;
    /// assert_eq!(map.find::<String>("worker/7")?.as_deref(), Some("busy"));
    ///
    /// drop(worker);
    /// assert_eq!(map.find::<String>("worker/7")?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set); [`Full`](mapvar_os::ErrorKind::Full) if the map has 128
    /// [`participants`](Self::participants) already;
    /// [`WrongKind`](mapvar_os::ErrorKind::WrongKind) for an [`Atomic`](crate::Atomic);
    /// [`Unsupported`](mapvar_os::ErrorKind::Unsupported) for a
    /// [`Format::Marshal`](crate::Format::Marshal) map, which does not record its users.
    pub fn set_ephemeral(&self, name: &str, value: impl Serialize) -> Result<()> {
        let map = self.of_processes(SET)?;
        let put = &mut |raw: &Raw<'_>| map.put_ephemeral(name, raw);
        codec::encode(&value, put).map_err(|error| map.with_context(SET, name, error))?
    }

    /// Returns the owner process of an [ephemeral](Self::set_ephemeral) variable.
    ///
    /// `None` if the variable is an ordinary one, or does not exist. The process id is what the
    /// other process has written into the map: use it for messages only.
    ///
    /// ```
    /// # let name = format!("doc-owner.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// map.set_ephemeral("worker/7", "busy")?;
    /// let owner = map.owner("worker/7")?.expect("an ephemeral variable");
    /// assert_eq!(owner.pid, std::process::id());
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`;
    /// [`Unsupported`](mapvar_os::ErrorKind::Unsupported) for a
    /// [`Format::Marshal`](crate::Format::Marshal) map.
    pub fn owner(&self, name: &str) -> Result<Option<Holder>> {
        let map = self.of_processes("ask the owner of")?;
        let find = || {
            let Some(handle) = map.resolve(name)? else { return Ok(None) };
            let store = &map.inner.store;
            match store.owner(handle)? {
                Some((owner, _)) => store.process_of(owner),
                None => Ok(None),
            }
        };
        map.run(find).map_err(|trouble| map.failed("ask the owner of variable", name, trouble))
    }

    fn of_processes(&self, operation: &'static str) -> Result<&Stored> {
        self.stored(
            operation,
            "a gem's map does not record its users; use a map with \
        Format::Store",
        )
    }
}

impl Stored {
    fn put_ephemeral(&self, name: &str, raw: &Raw<'_>) -> Result<()> {
        let set = || {
            let store = &self.inner.store;
            let query = store.query(checked(name)?);
            let owner = store.mem().seat()?;
            // Before the variable is set: closing the map removes ephemeral variables only if this
            // is true.
            self.inner.ephemeral.store(true, Relaxed);
            store.set(query, &raw.owned_by(owner))
        };
        self.run(set).map(drop).map_err(|trouble| self.failed(SET, name, trouble))
    }
}
