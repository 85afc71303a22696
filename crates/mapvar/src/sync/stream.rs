//! Watches for programs that wait for many things at once: a stream of changes, and one thread of a
//! map that wakes all of them.

use crate::{
    sync::change::Change,
    sync::notifier::{Notifier, Waiter},
    sync::watch::Watch,
};
use futures_core::Stream;
use mapvar_engine::{handle::Handle, record::wait::Observed};
use mapvar_os::Result;
use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// The changes that a [`Watch`] tells, as a [`Stream`] without end; from [`Watch::into_stream`].
///
/// Cancelling a wait loses no change.
pub struct Changes {
    // Before the thread that wakes it: who is not registered is not woken.
    place: Registration,
    watch: Watch,
}

impl Watch {
    /// The same changes as a [`Stream`], for tasks: of tokio or any other executor. One thread of
    /// the map waits for all its streams, however many there are, and ends with the last of them.
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
    /// [`Io`](crate::ErrorKind::Io) where the system starts no thread.
    pub fn into_stream(self) -> Result<Changes> {
        let notifier = Notifier::of(self.inner())?;
        let number = {
            let mut waiting = notifier.shared.waiting();
            waiting.next += 1;
            waiting.next
        };
        Ok(Changes { place: Registration { notifier, number }, watch: self })
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
struct Registration {
    notifier: Arc<Notifier>,
    number: u64,
}

impl Registration {
    fn register(&self, waker: &Waker, probe: Option<(Handle, Observed)>, ends: bool) {
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

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}
