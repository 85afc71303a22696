//! Waits for variables to change.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::{self, wanted},
        errors::run_call,
        handles::{Turns, close, make_if_any, make_within, with},
        tree::Tree,
        types::{mapvar_change, mapvar_map, mapvar_value, mapvar_watch},
    },
    maps::walk::lend,
    variable::versions::mapvar_version,
};
use mapvar::{Change, Map};
use std::{
    ffi::c_char,
    mem::MaybeUninit,
    time::{Duration, Instant},
};

/// Begins to watch one variable, which need not exist yet.
/// Errors: MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_watch(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_watch>>,
) -> i32 {
    run_call("mapvar_map_watch", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.watch(name?).map(Turns::new))
    })
}

/// Begins to watch the `count` variables of these names, which need not exist yet. If `name_lens`
/// is NULL, each name ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_watch_any(
    map: *mut mapvar_map,
    names: *const *const c_char,
    name_lens: *const usize,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_watch>>,
) -> i32 {
    run_call("mapvar_map_watch_any", || {
        // SAFETY: C1 for `names`, each of them, and `name_lens`.
        let names = unsafe { border::names(names, name_lens, count) };
        make_within("out", out, map, |map| map.watch_any(&names?).map(Turns::new))
    })
}

/// Begins to watch the variables whose names begin with the prefix, including those created later;
/// all variables if the prefix is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_watch_prefix(
    map: *mut mapvar_map,
    prefix: *const c_char,
    prefix_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_watch>>,
) -> i32 {
    run_call("mapvar_map_watch_prefix", || {
        // SAFETY: C1 for `prefix`.
        let prefix = unsafe { border::text("prefix", prefix, prefix_len) };
        make_within("out", out, map, |map: &Map| map.watch_prefix(prefix?).map(Turns::new))
    })
}

/// Waits for the next change for at most this many milliseconds; 0 only polls, UINT64_MAX is
/// practically forever. Returns a new handle, which the caller frees; NULL if no change came in
/// time, which is not an error. Of several changes of one variable since the last call, it reports
/// the newest.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_watch_next(
    watch: *mut mapvar_watch,
    milliseconds: u64,
    change: Option<&mut MaybeUninit<*mut mapvar_change>>,
) -> i32 {
    run_call("mapvar_watch_next", || {
        make_if_any("change", change, || {
            with(watch, |watch| {
                let (began, timeout) = (Instant::now(), Duration::from_millis(milliseconds));
                let Some(mut turn) = watch.within(timeout)? else { return Ok(None) };
                turn.recv_timeout(timeout.saturating_sub(began.elapsed()))
            })
        })
    })
}

/// Frees a watch, but not the changes that it reported. Does nothing for NULL. A thread that waits
/// on it continues to wait.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_watch_free(watch: *mut mapvar_watch) -> i32 {
    run_call("mapvar_watch_free", || close(watch).map(drop))
}

/// Reports the address and length of the variable's name: UTF-8 without a NUL, valid until the
/// change is freed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_name(
    change: *mut mapvar_change,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_change_name", || {
        let (name, len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        with(change, |change| {
            lend(change.name(), name, len);
            Ok(())
        })
    })
}

/// Returns the value: a new handle; the caller frees it. NULL if the variable was removed, which is
/// not an error.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_value(
    change: *mut mapvar_change,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_change_value", || {
        make_if_any("value", value, || with(change, |change| Ok(change.find()?.map(Tree::of))))
    })
}

/// Reports the version. For an atomic the number is its word.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_version(
    change: *mut mapvar_change,
    version: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    run_call("mapvar_change_version", || {
        let version = wanted("version", version)?;
        with(change, |change| {
            version.write(Change::version(change).into());
            Ok(())
        })
    })
}

/// Reports how many changes of this variable were skipped between the change that the watch
/// reported last and this one. At least that many, if the variable was removed and created again
/// meanwhile; 0 for an atomic.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_skipped(
    change: *mut mapvar_change,
    skipped: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_change_skipped", || {
        let skipped = wanted("skipped", skipped)?;
        with(change, |change| {
            skipped.write(change.skipped());
            Ok(())
        })
    })
}

/// Frees a change and its name. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_free(change: *mut mapvar_change) -> i32 {
    run_call("mapvar_change_free", || close(change).map(drop))
}
