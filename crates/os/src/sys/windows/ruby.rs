//! The semaphore of the gem win32-mmap, and its recovery from a dead owner.
//!
//! A semaphore has no owner: a process that is killed while it holds one leaves the count at 0 for
//! ever. So processes of this crate acquire it together with a mutex beside it,
//! `<name>.ruby_lock.mapvar.owner`, by one wait for both. A process that holds the lock therefore
//! owns the mutex, and if it is killed, the system reports the mutex as abandoned: then the dead
//! process held the lock, and the successor posts the count for it.
//!
//! A process of the gem has no mutex, but keeps its handle to the semaphore as long as it lives. So
//! if the count is 0, nobody owns the mutex, and only processes of this crate have the semaphore
//! open, then the owner was of the gem and is dead. To tell whose the handles are, each
//! [`RubyLock`] has exactly one handle to each of the two objects: there are as many handles to the
//! semaphore as to the mutex if there is no other program. The semaphore is opened before the mutex
//! and closed after it, so that in between there is a handle too many, and no lock is taken away.
//!
//! Two races remain. Between the last check of the count and the post, the owner may release and
//! close the semaphore, and another process may open and take it. And a process that is killed
//! between its post and the release of the mutex seems to have held the lock. Before a post, the
//! recoverer therefore waits for the semaphore once more, for much longer than an active owner
//! holds it. The effect is one that the gem's own `close` has all the time.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    cvt::{is, last, on_a_name, status},
    names::{self, Wide},
    security::Private,
    wait::{self, Waited},
};
use crate::{
    error::{Error, ErrorKind, Result},
    options::SectionOptions,
};
use std::{
    ffi::c_void,
    os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle},
    ptr::null_mut,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Foundation::{ERROR_TOO_MANY_POSTS, HANDLE, NTSTATUS},
    System::Threading::{CreateMutexW, CreateSemaphoreW, ReleaseMutex, ReleaseSemaphore},
};

#[derive(Debug)]
pub(crate) struct RubyLock {
    /// The semaphore's name.
    name: String,
    // The order of these two is that in which they are closed (see above).
    /// The mutex that a process of this crate owns together with the semaphore.
    owner: OwnedHandle,
    semaphore: OwnedHandle,
}

/// The length of a wait before the owner is checked.
const SLICE: Duration = Duration::from_millis(15);

/// The names of the locks that threads of this process hold. A thread may acquire a mutex that it
/// owns again, so the mutex alone would not show such a thread that the lock is held.
static HELD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The outcome of an attempt to recover the lock.
enum Recovery {
    /// The lock is held now.
    Taken { recovered: bool },
    /// The count was posted for a dead owner.
    Posted,
    /// The owner may be alive.
    None,
}

impl RubyLock {
    pub(super) fn new(options: &SectionOptions) -> Result<Self> {
        let of = options.name.as_ref().map(names::object).unwrap_or_default();
        let name = format!("{of}.ruby_lock");
        let private = Private::new()?;
        let attributes = private.attributes(false);
        let wide = Wide::new(&name)?;
        // SAFETY: attributes and name live until after the call, and the name ends with a zero.
        let semaphore = unsafe { CreateSemaphoreW(attributes.as_ptr(), 1, 1, wide.as_ptr()) };
        if semaphore.is_null() {
            return Err(on_a_name(&name, false, last()));
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        let semaphore = unsafe { OwnedHandle::from_raw_handle(semaphore) };
        let owner = format!("{name}.mapvar.owner");
        let wide = Wide::new(&owner)?;
        // SAFETY: as above.
        let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, wide.as_ptr()) };
        if mutex.is_null() {
            return Err(on_a_name(&owner, false, last()));
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        let owner = unsafe { OwnedHandle::from_raw_handle(mutex) };
        Ok(Self { name, owner, semaphore })
    }

    /// Takes the lock. Returns whether the last owner was dead.
    pub(super) fn take(&self, timeout: Duration) -> Result<bool> {
        let began = Instant::now();
        let mut recovered = false;
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            match self.wait(left.min(SLICE))? {
                Waited::Got => break,
                Waited::Abandoned => {
                    recovered = true;
                    break;
                }
                Waited::TimedOut => {}
            }
            match self.recover()? {
                Recovery::Taken { recovered: now } => {
                    recovered |= now;
                    break;
                }
                Recovery::Posted => recovered = true,
                Recovery::None if left <= SLICE => return Err(self.timed_out()),
                Recovery::None => {}
            }
        }
        held().push(self.name.clone());
        Ok(recovered)
    }

    /// Releases the lock. Returns whether no other process had released it in the meantime, and the
    /// time of the release.
    pub(super) fn give(&self) -> Result<(bool, Instant)> {
        {
            let mut held = held();
            if let Some(at) = held.iter().position(|name| *name == self.name) {
                held.swap_remove(at);
            }
        }
        let posted = post(&self.semaphore);
        let at = Instant::now();
        // Last: a process that is killed in between has given the semaphore back, and a successor
        // that waits for it gets it. The other way round it would be lost without a trace.
        drop(Owner(&self.owner));
        posted.map(|posted| (posted, at))
    }

    pub(super) fn unlock(&self, force: bool) -> Result<bool> {
        // An active owner releases it in far less time.
        if self.wait(Duration::from_millis(100))? != Waited::TimedOut {
            self.give()?;
            return Ok(false);
        }
        match self.recover()? {
            Recovery::Taken { recovered } => {
                self.give()?;
                return Ok(recovered);
            }
            Recovery::Posted => return Ok(true),
            Recovery::None => {}
        }
        if !force {
            return Err(self.timed_out().detail(
                "a living program has it open, and may hold it; close that program, or use force if \
                 you know that it does not write (the gem keeps it for ever after an exception)",
            ));
        }
        post(&self.semaphore)?;
        Ok(true)
    }

    /// Waits for both objects.
    fn wait(&self, timeout: Duration) -> Result<Waited> {
        wait::for_both([self.semaphore.as_handle(), self.owner.as_handle()], timeout)
    }

    /// Takes the lock, or posts its count, if its owner is dead.
    fn recover(&self) -> Result<Recovery> {
        if held().contains(&self.name) {
            return Ok(Recovery::None);
        }
        let abandoned = match wait::for_object(self.owner.as_handle(), Duration::ZERO)? {
            Waited::Got => false,
            Waited::Abandoned => true,
            // A living process of this crate holds the lock.
            Waited::TimedOut => return Ok(Recovery::None),
        };
        // If this process is killed from here on, the next one finds the mutex abandoned again.
        let owner = Owner(&self.owner);
        for _ in 0..2 {
            if !abandoned && !self.is_orphaned()? {
                return Ok(Recovery::None);
            }
            // An active owner releases it in far less time.
            if wait::for_object(self.semaphore.as_handle(), SLICE)? != Waited::TimedOut {
                // `give` releases the mutex.
                std::mem::forget(owner);
                return Ok(Recovery::Taken { recovered: abandoned });
            }
        }
        if !abandoned && !self.is_orphaned()? {
            return Ok(Recovery::None);
        }
        post(&self.semaphore)?;
        Ok(Recovery::Posted)
    }

    /// Returns whether the semaphore is taken, and no program but those of this crate has it open.
    /// Fails if the system does not report the count or the handles.
    fn is_orphaned(&self) -> Result<bool> {
        if count(&self.semaphore)? != 0 {
            return Ok(false);
        }
        let ours = handles(&self.owner)?;
        let all = handles(&self.semaphore)?;
        Ok(all == ours && handles(&self.owner)? == ours && count(&self.semaphore)? == 0)
    }

    fn timed_out(&self) -> Error {
        Error::new(ErrorKind::TimedOut, "", "").detail(format!(
            "the semaphore {} was not released in time; a program that uses the gem owns it, or \
             kept it after an exception: `mapvar unlock` frees it",
            self.name
        ))
    }
}

fn held() -> MutexGuard<'static, Vec<String>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RAII guard for the mutex that this thread owns.
struct Owner<'a>(&'a OwnedHandle);

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this thread owns the mutex: each `Owner` is dropped on
        // the thread that made it. `recover` forgets its `Owner`, and `give` makes another on the
        // thread of `crate::RubyHeld`, which is not `Send`.
        unsafe { ReleaseMutex(self.0.as_raw_handle()) };
    }
}

/// Releases the semaphore. Returns false if the count is full: another process has released it
/// already.
fn post(semaphore: &OwnedHandle) -> Result<bool> {
    // SAFETY: the handle is open for as long as it is borrowed; the pointer for the former count
    // may be null.
    if unsafe { ReleaseSemaphore(semaphore.as_raw_handle(), 1, null_mut()) } != 0 {
        return Ok(true);
    }
    let error = last();
    if is(&error, ERROR_TOO_MANY_POSTS) { Ok(false) } else { Err(error) }
}

/// The result of `NtQuerySemaphore`, class 0.
#[repr(C)]
#[derive(Default)]
struct SemaphoreBasicInformation {
    current: i32,
    maximum: i32,
}

/// The result of `NtQueryObject`, class 0.
#[repr(C)]
#[derive(Default)]
struct ObjectBasicInformation {
    attributes: u32,
    access: u32,
    handles: u32,
    pointers: u32,
    reserved: [u32; 10],
}

#[cfg_attr(
    not(target_arch = "x86"),
    link(name = "ntdll.dll", kind = "raw-dylib", modifiers = "+verbatim")
)]
#[cfg_attr(
    target_arch = "x86",
    link(
        name = "ntdll.dll",
        kind = "raw-dylib",
        modifiers = "+verbatim",
        import_name_type = "undecorated"
    )
)]
unsafe extern "system" {
    fn NtQuerySemaphore(
        semaphore: HANDLE,
        class: i32,
        information: *mut c_void,
        len: u32,
        returned_len: *mut u32,
    ) -> NTSTATUS;
    fn NtQueryObject(
        object: HANDLE,
        class: i32,
        information: *mut c_void,
        len: u32,
        returned_len: *mut u32,
    ) -> NTSTATUS;
}

fn count(semaphore: &OwnedHandle) -> Result<i32> {
    let mut of = SemaphoreBasicInformation::default();
    // SAFETY: the handle is open for as long as it is borrowed. The out pointer leads to as many
    // bytes as the length says, and the pointer for the returned length may be null.
    let code = unsafe {
        NtQuerySemaphore(
            semaphore.as_raw_handle(),
            0,
            (&raw mut of).cast(),
            size_of::<SemaphoreBasicInformation>() as u32,
            null_mut(),
        )
    };
    if code < 0 { Err(status(code)) } else { Ok(of.current) }
}

fn handles(object: &OwnedHandle) -> Result<u32> {
    let mut of = ObjectBasicInformation::default();
    // SAFETY: as in `count`.
    let code = unsafe {
        NtQueryObject(
            object.as_raw_handle(),
            0,
            (&raw mut of).cast(),
            size_of::<ObjectBasicInformation>() as u32,
            null_mut(),
        )
    };
    if code < 0 { Err(status(code)) } else { Ok(of.handles) }
}
