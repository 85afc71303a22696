//! Watches: waiting for changes of one variable, or of many.

use crate::{
    Map,
    map::store_map::NameChecks,
    name::checked,
    sync::{
        change::Change,
        watch_set::{Scope, WatchSet},
        watched::WATCH_ONE,
    },
};
#[cfg(feature = "stream")]
use mapvar_engine::record::wait::Arming;
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    mem::Mem,
    record::wait::{BUSY_NAP, NAP, Observed},
};
use mapvar_os::{Error, ErrorKind, Result, machine};
use std::{
    collections::VecDeque,
    fmt,
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Waits for variables of a map to change; from [`Map::watch`], [`Map::watch_any`],
/// [`Map::watch_prefix`] and [`Map::watch_all`].
///
/// A watch starts when it is created: it returns every later change, whether or not a thread waits
/// at that moment. If a variable changes several times between two checks, the watch returns the
/// last change, with the number of those [`skipped`](Change::skipped). The changes of each variable
/// come in order. A variable that is created and removed between two checks may go unnoticed.
///
/// A set of a variable without waiters makes no system call, and watches do not slow it down. A
/// wait for one variable checks that variable only. For a wait for many, the map tells which of them
/// have changed or are new, so it costs as much for ten variables as for a million; if it falls
/// behind by more than 256 changes, it looks at all of them once.
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
    set: WatchSet,
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
            checked.map_err(|trouble| watch.set.map().failed(WATCH, name, trouble))?;
            watch.set.add(name);
        }
        if watch.set.len() == 0 {
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
            set: WatchSet::new(map.clone(), scope),
            unread: VecDeque::new(),
            names: NameChecks::new(),
        })
    }
}

const WATCH: &str = "watch";

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
        let usable = self.set.map().usable().and_then(|()| self.names.check(&self.set.map().inner));
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
                error.during(WATCH, self.set.map().object())
            };
        }
        trouble.during(WATCH, self.set.map().object())
    }

    fn wait_on(&mut self, deadline: Option<Instant>) -> Result<Option<Change>, EngineError> {
        loop {
            self.set.map().usable()?;
            self.names.check(&self.set.map().inner)?;
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

    /// Returns the next change, if there is one.
    fn next_known(&mut self) -> Result<Option<Change>, EngineError> {
        match self.unread.pop_front() {
            Some(trouble) => Err(trouble),
            None => self.set.next_change(),
        }
    }

    /// The variable of a watch of a single name, if it has a record.
    #[inline]
    pub(crate) fn single(&self) -> Option<(Handle, Observed)> {
        self.set.single()
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
            if !self.set.map().inner.store.is_unchanged(handle, observed) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// The shared part of the map, for the stream's notifier.
    #[cfg(feature = "stream")]
    pub(crate) fn inner(&self) -> &Arc<crate::map::store_map::Inner> {
        &self.set.map().inner
    }

    /// Sets WAIT on each variable.
    ///
    /// On a read-only map, where WAIT cannot be set, it returns `Armed`: the notifier polls.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    #[cfg(feature = "stream")]
    pub(crate) fn arm(&mut self) -> Result<Arming> {
        let armed = match self.single() {
            _ if !self.unread.is_empty() => Ok(Arming::Changed),
            Some((handle, observed)) => self.set.map().inner.store.arm(handle, observed),
            None => self.set.note_changed().map(|()| match self.set.is_busy() {
                _ if self.set.has_changed() => Arming::Changed,
                true => Arming::Busy,
                false => Arming::Armed,
            }),
        };
        match armed {
            Err(EngineError::ReadOnly) => Ok(Arming::Armed),
            armed => armed.map_err(|trouble| self.failed(trouble)),
        }
    }

    /// Sets WAIT on each variable, and sleeps, unless one has changed.
    fn sleep(&mut self, at_most: Duration) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.set.map().inner);
        let (store, word) = (&inner.store, self.set.wake_word());
        if let Some((handle, observed)) = self.single() {
            let _sleeping = store.mem().announce_sleep(word);
            return store.sleep_once(handle, observed, at_most).map(drop);
        }
        // SYNC POINT S18. Pairs with the addition in Locks::wake: loaded before the variables are
        // looked at, or `park` would sleep through a change that comes after the look.
        let seen = store.mem().wakes(word)?;
        self.set.note_changed()?;
        if !self.set.has_changed() {
            let _sleeping = store.mem().announce_sleep(word);
            let at_most = if self.set.is_busy() { at_most.min(BUSY_NAP) } else { at_most };
            store.mem().park(word, seen, at_most)?;
        }
        Ok(())
    }

    /// Whether any of the variables is ephemeral. The death of its owner process wakes no waiter.
    pub(crate) fn watches_ephemeral(&self) -> bool {
        self.set.has_ephemeral()
    }

    /// Notes the variables with a dead owner process; returns whether any has changed.
    fn note_ended(&mut self) -> Result<bool, EngineError> {
        if !self.watches_ephemeral() {
            return Ok(false);
        }
        self.set.note_ended()?;
        Ok(self.set.has_changed())
    }

    /// Takes the present state of all variables as the start, from which changes count.
    fn started(mut self) -> Result<Self> {
        let Self { set, unread, .. } = &mut self;
        let begun = set.map().usable().and_then(|()| {
            set.start(|met| match met {
                EngineError::Explained(error) if error.operation() == WATCH_ONE => {
                    unread.push_back(EngineError::Explained(error));
                    Ok(())
                }
                met => Err(met),
            })
        });
        match begun {
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
            .field("map", self.set.map())
            .field("watched", &self.set.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by a panic")]
mod tests;
