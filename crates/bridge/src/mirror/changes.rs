//! Which variables of a map have changed: a thread that watches, and a set of names for the task.
//!
//! The set coalesces: a variable that changes a thousand times before it is sent is in it once. While
//! the set is large the thread does not look at the map, since the watch coalesces at no cost.

use mapvar::{Error, Map};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::Notify;

/// How long the thread waits before it checks whether it should end.
const SLICE: Duration = Duration::from_millis(200);

/// The thread looks at the map no further once the set has so many names.
const ENOUGH: usize = 256;

/// The variables whose names begin so belong to the bridge, and do not travel.
pub(crate) const OWN: &str = "mapvar.bridge";

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Progress>,
    /// There may be names.
    wake: Notify,
    /// The names have been taken.
    taken: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Progress {
    names: BTreeSet<String>,
    /// The watch has begun, so no later change is missed.
    watching: bool,
    failed: Option<Error>,
}

/// A watch of a prefix. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Changes(Arc<Shared>);

impl Changes {
    /// Begins to watch, as soon as no other bridge mirrors the same prefix of the map to the same
    /// kind of target.
    pub(crate) fn of(map: &Map, prefix: &str, target: &str) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let lock = format!("{OWN}/{target}{prefix}");
        let (ours, map, prefix) = (Arc::clone(&shared), map.clone(), prefix.to_owned());
        let thread = thread::Builder::new().name("changes".into()).spawn(move || {
            if let Err(error) = ours.watch(&map, &prefix, &lock) {
                ours.progress().failed = Some(error);
                ours.wake.notify_one();
            }
        });
        match thread {
            Ok(_) => Ok(Self(shared)),
            Err(cause) => {
                let error = Error::new(mapvar::ErrorKind::NoSpace, "start thread", "changes");
                Err(error.because(cause))
            }
        }
    }

    /// Waits until there may be something new.
    pub(crate) async fn some(&self) {
        self.0.wake.notified().await;
    }

    /// Whether the watch has begun.
    ///
    /// # Errors
    /// The watch has failed.
    pub(crate) fn is_watching(&self) -> Result<bool, Error> {
        let mut progress = self.0.progress();
        progress.failed.take().map_or(Ok(progress.watching), Err)
    }

    /// Takes the names of the variables that have changed. A caller that cannot send now does not
    /// take them: then they go on to coalesce.
    pub(crate) fn take_names(&self) -> BTreeSet<String> {
        let names = std::mem::take(&mut self.0.progress().names);
        if names.len() >= ENOUGH {
            self.0.taken.notify_one();
        }
        names
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic of the thread leaves names, which need no repair.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for a while until the names are taken, if there are many.
    fn has_enough(&self) -> bool {
        let many = |progress: &mut Progress| progress.names.len() >= ENOUGH;
        let waited = self.taken.wait_timeout_while(self.progress(), SLICE, many);
        many(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn watch(&self, map: &Map, prefix: &str, lock: &str) -> Result<(), Error> {
        // Of two bridges of one map, the second waits until the first has ended.
        let lock = map.lock(lock)?;
        let _guard = loop {
            if self.is_stopped() {
                return Ok(());
            }
            match lock.acquire_timeout(SLICE) {
                Ok(guard) => break guard,
                Err(error) if error.kind() == mapvar::ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
            }
        };
        let mut watch = map.watch_prefix(prefix)?;
        self.progress().watching = true;
        self.wake.notify_one();
        while !self.is_stopped() {
            if self.has_enough() {
                continue;
            }
            match watch.recv_timeout(SLICE) {
                Ok(Some(change)) => {
                    if change.name().starts_with(OWN) {
                        continue;
                    }
                    if self.progress().names.insert(change.name().to_owned()) {
                        self.wake.notify_one();
                    }
                }
                Ok(None) => {}
                // One variable cannot be read; the watch goes on with the others.
                Err(error) if error.operation() == "watch variable" => {
                    tracing::warn!("{error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
