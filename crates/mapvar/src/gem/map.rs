//! A map in the layout of Ruby's gem win32-mmap: one marshalled Hash at offset 0, behind a
//! semaphore.
//!
//! A gem that fails once to get the lock, after 10 ms, no longer works. So a read holds the lock
//! only for a copy, and parses it outside. A write of a small payload reads, edits and writes under
//! one lock, which takes some microseconds: beside a busy gem, whose every write changes the
//! payload, a write that released the lock in between would start over again and again. A large
//! payload is parsed, changed and encoded outside. The write then acquires the lock again and
//! compares the payload with the copy. If they differ, the operation starts over.
//!
//! Code of the user never runs under the lock. `update` computes the new value outside, and sets it
//! if the variable still has the old one.
//!
//! A process that is killed during a write leaves half a payload; nothing in this layout can
//! prevent that. Operations then fail with `Corrupt` until `clear`.

use crate::{
    gem::hold_times::Times,
    gem::report::{Clobbered, LockStat, OnClobber, Unlock, Unlocked},
    gem::value::kind_of,
    name::checked_length,
    report::{Format, Stat},
    value::{Value, codec},
};
use mapvar_engine::{
    error::EngineError,
    value::{OwnedValue, Raw},
    version::Version,
};
use mapvar_marshal::{Dump, ParseError};
use mapvar_os::{
    Access, Error, ErrorKind, Origin, Result, RubyGiven, RubyHeld, RubyLock, Section,
    SectionOptions, View, machine,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use xxhash_rust::xxh3::xxh3_128;

/// Names of operations, in error messages.
const GET: &str = "get variable";

const SET: &str = "set variable";

/// The default timeout. The gem's own 10 ms would be too short, since here a timeout is an error.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// The empty Hash.
const EMPTY: [u8; 4] = [4, 8, b'{', 0];

/// How many bytes a read copies while the length of the payload is unknown.
const FIRST_READ: usize = 16 << 10;

/// How many names of erased variables are kept for `clobbered`.
const CLOBBERED_KEPT: usize = 1024;
/// The largest payload that is edited under the lock. Parsing and encoding it takes well under a
/// millisecond.
const SMALL: usize = 64 << 10;

/// How often a corrupt payload is read again: a gem that lost its lock may still be writing it.
const ATTEMPTS: u32 = 8;

/// The map to open, and how.
pub(crate) struct Spec {
    pub(crate) section: SectionOptions,
    pub(crate) size: u64,
    /// Whether the user gave the size.
    pub(crate) sized: bool,
    pub(crate) read_only: bool,
    pub(crate) file: bool,
    pub(crate) timeout: Duration,
    pub(crate) on_clobber: OnClobber,
    pub(crate) mapping: Mapping,
    pub(crate) object: String,
}

/// How the memory is mapped.
#[derive(Clone, Copy)]
pub(crate) struct Mapping {
    pub(crate) access: Access,
    pub(crate) execute: bool,
    pub(crate) base_address: usize,
}

/// Whether the section begins with a marshalled Hash; `None` if there is no such section.
pub(crate) fn is_one(spec: &Spec) -> Option<bool> {
    let section = spec.section.clone().protection(mapvar_os::Protection::ReadOnly).open().ok()?;
    let read = || -> Result<bool> {
        if section.size()? < EMPTY.len() as u64 {
            return Ok(false);
        }
        let mut head = [0; 3];
        section.view().len(4).access(Access::Read).map()?.read_at(0, &mut head)?;
        Ok(is_hash(&head))
    };
    Some(read().unwrap_or(false))
}

fn is_hash(bytes: &[u8]) -> bool {
    bytes.starts_with(&[4, 8, b'{']) || bytes.starts_with(&[4, 8, b'}'])
}

/// See [`crate::MapOptions::unlock`].
pub(crate) fn unlock(spec: &Spec, whose: Unlock) -> Result<Unlocked> {
    let section = spec.section.open()?;
    let held = RubyLock::of(&section)?.unlock(whose == Unlock::Any)?;
    Ok(if held { Unlocked::Freed } else { Unlocked::WasFree })
}

/// A shared handle. The last handle of a file flushes it.
#[derive(Clone)]
pub(crate) struct Gem(Arc<Opened>);

pub(crate) struct Opened {
    view: View,
    section: Section,
    lock: RubyLock,
    /// The most bytes that a payload may have.
    limit: usize,
    read_only: bool,
    file: bool,
    timeout: Duration,
    on_clobber: OnClobber,
    pub(crate) object: String,
    generation: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The variables that this map has set, unless `on_clobber` is `Accept`.
    mine: BTreeMap<String, Mine>,
    /// The number of writes of this map.
    writes: u64,
    /// How many bytes a read copies: an estimate of the payload's length, with some to spare.
    guess: usize,
    dirty: bool,
    erased: u64,
    names: VecDeque<String>,
    times: Times,
    recovered: u64,
    broken: u64,
}

struct Mine {
    dump: Vec<u8>,
    /// The number of the write that stored it.
    write: u64,
    /// Whether a read has found it erased.
    gone: bool,
}

/// The content of the memory.
enum Content {
    Hash(Dump),
    /// Raw bytes, written by `write_string` or by a gem.
    Raw,
}

/// A copy of the memory's first bytes.
struct Seen {
    bytes: Vec<u8>,
    content: Content,
    /// How many writes of this map came before the copy.
    writes: u64,
}

/// The effect of an edit on the variables.
enum Edit {
    /// The map stays unchanged.
    None,
    Set(String),
    Removed(String),
}

impl Gem {
    /// Creates a map with an empty Hash: a gem that finds zeros never releases the lock.
    pub(crate) fn create(spec: &Spec) -> Result<Self> {
        let refuse =
            |detail: &str| Err(Error::new(ErrorKind::InvalidArgument, "create", "").detail(detail));
        if spec.read_only {
            return refuse(
                "a new map opened for reading only would stay empty; remove `read_only`",
            );
        }
        if spec.size < EMPTY.len() as u64 {
            return refuse("the empty Hash takes 4 bytes; give a size of at least that");
        }
        let options = spec.section.clone().size(spec.size);
        let (section, lock) =
            RubyLock::create(&options, spec.timeout, |view| view.write_at(0, &EMPTY))?;
        Self::over(spec, section, lock, spec.size)
    }

    /// Opens a map. With `lengthen`, a file that is shorter than the size grows to it, as with a
    /// gem.
    pub(crate) fn open(spec: &Spec, lengthen: bool) -> Result<Self> {
        let section = spec.section.open()?;
        let size = section.size()?;
        let lock = RubyLock::of(&section)?;
        if !spec.sized || spec.size <= size {
            // A file has its exact length. A section is rounded up to whole pages: there the size
            // that the user gave is the limit.
            let limit = if spec.sized && !spec.file { spec.size } else { size };
            return Self::over(spec, section, lock, limit);
        }
        if !(lengthen && spec.file && !spec.read_only) {
            return Err(Error::new(ErrorKind::TooLarge, "", "").detail(format!(
                "a size of {} bytes was requested, and it has {size}; request no more, or remove the \
                 size",
                spec.size
            )));
        }
        section.grow(spec.size)?;
        let gem = Self::over(spec, section, lock, spec.size)?;
        if size == 0 {
            gem.clear()?;
        }
        Ok(gem)
    }

    fn over(spec: &Spec, section: Section, lock: RubyLock, limit: u64) -> Result<Self> {
        let Mapping { access, execute, base_address } = spec.mapping;
        let view =
            section.view().access(access).execute(execute).base_address(base_address).map()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(view.len());
        Ok(Self(Arc::new(Opened {
            view,
            section,
            lock,
            limit,
            read_only: spec.read_only,
            file: spec.file,
            timeout: spec.timeout,
            on_clobber: spec.on_clobber,
            object: spec.object.clone(),
            generation: machine::generation(),
            state: Mutex::new(State { guess: FIRST_READ, ..State::default() }),
        })))
    }

    // --- Variables -------------------------------------------------------------------------------

    pub(crate) fn set(&self, name: &str, value: impl Serialize) -> Result<()> {
        self.put(SET, name, codec::encode(&value, &mut |raw: &Raw<'_>| OwnedValue::of(raw)))
    }

    fn put(&self, operation: &'static str, name: &str, captured: Result<OwnedValue>) -> Result<()> {
        let with_context = |error: Error| error.during(operation, self.variable(name));
        checked_length(name).map_err(|trouble| trouble.during(operation, self.variable(name)))?;
        let value = captured.and_then(codec::decode).map_err(with_context)?;
        self.change(|dump| {
            set(dump, name, &value)?;
            Ok((Edit::Set(name.into()), ()))
        })
        .map_err(with_context)
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.find(name)?.ok_or_else(|| self.absent(name))
    }

    pub(crate) fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.captured(name)?
            .map(codec::decode)
            .transpose()
            .map_err(|error| error.during(GET, self.variable(name)))
    }

    /// Returns the value of a variable as a Marshal dump of its own.
    pub(crate) fn marshal(&self, name: &str) -> Result<Vec<u8>> {
        let with_context = |error: Error| error.during(GET, self.variable(name));
        self.inspect(GET, name, |dump| bytes(dump, name))?
            .map_err(with_context)?
            .ok_or_else(|| self.absent(name))
    }

    fn captured(&self, name: &str) -> Result<Option<OwnedValue>> {
        let found = self.inspect(GET, name, |dump| value(dump, name))?;
        found
            .and_then(|found| found.as_ref().map(captured).transpose())
            .map_err(|error| error.during(GET, self.variable(name)))
    }

    pub(crate) fn contains(&self, name: &str) -> Result<bool> {
        self.inspect("find variable", name, |dump| dump.contains(name))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<bool> {
        const REMOVE: &str = "remove variable";
        checked_length(name).map_err(|trouble| trouble.during(REMOVE, self.variable(name)))?;
        self.change(|dump| {
            let there = dump.remove(name).map_err(flawed)?;
            Ok((Edit::Removed(name.into()), there))
        })
        .map_err(|error| error.during(REMOVE, self.variable(name)))
    }

    /// Replaces a value by the result of `change`, which runs without the lock; `None` if `change`
    /// returns `None`.
    pub(crate) fn try_update<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<T>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        const UPDATE: &str = "update variable";
        checked_length(name).map_err(|trouble| trouble.during(UPDATE, self.variable(name)))?;
        let with_context = |error: Error| error.during(UPDATE, self.variable(name));
        let deadline = Instant::now().checked_add(self.0.timeout);
        loop {
            let (old, before) = self.find_with_bytes(name).map_err(with_context)?;
            let Some(new) = change(old)? else { return Ok(None) };
            if self.put_if_still(name, before.as_deref(), &new).map_err(with_context)? {
                return Ok(Some(new));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(with_context(contended()).into());
            }
        }
    }

    fn find_with_bytes<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<(Option<T>, Option<Vec<u8>>)> {
        self.writable()?;
        let dump = self.read()?;
        let old = value(&dump, name)?.as_ref().map(captured).transpose()?;
        Ok((old.map(codec::decode).transpose()?, bytes(&dump, name)?))
    }

    /// Sets a variable if its bytes are still `before`; returns whether they were.
    fn put_if_still(
        &self,
        name: &str,
        before: Option<&[u8]>,
        new: &impl Serialize,
    ) -> Result<bool> {
        let raw = codec::encode(new, &mut |raw: &Raw<'_>| OwnedValue::of(raw))?;
        let value: Value = codec::decode(raw)?;
        self.change(|dump| {
            if bytes(dump, name)?.as_deref() != before {
                return Ok((Edit::None, false));
            }
            set(dump, name, &value)?;
            Ok((Edit::Set(name.into()), true))
        })
    }

    // --- Versions --------------------------------------------------------------------------------

    pub(crate) fn version(&self, name: &str) -> Result<Version> {
        self.inspect("get the version of variable", name, |dump| version(dump, name))
    }

    pub(crate) fn find_versioned<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<(Option<T>, Version)> {
        let with_context = |error: Error| error.during(GET, self.variable(name));
        let (value, version) = self.value_versioned(name)?;
        let captured = value.as_ref().map(captured).transpose().map_err(with_context)?;
        Ok((captured.map(codec::decode).transpose().map_err(with_context)?, version))
    }

    fn value_versioned(&self, name: &str) -> Result<(Option<Value>, Version)> {
        let read = |dump: &Dump| value(dump, name).map(|value| (value, version(dump, name)));
        self.inspect(GET, name, read)?.map_err(|error| error.during(GET, self.variable(name)))
    }

    /// Sets a variable if it has the expected version, else returns its version as the inner `Err`.
    pub(crate) fn set_if(
        &self,
        name: &str,
        expected: Version,
        captured: Result<OwnedValue>,
    ) -> Result<std::result::Result<Version, Version>> {
        let with_context = |error: Error| error.during(SET, self.variable(name));
        checked_length(name).map_err(|trouble| trouble.during(SET, self.variable(name)))?;
        let value = captured.and_then(codec::decode).map_err(with_context)?;
        self.change(|dump| {
            let there = version(dump, name);
            if there != expected {
                return Ok((Edit::None, Err(there)));
            }
            set(dump, name, &value)?;
            Ok((Edit::Set(name.into()), Ok(version(dump, name))))
        })
        .map_err(with_context)
    }

    // --- All variables ---------------------------------------------------------------------------

    /// Returns all variables whose names have the prefix, as of one instant.
    pub(crate) fn all(&self, prefix: &str) -> Result<Vec<(String, Result<OwnedValue>)>> {
        let dump = self.read().map_err(|error| error.during("list variables of", self.object()))?;
        let names = with_prefix(&dump, prefix);
        let all = names.into_iter().filter_map(|name| {
            let with_context = |error: Error| error.during(GET, self.variable(&name));
            let found = value(&dump, &name).transpose()?;
            let captured = found.and_then(|found| captured(&found)).map_err(with_context);
            Some((name, captured))
        });
        Ok(all.collect())
    }

    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let dump = self.read().map_err(|error| error.during("list variables of", self.object()))?;
        Ok(with_prefix(&dump, prefix))
    }

    /// Returns some variables as of one instant.
    pub(crate) fn captured_all(
        &self,
        names: &[&str],
    ) -> Result<Vec<Option<(OwnedValue, Version)>>> {
        const SNAPSHOT: &str = "take a snapshot of";
        let dump = self.read().map_err(|error| error.during(SNAPSHOT, self.object()))?;
        let read = |name: &&str| -> Result<_> {
            let captured = value(&dump, name)?.as_ref().map(captured).transpose()?;
            Ok(captured.map(|captured| (captured, version(&dump, name))))
        };
        names
            .iter()
            .map(read)
            .collect::<Result<_>>()
            .map_err(|error| error.during(SNAPSHOT, self.object()))
    }

    pub(crate) fn count(&self) -> Result<u64> {
        let dump =
            self.read().map_err(|error| error.during("count variables of", self.object()))?;
        Ok(dump.len() as u64)
    }

    /// Removes all variables. Raw bytes and a corrupt payload are replaced too.
    pub(crate) fn clear(&self) -> Result<u64> {
        self.overwrite(&EMPTY, true).map_err(|error| error.during("clear", self.object()))
    }

    // --- Bytes -----------------------------------------------------------------------------------

    pub(crate) fn read_string(&self, len: usize) -> Result<Vec<u8>> {
        let read = || {
            if len > self.0.view.len() {
                return Err(Error::new(ErrorKind::TooLarge, "", "")
                    .detail(format!("{len} bytes of {}; read fewer", self.0.view.len())));
            }
            self.copy(len).map(|(bytes, _)| bytes)
        };
        read().map_err(|error| error.during("read raw bytes of", self.object()))
    }

    pub(crate) fn write_string(&self, bytes: &[u8]) -> Result<()> {
        self.overwrite(bytes, false)
            .map(drop)
            .map_err(|error| error.during("write raw bytes to", self.object()))
    }

    /// Overwrites the payload. With `count`, returns how many variables it held.
    fn overwrite(&self, bytes: &[u8], count: bool) -> Result<u64> {
        self.writable()?;
        self.fits(bytes.len())?;
        let before = if count {
            match self.see().map(|seen| seen.content) {
                Ok(Content::Hash(dump)) => dump.len() as u64,
                Ok(Content::Raw) => 0,
                Err(error) if error.kind() == ErrorKind::Corrupt => 0,
                Err(error) => return Err(error),
            }
        } else {
            0
        };
        for _ in 0..ATTEMPTS {
            let held = self.take()?;
            self.0.view.write_at(0, bytes)?;
            let mut state = self.state();
            state.mine.clear();
            state.writes += 1;
            state.dirty = true;
            drop(state);
            if self.give(held)?.exclusive {
                return Ok(before);
            }
        }
        Err(Error::new(ErrorKind::Contended, "", "").detail(
            "programs without the lock wrote at each attempt, and may have overwritten it; read \
             it, and write it again",
        ))
    }

    // --- Facts -----------------------------------------------------------------------------------

    pub(crate) fn origin(&self) -> Origin {
        self.0.section.origin()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    pub(crate) fn size(&self) -> u64 {
        self.0.limit as u64
    }

    pub(crate) fn address(&self) -> usize {
        self.0.view.as_ptr().addr()
    }

    pub(crate) fn object(&self) -> String {
        self.0.object.clone()
    }

    pub(crate) fn check_name(&self) -> Result<()> {
        self.usable()
            .and_then(|()| self.0.section.check_name())
            .map_err(|error| error.during("check name of", self.object()))
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        let named = self.0.section.check_name().and_then(|()| self.read());
        let dump = named.map_err(|error| error.during("stat", self.object()))?;
        let (used, limit) = (dump.encode().len() as u64, self.0.limit as u64);
        let free = limit.saturating_sub(used);
        let region = self.0.view.len() as u64;
        let allocated = self.0.section.allocated();
        let allocated = allocated.map_err(|error| error.during("stat", self.object()))?;
        Ok(Stat {
            layout: Format::Marshal,
            format: 408,
            size: limit,
            region,
            allocated: allocated.unwrap_or(region),
            used,
            free,
            largest_free: free,
            max_size: Some(limit),
            overhead: 0,
            variables: dump.len() as u64,
            file: self.0.file,
            flush_failed: false,
            created: SystemTime::UNIX_EPOCH,
            creator: 0,
        })
    }

    /// Returns the number of variables, or as `Err` the reason why the payload holds none.
    pub(crate) fn examine(&self) -> Result<std::result::Result<u64, String>> {
        match self.see() {
            Ok(Seen { content: Content::Hash(dump), .. }) => Ok(Ok(dump.len() as u64)),
            Ok(_) => Ok(Err(RAW.into())),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Err(error.to_string())),
            Err(error) => Err(error.during("check", self.object())),
        }
    }

    // In a child after `fork`, another thread of the parent may own `state` for ever: nothing locks it
    // before `usable`.

    pub(crate) fn clobbered(&self) -> Result<Clobbered> {
        self.usable().map_err(|error| error.during("get erasures of", self.object()))?;
        let mut state = self.state();
        Ok(Clobbered { count: state.erased, names: state.names.drain(..).collect() })
    }

    pub(crate) fn lock_stat(&self) -> Result<LockStat> {
        self.usable().map_err(|error| error.during("get lock statistics of", self.object()))?;
        let state = self.state();
        Ok(LockStat {
            taken: state.times.count,
            recovered: state.recovered,
            broken: state.broken,
            median: state.times.below(50),
            p99: state.times.below(99),
            longest: state.times.longest,
        })
    }

    pub(crate) fn flush(&self) -> Result<()> {
        self.usable()
            .and_then(|()| self.0.flush())
            .and_then(|()| self.0.section.check_name())
            .map_err(|error| error.during("flush", self.object()))
    }

    pub(crate) fn flush_if_dirty(&self) -> Result<()> {
        self.0.flush_if_dirty().map_err(|error| error.during("flush", self.object()))
    }

    pub(crate) fn close(self) -> Result<()> {
        let object = self.object();
        match Arc::into_inner(self.0) {
            Some(inner) => {
                let flushed = inner.flush_if_dirty();
                let flushed = flushed.map_err(|error| error.during("flush", object.clone()));
                // A handle for reading set nothing that a removed name could lose.
                if inner.read_only || !machine::is_generation(inner.generation) {
                    return flushed;
                }
                let named = inner.section.check_name();
                flushed.and(named.map_err(|error| error.during("close", object)))
            }
            None => Ok(()),
        }
    }

    // --- Reading ---------------------------------------------------------------------------------

    fn inspect<R>(
        &self,
        operation: &'static str,
        name: &str,
        read: impl FnOnce(&Dump) -> R,
    ) -> Result<R> {
        let with_context = |error: Error| error.during(operation, self.variable(name));
        checked_length(name)
            .map_err(|trouble: EngineError| trouble.during(operation, self.variable(name)))?;
        self.read().map(|dump| read(&dump)).map_err(with_context)
    }

    /// Reads all variables.
    pub(crate) fn read(&self) -> Result<Dump> {
        let seen = self.see()?;
        let Content::Hash(dump) = seen.content else { return Err(raw()) };
        self.compare(&dump, seen.writes)?;
        Ok(dump)
    }

    fn see(&self) -> Result<Seen> {
        self.usable()?;
        let mut torn = None;
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let guess = self.state().guess.min(self.0.view.len());
            let (bytes, writes) = self.copy(guess)?;
            match parse(&bytes) {
                Ok(content) => return Ok(Seen { bytes, content, writes }),
                // The payload may only be longer than the copy.
                Err(_) if guess < self.0.view.len() => {
                    self.state().guess = guess.saturating_mul(4);
                }
                Err(what) => {
                    torn = Some(what);
                    attempts += 1;
                    machine::nap(Duration::from_millis(1));
                }
            }
        }
        Err(Error::new(ErrorKind::Corrupt, "", "").detail(format!(
            "the Hash is invalid: {}; its writer was killed, or wrote without the lock; `clear` \
             (of a Win32::MMap `variables.clear`) makes the map anew",
            torn.unwrap_or_default()
        )))
    }

    /// Copies the first `len` bytes under the lock. Returns them, and how many writes of this map
    /// came before the copy.
    fn copy(&self, len: usize) -> Result<(Vec<u8>, u64)> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| {
            Error::new(ErrorKind::NoSpace, "", "").detail("no memory for a copy; free some")
        })?;
        bytes.resize(len, 0);
        for _ in 0..ATTEMPTS {
            let held = self.take()?;
            self.0.view.read_at(0, &mut bytes)?;
            let writes = self.state().writes;
            if self.give(held)?.exclusive {
                return Ok((bytes, writes));
            }
        }
        // Other processes keep releasing a lock that they do not own, so each copy may be torn. The
        // last one is parsed all the same.
        let writes = self.state().writes;
        Ok((bytes, writes))
    }

    // --- Writing ---------------------------------------------------------------------------------

    /// Applies `edit` to the variables. If another process wrote meanwhile, `edit` is called again
    /// on the new payload, so that no write of another process is lost. `edit` may run under the
    /// lock.
    fn change<R>(&self, mut edit: impl FnMut(&mut Dump) -> Result<(Edit, R)>) -> Result<R> {
        self.writable()?;
        let deadline = Instant::now().checked_add(self.0.timeout);
        loop {
            let attempt = match self.change_at_once(&mut edit)? {
                Some(attempt) => attempt,
                None => self.change_a_copy(&mut edit)?,
            };
            let Attempt { result, edit, dump, wrote } = attempt;
            match wrote {
                Wrote::Done => return Ok(result),
                // Another process released our lock, and may have written at the same time. If the
                // edit is in the payload, that did no harm.
                Wrote::Broken if self.is_there(&dump, &edit)? => return Ok(result),
                Wrote::Broken | Wrote::Changed => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(contended());
            }
        }
    }

    /// Reads, edits and writes under one lock. Returns `None` if the payload is too large for that,
    /// or invalid.
    fn change_at_once<R>(
        &self,
        edit: &mut impl FnMut(&mut Dump) -> Result<(Edit, R)>,
    ) -> Result<Option<Attempt<R>>> {
        let guess = self.state().guess.min(self.0.view.len());
        if guess > SMALL {
            return Ok(None);
        }
        let mut bytes = vec![0; guess];
        let held = self.take()?;
        // The end of `held` releases the lock, after each error.
        self.0.view.read_at(0, &mut bytes)?;
        let writes = self.state().writes;
        let mut dump = match parse(&bytes) {
            Ok(Content::Hash(dump)) => dump,
            Ok(Content::Raw) => return Err(raw()),
            Err(_) => return Ok(None),
        };
        self.compare(&dump, writes)?;
        self.reassert(&mut dump, writes)?;
        let (edit, result) = edit(&mut dump)?;
        if let Edit::None = edit {
            self.give(held)?;
            return Ok(Some(Attempt { result, edit, dump, wrote: Wrote::Done }));
        }
        let new = dump.encode();
        self.fits(new.len())?;
        self.0.view.write_at(0, &new)?;
        self.acknowledge(&dump, &edit, new.len());
        let wrote = Wrote::of(self.give(held)?);
        Ok(Some(Attempt { result, edit, dump, wrote }))
    }

    /// Edits a copy without the lock, and writes it if the payload is still the copied one.
    fn change_a_copy<R>(
        &self,
        edit: &mut impl FnMut(&mut Dump) -> Result<(Edit, R)>,
    ) -> Result<Attempt<R>> {
        let Seen { bytes, content, writes } = self.see()?;
        let Content::Hash(mut dump) = content else { return Err(raw()) };
        self.compare(&dump, writes)?;
        self.reassert(&mut dump, writes)?;
        let (edit, result) = edit(&mut dump)?;
        let wrote = if let Edit::None = edit {
            Wrote::Done
        } else {
            let new = dump.encode();
            self.fits(new.len())?;
            self.replace(&bytes, &new, &dump, &edit)?
        };
        Ok(Attempt { result, edit, dump, wrote })
    }

    fn replace(&self, old: &[u8], new: &[u8], dump: &Dump, edit: &Edit) -> Result<Wrote> {
        let mut now = vec![0; old.len()];
        let held = self.take()?;
        self.0.view.read_at(0, &mut now)?;
        if now != old {
            self.give(held)?;
            return Ok(Wrote::Changed);
        }
        self.0.view.write_at(0, new)?;
        self.acknowledge(dump, edit, new.len());
        Ok(Wrote::of(self.give(held)?))
    }

    /// Records a write. Called under the lock, so that write numbers follow the order of the
    /// writes.
    fn acknowledge(&self, dump: &Dump, edit: &Edit, len: usize) {
        let mut state = self.state();
        state.writes += 1;
        state.dirty = true;
        // Not the largest of all times: a payload that is small again is edited under the lock.
        state.guess = len.saturating_mul(2).max(FIRST_READ).min(self.0.view.len());
        if self.0.on_clobber == OnClobber::Accept {
            return;
        }
        let write = state.writes;
        match edit {
            Edit::Set(name) => {
                // `dump_of` succeeds for a value that was just set.
                if let Ok(Some(dump)) = dump.dump_of(name) {
                    state.mine.insert(name.clone(), Mine { dump, write, gone: false });
                }
            }
            Edit::Removed(name) => drop(state.mine.remove(name)),
            Edit::None => {}
        }
        // `reassert` has put the erased variables back with this write.
        for mine in state.mine.values_mut().filter(|mine| mine.gone) {
            (mine.gone, mine.write) = (false, write);
        }
    }

    fn is_there(&self, dump: &Dump, edit: &Edit) -> Result<bool> {
        let now = match self.see() {
            Ok(Seen { content: Content::Hash(now), .. }) => now,
            Ok(_) => return Err(raw()),
            // Two processes wrote at once, and half of each payload may be there. Our copy is
            // whole, so it is written again.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let held = self.take()?;
                self.0.view.write_at(0, &dump.encode())?;
                self.give(held)?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        Ok(match edit {
            Edit::Set(name) => now.dump_of(name) == dump.dump_of(name),
            Edit::Removed(name) => !now.contains(name),
            Edit::None => true,
        })
    }

    // --- What others erase -----------------------------------------------------------------------

    /// Finds the variables of this map that another program has erased. Fails if there are any and
    /// `on_clobber` is `Error`.
    fn compare(&self, dump: &Dump, writes: u64) -> Result<()> {
        if self.0.on_clobber == OnClobber::Accept {
            return Ok(());
        }
        let mut guard = self.state();
        let state = &mut *guard;
        let mut erased = Vec::new();
        for (name, mine) in &mut state.mine {
            if mine.write <= writes && !mine.gone && !dump.contains(name) {
                mine.gone = true;
                erased.push(name.clone());
            }
        }
        state.erased += erased.len() as u64;
        state.names.extend(erased.iter().cloned());
        let over = state.names.len().saturating_sub(CLOBBERED_KEPT);
        state.names.drain(..over);
        if erased.is_empty() || self.0.on_clobber != OnClobber::Error {
            return Ok(());
        }
        state.mine.retain(|_, mine| !mine.gone);
        drop(guard);
        Err(Error::new(ErrorKind::TakenAway, "", "").detail(format!(
            "another program has erased what this map had set: {}; set it again, or open with \
             OnClobber::Reassert",
            erased.join(", ")
        )))
    }

    fn reassert(&self, dump: &mut Dump, writes: u64) -> Result<()> {
        for (name, mine) in self.state().mine.iter().filter(|(_, mine)| mine.gone) {
            if mine.write <= writes && !dump.contains(name) {
                dump.set_dump(name, &mine.dump).map_err(flawed)?;
            }
        }
        Ok(())
    }

    // --- The lock --------------------------------------------------------------------------------

    fn take(&self) -> Result<RubyHeld<'_>> {
        let held = self.0.lock.take(self.0.timeout)?;
        if held.recovered() {
            self.state().recovered += 1;
        }
        Ok(held)
    }

    fn give(&self, held: RubyHeld<'_>) -> Result<RubyGiven> {
        let given = held.give()?;
        let mut state = self.state();
        state.times.add(given.held);
        state.broken += u64::from(!given.exclusive);
        Ok(given)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- Refusals --------------------------------------------------------------------------------

    fn usable(&self) -> Result<()> {
        if machine::is_generation(self.0.generation) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Closed, "", "")
            .detail("this process was forked from the one that opened it; open it here"))
    }

    fn writable(&self) -> Result<()> {
        self.usable()?;
        if !self.0.read_only {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ReadOnly, "", "")
            .detail("the map was opened for reading; open it without `read_only`"))
    }

    fn fits(&self, len: usize) -> Result<()> {
        if len <= self.0.limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge, "", "").detail(format!(
            "it would take {len} bytes, and the map has {}, which cannot grow; remove variables, or \
             make it with a larger size",
            self.0.limit
        )))
    }

    fn absent(&self, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, GET, self.variable(name))
            .detail("no variable of this name; `set` makes it")
    }

    fn variable(&self, name: &str) -> String {
        format!("{name:?} of {}", self.0.object)
    }
}

/// One attempt to apply an edit.
struct Attempt<R> {
    result: R,
    edit: Edit,
    /// The variables after the edit.
    dump: Dump,
    wrote: Wrote,
}

enum Wrote {
    Done,
    /// Another process wrote after the copy was made.
    Changed,
    /// Another process may have written at the same time.
    Broken,
}

impl Wrote {
    fn of(given: RubyGiven) -> Self {
        if given.exclusive { Self::Done } else { Self::Broken }
    }
}

fn contended() -> Error {
    Error::new(ErrorKind::Contended, "", "")
        .detail("other processes changed the map at each attempt; try again")
}

const RAW: &str = "it holds raw bytes and no variables; `read_string` reads them, `clear` (of a \
                   Win32::MMap `variables.clear`) makes an empty map of it";

fn raw() -> Error {
    Error::new(ErrorKind::NotAMap, "", "").detail(RAW)
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` gives it")]
fn flawed(flaw: ParseError) -> Error {
    Error::new(kind_of(&flaw), "", "")
        .detail(format!("it cannot be written as Ruby's Marshal: {flaw}"))
}

fn set(dump: &mut Dump, name: &str, value: &Value) -> Result<()> {
    dump.set(name, value).map_err(flawed)
}

fn with_prefix(dump: &Dump, prefix: &str) -> Vec<String> {
    dump.names().filter(|name| name.starts_with(prefix)).map(String::from).collect()
}

/// Returns the value of a variable, or `None` if there is no such variable.
fn value(dump: &Dump, name: &str) -> Result<Option<Value>> {
    dump.value(name).map_err(|_| tangled())
}

/// Returns the bytes of a variable's value, or `None` if there is no such variable.
fn bytes(dump: &Dump, name: &str) -> Result<Option<Vec<u8>>> {
    dump.dump_of(name).map_err(|_| tangled())
}

fn tangled() -> Error {
    Error::new(ErrorKind::TooLarge, "", "").detail(
        "a copy of it needs more memory than this process has, or is larger than the whole map, since \
         its objects contain each other; it is kept as it is",
    )
}

/// Returns a version made from a hash of the value's bytes: the layout itself counts no changes.
fn version(dump: &Dump, name: &str) -> Version {
    let Ok(Some(bytes)) = dump.dump_of(name) else {
        return Version::ABSENT;
    };
    let hash = xxh3_128(&bytes);
    // `| 1`: never `Version::ABSENT`.
    Version::from(((hash >> 64) as u64 | 1, hash as u64))
}

fn captured(value: &Value) -> Result<OwnedValue> {
    codec::encode(value, &mut |raw: &Raw<'_>| OwnedValue::of(raw))
}

/// Tells a Hash from raw bytes. Fails if the bytes begin as a Hash but are not a valid one.
fn parse(bytes: &[u8]) -> Result<Content, String> {
    if is_hash(bytes) {
        return Dump::parse(bytes).map(Content::Hash).map_err(|flaw| flaw.to_string());
    }
    // No process has written to the memory yet.
    if bytes.iter().take(EMPTY.len()).all(|byte| *byte == 0) {
        return Ok(Content::Hash(Dump::new()));
    }
    Ok(Content::Raw)
}

impl Opened {
    fn flush(&self) -> Result<()> {
        if self.file && !self.read_only {
            self.view.flush_durable(0..self.view.len())?;
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).dirty = false;
        Ok(())
    }

    fn flush_if_dirty(&self) -> Result<()> {
        if !machine::is_generation(self.generation) {
            return Ok(());
        }
        let dirty = self.state.lock().unwrap_or_else(PoisonError::into_inner).dirty;
        if dirty { self.flush() } else { Ok(()) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // A drop cannot report an error; `close` does.
        let _ = self.flush_if_dirty();
    }
}
