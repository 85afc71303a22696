//! The semaphore of the gem win32-mmap, and who is gone though it was not given back.
//!
//! A semaphore has no owner: a process that is killed while it holds one leaves the count at 0 for
//! ever. But a process of the gem keeps its handle as long as it lives. So where the count is 0 and
//! nobody has a handle but us, the holder is gone, and its count is posted for it.
//!
//! For that rule to hold between several processes of ours, at most one of them has a handle at any
//! time: a mutex of our own beside the semaphore, `<name>.ruby_lock.mapvar`, is taken first, and the
//! semaphore is opened, or made, for each acquisition, and closed after it. (Where no gem has it open
//! it goes with that handle, and so does the count that a killed one of us has left at 0.)
//!
//! A window remains: a holder that gives back and closes, and another that opens and takes, all
//! between the last look at the count and the post. The count is looked at after the handles for it to be
//! small; what comes of it is what a gem's `close` does all the time.

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
    /// Whose turn it is among our processes.
    turn: OwnedHandle,
    /// While it is held.
    semaphore: Mutex<Option<OwnedHandle>>,
}

/// How long a wait is before the holder is looked after.
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
        // SAFETY: the call gave us this handle, and nobody else has it.
        let turn = unsafe { OwnedHandle::from_raw_handle(mutex) };
        Ok(Self { name, turn, semaphore: Mutex::new(None) })
    }

    /// Answers whether the last holder was gone.
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
        // Until `give`.
        std::mem::forget(turn);
        Ok(recovered)
    }

    /// Answers whether nobody gave it back meanwhile, and when that was done here.
    pub(super) fn give(&self) -> Result<(bool, Instant)> {
        let semaphore = self.semaphore.lock().unwrap_or_else(PoisonError::into_inner).take();
        let posted = semaphore.as_ref().map_or(Ok(true), post);
        let at = Instant::now();
        drop(semaphore);
        // After the handle is closed: the next of ours is to find none but its own.
        drop(Turn(&self.turn));
        posted.map(|posted| (posted, at))
    }

    pub(super) fn unlock(&self, force: bool) -> Result<bool> {
        let _turn = self.turn(Duration::from_secs(1))?;
        let semaphore = self.open()?;
        // Who lives gives it back in far less.
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
            // Abandoned is as good as free: what was left behind is what a killed gem leaves.
            Waited::Got | Waited::Abandoned => Ok(Turn(&self.turn)),
            Waited::TimedOut => Err(self.held()),
        }
    }

    /// Whoever comes first makes it; nobody minds that it is there.
    fn open(&self) -> Result<OwnedHandle> {
        let name = Wide::new(&self.name)?;
        let private = Private::new()?;
        let attributes = private.attributes(false);
        // SAFETY: attributes and name live until after the call, and the name ends with a zero.
        let semaphore = unsafe { CreateSemaphoreW(attributes.as_ptr(), 1, 1, name.as_ptr()) };
        if semaphore.is_null() {
            return Err(on_a_name(&self.name, false, last()));
        }
        // SAFETY: the call gave us this handle, and nobody else has it.
        Ok(unsafe { OwnedHandle::from_raw_handle(semaphore) })
    }

    fn held(&self) -> Error {
        Error::new(ErrorKind::TimedOut, "", "").detail(format!(
            "the semaphore {} was not given back in time; a program that uses the gem holds it, or \
             left it so after an exception: `mapvar unlock` frees it",
            self.name
        ))
    }
}

/// That it is this thread's turn.
struct Turn<'a>(&'a OwnedHandle);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this thread holds the mutex: neither `Turn` nor what
        // `RubyLock::take` answers to leaves the thread.
        unsafe { ReleaseMutex(self.0.as_raw_handle()) };
    }
}

/// False where the count is full: somebody has given it back already.
fn post(semaphore: &OwnedHandle) -> Result<bool> {
    // SAFETY: the handle is open for as long as it is borrowed; the former count may be left out.
    if unsafe { ReleaseSemaphore(semaphore.as_raw_handle(), 1, null_mut()) } != 0 {
        return Ok(true);
    }
    let error = last();
    if is(&error, ERROR_TOO_MANY_POSTS) { Ok(false) } else { Err(error) }
}

/// Whether nobody lives who could give it back. Where the system does not tell, somebody does.
fn is_orphaned(semaphore: &OwnedHandle) -> Result<bool> {
    Ok(count(semaphore)? == 0 && handles(semaphore)? == 1 && count(semaphore)? == 0)
}

/// Of `NtQuerySemaphore`, class 0.
#[repr(C)]
#[derive(Default)]
struct SemaphoreBasicInformation {
    current: i32,
    maximum: i32,
}

/// Of `NtQueryObject`, class 0.
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
        answered: *mut u32,
    ) -> NTSTATUS;
    fn NtQueryObject(
        object: HANDLE,
        class: i32,
        information: *mut c_void,
        len: u32,
        answered: *mut u32,
    ) -> NTSTATUS;
}

fn count(semaphore: &OwnedHandle) -> Result<i32> {
    let mut of = SemaphoreBasicInformation::default();
    // SAFETY: the handle is open for as long as it is borrowed; the place for the answer is as long
    // as is said; the length of the answer may be left out.
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
