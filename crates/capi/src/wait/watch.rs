//! Waiting for variables to change.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::{
    base::{
        border::{self, wanted},
        errors::answer,
        handles::{Turns, close, make, make_if_any, with},
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

/// Begins to watch one variable, which need not be there yet. Errors: MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_watch(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_watch>>,
) -> i32 {
    answer("mapvar_map_watch", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        make(out, || with(map, |map| map.watch(name).map(Turns::new)))
    })
}

/// Begins to watch the `count` variables of these names, which need not be there yet. `name_lens` may be
/// NULL: then each name ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_watch_any(
    map: *mut mapvar_map,
    names: *const *const c_char,
    name_lens: *const usize,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_watch>>,
) -> i32 {
    answer("mapvar_map_watch_any", || {
        // SAFETY: C1 for `names`, each of them, and `name_lens`.
        let names = unsafe { border::names(names, name_lens, count) }?;
        make(out, || with(map, |map| map.watch_any(&names).map(Turns::new)))
    })
}

/// Begins to watch the variables whose names begin so, also those that are made later; all, where the
/// prefix is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_watch_prefix(
    map: *mut mapvar_map,
    prefix: *const c_char,
    prefix_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_watch>>,
) -> i32 {
    answer("mapvar_map_watch_prefix", || {
        // SAFETY: C1 for `prefix`.
        let prefix = unsafe { border::text("prefix", prefix, prefix_len) }?;
        make(out, || with(map, |map: &Map| map.watch_prefix(prefix).map(Turns::new)))
    })
}

/// Waits for the next change up to so many milliseconds (0 looks whether there is one; UINT64_MAX is as
/// good as for ever): a new handle, to be freed; NULL where none came in time, and that is no error. Of
/// several changes of one variable since the last look the newest is told.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_watch_next(
    watch: *mut mapvar_watch,
    milliseconds: u64,
    change: Option<&mut MaybeUninit<*mut mapvar_change>>,
) -> i32 {
    answer("mapvar_watch_next", || {
        make_if_any(change, || {
            with(watch, |watch| {
                let (began, timeout) = (Instant::now(), Duration::from_millis(milliseconds));
                let Some(mut turn) = watch.within(timeout)? else { return Ok(None) };
                turn.wait_timeout(timeout.saturating_sub(began.elapsed()))
            })
        })
    })
}

/// Frees a watch, not the changes that it told. NULL is well. A thread that waits by it goes on to wait.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_watch_free(watch: *mut mapvar_watch) -> i32 {
    answer("mapvar_watch_free", || close(watch).map(drop))
}

/// Where the variable's name lies, UTF-8 without a NUL, and how long it is; it lives until the change is
/// freed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_name(
    change: *mut mapvar_change,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_change_name", || {
        let (name, len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        with(change, |change| {
            lend(change.name(), name, len);
            Ok(())
        })
    })
}

/// Its value: a new handle, to be freed; NULL where the variable was removed, and that is no error.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_value(
    change: *mut mapvar_change,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_change_value", || {
        make_if_any(value, || with(change, |change| Ok(change.value()?.map(Tree::of))))
    })
}

/// Its version. Of an atomic the number is its word.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_version(
    change: *mut mapvar_change,
    version: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    answer("mapvar_change_version", || {
        let version = wanted("version", version)?;
        with(change, |change| {
            version.write(Change::version(change).into());
            Ok(())
        })
    })
}

/// How many changes of this variable there were between the last one that the watch told and this one;
/// at least so many, where the variable was removed and made again meanwhile; of an atomic 0.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_skipped(
    change: *mut mapvar_change,
    skipped: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_change_skipped", || {
        let skipped = wanted("skipped", skipped)?;
        with(change, |change| {
            skipped.write(change.skipped());
            Ok(())
        })
    })
}

/// Frees a change, and with it its name. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_change_free(change: *mut mapvar_change) -> i32 {
    answer("mapvar_change_free", || close(change).map(drop))
}
