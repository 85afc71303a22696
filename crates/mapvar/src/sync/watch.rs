//! Watches: waiting for changes of one variable, or of many.

use crate::{
    Map, Version,
    map::store_map::{Inner, NameChecks, Stored},
    name::{checked, is_reserved},
    plain::Captured,
    sync::change::Change,
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    layout::live,
    mem::Mem,
    record::wait::{NAP, Observed},
    variable::follow::Followed,
    variable::named::AGAIN,
};
use mapvar_os::{Error, ErrorKind, Result, machine};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// A watched variable, and its state when the watch last checked it.
struct Watched {
    name: Arc<str>,
    handle: Option<Handle>,
    /// `None` if there is no record.
    observed: Option<Observed>,
    /// The seat token of the owner process of an ephemeral value, else 0.
    owner: u64,
}

impl Watched {
    /// Notes that the value could not be read. It is told once, and the next value counts as a change.
    /// After a time-out the value itself is tried again.
    fn passed_over(&mut self, observed: Option<Observed>, met: &EngineError) {
        let unread = |handle: Handle| Observed { id: handle.id, number: u64::MAX, removed: true };
        match observed {
            Some(observed) if !met.is_timeout() && !matches!(met, EngineError::Contended) => {
                self.observed = Some(observed);
            }
            // Without an observation the variable would be looked at only if it were made anew.
            _ => self.observed = self.observed.or(self.handle.map(unread)),
        }
    }

    fn present(&self) -> bool {
        self.observed.is_some_and(|observed| !observed.removed)
    }

    /// Stores the new state. Returns the change to it, if there is one.
    fn update(
        &mut self,
        observed: Option<Observed>,
        captured: Option<Captured>,
        map: &Inner,
    ) -> Option<Change> {
        let (was, before) = (self.present(), self.observed);
        if before == observed {
            return None;
        }
        self.observed = observed;
        let Some(now) = observed else {
            // The record was collected after a removal.
            let version =
                before.map_or(Version::ABSENT, |observed| (observed.id, observed.number).into());
            return was.then(|| self.change(map, None, version, 0));
        };
        let atomic = self.handle.is_some_and(|handle| handle.atomic);
        let skipped = match before {
            _ if atomic => 0,
            Some(before) if before.id == now.id => {
                now.number.saturating_sub(before.number).saturating_sub(1)
            }
            // A new variable of the same name: all its values before this one were skipped, and so
            // was the removal of the former variable.
            _ => now
                .number
                .saturating_sub(map.store.version_base.max(1))
                .saturating_add(u64::from(was)),
        };
        if now.removed && !was && skipped == 0 {
            // The variable counted as absent before: the watch had not found its record yet, or its
            // owner process had died. The tombstone is no change.
            return None;
        }
        Some(self.change(map, captured, (now.id, now.number).into(), skipped))
    }

    fn change(
        &self,
        map: &Inner,
        captured: Option<Captured>,
        version: Version,
        skipped: u64,
    ) -> Change {
        let (name, object) = (Arc::clone(&self.name), Arc::clone(&map.object));
        Change { name, object, captured, version, skipped }
    }
}

/// The variables that a watch covers.
enum Scope {
    Names,
    Prefix(String),
}

/// Waits for variables of a map to change; from [`Map::watch`], [`Map::watch_any`],
/// [`Map::watch_prefix`] and [`Map::watch_all`].
///
/// A watch starts when it is created: it returns every later change, whether or not a thread waits
/// at that moment. If a variable changes several times between two checks, the watch returns the
/// last change, with the number of those [`skipped`](Change::skipped). The changes of each variable
/// come in order. A variable that is created and removed between two checks may go unnoticed.
///
/// A set of a variable without waiters makes no system call, and watches do not slow it down. A
/// wait for one variable checks that variable only. A wait for many checks each of them when any of
/// them has changed: some microseconds for a thousand.
///
/// `Watch` is an endless iterator over its changes. It is `Send`, and keeps the map open. On a
/// read-only map, where it cannot register as a waiter, it polls every 5 ms.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-watch.{}", std::process::id())).create()?;
/// use std::time::Duration;
///
/// let mut watch = map.watch("temperature")?;
/// let sensor = map.clone();
/// let thread = std::thread::spawn(move || sensor.set("temperature", 21.5));
/// let change = watch.recv_timeout(Duration::from_secs(5))?.expect("a change");
/// assert_eq!(change.get::<f64>()?, 21.5);
/// # thread.join().unwrap()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Watch {
    map: Stored,
    scope: Scope,
    watched: Vec<Watched>,
    /// The index of each name in `watched`.
    known: HashMap<Arc<str>, usize>,
    /// The count of `births_wake` before the last search for new variables.
    births: Option<u32>,
    /// Indexes of the variables that seem to have changed, in the order in which they are returned.
    changed: VecDeque<usize>,
    /// How many of `watched` are ephemeral.
    ending: usize,
    /// The errors of variables that could not be read at the start; waits tell them.
    unread: VecDeque<EngineError>,
    names: NameChecks,
}

impl Map {
    /// Watches one variable, which need not exist yet.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName); [`Corrupt`](ErrorKind::Corrupt);
    /// [`Unsupported`](ErrorKind::Unsupported) for a gem's map: its layout counts no changes;
    /// [`NeedsRecovery`](ErrorKind::NeedsRecovery) if the handle reads a copy of a file that has to
    /// be recovered, because that copy never changes.
    pub fn watch(&self, name: &str) -> Result<Watch> {
        self.watch_any([name])
    }

    /// Watches all of these variables, which need not exist yet.
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch); [`InvalidArgument`](ErrorKind::InvalidArgument) if `names`
    /// is empty.
    pub fn watch_any(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Watch> {
        let mut watch = self.new_watch(Scope::Names)?;
        for name in names {
            let name = name.as_ref();
            let checked = checked(name).map(|_| ());
            checked.map_err(|trouble| watch.map.failed(WATCH, name, trouble))?;
            watch.add(name);
        }
        if watch.watched.is_empty() {
            let error = Error::new(ErrorKind::InvalidArgument, WATCH, self.object());
            return Err(error.detail("no name was given; `watch_all` waits for all variables"));
        }
        watch.started()
    }

    /// Watches all variables with this prefix in their names, also those that are created later.
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch).
    pub fn watch_prefix(&self, prefix: &str) -> Result<Watch> {
        self.new_watch(Scope::Prefix(prefix.to_owned()))?.started()
    }

    /// Watches all variables, also those that are created later.
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch).
    pub fn watch_all(&self) -> Result<Watch> {
        self.watch_prefix("")
    }

    fn new_watch(&self, scope: Scope) -> Result<Watch> {
        let map = self.stored(
            WATCH,
            "a gem's map counts no changes; compare its values, or use a map with Format::Store",
        )?;
        if map.inner.is_copy() {
            let error = Error::new(ErrorKind::NeedsRecovery, WATCH, map.object());
            return Err(error.detail(
                "this handle reads a copy, as the last flush left the file, and the copy never \
                 changes; open the map again once a process has opened the file for writing",
            ));
        }
        Ok(Watch {
            map: map.clone(),
            scope,
            watched: Vec::new(),
            known: HashMap::new(),
            births: None,
            changed: VecDeque::new(),
            ending: 0,
            unread: VecDeque::new(),
            names: NameChecks::new(),
        })
    }
}

const WATCH: &str = "watch";

/// The operation in the errors of one variable, behind which the watch goes on.
pub(crate) const WATCH_ONE: &str = "watch variable";

impl Watch {
    /// Waits for the next change, without a timeout.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt); [`Io`](ErrorKind::Io) if the mapping is lost;
    /// [`Closed`](ErrorKind::Closed) in a child after `fork`. The error of one variable whose value
    /// cannot be read names it, and has the operation `watch variable`; it comes once, also for a
    /// value that was there when the watch began, and the watch goes on with the others.
    /// [`NameRemoved`](ErrorKind::NameRemoved), every 100 ms, if other processes cannot find the map
    /// any more ([`Map::check_name`]): no new process will change these variables. The watch goes
    /// on if it is called again.
    pub fn recv(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.recv_until(None)? {
                return Ok(change);
            }
        }
    }

    /// Waits for the next change. Returns `None` if there is none within `timeout`.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        // A deadline that the clock cannot represent is never reached: then there is none.
        self.recv_until(Instant::now().checked_add(timeout))
    }

    /// Returns the next change, if there is one already.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<Change>> {
        let usable = self.map.usable().and_then(|()| self.names.check(&self.map.inner));
        let next = usable.and_then(|()| match self.next_known()? {
            None if self.note_ended()? => self.next_known(),
            next => Ok(next),
        });
        next.map_err(|trouble| self.failed(trouble))
    }

    /// Waits for the next change; `None` if there is none until `deadline`.
    pub(crate) fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Option<Change>> {
        self.wait_on(deadline).map_err(|trouble| self.failed(trouble))
    }

    #[cold]
    fn failed(&self, trouble: EngineError) -> Error {
        if let EngineError::Explained(error) = trouble {
            return if error.operation() == WATCH_ONE {
                error
            } else {
                error.during(WATCH, self.map.object())
            };
        }
        trouble.during(WATCH, self.map.object())
    }

    fn wait_on(&mut self, deadline: Option<Instant>) -> Result<Option<Change>, EngineError> {
        loop {
            self.map.usable()?;
            self.names.check(&self.map.inner)?;
            if let Some(change) = self.next_known()? {
                return Ok(Some(change));
            }
            let left =
                deadline.map_or(NAP, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            if self.spin() || self.note_ended()? {
                continue;
            }
            let nap = if self.watches_ephemeral() { SHORT_NAP } else { NAP };
            match self.sleep(left.min(nap)) {
                Err(EngineError::ReadOnly) => machine::nap(left.min(LOOK)),
                slept => slept?,
            }
        }
    }

    /// Returns the next change. Checks all variables only if `changed` is empty.
    fn next_known(&mut self) -> Result<Option<Change>, EngineError> {
        if let Some(trouble) = self.unread.pop_front() {
            return Err(trouble);
        }
        if self.changed.is_empty() {
            match self.single() {
                Some((handle, observed)) if self.map.inner.store.is_unchanged(handle, observed) => {
                    return Ok(None);
                }
                Some(_) => return self.check(0),
                None => {
                    self.search()?;
                    self.sweep(false)?;
                }
            }
        }
        while let Some(at) = self.changed.pop_front() {
            if let Some(change) = self.check(at)? {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    /// The variable of a watch of a single name, if it has a record.
    #[inline]
    pub(crate) fn single(&self) -> Option<(Handle, Observed)> {
        match (&*self.watched, &self.scope) {
            ([Watched { handle: Some(handle), observed: Some(observed), .. }], Scope::Names) => {
                Some((*handle, *observed))
            }
            _ => None,
        }
    }

    /// Polls a single variable for a moment; returns whether it has changed.
    ///
    /// A sleep and a wake take some microseconds, which a change that comes at once does not have
    /// to pay. On a single processor it would only delay the writer.
    fn spin(&self) -> bool {
        let (Some((handle, observed)), true) = (self.single(), beside_others()) else {
            return false;
        };
        for _ in 0..SPINS {
            if !self.map.inner.store.is_unchanged(handle, observed) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// The shared part of the map, for the stream's notifier.
    #[cfg(feature = "stream")]
    pub(crate) fn inner(&self) -> &Arc<crate::map::store_map::Inner> {
        &self.map.inner
    }

    /// Sets WAIT on each variable; returns whether none has changed.
    ///
    /// On a read-only map, where WAIT cannot be set, it returns true: the notifier polls.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    #[cfg(feature = "stream")]
    pub(crate) fn arm(&mut self) -> Result<bool> {
        let armed = match self.single() {
            _ if !self.unread.is_empty() => Ok(false),
            Some((handle, observed)) => self.map.inner.store.arm(handle, observed),
            None => self.search().and_then(|()| self.sweep(true)).map(|()| self.changed.is_empty()),
        };
        match armed {
            Err(EngineError::ReadOnly) => Ok(true),
            armed => armed.map_err(|trouble| self.failed(trouble)),
        }
    }

    /// Sets WAIT on each variable, and sleeps, unless one has changed.
    fn sleep(&mut self, at_most: Duration) -> Result<(), EngineError> {
        if let Some((handle, observed)) = self.single() {
            let store = &self.map.inner.store;
            let _sleeping = store.mem().announce_sleep(handle.wake());
            return store.sleep_once(handle, observed, at_most).map(drop);
        }
        let inner = Arc::clone(&self.map.inner);
        let store = &inner.store;
        let nothing = self.watched.iter().all(|watched| watched.handle.is_none());
        let single = nothing && self.watched.len() == 1 && matches!(self.scope, Scope::Names);
        let word = if single { live::BIRTHS_WAKE } else { live::CHANGES_WAKE };
        // SYNC POINT S18. Pairs with the addition in Locks::wake: loaded before the variables are
        // checked, or `park` would sleep through a change that comes after the check.
        let seen = store.mem().wakes(word)?;
        self.search()?;
        self.sweep(true)?;
        if self.changed.is_empty() {
            let _sleeping = store.mem().announce_sleep(word);
            store.mem().park(word, seen, at_most)?;
        }
        Ok(())
    }

    /// Whether any of the variables is ephemeral. The death of its owner process wakes no waiter.
    pub(crate) fn watches_ephemeral(&self) -> bool {
        self.ending != 0
    }

    /// Adds the variables with a dead owner process to `changed`; returns whether it holds any.
    fn note_ended(&mut self) -> Result<bool, EngineError> {
        if !self.watches_ephemeral() {
            return Ok(false);
        }
        let store = &self.map.inner.store;
        let mut asked = HashMap::new();
        for (at, watched) in self.watched.iter().enumerate().filter(|(_, it)| it.owner != 0) {
            let lives = match asked.get(&watched.owner) {
                Some(lives) => *lives,
                None => {
                    let lives = store.lives(watched.owner)?;
                    asked.insert(watched.owner, lives);
                    lives
                }
            };
            if !lives {
                self.changed.push_back(at);
            }
        }
        Ok(!self.changed.is_empty())
    }

    /// Adds the variables that were created since the last search to `changed`.
    fn search(&mut self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.map.inner);
        let store = &inner.store;
        // SYNC POINT S18. Loaded before the search: a variable that is created during it makes the
        // next call search again. A read-only map cannot load the count, and searches each time.
        let births = store.mem().wakes(live::BIRTHS_WAKE).ok();
        if births.is_some() && births == self.births {
            return Ok(());
        }
        match &self.scope {
            Scope::Names => {
                for at in 0..self.watched.len() {
                    let unknown = self.watched.get(at).filter(|watched| watched.handle.is_none());
                    if let Some(watched) = unknown
                        && store.find(store.query(watched.name.as_bytes()))?.is_some()
                    {
                        self.changed.push_back(at);
                    }
                }
            }
            Scope::Prefix(prefix) => {
                let prefix = prefix.clone();
                let mut new = Vec::new();
                store.each_record_of_data(|handle| {
                    let name =
                        store.name_of(handle.at).and_then(|name| String::from_utf8(name).ok());
                    // If the record was recycled during the read, the name may be wrong. `check`
                    // resolves each new name through the index.
                    let of_ours = name
                        .filter(|name| name.starts_with(&prefix) && !is_reserved(name.as_bytes()));
                    new.extend(of_ours.filter(|name| !self.is_followed(name, handle)));
                    true
                })?;
                for name in new {
                    let at = self.add(&name);
                    self.changed.push_back(at);
                }
            }
        }
        self.births = births;
        Ok(())
    }

    fn is_followed(&self, name: &str, handle: Handle) -> bool {
        let at = self.known.get(name);
        at.and_then(|at| self.watched.get(*at))
            .is_some_and(|watched| watched.handle == Some(handle))
    }

    /// Adds a name, unless it is known; returns its index in `watched`.
    pub(crate) fn add(&mut self, name: &str) -> usize {
        if let Some(at) = self.known.get(name) {
            return *at;
        }
        let name: Arc<str> = name.into();
        let at = self.watched.len();
        let watched = Watched { name: Arc::clone(&name), handle: None, observed: None, owner: 0 };
        self.watched.push(watched);
        self.known.insert(name, at);
        at
    }

    /// Adds the variables that have changed to `changed`; with `arm`, sets WAIT on all of them too.
    fn sweep(&mut self, arm: bool) -> Result<(), EngineError> {
        let store = &self.map.inner.store;
        for (at, watched) in self.watched.iter().enumerate() {
            let (Some(handle), Some(observed)) = (watched.handle, watched.observed) else {
                continue;
            };
            let same = if arm {
                store.arm(handle, observed)?
            } else {
                store.is_unchanged(handle, observed)
            };
            if !same {
                self.changed.push_back(at);
            }
        }
        Ok(())
    }

    /// Checks one variable; returns its change since the last check.
    pub(crate) fn check(&mut self, at: usize) -> Result<Option<Change>, EngineError> {
        let store = &self.map.inner.store;
        let Some(watched) = self.watched.get_mut(at) else { return Ok(None) };
        for _ in 0..AGAIN {
            let handle = match watched.handle {
                Some(handle) => Some(handle),
                None => store.find(store.query(watched.name.as_bytes()))?,
            };
            watched.handle = handle;
            let followed = match handle.map(|handle| store.follow(handle)).transpose() {
                Ok(followed) => followed,
                Err(met) => {
                    watched
                        .passed_over(handle.and_then(|handle| store.observed(handle).ok()?), &met);
                    if met.is_timeout() || matches!(met, EngineError::Contended) {
                        return Err(met);
                    }
                    let object = format!("{:?} of {}", watched.name, self.map.object());
                    return Err(EngineError::Explained(met.during(WATCH_ONE, object)));
                }
            };
            let (observed, captured, owner) = match followed {
                Some(Followed::Value(captured, observed, owner)) => {
                    (Some(observed), Some(self.map.captured_of(captured)?), owner)
                }
                Some(Followed::Removed(observed)) => (Some(observed), None, 0),
                Some(Followed::Stale) => {
                    watched.handle = None;
                    continue;
                }
                None => (None, None, 0),
            };
            let before = std::mem::replace(&mut watched.owner, owner);
            self.ending = self.ending - usize::from(before != 0) + usize::from(owner != 0);
            let change = watched.update(observed, captured, &self.map.inner);
            return Ok(change);
        }
        Err(EngineError::Contended)
    }

    /// Takes the present state of all variables as the start, from which changes count.
    fn started(mut self) -> Result<Self> {
        let begin = |watch: &mut Self| {
            watch.map.usable()?;
            watch.search()?;
            watch.changed.clear();
            for at in 0..watch.watched.len() {
                match watch.check(at) {
                    Ok(_) => {}
                    Err(EngineError::Explained(error)) if error.operation() == WATCH_ONE => {
                        watch.unread.push_back(EngineError::Explained(error));
                    }
                    Err(met) => return Err(met),
                }
            }
            Ok(())
        };
        match begin(&mut self) {
            Ok(()) => Ok(self),
            Err(trouble) => Err(self.failed(trouble)),
        }
    }
}

/// How often `spin` polls a single variable before the thread sleeps: about a microsecond.
const SPINS: u32 = 100;

/// The longest sleep of a watch with ephemeral variables.
pub(crate) const SHORT_NAP: Duration = Duration::from_millis(20);

/// How often a watch of a read-only map polls.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Whether this process may run on more than one processor.
fn beside_others() -> bool {
    thread_local! {
        static MORE: bool = thread::available_parallelism().map_or(1, NonZero::get) > 1;
    }
    MORE.with(|more| *more)
}

impl Iterator for Watch {
    type Item = Result<Change>;

    /// Waits for the next change. Never returns `None`.
    fn next(&mut self) -> Option<Result<Change>> {
        Some(self.recv())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("map", &self.map)
            .field("watched", &self.watched.len())
            .finish_non_exhaustive()
    }
}
