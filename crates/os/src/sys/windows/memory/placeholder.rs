//! Placeholders, of Windows 10 since 1803: addresses that are kept for views and replaced in one
//! step. If a view replaces a part of one, there is no moment in which another thread could get
//! those addresses. Wine 8 and older versions of Windows have none: there `reserve` returns `None`.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::super::cvt::last;
use crate::error::Result;
use std::{
    ffi::{CStr, c_void},
    mem::transmute,
    os::windows::io::{AsRawHandle, BorrowedHandle},
    ptr::{NonNull, null_mut, without_provenance, without_provenance_mut},
    sync::LazyLock,
};
use windows_sys::{
    Win32::{
        Foundation::HANDLE,
        System::{
            LibraryLoader::{GetModuleHandleW, GetProcAddress},
            Memory::{
                FILE_MAP_COPY, FILE_MAP_EXECUTE, FILE_MAP_WRITE, MEM_PRESERVE_PLACEHOLDER,
                MEM_RELEASE, MEM_REPLACE_PLACEHOLDER, MEM_RESERVE, MEM_RESERVE_PLACEHOLDER,
                MEMORY_MAPPED_VIEW_ADDRESS, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
                PAGE_EXECUTE_WRITECOPY, PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE,
                PAGE_WRITECOPY, VirtualFree,
            },
        },
    },
    w,
};

/// A constant that is not in windows-sys.
const MEM_COALESCE_PLACEHOLDERS: u32 = 1;
/// The constant that `GetCurrentProcess` returns. The other two calls take null for it.
const THIS_PROCESS: HANDLE = without_provenance_mut(usize::MAX);

type VirtualAlloc2 = unsafe extern "system" fn(
    process: HANDLE,
    base: *const c_void,
    size: usize,
    kind: u32,
    protection: u32,
    parameters: *mut c_void,
    count: u32,
) -> *mut c_void;

type MapViewOfFile3 = unsafe extern "system" fn(
    section: HANDLE,
    process: HANDLE,
    base: *const c_void,
    offset: u64,
    size: usize,
    kind: u32,
    protection: u32,
    parameters: *mut c_void,
    count: u32,
) -> MEMORY_MAPPED_VIEW_ADDRESS;

type UnmapViewOfFile2 =
    unsafe extern "system" fn(process: HANDLE, base: MEMORY_MAPPED_VIEW_ADDRESS, flags: u32) -> i32;

struct Calls {
    reserve: VirtualAlloc2,
    map: MapViewOfFile3,
    unmap: UnmapViewOfFile2,
}

/// Looked up by name, not linked: with a missing import the program would not start.
static CALLS: LazyLock<Option<Calls>> = LazyLock::new(|| {
    let reserve = find(c"VirtualAlloc2")?;
    let map = find(c"MapViewOfFile3")?;
    let unmap = find(c"UnmapViewOfFile2")?;
    // SAFETY: the function of this name has had these parameters since it was introduced.
    let reserve = unsafe { transmute::<Function, VirtualAlloc2>(reserve) };
    // SAFETY: as above.
    let map = unsafe { transmute::<Function, MapViewOfFile3>(map) };
    // SAFETY: as above.
    let unmap = unsafe { transmute::<Function, UnmapViewOfFile2>(unmap) };
    Some(Calls { reserve, map, unmap })
});

/// Returns the calls, if they were looked up before. It takes no lock and no memory, so the handler
/// can call it.
fn known() -> Option<&'static Calls> {
    LazyLock::get(&CALLS)?.as_ref()
}

/// Looks up the calls, so that `known` returns them.
pub(super) fn prepare() {
    LazyLock::force(&CALLS);
}

type Function = unsafe extern "system" fn() -> isize;

fn find(name: &CStr) -> Option<Function> {
    // SAFETY: the name ends with a zero. The module is part of every process and never unloaded.
    let module = unsafe { GetModuleHandleW(w!("kernelbase.dll")) };
    if module.is_null() {
        return None;
    }
    // SAFETY: the module is loaded, and the name ends with a zero.
    unsafe { GetProcAddress(module, name.as_ptr().cast()) }
}

/// Reserves a placeholder of `len` bytes from `base` on, a multiple of the granularity; anywhere if
/// `base` is 0. As any reservation, it is released by `VirtualFree` with `MEM_RELEASE`.
pub(super) fn reserve(base: usize, len: usize) -> Option<NonNull<u8>> {
    let Calls { reserve, .. } = CALLS.as_ref()?;
    let kind = MEM_RESERVE | MEM_RESERVE_PLACEHOLDER;
    // SAFETY: reserving addresses accesses no memory, and addresses that are in use are refused.
    // Null stands for this process; no parameters are passed.
    let at = unsafe {
        reserve(null_mut(), without_provenance(base), len, kind, PAGE_NOACCESS, null_mut(), 0)
    };
    NonNull::new(at.cast())
}

/// Splits a placeholder behind its first `len` bytes: a multiple of the page, and less than all.
pub(super) fn split(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: the addresses are a placeholder of the caller, in which nothing is mapped, and stay
    // one.
    let done =
        unsafe { VirtualFree(at.as_ptr().cast(), len, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) };
    if done == 0 { Err(last()) } else { Ok(()) }
}

/// Joins the placeholders in these `len` bytes to one.
pub(super) fn join(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as in `split`.
    let done =
        unsafe { VirtualFree(at.as_ptr().cast(), len, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS) };
    if done == 0 { Err(last()) } else { Ok(()) }
}

/// Maps `len` bytes of a section, whole pages, in the place of a placeholder of exactly that
/// length. As any view, it is unmapped by `UnmapViewOfFile`.
pub(super) fn replace(
    section: BorrowedHandle<'_>,
    access: u32,
    offset: u64,
    at: NonNull<u8>,
    len: usize,
) -> Result<NonNull<u8>> {
    let Some(Calls { map, .. }) = CALLS.as_ref() else { return Err(last()) };
    // SAFETY: the handle is open for as long as it is borrowed. The call replaces a placeholder,
    // which is the caller's own, or fails. Null stands for this process; no parameters are passed.
    let view = unsafe {
        map(
            section.as_raw_handle(),
            null_mut(),
            at.as_ptr().cast_const().cast(),
            offset,
            len,
            MEM_REPLACE_PLACEHOLDER,
            protection(access),
            null_mut(),
            0,
        )
    };
    NonNull::new(view.Value.cast()).ok_or_else(last)
}

/// Unmaps a view that has replaced a placeholder, and leaves a placeholder of the same length, so
/// that no other code gets the addresses. Safe to call in the handler of exceptions.
pub(super) fn unmap_keeping_addresses(at: NonNull<u8>) -> bool {
    let Some(Calls { unmap, .. }) = known() else { return false };
    let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: at.as_ptr().cast() };
    // SAFETY: the memory at the address is the caller's, and a view. If it did not replace a
    // placeholder, the call fails. The process is this one.
    unsafe { unmap(THIS_PROCESS, view, MEM_PRESERVE_PLACEHOLDER) != 0 }
}

/// Replaces a placeholder of exactly that length by reserved addresses. Safe to call in the handler
/// of exceptions.
pub(super) fn take(at: NonNull<u8>, len: usize, protection: u32) -> bool {
    let Some(Calls { reserve, .. }) = known() else { return false };
    let kind = MEM_RESERVE | MEM_REPLACE_PLACEHOLDER;
    // SAFETY: the call replaces a placeholder, in which nothing is mapped, or fails. Null stands
    // for this process; no parameters are passed.
    let taken =
        unsafe { reserve(null_mut(), at.as_ptr().cast(), len, kind, protection, null_mut(), 0) };
    !taken.is_null()
}

/// Returns the protection of pages that `MapViewOfFileEx` would give a view of this access.
pub(super) fn protection(access: u32) -> u32 {
    let execute = access & FILE_MAP_EXECUTE != 0;
    match access & (FILE_MAP_WRITE | FILE_MAP_COPY) {
        FILE_MAP_WRITE if execute => PAGE_EXECUTE_READWRITE,
        FILE_MAP_WRITE => PAGE_READWRITE,
        FILE_MAP_COPY if execute => PAGE_EXECUTE_WRITECOPY,
        FILE_MAP_COPY => PAGE_WRITECOPY,
        _ if execute => PAGE_EXECUTE_READ,
        _ => PAGE_READONLY,
    }
}
