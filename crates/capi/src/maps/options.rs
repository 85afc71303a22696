//! How to make or open a map.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::base::{
    border,
    errors::{answer, refused},
    handles::{close, locked, make, with},
    types::{mapvar_check, mapvar_map, mapvar_options, mapvar_salvage},
};
use mapvar::{ErrorKind, Map, MapOptions, Result, Scope};
use std::mem::MaybeUninit;
use std::{ffi::c_char, sync::Mutex, time::Duration};

/// Programs of this user in this session; on Unix in all his sessions.
pub const MAPVAR_SCOPE_LOCAL: u32 = 0;
/// Every session of the machine: services' maps. To create one takes a privilege on Windows.
pub const MAPVAR_SCOPE_GLOBAL: u32 = 1;

/// New options.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_new(out: Option<&mut MaybeUninit<*mut mapvar_options>>) -> i32 {
    answer("mapvar_options_new", || make(out, || Ok(Mutex::new(Map::options()))))
}

/// Frees options; the maps made by them stay. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_free(options: *mut mapvar_options) -> i32 {
    answer("mapvar_options_free", || close(options).map(drop))
}

pub(crate) fn change(
    options: *mut mapvar_options,
    change: impl FnOnce(MapOptions) -> MapOptions,
) -> Result<()> {
    with(options, |options| {
        let mut options = locked(options);
        *options = change(options.clone());
        Ok(())
    })
}

pub(crate) fn scope(number: u32) -> Result<Scope> {
    match number {
        MAPVAR_SCOPE_LOCAL => Ok(Scope::Local),
        MAPVAR_SCOPE_GLOBAL => Ok(Scope::Global),
        _ => Err(refused(
            ErrorKind::InvalidArgument,
            "scope",
            format!("{number} is none; use MAPVAR_SCOPE_LOCAL or MAPVAR_SCOPE_GLOBAL"),
        )),
    }
}

/// A map without a file, known by this name: 1 to 120 of A-Z a-z 0-9 . _ -. It lives until its last
/// user is gone, on every system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_options_name(
    options: *mut mapvar_options,
    name: *const c_char,
    name_len: usize,
) -> i32 {
    answer("mapvar_options_name", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        change(options, |options| options.name(name))
    })
}

/// A map in this file; the path is UTF-8 on every system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_options_file(
    options: *mut mapvar_options,
    path: *const c_char,
    path_len: usize,
) -> i32 {
    answer("mapvar_options_file", || {
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        change(options, |options| options.file(path))
    })
}

/// Who can see the name: MAPVAR_SCOPE_LOCAL unless set, or MAPVAR_SCOPE_GLOBAL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_scope(options: *mut mapvar_options, scope: u32) -> i32 {
    answer("mapvar_options_scope", || {
        let scope = self::scope(scope)?;
        change(options, |options| options.scope(scope))
    })
}

/// Bytes of values that a new map has room for; 64 KiB unless set. Ignored for a map that is there.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_size(options: *mut mapvar_options, bytes: u64) -> i32 {
    answer("mapvar_options_size", || change(options, |options| options.size(bytes)))
}

/// Bytes that a new map may grow to, with everything in it, for ever: 1 GiB for a name, no limit for a
/// file, unless set. For a map that is there: how much address space is set aside.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_max_size(options: *mut mapvar_options, bytes: u64) -> i32 {
    answer("mapvar_options_max_size", || change(options, |options| options.max_size(bytes)))
}

/// How long each call on the map waits for a lock at most, and opening for a map that is just being
/// made, in milliseconds; 5,000 unless set. It answers MAPVAR_TIMED_OUT then, with nothing done. Who
/// must be able to interrupt a wait gives a short time and calls again.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_timeout(options: *mut mapvar_options, milliseconds: u64) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    answer("mapvar_options_timeout", || change(options, |options| options.timeout(timeout)))
}

/// Not 0: opens for reading alone, takes only the right to read, and writes nothing, ever.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_read_only(options: *mut mapvar_options, read_only: i32) -> i32 {
    answer("mapvar_options_read_only", || change(options, |it| it.read_only(read_only != 0)))
}

/// Not 0: allows a file on a network drive, where processes on different machines do not see each
/// other's changes. Refused unless set.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_allow_network(options: *mut mapvar_options, allow: i32) -> i32 {
    answer("mapvar_options_allow_network", || change(options, |it| it.allow_network(allow != 0)))
}

fn obtain(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
    how: impl FnOnce(&MapOptions) -> Result<Map>,
) -> Result<()> {
    make(out, || {
        // Not with the lock held: opening may wait.
        let options = with(options, |options| Ok(locked(options).clone()))?;
        how(&options)
    })
}

/// Makes the map; it must not exist. May wait. Errors: MAPVAR_ALREADY_EXISTS, MAPVAR_INVALID_NAME,
/// MAPVAR_INVALID_ARGUMENT (no name and no file, or both; a size of 0), MAPVAR_TOO_LARGE,
/// MAPVAR_NO_SPACE with nothing left behind, MAPVAR_PERMISSION_DENIED, MAPVAR_NAME_TAKEN.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_create(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    answer("mapvar_options_create", || obtain(options, out, MapOptions::create))
}

/// Opens the map; it must exist. May wait. Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP, MAPVAR_VERSION,
/// MAPVAR_CORRUPT, MAPVAR_TRUNCATED, MAPVAR_NEEDS_RECOVERY, MAPVAR_FOREIGN_OWNER, MAPVAR_TIMED_OUT,
/// MAPVAR_PERMISSION_DENIED, MAPVAR_UNSUPPORTED.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_open(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    answer("mapvar_options_open", || obtain(options, out, MapOptions::open))
}

/// Opens the map, or makes it where there is none: mapvar_map_was_created says which. Of many processes
/// that do so at once, one makes it and all get the same. May wait. Errors: those of both.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_open_or_create(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    answer("mapvar_options_open_or_create", || obtain(options, out, MapOptions::open_or_create))
}

/// Looks at every part of a map that may be damaged, without opening it, and writes nothing. What is
/// wrong with it is no error of this call. Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP where there is
/// nothing of a map, MAPVAR_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_check(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_check>>,
) -> i32 {
    answer("mapvar_options_check", || {
        make(out, || with(options, |options| Ok(locked(options).clone()))?.check())
    })
}

/// Sets, in the map `into`, every variable of this one that is whole, also where opening refuses it.
/// Not one byte of the damaged map changes. Errors: MAPVAR_NOT_A_MAP where there is nothing of a map,
/// MAPVAR_INVALID_ARGUMENT where both are the same, and those of setting a variable.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_salvage(
    options: *mut mapvar_options,
    into: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_salvage>>,
) -> i32 {
    answer("mapvar_options_salvage", || {
        make(out, || {
            let options = with(options, |options| Ok(locked(options).clone()))?;
            with(into, |into| options.salvage(into))
        })
    })
}
