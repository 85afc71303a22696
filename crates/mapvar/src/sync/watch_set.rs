//! The variables of a watch, and which of them may have changed.

use crate::{
    map::store_map::Stored,
    name::{begins_with, is_reserved},
    sync::{change::Change, watched::Watched},
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    layout::live,
    mem::Mem,
    record::wait::{NAP, Observed},
    variable::follow::Asked,
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Range,
    sync::Arc,
    time::Instant,
};

/// The variables that a watch covers.
pub(super) enum Scope {
    Names,
    Prefix(String),
}

/// How many variables are looked at every [`NAP`] without an entry of the ring, for the changes of
/// processes that died before their entry.
const PART: usize = 16 << 10;

/// Which variables a sweep does not ask for again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// Those that stand as they did when they were asked for. Not where entries are dropped: one of
    /// them may tell of a change after which another waiter has set WAIT.
    Armed,
}

/// The variables of a watch.
///
/// Of a single name the variable itself is looked at. Which of several have changed, the ring of
/// changes tells: `docs/FORMAT.md`, "Ring of changes". On a read-only map, where a watch cannot ask
/// for entries, all are looked at; the ring still tells which variables are new.
pub(super) struct WatchSet {
    map: Stored,
    scope: Scope,
    /// `None` where a variable is watched no longer.
    watched: Vec<Option<Watched>>,
    vacant: Vec<usize>,
    /// The index of each name in `watched`.
    known: HashMap<Arc<str>, usize>,
    /// The index of each record in `watched`, by its offset.
    by_record: HashMap<u64, usize>,
    /// Those of `watched` whose value is ephemeral.
    ephemeral: BTreeSet<usize>,
    /// Indexes of the variables that may have changed, in the order in which they are looked at.
    changed: VecDeque<usize>,
    /// Those of which the ring may not tell: a thread owned their lock. They are looked at again.
    busy: BTreeSet<usize>,
    /// Number of the next entry of the ring.
    next_entry: u64,
    /// The count of `births_wake` before the last search for a single name.
    births: Option<u32>,
    /// Whether the map is open for reading only.
    read_only: bool,
    /// Where the next part of the variables begins that is looked at without an entry, and when
    /// the last part was looked at.
    next_part: usize,
    last_part: Instant,
}

impl WatchSet {
    pub(super) fn new(map: Stored, scope: Scope) -> Self {
        Self {
            read_only: map.inner.store.live_mut().is_err(),
            map,
            scope,
            watched: Vec::new(),
            vacant: Vec::new(),
            known: HashMap::new(),
            by_record: HashMap::new(),
            ephemeral: BTreeSet::new(),
            changed: VecDeque::new(),
            busy: BTreeSet::new(),
            next_entry: 0,
            births: None,
            next_part: 0,
            last_part: Instant::now(),
        }
    }

    pub(super) fn map(&self) -> &Stored {
        &self.map
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Adds a name, unless it is known; returns its index.
    pub(super) fn add(&mut self, name: &str) -> usize {
        if let Some(at) = self.known.get(name) {
            return *at;
        }
        let name: Arc<str> = name.into();
        let new = Some(Watched::new(Arc::clone(&name)));
        let at = self.vacant.pop().unwrap_or(self.watched.len());
        match self.watched.get_mut(at) {
            Some(place) => *place = new,
            None => self.watched.push(new),
        }
        self.known.insert(name, at);
        at
    }

    /// Looks at all variables for the first time; `met` gets the errors of those that cannot be
    /// read, if it returns them.
    pub(super) fn start(
        &mut self,
        mut met: impl FnMut(EngineError) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        // SYNC POINT S19. Before the looks: the ring tells of every change that they do not see.
        self.next_entry = self.map.inner.store.changes_head()?;
        if self.is_single() {
            self.births = self.births_now();
        }
        self.search()?;
        self.changed.clear();
        for at in 0..self.watched.len() {
            if let Err(error) = self.look(at) {
                met(error)?;
            }
        }
        Ok(())
    }

    /// Whether the watch is one of a single name.
    pub(super) fn is_single(&self) -> bool {
        matches!(self.scope, Scope::Names) && self.watched.len() == 1
    }

    /// The variable of a watch of a single name, if it has a record.
    #[inline]
    pub(super) fn single(&self) -> Option<(Handle, Observed)> {
        match (&*self.watched, &self.scope) {
            ([Some(watched)], Scope::Names) => watched.stand(),
            _ => None,
        }
    }

    /// The wake word on which a thread sleeps that waits for one of these variables.
    pub(super) fn wake_word(&self) -> u64 {
        match self.single() {
            Some((handle, _)) => handle.wake(),
            None if self.is_single() => live::BIRTHS_WAKE,
            None => live::CHANGES_WAKE,
        }
    }

    /// Returns the next change. Looks for changed variables only if none is noted.
    pub(super) fn next_change(&mut self) -> Result<Option<Change>, EngineError> {
        if self.changed.is_empty() {
            self.note_changed()?;
        }
        while let Some(at) = self.changed.pop_front() {
            if let Some(change) = self.look(at)? {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    /// Whether a variable is noted that may have changed.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Notes the variables that may have changed.
    pub(super) fn note_changed(&mut self) -> Result<(), EngineError> {
        if self.is_single() {
            return self.note_single();
        }
        for at in std::mem::take(&mut self.busy) {
            match self.watched.get(at) {
                Some(Some(watched)) if watched.stand().is_none() => self.changed.push_back(at),
                _ => self.sweep(at..at + 1, Skip::Nothing)?,
            }
        }
        self.read_ring()?;
        if self.read_only {
            self.sweep(0..self.watched.len(), Skip::Nothing)?;
            self.note_all_found(0..self.watched.len())?;
        } else if self.changed.is_empty() && self.last_part.elapsed() >= NAP {
            self.sweep_part()?;
        }
        Ok(())
    }

    fn note_single(&mut self) -> Result<(), EngineError> {
        let store = &self.map.inner.store;
        if let Some((handle, observed)) = self.single() {
            if !store.is_unchanged(handle, observed) {
                self.changed.push_back(0);
            }
            return Ok(());
        }
        // SYNC POINT S18. Loaded before the search: a variable that is created during it makes the
        // next call search again. A read-only map cannot load the count, and searches each time.
        let births = self.births_now();
        if births.is_none() || births != self.births {
            self.search()?;
            self.births = births;
        }
        Ok(())
    }

    fn births_now(&self) -> Option<u32> {
        self.map.inner.store.mem().wakes(live::BIRTHS_WAKE).ok()
    }

    /// Notes the variables of which the ring tells.
    fn read_ring(&mut self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.map.inner);
        let store = &inner.store;
        // SYNC POINT S19.
        let head = store.changes_head()?;
        if head == self.next_entry {
            return Ok(());
        }
        let whole = store.changes(self.next_entry, head, |entry| {
            if let Some(at) = self.by_record.get(&entry.at) {
                self.changed.push_back(*at);
            }
            if entry.born {
                self.note_born(entry.at);
            }
        })?;
        if !whole {
            // What the missing entries stand for was published before `head` was loaded.
            self.search()?;
            self.sweep(0..self.watched.len(), Skip::Nothing)?;
        }
        self.next_entry = head;
        Ok(())
    }

    /// Notes the variable of a new record, if the watch covers its name.
    fn note_born(&mut self, record: u64) {
        // If the record was recycled during the read, the name may be wrong. `look` resolves each
        // new name through the index.
        let name = self.map.inner.store.name_of(record);
        let Some(name) = name.and_then(|name| String::from_utf8(name).ok()) else { return };
        let at = match (&self.scope, self.known.get(&*name)) {
            (_, Some(at)) => *at,
            (Scope::Prefix(prefix), None)
                if begins_with(name.as_bytes(), prefix) && !is_reserved(name.as_bytes()) =>
            {
                self.add(&name)
            }
            _ => return,
        };
        self.changed.push_back(at);
    }

    /// Notes the variables that have records and are not followed yet.
    fn search(&mut self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.map.inner);
        let store = &inner.store;
        match &self.scope {
            Scope::Names => self.note_all_found(0..self.watched.len())?,
            Scope::Prefix(_) => store.each_record(|handle| {
                // The record may have been another variable's when the watch looked last.
                let known = self.by_record.get(&handle.at).and_then(|at| self.watched.get(*at));
                let followed = known.and_then(|watched| watched.as_ref()?.handle);
                if followed != Some(handle) {
                    self.note_born(handle.at);
                }
                true
            })?,
        }
        Ok(())
    }

    /// Notes those of these names that had no record and now have one.
    fn note_all_found(&mut self, range: Range<usize>) -> Result<(), EngineError> {
        if matches!(self.scope, Scope::Names) {
            for at in range {
                self.note_found(at)?;
            }
        }
        Ok(())
    }

    /// Notes a variable that had no record and now has one.
    fn note_found(&mut self, at: usize) -> Result<(), EngineError> {
        let store = &self.map.inner.store;
        if let Some(Some(watched)) = self.watched.get(at)
            && watched.handle.is_none()
            && store.find(store.query(watched.name.as_bytes()))?.is_some()
        {
            self.changed.push_back(at);
        }
        Ok(())
    }

    /// Notes those of these variables that have changed, and has the ring tell of the others.
    fn sweep(&mut self, range: Range<usize>, skip: Skip) -> Result<(), EngineError> {
        let store = &self.map.inner.store;
        for at in range {
            let Some(Some(watched)) = self.watched.get_mut(at) else { continue };
            let Some((handle, observed)) = watched.stand() else { continue };
            if skip == Skip::Armed && !watched.busy && store.is_armed(handle, observed) {
                continue;
            }
            let asked = if self.read_only { Asked::Told } else { store.ask(handle)? };
            watched.busy = asked == Asked::Busy;
            if asked == Asked::Gone || !store.is_unchanged(handle, observed) {
                self.changed.push_back(at);
            } else if asked == Asked::Busy {
                self.busy.insert(at);
            }
        }
        Ok(())
    }

    /// Looks at the next part of the variables, which the ring may not tell of: a process may have
    /// died between its change and its entry.
    fn sweep_part(&mut self) -> Result<(), EngineError> {
        let begin = if self.next_part < self.watched.len() { self.next_part } else { 0 };
        let end = self.watched.len().min(begin + PART);
        self.map.inner.store.finish_of_dead()?;
        self.sweep(begin..end, Skip::Armed)?;
        self.note_all_found(begin..end)?;
        self.next_part = end;
        self.last_part = Instant::now();
        Ok(())
    }

    /// Looks at one variable; returns its change since the last look.
    fn look(&mut self, at: usize) -> Result<Option<Change>, EngineError> {
        let ask = !self.read_only && !self.is_single();
        let Some(Some(watched)) = self.watched.get_mut(at) else { return Ok(None) };
        let before = watched.handle;
        let change = watched.look(&self.map, ask);
        let (now, owner, gone) = (watched.handle, watched.owner, watched.handle.is_none());
        if watched.busy {
            self.busy.insert(at);
        }
        if before != now {
            if let Some(before) = before.filter(|old| self.by_record.get(&old.at) == Some(&at)) {
                self.by_record.remove(&before.at);
            }
            if let Some(now) = now {
                self.by_record.insert(now.at, at);
            }
        }
        if owner == 0 {
            self.ephemeral.remove(&at);
        } else {
            self.ephemeral.insert(at);
        }
        if change
            .as_ref()
            .is_err_and(|met| met.is_timeout() || matches!(met, EngineError::Contended))
        {
            // The entry that told of it is read. The others have their turn first.
            self.busy.insert(at);
        } else if gone && matches!(self.scope, Scope::Prefix(_)) {
            // Its record is gone. If the name is used again, the ring tells of the new record.
            self.forget(at);
        }
        change
    }

    fn forget(&mut self, at: usize) {
        if let Some(place) = self.watched.get_mut(at)
            && let Some(watched) = place.take()
        {
            self.known.remove(&watched.name);
            self.vacant.push(at);
        }
    }

    /// Whether a variable is to be looked at again soon, although nothing tells of it.
    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Whether any of the values is ephemeral. The death of its owner process adds no entry.
    pub(super) fn has_ephemeral(&self) -> bool {
        !self.ephemeral.is_empty()
    }

    /// Notes the variables with a dead owner process.
    pub(super) fn note_ended(&mut self) -> Result<(), EngineError> {
        let store = &self.map.inner.store;
        let mut asked = HashMap::new();
        for at in &self.ephemeral {
            let Some(Some(watched)) = self.watched.get(*at) else { continue };
            let lives = match asked.get(&watched.owner) {
                Some(lives) => *lives,
                None => {
                    let lives = store.lives(watched.owner)?;
                    asked.insert(watched.owner, lives);
                    lives
                }
            };
            if !lives {
                self.changed.push_back(*at);
            }
        }
        Ok(())
    }
}
