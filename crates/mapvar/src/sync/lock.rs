//! Named locks for the user's own critical sections: `docs/FORMAT.md`, "Locks of users".
//!
//! A lock is a variable that holds the queue of its owners and waiters. Each step is one
//! compare-and-set of that variable. So a death between any two instructions leaves the queue as it
//! was before the step, or as it is after it. The kernel reports whether the process of an entry is
//! alive, by the seat that the entry names.

use crate::{
    Map,
    map::store_map::{NameChecks, Stored, which},
    name::RESERVED,
    sync::queue::{Acquired, Entry, Lost, Queue, now},
    value::codec,
};
#[cfg(feature = "stream")]
use mapvar_engine::record::wait::Arming;
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    layout,
    mem::Ordering::Relaxed,
    mem::{Mem, Private},
    record::wait::{NAP, Observed},
    value::Raw,
    variable::follow::Followed,
    variable::named::AGAIN,
    version::Version,
};
use mapvar_os::{Error, ErrorKind, Holder, Result, machine};
use std::{
    cell::OnceCell,
    fmt,
    marker::PhantomData,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

/// An owner of a lock, or a waiter for it; from [`Lock::claims`].
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-claim.{}", std::process::id())).create()?;
/// let lock = map.lock("jobs")?;
/// let guard = lock.acquire()?;
/// let claims = lock.claims()?;
/// assert!(claims[0].held && claims[0].alive);
/// assert_eq!(claims[0].holder.pid, std::process::id());
/// guard.release()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The process, and since when it owns the lock or waits.
    pub holder: Holder,
    /// Whether it owns the lock; otherwise it waits.
    pub held: bool,
    /// Whether the claim is a shared one.
    pub shared: bool,
    /// Whether its process is alive. The next process that tries to acquire the lock removes the
    /// claims of dead processes.
    pub alive: bool,
}

/// Whether a lock excludes all other owners, or exclusive ones only; for [`Lock::queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockMode {
    /// There is no other owner.
    Exclusive,
    /// There may be other shared owners.
    Shared,
}

/// A named lock of a map; from [`Map::lock`].
///
/// The lock is exclusive or shared, across all processes of the map; its owner is a thread. Waiters
/// acquire it in order of arrival, and shared waiters acquire it together. A waiter that could take
/// the lock but does not for 100 ms (its process is stopped) may be passed by the next one. A
/// stopped owner keeps the lock. A dead owner is replaced, and the next exclusive owner learns of it
/// from [`LockGuard::acquired`]; shared owners before it learn of the death of an exclusive owner.
///
/// An uncontended lock costs some hundred nanoseconds. It is for critical sections over several
/// variables, files or devices; a single variable needs none: see [`Map::update`]. The lock is
/// advisory: `set` and all other operations of the map ignore it.
///
/// `Lock` is cheap to clone, `Send` and `Sync`, and keeps the map open.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-lock.{}", std::process::id())).create()?;
/// use mapvar::lock::Acquired;
///
/// let jobs = map.lock("jobs")?;
/// let guard = jobs.acquire()?;
/// if let Acquired::Abandoned(dead) = guard.acquired() {
///     println!("{dead} died while it owned the lock: check the jobs");
/// }
/// guard.release()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone)]
pub struct Lock {
    pub(super) map: Stored,
    name: Arc<str>,
    variable: Arc<str>,
}

/// RAII guard for a [`Lock`] owned by this thread.
///
/// [`release`](Self::release) releases the lock, as do dropping the guard and the end of its
/// process. A leaked guard keeps the lock until its process ends or closes the map.
///
/// The guard is not `Send`: the thread that acquired the lock releases it. [`OwnedLockGuard`] is `Send`.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-guard.{}", std::process::id())).create()?;
/// let guard = map.lock("jobs")?.acquire()?;
/// assert_eq!(guard.lock().name(), "jobs");
/// guard.release()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[must_use = "dropping it releases the lock"]
pub struct LockGuard {
    held: OwnedLockGuard,
    _thread: PhantomData<*const ()>,
}

/// A [`LockGuard`] that is `Send`: any thread may release it.
///
/// It is made from a `LockGuard`, for tasks that move between threads and for other languages.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-held.{}", std::process::id())).create()?;
/// let held = mapvar::lock::OwnedLockGuard::from(map.lock("jobs")?.acquire()?);
/// std::thread::spawn(move || held.release()).join().unwrap()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[must_use = "dropping it releases the lock"]
pub struct OwnedLockGuard {
    lock: Lock,
    ticket: u64,
    outcome: Acquired,
    /// The notice that `outcome` reports, to put back if no program sees it.
    lost: Option<Lost>,
    released: AtomicBool,
}

/// A waiter's entry in the queue of a [`Lock`]; from [`Lock::queue`]. Dropping it removes the
/// entry.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-queue.{}", std::process::id())).create()?;
/// use mapvar::lock::LockMode;
/// use std::time::Duration;
///
/// let mut ticket = map.lock("jobs")?.queue(LockMode::Exclusive)?;
/// let held = loop {
///     match ticket.wait(Duration::from_millis(100)) {
///         // Its entry stays in the queue: check for an interrupt here.
///         Err(error) if error.kind() == mapvar::ErrorKind::TimedOut => {}
///         held => break held?,
///     }
/// };
/// held.release()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[must_use = "dropping it leaves the queue"]
pub struct LockTicket {
    lock: Lock,
    mine: Entry,
    ready: Option<OwnedLockGuard>,
    /// The lock was acquired through this entry.
    acquired: bool,
    /// Here, since `wait` may be called for slices that are shorter than its intervals.
    patience: Patience,
}

/// What a waiter remembers between two looks at the queue.
pub(super) struct Patience {
    names: NameChecks,
    /// The waiters before it since the time, if the first of them could take the lock and does not.
    idle: Vec<u64>,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { names: NameChecks::new(), idle: Vec::new(), since: Instant::now() }
    }

    /// Notes the idle waiters; returns whether this one may pass them.
    fn has_ended(&mut self, idle: Vec<u64>) -> bool {
        if self.idle != idle {
            (self.idle, self.since) = (idle, Instant::now());
        }
        // 100 ms for each idle waiter before this one. Otherwise all waiters behind the first idle
        // one would lose patience at the same moment and overtake each other.
        let patience = NAP.saturating_mul(u32::try_from(self.idle.len()).unwrap_or(u32::MAX));
        !self.idle.is_empty() && self.since.elapsed() >= patience
    }
}

/// What a waiter finds in the queue.
pub(super) enum Look {
    /// The lock is its own.
    Owned(LockGuard),
    /// Others are before it.
    Blocked {
        /// The queue's record and state, to wait for a change of.
        at: Option<(Handle, Observed)>,
        /// Whether it has to look again soon, and not only after a change of the queue.
        polls: bool,
        holder: Option<Holder>,
    },
}

/// Returns the name of this program, as the queue shows it to other processes.
fn program() -> String {
    // For each thread: a value of the process would have a lock, which a fork could leave taken.
    thread_local! {
        static NAME: OnceCell<String> = const { OnceCell::new() };
    }
    let find = || {
        let path = std::env::current_exe().unwrap_or_default();
        let name = path.file_name().map(Path::new).map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_default().chars().take(40).collect::<String>()
    };
    // A thread that is ending has no such values any more.
    NAME.try_with(|name| name.get_or_init(find).clone()).unwrap_or_else(|_| find())
}

/// A number for a thread or a task, unique in this process.
pub(super) fn next_number() -> u64 {
    static NEXT: Private = Private::new(1);
    // Relaxed: the number only has to be unique, and publishes nothing.
    NEXT.fetch_add(1, Relaxed)
}

fn this_thread() -> u64 {
    thread_local! {
        static MINE: u64 = next_number();
    }
    MINE.with(|mine| *mine)
}

/// Prefix of the variable names of locks.
pub(crate) const PREFIX: &str = "\0lock\0";

/// The longest name of a lock.
const LONGEST: usize = layout::LONGEST_NAME - PREFIX.len();

/// How often the first waiter checks whether the owner is alive.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

impl Map {
    /// Returns the lock of this name, which need not have been used before.
    ///
    /// A name has 1 to 1,017 bytes. A lock and a variable may have the same name.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName); [`Unsupported`](ErrorKind::Unsupported) for a gem's
    /// map, which has one lock of its own.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let map = self.stored(
            "lock",
            "a gem's map has its own lock and no other; use a map with Format::Store",
        )?;
        if name.is_empty() || name.len() > LONGEST {
            let object = format!("lock {name:?} of {}", map.object());
            let detail = format!("its name has {} bytes; use 1 to {LONGEST}", name.len());
            return Err(Error::new(ErrorKind::InvalidName, "name", object).detail(detail));
        }
        let variable = format!("{PREFIX}{name}");
        Ok(Lock { map: map.clone(), name: name.into(), variable: variable.into() })
    }

    /// Returns all locks that were used and not [removed](Lock::remove), sorted by name.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn locks(&self) -> Result<Vec<Lock>> {
        let map = self
            .stored("list locks of", "a gem's map has its own lock and no other; see `as_gem`")?;
        let mut names = Vec::new();
        let store = &map.inner.store;
        let list = || {
            store.each_record(|handle| {
                let name = store.name_of(handle.at).and_then(|name| String::from_utf8(name).ok());
                names.extend(name.and_then(|name| Some(name.strip_prefix(PREFIX)?.to_owned())));
                true
            })
        };
        map.run(list).map_err(|trouble| trouble.during("list locks of", map.object()))?;
        names.sort();
        names.dedup();
        names.iter().map(|name| self.lock(name)).collect()
    }
}

impl Lock {
    /// The name of the lock.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Acquires the lock for this thread alone, and waits as long as it takes.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if this thread already owns the lock;
    /// [`ReadOnly`](ErrorKind::ReadOnly); [`Full`](ErrorKind::Full) if the map has no free space
    /// for the queue, or no free participant slot; [`Corrupt`](ErrorKind::Corrupt);
    /// [`NameRemoved`](ErrorKind::NameRemoved) if other processes cannot find the map any more
    /// ([`Map::check_name`]; checked every 100 ms).
    pub fn acquire(&self) -> Result<LockGuard> {
        self.take(false, None)
    }

    /// Acquires the lock as [`acquire`](Self::acquire) does, with this timeout.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire); [`TimedOut`](ErrorKind::TimedOut), with the lock's
    /// [owner](Error::holder).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<LockGuard> {
        self.take(false, Some(timeout))
    }

    /// Acquires the lock if it is free. Returns `None` if the lock has an owner or an earlier
    /// waiter.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
        self.try_take(false)
    }

    /// Acquires the lock in shared mode, and waits as [`acquire`](Self::acquire) does.
    ///
    /// Shared owners exclude exclusive ones. A thread may own the lock several times in shared
    /// mode.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn share(&self) -> Result<LockGuard> {
        self.take(true, None)
    }

    /// Acquires the lock as [`share`](Self::share) does, with this timeout.
    ///
    /// # Errors
    /// Those of [`acquire_timeout`](Self::acquire_timeout).
    pub fn share_timeout(&self, timeout: Duration) -> Result<LockGuard> {
        self.take(true, Some(timeout))
    }

    /// Acquires the lock in shared mode if that is possible at once, else returns `None`.
    ///
    /// # Errors
    /// Those of [`try_acquire`](Self::try_acquire).
    pub fn try_share(&self) -> Result<Option<LockGuard>> {
        self.try_take(true)
    }

    /// Enters the queue without waiting.
    ///
    /// For callers that wait in slices, so that they can be interrupted, and keep their position in
    /// the queue between two slices.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn queue(&self, mode: LockMode) -> Result<LockTicket> {
        self.queue_as(mode, this_thread())
    }

    /// Enters the queue for the thread, or the task, of this number.
    pub(super) fn queue_as(&self, mode: LockMode, thread: u64) -> Result<LockTicket> {
        let queued = self.map.run(|| {
            let mine = self.entry(mode == LockMode::Shared, thread)?;
            let ready = self.enter(&mine, true)?.flatten().map(OwnedLockGuard::from);
            let patience = Patience::new();
            Ok(LockTicket { lock: self.clone(), mine, ready, acquired: false, patience })
        });
        queued.map_err(|trouble| self.failed("take", trouble))
    }

    /// Returns the owners of the lock and its waiters, in order of arrival.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn claims(&self) -> Result<Vec<Claim>> {
        Ok(self.entries()?.into_iter().map(|(_, claim)| claim).collect())
    }

    /// Returns the claims, each with the seat token of its process.
    pub(crate) fn entries(&self) -> Result<Vec<(u64, Claim)>> {
        let entries = || {
            let (queue, ..) = self.read()?;
            let entries = queue.entries.iter();
            entries.map(|entry| Ok((entry.token, self.claim(entry)?))).collect()
        };
        self.map.run(entries).map_err(|trouble| self.failed("look at", trouble))
    }

    /// Takes the lock away from its owners, alive or dead, and returns them. Waiters stay in the
    /// queue.
    ///
    /// For a person who knows that the owner hangs. The data that the lock protects may be
    /// half-changed: the next owner gets [`Acquired::Abandoned`], or after shared owners
    /// [`Acquired::AbandonedShared`]. The former owner's [`release`](LockGuard::release) fails with
    /// `TakenAway`.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the queue is corrupt: this call resets it, and the lock
    /// is free afterwards; [`ReadOnly`](ErrorKind::ReadOnly).
    pub fn force_unlock(&self) -> Result<Vec<Claim>> {
        let unlock = || {
            let (queue, ..) = match self.read() {
                Err(trouble @ (EngineError::Explained(_) | EngineError::Corrupt(..))) => {
                    let store = &self.map.inner.store;
                    store.remove(store.query(self.variable.as_bytes()))?;
                    return Err(trouble);
                }
                read => read?,
            };
            let held = queue.entries.iter().filter(|entry| entry.held);
            let claims: Vec<Claim> =
                held.map(|entry| self.claim(entry)).collect::<Result<_, _>>()?;
            if claims.is_empty() {
                return Ok(claims);
            }
            self.change(|queue| queue.take_out(|entry| entry.held))?;
            Ok(claims)
        };
        self.map.run(unlock).map_err(|trouble| self.failed("unlock", trouble))
    }

    /// Removes the lock from the map if it is free, and returns whether the map has no such lock
    /// any more.
    ///
    /// A lock takes some 600 bytes of the map from its first use until the map ends. Programs that
    /// use each name once, for example a name for each job, free them with this call. Handles stay
    /// valid: the next use creates the lock again. A lock that is owned, waited for, or whose next
    /// owner has to learn of a death, stays.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-rm.{}", std::process::id())).create()?;
    /// let lock = map.lock("job/4711")?;
    /// let guard = lock.acquire()?;
    /// assert!(!lock.remove()?);
    /// guard.release()?;
    /// assert!(lock.remove()?);
    /// assert!(map.locks()?.is_empty());
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadOnly`](ErrorKind::ReadOnly); [`TimedOut`](ErrorKind::TimedOut);
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn remove(&self) -> Result<bool> {
        let remove = || {
            let (queue, _, found) = self.read()?;
            let Some((handle, observed)) = found else { return Ok(true) };
            if queue != Queue::default() {
                return Ok(false);
            }
            // A process that enters the queue meanwhile changes the version.
            self.map.inner.store.remove_version(handle, observed.number)
        };
        self.map.run(remove).map_err(|trouble| self.failed("remove", trouble))
    }

    fn claim(&self, entry: &Entry) -> Result<Claim, EngineError> {
        let alive = self.map.inner.store.lives(entry.token)?;
        Ok(Claim { holder: entry.holder(), held: entry.held, shared: entry.shared, alive })
    }

    fn take(&self, shared: bool, timeout: Option<Duration>) -> Result<LockGuard> {
        // A deadline that the clock cannot represent is never reached: then there is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let taken = self.map.run(|| self.queue_up(shared, deadline));
        taken.map_err(|trouble| self.failed("take", trouble))
    }

    fn try_take(&self, shared: bool) -> Result<Option<LockGuard>> {
        let taken = self.map.run(|| {
            let mine = self.entry(shared, this_thread())?;
            self.enter(&mine, false)
        });
        let taken = taken.map_err(|trouble| self.failed("take", trouble))?;
        Ok(taken.flatten())
    }

    /// Enters the queue, and waits until the lock is acquired.
    fn queue_up(&self, shared: bool, deadline: Option<Instant>) -> Result<LockGuard, EngineError> {
        let mine = self.entry(shared, this_thread())?;
        if let Some(Some(guard)) = self.enter(&mine, true)? {
            return Ok(guard);
        }
        let waited = self.wait(&mine, deadline, &mut Patience::new());
        if waited.is_err() {
            // Other waiters must not wait for the entry of a thread that has given up.
            let _ = self.leave(mine.ticket, None);
        }
        waited
    }

    fn wait(
        &self,
        mine: &Entry,
        deadline: Option<Instant>,
        patience: &mut Patience,
    ) -> Result<LockGuard, EngineError> {
        let store = &self.map.inner.store;
        loop {
            let left =
                deadline.map_or(NAP, |deadline| deadline.saturating_duration_since(Instant::now()));
            let (at, polls, holder) = match self.look(mine, patience)? {
                Look::Owned(guard) => return Ok(guard),
                Look::Blocked { at, polls, holder } => (at, polls, holder),
            };
            if left.is_zero() {
                let error = Error::new(ErrorKind::TimedOut, "", "");
                let error = error.detail("lock timed out; its owner is alive");
                return Err(EngineError::Explained(error.held_by(holder)));
            }
            // If the queue has changed since it was read, `sleep_once` returns at once.
            let at_most = left.min(if polls { LOOK } else { NAP });
            match at {
                Some((handle, observed)) => drop(store.sleep_once(handle, observed, at_most)?),
                None => machine::nap(at_most.min(Duration::from_millis(1))),
            }
        }
    }

    /// Takes the lock if this entry may have it by now.
    pub(super) fn look(&self, mine: &Entry, patience: &mut Patience) -> Result<Look, EngineError> {
        self.map.usable()?;
        patience.names.check(&self.map.inner)?;
        let (mut seen, _, at) = self.read()?;
        let gone = self.gone(&seen)?;
        seen.take_out(|entry| gone.contains(&entry.token));
        let place = seen.place(mine.ticket);
        let impatient =
            patience.has_ended(place.and_then(|place| seen.idle_before(place)).unwrap_or_default());
        if place.is_none() {
            // The entry is gone: the map was restored, or a peer is hostile.
            if let Some(Some(guard)) = self.enter(mine, true)? {
                return Ok(Look::Owned(guard));
            }
        }
        if place.is_some_and(|place| seen.may_have(place, impatient)) {
            let granted = self.change(|queue| {
                queue.take_out(|entry| gone.contains(&entry.token));
                let place = queue.place(mine.ticket)?;
                queue.may_have(place, impatient).then(|| queue.grant(place))
            })?;
            if let Some(lost) = granted {
                return Ok(Look::Owned(self.guard(mine.ticket, lost)));
            }
        }
        let holder = seen.entries.iter().find(|entry| entry.held || entry.ticket != mine.ticket);
        // The death of an owner wakes no waiter. The first waiter polls for it, and its step on the
        // queue wakes the others.
        let first =
            place.is_none_or(|place| seen.entries.iter().take(place).all(|entry| entry.held));
        let polls = first || !patience.idle.is_empty();
        Ok(Look::Blocked { at, polls, holder: holder.map(Entry::holder) })
    }

    /// Acquires the lock if it is free, and else enters the queue if `wait` is set.
    #[allow(clippy::option_option, reason = "not in the queue; in the queue, and acquired or not")]
    fn enter(&self, mine: &Entry, wait: bool) -> Result<Option<Option<LockGuard>>, EngineError> {
        let mut twice = false;
        let (queue, ..) = self.read()?;
        let gone = self.gone(&queue)?;
        let granted = self.change(|queue| {
            queue.take_out(|entry| gone.contains(&entry.token));
            twice = queue.entries.iter().any(|entry| {
                (entry.token, entry.thread) == (mine.token, mine.thread)
                    && entry.held
                    && !(entry.shared && mine.shared)
            });
            if twice {
                return None;
            }
            queue.entries.push(mine.clone());
            let place = queue.entries.len() - 1;
            if queue.may_have(place, false) {
                return Some(Some(queue.grant(place)));
            }
            if !wait {
                queue.entries.pop();
                return None;
            }
            Some(None)
        })?;
        if twice {
            let error = Error::new(ErrorKind::InvalidArgument, "", "");
            return Err(EngineError::Explained(
                error.detail("this thread owns it already; release it first"),
            ));
        }
        Ok(granted.map(|granted| granted.map(|lost| self.guard(mine.ticket, lost))))
    }

    fn guard(&self, ticket: u64, lost: Option<Lost>) -> LockGuard {
        let outcome = Acquired::of(lost.as_ref());
        let held = OwnedLockGuard {
            lock: self.clone(),
            ticket,
            outcome,
            lost,
            released: AtomicBool::new(false),
        };
        LockGuard { held, _thread: PhantomData }
    }

    fn entry(&self, shared: bool, thread: u64) -> Result<Entry, EngineError> {
        // Under a removed name a second lock of this name can exist, in the map that others find,
        // and both would be owned at once.
        self.map.inner.named_lately()?;
        let [ticket, _] = machine::random()?;
        Ok(Entry {
            token: self.map.inner.store.mem().seat()?,
            ticket,
            thread,
            pid: std::process::id(),
            program: program(),
            since: now(),
            shared,
            held: false,
        })
    }

    /// Returns the tokens of the dead processes in the queue.
    fn gone(&self, queue: &Queue) -> Result<Vec<u64>, EngineError> {
        let mut gone = Vec::new();
        for entry in &queue.entries {
            if !gone.contains(&entry.token) && !self.map.inner.store.lives(entry.token)? {
                gone.push(entry.token);
            }
        }
        Ok(gone)
    }

    /// Reads the queue. Returns it with its version, and its handle and state, to wait for a
    /// change.
    #[allow(clippy::type_complexity, reason = "used here only")]
    fn read(&self) -> Result<(Queue, Version, Option<(Handle, Observed)>), EngineError> {
        let store = &self.map.inner.store;
        for _ in 0..AGAIN {
            let Some(handle) = store.find(store.query(self.variable.as_bytes()))? else {
                return Ok((Queue::default(), Version::ABSENT, None));
            };
            match store.follow(handle)? {
                Followed::Value(captured, observed, _) => {
                    let version = Version::from((observed.id, observed.number));
                    let queue = Queue::of(captured).map_err(|_| corrupt_queue())?;
                    return Ok((queue, version, Some((handle, observed))));
                }
                Followed::Removed(observed) => {
                    return Ok((Queue::default(), Version::ABSENT, Some((handle, observed))));
                }
                Followed::Stale => {}
            }
        }
        Err(EngineError::Contended)
    }

    /// Applies `change` to the queue by compare-and-set, and retries if another writer was faster.
    fn change<R>(&self, mut change: impl FnMut(&mut Queue) -> R) -> Result<R, EngineError> {
        let store = &self.map.inner.store;
        let mut round = 0;
        loop {
            let (before, version, _) = self.read()?;
            let mut after = before.clone();
            let result = change(&mut after);
            if after == before {
                return Ok(result);
            }
            let put = &mut |raw: &Raw<'_>| {
                store.set_if(store.query(self.variable.as_bytes()), raw, which(version))
            };
            match codec::encode(&after.written(), put)?? {
                Ok(_) => return Ok(result),
                Err(_) if store.mem().pause(round) => round += 1,
                Err(_) => return Err(EngineError::Contended),
            }
        }
    }

    /// Removes an entry from the queue, and puts back the notice that no program has seen. Returns
    /// whether the entry was there.
    ///
    /// If a process that is stopped during a step blocks the removal, a thread retries until it
    /// succeeds. Other processes never remove the entry of a live process, so without the thread
    /// the lock would stay taken.
    fn leave(&self, ticket: u64, unseen: Option<Lost>) -> Result<bool> {
        let left = self.leave_at_once(ticket, unseen.as_ref());
        if left.as_ref().is_err_and(held_up) {
            let lock = self.clone();
            let later = move || {
                while lock
                    .leave_at_once(ticket, unseen.as_ref())
                    .is_err_and(|error| held_up(&error))
                {
                    machine::nap(LOOK);
                }
            };
            // If the thread cannot start, the entry stays until the process ends.
            let _ = thread::Builder::new().name("mapvar-release".into()).spawn(later);
        }
        left
    }

    fn leave_at_once(&self, ticket: u64, unseen: Option<&Lost>) -> Result<bool> {
        let leave = || self.change(|queue| queue.leave(ticket, unseen));
        self.map.run(leave).map_err(|trouble| self.failed("release", trouble))
    }

    #[cold]
    fn failed(&self, operation: &'static str, trouble: EngineError) -> Error {
        trouble.during(operation, format!("lock {:?} of {}", self.name, self.map.object()))
    }
}

/// Whether another process blocked the step, so that a retry can succeed.
fn held_up(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Contended)
}

fn corrupt_queue() -> EngineError {
    let error = Error::new(ErrorKind::Corrupt, "", "");
    EngineError::Explained(error.detail("the lock's queue is corrupt; `force_unlock` resets it"))
}

impl From<LockGuard> for OwnedLockGuard {
    fn from(guard: LockGuard) -> Self {
        guard.held
    }
}

impl LockGuard {
    /// How the lock was acquired: after a release, or from an owner that died or lost it by force.
    pub fn acquired(&self) -> &Acquired {
        self.held.acquired()
    }

    /// The lock that this guard owns.
    pub fn lock(&self) -> &Lock {
        self.held.lock()
    }

    /// Releases the lock. Dropping the guard does the same, but ignores errors.
    ///
    /// # Errors
    /// [`TakenAway`](ErrorKind::TakenAway) if [`Lock::force_unlock`] took the lock away;
    /// [`TimedOut`](ErrorKind::TimedOut) if a process that is stopped during a step on the lock's
    /// queue blocks the release; those of [`Map::set`]. After `TimedOut` the lock is released when
    /// the stopped process continues or ends.
    pub fn release(self) -> Result<()> {
        self.held.release()
    }
}

impl OwnedLockGuard {
    /// How the lock was acquired: after a release, or from an owner that died or lost it by force.
    pub fn acquired(&self) -> &Acquired {
        &self.outcome
    }

    /// The lock that this guard owns.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Releases the lock. Dropping the guard does the same, but ignores errors.
    ///
    /// # Errors
    /// Those of [`LockGuard::release`].
    pub fn release(self) -> Result<()> {
        if self.released.swap(true, Relaxed) {
            return Ok(());
        }
        self.left(self.lock.leave(self.ticket, None)?)
    }

    /// As [`release`](Self::release), but keeps the guard, and after
    /// [`TimedOut`](ErrorKind::TimedOut) and [`Contended`](ErrorKind::Contended) the lock too: call
    /// it again. After any other result the lock is released.
    ///
    /// # Errors
    /// Those of [`release`](Self::release).
    #[doc(hidden)]
    pub fn try_release(&self) -> Result<()> {
        if self.released.load(Relaxed) {
            return Ok(());
        }
        let left = self.lock.leave_at_once(self.ticket, None);
        if !left.as_ref().is_err_and(held_up) {
            self.released.store(true, Relaxed);
        }
        self.left(left?)
    }

    /// Releases the lock as if this owner had never had it: the notice of a dead owner that came
    /// with it ([`acquired`](Self::acquired)) goes to the next owner.
    ///
    /// For a program that was interrupted before it could act on the notice.
    ///
    /// # Errors
    /// Those of [`release`](Self::release).
    #[doc(hidden)]
    pub fn give_back(mut self) -> Result<()> {
        if self.released.swap(true, Relaxed) {
            return Ok(());
        }
        let unseen = self.lost.take();
        self.left(self.lock.leave(self.ticket, unseen)?)
    }

    fn left(&self, was_there: bool) -> Result<()> {
        if was_there {
            return Ok(());
        }
        let error = Error::new(ErrorKind::TakenAway, "", "");
        let error = error.detail("it was taken away by force; another process may own it");
        Err(self.lock.failed("release", EngineError::Explained(error)))
    }
}

impl LockTicket {
    /// Waits for the lock up to `timeout`.
    ///
    /// After a timeout the entry keeps its position in the queue: call `wait` again.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`]; [`InvalidArgument`](ErrorKind::InvalidArgument) if the lock was
    /// already acquired through this entry.
    pub fn wait(&mut self, timeout: Duration) -> Result<OwnedLockGuard> {
        let lock = &self.lock;
        if self.acquired {
            let error = Error::new(ErrorKind::InvalidArgument, "", "");
            let error = error.detail("this place in the queue has had the lock; queue again");
            return Err(lock.failed("take", EngineError::Explained(error)));
        }
        let held = match self.ready.take() {
            Some(held) => held,
            None => {
                let deadline = Instant::now().checked_add(timeout);
                let patience = &mut self.patience;
                let taken = lock.map.run(|| lock.wait(&self.mine, deadline, patience));
                taken.map_err(|trouble| lock.failed("take", trouble))?.into()
            }
        };
        self.acquired = true;
        Ok(held)
    }
}

#[cfg(feature = "stream")]
impl LockTicket {
    /// Takes the lock if it is this entry's turn.
    pub(super) fn look(&mut self) -> Result<Look> {
        let (lock, patience) = (&self.lock, &mut self.patience);
        let look = match self.ready.take() {
            Some(held) => Look::Owned(LockGuard { held, _thread: PhantomData }),
            None => {
                let look = lock.map.run(|| lock.look(&self.mine, patience));
                look.map_err(|trouble| lock.failed("take", trouble))?
            }
        };
        self.acquired |= matches!(look, Look::Owned(_));
        Ok(look)
    }

    pub(super) fn inner(&self) -> &Arc<crate::map::store_map::Inner> {
        &self.lock.map.inner
    }

    /// Asks to be woken by the next change of the queue.
    pub(super) fn arm(&self, (handle, observed): (Handle, Observed)) -> Result<Arming> {
        let armed = self.lock.map.run(|| self.lock.map.inner.store.arm(handle, observed));
        armed.map_err(|trouble| self.lock.failed("take", trouble))
    }
}

impl Drop for LockTicket {
    fn drop(&mut self) {
        if self.acquired {
            return;
        }
        // The lock may have been granted at once. Then no program has seen the notice of a dead
        // owner that came with it.
        let unseen = self.ready.take().and_then(|mut held| {
            held.released.store(true, Relaxed);
            held.lost.take()
        });
        let _ = self.lock.leave(self.mine.ticket, unseen);
    }
}

impl fmt::Debug for LockTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockTicket").field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl Drop for OwnedLockGuard {
    fn drop(&mut self) {
        if !self.released.load(Relaxed) {
            // In a forked child the map refuses the call, so that the lock stays the parent's.
            let _ = self.lock.leave(self.ticket, None);
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name)
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.held).finish()
    }
}

impl fmt::Debug for OwnedLockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLockGuard")
            .field("lock", &self.lock)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

const _: () = assert!(matches!(PREFIX.as_bytes().first(), Some(&RESERVED)));
