//! The lock of Ruby's gem win32-mmap, to share maps with programs that use the gem.

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

/// The lock of a section in the layout of the gem win32-mmap.
///
/// On Windows it is the gem's own semaphore, `<name>.ruby_lock` (`.ruby_lock` for a section without
/// a name), with an initial and maximum count of 1. Any program can post a semaphore, so the lock
/// protects the memory only if all programs follow the protocol. A waiter detects that the owner is
/// dead. Elsewhere the gem does not run. There the lock is a file lock on one byte far beyond the
/// end of the section, which the kernel releases when the owner ends.
///
/// A thread first acquires a lock that is private to this process.
///
/// ```
/// use mapvar_os::{Name, RubyLock, Scope, Section};
/// use std::time::Duration;
///
/// let name = Name::of_gem(&format!("mapvar-os-gem.{}", std::process::id()), Scope::Local)?;
/// let options = Section::options().name(name).size(4096);
/// let (section, lock) = RubyLock::create(&options, Duration::from_secs(5), |view| {
///     view.write_at(0, b"initial")
/// })?;
///
/// let held = lock.take(Duration::from_secs(5))?;
/// section.view().map()?.write_at(0, b"changed")?;
/// let given = held.give()?;
/// assert!(given.exclusive, "no other program released the lock meanwhile");
/// # Ok::<(), mapvar_os::Error>(())
/// ```
pub struct RubyLock {
    sys: <Imp as Platform>::RubyLock,
    section: Option<Arc<Shared>>,
    busy: Mutex<bool>,
    free: Condvar,
    /// The generation of the process that opened it. In a child after `fork`, another thread of the
    /// parent may own `busy` for ever.
    generation: u32,
}

/// The RAII guard of a [`RubyLock`] that this thread owns; from [`RubyLock::take`].
///
/// [`give`](Self::give) releases the lock and reports errors; a drop releases it and ignores them.
/// [`RubyLock`] has an example.
#[must_use = "dropping it releases the lock"]
pub struct RubyHeld<'a> {
    lock: Option<&'a RubyLock>,
    /// Whether the previous owner was dead.
    recovered: bool,
    since: Instant,
    // Not `Send`: on Windows only the thread that acquired the lock can release it.
    _thread: PhantomData<*const ()>,
}

/// The result of releasing a [`RubyLock`]; from [`RubyHeld::give`].
///
/// [`RubyLock`] has an example.
#[derive(Clone, Copy, Debug)]
pub struct RubyGiven {
    /// Whether no other program released the lock meanwhile. If false, another program may have
    /// written to the memory at the same time.
    pub exclusive: bool,
    /// The time for which the lock was owned.
    pub held: Duration,
}

impl RubyLock {
    /// Opens the lock of a section.
    ///
    /// # Errors
    /// [`crate::ErrorKind::PermissionDenied`]; [`crate::ErrorKind::NameTaken`] if an object of
    /// another kind has its name; [`crate::ErrorKind::Unsupported`] if the system does not support
    /// it.
    pub fn of(section: &Section) -> Result<Self> {
        let sys = Imp::ruby_lock(&section.shared.options)?;
        Ok(Self::new(sys, Some(section.shared.clone())))
    }

    fn new(sys: <Imp as Platform>::RubyLock, section: Option<Arc<Shared>>) -> Self {
        Self {
            sys,
            section,
            busy: Mutex::new(false),
            free: Condvar::new(),
            generation: Imp::generation(),
        }
    }

    /// Creates a section, which must not exist, and fills it under the lock.
    ///
    /// No program that follows the protocol sees the section empty. A gem that reads zeros would
    /// never release the lock.
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
        // The section is published complete, so no program sees it empty.
        let section = options.create_with(fill)?;
        let lock = Self::of(&section)?;
        Ok((section, lock))
    }

    /// Acquires the lock, and waits up to `timeout`. A lock whose owner is detected to be dead is
    /// recovered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`]; [`crate::ErrorKind::Closed`] in a child after `fork`.
    pub fn take(&self, timeout: Duration) -> Result<RubyHeld<'_>> {
        if !Imp::is_generation(self.generation) {
            return Err(Error::new(crate::ErrorKind::Closed, "", "")
                .detail("it belongs to the process that this one was forked from; open it here"));
        }
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

    /// Releases the lock if its owner is dead, or, with `force`, regardless of its owner.
    ///
    /// Returns whether the lock was owned. On Unix the kernel releases the lock of a dead owner,
    /// and `force` has no effect.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`] if the owner may be alive.
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
    /// Returns whether the previous owner was dead, so that it may have been killed during a write.
    pub fn recovered(&self) -> bool {
        self.recovered
    }

    /// Releases the lock.
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
        if !Imp::is_generation(lock.generation) {
            return Ok(RubyGiven { exclusive: true, held: Duration::ZERO });
        }
        let given = Imp::ruby_give(&lock.sys, lock.sys_section());
        lock.next();
        let (exclusive, at) = given?;
        Ok(RubyGiven { exclusive, held: at.saturating_duration_since(self.since) })
    }
}

impl Drop for RubyHeld<'_> {
    fn drop(&mut self) {
        // A drop cannot report an error; `give` does.
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
