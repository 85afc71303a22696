//! The processes that use a map. The kernel confirms that the process in each seat is alive.

use crate::{Map, map::store_map::Stored, name::is_reserved, sync::lock::Claim};
use mapvar_engine::{
    error::{EngineError, outside},
    layout::{self, live, record, seat, sleeping},
    mem::Mem,
    mem::Ordering::{Acquire, Relaxed},
};
use mapvar_os::{ErrorKind, Holder, Result};
use std::collections::HashMap;

/// A process that uses a map; from [`Map::participants`].
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-seat.{}", std::process::id())).create()?;
/// map.set_ephemeral("worker/7", "busy")?;
/// let all = map.participants()?;
/// let this = all.iter().find(|participant| participant.this).expect("this process");
/// assert_eq!(this.owns, ["worker/7"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// Process id, program name, and when the process opened the map. A peer wrote them: a hint.
    pub holder: Holder,
    /// Whether it is this handle of the map.
    pub this: bool,
    /// The locks that the process owns.
    pub holds: Vec<String>,
    /// The locks that the process waits for.
    pub waits_for: Vec<String>,
    /// The variables that end with the process ([`Map::set_ephemeral`]).
    pub owns: Vec<String>,
    /// The change that one of its threads waits for at this moment, through a
    /// [`Watch`](crate::Watch).
    pub watches: Option<Watches>,
}

/// The change that a process waits for; from a [`Participant`].
///
/// ```
/// # let name = format!("doc-watches.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// use mapvar::Watches;
///
/// for participant in map.participants()? {
///     match participant.watches {
///         Some(Watches::Variable(name)) => println!("{} waits for {name}", participant.holder),
///         Some(_) => println!("{} waits", participant.holder),
///         None => {}
///     }
/// }
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watches {
    /// A change of this variable.
    Variable(String),
    /// A change of several variables, or of one that does not exist yet. The map does not record
    /// which.
    Others,
}

impl Map {
    /// Returns the live processes that have the map open for writing.
    ///
    /// The kernel reports which of them are alive; process ids play no part in it. A process that
    /// has the map open twice is listed twice. The map has 128 participant slots. If a process
    /// opens the map when 96 of them are taken, it is listed only later: after it acquires a
    /// [`Lock`](crate::lock::Lock), or sets a large or ephemeral value.
    ///
    /// A [`Lock`](crate::lock::Lock) with a corrupt queue is left out; its
    /// [`claims`](crate::lock::Lock::claims) reports the error.
    ///
    /// A killed process may be listed for some milliseconds more, until the kernel has cleaned up.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-who.{}", std::process::id())).create()?;
    /// let all = map.participants()?;
    /// assert_eq!(all[0].holder.pid, std::process::id());
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](mapvar_os::ErrorKind::Unsupported) for a gem's map, which does not record
    /// its users; [`Corrupt`](mapvar_os::ErrorKind::Corrupt).
    pub fn participants(&self) -> Result<Vec<Participant>> {
        let map = self.stored(
            "list participants of",
            "a gem's map does not record its users; use a map with Format::Store",
        )?;
        let store = &map.inner.store;
        // A read-only handle has no seat, nor has one that found all seats taken.
        let mine = store.mem().seat().ok();
        let mut claims = Vec::new();
        for lock in self.locks()? {
            // One corrupt queue must not hide the processes.
            let entries = match lock.entries() {
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::TooLarge) => {
                    Vec::new()
                }
                entries => entries?,
            };
            claims.extend(
                entries.into_iter().map(|(token, claim)| (token, lock.name().to_owned(), claim)),
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
                let Some(holder) = store.process_of(token)? else { continue };
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

/// Returns the names of the ephemeral variables, by the seat token of their owner processes.
fn owned(map: &Stored) -> Result<HashMap<u64, Vec<String>>, EngineError> {
    let store = &map.inner.store;
    let mut owned: HashMap<u64, Vec<String>> = HashMap::new();
    store.each_record(|handle| {
        // The name is read first: `owner` returns `None` if the record has become another
        // variable's.
        let name = store.is_ephemeral(handle).then(|| store.name_of(handle.at)).flatten();
        let name = name.and_then(|name| String::from_utf8(name).ok());
        if let (Some(name), Ok(Some((owner, _)))) = (name, store.owner(handle)) {
            owned.entry(owner).or_default().push(name);
        }
        true
    })?;
    Ok(owned)
}

/// Returns what the process in this seat says that it waits for.
fn watches(map: &Stored, seat: usize) -> Option<Watches> {
    let store = &map.inner.store;
    let word = store.mem().words(sleeping::at(seat), 1)?.load(0, Relaxed);
    match word {
        0 => None,
        live::BIRTHS_WAKE | live::CHANGES_WAKE => Some(Watches::Others),
        // A peer wrote the word, so it may be anything: `name_of` validates the offset.
        word => {
            let name = store.name_of(word.checked_sub(record::WAKE)?)?;
            let name = String::from_utf8(name).ok().filter(|name| !is_reserved(name.as_bytes()));
            name.map(Watches::Variable)
        }
    }
}
