//! The thread that wakes the tasks that wait for changes of a map.

use crate::{
    map::store_map::Inner, map::store_map::NameChecks, sync::watch::LOOK, sync::watch::SHORT_NAP,
};
use mapvar_engine::{
    handle::Handle,
    layout::live,
    mem::Mem,
    record::wait::{Arming, BUSY_NAP, NAP, Observed},
};
use mapvar_os::{Error, ErrorKind, Result};
use std::{
    collections::HashMap,
    sync::Weak,
    sync::atomic::AtomicBool,
    sync::atomic::Ordering::Relaxed,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The thread that wakes all tasks that wait on a map: for its change streams, and for its locks.
/// It ends with the last of them.
pub(crate) struct Notifier {
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    inner: Arc<Inner>,
    waiting: Mutex<Waiting>,
    ended: AtomicBool,
}

pub(crate) struct Waiting {
    waiters: HashMap<u64, Waiter>,
    next: u64,
    /// The wake word on which the thread sleeps, or is about to.
    word: u64,
    /// Whether a variable of a task is busy: the thread wakes the tasks after a moment, whatever
    /// happens.
    busy: bool,
}

impl Waiting {
    /// The wake word that every change adds to for which a task waits. With a single variable it is
    /// the variable's own: on the word for several, other threads and other changes would wake the
    /// thread. Without tasks it stays the last one, since the same task is likely to come again.
    fn word(&self) -> u64 {
        let mut words = self.waiters.values().map(Waiter::word);
        match words.next() {
            None => self.word,
            Some(first) if words.all(|word| word == first) => first,
            Some(_) => live::CHANGES_WAKE,
        }
    }
}

pub(crate) struct Waiter {
    pub(crate) waker: Waker,
    /// The single variable that the task waits for. With `None`, every wake-up wakes the task,
    /// which checks its variables itself.
    pub(crate) probe: Option<(Handle, Observed)>,
    /// Whether the task waits for the death of a process too: of the owner of an ephemeral variable
    /// or of a lock. A death wakes no waiter, so the task has to poll.
    pub(crate) polls: bool,
    /// When the task is woken, whatever else happens.
    pub(crate) latest: Option<Instant>,
}

impl Waiter {
    fn word(&self) -> u64 {
        self.probe.map_or(live::CHANGES_WAKE, |(handle, _)| handle.wake())
    }
}

impl Notifier {
    /// Returns the notifier of this map. Starts its thread if there is none.
    pub(crate) fn of(inner: &Arc<Inner>) -> Result<Arc<Self>> {
        let mut notifier = inner.notifier.lock().unwrap_or_else(PoisonError::into_inner);
        let there = notifier.as_ref().and_then(Weak::upgrade);
        if let Some(Ok(there)) = there.map(Arc::downcast) {
            return Ok(there);
        }
        let shared = Arc::new(Shared {
            inner: Arc::clone(inner),
            waiting: Mutex::new(Waiting {
                waiters: HashMap::new(),
                next: 0,
                word: live::CHANGES_WAKE,
                busy: false,
            }),
            ended: AtomicBool::new(false),
        });
        let run = Arc::clone(&shared);
        let thread = thread::Builder::new().name("mapvar-changes".into()).spawn(move || run.run());
        let thread = thread.map_err(|cause| {
            let error = Error::new(ErrorKind::Io, "start a thread for changes of", &*inner.object);
            error.because(cause)
        })?;
        let new = Arc::new(Self { shared, thread: Some(thread) });
        let kept: Weak<Self> = Arc::downgrade(&new);
        *notifier = Some(kept);
        Ok(new)
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        // After `ended`: a thread that chooses another word later sees it.
        let word = self.shared.waiting().word;
        self.shared.wake_thread(word);
        // The thread holds the map open: without the join, the map's memory would outlive its last
        // handle by some milliseconds. A waker may drop the last stream on this very thread, which
        // cannot join itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // For a thread that sleeps in `park_timeout`.
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread from its sleep on `word`. Other waiters on the word check their variables
    /// once without need.
    fn wake_thread(&self, word: u64) {
        if self.inner.store.live_mut().is_ok() {
            self.inner.store.mem().wake(word);
        }
    }

    /// Has the thread look at all variables soon: that of a task is [`Busy`](Arming::Busy).
    pub(crate) fn rouse(&self) {
        let word = {
            let mut waiting = self.waiting();
            waiting.busy = true;
            waiting.word
        };
        self.wake_thread(word);
    }

    /// Returns a number for a task.
    pub(crate) fn next_number(&self) -> u64 {
        let mut waiting = self.waiting();
        waiting.next += 1;
        waiting.next
    }

    /// Registers the task of this number to be woken.
    pub(crate) fn register(&self, number: u64, waiter: Waiter) {
        let (former, other) = {
            let mut waiting = self.waiting();
            let (of_task, word) = (waiter.word(), waiting.word);
            let former = waiting.waiters.insert(number, waiter);
            (former, (word != of_task && word != live::CHANGES_WAKE).then_some(word))
        };
        // Dropped after the mutex is released: a waker runs code of the executor, which could call
        // back into this registration.
        drop(former);
        if let Some(word) = other {
            // The thread sleeps on the word of another variable.
            self.wake_thread(word);
        }
    }

    /// Removes the task of this number.
    pub(crate) fn leave(&self, number: u64) {
        let former = self.waiting().waiters.remove(&number);
        drop(former);
    }

    fn run(&self) {
        let mem = self.inner.store.mem();
        let mut names = NameChecks::new();
        loop {
            let (word, seen, busy) = {
                let mut waiting = self.waiting();
                let busy = std::mem::take(&mut waiting.busy);
                waiting.word = waiting.word();
                // SYNC POINT S18. Pairs with the addition in Locks::wake. The count is loaded before
                // the variables are checked. Otherwise `park` would sleep through a change that
                // comes after the check. Within the mutex: a task that registers later for another
                // word adds to this one.
                (waiting.word, mem.wakes(waiting.word), busy)
            };
            if self.ended.load(Relaxed) {
                return;
            }
            if let (true, Ok(seen)) = (busy, &seen) {
                // The owner of the lock needs a moment. Tasks of several variables are woken by each
                // look, and would have the thread look again at once.
                let _ = mem.park(word, *seen, BUSY_NAP);
            }
            // Nobody else may come to wake the streams of a map whose name is gone: each checks the
            // name itself and reports it.
            let nap = self.wake_changed(names.check(&self.inner).is_err());
            let parked = match seen {
                Ok(seen) => {
                    let _sleeping = mem.announce_sleep(word);
                    mem.park(word, seen, nap).is_ok()
                }
                Err(_) => false,
            };
            if !parked {
                // The map is read-only, or the system refused to sleep on the word: poll.
                thread::park_timeout(LOOK);
            }
        }
    }

    /// Wakes each stream with variables that may have changed, or every stream. Returns how long the
    /// thread may sleep.
    fn wake_changed(&self, all: bool) -> Duration {
        let mut nap = NAP;
        let mut woken = Vec::new();
        {
            let mut waiting = self.waiting();
            let now = Instant::now();
            let changed = |_: &u64, waiter: &mut Waiter| {
                if waiter.polls {
                    nap = SHORT_NAP.min(nap);
                }
                if let Some(latest) = waiter.latest {
                    if latest <= now {
                        return true;
                    }
                    nap = nap.min(latest - now);
                }
                match waiter.probe {
                    // `arm` sets WAIT again. An Atomic that changed and changed back looks
                    // unchanged, but its writer has cleared WAIT: without it, the next change wakes
                    // no waiter.
                    Some((handle, observed)) if !waiter.polls && !all => {
                        match self.inner.store.arm(handle, observed) {
                            Ok(Arming::Armed) => false,
                            Ok(Arming::Busy) => {
                                nap = nap.min(BUSY_NAP);
                                false
                            }
                            Ok(Arming::Changed) | Err(_) => true,
                        }
                    }
                    _ => true,
                }
            };
            woken.extend(waiting.waiters.extract_if(changed).map(|(_, waiter)| waiter.waker));
        }
        for waker in woken {
            waker.wake();
        }
        nap
    }
}
