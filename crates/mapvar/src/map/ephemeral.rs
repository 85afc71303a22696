//! Ephemeral variables: they end with the process that set them. `docs/FORMAT.md`, "Ephemeral
//! values".

use crate::{Map, Value, map::store_map::Stored, name::checked, value::codec};
use mapvar_engine::{
    error::{EngineError, outside},
    layout::{PARTICIPANT_SLOTS, seat},
    mem::Ordering::Acquire,
    mem::{Load as _, Mem},
    store::Store,
    value::Raw,
};
use mapvar_os::{Holder, Result, machine};
use serde::Serialize;
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

const SET: &str = "set ephemeral variable";

impl Map {
    /// Sets a variable that ends with this process: it is there as long as this process has the map
    /// open (this handle or a clone of it, a [`Var`](crate::Var), a [`Watch`](crate::Watch) or
    /// another that owns one), and vanishes when it closes the map, or ends in any way. Nobody has
    /// to clean up; who watches the variable is told of its removal.
    ///
    /// From the moment at which the system knows that the process is gone every read finds no
    /// variable. Who reads it first, or watches it, removes it: a watch notices within some 20 ms.
    /// After a kill it may be seen some milliseconds more, while the system clears up.
    ///
    /// Any other write makes it an ordinary variable, which stays: [`set`](Self::set) by whomever,
    /// `compare_and_set`, a transaction. `set_ephemeral` by another process makes it that one's. A
    /// read of it asks the system whether its process lives, which takes some 50 times as long as
    /// another read (0.7 µs on Linux; more on Windows: 20 to 50 µs under Wine); setting it takes no
    /// longer. The fast way is a variable for the value, and an ephemeral one that says that somebody is
    /// there.
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
    /// Those of [`set`](Self::set); [`Full`](mapvar_os::ErrorKind::Full) where 128 processes are
    /// known already ([`participants`](Self::participants));
    /// [`WrongKind`](mapvar_os::ErrorKind::WrongKind) where it is an [`Atomic`](crate::Atomic);
    /// [`Unsupported`](mapvar_os::ErrorKind::Unsupported) for a gem's map, which knows no processes.
    pub fn set_ephemeral(&self, name: &str, value: impl Serialize) -> Result<()> {
        let map = self.of_processes(SET)?;
        let put = &mut |raw: &Raw<'_>| map.put_ephemeral(name, raw);
        codec::encode(&value, put).map_err(|error| map.with_context(SET, name, error))?
    }

    /// As [`set_ephemeral`](Self::set_ephemeral), of a [`Value`].
    ///
    /// # Errors
    /// Those of [`set_ephemeral`](Self::set_ephemeral).
    pub fn set_ephemeral_value(&self, name: &str, value: &Value) -> Result<()> {
        let map = self.of_processes(SET)?;
        let put = &mut |raw: &Raw<'_>| map.put_ephemeral(name, raw);
        value.encode(put).map_err(|error| map.with_context(SET, name, error))?
    }

    /// The process that an [ephemeral](Self::set_ephemeral) variable ends with; `None` of a variable
    /// that stays, or is not there. What a peer wrote: a hint.
    ///
    /// # Errors
    /// Those of [`set_ephemeral`](Self::set_ephemeral).
    pub fn owner(&self, name: &str) -> Result<Option<Holder>> {
        let map = self.of_processes("ask the owner of")?;
        let look = || {
            let Some(handle) = map.resolve(name)? else { return Ok(None) };
            let store = &map.inner.store;
            match store.owner(handle)? {
                Some((owner, _)) => holder(store, owner),
                None => Ok(None),
            }
        };
        map.run(look).map_err(|trouble| map.failed("ask the owner of variable", name, trouble))
    }

    fn of_processes(&self, operation: &'static str) -> Result<&Stored> {
        self.stored(operation, "a gem's map does not know who uses it; use a map of our own layout")
    }
}

impl Stored {
    fn put_ephemeral(&self, name: &str, raw: &Raw<'_>) -> Result<()> {
        let set = || {
            let store = &self.inner.store;
            let query = store.query(checked(name)?);
            let owner = store.mem().seat()?;
            // Before it is there: who closes the map looks for it.
            self.inner.ephemeral.store(true, Relaxed);
            store.set(query, &raw.owned_by(owner))
        };
        self.run(set).map(drop).map_err(|trouble| self.failed(SET, name, trouble))
    }
}

/// Who has the seat with this token, if it is still so.
pub(crate) fn holder<M: Mem>(store: &Store<M>, token: u64) -> Result<Option<Holder>, EngineError> {
    let number = (token >> 56) as usize;
    if token == 0 || number >= PARTICIPANT_SLOTS {
        return Ok(None);
    }
    let words = store.mem().words(seat::at(number), seat::WORDS);
    let words = words.ok_or_else(|| outside(seat::at(number)))?;
    let is_token = || words.load(seat::TOKEN, Acquire) == token;
    if !is_token() || !store.lives(token)? {
        return Ok(None);
    }
    let who = words.load(seat::WHO, Acquire);
    // What stood there of an earlier one is not believed.
    if !is_token() {
        return Ok(None);
    }
    let pid = who as u32;
    let mut holder = Holder::new(pid).with_program(machine::program(pid));
    holder.since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(who >> 32));
    Ok(Some(holder))
}
