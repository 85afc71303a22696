//! A map in mapvar's own layout.

use crate::{
    name::{RESERVED, checked, is_reserved},
    plain::{Captured, Flaw, Layout, Layouts},
    report::{Format, Recovery, Stat},
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    header::Facts,
    layout::{self, Desc},
    mem::Ordering::Relaxed,
    mem::Private,
    mem::mapped::Mapped,
    record::wait::NAP,
    store::Store,
    value::{OwnedValue, Raw},
    variable::insert::Inserted,
    variable::named::AGAIN,
    version::{Version, Which, Wrote},
};
use mapvar_os::{Attachment, Error, ErrorKind, Origin, Result, machine};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    sync::atomic::AtomicBool,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

/// See [`crate::Map`].
#[derive(Clone)]
pub(crate) struct Stored {
    // Declared before `inner`, so that it is dropped while `inner` still exists and can be flushed.
    closing: Arc<Closing>,
    pub(crate) inner: Arc<Inner>,
}

/// Closes the map when the last handle is dropped: removes the ephemeral variables, and flushes a
/// file.
struct Closing(Weak<Inner>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.remove_ephemeral();
            // A drop cannot report errors; `close` and `flush` report them.
            let _ = inner.flush_if_dirty();
            // The handle that is dropped, and the one here: no variable or watch keeps the map.
            if Arc::strong_count(&inner) <= 2 {
                inner.leave();
            }
        }
    }
}

pub(crate) struct Inner {
    // Dropped in this order: the view and the section's handle, then the attachment.
    pub(crate) store: Store<Mapped>,
    pub(crate) attachment: Attachment,
    pub(crate) facts: Facts,
    /// The result of the recovery that opening the map ran.
    pub(crate) recovered: Option<Recovery>,
    /// Whether opening the map created it.
    pub(crate) origin: Origin,
    /// The map's name in messages.
    pub(crate) object: Arc<str>,
    /// The generation of the process that opened the map; a forked child has another.
    pub(crate) generation: u32,
    /// How long a check may take.
    pub(crate) check_timeout: Duration,
    /// The epoch of the process at which the map was last found usable. The epoch changes when the
    /// process forks or a view is lost.
    pub(crate) epoch: Private,
    /// When the map was opened. Not a time of the process, in a lock that a forked child could find
    /// taken for ever.
    pub(crate) opened: Instant,
    /// When the map's name was last found right, in milliseconds since the map was opened.
    pub(crate) named_at: Private,
    /// Whether this handle has set an ephemeral variable.
    pub(crate) ephemeral: AtomicBool,
    /// The layouts of plain structs that were read.
    pub(crate) layouts: Layouts,
    /// The notifier that wakes the streams of changes, if there are any. Its type is erased because
    /// it belongs to the layer above; the map only stores it.
    #[cfg(feature = "stream")]
    pub(crate) notifier: std::sync::Mutex<Option<Weak<dyn std::any::Any + Send + Sync>>>,
}

impl Inner {
    /// Whether the region is a recovered copy in this process's own memory, for reading.
    pub(crate) fn is_copy(&self) -> bool {
        self.recovered.is_some() && self.store.live_mut().is_err()
    }

    /// Flushes a map in a file, if this process may write to it and anything was set since the last
    /// flush.
    fn flush_if_dirty(&self) -> Result<(), EngineError> {
        if !self.facts.file
            || self.store.mem().view().lost().is_some()
            || self.store.live_mut().is_err()
            || !machine::is_generation(self.generation)
        {
            return Ok(());
        }
        if self.store.is_dirty()? { self.store.flush() } else { Ok(()) }
    }
}

impl Inner {
    /// Fails with `NameRemoved` if other processes cannot find the map under its name any more.
    pub(crate) fn named(&self) -> Result<(), EngineError> {
        self.store.mem().section().check_name().map_err(EngineError::Explained)
    }

    /// As [`named`](Self::named), but relies on a check that found the name right less than 100 ms
    /// ago. It reads the clock and makes no system call then.
    pub(crate) fn named_lately(&self) -> Result<(), EngineError> {
        // From 1 on: 0 means never.
        let now = self.opened.elapsed().as_millis() as u64 + 1;
        let last = self.named_at.load(Relaxed);
        if last != 0 && now.saturating_sub(last) < NAP.as_millis() as u64 {
            return Ok(());
        }
        self.named()?;
        self.named_at.store(now, Relaxed);
        Ok(())
    }

    /// As [`named`](Self::named), for the end of a handle. One for reading set nothing that a
    /// removed name could lose.
    fn named_for_writing(&self) -> Result<()> {
        if self.store.live_mut().is_err() || !machine::is_generation(self.generation) {
            return Ok(());
        }
        self.named().map_err(|trouble| trouble.during("close", self.object.to_string()))
    }

    /// Releases the seat of this process, which uses the map no more.
    fn leave(&self) {
        if machine::is_generation(self.generation) && self.store.mem().view().lost().is_none() {
            self.store.mem().leave();
        }
    }

    /// Removes the ephemeral variables of this handle. Without it, watchers would notice their end
    /// only when they poll the owner process, every 20 ms.
    pub(crate) fn remove_ephemeral(&self) {
        if !self.ephemeral.load(Relaxed)
            || !machine::is_generation(self.generation)
            || self.store.mem().view().lost().is_some()
        {
            return;
        }
        // An error has no effect: readers treat the variable as absent once the owner is gone.
        let _ = self.store.remove_owned();
    }
}

impl Stored {
    pub(crate) fn of(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        Self { closing: Arc::new(Closing(Arc::downgrade(&inner))), inner }
    }

    pub(crate) fn recovery(&self) -> Option<Recovery> {
        self.inner.recovered
    }

    pub(crate) fn origin(&self) -> Origin {
        self.inner.origin
    }

    #[inline]
    pub(crate) fn set(&self, name: &str, value: impl Serialize) -> Result<()> {
        if let Some((kind, word)) = codec::plain(&value) {
            return self.put(name, &Raw::word(kind, word));
        }
        let put = &mut |raw: &Raw<'_>| self.put(name, raw);
        codec::encode(&value, put)
            .map_err(|error| self.with_context("set variable", name, error))?
    }

    #[inline]
    fn put(&self, name: &str, raw: &Raw<'_>) -> Result<()> {
        let store = &self.inner.store;
        if self.is_usable()
            && !is_reserved(name.as_bytes())
            && let Some(handle) = store.hit(&store.query(name.as_bytes()))
            && store.try_write_fast(handle, raw, true)
        {
            return self.acknowledged("set variable", name, ());
        }
        self.put_slowly(name, *raw)
    }

    // By value: by reference, `raw` would be written to memory on the fast path too.
    #[cold]
    #[inline(never)]
    pub(crate) fn put_slowly(&self, name: &str, raw: Raw<'_>) -> Result<()> {
        let set = || {
            let store = &self.inner.store;
            store.set(store.query(checked(name)?), &raw)
        };
        self.run(set).map(|_| ()).map_err(|trouble| self.failed("set variable", name, trouble))
    }

    #[inline]
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        if let Some(value) = self.try_get_fast(name) {
            return Ok(value);
        }
        match self.find_slowly(name)? {
            Some(value) => Ok(value),
            None => Err(self.absent("get variable", name)),
        }
    }

    #[inline]
    pub(crate) fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.try_get_fast(name) {
            Some(value) => Ok(Some(value)),
            None => self.find_slowly(name),
        }
    }

    /// Reads a number or `bool` in one attempt; `None` if the full path has to read it.
    #[inline]
    fn try_get_fast<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let store = &self.inner.store;
        let (desc, word) = match store.try_read_named(name.as_bytes()) {
            Some(read) => read,
            None => self.try_read_elsewhere(name)?,
        };
        // Last: if the memory was lost during the read, it read zeros, which are no value.
        codec::of_plain(desc, word).filter(|_| self.is_usable())
    }

    /// For a name that is long, or not in its home line of the index.
    #[cold]
    #[inline(never)]
    fn try_read_elsewhere(&self, name: &str) -> Option<(Desc, u64)> {
        let store = &self.inner.store;
        store.try_read_fast(store.hit(&store.query(name.as_bytes()))?)
    }

    #[inline(never)]
    fn find_slowly<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.captured(name)?
            .map(|(captured, _)| codec::decode(self.described(captured)?))
            .transpose()
            .map_err(|error| self.with_context("get variable", name, error))
    }

    /// Turns a plain struct into a dictionary of its fields; returns any other value as it is.
    pub(crate) fn described(&self, raw: OwnedValue) -> Result<OwnedValue> {
        let Inner { store, layouts, .. } = &*self.inner;
        layouts.described(store, raw).map_err(|trouble| trouble.during("", String::new()))
    }

    /// Returns the layout with this number, or why there is none.
    pub(crate) fn layout(
        &self,
        id: u32,
    ) -> Result<std::result::Result<Arc<Layout>, Flaw>, EngineError> {
        let Inner { store, layouts, .. } = &*self.inner;
        layouts.layout(store, id)
    }

    /// Stores the layout, if the map does not have it, and returns its number.
    pub(crate) fn publish(&self, layout: &Layout) -> Result<u32, EngineError> {
        let Inner { store, layouts, facts, .. } = &*self.inner;
        layouts.publish(store, facts.file, layout)
    }

    /// Adds the layout to a value that is a plain struct.
    pub(crate) fn captured_of(&self, raw: OwnedValue) -> Result<Captured, EngineError> {
        let Inner { store, layouts, .. } = &*self.inner;
        layouts.captured_of(store, raw)
    }

    #[inline]
    pub(crate) fn captured(&self, name: &str) -> Result<Option<(OwnedValue, u64)>> {
        let read = || {
            let store = &self.inner.store;
            // The closure writes to its final place: moving the value through the results takes a
            // tenth more instructions.
            let mut captured = None;
            let query = store.query(checked(name)?);
            match (store.read_named(query, |view| captured = Some(view.capture()))?, captured) {
                (Some((_, (), version)), Some(captured)) => Ok(Some((captured?, version))),
                _ => Ok(None),
            }
        };
        self.run(read).map_err(|trouble| self.failed("get variable", name, trouble))
    }

    /// Returns the number of the kind of a variable as it is stored.
    pub(crate) fn kind(&self, name: &str) -> Result<u8> {
        let kind = || {
            let store = &self.inner.store;
            store.read_named(store.query(checked(name)?), |view| view.kind())
        };
        let found = self.run(kind).map_err(|trouble| self.failed("get variable", name, trouble))?;
        found.map(|(_, kind, _)| kind).ok_or_else(|| self.absent("get variable", name))
    }

    pub(crate) fn contains(&self, name: &str) -> Result<bool> {
        let found = self.run(|| self.resolve(name));
        Ok(found.map_err(|trouble| self.failed("find variable", name, trouble))?.is_some())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<bool> {
        let remove = || {
            let store = &self.inner.store;
            store.remove(store.query(checked(name)?))
        };
        self.run(remove).map_err(|trouble| self.failed("remove variable", name, trouble))
    }

    pub(crate) fn flush_if_dirty(&self) -> Result<()> {
        self.inner.flush_if_dirty().map_err(|trouble| trouble.during("flush", self.object()))
    }

    pub(crate) fn clear(&self) -> Result<u64> {
        let clear = || {
            let store = &self.inner.store;
            let (mut removed, mut trouble, mut timeouts) = (0, None, 0);
            store.each_record(|handle| {
                if self.is_reserved_at(handle) {
                    return true;
                }
                let met = match store.write(handle, &Raw::TOMBSTONE) {
                    Ok(wrote) => {
                        removed += u64::from(matches!(wrote, Wrote::Version(_)));
                        let removes = matches!(wrote, Wrote::Version(_) | Wrote::Absent);
                        // The record of an Atomic stays, for the next Atomic of the name. Others
                        // are collected later if that fails, but a stopped process would let each
                        // take as long.
                        let collects = removes && !handle.atomic;
                        let collected = if collects { store.collect(handle) } else { Ok(()) };
                        collected.err().filter(EngineError::is_timeout)
                    }
                    Err(met) => Some(met),
                };
                timeouts += u64::from(met.as_ref().is_some_and(EngineError::is_timeout));
                trouble = trouble.take().or(met);
                timeouts < 2
            })?;
            trouble.map_or(Ok(removed), Err)
        };
        self.run(clear).map_err(|trouble| trouble.during("clear", self.object()))
    }

    pub(crate) fn count(&self) -> Result<u64> {
        self.run(|| self.inner.store.count())
            .map_err(|trouble: EngineError| trouble.during("count variables of", self.object()))
    }

    /// Returns the number of variables, if no process changes it now or died doing so.
    pub(crate) fn count_now(&self) -> Result<Option<u64>> {
        self.run(|| self.inner.store.count_now())
            .map_err(|trouble: EngineError| trouble.during("count variables of", self.object()))
    }

    /// Whether the record's variable has a reserved name.
    fn is_reserved_at(&self, handle: Handle) -> bool {
        self.inner.store.begins_with(handle.at, RESERVED)
    }

    /// Finds the record of a variable; `None` if there is no variable of the name.
    pub(crate) fn resolve(&self, name: &str) -> Result<Option<Handle>, EngineError> {
        let store = &self.inner.store;
        let found = store.read_named(store.query(checked(name)?), |_| ())?;
        Ok(found.map(|(handle, (), _)| handle))
    }

    /// Finds the record of a variable, and creates the variable with the value `raw` if there is
    /// none.
    pub(crate) fn find_or_create(
        &self,
        name: &str,
        raw: &Raw<'_>,
        atomic: bool,
    ) -> Result<Handle, EngineError> {
        let store = &self.inner.store;
        for _ in 0..AGAIN {
            if let Some(handle) = self.resolve(name)? {
                return Ok(handle);
            }
            let query = store.query(checked(name)?);
            // A record that `insert` found, though the name was absent before, is a removed
            // variable or one that another writer has just created.
            match store.insert(query, raw, atomic)? {
                Inserted::New(handle) => return Ok(handle),
                Inserted::Found(handle) => store.revive(handle, raw, atomic)?,
            }
        }
        Err(EngineError::Contended)
    }

    pub(crate) fn flush(&self) -> Result<()> {
        // The name comes last: it could be removed during the flush.
        self.run(|| self.inner.store.flush().and_then(|()| self.named()))
            .map_err(|trouble| trouble.during("flush", self.object()))
    }

    pub(crate) fn check_name(&self) -> Result<()> {
        self.run(|| self.named()).map_err(|trouble| trouble.during("check name of", self.object()))
    }

    /// Fails with `NameRemoved` if other processes cannot find the map under its name any more.
    pub(crate) fn named(&self) -> Result<(), EngineError> {
        self.inner.named()
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        let space = self
            .run(|| self.named().and_then(|()| self.inner.store.space()))
            .map_err(|trouble| trouble.during("stat", self.object()))?;
        let facts = &self.inner.facts;
        let section = self.inner.store.mem().section();
        let allocated = section.allocated().map_err(|error| error.during("stat", self.object()))?;
        Ok(Stat {
            layout: Format::Store,
            format: layout::VERSION as u32,
            size: facts.size,
            region: space.region,
            allocated: allocated.unwrap_or(space.region),
            used: space.used,
            free: space.free,
            largest_free: space.largest_free,
            max_size: (facts.max_size != 0).then_some(facts.max_size),
            overhead: space.overhead,
            variables: self.count()?,
            file: facts.file,
            flush_failed: facts.file
                && self
                    .run(|| self.inner.store.has_failed())
                    .map_err(|trouble| trouble.during("stat", self.object()))?,
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(facts.created.min(1 << 40)),
            creator: facts.creator,
        })
    }

    pub(crate) fn close(self) -> Result<()> {
        let Self { closing, inner } = self;
        let flushed = match Arc::into_inner(closing) {
            Some(mut last) => {
                // Flush here and not in the drop of `closing`, so that errors are reported.
                last.0 = Weak::new();
                inner.remove_ephemeral();
                inner
                    .flush_if_dirty()
                    .map_err(|trouble| trouble.during("flush", inner.object.to_string()))
                    .and(inner.named_for_writing())
            }
            None => Ok(()),
        };
        match Arc::into_inner(inner) {
            Some(inner) => {
                inner.leave();
                let Inner { store, attachment, .. } = inner;
                let (unmapped, section) = store.into_mem().close();
                drop(attachment);
                flushed.and(unmapped).and(section.close())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.inner.facts.size
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.inner.store.mem().timeout()
    }

    /// The map's name in messages: `map "alpha"`, or `map file "x"`.
    pub(crate) fn object(&self) -> String {
        self.inner.object.to_string()
    }

    /// Runs an operation and returns its result.
    ///
    /// It fails in a child that was forked from the process that opened the map, and if the memory
    /// is lost. Both are checked before the operation and after it: a lost page reads as zeros, so
    /// the result of the operation would be wrong.
    pub(crate) fn run<R>(
        &self,
        operate: impl FnOnce() -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        self.usable()?;
        let done = operate();
        self.usable()?;
        done
    }

    pub(crate) fn usable(&self) -> Result<(), EngineError> {
        if self.is_usable() { Ok(()) } else { self.check_usable() }
    }

    #[cold]
    #[inline(never)]
    fn check_usable(&self) -> Result<(), EngineError> {
        // Loaded before the checks: a fork or a loss during them changes the epoch, so the next
        // call checks again.
        let epoch = machine::epoch();
        if !machine::is_generation(self.inner.generation) {
            return Err(forked());
        }
        if let Some(lost) = self.inner.store.mem().view().lost() {
            return Err(EngineError::Explained(lost));
        }
        self.inner.epoch.store(epoch.into(), Relaxed);
        Ok(())
    }

    /// Whether the map is known to be usable, by one load and one comparison. If not,
    /// [`usable`](Self::usable) checks.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        machine::is_first_epoch() || machine::is_epoch(self.inner.epoch.load(Relaxed) as u32)
    }

    /// Ends a write on the fast path: returns `done` if the map was usable until then, so that
    /// other processes see the write.
    #[inline]
    pub(crate) fn acknowledged<R>(
        &self,
        operation: &'static str,
        name: &str,
        done: R,
    ) -> Result<R> {
        if self.is_usable() {
            return Ok(done);
        }
        self.usable().map_err(|trouble| self.failed(operation, name, trouble))?;
        Ok(done)
    }

    #[cold]
    pub(crate) fn failed(
        &self,
        operation: &'static str,
        name: &str,
        trouble: EngineError,
    ) -> Error {
        trouble.during(operation, self.variable(name))
    }

    #[cold]
    pub(crate) fn with_context(&self, operation: &'static str, name: &str, error: Error) -> Error {
        error.during(operation, self.variable(name))
    }

    #[cold]
    pub(crate) fn absent(&self, operation: &'static str, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, operation, self.variable(name))
            .detail("no variable of this name; `set` makes it")
    }

    pub(crate) fn variable(&self, name: &str) -> String {
        format!("{name:?} of {}", self.inner.object)
    }
}

/// Checks a map's name at intervals, for a thread that waits for something in the map.
pub(crate) struct NameChecks(Instant);

impl NameChecks {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Checks the name if the last check was a nap (100 ms) ago.
    pub(crate) fn check(&mut self, inner: &Inner) -> Result<(), EngineError> {
        if self.0.elapsed() < NAP {
            return Ok(());
        }
        self.0 = Instant::now();
        inner.named()
    }
}

/// Converts a version to the engine's form: `None` for [`Version::ABSENT`].
pub(crate) fn which(version: Version) -> Option<Which> {
    (version != Version::ABSENT).then(|| version.into())
}

#[cold]
fn forked() -> EngineError {
    EngineError::Explained(
        Error::new(ErrorKind::Closed, "use map", "")
            .detail("this process was forked from the one that opened it; open it here"),
    )
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.inner.object).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by a panic")]
mod tests;
