//! Who uses a map: processes with a seat, as the kernel knows it.

use crate::{
    Map,
    layout::{self, seat},
    lock::Claim,
    mem::{Mem, Ordering::Acquire},
    trouble::outside,
};
use mapvar_os::{Holder, Result, machine};
use std::time::{Duration, SystemTime};

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
    /// [`ReadOnly`](mapvar_os::ErrorKind::ReadOnly) where it was opened for reading;
    /// [`Corrupt`](mapvar_os::ErrorKind::Corrupt).
    pub fn participants(&self) -> Result<Vec<Participant>> {
        let map = self.stored(
            "list participants of",
            "a gem's map does not know who uses it; use a map of our own layout",
        )?;
        let store = &map.inner.store;
        let mine = map.run(|| store.mem().seat());
        let mine = mine.map_err(|trouble| trouble.during("list participants of", map.object()))?;
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
            let mut all = Vec::new();
            for number in 0..layout::PARTICIPANT_SLOTS {
                let words = store.mem().words(seat::at(number), seat::WORDS);
                let words = words.ok_or_else(|| outside(seat::at(number)))?;
                let (token, who) =
                    (words.load(seat::TOKEN, Acquire), words.load(seat::WHO, Acquire));
                let of_this_seat = token != 0 && (token >> 56) as usize == number;
                // What stood there of an earlier one is not believed.
                if !of_this_seat
                    || !store.lives(token)?
                    || words.load(seat::TOKEN, Acquire) != token
                {
                    continue;
                }
                let pid = who as u32;
                let mut holder = Holder::new(pid).with_program(machine::program(pid));
                holder.since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(who >> 32));
                let (holds, waits_for) = (of(token, true), of(token, false));
                all.push(Participant { holder, this: token == mine, holds, waits_for });
            }
            Ok(all)
        };
        map.run(list).map_err(|trouble| trouble.during("list participants of", map.object()))
    }
}
