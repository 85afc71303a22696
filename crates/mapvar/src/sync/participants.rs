//! Who uses a map: processes with a seat, as the kernel knows it.

use crate::{
    Map, map::ephemeral::holder, map::store_map::Stored, name::is_reserved, sync::lock::Claim,
};
use mapvar_engine::{
    error::{EngineError, outside},
    layout::{self, live, record, seat, sleeping},
    mem::Mem,
    mem::Ordering::{Acquire, Relaxed},
};
use mapvar_os::{Holder, Result};
use std::collections::HashMap;

/// A process that uses a map; from [`Map::participants`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its process, program, and since when it has the map open. What a peer wrote: a hint.
    pub holder: Holder,
    /// Whether it is this handle of the map.
    pub this: bool,
    /// The locks that it has.
    pub holds: Vec<String>,
    /// The locks that it waits for.
    pub waits_for: Vec<String>,
    /// The variables that end with it ([`Map::set_ephemeral`]).
    pub owns: Vec<String>,
    /// What it waits for to change, by a [`Watch`](crate::Watch), at this moment: of several threads
    /// one of them.
    pub watches: Option<Watches>,
}

/// What a process waits for to change; of a [`Participant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watches {
    /// This variable.
    Variable(String),
    /// Several, or one that is not there yet: which, nobody has written down.
    Others,
}

impl Map {
    /// The processes that have the map open for writing, living ones alone: asked of the kernel, not
    /// told from process ids. A process that has it open twice is there twice. At most 128 are
    /// known; those that open it when 96 are there are not seen until they take a lock, or set
    /// something large.
    ///
    /// A process that was killed may be seen some milliseconds more, while the system clears up.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-who.{}", std::process::id())).create()?;
    /// let all = map.participants()?;
    /// assert_eq!(all[0].holder.pid, std::process::id());
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](mapvar_os::ErrorKind::Unsupported) for a gem's map, which knows nobody;
    /// [`Corrupt`](mapvar_os::ErrorKind::Corrupt).
    pub fn participants(&self) -> Result<Vec<Participant>> {
        let map = self.stored(
            "list participants of",
            "a gem's map does not know who uses it; use a map of our own layout",
        )?;
        let store = &map.inner.store;
        // Who may only read, or came when all were taken, has none.
        let mine = store.mem().seat().ok();
        let mut claims = Vec::new();
        for lock in self.locks()? {
            claims.extend(
                lock.entries()?
                    .into_iter()
                    .map(|(token, claim)| (token, lock.name().to_owned(), claim)),
            );
        }
        let of = |token: u64, held: bool| {
            let named = |(of, name, claim): &(u64, String, Claim)| {
                (*of == token && claim.held == held).then(|| name.clone())
            };
            claims.iter().filter_map(named).collect::<Vec<_>>()
        };
        let list = || {
            let (mut all, mut owned) = (Vec::new(), owned(map)?);
            for number in 0..layout::PARTICIPANT_SLOTS {
                let words = store.mem().words(seat::at(number), seat::WORDS);
                let words = words.ok_or_else(|| outside(seat::at(number)))?;
                let token = words.load(seat::TOKEN, Acquire);
                if (token >> 56) as usize != number {
                    continue;
                }
                let Some(holder) = holder(store, token)? else { continue };
                let (holds, waits_for) = (of(token, true), of(token, false));
                let owns = owned.remove(&token).unwrap_or_default();
                let this = Some(token) == mine;
                let watches = watches(map, number);
                all.push(Participant { holder, this, holds, waits_for, owns, watches });
            }
            Ok(all)
        };
        map.run(list).map_err(|trouble| trouble.during("list participants of", map.object()))
    }
}

/// The names of the variables that end with a process, by the token of its seat.
fn owned(map: &Stored) -> Result<HashMap<u64, Vec<String>>, EngineError> {
    let store = &map.inner.store;
    let mut owned: HashMap<u64, Vec<String>> = HashMap::new();
    store.each_record(|handle| {
        // The name first: if the record became another's, the owner says so.
        let name = store.is_ephemeral(handle).then(|| store.name_of(handle.at)).flatten();
        let name = name.and_then(|name| String::from_utf8(name).ok());
        if let (Some(name), Ok(Some((owner, _)))) = (name, store.owner(handle)) {
            owned.entry(owner).or_default().push(name);
        }
        true
    })?;
    Ok(owned)
}

/// On what the process with this seat says that it sleeps.
fn watches(map: &Stored, seat: usize) -> Option<Watches> {
    let store = &map.inner.store;
    let word = store.mem().words(sleeping::at(seat), 1)?.load(0, Relaxed);
    match word {
        0 => None,
        live::BIRTHS_WAKE | live::CHANGES_WAKE => Some(Watches::Others),
        // Whatever a peer has written there.
        word => {
            let name = store.name_of(word.checked_sub(record::WAKE)?)?;
            let name = String::from_utf8(name).ok().filter(|name| !is_reserved(name.as_bytes()));
            name.map(Watches::Variable)
        }
    }
}
