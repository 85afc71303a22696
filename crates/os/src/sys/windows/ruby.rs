//! The semaphore of the gem win32-mmap, and its recovery from a dead owner.
//!
//! A semaphore has no owner: a process that is killed while it holds one leaves the count at 0 for
//! ever. But a process of the gem keeps its handle as long as it lives. So if the count is 0 and
//! only this process has a handle, the owner is dead, and its count is posted for it.
//!
//! For that rule to hold between several processes of this crate, at most one of them has a handle
//! at any time. It first takes a mutex beside the semaphore, `<name>.ruby_lock.mapvar`. For each
//! acquisition it opens or creates the semaphore, and closes it afterwards. (If no gem has it open,
//! the semaphore dies with that handle, and so does a count of 0 that a killed process of this
//! crate has left.)
//!
//! A race remains. Between the last check of the count and the post, the owner may release and
//! close the semaphore, and another process may open and take it. The count is checked again after
//! the handles, to keep that window small. The effect is one that the gem's own `close` has all the
//! time.

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
    sync::{Mutex, PoisonError},
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
    /// The mutex by which processes of this crate take turns.
    turn: OwnedHandle,
    /// The handle, while the lock is held.
    semaphore: Mutex<Option<OwnedHandle>>,
}

/// The length of a wait before the owner is checked.
const SLICE: Duration = Duration::from_millis(15);

impl RubyLock {
    pub(super) fn new(options: &SectionOptions) -> Result<Self> {
        let of = options.name.as_ref().map(names::object).unwrap_or_default();
        let name = format!("{of}.ruby_lock");
        let turn = format!("{name}.mapvar");
        let wide = Wide::new(&turn)?;
        let private = Private::new()?;
        let attributes = private.attributes(false);
        // SAFETY: attributes and name live until after the call, and the name ends with a zero.
        let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, wide.as_ptr()) };
        if mutex.is_null() {
            return Err(on_a_name(&turn, false, last()));
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        let turn = unsafe { OwnedHandle::from_raw_handle(mutex) };
        Ok(Self { name, turn, semaphore: Mutex::new(None) })
    }

    /// Takes the lock. Returns whether the last owner was dead.
    pub(super) fn take(&self, timeout: Duration) -> Result<bool> {
        let began = Instant::now();
        let turn = self.turn(timeout)?;
        let semaphore = self.open()?;
        let mut recovered = false;
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            match wait::for_object(semaphore.as_handle(), left.min(SLICE))? {
                Waited::Got | Waited::Abandoned => break,
                Waited::TimedOut if is_orphaned(&semaphore)? => {
                    post(&semaphore)?;
                    recovered = true;
                }
                Waited::TimedOut if left <= SLICE => return Err(self.held()),
                Waited::TimedOut => {}
            }
        }
        *self.semaphore.lock().unwrap_or_else(PoisonError::into_inner) = Some(semaphore);
        // `give` releases the turn.
        std::mem::forget(turn);
        Ok(recovered)
    }

    /// Releases the lock. Returns whether no other process had released it in the meantime, and the
    /// time of the release.
    pub(super) fn give(&self) -> Result<(bool, Instant)> {
        let semaphore = self.semaphore.lock().unwrap_or_else(PoisonError::into_inner).take();
        let posted = semaphore.as_ref().map_or(Ok(true), post);
        let at = Instant::now();
        drop(semaphore);
        // Released after the handle is closed, so that the next process of this crate finds no
        // handle but its own.
        drop(Turn(&self.turn));
        posted.map(|posted| (posted, at))
    }

    pub(super) fn unlock(&self, force: bool) -> Result<bool> {
        let _turn = self.turn(Duration::from_secs(1))?;
        let semaphore = self.open()?;
        // An active owner releases it in far less time.
        if wait::for_object(semaphore.as_handle(), Duration::from_millis(100))? != Waited::TimedOut
        {
            post(&semaphore)?;
            return Ok(false);
        }
        if !force && !is_orphaned(&semaphore)? {
            return Err(self.held().detail(
                "a living program has it open, and may hold it; close that program, or use force if \
                 you know that it does not write (the gem keeps it for ever after an exception)",
            ));
        }
        post(&semaphore)?;
        Ok(true)
    }

    fn turn(&self, timeout: Duration) -> Result<Turn<'_>> {
        match wait::for_object(self.turn.as_handle(), timeout)? {
            // Abandoned is as good as free: a killed process leaves the same state as a killed gem.
            Waited::Got | Waited::Abandoned => Ok(Turn(&self.turn)),
            Waited::TimedOut => Err(self.held()),
        }
    }

    /// Opens the semaphore, or creates it if there is none.
    fn open(&self) -> Result<OwnedHandle> {
        let name = Wide::new(&self.name)?;
        let private = Private::new()?;
        let attributes = private.attributes(false);
        // SAFETY: attributes and name live until after the call, and the name ends with a zero.
        let semaphore = unsafe { CreateSemaphoreW(attributes.as_ptr(), 1, 1, name.as_ptr()) };
        if semaphore.is_null() {
            return Err(on_a_name(&self.name, false, last()));
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        Ok(unsafe { OwnedHandle::from_raw_handle(semaphore) })
    }

    fn held(&self) -> Error {
        Error::new(ErrorKind::TimedOut, "", "").detail(format!(
            "the semaphore {} was not released in time; a program that uses the gem owns it, or \
             kept it after an exception: `mapvar unlock` frees it",
            self.name
        ))
    }
}

/// RAII guard for the turn of this thread.
struct Turn<'a>(&'a OwnedHandle);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this thread holds the mutex: each `Turn` is dropped on
        // the thread that made it. `take` forgets its `Turn`, and `give` makes another on the
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

/// Returns whether no living process could release the semaphore. Fails if the system does not
/// report the count or the handles.
fn is_orphaned(semaphore: &OwnedHandle) -> Result<bool> {
    Ok(count(semaphore)? == 0 && handles(semaphore)? == 1 && count(semaphore)? == 0)
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
