//! The lock of Ruby's gem win32-mmap, to share its maps with programs that still use it.

use crate::{
    error::{Error, Result},
    options::SectionOptions,
    section::{handle::Section, shared::Shared, view::View},
    sys::{Imp, Platform},
};
use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The lock of a section that is laid out as the gem does.
///
/// On Windows the gem's own: a semaphore `<name>.ruby_lock` (`.ruby_lock` for a section without a
/// name), of initial and maximum count 1. Whoever posts it gives it back, so it protects only as far
/// as all heed it; that its holder is gone is found out by who waits. Elsewhere, where there is no
/// gem to meet, a lock on one byte far beyond the section's end, which the system gives back.
///
/// Threads of this process take turns by a lock of their own.
pub struct RubyLock {
    sys: <Imp as Platform>::RubyLock,
    section: Option<Arc<Shared>>,
    busy: Mutex<bool>,
    free: Condvar,
}

/// The lock, taken; [`give`](Self::give) it back, or drop it.
#[must_use = "dropping it gives the lock back"]
pub struct RubyHeld<'a> {
    lock: Option<&'a RubyLock>,
    /// Whether its last holder was gone.
    recovered: bool,
    since: Instant,
    // Windows lets only the thread that took it give it back.
    _thread: PhantomData<*const ()>,
}

/// How the lock was given back.
#[derive(Clone, Copy, Debug)]
pub struct RubyGiven {
    /// Whether nobody gave it back meanwhile: else others may have been at the memory, too.
    pub exclusive: bool,
    /// For how long it was held.
    pub held: Duration,
}

impl RubyLock {
    /// The lock of a section.
    ///
    /// # Errors
    /// [`crate::ErrorKind::PermissionDenied`], [`crate::ErrorKind::NameTaken`] where another kind of
    /// object bears its name; [`crate::ErrorKind::Unsupported`] where the system has no such locks.
    pub fn of(section: &Section) -> Result<Self> {
        let sys = Imp::ruby_lock(&section.shared.options)?;
        Ok(Self::new(sys, Some(section.shared.clone())))
    }

    fn new(sys: <Imp as Platform>::RubyLock, section: Option<Arc<Shared>>) -> Self {
        Self { sys, section, busy: Mutex::new(false), free: Condvar::new() }
    }

    /// Makes a section, which must not exist, and fills it before anybody who heeds the lock can see
    /// that it is empty: a gem that reads zeros keeps the lock for ever.
    ///
    /// # Errors
    /// Those of [`SectionOptions::create_with`] and of [`take`](Self::take).
    pub fn create(
        options: &SectionOptions,
        timeout: Duration,
        fill: impl FnMut(&View) -> Result<()>,
    ) -> Result<(Section, Self)> {
        if Imp::RUBY_LOCK_HAS_A_NAME {
            let mut lock = Self::new(Imp::ruby_lock(options)?, None);
            let held = lock.take(timeout)?;
            let section = options.create_with(fill)?;
            held.give()?;
            lock.section = Some(section.shared.clone());
            return Ok((section, lock));
        }
        // It appears filled.
        let section = options.create_with(fill)?;
        let lock = Self::of(&section)?;
        Ok((section, lock))
    }

    /// Takes it. One whose holder is seen to be gone is taken over.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`]; [`crate::ErrorKind::Closed`] in a child after `fork`.
    pub fn take(&self, timeout: Duration) -> Result<RubyHeld<'_>> {
        let deadline = Instant::now().checked_add(timeout);
        let busy = self.busy();
        let (mut busy, late) = self
            .free
            .wait_timeout_while(busy, timeout, |busy| *busy)
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() && *busy {
            return Err(Error::new(crate::ErrorKind::TimedOut, "", "")
                .detail("another thread of this process waits for it, or holds it"));
        }
        *busy = true;
        drop(busy);
        let left = deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
        match Imp::ruby_take(&self.sys, self.sys_section(), left) {
            Ok(recovered) => Ok(RubyHeld {
                lock: Some(self),
                recovered,
                since: Instant::now(),
                _thread: PhantomData,
            }),
            Err(error) => {
                self.next();
                Err(error)
            }
        }
    }

    /// Frees it where its holder is gone, or (`force`) whoever has it; answers whether it was held.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`] where its holder may live.
    pub fn unlock(&self, force: bool) -> Result<bool> {
        Imp::ruby_unlock(&self.sys, self.sys_section(), force)
    }

    fn sys_section(&self) -> Option<&<Imp as Platform>::Section> {
        self.section.as_ref().map(|shared| &shared.sys)
    }

    fn busy(&self) -> MutexGuard<'_, bool> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) {
        *self.busy() = false;
        self.free.notify_one();
    }
}

impl RubyHeld<'_> {
    /// Whether its last holder was gone, and so may have been killed in the midst of a write.
    pub fn recovered(&self) -> bool {
        self.recovered
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`] with the system's code.
    pub fn give(mut self) -> Result<RubyGiven> {
        self.end()
    }

    fn end(&mut self) -> Result<RubyGiven> {
        let Some(lock) = self.lock.take() else {
            return Ok(RubyGiven { exclusive: true, held: Duration::ZERO });
        };
        let given = Imp::ruby_give(&lock.sys, lock.sys_section());
        lock.next();
        let (exclusive, at) = given?;
        Ok(RubyGiven { exclusive, held: at.saturating_duration_since(self.since) })
    }
}

impl Drop for RubyHeld<'_> {
    fn drop(&mut self) {
        // After an error, which is told.
        let _ = self.end();
    }
}

impl fmt::Debug for RubyLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RubyLock").field("sys", &self.sys).finish_non_exhaustive()
    }
}

impl fmt::Debug for RubyHeld<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RubyHeld").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}
