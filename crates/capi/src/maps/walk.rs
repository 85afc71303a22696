//! A walk over the variables of a map.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, wanted},
    errors::run_call,
    handles::{Turns, close, make, make_if_any, make_within, with},
    tree::Tree,
    types::{mapvar_entry, mapvar_iter, mapvar_map, mapvar_value},
};
use mapvar::{Entry, Map};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

/// Begins a walk.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_iter(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_iter>>,
) -> i32 {
    run_call("mapvar_map_iter", || {
        make_within("out", out, map, |map| Ok(Turns::new(Map::clone(map).into_iter())))
    })
}

/// Begins a walk over the variables whose names begin with the prefix; the values of the others are
/// not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_iter_prefix(
    map: *mut mapvar_map,
    prefix: *const c_char,
    prefix_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_iter>>,
) -> i32 {
    run_call("mapvar_map_iter_prefix", || {
        // SAFETY: C1 for `prefix`.
        let prefix = unsafe { border::text("prefix", prefix, prefix_len) };
        make_within("out", out, map, |map| {
            Ok(Turns::new(Map::clone(map).into_iter().prefix(prefix?)))
        })
    })
}

/// Returns the next variable: a new handle, which the caller frees; NULL at the end. An error
/// concerns one variable that could not be read, and the next call goes on after it; or the map, and
/// the next call tries again at the same place, and fails as long as the map does. May wait.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_iter_next(
    iter: *mut mapvar_iter,
    entry: Option<&mut MaybeUninit<*mut mapvar_entry>>,
) -> i32 {
    run_call("mapvar_iter_next", || {
        make_if_any("entry", entry, || with(iter, |iter| iter.turn()?.try_next()))
    })
}

/// Makes the next mapvar_iter_next read the variable of the last error again, if that call failed
/// for one: after MAPVAR_TIMED_OUT it may succeed then.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_iter_retry(iter: *mut mapvar_iter) -> i32 {
    run_call("mapvar_iter_retry", || {
        with(iter, |iter| {
            iter.turn()?.retry();
            Ok(())
        })
    })
}

/// Frees a walk, but not the entries that it returned. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_iter_free(iter: *mut mapvar_iter) -> i32 {
    run_call("mapvar_iter_free", || close(iter).map(drop))
}

/// Reports the address and length of the variable's name: UTF-8 without a NUL, valid until the
/// entry is freed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_entry_name(
    entry: *mut mapvar_entry,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_entry_name", || {
        let (name, len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        with(entry, |entry| {
            lend(entry.name(), name, len);
            Ok(())
        })
    })
}

/// Writes the address and length of a text that lives as long as its handle.
pub(crate) fn lend(text: &str, at: &mut MaybeUninit<*const c_char>, len: &mut MaybeUninit<usize>) {
    at.write(text.as_ptr().cast::<c_void>().cast());
    len.write(text.len());
}

/// Reports the value's kind, one of MAPVAR_KIND_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_entry_kind(
    entry: *mut mapvar_entry,
    kind: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_entry_kind", || {
        let kind = wanted("kind", kind)?;
        with(entry, |entry| {
            kind.write(entry.kind()? as u32);
            Ok(())
        })
    })
}

/// Returns the value: a new handle; the caller frees it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_entry_value(
    entry: *mut mapvar_entry,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_entry_value", || {
        make("value", value, || with(entry, Entry::get).map(Tree::of))
    })
}

/// Reports the number of the value's version. It grows with each set, but not for an atomic. It is
/// 0 for a gem's map.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_entry_version(
    entry: *mut mapvar_entry,
    number: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_entry_version", || {
        let number = wanted("number", number)?;
        with(entry, |entry| {
            number.write(entry.version());
            Ok(())
        })
    })
}

/// Frees an entry and its name. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_entry_free(entry: *mut mapvar_entry) -> i32 {
    run_call("mapvar_entry_free", || close(entry).map(drop))
}
