//! Views of raw sections.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, offer, wanted},
    errors::{refused, run_call},
    handles::{close, make, with},
    settings::Settings,
    types::{Range, mapvar_section, mapvar_view, mapvar_view_options},
};
use mapvar::{
    Error, ErrorKind, Result,
    section::{Access, View, WordsMut},
};
use std::mem::MaybeUninit;
use std::{
    ffi::{c_char, c_void},
    sync::{Arc, atomic::Ordering},
};

/// Read only.
pub const MAPVAR_ACCESS_READ: u32 = 1;
/// Read and write; other processes see the writes.
pub const MAPVAR_ACCESS_READ_WRITE: u32 = 2;
/// Read and write on private pages.
pub const MAPVAR_ACCESS_COPY_ON_WRITE: u32 = 3;

/// Creates new options.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_new(
    out: Option<&mut MaybeUninit<*mut mapvar_view_options>>,
) -> i32 {
    run_call("mapvar_view_options_new", || make("out", out, || Ok(Settings::new(Range::default()))))
}

/// Frees options; the views opened by them stay. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_free(options: *mut mapvar_view_options) -> i32 {
    run_call("mapvar_view_options_free", || close(options).map(drop))
}

fn change(options: *mut mapvar_view_options, mut change: impl FnMut(&mut Range)) -> Result<()> {
    with(options, |options| {
        options.change(|mut range| {
            change(&mut range);
            range
        });
        Ok(())
    })
}

/// Sets the first byte of the range, at any offset, and its length in bytes; 0 = to the end of the
/// section.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_range(
    options: *mut mapvar_view_options,
    offset: u64,
    len: u64,
) -> i32 {
    run_call("mapvar_view_options_range", || {
        change(options, |range| (range.offset, range.len) = (offset, (len != 0).then_some(len)))
    })
}

/// Reserves address space for mapvar_view_grow, in bytes from the start of the range.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_reserve(
    options: *mut mapvar_view_options,
    bytes: u64,
) -> i32 {
    run_call("mapvar_view_options_reserve", || change(options, |range| range.reserve = bytes))
}

/// Sets what the view may do, MAPVAR_ACCESS_…; by default, all that the section's protection
/// allows.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_access(
    options: *mut mapvar_view_options,
    access: u32,
) -> i32 {
    run_call("mapvar_view_options_access", || {
        let access = access_of(access)?;
        change(options, |range| range.access = Some(access))
    })
}

pub(crate) fn access_of(access: u32) -> Result<Access> {
    match access {
        MAPVAR_ACCESS_READ => Ok(Access::Read),
        MAPVAR_ACCESS_READ_WRITE => Ok(Access::ReadWrite),
        MAPVAR_ACCESS_COPY_ON_WRITE => Ok(Access::CopyOnWrite),
        _ => {
            let detail = format!("{access} is none; use one of MAPVAR_ACCESS_…");
            Err(refused(ErrorKind::InvalidArgument, "access", detail))
        }
    }
}

/// Not 0: code in the range can be executed; the section's protection must allow it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_execute(
    options: *mut mapvar_view_options,
    execute: i32,
) -> i32 {
    run_call("mapvar_view_options_execute", || {
        change(options, |range| range.execute = execute != 0)
    })
}

/// Sets the address to map at, a multiple of the system's granularity; 0 = anywhere. If that
/// address is taken, mapping fails.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_base_address(
    options: *mut mapvar_view_options,
    address: usize,
) -> i32 {
    run_call("mapvar_view_options_base_address", || {
        change(options, |range| range.base_address = address)
    })
}

/// Maps a range of a section; if `options` is NULL, the whole section. The view keeps the section
/// open.
/// Errors: MAPVAR_OUT_OF_RANGE, MAPVAR_INVALID_ARGUMENT, MAPVAR_READ_ONLY,
/// MAPVAR_PERMISSION_DENIED, MAPVAR_NO_SPACE.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_view(
    section: *mut mapvar_section,
    options: *mut mapvar_view_options,
    out: Option<&mut MaybeUninit<*mut mapvar_view>>,
) -> i32 {
    run_call("mapvar_section_view", || {
        make("out", out, || {
            let range = if options.is_null() {
                Arc::new(Range::default())
            } else {
                with(options, |options| Ok(options.now()))?
            };
            with(section, |section| {
                let mut view = section.view().offset(range.offset).reserve(range.reserve);
                view = view.execute(range.execute).base_address(range.base_address);
                view = range.len.map_or(view.clone(), |len| view.clone().len(len));
                range.access.map_or(view.clone(), |access| view.access(access)).map()
            })
        })
    })
}

/// Unmaps the range; if another thread is in a call on the view, when that call ends. Does nothing
/// for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_close(view: *mut mapvar_view) -> i32 {
    run_call("mapvar_view_close", || match close(view)? {
        Some(view) => view.close(),
        None => Ok(()),
    })
}

/// Reports the view's length in bytes, the length that it can grow to, and its offset in the
/// section. Each may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_extent(
    view: *mut mapvar_view,
    len: Option<&mut MaybeUninit<usize>>,
    reserved: Option<&mut MaybeUninit<usize>>,
    offset: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_view_extent", || {
        with(view, |view| {
            offer(len, view.len());
            offer(reserved, view.reserved());
            offer(offset, view.offset());
            Ok(())
        })
    })
}

/// Reports what the view may do, MAPVAR_ACCESS_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_access(
    view: *mut mapvar_view,
    access: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_view_access", || {
        let out = wanted("access", access)?;
        with(view, |view| {
            out.write(match view.access() {
                Access::Read => MAPVAR_ACCESS_READ,
                Access::ReadWrite => MAPVAR_ACCESS_READ_WRITE,
                Access::CopyOnWrite => MAPVAR_ACCESS_COPY_ON_WRITE,
            });
            Ok(())
        })
    })
}

/// Reports the address of the first byte, for callers that pass it to foreign code. The memory is
/// the system's: other processes change it, and it is unmapped after mapvar_view_close.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_address(
    view: *mut mapvar_view,
    out: Option<&mut MaybeUninit<*mut c_void>>,
) -> i32 {
    run_call("mapvar_view_address", || {
        let out = wanted("out", out)?;
        with(view, |view| {
            out.write(view.as_ptr().cast());
            Ok(())
        })
    })
}

/// Makes the first `len` bytes accessible without moving the view; the section must be that long.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_grow(view: *mut mapvar_view, len: usize) -> i32 {
    run_call("mapvar_view_grow", || with(view, |view| view.grow(len)))
}

/// Copies `len` bytes from byte `at` of the range to `into` (C3).
/// Errors: MAPVAR_OUT_OF_RANGE with nothing copied; MAPVAR_TRUNCATED and MAPVAR_IO for a lost
/// mapping.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_read(
    view: *mut mapvar_view,
    at: usize,
    into: *mut c_void,
    len: usize,
) -> i32 {
    run_call("mapvar_view_read", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, len) }?;
        with(view, |view| view.read_at(at, into))
    })
}

/// Copies `len` bytes from `from` to byte `at` of the range.
/// Errors: MAPVAR_OUT_OF_RANGE and MAPVAR_READ_ONLY with nothing written; MAPVAR_TRUNCATED and
/// MAPVAR_IO for a lost mapping.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_write(
    view: *mut mapvar_view,
    at: usize,
    from: *const c_void,
    len: usize,
) -> i32 {
    run_call("mapvar_view_write", || {
        // SAFETY: C1 for `from`.
        let from = unsafe { border::bytes("from", from, len) }?;
        with(view, |view| view.write_at(at, from))
    })
}

/// Copies the first `len` bytes to `into` (C3), as mapvar_view_write_string wrote them, zeros
/// included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_read_string(
    view: *mut mapvar_view,
    into: *mut c_char,
    len: usize,
) -> i32 {
    run_call("mapvar_view_read_string", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), len) }?;
        with(view, |view| view.read_at(0, into))
    })
}

/// Writes bytes at the start of the range, with no terminator and no length. `len` is the true
/// length, never MAPVAR_NUL, since the bytes may hold zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_write_string(
    view: *mut mapvar_view,
    from: *const c_char,
    len: usize,
) -> i32 {
    run_call("mapvar_view_write_string", || {
        // SAFETY: C1 for `from`.
        let from = unsafe { border::bytes("from", from.cast(), len) }?;
        with(view, |view| view.write_string(from))
    })
}

fn range(at: usize, len: usize) -> std::ops::Range<usize> {
    at..at.saturating_add(len)
}

/// Starts writing `len` bytes from byte `at` of the range to the file; the device may receive them
/// later. Does nothing without a file.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_flush(view: *mut mapvar_view, at: usize, len: usize) -> i32 {
    run_call("mapvar_view_flush", || with(view, |view| view.flush(range(at, len))))
}

/// Does the same as mapvar_view_flush, but waits for nothing: for many ranges before one
/// mapvar_view_sync.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_flush_start(view: *mut mapvar_view, at: usize, len: usize) -> i32 {
    run_call("mapvar_view_flush_start", || with(view, |view| view.flush_start(range(at, len))))
}

/// Does the same as mapvar_view_flush, and waits until the device has the bytes. After MAPVAR_IO it
/// is unknown which bytes reached the device.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_flush_durable(view: *mut mapvar_view, at: usize, len: usize) -> i32 {
    run_call("mapvar_view_flush_durable", || with(view, |view| view.flush_durable(range(at, len))))
}

/// Waits until the device has all of the file that was flushed, by any view.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_sync(view: *mut mapvar_view) -> i32 {
    run_call("mapvar_view_sync", || with(view, View::sync))
}

/// Returns 0 as long as all of the memory is mapped. Afterwards it always returns MAPVAR_TRUNCATED,
/// if the file was truncated, or MAPVAR_IO, if the system could not read or keep a page.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_lost(view: *mut mapvar_view) -> i32 {
    run_call("mapvar_view_lost", || with(view, |view| view.lost().map_or(Ok(()), Err)))
}

#[cold]
fn no_word(at: usize, view: &View) -> Error {
    let detail = format!(
        "byte {at} of a view of {}, opened with {:?}: no word lies there, or it may not be written; \
         words begin at multiples of 8 in the section",
        view.len(),
        view.access()
    );
    refused(ErrorKind::OutOfRange, "at", detail)
}

fn operate<T>(
    view: *mut mapvar_view,
    at: usize,
    operate: impl FnOnce(WordsMut<'_>) -> T,
) -> Result<T> {
    with(view, |view| {
        let words = view.words_mut(at, 1).ok_or_else(|| no_word(at, view))?;
        let done = operate(words);
        view.lost().map_or(Ok(done), Err)
    })
}

/// Loads the 64-bit word at byte `at`, atomically, with acquire order. MAPVAR_OUT_OF_RANGE if the
/// word is not within the range, or not at a multiple of 8 in the section.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_load(
    view: *mut mapvar_view,
    at: usize,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_view_load", || {
        let out = wanted("out", out)?;
        with(view, |view| {
            let words = view.words(at, 1).ok_or_else(|| no_word(at, view))?;
            out.write(words.load(0, Ordering::Acquire));
            view.lost().map_or(Ok(()), Err)
        })
    })
}

/// Stores the 64-bit word at byte `at`, atomically, with release order.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_store(view: *mut mapvar_view, at: usize, value: u64) -> i32 {
    run_call("mapvar_view_store", || {
        operate(view, at, |words| words.store(0, value, Ordering::Release))
    })
}

/// Adds to the 64-bit word at byte `at`, atomically; `before` may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_add(
    view: *mut mapvar_view,
    at: usize,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_view_add", || {
        offer(before, operate(view, at, |words| words.fetch_add(0, value, Ordering::SeqCst))?);
        Ok(())
    })
}

/// Stores `new_value` in the 64-bit word at byte `at` if it holds `old_value`, atomically.
/// `exchanged` is then 1, else 0; `found` is the word before. Either may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_compare_exchange(
    view: *mut mapvar_view,
    at: usize,
    old_value: u64,
    new_value: u64,
    exchanged: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_view_compare_exchange", || {
        let done = operate(view, at, |words| words.compare_exchange(0, old_value, new_value))?;
        offer(exchanged, done.is_ok().into());
        let (Ok(value) | Err(value)) = done;
        offer(found, value);
        Ok(())
    })
}
