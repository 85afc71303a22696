//! Exceptions in a view of ours: an error, and not the end of the process.
//!
//! Windows raises `EXCEPTION_IN_PAGE_ERROR` where it cannot bring in a page; Wine an access
//! violation, at an address where the access is allowed, which Windows never does. A page of a view
//! cannot be replaced, only the whole view of Windows' (one piece of ours): it is unmapped, and its
//! addresses are reserved again at once. Memory, which is zeros, comes page by page with the faults
//! that follow, so that the loss of a large view does not cost as much.
//!
//! Between the two calls other threads that touch the view fault, and wait for us. A view that was
//! put in the place of a placeholder leaves one behind, and nobody else is given the addresses. Those
//! of any other are nobody's in that moment; one that is given the very addresses for something else
//! would have it written to by who still uses the view. We cannot take them back then, and end the
//! process.

#![allow(unsafe_code, reason = "exceptions, and memory put in the place of lost memory")]

use super::placeholder;
use crate::memory::registry::{self, Cause, Entry, Losses, Piece, Registered, find};
use std::{
    ffi::c_void,
    ptr::{NonNull, with_exposed_provenance_mut},
    sync::atomic::{AtomicBool, Ordering},
};
use windows_sys::Win32::{
    Foundation::{EXCEPTION_ACCESS_VIOLATION, EXCEPTION_IN_PAGE_ERROR, HANDLE, STATUS_END_OF_FILE},
    Storage::FileSystem::GetFileSizeEx,
    System::{
        Diagnostics::Debug::{
            AddVectoredExceptionHandler, EXCEPTION_CONTINUE_EXECUTION, EXCEPTION_CONTINUE_SEARCH,
            EXCEPTION_POINTERS, EXCEPTION_RECORD,
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

/// Registers a piece of a view, for the handler to know it, and installs the handler before the
/// first. `losses` are those of the view's first piece, unless this is the one.
pub(super) fn register(piece: &Piece, losses: Option<Losses>) -> Registered {
    registry::guard_once(guard);
    match losses {
        None => Registered::new(piece),
        Some(losses) => Registered::behind(losses, piece),
    }
}

/// Installs the handler; whether it stands.
fn guard() -> bool {
    // Not to be looked for in the handler.
    placeholder::prepare();
    // SAFETY: the handler lives as long as the program (a library that has been unloaded must not
    // have mapped a view: docs/PLATFORM.md). First: others, which report every exception as a
    // crash, need not see those that are none.
    !unsafe { AddVectoredExceptionHandler(1, Some(handler)) }.is_null()
}

/// How memory is protected that takes the place of a view's.
pub(super) fn protection(access: u32) -> u32 {
    match placeholder::protection(access) {
        PAGE_WRITECOPY => PAGE_READWRITE,
        PAGE_EXECUTE_WRITECOPY => PAGE_EXECUTE_READWRITE,
        same => same,
    }
}

unsafe extern "system" fn handler(pointers: *mut EXCEPTION_POINTERS) -> i32 {
    // SAFETY: the system calls a handler with what it knows of the exception, valid until the
    // handler returns.
    let record = unsafe { (*pointers).ExceptionRecord };
    // SAFETY: as above.
    let cured = cured(unsafe { &*record });
    if cured { EXCEPTION_CONTINUE_EXECUTION } else { EXCEPTION_CONTINUE_SEARCH }
}

/// Whether the access can be done again.
fn cured(record: &EXCEPTION_RECORD) -> bool {
    let in_page = record.ExceptionCode == EXCEPTION_IN_PAGE_ERROR;
    if !in_page && record.ExceptionCode != EXCEPTION_ACCESS_VIOLATION {
        return false;
    }
    // What was done there (0 read, 1 write, 8 execute), where, and for an in-page error why.
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
    // Replaced before, or while this thread waited. The count in `mark` ends what never ends: an
    // access that the protection forbids.
    entry.mark(&piece, Cause::Io, address) && commit(&piece, address)
}

/// Whether what stands at an address is a view's and may be reached so. It cannot be the reason for
/// an access violation then.
fn is_allowed(address: usize, what: usize) -> bool {
    let mut of = MEMORY_BASIC_INFORMATION::default();
    let len = size_of::<MEMORY_BASIC_INFORMATION>();
    // SAFETY: it reads no memory at the address, any may be asked about; the place for the answer
    // is as long as is said.
    let told = unsafe { VirtualQuery(at(address), &raw mut of, len) };
    let writable =
        PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    let readable = writable | PAGE_READONLY | PAGE_EXECUTE_READ;
    let enough = match what {
        0 => readable,
        1 => writable,
        _ => return false,
    };
    told != 0 && of.State == MEM_COMMIT && of.Type == MEM_MAPPED && of.Protect & enough != 0
}

/// Whether the file has become shorter. Windows does not let a mapped one; Wine does not keep others
/// from it.
fn is_behind_the_end(piece: &Piece, address: usize) -> bool {
    let mut size = 0;
    if piece.file == 0 {
        return false;
    }
    let file: HANDLE = at(piece.file);
    // SAFETY: the handle is the section's, which is open for as long as the view is registered; the
    // place for the answer lives across the call.
    let told = unsafe { GetFileSizeEx(file, &raw mut size) };
    let page = (address - piece.address) / piece.page * piece.page;
    told != 0 && size.cast_unsigned() <= piece.offset.saturating_add(page as u64)
}

/// Reserves the addresses of a view for nothing else.
fn replace(entry: &Entry, piece: &Piece) -> bool {
    // SAFETY: no argument. A barrier in every thread of the process: one that has stored to the
    // view and not yet asked whether it is lost has its answer to come.
    unsafe { FlushProcessWriteBuffers() };
    if piece.kept
        && let Some(address) = NonNull::new(at(piece.address).cast())
        && placeholder::bring_back(address)
    {
        if !placeholder::take(address, piece.len, piece.protection) {
            // What is there is no view any more, and may not be touched.
            std::process::abort();
        }
        entry.set_replaced();
        return true;
    }
    let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: at(piece.address) };
    // SAFETY: a view that this crate has mapped and not unmapped: it is registered, and stays so,
    // because the thread that faulted is using it. What becomes of those who use it meanwhile: see
    // the top.
    if unsafe { UnmapViewOfFile(view) } == 0 {
        return false;
    }
    // SAFETY: asks for these very addresses, which are free, or somebody else's: refused then.
    let reserved =
        unsafe { VirtualAlloc(at(piece.address), piece.len, MEM_RESERVE, piece.protection) };
    if reserved.is_null() {
        std::process::abort();
    }
    entry.set_replaced();
    true
}

/// Gives memory to the page at an address.
fn commit(piece: &Piece, address: usize) -> bool {
    // SAFETY: a page of the range that `replace` has reserved, which is given back only when nobody
    // uses the view any more; where it has memory it keeps it.
    let committed = unsafe { VirtualAlloc(at(address), 1, MEM_COMMIT, piece.protection) };
    !committed.is_null()
}

fn at(address: usize) -> *mut c_void {
    with_exposed_provenance_mut(address)
}

/// One thread at a time replaces. Not a lock of the system's or the library's, which a thread
/// cannot take in the midst of anything.
struct Alone;

static BUSY: AtomicBool = AtomicBool::new(false);

impl Alone {
    fn wait() -> Self {
        // SYNC POINT: Acquire pairs with the Release of `drop`.
        while BUSY.swap(true, Ordering::Acquire) {
            // SAFETY: no argument.
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
