//! Watches for programs that wait for many things at once: a stream of changes, and one thread of a
//! map that wakes all of them.

use crate::{
    stored::Inner,
    watch::{Change, LOOK, SHORT_NAP, Watch},
};
use futures_core::Stream;
use mapvar_engine::{
    handle::Handle,
    layout::live,
    mem::Mem,
    record::wait::{NAP, Stand},
};
use mapvar_os::{Error, ErrorKind, Result};
use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

/// The changes that a [`Watch`] tells, as a [`Stream`] without end; from [`Watch::into_stream`].
///
/// Cancelling a wait loses no change.
pub struct Changes {
    // Before the thread that wakes it: who is not registered is not woken.
    place: Place,
    watch: Watch,
}

impl Watch {
    /// The same changes as a [`Stream`], for tasks: of tokio or any other executor. One thread of the
    /// map waits for all its streams, however many there are, and ends with the last of them.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-stream.{}", std::process::id())).create()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    ///
    /// let mut changes = map.watch("temperature")?.into_stream()?;
    /// map.set("temperature", 21.5)?;
    /// let change = tokio::time::timeout(Duration::from_secs(5), changes.change()).await??;
    /// assert_eq!(change.get::<f64>()?, 21.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where the system starts no thread.
    pub fn into_stream(self) -> Result<Changes> {
        let notifier = Notifier::of(self.inner())?;
        let number = {
            let mut waiting = notifier.shared.waiting();
            waiting.next += 1;
            waiting.next
        };
        Ok(Changes { place: Place { notifier, number }, watch: self })
    }
}

impl Changes {
    /// The next change. It may be dropped and called again at any time: no change is lost.
    ///
    /// # Errors
    /// Those of [`Watch::wait`].
    pub async fn change(&mut self) -> Result<Change> {
        poll_fn(|context| self.poll_change(context)).await
    }

    fn poll_change(&mut self, context: &Context<'_>) -> Poll<Result<Change>> {
        loop {
            if let Some(change) = self.watch.try_wait().transpose() {
                self.place.leave();
                return Poll::Ready(change);
            }
            // Before it says in the map that it waits: who finds that wakes the notifier, which finds
            // this.
            self.place.register(context.waker(), self.watch.single(), self.watch.ends());
            match self.watch.arm() {
                Ok(true) => return Poll::Pending,
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Stream for Changes {
    type Item = Result<Change>;

    /// The next change; never ends. After an error it may be polled again.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_change(context).map(Some)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Changes").field(&self.watch).finish()
    }
}

/// Where a stream is registered; it leaves when it is dropped.
struct Place {
    notifier: Arc<Notifier>,
    number: u64,
}

impl Place {
    fn register(&self, waker: &Waker, probe: Option<(Handle, Stand)>, ends: bool) {
        let waiter = Waiter { waker: waker.clone(), probe, ends };
        let former = self.notifier.shared.waiting().waiters.insert(self.number, waiter);
        // Out of the lock: a waker is the executor's, and may do as it likes.
        drop(former);
    }

    fn leave(&self) {
        let former = self.notifier.shared.waiting().waiters.remove(&self.number);
        drop(former);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The thread that wakes all streams of a map.
pub(crate) struct Notifier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    inner: Arc<Inner>,
    waiting: Mutex<Waiting>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    waiters: HashMap<u64, Waiter>,
    next: u64,
}

struct Waiter {
    waker: Waker,
    /// The one variable that it waits for; else it is to look by itself.
    probe: Option<(Handle, Stand)>,
    /// Whether what it waits for ends with a process, of which nobody is woken.
    ends: bool,
}

impl Notifier {
    /// The one of this map.
    fn of(inner: &Arc<Inner>) -> Result<Arc<Self>> {
        let mut notifier = inner.notifier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = notifier.upgrade() {
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
        *notifier = Arc::downgrade(&new);
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
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
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
