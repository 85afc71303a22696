//! Watches: waiting for one variable, or many, to change.

use crate::{
    Map, Version,
    map::store_map::Stored,
    name::{checked, is_reserved},
    sync::change::Change,
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    layout::live,
    mem::Mem,
    record::wait::{NAP, Observed},
    value::OwnedValue,
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

/// A variable that is watched, and where it stood when it was last told of.
struct Watched {
    name: Arc<str>,
    handle: Option<Handle>,
    /// `None`: there is no record.
    stand: Option<Observed>,
    /// The token of whose process its value ends with; 0: it stays.
    owner: u64,
}

impl Watched {
    fn present(&self) -> bool {
        self.stand.is_some_and(|stand| !stand.removed)
    }

    /// The change to where it stands now, if it is one.
    fn turn(
        &mut self,
        stand: Option<Observed>,
        captured: Option<OwnedValue>,
        base: u64,
    ) -> Option<Change> {
        let (was, before) = (self.present(), self.stand);
        if before == stand {
            return None;
        }
        self.stand = stand;
        let Some(now) = stand else {
            // Its record is gone: collected after a removal.
            let version = before.map_or(Version::ABSENT, |stand| (stand.id, stand.number).into());
            return was.then(|| self.change(None, version, 0));
        };
        let atomic = self.handle.is_some_and(|handle| handle.atomic);
        let skipped = match before {
            _ if atomic => 0,
            Some(before) if before.id == now.id => {
                now.number.saturating_sub(before.number).saturating_sub(1)
            }
            // Another variable of the name: its first value, and the removal of the one before.
            _ => now.number.saturating_sub(base.max(1)).saturating_add(u64::from(was)),
        };
        if now.removed && !was && skipped == 0 {
            // Found as it was left, by a record that was not known yet; or what had ended with its
            // process was removed meanwhile.
            return None;
        }
        Some(self.change(captured, (now.id, now.number).into(), skipped))
    }

    fn change(&self, captured: Option<OwnedValue>, version: Version, skipped: u64) -> Change {
        Change { name: Arc::clone(&self.name), captured, version, skipped }
    }
}

/// What a watch is for.
enum Scope {
    Names,
    Prefix(String),
}

/// Waits for variables of a map to change; from [`Map::watch`], [`Map::watch_any`],
/// [`Map::watch_prefix`] and [`Map::watch_all`].
///
/// It begins with its making: whatever changes after that is told, whether somebody waits at that
/// moment or not. Of several changes of one variable between two looks the last one is told, with
/// the number of those that were [`skipped`](Change::skipped); of each variable in its order. That
/// a variable was made and removed again between two looks may leave no trace.
///
/// A set of a variable that nobody waits for makes no system call, and costs no more for watches.
/// A wait for one variable looks at it alone; one for many looks at each of them when any of them
/// has changed: some microseconds for a thousand.
///
/// An iterator over its changes without end, `Send`; it keeps the map open. Of a map that was opened
/// for reading, which cannot say that it waits, it looks every few milliseconds.
///
/// ```
/// # let map = mapvar::Map::options().name(&format!("doc-watch.{}", std::process::id())).create()?;
/// use std::time::Duration;
///
/// let mut watch = map.watch("temperature")?;
/// let sensor = map.clone();
/// let thread = std::thread::spawn(move || sensor.set("temperature", 21.5));
/// let change = watch.wait_timeout(Duration::from_secs(5))?.expect("a change");
/// assert_eq!(change.get::<f64>()?, 21.5);
/// # thread.join().unwrap()?;
/// # Ok::<(), mapvar::Error>(())
/// ```
pub struct Watch {
    map: Stored,
    scope: Scope,
    watched: Vec<Watched>,
    /// Where a name stands in `watched`; of a prefix only, whose variables are not known before.
    known: HashMap<Arc<str>, usize>,
    /// The count of births that the last search for new variables has seen.
    births: Option<u32>,
    /// Those that seem to have changed, in the order in which they are told.
    changed: VecDeque<usize>,
    /// How many of `watched` end with a process.
    ending: usize,
}

impl Map {
    /// Waits for changes of one variable, which need not be there yet.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName); [`Corrupt`](ErrorKind::Corrupt);
    /// [`Unsupported`](ErrorKind::Unsupported) for a gem's map, whose layout counts no changes.
    pub fn watch(&self, name: &str) -> Result<Watch> {
        self.watch_any([name])
    }

    /// Waits for changes of any of these variables, which need not be there yet.
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch); [`InvalidArgument`](ErrorKind::InvalidArgument) without a
    /// name.
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
        watch.begun()
    }

    /// Waits for changes of the variables whose names begin so, also of those that are made later.
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch).
    pub fn watch_prefix(&self, prefix: &str) -> Result<Watch> {
        self.new_watch(Scope::Prefix(prefix.to_owned()))?.begun()
    }

    /// Waits for changes of any variable, also of those that are made later.
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch).
    pub fn watch_all(&self) -> Result<Watch> {
        self.watch_prefix("")
    }

    fn new_watch(&self, scope: Scope) -> Result<Watch> {
        let map = self.stored(
            WATCH,
            "a gem's map counts no changes; compare its values, or use a map of our own layout",
        )?;
        Ok(Watch {
            map: map.clone(),
            scope,
            watched: Vec::new(),
            known: HashMap::new(),
            births: None,
            changed: VecDeque::new(),
            ending: 0,
        })
    }
}

const WATCH: &str = "watch";

impl Watch {
    /// Waits for the next change, for as long as it takes.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt); [`Io`](ErrorKind::Io) where the map's memory is gone;
    /// [`Closed`](ErrorKind::Closed) in a child after `fork`.
    pub fn wait(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.wait_until(None)? {
                return Ok(change);
            }
        }
    }

    /// Waits for the next change up to `timeout`: `None` where none came.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        // One beyond the clock's end is as good as none.
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// The next change, if there is one already.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<Change>> {
        let next = self.map.usable().and_then(|()| match self.next_known()? {
            None if self.note_ended()? => self.next_known(),
            next => Ok(next),
        });
        next.map_err(|trouble| self.failed(trouble))
    }

    /// How many variables it looks at: those given, or those found so far, removed ones included.
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    /// Whether there is no variable to look at so far.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<Option<Change>> {
        self.wait_on(deadline).map_err(|trouble| self.failed(trouble))
    }

    #[cold]
    fn failed(&self, trouble: EngineError) -> Error {
        trouble.during(WATCH, self.map.object())
    }

    fn wait_on(&mut self, deadline: Option<Instant>) -> Result<Option<Change>, EngineError> {
        loop {
            self.map.usable()?;
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
            let nap = if self.ends() { SHORT_NAP } else { NAP };
            match self.sleep(left.min(nap)) {
                Err(EngineError::ReadOnly) => machine::nap(left.min(LOOK)),
                slept => slept?,
            }
        }
    }

    /// The next change, of those that were found, or of all.
    fn next_known(&mut self) -> Result<Option<Change>, EngineError> {
        if self.changed.is_empty() {
            match self.single() {
                Some((handle, stand)) if self.map.inner.store.is_as(handle, stand) => {
                    return Ok(None);
                }
                Some(_) => return self.look(0),
                None => {
                    self.search()?;
                    self.sweep(false)?;
                }
            }
        }
        while let Some(at) = self.changed.pop_front() {
            if let Some(change) = self.look(at)? {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    /// The one variable that this watch is for, if it is one, and has a record.
    #[inline]
    pub(crate) fn single(&self) -> Option<(Handle, Observed)> {
        match (&*self.watched, &self.scope) {
            ([Watched { handle: Some(handle), stand: Some(stand), .. }], Scope::Names) => {
                Some((*handle, *stand))
            }
            _ => None,
        }
    }

    /// Looks a moment at a single variable, where others run beside this thread: a wake takes some
    /// microseconds more than a change that comes at once.
    fn spin(&self) -> bool {
        let (Some((handle, stand)), true) = (self.single(), beside_others()) else {
            return false;
        };
        for _ in 0..SPINS {
            if !self.map.inner.store.is_as(handle, stand) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// What a stream of these changes has to do with the map.
    #[cfg(feature = "tokio")]
    pub(crate) fn inner(&self) -> &Arc<crate::map::store_map::Inner> {
        &self.map.inner
    }

    /// Says of each variable that it is waited for; answers whether none has changed. Where nothing
    /// can be said, of a map for reading, it answers so too.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    #[cfg(feature = "tokio")]
    pub(crate) fn arm(&mut self) -> Result<bool> {
        let armed = match self.single() {
            Some((handle, stand)) => self.map.inner.store.arm(handle, stand),
            None => self.search().and_then(|()| self.sweep(true)).map(|()| self.changed.is_empty()),
        };
        match armed {
            Err(EngineError::ReadOnly) => Ok(true),
            armed => armed.map_err(|trouble| self.failed(trouble)),
        }
    }

    /// Says of each variable that it is waited for, and sleeps, unless one has changed.
    fn sleep(&mut self, at_most: Duration) -> Result<(), EngineError> {
        if let Some((handle, stand)) = self.single() {
            let store = &self.map.inner.store;
            let _told = store.mem().tell_sleeping(handle.wake());
            return store.doze(handle, stand, at_most).map(drop);
        }
        let inner = Arc::clone(&self.map.inner);
        let store = &inner.store;
        let nothing = self.watched.iter().all(|watched| watched.handle.is_none());
        let single = nothing && self.watched.len() == 1 && matches!(self.scope, Scope::Names);
        let word = if single { live::BIRTHS_WAKE } else { live::CHANGES_WAKE };
        // SYNC POINT S18: before the looks.
        let seen = store.mem().wakes(word)?;
        self.search()?;
        self.sweep(true)?;
        if self.changed.is_empty() {
            let _told = store.mem().tell_sleeping(word);
            store.mem().park(word, seen, at_most)?;
        }
        Ok(())
    }

    /// Whether any of the variables ends with a process: of that nobody is woken.
    pub(crate) fn ends(&self) -> bool {
        self.ending != 0
    }

    /// Notes the variables that have ended with their processes; answers whether there are any.
    fn note_ended(&mut self) -> Result<bool, EngineError> {
        if !self.ends() {
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

    /// Finds variables that were made since the last search.
    fn search(&mut self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.map.inner);
        let store = &inner.store;
        // SYNC POINT S18. Of a map for reading nobody knows: searched each time.
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
                store.each_record(|handle| {
                    let name =
                        store.name_of(handle.at).and_then(|name| String::from_utf8(name).ok());
                    // A name that was read while the record became another's is looked up below.
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

    /// Notes a name once, and answers its place.
    pub(crate) fn add(&mut self, name: &str) -> usize {
        if let Some(at) = self.known.get(name) {
            return *at;
        }
        let name: Arc<str> = name.into();
        let at = self.watched.len();
        let watched = Watched { name: Arc::clone(&name), handle: None, stand: None, owner: 0 };
        self.watched.push(watched);
        self.known.insert(name, at);
        at
    }

    /// Notes those that have changed, and with `arm` says of the others that they are waited for.
    fn sweep(&mut self, arm: bool) -> Result<(), EngineError> {
        let store = &self.map.inner.store;
        for (at, watched) in self.watched.iter().enumerate() {
            let (Some(handle), Some(stand)) = (watched.handle, watched.stand) else { continue };
            let same = if arm { store.arm(handle, stand)? } else { store.is_as(handle, stand) };
            if !same {
                self.changed.push_back(at);
            }
        }
        Ok(())
    }

    /// Looks at one variable; answers its change since it was last told of.
    pub(crate) fn look(&mut self, at: usize) -> Result<Option<Change>, EngineError> {
        let store = &self.map.inner.store;
        let Some(watched) = self.watched.get_mut(at) else { return Ok(None) };
        let base = store.version_base;
        for _ in 0..AGAIN {
            let handle = match watched.handle {
                Some(handle) => Some(handle),
                None => store.find(store.query(watched.name.as_bytes()))?,
            };
            watched.handle = handle;
            let (stand, captured, owner) =
                match handle.map(|handle| store.follow(handle)).transpose()? {
                    Some(Followed::Value(captured, stand, owner)) => {
                        (Some(stand), Some(captured), owner)
                    }
                    Some(Followed::Removed(stand)) => (Some(stand), None, 0),
                    Some(Followed::Stale) => {
                        watched.handle = None;
                        continue;
                    }
                    None => (None, None, 0),
                };
            let before = std::mem::replace(&mut watched.owner, owner);
            self.ending = self.ending - usize::from(before != 0) + usize::from(owner != 0);
            let change = watched.turn(stand, captured, base);
            return Ok(change);
        }
        Err(EngineError::Contended)
    }

    /// Everything as it stands now is known, and nothing of it a change.
    fn begun(mut self) -> Result<Self> {
        let begin = |watch: &mut Self| {
            watch.map.usable()?;
            watch.search()?;
            watch.changed.clear();
            for at in 0..watch.watched.len() {
                watch.look(at)?;
            }
            Ok(())
        };
        match begin(&mut self) {
            Ok(()) => Ok(self),
            Err(trouble) => Err(self.failed(trouble)),
        }
    }
}

/// How often a single variable is looked at before the thread sleeps: about a microsecond.
const SPINS: u32 = 100;

/// How long a watch sleeps at most of variables that end with a process.
pub(crate) const SHORT_NAP: Duration = Duration::from_millis(20);

/// How often a map is looked at that was opened for reading.
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

    /// Waits for the next change; never ends.
    fn next(&mut self) -> Option<Result<Change>> {
        Some(self.wait())
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
