//! Many variables as one: transactions and snapshots; and single ones by their version.

use crate::{
    Map, Value, codec,
    map::Body,
    stored::{AGAIN, Stored, checked, which},
};
use mapvar_engine::{
    commit::{Ended, Part},
    error::Trouble,
    handle::Handle,
    mem::Mem,
    mem::Ordering::Acquire,
    record::read::Seen,
    value::{Captured, Payload, Raw},
    variable::insert::Inserted,
    version::{Expect, Version},
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// How often a transaction is run before it answers `Conflict`.
const RUNS: u32 = 16;
/// How often a snapshot is taken without a lock, before it takes one.
const LOOKS: u32 = 8;

/// A value that was read, and where.
struct Found {
    handle: Handle,
    captured: Captured,
    number: u64,
}

/// What a transaction saw of a variable when it first looked.
#[derive(Clone, Copy)]
enum Look {
    Present(Handle, u64),
    Absent,
}

/// Many variables, read and written as one; from [`Map::transaction`].
///
/// What is set here is kept aside until the closure ends, and then published, variable by variable
/// but as one: a transaction and a snapshot, a flush and what recovers after a power cut have all of
/// it or nothing. Plain `get`s, one after the other, may see a variable of it before the next; and if
/// the process dies in that moment, until somebody who may write finishes it (the next write to one
/// of its variables does, the next transaction, the next flush).
pub struct Transaction<'m> {
    handle: Cow<'m, Map>,
    map: Cow<'m, Stored>,
    looks: BTreeMap<String, Look>,
    /// `None` = to be removed.
    writes: BTreeMap<String, Option<Captured>>,
    /// The map's count of transactions when this one began.
    seen: u64,
    conflict: bool,
    /// How often it was begun.
    runs: u32,
}

impl Map {
    /// Runs `body`, which reads and writes variables by the [`Transaction`] that it is handed, and
    /// then does all that it wrote as one, if what it read has not changed meanwhile; else it is run
    /// again. No lock is held while it runs. An error that it answers ends it, with nothing written.
    ///
    /// Variables that it only reads take part: two transactions that look at each other's variables
    /// come one after the other. Up to 512 variables; no [`Atomic`](crate::Atomic).
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-tx.{}", std::process::id())).create()?;
    /// map.set("left", 10)?;
    /// map.set("right", 0)?;
    /// map.transaction(|tx| {
    ///     let left: i64 = tx.get("left")?;
    ///     let right: i64 = tx.get("right")?;
    ///     tx.set("left", left - 3)?;
    ///     tx.set("right", right + 3)
    /// })?;
    /// let both = map.snapshot(&["left", "right"])?;
    /// assert_eq!((both.get::<i64>("left")?, both.get::<i64>("right")?), (7, 3));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `body`; [`Conflict`](ErrorKind::Conflict) after 16 runs;
    /// [`TooLarge`](ErrorKind::TooLarge) for more variables;
    /// [`TimedOut`](ErrorKind::TimedOut), [`Full`](ErrorKind::Full),
    /// [`NoSpace`](ErrorKind::NoSpace), [`ReadOnly`](ErrorKind::ReadOnly).
    pub fn transaction<R>(
        &self,
        mut body: impl FnMut(&mut Transaction<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut transaction = Transaction::new(Cow::Borrowed(self))?;
        loop {
            match body(&mut transaction) {
                Err(error) if !transaction.conflict => return Err(error),
                Ok(result) if transaction.publish()? => return Ok(result),
                _ => transaction.restart()?,
            }
        }
    }

    /// A transaction that is a value and no closure: for who cannot hand on a closure, such as
    /// another language. [`Transaction::commit`] does it; dropped before, it has done nothing.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-begin.{}", std::process::id())).create()?;
    /// use mapvar::ErrorKind;
    ///
    /// map.set("count", 1)?;
    /// let mut tx = map.begin()?;
    /// loop {
    ///     let done = tx.get::<i64>("count").and_then(|count| {
    ///         tx.set("count", count + 1)?;
    ///         tx.commit()
    ///     });
    ///     match done {
    ///         Err(error) if error.kind() == ErrorKind::Conflict => tx.restart()?,
    ///         done => break done?,
    ///     }
    /// }
    /// assert_eq!(map.get::<i64>("count")?, 2);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) in a forked child.
    pub fn begin(&self) -> Result<Transaction<'static>> {
        Transaction::new(Cow::Owned(self.clone()))
    }

    /// Several variables as they were at one instant.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-snap.{}", std::process::id())).create()?;
    /// map.set("x", 1)?;
    /// let seen = map.snapshot(&["x", "y"])?;
    /// assert_eq!(seen.find::<i64>("x")?, Some(1));
    /// assert_eq!(seen.find::<i64>("y")?, None);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`; [`Contended`](ErrorKind::Contended) where
    /// others write all the time and the map was opened for reading.
    pub fn snapshot(&self, names: &[&str]) -> Result<Snapshot> {
        let values = match &self.0 {
            Body::Store(map) => map.snapshot(names)?,
            Body::Gem(gem) => Values(
                names.iter().map(|name| (*name).into()).zip(gem.captured_all(names)?).collect(),
            ),
        };
        Ok(Snapshot { map: self.clone(), values })
    }
}

impl Stored {
    fn snapshot(&self, names: &[&str]) -> Result<Values> {
        let failed = |trouble: Trouble| trouble.during("take a snapshot of", self.object());
        let look = || {
            let store = &self.inner.store;
            // Mapped for reading: patience is all there is.
            let patient = store.live_mut().is_err();
            for round in 0.. {
                if let Some(values) = self.look_at_all(names)? {
                    return Ok(values);
                }
                if !store.mem().pause(round) || (!patient && round + 1 >= LOOKS) {
                    break;
                }
            }
            if patient { Err(Trouble::Contended) } else { self.hold_and_look(names) }
        };
        self.run(look).map_err(failed)
    }

    /// Reads every variable, and then looks whether any has changed since.
    fn look_at_all(&self, names: &[&str]) -> Result<Option<Values>, Trouble> {
        let store = &self.inner.store;
        let seen = store.transactions_seen()?;
        if seen & 1 == 1 {
            return Ok(None);
        }
        let births = store.births()?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(self.look(name)?);
        }
        store.mem().fence(Acquire);
        for (name, found) in names.iter().zip(&found) {
            let same = match (found, self.resolve_versioned(name)?) {
                (None, None) => true,
                (Some(found), Some((handle, number))) => {
                    handle == found.handle && (number == found.number || handle.atomic)
                }
                _ => false,
            };
            if !same {
                return Ok(None);
            }
        }
        let absent = found.iter().any(Option::is_none);
        if store.transactions_seen()? != seen || (absent && store.births()? != births) {
            return Ok(None);
        }
        Ok(Some(Values::new(names, found)))
    }

    /// Reads every variable while nobody can write to those that are in the index.
    fn hold_and_look(&self, names: &[&str]) -> Result<Values, Trouble> {
        let store = &self.inner.store;
        for _ in 0..AGAIN {
            let mut handles = Vec::with_capacity(names.len());
            for name in names {
                // Removed ones too: nobody is to make them variables again meanwhile.
                if let Some(handle) = store.find(store.query(checked(name)?))?
                    && !handles.contains(&handle)
                {
                    handles.push(handle);
                }
            }
            handles.retain(|handle| !handle.atomic);
            let births = store.births()?;
            let found = store.with_all_marked(&handles, || {
                let mut found = Vec::with_capacity(names.len());
                for name in names {
                    let Some(handle) = store.find(store.query(checked(name)?))? else {
                        found.push(None);
                        continue;
                    };
                    // What bears no mark may be written all the time, and to read that takes its
                    // lock: a second one, which nobody may hold with T.
                    if !handle.atomic && !handles.contains(&handle) {
                        return Ok(None);
                    }
                    // Nor is what bears the mark waited for: only who heeds no mark writes there.
                    found.push(match store.read_at_once(handle, |shot| shot.capture())? {
                        Some(Seen::Value(captured, number)) => {
                            Some(Found { handle, captured: captured?, number })
                        }
                        Some(Seen::Absent) => None,
                        Some(Seen::Stale) | None => return Ok(None),
                    });
                }
                Ok((store.births()? == births).then_some(found))
            })?;
            if let Some(found) = found {
                return Ok(Values::new(names, found));
            }
        }
        Err(Trouble::Contended)
    }

    fn look(&self, name: &str) -> Result<Option<Found>, Trouble> {
        let store = &self.inner.store;
        let query = store.query(checked(name)?);
        for _ in 0..AGAIN {
            let Some(handle) = store.find(query)? else { return Ok(None) };
            match store.read(handle, |shot| shot.capture())? {
                Seen::Value(captured, number) => {
                    return Ok(Some(Found { handle, captured: captured?, number }));
                }
                Seen::Absent => return Ok(None),
                Seen::Stale => {}
            }
        }
        Err(Trouble::Contended)
    }

    fn resolve_versioned(&self, name: &str) -> Result<Option<(Handle, u64)>, Trouble> {
        let store = &self.inner.store;
        let query = store.query(checked(name)?);
        for _ in 0..AGAIN {
            let Some(handle) = store.find(query)? else { return Ok(None) };
            match store.read(handle, |_| ())? {
                Seen::Value((), number) => return Ok(Some((handle, number))),
                Seen::Absent => return Ok(None),
                Seen::Stale => {}
            }
        }
        Err(Trouble::Contended)
    }

    fn find_versioned<T: DeserializeOwned>(&self, name: &str) -> Result<(Option<T>, Version)> {
        self.captured_versioned(name, codec::decode)
    }

    fn captured_versioned<T>(
        &self,
        name: &str,
        decode: impl FnOnce(Captured) -> Result<T>,
    ) -> Result<(Option<T>, Version)> {
        let found = self.run(|| self.look(name));
        match found.map_err(|trouble| self.failed("get variable", name, trouble))? {
            None => Ok((None, Version::ABSENT)),
            Some(Found { handle, .. }) if handle.atomic => {
                Err(self.failed("get variable", name, Trouble::WrongKind(NO_VERSIONS)))
            }
            Some(Found { handle, captured, number }) => {
                let value =
                    decode(captured).map_err(|error| self.told("get variable", name, error))?;
                Ok((Some(value), Version::from((handle.id, number))))
            }
        }
    }

    fn put_if(
        &self,
        name: &str,
        expected: Version,
        raw: &Raw<'_>,
    ) -> Result<std::result::Result<Version, Version>> {
        let put = || {
            let store = &self.inner.store;
            store.set_if(store.query(checked(name)?), raw, which(expected))
        };
        let done = self.run(put).map_err(|trouble| self.failed("set variable", name, trouble))?;
        Ok(done.map(Version::from).map_err(Version::from))
    }
}

impl Map {
    /// The present version of a variable; [`Version::ABSENT`] where there is none.
    ///
    /// # Errors
    /// Those of [`contains`](Self::contains); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic), which has none.
    pub fn version(&self, name: &str) -> Result<Version> {
        let map = match &self.0 {
            Body::Store(map) => map,
            Body::Gem(gem) => return gem.version(name),
        };
        let version = || match map.resolve_versioned(name)? {
            Some((handle, _)) if handle.atomic => Err(Trouble::WrongKind(NO_VERSIONS)),
            Some((handle, number)) => Ok(Version::from((handle.id, number))),
            None => Ok(Version::ABSENT),
        };
        map.run(version).map_err(|trouble| map.failed("get the version of variable", name, trouble))
    }

    /// The value of a variable and its version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    /// Those of [`get`](Self::get); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic).
    pub fn get_versioned<T: DeserializeOwned>(&self, name: &str) -> Result<(T, Version)> {
        let (value, version) = match &self.0 {
            Body::Store(map) => map.find_versioned(name)?,
            Body::Gem(gem) => gem.find_versioned(name)?,
        };
        match value {
            Some(value) => Ok((value, version)),
            None => Err(self.absent("get variable", name)),
        }
    }

    /// The value of a variable, of whatever kind it is, and its version, for
    /// [`compare_and_set_value`](Self::compare_and_set_value); `None` and [`Version::ABSENT`] where
    /// there is none.
    ///
    /// # Errors
    /// Those of [`get_versioned`](Self::get_versioned), without `NotFound`.
    pub fn value_versioned(&self, name: &str) -> Result<(Option<Value>, Version)> {
        match &self.0 {
            Body::Store(map) => map.captured_versioned(name, Value::of),
            Body::Gem(gem) => gem.value_versioned(name),
        }
    }

    /// Sets a variable if it still has the version `expected`, or, for [`Version::ABSENT`], if there
    /// is none; answers the new version, or `Err` with the one that stands there instead.
    ///
    /// The layout of a gem's map counts nothing: there a version is a hash of the value, and a value
    /// that went and came back has the same one.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-cas.{}", std::process::id())).create()?;
    /// use mapvar::Version;
    ///
    /// let first = map.compare_and_set("owner", Version::ABSENT, "me")?.expect("nobody had it");
    /// assert_eq!(map.compare_and_set("owner", Version::ABSENT, "you")?, Err(first));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set); [`WrongKind`](ErrorKind::WrongKind) for an
    /// [`Atomic`](crate::Atomic).
    pub fn compare_and_set(
        &self,
        name: &str,
        expected: Version,
        value: impl Serialize,
    ) -> Result<std::result::Result<Version, Version>> {
        match &self.0 {
            Body::Store(map) => {
                codec::encode(&value, &mut |raw: &Raw<'_>| map.put_if(name, expected, raw))
                    .map_err(|error| map.told("set variable", name, error))?
            }
            Body::Gem(gem) => gem.set_if(
                name,
                expected,
                codec::encode(&value, &mut |raw: &Raw<'_>| Captured::of(raw)),
            ),
        }
    }

    /// As [`compare_and_set`](Self::compare_and_set), keeping the kind and number of a `Pod` and an
    /// `Opaque`.
    ///
    /// # Errors
    /// Those of [`compare_and_set`](Self::compare_and_set).
    pub fn compare_and_set_value(
        &self,
        name: &str,
        expected: Version,
        value: &Value,
    ) -> Result<std::result::Result<Version, Version>> {
        match &self.0 {
            Body::Store(map) => value
                .encode(&mut |raw: &Raw<'_>| map.put_if(name, expected, raw))
                .map_err(|error| map.told("set variable", name, error))?,
            Body::Gem(gem) => {
                gem.set_if(name, expected, value.encode(&mut |raw: &Raw<'_>| Captured::of(raw)))
            }
        }
    }

    /// Replaces the value of a variable by what `change` makes of it (of `None`, where there is
    /// none), and answers that. If somebody else writes the variable meanwhile, `change` is called
    /// again: no lock is held while it runs.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-up.{}", std::process::id())).create()?;
    /// let runs: i64 = map.update("runs", |runs: Option<i64>| runs.unwrap_or(0) + 1)?;
    /// assert_eq!(runs, 1);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set); [`Conflict`](ErrorKind::Conflict) where
    /// others wrote the variable each time.
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<T> {
        let map = match &self.0 {
            Body::Store(map) => map,
            Body::Gem(gem) => return gem.update(name, change),
        };
        for round in 0..UPDATES {
            let (value, version) = map.find_versioned(name)?;
            let value = change(value);
            if self.compare_and_set(name, version, &value)?.is_ok() {
                return Ok(value);
            }
            let _ = map.inner.store.mem().pause(round);
        }
        Err(Error::new(ErrorKind::Conflict, "update variable", map.variable(name))
            .detail("others wrote it each time; try again, or use an Atomic"))
    }
}

const NO_TRANSACTIONS: &str = "the gem's layout has no transactions; `update` changes one variable, \
                               or make the map with Format::Store";
/// What messages call it.
const RUN: &str = "run a transaction in";
const NO_VERSIONS: &str = "it is an Atomic, which has no versions; use its `compare_exchange`";
/// How often an update is tried.
const UPDATES: u32 = 1000;

impl<'m> Transaction<'m> {
    fn new(handle: Cow<'m, Map>) -> Result<Self> {
        let map = match &handle {
            Cow::Borrowed(handle) => Cow::Borrowed(handle.stored(RUN, NO_TRANSACTIONS)?),
            Cow::Owned(handle) => Cow::Owned(handle.stored(RUN, NO_TRANSACTIONS)?.clone()),
        };
        let seen = map
            .run(|| map.inner.store.transactions_seen())
            .map_err(|trouble| trouble.during(RUN, map.object()))?;
        let (looks, writes) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { handle, map, looks, writes, seen, conflict: false, runs: 1 })
    }

    /// Forgets what it has read and written, waits a little, the longer the more often, and begins
    /// anew: after [`Conflict`](ErrorKind::Conflict).
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) after 16 runs; [`Closed`](ErrorKind::Closed).
    pub fn restart(&mut self) -> Result<()> {
        let failed = |trouble: Trouble| trouble.during(RUN, self.map.object());
        // The later, the longer.
        for _ in 1..self.runs {
            let _ = self.map.inner.store.mem().pause(self.runs - 1);
        }
        if self.runs >= RUNS {
            return Err(Error::new(ErrorKind::Conflict, RUN, self.map.object()).detail(format!(
                "others changed what it read, in each of {RUNS} runs; try again, or make it shorter"
            )));
        }
        let seen = self.map.run(|| self.map.inner.store.transactions_seen()).map_err(failed)?;
        self.forget();
        (self.seen, self.runs) = (seen, self.runs + 1);
        Ok(())
    }

    fn forget(&mut self) {
        self.looks.clear();
        self.writes.clear();
        self.conflict = false;
    }

    /// Does all that it wrote as one, if what it read has not changed meanwhile; it is then an empty
    /// transaction, for the next.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with nothing written: [`restart`](Self::restart) it and
    /// do it all again; and those of [`Map::transaction`].
    pub fn commit(&mut self) -> Result<()> {
        if self.publish()? {
            self.forget();
            self.runs = 1;
            return Ok(());
        }
        self.conflict = true;
        Err(Error::new(ErrorKind::Conflict, RUN, self.map.object())
            .detail("others changed what it read; restart it and do it all again"))
    }

    /// The map.
    pub fn map(&self) -> &Map {
        &self.handle
    }

    /// The value of a variable, as this transaction has set it or as it was when the transaction
    /// first looked.
    ///
    /// # Errors
    /// Those of [`Map::get`]; [`Conflict`](ErrorKind::Conflict) where another transaction was
    /// quicker: hand it on, and this one is run again.
    pub fn get<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        match self.find(name)? {
            Some(value) => Ok(value),
            None => Err(self.map.absent("get variable", name)),
        }
    }

    /// The value of a variable, or `None` where there is none.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let found = self.captured(name)?.map(codec::decode).transpose();
        found.map_err(|error| self.map.told("get variable", name, error))
    }

    /// The value of a variable, of whatever kind it is; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn value(&mut self, name: &str) -> Result<Option<Value>> {
        let found = self.captured(name)?.map(Value::of).transpose();
        found.map_err(|error| self.map.told("get variable", name, error))
    }

    /// Whether there is a variable of this name.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn contains(&mut self, name: &str) -> Result<bool> {
        Ok(self.captured(name)?.is_some())
    }

    fn captured(&mut self, name: &str) -> Result<Option<Captured>> {
        if let Some(written) = self.writes.get(name) {
            return Ok(written.clone());
        }
        let failed = |trouble| self.map.failed("get variable", name, trouble);
        let found = self.map.look(name).map_err(failed)?;
        let look =
            found.as_ref().map_or(Look::Absent, |found| Look::Present(found.handle, found.number));
        let before = *self.looks.entry(name.into()).or_insert(look);
        let same = match (before, look) {
            (Look::Absent, Look::Absent) => true,
            (Look::Present(was, version), Look::Present(is, now)) => was == is && version == now,
            _ => false,
        };
        // What was read before may not go with this any more: then there is no sense in going on.
        let others = self.map.inner.store.transactions_seen().map_err(failed)?;
        if !same || (others != self.seen && self.looks.len() > 1) {
            self.conflict = true;
            return Err(Error::new(ErrorKind::Conflict, "get variable", self.map.variable(name))
                .detail("another transaction changed what this one has read; it is run again"));
        }
        self.seen = others;
        Ok(found.map(|found| found.captured))
    }

    /// Sets a variable when the transaction ends.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName), and those of encoding the value.
    pub fn set(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        self.keep(name, codec::encode(&value, &mut |raw: &Raw<'_>| Captured::of(raw)))
    }

    /// Sets a variable to a [`Value`] when the transaction ends, keeping the kind and number of its
    /// `Pod` and `Opaque`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn set_value(&mut self, name: &str, value: &Value) -> Result<()> {
        self.keep(name, value.encode(&mut |raw: &Raw<'_>| Captured::of(raw)))
    }

    fn keep(&mut self, name: &str, encoded: Result<Captured>) -> Result<()> {
        checked(name).map_err(|trouble| self.map.failed("set variable", name, trouble))?;
        let captured = encoded.map_err(|error| self.map.told("set variable", name, error))?;
        self.writes.insert(name.into(), Some(captured));
        Ok(())
    }

    /// Removes a variable when the transaction ends.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName).
    pub fn remove(&mut self, name: &str) -> Result<()> {
        checked(name).map_err(|trouble| self.map.failed("remove variable", name, trouble))?;
        self.writes.insert(name.into(), None);
        Ok(())
    }

    /// Does it; false where something that was read has changed.
    fn publish(&self) -> Result<bool> {
        self.try_publish().map_err(|trouble| trouble.during(RUN, self.map.object()))
    }

    fn try_publish(&self) -> Result<bool, Trouble> {
        if self.conflict {
            return Ok(false);
        }
        if self.looks.is_empty() && self.writes.is_empty() {
            return Ok(true);
        }
        if self.writes.is_empty() && self.looks.len() == 1 {
            // One value that was read is of one instant anyway.
            return Ok(true);
        }
        for _ in 0..AGAIN {
            match self.try_commit()? {
                Ended::Committed => {
                    self.map.usable()?;
                    return Ok(true);
                }
                Ended::Conflict => return Ok(false),
                Ended::Stale => {}
            }
        }
        Err(Trouble::Contended)
    }

    fn try_commit(&self) -> Result<Ended, Trouble> {
        let store = &self.map.inner.store;
        let names = self.looks.keys().chain(self.writes.keys());
        let names: std::collections::BTreeSet<&str> = names.map(String::as_str).collect();
        let mut changes = Vec::with_capacity(names.len());
        let mut made = Vec::new();
        let outcome = (|| {
            for name in names {
                let look = self.looks.get(name);
                let write = self.writes.get(name);
                let handle = match look {
                    Some(Look::Present(handle, _)) => Some(*handle),
                    None if matches!(write, Some(None)) => {
                        let found = store.find(store.query(name.as_bytes()))?;
                        match found {
                            Some(handle) if store.is_removed_atomic(handle)? => None,
                            found => found,
                        }
                    }
                    _ => store.find_making_way(store.query(name.as_bytes()))?,
                };
                let handle = match handle {
                    Some(handle) => handle,
                    // Nothing to remove, and nobody looked.
                    None if look.is_none() && matches!(write, Some(None)) => continue,
                    // A removed variable, for the present: something that can be marked.
                    None => {
                        let query = store.query(name.as_bytes());
                        let (Inserted::New(handle) | Inserted::Found(handle)) =
                            store.insert(query, &Raw::TOMBSTONE, false)?;
                        if handle.atomic {
                            // An Atomic, which the next look refuses; or a removed one, still.
                            return Ok(Ended::Stale);
                        }
                        made.push(handle);
                        handle
                    }
                };
                let expect = match look {
                    Some(Look::Present(_, version)) => Expect::Version(*version),
                    Some(Look::Absent) => Expect::Absent,
                    None => Expect::Any,
                };
                let raw = match write {
                    None => None,
                    Some(None) => {
                        made.push(handle);
                        Some(Raw::TOMBSTONE)
                    }
                    Some(Some(captured)) => Some(captured.raw()),
                };
                changes.push(Part { handle, expect, raw });
            }
            for change in &mut changes {
                if let Some(raw) = change.raw
                    && raw.inline_len() > change.handle.room()
                    && let Payload::Bytes(bytes) = raw.payload
                {
                    let extent = store.reserve(change.handle, bytes.len())?;
                    change.raw = Some(raw.lying_in(extent));
                    store.fill(extent, bytes)?;
                }
            }
            store.transact(&mut changes)
        })();
        if !matches!(outcome, Ok(Ended::Committed)) {
            for change in &changes {
                if let Some(Raw { payload: Payload::Extent { extent, .. }, .. }) = change.raw {
                    store.forsake(extent);
                }
            }
        }
        // What was made to be marked, and what was removed: collected, if it is removed now.
        for handle in made {
            let _ = store.collect(handle);
        }
        outcome
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("map", &*self.handle)
            .field("reads", &self.looks.len())
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

/// Values by name, `None` for those that were absent.
struct Values(BTreeMap<String, Option<(Captured, Version)>>);

impl Values {
    fn new(names: &[&str], found: Vec<Option<Found>>) -> Self {
        let entries = names.iter().zip(found).map(|(name, found)| {
            let found = found.map(|Found { handle, captured, number }| {
                (captured, Version::from((handle.id, number)))
            });
            ((*name).into(), found)
        });
        Self(entries.collect())
    }
}

/// Several variables as they were at one instant; from [`Map::snapshot`].
pub struct Snapshot {
    map: Map,
    values: Values,
}

impl Snapshot {
    /// The value that a variable had.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there was none, or the snapshot was not asked for it;
    /// [`WrongKind`](ErrorKind::WrongKind), [`OutOfRange`](ErrorKind::OutOfRange).
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.find(name)?.ok_or_else(|| self.map.absent("get from a snapshot variable", name))
    }

    /// The value that a variable had, or `None` where there was none.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.captured(name)
            .map(codec::decode)
            .transpose()
            .map_err(|error| self.map.told("get from a snapshot variable", name, error))
    }

    /// The value that a variable had, of whatever kind; `None` where there was none.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn value(&self, name: &str) -> Result<Option<Value>> {
        self.captured(name)
            .map(Value::of)
            .transpose()
            .map_err(|error| self.map.told("get from a snapshot variable", name, error))
    }

    /// The version that a variable had.
    pub fn version(&self, name: &str) -> Version {
        self.values.0.get(name).and_then(Option::as_ref).map_or(Version::ABSENT, |found| found.1)
    }

    fn captured(&self, name: &str) -> Option<Captured> {
        self.values.0.get(name).and_then(Option::as_ref).map(|found| found.0.clone())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("map", &self.map)
            .field("variables", &self.values.0.len())
            .finish()
    }
}
