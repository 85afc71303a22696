//! Transactions: a buffered set of writes, done as one if what was read has not changed meanwhile.

use crate::{Map, Value, map::store_map::Stored, name::checked, value::codec};
use mapvar_engine::{
    commit::{CommitOutcome, TxEntry},
    error::EngineError,
    handle::Handle,
    mem::Mem,
    value::{OwnedValue, Payload, Raw},
    variable::insert::Inserted,
    variable::named::AGAIN,
    version::Expect,
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// How often a transaction is run before it answers `Conflict`.
const RUNS: u32 = 16;

/// What a transaction saw of a variable when it first looked.
#[derive(Clone, Copy)]
enum ReadEntry {
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
    looks: BTreeMap<String, ReadEntry>,
    /// `None` = to be removed.
    writes: BTreeMap<String, Option<OwnedValue>>,
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
}

const NO_TRANSACTIONS: &str = "the gem's layout has no transactions; `update` changes one variable, \
                               or make the map with Format::Store";

/// What messages call it.
const RUN: &str = "run a transaction in";

impl<'m> Transaction<'m> {
    pub(crate) fn new(handle: Cow<'m, Map>) -> Result<Self> {
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
        let failed = |trouble: EngineError| trouble.during(RUN, self.map.object());
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
        found.map_err(|error| self.map.with_context("get variable", name, error))
    }

    /// The value of a variable, of whatever kind it is; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn value(&mut self, name: &str) -> Result<Option<Value>> {
        let found = self.captured(name)?.map(Value::of).transpose();
        found.map_err(|error| self.map.with_context("get variable", name, error))
    }

    /// Whether there is a variable of this name.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn contains(&mut self, name: &str) -> Result<bool> {
        Ok(self.captured(name)?.is_some())
    }

    fn captured(&mut self, name: &str) -> Result<Option<OwnedValue>> {
        if let Some(written) = self.writes.get(name) {
            return Ok(written.clone());
        }
        let failed = |trouble| self.map.failed("get variable", name, trouble);
        let found = self.map.look(name).map_err(failed)?;
        let look = found
            .as_ref()
            .map_or(ReadEntry::Absent, |found| ReadEntry::Present(found.handle, found.number));
        let before = *self.looks.entry(name.into()).or_insert(look);
        let same = match (before, look) {
            (ReadEntry::Absent, ReadEntry::Absent) => true,
            (ReadEntry::Present(was, version), ReadEntry::Present(is, now)) => {
                was == is && version == now
            }
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
        self.keep(name, codec::encode(&value, &mut |raw: &Raw<'_>| OwnedValue::of(raw)))
    }

    /// Sets a variable to a [`Value`] when the transaction ends, keeping the kind and number of its
    /// `Pod` and `Opaque`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn set_value(&mut self, name: &str, value: &Value) -> Result<()> {
        self.keep(name, value.encode(&mut |raw: &Raw<'_>| OwnedValue::of(raw)))
    }

    fn keep(&mut self, name: &str, encoded: Result<OwnedValue>) -> Result<()> {
        checked(name).map_err(|trouble| self.map.failed("set variable", name, trouble))?;
        let captured =
            encoded.map_err(|error| self.map.with_context("set variable", name, error))?;
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

    fn try_publish(&self) -> Result<bool, EngineError> {
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
                CommitOutcome::Committed => {
                    self.map.usable()?;
                    return Ok(true);
                }
                CommitOutcome::Conflict => return Ok(false),
                CommitOutcome::Stale => {}
            }
        }
        Err(EngineError::Contended)
    }

    fn try_commit(&self) -> Result<CommitOutcome, EngineError> {
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
                    Some(ReadEntry::Present(handle, _)) => Some(*handle),
                    None if matches!(write, Some(None)) => {
                        let found = store.find(store.query(name.as_bytes()))?;
                        match found {
                            Some(handle) if store.is_removed_atomic(handle)? => None,
                            found => found,
                        }
                    }
                    _ => store.find_reclaiming(store.query(name.as_bytes()))?,
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
                            return Ok(CommitOutcome::Stale);
                        }
                        made.push(handle);
                        handle
                    }
                };
                let expect = match look {
                    Some(ReadEntry::Present(_, version)) => Expect::Version(*version),
                    Some(ReadEntry::Absent) => Expect::Absent,
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
                changes.push(TxEntry { handle, expect, raw });
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
        if !matches!(outcome, Ok(CommitOutcome::Committed)) {
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
