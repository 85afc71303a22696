//! Views of raw sections.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::base::{
    border::{self, offer, wanted},
    errors::{answer, refused},
    handles::{close, locked, make, with},
    types::{Range, mapvar_section, mapvar_view, mapvar_view_options},
};
use mapvar::{Access, Error, ErrorKind, Result, View, WordsMut};
use std::mem::MaybeUninit;
use std::{
    ffi::{c_char, c_void},
    sync::{Mutex, atomic::Ordering},
};

/// Read only.
pub const MAPVAR_ACCESS_READ: u32 = 1;
/// Read and write; others see the writes.
pub const MAPVAR_ACCESS_READ_WRITE: u32 = 2;
/// Read and write on pages of its own.
pub const MAPVAR_ACCESS_COPY_ON_WRITE: u32 = 3;

/// New options.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_new(
    out: Option<&mut MaybeUninit<*mut mapvar_view_options>>,
) -> i32 {
    answer("mapvar_view_options_new", || make(out, || Ok(Mutex::default())))
}

/// Frees options; the views made by them stay. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_free(options: *mut mapvar_view_options) -> i32 {
    answer("mapvar_view_options_free", || close(options).map(drop))
}

fn change(options: *mut mapvar_view_options, change: impl FnOnce(&mut Range)) -> Result<()> {
    with(options, |options| {
        change(&mut locked(options));
        Ok(())
    })
}

/// First byte of the range, any number, and its length in bytes; 0 = to the end of the section.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_range(
    options: *mut mapvar_view_options,
    offset: u64,
    len: u64,
) -> i32 {
    answer("mapvar_view_options_range", || {
        change(options, |range| (range.offset, range.len) = (offset, (len != 0).then_some(len)))
    })
}

/// Keeps address space behind the range, in bytes from its start, for mapvar_view_grow.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_reserve(
    options: *mut mapvar_view_options,
    bytes: u64,
) -> i32 {
    answer("mapvar_view_options_reserve", || change(options, |range| range.reserve = bytes))
}

/// What the view may do, MAPVAR_ACCESS_…: what the section's protection allows, unless set.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_access(
    options: *mut mapvar_view_options,
    access: u32,
) -> i32 {
    answer("mapvar_view_options_access", || {
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

/// Not 0: code in the range may be run; the section's protection must allow it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_execute(
    options: *mut mapvar_view_options,
    execute: i32,
) -> i32 {
    answer("mapvar_view_options_execute", || change(options, |range| range.execute = execute != 0))
}

/// Where to map, a multiple of the system's granularity; 0 = anywhere. There or nowhere.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_options_base_address(
    options: *mut mapvar_view_options,
    address: usize,
) -> i32 {
    answer("mapvar_view_options_base_address", || {
        change(options, |range| range.base_address = address)
    })
}

/// Maps a range of a section; `options` may be NULL: the whole. The view keeps the section open.
/// Errors: MAPVAR_OUT_OF_RANGE, MAPVAR_INVALID_ARGUMENT, MAPVAR_READ_ONLY, MAPVAR_PERMISSION_DENIED,
/// MAPVAR_NO_SPACE.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_view(
    section: *mut mapvar_section,
    options: *mut mapvar_view_options,
    out: Option<&mut MaybeUninit<*mut mapvar_view>>,
) -> i32 {
    answer("mapvar_section_view", || {
        make(out, || {
            let range = if options.is_null() {
                Range::default()
            } else {
                with(options, |options| Ok(locked(options).clone()))?
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

/// Unmaps the range; where another thread is in a call on it, when that ends. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_close(view: *mut mapvar_view) -> i32 {
    answer("mapvar_view_close", || match close(view)? {
        Some(view) => view.close(),
        None => Ok(()),
    })
}

/// Its length in bytes, how long it can grow, and where in the section it begins; each may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_extent(
    view: *mut mapvar_view,
    len: Option<&mut MaybeUninit<usize>>,
    reserved: Option<&mut MaybeUninit<usize>>,
    offset: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_view_extent", || {
        with(view, |view| {
            offer(len, view.len());
            offer(reserved, view.reserved());
            offer(offset, view.offset());
            Ok(())
        })
    })
}

/// What it may do, MAPVAR_ACCESS_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_access(
    view: *mut mapvar_view,
    access: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    answer("mapvar_view_access", || {
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

/// The address of its first byte, for those who hand it to foreign code. It is the system's memory:
/// other processes change it, and after mapvar_view_close it is gone.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_address(
    view: *mut mapvar_view,
    out: Option<&mut MaybeUninit<*mut c_void>>,
) -> i32 {
    answer("mapvar_view_address", || {
        let out = wanted("out", out)?;
        with(view, |view| {
            out.write(view.as_ptr().cast());
            Ok(())
        })
    })
}

/// Makes its first `len` bytes reachable, where it is; the section must be that long.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_grow(view: *mut mapvar_view, len: usize) -> i32 {
    answer("mapvar_view_grow", || with(view, |view| view.grow(len)))
}

/// Copies `len` bytes from byte `at` of the range to `into` (C3). Errors: MAPVAR_OUT_OF_RANGE with
/// nothing copied; MAPVAR_TRUNCATED and MAPVAR_IO where the memory is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_read(
    view: *mut mapvar_view,
    at: usize,
    into: *mut c_void,
    len: usize,
) -> i32 {
    answer("mapvar_view_read", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, len) }?;
        with(view, |view| view.read_at(at, into))
    })
}

/// Copies `len` bytes from `from` to byte `at` of the range. Errors: MAPVAR_OUT_OF_RANGE and
/// MAPVAR_READ_ONLY with nothing written; MAPVAR_TRUNCATED and MAPVAR_IO where the memory is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_write(
    view: *mut mapvar_view,
    at: usize,
    from: *const c_void,
    len: usize,
) -> i32 {
    answer("mapvar_view_write", || {
        // SAFETY: C1 for `from`.
        let from = unsafe { border::bytes("from", from, len) }?;
        with(view, |view| view.write_at(at, from))
    })
}

/// The first `len` bytes into `into` (C3): what mapvar_view_write_string wrote. Bytes, zeros included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_read_string(
    view: *mut mapvar_view,
    into: *mut c_char,
    len: usize,
) -> i32 {
    answer("mapvar_view_read_string", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), len) }?;
        with(view, |view| view.read_at(0, into))
    })
}

/// Writes bytes at the start of the range, with no terminator and no length. `len` is true: no
/// MAPVAR_NUL, for they may hold zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_view_write_string(
    view: *mut mapvar_view,
    from: *const c_char,
    len: usize,
) -> i32 {
    answer("mapvar_view_write_string", || {
        // SAFETY: C1 for `from`.
        let from = unsafe { border::bytes("from", from.cast(), len) }?;
        with(view, |view| view.write_string(from))
    })
}

fn range(at: usize, len: usize) -> std::ops::Range<usize> {
    at..at.saturating_add(len)
}

/// Starts writing `len` bytes from byte `at` of the range to the file; the device may have them later.
/// Nothing to do without a file.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_flush(view: *mut mapvar_view, at: usize, len: usize) -> i32 {
    answer("mapvar_view_flush", || with(view, |view| view.flush(range(at, len))))
}

/// As mapvar_view_flush, without waiting for anything: before one mapvar_view_sync for many ranges.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_flush_start(view: *mut mapvar_view, at: usize, len: usize) -> i32 {
    answer("mapvar_view_flush_start", || with(view, |view| view.flush_start(range(at, len))))
}

/// As mapvar_view_flush, and waits until the device has them. After MAPVAR_IO nothing is known of what
/// reached it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_flush_durable(view: *mut mapvar_view, at: usize, len: usize) -> i32 {
    answer("mapvar_view_flush_durable", || with(view, |view| view.flush_durable(range(at, len))))
}

/// Waits until the device has what was flushed of the file, by whatever view.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_sync(view: *mut mapvar_view) -> i32 {
    answer("mapvar_view_sync", || with(view, View::sync))
}

/// 0 as long as all of the memory is there; otherwise, and for ever, MAPVAR_TRUNCATED where the file
/// was made shorter, or MAPVAR_IO where the system could not read or keep a page.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_lost(view: *mut mapvar_view) -> i32 {
    answer("mapvar_view_lost", || with(view, |view| view.lost().map_or(Ok(()), Err)))
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

/// The 64-bit word at byte `at`, atomically, with acquire order. MAPVAR_OUT_OF_RANGE where it does not
/// lie within, or not at a multiple of 8 in the section.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_load(
    view: *mut mapvar_view,
    at: usize,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_view_load", || {
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
    answer("mapvar_view_store", || {
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
    answer("mapvar_view_add", || {
        offer(before, operate(view, at, |words| words.fetch_add(0, value, Ordering::SeqCst))?);
        Ok(())
    })
}

/// Stores `new_value` in the 64-bit word at byte `at` where `old_value` stands, atomically: `exchanged`
/// is 1 then, else 0; `found` is what stood there. Either may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_view_compare_exchange(
    view: *mut mapvar_view,
    at: usize,
    old_value: u64,
    new_value: u64,
    exchanged: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_view_compare_exchange", || {
        let done = operate(view, at, |words| words.compare_exchange(0, old_value, new_value))?;
        offer(exchanged, done.is_ok().into());
        let (Ok(value) | Err(value)) = done;
        offer(found, value);
        Ok(())
    })
}
