//! Waits until a variable has another version.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::{self, offer},
        errors::run_call,
        handles::with,
        types::{mapvar_map, mapvar_var},
    },
    variable::versions::{expected_of, mapvar_version},
};
use mapvar::{Error, Map, Result, Version};
use std::{
    ffi::c_char,
    mem::MaybeUninit,
    time::{Duration, Instant},
};

/// Waits until a variable has another version than `seen`, for at most this many milliseconds; 0
/// only looks, and UINT64_MAX is practically forever. The variable need not exist: the version of
/// an absent one is 0 and 0, so its creation and its removal are changes too. `changed` (may be NULL)
/// gets 1, or 0 if the time is up, which is not an error. `left` (may be NULL) gets how many of the
/// milliseconds are left. No change since `seen` is missed, so a condition with one deadline is:
///
///     for (uint64_t left = 5000;;) {
///         mapvar_map_get_versioned(map, "speed", MAPVAR_NUL, &value, &seen);
///         // if the value is the one that is waited for: break
///         mapvar_value_free(value);
///         if (left == 0) break;
///         mapvar_map_wait_changed(map, "speed", MAPVAR_NUL, &seen, left, NULL, &left);
///     }
///
/// For a condition on several variables watch them (mapvar_map_watch_any).
/// Errors: MAPVAR_WRONG_KIND for an atomic, which has no versions (watch it); those of
/// mapvar_map_watch and mapvar_watch_next.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_wait_changed(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    seen: *const mapvar_version,
    milliseconds: u64,
    changed: Option<&mut MaybeUninit<i32>>,
    left: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_wait_changed", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `seen`, one item.
        let seen = unsafe { expected_of("seen", seen) }?;
        with(map, |map| {
            let version = || map.version(name);
            wait_changed(map, name, seen, milliseconds, version, changed, left)
        })
    })
}

/// Waits until the variable has another version than `seen`, as mapvar_map_wait_changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_var_wait_changed(
    var: *mut mapvar_var,
    seen: *const mapvar_version,
    milliseconds: u64,
    changed: Option<&mut MaybeUninit<i32>>,
    left: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_var_wait_changed", || {
        // SAFETY: C1 for `seen`, one item.
        let seen = unsafe { expected_of("seen", seen) }?;
        with(var, |var| {
            let version = || var.version();
            wait_changed(var.map(), var.name(), seen, milliseconds, version, changed, left)
        })
    })
}

fn wait_changed(
    map: &Map,
    name: &str,
    seen: Version,
    milliseconds: u64,
    version: impl Fn() -> Result<Version>,
    changed: Option<&mut MaybeUninit<i32>>,
    left: Option<&mut MaybeUninit<u64>>,
) -> Result<()> {
    let (began, timeout) = (Instant::now(), Duration::from_millis(milliseconds));
    // A watch is not free; in many loops the version is another one at once.
    let mut differs = version()? != seen;
    if !differs && milliseconds > 0 {
        differs = map.wait_until([name], timeout, |_| Ok::<_, Error>(version()? != seen))?;
    }
    offer(changed, differs.into());
    // Rounded up: a loop that waits for the rest does not end early.
    let rest = timeout.saturating_sub(began.elapsed()).as_nanos().div_ceil(1_000_000);
    offer(left, u64::try_from(rest).unwrap_or(u64::MAX));
    Ok(())
}
