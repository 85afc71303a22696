//! A walk over the names of the variables of a map.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border,
    errors::run_call,
    handles::{Turns, close, make_within, with},
    types::{NameWalk, NamesLeft, mapvar_map, mapvar_names},
};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// Begins a walk over the names that begin with the prefix; over all if the prefix is empty. No
/// value is copied. `sorted`, not 0: in the order of their bytes; this call then reads all names,
/// and may wait. 0: in no particular order, as mapvar_map_iter.
/// Errors with `sorted`: those of mapvar_names_next, of the first name that could not be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_names(
    map: *mut mapvar_map,
    prefix: *const c_char,
    prefix_len: usize,
    sorted: i32,
    out: Option<&mut MaybeUninit<*mut mapvar_names>>,
) -> i32 {
    run_call("mapvar_map_names", || {
        // SAFETY: C1 for `prefix`.
        let prefix = unsafe { border::text("prefix", prefix, prefix_len) };
        make_within("out", out, map, |map| {
            let names = map.names().prefix(prefix?);
            let left = if sorted == 0 {
                NamesLeft::AsFound(names.into_owned())
            } else {
                NamesLeft::Sorted(names.sorted()?.into_iter())
            };
            Ok(Turns::new(NameWalk { left, next: None }))
        })
    })
}

/// Copies the next name into a buffer (C3), and a NUL after it if there is space; a name has at most
/// 1,023 bytes. At the end `len` is 0, which is not an error. After MAPVAR_TOO_LARGE, and with a
/// capacity of 0, the next call reports the same name. Another error concerns one variable, or the
/// map, as in mapvar_iter_next. May wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_names_next(
    names: *mut mapvar_names,
    into: *mut c_char,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_names_next", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), capacity) }?;
        with(names, |names| {
            let walk = &mut *names.turn()?;
            let next = match (walk.next.take(), &mut walk.left) {
                (Some(next), _) => Some(next),
                (None, NamesLeft::AsFound(names)) => names.try_next()?,
                (None, NamesLeft::Sorted(names)) => names.next(),
            };
            // Without an own result this is the end: no name is empty.
            let given = border::give(next.as_deref().unwrap_or_default().as_bytes(), into, len);
            if given.is_err() || capacity == 0 {
                walk.next = next;
            }
            given
        })
    })
}

/// Makes the next mapvar_names_next read the variable of the last error again, as
/// mapvar_iter_retry.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_names_retry(names: *mut mapvar_names) -> i32 {
    run_call("mapvar_names_retry", || {
        with(names, |names| {
            if let NamesLeft::AsFound(names) = &mut names.turn()?.left {
                names.retry();
            }
            Ok(())
        })
    })
}

/// Frees a walk. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_names_free(names: *mut mapvar_names) -> i32 {
    run_call("mapvar_names_free", || close(names).map(drop))
}
