//! Named locks of the users, for their own critical sections: `docs/FORMAT.md`, "Locks of users".
//!
//! A lock is a variable that holds the queue of those who have it or want it. Each step is one set
//! of that variable under the condition that it is as it was read, so that a death between any two
//! instructions leaves the queue before the step, or after it. Who is alive is asked of the kernel,
//! by the seat of the process that an entry names.

use crate::{
    Map,
    map::store_map::{Stored, which},
    name::RESERVED,
    sync::queue::{Entry, Outcome, Queue, now},
    value::codec,
};
use mapvar_engine::{
    error::EngineError,
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
    fmt,
    marker::PhantomData,
    path::Path,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// Somebody who has a lock, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who, and since when he has it, or waits.
    pub holder: Holder,
    /// Whether he has it; if not, he waits.
    pub held: bool,
    /// Whether he shares it with others who do.
    pub shared: bool,
    /// Whether his process lives. A dead one's claim is gone with the next step of anybody.
    pub alive: bool,
}

/// A named lock of a map; from [`Map::lock`].
///
/// Exclusive or shared, across all processes of the map, and told apart by thread. Who comes first
/// has it first, those who share together; only where the first to come does not take it for a
/// tenth of a second (its process is stopped) the next may. A holder that is stopped is never
/// robbed; one that died is replaced, and the next is [told](LockGuard::outcome).
///
/// It costs some hundred nanoseconds while nobody is in the way: for critical sections of more than
/// one variable, of files, of devices. A single variable needs none: see [`Map::update`]. `set` and
/// all other operations of the map go on whoever has a lock: it protects what its users say.
///
/// Cheap to clone, `Send` and `Sync`; it keeps the map open.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-lock.{}", std::process::id())).create()?;
/// use mapvar::Outcome;
///
/// let jobs = map.lock("jobs")?;
/// let guard = jobs.acquire()?;
/// if let Outcome::Recovered(dead) = guard.outcome() {
///     println!("{dead} ended with it: look after the jobs");
/// }
/// guard.release()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
#[derive(Clone)]
pub struct Lock {
    map: Stored,
    name: Arc<str>,
    variable: Arc<str>,
}

/// That this thread has a [`Lock`]: given back by [`release`](Self::release), when it is dropped, or
/// when its process ends in any way.
///
/// Not `Send`: the thread that took the lock gives it back; see [`HeldLock`]. One that is leaked is
/// held until its process ends or closes the map.
#[must_use = "dropping it gives the lock back"]
pub struct LockGuard {
    held: HeldLock,
    _thread: PhantomData<*const ()>,
}

/// As [`LockGuard`], of which it is made, but `Send`: whichever thread has it gives the lock back. For
/// tasks that move between threads, and for other languages.
#[must_use = "dropping it gives the lock back"]
pub struct HeldLock {
    lock: Lock,
    ticket: u64,
    outcome: Outcome,
    released: bool,
}

/// A place in the queue of a [`Lock`]; from [`Lock::queue`]. Dropping it gives the place up.
#[must_use = "dropping it gives the place up"]
pub struct LockPlace {
    lock: Lock,
    mine: Entry,
    ready: Option<HeldLock>,
    /// The lock was had.
    over: bool,
}

/// The name of this program, as others are told it.
fn program() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let path = std::env::current_exe().unwrap_or_default();
        let name = path.file_name().map(Path::new).map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_default().chars().take(40).collect()
    })
}

/// A number that no other thread of this process has.
fn this_thread() -> u64 {
    static NEXT: Private = Private::new(1);
    thread_local! {
        // Relaxed: only that it differs counts.
        static MINE: u64 = NEXT.fetch_add(1, Relaxed);
    }
    MINE.with(|mine| *mine)
}

/// What the variables of locks are called before the lock's name.
pub(crate) const PREFIX: &str = "\0lock\0";

/// The longest name of a lock.
const LONGEST: usize = layout::LONGEST_NAME - PREFIX.len();

/// How long the first who waits sleeps before it looks whether the holder lives.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

impl Map {
    /// The lock of this name, which need not have been used before: 1 to 1,017 bytes. Locks and
    /// variables have nothing to do with each other's names.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName); [`Unsupported`](ErrorKind::Unsupported) for a gem's
    /// map, which has one lock of its own.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let map = self.stored(
            "lock",
            "a gem's map has its own lock and no other; use a map of our own layout",
        )?;
        if name.is_empty() || name.len() > LONGEST {
            let object = format!("lock {name:?} of {}", map.object());
            let detail = format!("its name has {} bytes; use 1 to {LONGEST}", name.len());
            return Err(Error::new(ErrorKind::InvalidName, "name", object).detail(detail));
        }
        let variable = format!("{PREFIX}{name}");
        Ok(Lock { map: map.clone(), name: name.into(), variable: variable.into() })
    }

    /// The locks that were ever used, by name.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn locks(&self) -> Result<Vec<Lock>> {
        let map = self.stored(
            "list locks of",
            "a gem's map has its own lock and no other; see `lock_stat`",
        )?;
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
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes it for this thread alone; waits up to the map's [`timeout`](Map::timeout).
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), with its [holder](Error::holder);
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) where this thread has it already;
    /// [`ReadOnly`](ErrorKind::ReadOnly); [`Full`](ErrorKind::Full) where the map has no room for who
    /// waits, or all places for processes are taken; [`Corrupt`](ErrorKind::Corrupt).
    pub fn acquire(&self) -> Result<LockGuard> {
        self.acquire_timeout(self.map.timeout())
    }

    /// As [`acquire`](Self::acquire), waiting so long.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<LockGuard> {
        self.take(false, timeout)
    }

    /// Takes it if it is free: `None` where somebody has it, or came before.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire), without `TimedOut`.
    pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
        self.try_take(false)
    }

    /// Takes it together with others that share it, and nobody else; waits as
    /// [`acquire`](Self::acquire) does.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn share(&self) -> Result<LockGuard> {
        self.share_timeout(self.map.timeout())
    }

    /// As [`share`](Self::share), waiting so long.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn share_timeout(&self, timeout: Duration) -> Result<LockGuard> {
        self.take(true, timeout)
    }

    /// Shares it if that can be at once.
    ///
    /// # Errors
    /// Those of [`try_acquire`](Self::try_acquire).
    pub fn try_share(&self) -> Result<Option<LockGuard>> {
        self.try_take(true)
    }

    /// Enters the queue and waits for nothing: for callers that wait in slices, to be interrupted,
    /// and do not want to lose their place between two of them.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire), without `TimedOut`.
    pub fn queue(&self, shared: bool) -> Result<LockPlace> {
        let queued = self.map.run(|| {
            let mine = self.entry(shared)?;
            let ready = self.enter(&mine, true)?.flatten().map(HeldLock::from);
            Ok(LockPlace { lock: self.clone(), mine, ready, over: false })
        });
        queued.map_err(|trouble| self.failed("take", trouble))
    }

    /// Who has it and who waits for it, in the order in which they came.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn claims(&self) -> Result<Vec<Claim>> {
        Ok(self.entries()?.into_iter().map(|(_, claim)| claim).collect())
    }

    /// The same, with the tokens of their seats.
    pub(crate) fn entries(&self) -> Result<Vec<(u64, Claim)>> {
        let entries = || {
            let (queue, ..) = self.read()?;
            let entries = queue.entries.iter();
            entries.map(|entry| Ok((entry.token, self.claim(entry)?))).collect()
        };
        self.map.run(entries).map_err(|trouble| self.failed("look at", trouble))
    }

    /// Takes it from whoever has it, living or not, and answers who that was. For a person who knows
    /// that the holder hangs: what it protects may be half-changed, which the next to take it is
    /// told, and the holder's [`release`](LockGuard::release) answers `Removed`. Those who wait stay.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), where what stands in the lock makes no sense: it is free
    /// then; [`ReadOnly`](ErrorKind::ReadOnly).
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

    fn claim(&self, entry: &Entry) -> Result<Claim, EngineError> {
        let alive = self.map.inner.store.lives(entry.token)?;
        Ok(Claim { holder: entry.holder(), held: entry.held, shared: entry.shared, alive })
    }

    fn take(&self, shared: bool, timeout: Duration) -> Result<LockGuard> {
        let deadline = Instant::now().checked_add(timeout);
        let taken = self.map.run(|| self.queue_up(shared, deadline));
        taken.map_err(|trouble| self.failed("take", trouble))
    }

    fn try_take(&self, shared: bool) -> Result<Option<LockGuard>> {
        let taken = self.map.run(|| {
            let mine = self.entry(shared)?;
            self.enter(&mine, false)
        });
        let taken = taken.map_err(|trouble| self.failed("take", trouble))?;
        Ok(taken.flatten())
    }

    /// Enters the queue, and waits until the lock is had.
    fn queue_up(&self, shared: bool, deadline: Option<Instant>) -> Result<LockGuard, EngineError> {
        let mine = self.entry(shared)?;
        if let Some(Some(guard)) = self.enter(&mine, true)? {
            return Ok(guard);
        }
        let waited = self.wait(&mine, deadline);
        if waited.is_err() {
            // Whatever it was, nobody is to wait for this one.
            let _ = self.leave(mine.ticket);
        }
        waited
    }

    fn wait(&self, mine: &Entry, deadline: Option<Instant>) -> Result<LockGuard, EngineError> {
        let store = &self.map.inner.store;
        let mut idle = (Vec::new(), Instant::now());
        loop {
            self.map.usable()?;
            let (mut seen, _, at) = self.read()?;
            let gone = self.gone(&seen)?;
            seen.take_out(|entry| gone.contains(&entry.token));
            let left =
                deadline.map_or(NAP, |deadline| deadline.saturating_duration_since(Instant::now()));
            let place = seen.place(mine.ticket);
            let before = place.and_then(|place| seen.idle_before(place)).unwrap_or_default();
            if idle.0 != before {
                idle = (before, Instant::now());
            }
            // Each of them has his time, so that they are passed by in their order.
            let patience = NAP.saturating_mul(u32::try_from(idle.0.len()).unwrap_or(u32::MAX));
            let impatient = !idle.0.is_empty() && idle.1.elapsed() >= patience;
            if place.is_none() {
                // It was thrown out of the queue: a map that was restored, or a hostile peer.
                if let Some(Some(guard)) = self.enter(mine, true)? {
                    return Ok(guard);
                }
            }
            if place.is_some_and(|place| seen.may_have(place, impatient)) {
                let granted = self.change(|queue| {
                    queue.take_out(|entry| gone.contains(&entry.token));
                    let place = queue.place(mine.ticket)?;
                    queue.may_have(place, impatient).then(|| queue.grant(place))
                })?;
                if let Some(outcome) = granted {
                    return Ok(self.guard(mine.ticket, outcome));
                }
            }
            if left.is_zero() {
                let holder =
                    seen.entries.iter().find(|entry| entry.held || entry.ticket != mine.ticket);
                let told = Error::new(ErrorKind::TimedOut, "", "");
                let told = told.detail("it did not become free in time; its holder lives");
                return Err(EngineError::Explained(told.held_by(holder.map(Entry::holder))));
            }
            // What was read has changed since: the sleep below ends at once.
            let first =
                place.is_none_or(|place| seen.entries.iter().take(place).all(|entry| entry.held));
            let at_most = left.min(if first { LOOK } else { NAP });
            match at {
                Some((handle, stand)) => drop(store.doze(handle, stand, at_most)?),
                None => machine::nap(at_most.min(Duration::from_millis(1))),
            }
        }
    }

    /// Takes the lock if it is to be had, and else enters the queue if it is to `wait`.
    #[allow(clippy::option_option, reason = "nothing changed; changed, and got or not")]
    fn enter(&self, mine: &Entry, wait: bool) -> Result<Option<Option<LockGuard>>, EngineError> {
        let mut twice = false;
        let (queue, ..) = self.read()?;
        let gone = self.gone(&queue)?;
        let outcome = self.change(|queue| {
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
            let told = Error::new(ErrorKind::InvalidArgument, "", "");
            return Err(EngineError::Explained(
                told.detail("this thread has it already; release it before"),
            ));
        }
        Ok(outcome.map(|outcome| outcome.map(|outcome| self.guard(mine.ticket, outcome))))
    }

    fn guard(&self, ticket: u64, outcome: Outcome) -> LockGuard {
        let held = HeldLock { lock: self.clone(), ticket, outcome, released: false };
        LockGuard { held, _thread: PhantomData }
    }

    fn entry(&self, shared: bool) -> Result<Entry, EngineError> {
        let [ticket, _] = machine::random()?;
        Ok(Entry {
            token: self.map.inner.store.mem().seat()?,
            ticket,
            thread: this_thread(),
            pid: std::process::id(),
            program: program().to_owned(),
            since: now(),
            shared,
            held: false,
        })
    }

    /// The tokens of those in the queue whose processes live no more.
    fn gone(&self, queue: &Queue) -> Result<Vec<u64>, EngineError> {
        let mut gone = Vec::new();
        for entry in &queue.entries {
            if !gone.contains(&entry.token) && !self.map.inner.store.lives(entry.token)? {
                gone.push(entry.token);
            }
        }
        Ok(gone)
    }

    /// The queue, its version, and where it stands.
    #[allow(clippy::type_complexity, reason = "used here only")]
    fn read(
        &self,
    ) -> Result<(Queue, Version, Option<(mapvar_engine::handle::Handle, Observed)>), EngineError>
    {
        let store = &self.map.inner.store;
        for _ in 0..AGAIN {
            let Some(handle) = store.find(store.query(self.variable.as_bytes()))? else {
                return Ok((Queue::default(), Version::ABSENT, None));
            };
            match store.follow(handle)? {
                Followed::Value(captured, stand, _) => {
                    let version = Version::from((stand.id, stand.number));
                    let queue = Queue::of(captured).map_err(|_| senseless())?;
                    return Ok((queue, version, Some((handle, stand))));
                }
                Followed::Removed(stand) => {
                    return Ok((Queue::default(), Version::ABSENT, Some((handle, stand))));
                }
                Followed::Stale => {}
            }
        }
        Err(EngineError::Contended)
    }

    /// Sets the queue to what `change` makes of it; again, where others changed it meanwhile.
    fn change<R>(&self, mut change: impl FnMut(&mut Queue) -> R) -> Result<R, EngineError> {
        let store = &self.map.inner.store;
        let mut round = 0;
        loop {
            let (before, version, _) = self.read()?;
            let mut after = before.clone();
            let answer = change(&mut after);
            if after == before {
                return Ok(answer);
            }
            let put = &mut |raw: &Raw<'_>| {
                store.set_if(store.query(self.variable.as_bytes()), raw, which(version))
            };
            match codec::encode(&after.written(), put)?? {
                Ok(_) => return Ok(answer),
                Err(_) if store.mem().pause(round) => round += 1,
                Err(_) => return Err(EngineError::Contended),
            }
        }
    }

    /// Takes an entry out of the queue; answers whether it was there. Where somebody is stopped in the
    /// midst of a step it is done when that goes on: an entry of a process that lives is never taken
    /// out by others.
    fn leave(&self, ticket: u64) -> Result<bool> {
        let left = self.leave_at_once(ticket);
        if left.as_ref().is_err_and(held_up) {
            let lock = self.clone();
            let later = move || {
                while lock.leave_at_once(ticket).is_err_and(|error| held_up(&error)) {
                    machine::nap(LOOK);
                }
            };
            // Without a thread it stays until the process ends.
            let _ = thread::Builder::new().name("mapvar-release".into()).spawn(later);
        }
        left
    }

    fn leave_at_once(&self, ticket: u64) -> Result<bool> {
        let leave = || {
            self.change(|queue| {
                let before = queue.entries.len();
                queue.entries.retain(|entry| entry.ticket != ticket);
                queue.entries.len() < before
            })
        };
        self.map.run(leave).map_err(|trouble| self.failed("release", trouble))
    }

    #[cold]
    fn failed(&self, operation: &'static str, trouble: EngineError) -> Error {
        trouble.during(operation, format!("lock {:?} of {}", self.name, self.map.object()))
    }
}

/// Whether somebody else was in the way, and it is worth another attempt.
fn held_up(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Contended)
}

fn senseless() -> EngineError {
    let told = Error::new(ErrorKind::Corrupt, "", "");
    EngineError::Explained(
        told.detail("what stands in it makes no sense; `force_unlock` makes it free"),
    )
}

impl From<LockGuard> for HeldLock {
    fn from(guard: LockGuard) -> Self {
        guard.held
    }
}

impl LockGuard {
    /// Whether the lock was free, or somebody has left it behind.
    pub fn outcome(&self) -> &Outcome {
        self.held.outcome()
    }

    /// Which lock it is.
    pub fn lock(&self) -> &Lock {
        self.held.lock()
    }

    /// Gives it back, and says what comes of it. Dropping it does the same in silence.
    ///
    /// # Errors
    /// [`Removed`](ErrorKind::Removed) where it was taken away by [`Lock::force_unlock`];
    /// [`TimedOut`](ErrorKind::TimedOut) where a process is stopped in the midst of a step on the lock's
    /// queue: it is given back when that goes on or ends; those of [`Map::set`].
    pub fn release(self) -> Result<()> {
        self.held.release()
    }
}

impl HeldLock {
    /// Whether the lock was free, or somebody has left it behind.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Which lock it is.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Gives it back, and says what comes of it. Dropping it does the same in silence.
    ///
    /// # Errors
    /// Those of [`LockGuard::release`].
    pub fn release(mut self) -> Result<()> {
        self.released = true;
        self.give_back()
    }

    fn give_back(&self) -> Result<()> {
        if self.lock.leave(self.ticket)? {
            return Ok(());
        }
        let told = Error::new(ErrorKind::Removed, "", "");
        let told = told.detail("it was taken away by force; somebody else may have it");
        Err(self.lock.failed("release", EngineError::Explained(told)))
    }
}

impl LockPlace {
    /// Waits for the lock up to `timeout`. The place is kept where that passes: call it again.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`]; [`InvalidArgument`](ErrorKind::InvalidArgument) once the lock was
    /// had.
    pub fn wait(&mut self, timeout: Duration) -> Result<HeldLock> {
        let lock = &self.lock;
        if self.over {
            let told = Error::new(ErrorKind::InvalidArgument, "", "");
            let told = told.detail("the lock was had by this place; queue again");
            return Err(lock.failed("take", EngineError::Explained(told)));
        }
        let held = match self.ready.take() {
            Some(held) => held,
            None => {
                let deadline = Instant::now().checked_add(timeout);
                let taken = lock.map.run(|| lock.wait(&self.mine, deadline));
                taken.map_err(|trouble| lock.failed("take", trouble))?.into()
            }
        };
        self.over = true;
        Ok(held)
    }
}

impl Drop for LockPlace {
    fn drop(&mut self) {
        if !self.over && self.ready.is_none() {
            let _ = self.lock.leave(self.mine.ticket);
        }
    }
}

impl fmt::Debug for LockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockPlace").field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if !self.released {
            // In a child after fork it is the parent's, and is refused there.
            let _ = self.give_back();
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

impl fmt::Debug for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLock")
            .field("lock", &self.lock)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

const _: () = assert!(matches!(PREFIX.as_bytes().first(), Some(&RESERVED)));
