//! Locks for async programs: a task waits for a lock, and its thread does other work meanwhile.

use crate::{
    lock::{Lock, LockMode, LockTicket, OwnedLockGuard},
    sync::lock::{Look, next_number},
    sync::stream::Registration,
};
use mapvar_engine::record::wait::{Arming, NAP};
use mapvar_os::Result;
use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Instant,
};

impl Lock {
    /// Acquires the lock for this task, with tokio or any other executor. The guard may be released
    /// by any thread.
    ///
    /// The owner is the task and not its thread: other tasks of the thread wait, and a task that
    /// acquires a lock that it owns already waits for itself. A future that is dropped leaves the
    /// queue. The thread that serves the streams of the map wakes the task.
    ///
    /// ```
    /// # let name = format!("doc-async-lock.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// use mapvar::lock::LockMode;
    ///
    /// let guard = map.lock("calibration")?.acquire_async(LockMode::Exclusive).await?;
    /// guard.release()?;
    /// # Ok::<(), mapvar::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire), but for `InvalidArgument`;
    /// [`Io`](crate::ErrorKind::Io) if the system cannot start the thread.
    pub async fn acquire_async(&self, mode: LockMode) -> Result<OwnedLockGuard> {
        let mut ticket = self.queue_as(mode, next_number())?;
        let mut place = None;
        poll_fn(|context| poll(&mut ticket, &mut place, context)).await
    }
}

/// How often a task looks at the queue before others run.
const LOOKS: u32 = 8;

fn poll(
    ticket: &mut LockTicket,
    place: &mut Option<Registration>,
    context: &Context<'_>,
) -> Poll<Result<OwnedLockGuard>> {
    for _ in 0..LOOKS {
        let (at, polls) = match ticket.look() {
            Ok(Look::Owned(guard)) => return Poll::Ready(Ok(guard.into())),
            Ok(Look::Blocked { at, polls, .. }) => (at, polls),
            Err(error) => return Poll::Ready(Err(error)),
        };
        let place = match place {
            Some(place) => place,
            None => match Registration::new(ticket.inner()) {
                Ok(new) => place.insert(new),
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        // A death wakes no waiter. The first waiter looks for it, but may itself have died or been
        // stopped.
        let latest = Instant::now().checked_add(NAP);
        // Before `arm` sets WAIT in the map, as for a stream.
        place.register(context.waker(), at, polls, latest);
        let Some(at) = at else { return Poll::Pending };
        match ticket.arm(at) {
            Ok(Arming::Armed) => return Poll::Pending,
            Ok(Arming::Busy) => {
                place.rouse();
                return Poll::Pending;
            }
            Ok(Arming::Changed) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    // The queue changes all the time. Other tasks of the thread take their turn.
    context.waker().wake_by_ref();
    Poll::Pending
}
