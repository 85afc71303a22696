//! Watches for async programs: streams of changes. One thread for each map wakes all its streams.

use crate::{
    map::store_map::Inner,
    sync::change::Change,
    sync::notifier::{Notifier, Waiter},
    sync::watch::Watch,
};
use futures_core::Stream;
use mapvar_engine::{
    handle::Handle,
    record::wait::{Arming, Observed},
};
use mapvar_os::Result;
use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

/// An endless [`Stream`] of the changes that a [`Watch`] returns; from [`Watch::into_stream`].
///
/// Cancelling a wait loses no change.
///
/// ```
/// # let name = format!("doc-changes.{}", std::process::id());
/// # let map = mapvar::Map::options().name(&name).create()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let mut changes: mapvar::Changes = map.watch_prefix("sensor/")?.into_stream()?;
/// map.set("sensor/7", 21.5)?;
/// let change = changes.change().await?;
/// assert_eq!(change.name(), "sensor/7");
/// # Ok::<(), mapvar::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Changes {
    place: Registration,
    watch: Watch,
}

impl Watch {
    /// Turns the watch into a [`Stream`] of its changes, for tokio or any other executor.
    ///
    /// One thread for each map waits for all its streams, and ends with the last of them.
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
    /// [`Io`](crate::ErrorKind::Io) if the system cannot start the thread.
    pub fn into_stream(self) -> Result<Changes> {
        Ok(Changes { place: Registration::new(self.inner())?, watch: self })
    }
}

impl Changes {
    /// Waits for the next change. The future may be dropped at any time: no change is lost.
    ///
    /// # Errors
    /// Those of [`Watch::recv`].
    pub async fn change(&mut self) -> Result<Change> {
        poll_fn(|context| self.poll_change(context)).await
    }

    fn poll_change(&mut self, context: &Context<'_>) -> Poll<Result<Change>> {
        loop {
            if let Some(change) = self.watch.try_recv().transpose() {
                self.place.leave();
                return Poll::Ready(change);
            }
            // Before `arm` sets WAIT in the map. A writer that finds WAIT wakes the notifier, which
            // must find this waker: otherwise the change wakes no task.
            self.place.register(
                context.waker(),
                self.watch.single(),
                self.watch.watches_ephemeral(),
                None,
            );
            match self.watch.arm() {
                Ok(Arming::Armed) => return Poll::Pending,
                Ok(Arming::Busy) => {
                    self.place.rouse();
                    return Poll::Pending;
                }
                Ok(Arming::Changed) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Stream for Changes {
    type Item = Result<Change>;

    /// Polls for the next change. The stream never ends, and may be polled again after an error.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_change(context).map(Some)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Changes").field(&self.watch).finish()
    }
}

/// The registration of a task with the notifier, which wakes it. Dropping it removes the task.
pub(super) struct Registration {
    notifier: Arc<Notifier>,
    number: u64,
}

impl Registration {
    pub(super) fn new(inner: &Arc<Inner>) -> Result<Self> {
        let notifier = Notifier::of(inner)?;
        let number = notifier.shared.next_number();
        Ok(Self { notifier, number })
    }

    pub(super) fn register(
        &self,
        waker: &Waker,
        probe: Option<(Handle, Observed)>,
        polls: bool,
        latest: Option<Instant>,
    ) {
        let waiter = Waiter { waker: waker.clone(), probe, polls, latest };
        self.notifier.shared.register(self.number, waiter);
    }

    /// After [`Arming::Busy`]: the thread arms the variable again, and may be asleep for longer.
    pub(super) fn rouse(&self) {
        self.notifier.shared.rouse();
    }

    fn leave(&self) {
        self.notifier.shared.leave(self.number);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}
