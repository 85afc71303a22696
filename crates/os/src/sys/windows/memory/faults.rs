//! The handler of exceptions: a fault in a view of this crate is an error and does not end the
//! process.
//!
//! Windows raises `EXCEPTION_IN_PAGE_ERROR` if it cannot read a page. Wine raises an access
//! violation, at an address that allows the access; Windows never does that. Windows cannot replace
//! one page of a view, only a whole view (one piece of this crate's): the handler unmaps it, and
//! reserves its addresses again at once. Memory, which is zeros, is committed page by page with the
//! faults that follow, so that the loss of a large view does not cost as much.
//!
//! Between the two calls, other threads that access the view fault, and wait for this thread. A
//! view that replaced a placeholder leaves a placeholder behind, so Windows gives its addresses to
//! no other code. The addresses of any other view are free in that moment. If they are allocated
//! for something else, the threads that still use the view would write to that memory. The handler
//! cannot regain the addresses then, and ends the process.

#![allow(unsafe_code, reason = "exceptions, and memory put in the place of lost memory")]

use super::placeholder;
use crate::memory::registry::{self, Cause, Entry, Losses, Piece, Registered, find};
use std::{
    ffi::c_void,
    ptr::{NonNull, null_mut, with_exposed_provenance_mut},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};
use windows_sys::Win32::{
    Foundation::{
        EXCEPTION_ACCESS_VIOLATION, EXCEPTION_IN_PAGE_ERROR, GetLastError, HANDLE,
        STATUS_END_OF_FILE, SetLastError,
    },
    Storage::FileSystem::GetFileSizeEx,
    System::{
        Diagnostics::Debug::{
            AddVectoredExceptionHandler, EXCEPTION_CONTINUE_EXECUTION, EXCEPTION_CONTINUE_SEARCH,
            EXCEPTION_POINTERS, EXCEPTION_RECORD,
        },
        LibraryLoader::{
            GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
            GetModuleHandleExW,
        },
        Memory::{
            MEM_COMMIT, MEM_MAPPED, MEM_RESERVE, MEMORY_BASIC_INFORMATION,
            MEMORY_MAPPED_VIEW_ADDRESS, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
            PAGE_EXECUTE_WRITECOPY, PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY, UnmapViewOfFile,
            VirtualAlloc, VirtualQuery,
        },
        Threading::{FlushProcessWriteBuffers, SwitchToThread},
    },
};

/// Registers a piece of a view, so that the handler recognizes it. Installs the handler before the
/// first piece is registered. `losses` are those of the view's first piece, unless this is the
/// first.
pub(super) fn register(piece: &Piece, losses: Option<Losses>) -> Registered {
    registry::guard_once(guard);
    match losses {
        None => Registered::new(piece),
        Some(losses) => Registered::behind(losses, piece),
    }
}

/// Installs the handler once. Returns whether it is installed.
fn guard() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        // The handler itself must not look up these calls.
        placeholder::prepare();
        stay_loaded();
        // SAFETY: the handler lives as long as the process (`stay_loaded`). It is the first of the
        // handlers: others, which report every exception as a crash, need not see exceptions that
        // this one cures.
        !unsafe { AddVectoredExceptionHandler(1, Some(handler)) }.is_null()
    })
}

/// Keeps the library that contains the handler in the process, even if the program unloads it:
/// Windows would call the handler all the same.
fn stay_loaded() {
    let how = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
    let inside = (handler as *const ()).cast();
    let mut module = null_mut();
    // It fails only if Windows knows no library at this address. Then it unloads none either.
    // SAFETY: with this flag the name is an address, which is not followed. The out pointer is
    // valid.
    unsafe { GetModuleHandleExW(how, inside, &raw mut module) };
}

/// Returns the protection of the memory that replaces a view.
pub(super) fn protection(access: u32) -> u32 {
    match placeholder::protection(access) {
        PAGE_WRITECOPY => PAGE_READWRITE,
        PAGE_EXECUTE_WRITECOPY => PAGE_EXECUTE_READWRITE,
        same => same,
    }
}

unsafe extern "system" fn handler(pointers: *mut EXCEPTION_POINTERS) -> i32 {
    // SAFETY: the system calls a handler with a pointer to the details of the exception, which is
    // valid until the handler returns.
    let record = unsafe { (*pointers).ExceptionRecord };
    // SAFETY: the call takes no argument.
    let error = unsafe { GetLastError() };
    // SAFETY: the record is valid as long as the details are.
    let cured = cured(unsafe { &*record });
    // The code that faulted may be about to read the error of an earlier call.
    // SAFETY: sets a number of this thread.
    unsafe { SetLastError(error) };
    if cured { EXCEPTION_CONTINUE_EXECUTION } else { EXCEPTION_CONTINUE_SEARCH }
}

/// Replaces the memory of the fault, if it belongs to a registered view. Returns whether the access
/// can be repeated.
fn cured(record: &EXCEPTION_RECORD) -> bool {
    let in_page = record.ExceptionCode == EXCEPTION_IN_PAGE_ERROR;
    if !in_page && record.ExceptionCode != EXCEPTION_ACCESS_VIOLATION {
        return false;
    }
    // The access (0 read, 1 write, 8 execute), its address, and the cause of an in-page error.
    let [what, address, why, ..] = record.ExceptionInformation;
    if record.NumberParameters < 2 {
        return false;
    }
    let Some((entry, piece)) = find(address) else { return false };
    let _alone = Alone::wait();
    if !entry.is_replaced() {
        if !in_page && !is_allowed(address, what) {
            return false;
        }
        let ended = in_page && why as u32 == STATUS_END_OF_FILE.cast_unsigned();
        let cause =
            if ended || is_behind_the_end(&piece, address) { Cause::Truncated } else { Cause::Io };
        return entry.mark(&piece, cause, address)
            && replace(entry, &piece)
            && commit(&piece, address);
    }
    // The view was replaced before, or while this thread waited. The count in `mark` ends a loop of
    // faults that never succeeds: an access that the protection forbids.
    entry.mark(&piece, Cause::Io, address) && commit(&piece, address)
}

/// Returns whether the address belongs to a view that allows the access. Then the protection cannot
/// be the reason for an access violation.
fn is_allowed(address: usize, what: usize) -> bool {
    let mut of = MEMORY_BASIC_INFORMATION::default();
    let len = size_of::<MEMORY_BASIC_INFORMATION>();
    // SAFETY: the call reads no memory at the address, and accepts any address. The out pointer
    // leads to as many bytes as the length says.
    let known = unsafe { VirtualQuery(at(address), &raw mut of, len) };
    let writable =
        PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    let readable = writable | PAGE_READONLY | PAGE_EXECUTE_READ;
    let enough = match what {
        0 => readable,
        1 => writable,
        _ => return false,
    };
    known != 0 && of.State == MEM_COMMIT && of.Type == MEM_MAPPED && of.Protect & enough != 0
}

/// Returns whether the file has become shorter. Windows prevents that for a mapped file; Wine does
/// not prevent other programs from it.
fn is_behind_the_end(piece: &Piece, address: usize) -> bool {
    let mut size = 0;
    if piece.file == 0 {
        return false;
    }
    let file: HANDLE = at(piece.file);
    // SAFETY: the handle is the section's, which is open for as long as the view is registered. The
    // out pointer is valid across the call.
    let known = unsafe { GetFileSizeEx(file, &raw mut size) };
    let page = (address - piece.address) / piece.page * piece.page;
    known != 0 && size.cast_unsigned() <= piece.offset.saturating_add(page as u64)
}

/// Replaces a view by reserved addresses.
fn replace(entry: &Entry, piece: &Piece) -> bool {
    // SAFETY: the call takes no argument. It is a barrier in every thread of the process. A thread
    // that has stored to the view, and checks afterwards whether the view is lost, finds the mark.
    unsafe { FlushProcessWriteBuffers() };
    if piece.kept
        && let Some(address) = NonNull::new(at(piece.address).cast())
        && placeholder::unmap_keeping_addresses(address)
    {
        if !placeholder::take(address, piece.len, piece.protection) {
            // The addresses are no view any more, and must not be accessed.
            std::process::abort();
        }
        entry.set_replaced();
        return true;
    }
    let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: at(piece.address) };
    // SAFETY: the view was mapped by this crate and not unmapped. It is registered, and stays so,
    // because the thread that faulted is using it. The head of this file says what happens to
    // threads that use it at the same time.
    if unsafe { UnmapViewOfFile(view) } == 0 {
        return false;
    }
    // SAFETY: asks for exactly these addresses. They are free, or another allocation has them; then
    // the call fails.
    let reserved =
        unsafe { VirtualAlloc(at(piece.address), piece.len, MEM_RESERVE, piece.protection) };
    if reserved.is_null() {
        std::process::abort();
    }
    entry.set_replaced();
    true
}

/// Commits memory for the page at an address.
fn commit(piece: &Piece, address: usize) -> bool {
    // SAFETY: the page is in the range that `replace` has reserved, which is released only when no
    // thread uses the view any more. If the page has memory, it keeps it.
    let committed = unsafe { VirtualAlloc(at(address), 1, MEM_COMMIT, piece.protection) };
    !committed.is_null()
}

fn at(address: usize) -> *mut c_void {
    with_exposed_provenance_mut(address)
}

/// Only one thread at a time replaces a view. This is no lock of the system or the library, since a
/// thread cannot take such a lock at any moment at which it may fault.
struct Alone;

static BUSY: AtomicBool = AtomicBool::new(false);

impl Alone {
    fn wait() -> Self {
        // SYNC POINT: Acquire pairs with the Release of `drop`.
        while BUSY.swap(true, Ordering::Acquire) {
            // SAFETY: the call takes no argument.
            unsafe { SwitchToThread() };
        }
        Self
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}
