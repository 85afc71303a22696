//! Transactions: buffered writes, published as one if the variables that were read have not
//! changed.

use crate::{
    Map, map::store_map::Stored, name::checked, name_table::NameTable, plain::Plain, value::codec,
};
use mapvar_engine::{
    commit::{CommitOutcome, TxEntry},
    error::EngineError,
    handle::Handle,
    index::Query,
    mem::Mem,
    value::{Kind, OwnedValue, Payload, Raw},
    variable::named::AGAIN,
    version::Expect,
};
use mapvar_os::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, fmt, sync::atomic::Ordering::Relaxed};

/// How often a transaction runs before it fails with `Conflict`.
const RUNS: u32 = 16;

/// The state of a variable when the transaction first read it.
#[derive(Clone, Copy)]
enum ReadEntry {
    Present(Handle, u64),
    Absent,
}

/// What is to become of a variable.
enum Write {
    Set {
        value: OwnedValue,
        /// Whether the variable ends with this process.
        ephemeral: bool,
    },
    Remove,
}

/// What the transaction has to do with a variable.
#[derive(Default)]
struct Touched {
    read: Option<ReadEntry>,
    write: Option<Write>,
}

/// Several variables, read and written as one; from [`Map::transaction`] and [`Map::begin_transaction`].
///
/// Writes are buffered until the transaction ends, and then published. Other transactions,
/// snapshots, flushes and the recovery after a power cut see all of them or none. Plain `get`s may
/// see the new value of one variable before that of another, because the values are published one
/// after the other.
///
/// If the process dies during publication, the plain `get`s of other processes see that state until
/// one of them completes it. The next write to one of the variables completes it, and so do the
/// next transaction, snapshot with write access, and flush.
///
/// ```
/// # let name = format!("doc-tx-type.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// use mapvar::{Result, Transaction};
///
/// fn add(tx: &mut Transaction<'_>, name: &str, amount: i64) -> Result<()> {
///     let old: i64 = tx.find(name)?.unwrap_or(0);
///     tx.set(name, old + amount)
/// }
///
/// map.transaction(|tx| {
///     add(tx, "left", -3)?;
///     add(tx, "right", 3)
/// })?;
/// assert_eq!(map.get::<i64>("left")?, -3);
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Transaction<'m> {
    handle: Cow<'m, Map>,
    map: Cow<'m, Stored>,
    /// What it has read and is to write, by the names of the variables.
    touched: NameTable<Touched>,
    /// How many variables it has read.
    reads: usize,
    /// The map's transaction counter when this one began, or last found its reads consistent.
    seen: u64,
    conflict: bool,
    /// The variable that another writer changed last, in messages.
    changed: Option<String>,
    /// How often it has run, this time included.
    runs: u32,
}

impl Map {
    /// Runs `body` and publishes everything that it wrote as one, if what it read has not changed.
    ///
    /// `body` reads and writes variables through the [`Transaction`] that it gets. If another
    /// writer changes a variable that it has read, `body` runs again, up to 16 times. No lock is
    /// held while it runs. If `body` returns an error, nothing is written.
    /// [`Transaction::discard`] ends without a change and without an error.
    ///
    /// The variables that `body` only reads take part too: two transactions that read each other's
    /// variables take effect one after the other. A transaction may read and write up to 512
    /// variables, but no [`Atomic`](crate::Atomic).
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
    /// let both = map.snapshot(["left", "right"])?;
    /// assert_eq!((both.get::<i64>("left")?, both.get::<i64>("right")?), (7, 3));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `body`; [`Conflict`](ErrorKind::Conflict) after 16 runs;
    /// [`TooLarge`](ErrorKind::TooLarge) for more than 512 variables;
    /// [`WrongKind`](ErrorKind::WrongKind) for an [`Atomic`](crate::Atomic);
    /// [`TimedOut`](ErrorKind::TimedOut), [`Full`](ErrorKind::Full),
    /// [`NoSpace`](ErrorKind::NoSpace), [`ReadOnly`](ErrorKind::ReadOnly);
    /// [`Unsupported`](ErrorKind::Unsupported) for a [`Format::Marshal`](crate::Format::Marshal)
    /// map.
    pub fn transaction<R>(&self, body: impl FnMut(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        self.try_transaction(body)
    }

    /// As [`transaction`](Self::transaction), with a `body` that may fail with an error of its own.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-try-tx.{}", std::process::id())).create()?;
    /// #[derive(Debug)]
    /// enum Trouble {
    ///     SoldOut,
    ///     Map(mapvar::Error),
    /// }
    ///
    /// impl From<mapvar::Error> for Trouble {
    ///     fn from(error: mapvar::Error) -> Self {
    ///         Self::Map(error)
    ///     }
    /// }
    ///
    /// map.set("stock", 0)?;
    /// let sold = map.try_transaction(|tx| {
    ///     let stock: i64 = tx.get("stock")?;
    ///     if stock == 0 {
    ///         return Err(Trouble::SoldOut);
    ///     }
    ///     Ok(tx.set("stock", stock - 1)?)
    /// });
    /// assert!(matches!(sold, Err(Trouble::SoldOut)));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `body` and of [`transaction`](Self::transaction).
    pub fn try_transaction<R, E: From<Error>>(
        &self,
        mut body: impl FnMut(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut transaction = Transaction::new(Cow::Borrowed(self))?;
        loop {
            match body(&mut transaction) {
                Err(error) if !transaction.conflict => return Err(error),
                Ok(result) if transaction.publish()? => return Ok(result),
                _ => transaction.restart()?,
            }
        }
    }

    /// Begins a transaction that is a value and not a closure, such as for bindings to other
    /// languages.
    ///
    /// [`Transaction::commit`] publishes its writes. If it is dropped before, nothing is written.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-begin.{}", std::process::id())).create()?;
    /// use mapvar::ErrorKind;
    ///
    /// map.set("count", 1)?;
    /// let mut tx = map.begin_transaction()?;
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
    /// [`Closed`](ErrorKind::Closed) in a forked child; [`Unsupported`](ErrorKind::Unsupported) for
    /// a [`Format::Marshal`](crate::Format::Marshal) map.
    pub fn begin_transaction(&self) -> Result<Transaction<'static>> {
        Transaction::new(Cow::Owned(self.clone()))
    }
}

const NO_TRANSACTIONS: &str = "the gem's layout has no transactions; `update` changes one variable, \
                               or make the map with Format::Store";

/// The operation in messages.
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
        let touched = NameTable::new();
        let (reads, conflict, changed) = (0, false, None);
        Ok(Self { handle, map, touched, reads, seen, conflict, changed, runs: 1 })
    }

    /// Forgets everything that it has read and written, and begins again.
    ///
    /// Call it after [`Conflict`](ErrorKind::Conflict). It first waits a short time, which grows
    /// with the number of runs, so that other writers can finish.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) after 16 runs; [`Closed`](ErrorKind::Closed).
    pub fn restart(&mut self) -> Result<()> {
        let failed = |trouble: EngineError| trouble.during(RUN, self.map.object());
        for _ in 1..self.runs {
            let _ = self.map.inner.store.mem().pause(self.runs - 1);
        }
        if self.runs >= RUNS {
            return Err(Error::new(ErrorKind::Conflict, RUN, self.map.object()).detail(format!(
                "other processes changed {}, in each of {RUNS} runs; try again, or make it shorter",
                self.what_changed()
            )));
        }
        let seen = self.map.run(|| self.map.inner.store.transactions_seen()).map_err(failed)?;
        self.forget();
        (self.seen, self.runs) = (seen, self.runs + 1);
        Ok(())
    }

    /// Drops everything that it was to set or remove. What it has read still counts.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-dis.{}", std::process::id())).create()?;
    /// map.set("stock", 2)?;
    /// let sold = map.transaction(|tx| {
    ///     let stock = tx.get::<i64>("stock")? - 3;
    ///     tx.set("stock", stock)?;
    ///     if stock < 0 {
    ///         tx.discard();
    ///     }
    ///     Ok(stock >= 0)
    /// })?;
    /// assert_eq!((sold, map.get::<i64>("stock")?), (false, 2));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    pub fn discard(&mut self) {
        self.touched.values_mut().for_each(|touched| touched.write = None);
    }

    fn forget(&mut self) {
        self.touched.clear();
        self.reads = 0;
        self.conflict = false;
    }

    /// Publishes everything that it wrote as one, if what it read has not changed.
    ///
    /// The transaction is then empty and can be used again.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with nothing written: call [`restart`](Self::restart),
    /// and read and write everything again. The other errors are those of [`Map::transaction`].
    pub fn commit(&mut self) -> Result<()> {
        if self.publish()? {
            self.forget();
            self.runs = 1;
            return Ok(());
        }
        self.conflict = true;
        Err(Error::new(ErrorKind::Conflict, RUN, self.map.object()).detail(format!(
            "another process changed {}; restart it and repeat its operations",
            self.what_changed()
        )))
    }

    fn what_changed(&self) -> String {
        match &self.changed {
            Some(name) => format!("{name:?}, which it had read"),
            None => "what it had read".into(),
        }
    }

    /// Finds the variable that no longer is as it was read.
    fn find_changed(&self) -> Option<String> {
        let same = |name: &str, read: &ReadEntry| match self.map.resolve_versioned(name) {
            Ok(Some((handle, number))) => {
                matches!(read, ReadEntry::Present(was, version) if *was == handle && *version == number)
            }
            Ok(None) => matches!(read, ReadEntry::Absent),
            Err(_) => true,
        };
        let reads = self.touched.iter().filter_map(|(name, _, it)| Some((name, it.read.as_ref()?)));
        reads.into_iter().find(|(name, read)| !same(name, read)).map(|(name, _)| name.to_owned())
    }

    /// Returns the map.
    #[doc(hidden)]
    pub fn map(&self) -> &Map {
        &self.handle
    }

    /// Returns the value of a variable, as this transaction has set it, or as stored in the map.
    ///
    /// # Errors
    /// Those of [`Map::get`]; [`Conflict`](ErrorKind::Conflict) if another writer has changed what
    /// this transaction has read. Return that error from the closure, and the transaction runs
    /// again.
    pub fn get<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        match self.find(name)? {
            Some(value) => Ok(value),
            None => Err(self.map.absent("get variable", name)),
        }
    }

    /// Returns the value of a variable, or `None` if there is no variable.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), without `NotFound`.
    pub fn find<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let found = self.captured(name)?;
        let found = found.map(|found| codec::decode(self.map.described(found)?)).transpose();
        found.map_err(|error| self.map.with_context("get variable", name, error))
    }

    /// Returns the plain struct that a variable holds, or `None` if there is no variable.
    ///
    /// # Errors
    /// Those of [`find`](Self::find); [`WrongKind`](ErrorKind::WrongKind) if it is anything but a
    /// struct of this layout.
    pub fn plain<T: Plain>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(found) = self.captured(name)? else { return Ok(None) };
        let found = self.map.captured_of(found);
        let found = found.map_err(|trouble| self.map.failed("get variable", name, trouble))?;
        let found = found.plain_as().map(Some);
        found.map_err(|error| self.map.with_context("get variable", name, error))
    }

    /// Returns whether there is a variable of this name.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn contains(&mut self, name: &str) -> Result<bool> {
        Ok(self.captured(name)?.is_some())
    }

    fn captured(&mut self, name: &str) -> Result<Option<OwnedValue>> {
        let failed = |trouble| self.map.failed("get variable", name, trouble);
        let query = self.map.inner.store.query(checked(name).map_err(failed)?);
        let known = self.touched.find(query.hash, name);
        let touched = known.and_then(|number| self.touched.get(number));
        match touched.and_then(|touched| touched.write.as_ref()) {
            Some(Write::Set { value, .. }) => return Ok(Some(value.clone())),
            Some(Write::Remove) => return Ok(None),
            None => {}
        }
        let found = self.map.read_found(query).map_err(failed)?;
        let read = found
            .as_ref()
            .map_or(ReadEntry::Absent, |found| ReadEntry::Present(found.handle, found.number));
        let number = self.touched.find_or_add(query.hash, name, Touched::default);
        let before = match self.touched.get_mut(number) {
            Some(Touched { read: Some(before), .. }) => *before,
            Some(touched) => {
                touched.read = Some(read);
                self.reads += 1;
                read
            }
            None => read,
        };
        let same = match (before, read) {
            (ReadEntry::Absent, ReadEntry::Absent) => true,
            (ReadEntry::Present(was, version), ReadEntry::Present(is, now)) => {
                was == is && version == now
            }
            _ => false,
        };
        // If a transaction was published meanwhile, the earlier reads may be inconsistent with this
        // one. The body must not continue with values that never existed together.
        let others = self.map.inner.store.transactions_seen().map_err(failed)?;
        if !same || (others != self.seen && self.reads > 1) {
            self.conflict = true;
            self.changed = (!same).then(|| name.to_owned()).or_else(|| self.find_changed());
            return Err(Error::new(ErrorKind::Conflict, "get variable", self.map.variable(name))
                .detail("another transaction changed what this one has read; it is run again"));
        }
        self.seen = others;
        Ok(found.map(|found| found.captured))
    }

    /// Sets a variable when the transaction is published, and creates it if there is none.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName), and those of encoding the value.
    pub fn set(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        self.keep(name, codec::encode(&value, &mut |raw: &Raw<'_>| OwnedValue::of(raw)), false)
    }

    /// Sets a variable to a plain struct when the transaction is published.
    ///
    /// ```
    /// # #[cfg(feature = "derive")] {
    /// # let map = mapvar::Map::options().name(&format!("doc-txp.{}", std::process::id())).create()?;
    /// #[derive(mapvar::Plain, Clone, Copy, Default)]
    /// #[repr(C)]
    /// struct Pose {
    ///     x: f64,
    ///     y: f64,
    /// }
    ///
    /// map.transaction(|tx| {
    ///     let pose = tx.plain::<Pose>("pose")?.unwrap_or_default();
    ///     tx.set_plain("pose", &Pose { x: pose.x + 1.0, ..pose })?;
    ///     tx.set("moved", true)
    /// })?;
    /// assert_eq!(map.plain::<Pose>("pose")?.get()?.x, 1.0);
    /// # }
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Map::plain`]: the layout of the struct is stored in the map at once. If the
    /// variable holds anything but a struct of this layout, it is replaced.
    pub fn set_plain<T: Plain>(&mut self, name: &str, value: &T) -> Result<()> {
        let mut bytes = T::zeroed();
        value.write(bytes.as_mut());
        let failed = |trouble| self.map.failed("set variable", name, trouble);
        let id = self.map.run(|| self.map.publish(&T::layout())).map_err(failed)?;
        self.keep(name, Ok(OwnedValue::of(&Raw::bytes(Kind::Plain, id, bytes.as_ref()))), false)
    }

    /// Sets an [ephemeral](Map::set_ephemeral) variable when the transaction is published.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-txe.{}", std::process::id())).create()?;
    /// map.transaction(|tx| {
    ///     let number: u32 = tx.find("workers")?.unwrap_or(0);
    ///     tx.set("workers", number + 1)?;
    ///     tx.set_ephemeral(&format!("worker/{number}"), "ready")
    /// })?;
    /// assert_eq!(map.owner("worker/0")?.map(|it| it.pid), Some(std::process::id()));
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`set`](Self::set); publishing fails with [`Full`](ErrorKind::Full) if all seats
    /// are taken.
    pub fn set_ephemeral(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        self.keep(name, codec::encode(&value, &mut |raw: &Raw<'_>| OwnedValue::of(raw)), true)
    }

    fn keep(&mut self, name: &str, encoded: Result<OwnedValue>, ephemeral: bool) -> Result<()> {
        checked(name).map_err(|trouble| self.map.failed("set variable", name, trouble))?;
        let value = encoded.map_err(|error| self.map.with_context("set variable", name, error))?;
        self.write(name, Write::Set { value, ephemeral });
        Ok(())
    }

    /// Removes a variable when the transaction is published.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName).
    pub fn remove(&mut self, name: &str) -> Result<()> {
        checked(name).map_err(|trouble| self.map.failed("remove variable", name, trouble))?;
        self.write(name, Write::Remove);
        Ok(())
    }

    fn write(&mut self, name: &str, write: Write) {
        let hash = self.map.inner.store.query(name.as_bytes()).hash;
        let number = self.touched.find_or_add(hash, name, Touched::default);
        if let Some(touched) = self.touched.get_mut(number) {
            touched.write = Some(write);
        }
    }

    /// Publishes the writes; returns false if a variable that was read has changed.
    fn publish(&mut self) -> Result<bool> {
        let mut at = None;
        let published = self.try_publish(&mut at).map_err(|trouble| match &at {
            Some(name) => self.map.failed("set in a transaction variable", name, trouble),
            None => trouble.during(RUN, self.map.object()),
        })?;
        if !published && !self.conflict {
            self.changed = self.find_changed();
        }
        Ok(published)
    }

    /// `at` becomes the variable that an error is about, if it is about one.
    fn try_publish(&self, at: &mut Option<String>) -> Result<bool, EngineError> {
        if self.conflict {
            return Ok(false);
        }
        let writes = self.touched.iter().any(|(_, _, touched)| touched.write.is_some());
        if !writes && self.reads <= 1 {
            // A single read is of one instant in any case.
            return Ok(true);
        }
        let mut reclaimed = false;
        for _ in 0..AGAIN {
            let outcome = match self.try_commit(at) {
                // Between two attempts no record is this transaction's, so it may collect them.
                Err(trouble) if trouble.is_full() && !reclaimed => {
                    reclaimed = true;
                    self.map.inner.store.reclaim_all()?;
                    continue;
                }
                outcome => outcome?,
            };
            match outcome {
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

    fn try_commit(&self, at: &mut Option<String>) -> Result<CommitOutcome, EngineError> {
        let store = &self.map.inner.store;
        let touched = || {
            let all = self.touched.iter();
            // A write that was discarded leaves a name without anything.
            all.filter(|(.., touched)| touched.read.is_some() || touched.write.is_some())
        };
        let count = touched().count();
        let alone = count == 1;
        let is_ephemeral =
            |touched: &Touched| matches!(touched.write, Some(Write::Set { ephemeral: true, .. }));
        let ephemeral = touched().any(|(.., touched)| is_ephemeral(touched));
        let seat = if ephemeral {
            // Before the publication: closing the map removes ephemeral variables only if this is
            // true.
            self.map.inner.ephemeral.store(true, Relaxed);
            store.mem().seat()?
        } else {
            0
        };
        let mut changes = Vec::with_capacity(count);
        let mut changed = Vec::with_capacity(count);
        let mut made = Vec::new();
        let mut current: Option<&str> = None;
        let outcome = (|| {
            for (name, hash, Touched { read, write }) in touched() {
                current = Some(name);
                let query = Query::hashed(name.as_bytes(), hash);
                let removes = matches!(write, Some(Write::Remove));
                let handle = match read {
                    Some(ReadEntry::Present(handle, _)) => Some(*handle),
                    None if alone && removes => {
                        let found = store.find(query)?;
                        match found {
                            Some(handle) if store.is_removed_atomic(handle)? => None,
                            found => found,
                        }
                    }
                    _ => store.find_reclaiming(query)?,
                };
                let handle = match handle {
                    Some(handle) => handle,
                    // There is nothing to remove, and nothing else that takes effect with it.
                    None if alone && read.is_none() && removes => continue,
                    // Insert a removed variable, so that there is a record to mark and compare. For
                    // a removal too: another process may create the variable until the publication.
                    None => {
                        let handle = store.insert_for_commit(query)?;
                        if handle.atomic {
                            // Another process has created an Atomic of this name. The next attempt
                            // refuses it, or reclaims its name if it is removed.
                            return Ok(CommitOutcome::Stale);
                        }
                        made.push(handle);
                        handle
                    }
                };
                let expect = match read {
                    Some(ReadEntry::Present(_, version)) => Expect::Version(*version),
                    Some(ReadEntry::Absent) => Expect::Absent,
                    None => Expect::Any,
                };
                let raw = match write {
                    None => None,
                    Some(Write::Remove) => {
                        made.push(handle);
                        Some(Raw::TOMBSTONE)
                    }
                    Some(Write::Set { value, ephemeral }) => {
                        Some(value.raw().owned_by(if *ephemeral { seat } else { 0 }))
                    }
                };
                if handle.atomic {
                    return Err(EngineError::WrongKind(
                        "it is an Atomic, which takes no part in transactions; use a variable",
                    ));
                }
                changes.push(TxEntry { handle, expect, raw });
                changed.push(name);
            }
            for (change, name) in changes.iter_mut().zip(&changed) {
                current = Some(name);
                if let Some(raw) = change.raw
                    && raw.inline_len() > change.handle.room()
                    && let Payload::Bytes(bytes) = raw.payload
                {
                    let extent = store.reserve_for_commit(change.handle, bytes.len())?;
                    change.raw = Some(raw.lying_in(extent));
                    store.fill(extent, bytes)?;
                }
            }
            current = None;
            store.transact(&mut changes)
        })();
        if outcome.is_err() {
            *at = current.map(str::to_owned);
        }
        if !matches!(outcome, Ok(CommitOutcome::Committed)) {
            store.abandon_all(changes.iter().filter_map(|change| match change.raw {
                Some(Raw { payload: Payload::Extent { extent, .. }, .. }) => Some(extent),
                _ => None,
            }));
        }
        // Records that were inserted to be marked, and variables that were removed; `collect` keeps
        // a record that holds a value by now.
        store.collect_each(made);
        outcome
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("map", &*self.handle)
            .field("variables", &self.touched.len())
            .finish_non_exhaustive()
    }
}
