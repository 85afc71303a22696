//! The thread that wakes the streams of a map's changes.

use crate::{map::store_map::Inner, sync::watch::LOOK, sync::watch::SHORT_NAP};
use mapvar_engine::{
    handle::Handle,
    layout::live,
    mem::Mem,
    record::wait::{NAP, Observed},
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
    time::Duration,
};

/// The thread that wakes all streams of a map.
pub(crate) struct Notifier {
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    inner: Arc<Inner>,
    waiting: Mutex<Waiting>,
    ended: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) waiters: HashMap<u64, Waiter>,
    pub(crate) next: u64,
}

pub(crate) struct Waiter {
    pub(crate) waker: Waker,
    /// The one variable that it waits for; else it is to look by itself.
    pub(crate) probe: Option<(Handle, Observed)>,
    /// Whether what it waits for ends with a process, of which nobody is woken.
    pub(crate) ends: bool,
}

impl Notifier {
    /// The one of this map.
    pub(crate) fn of(inner: &Arc<Inner>) -> Result<Arc<Self>> {
        let mut notifier = inner.notifier.lock().unwrap_or_else(PoisonError::into_inner);
        let there = notifier.as_ref().and_then(Weak::upgrade);
        if let Some(Ok(there)) = there.map(Arc::downcast) {
            return Ok(there);
        }
        let shared = Arc::new(Shared {
            inner: Arc::clone(inner),
            waiting: Mutex::default(),
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
        // One needless look of those who sleep on it.
        if self.shared.inner.store.live_mut().is_ok() {
            self.shared.inner.store.mem().wake(live::CHANGES_WAKE);
        }
        // So that the map's memory is let go when its last handle is, and not some milliseconds later.
        // Not where a waker has dropped the last stream: that is in the thread itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // Where it does not sleep in the map.
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(crate) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mem = self.inner.store.mem();
        while !self.ended.load(Relaxed) {
            // SYNC POINT S18: before the looks.
            let seen = mem.wakes(live::CHANGES_WAKE);
            let nap = self.wake_changed();
            let parked = match seen {
                Ok(seen) => {
                    let _told = mem.tell_sleeping(live::CHANGES_WAKE);
                    mem.park(live::CHANGES_WAKE, seen, nap).is_ok()
                }
                Err(_) => false,
            };
            if !parked {
                // Mapped for reading, or no object of the system's is to be had: looked at again and
                // again.
                thread::park_timeout(LOOK);
            }
        }
    }

    /// Wakes those for whom something may have changed; answers for how long nobody else need be.
    fn wake_changed(&self) -> Duration {
        let mut nap = NAP;
        let mut woken = Vec::new();
        {
            let mut waiting = self.waiting();
            let changed = |_: &u64, waiter: &mut Waiter| {
                if waiter.ends {
                    nap = SHORT_NAP;
                }
                match waiter.probe {
                    // Armed once more: of an Atomic that changed and changed back nothing else is left.
                    Some((handle, stand)) if !waiter.ends => {
                        !self.inner.store.arm(handle, stand).unwrap_or(false)
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
