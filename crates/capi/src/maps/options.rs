//! Options to create or open a map.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border,
    errors::{refused, run_call},
    handles::{close, make, with},
    settings::Settings,
    types::{mapvar_check, mapvar_map, mapvar_options, mapvar_salvage},
};
use mapvar::{ErrorKind, Map, MapOptions, Recover, Result, Scope};
use std::mem::MaybeUninit;
use std::{ffi::c_char, sync::Arc, time::Duration};

/// Visible to this user's programs in this session; on Unix, in all sessions of this user.
pub const MAPVAR_SCOPE_LOCAL: u32 = 0;
/// Visible to every session of the machine, as the map of a service must be. To create one takes a
/// privilege on Windows.
pub const MAPVAR_SCOPE_GLOBAL: u32 = 1;

/// A file that has to be recovered is refused with MAPVAR_NEEDS_RECOVERY.
pub const MAPVAR_RECOVER_NEVER: u32 = 0;
/// Opening for writing recovers a file after a restart of the machine. A copy is refused with
/// MAPVAR_NEEDS_RECOVERY if it is torn, or if it was made since the machine was started and has
/// changes that no flush contains.
pub const MAPVAR_RECOVER_AFTER_RESTART: u32 = 1;
/// Opening for writing recovers any file, and takes back what the last complete flush does not
/// contain.
pub const MAPVAR_RECOVER_ACCEPT_LOSS: u32 = 2;

/// Creates new options.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_new(out: Option<&mut MaybeUninit<*mut mapvar_options>>) -> i32 {
    run_call("mapvar_options_new", || make("out", out, || Ok(Settings::new(Map::options()))))
}

/// Frees options; the maps opened by them stay open. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_free(options: *mut mapvar_options) -> i32 {
    run_call("mapvar_options_free", || close(options).map(drop))
}

pub(crate) fn change(
    options: *mut mapvar_options,
    change: impl FnMut(MapOptions) -> MapOptions,
) -> Result<()> {
    with(options, |options| {
        options.change(change);
        Ok(())
    })
}

/// Returns the options of this moment.
pub(crate) fn options_of(options: *mut mapvar_options) -> Result<Arc<MapOptions>> {
    with(options, |options| Ok(options.now()))
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

/// Selects a map without a file, known by this name: 1 to 120 characters of A-Z a-z 0-9 . _ -.
/// The map lives until its last user is gone, on every system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_options_name(
    options: *mut mapvar_options,
    name: *const c_char,
    name_len: usize,
) -> i32 {
    run_call("mapvar_options_name", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        change(options, |options| options.name(name))
    })
}

/// Selects a map in this file; the path is UTF-8 on every system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_options_file(
    options: *mut mapvar_options,
    path: *const c_char,
    path_len: usize,
) -> i32 {
    run_call("mapvar_options_file", || {
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        change(options, |options| options.file(path))
    })
}

/// Sets which programs can see the name: MAPVAR_SCOPE_LOCAL (the default) or MAPVAR_SCOPE_GLOBAL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_scope(options: *mut mapvar_options, scope: u32) -> i32 {
    run_call("mapvar_options_scope", || {
        let scope = self::scope(scope)?;
        change(options, |options| options.scope(scope))
    })
}

/// Sets how many bytes of values a new map is created for; 64 KiB by default. It allocates nothing:
/// a new map takes 64 KiB and grows, and the size raises its limit. Ignored for an existing map.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_size(options: *mut mapvar_options, bytes: u64) -> i32 {
    run_call("mapvar_options_size", || change(options, |options| options.size(bytes)))
}

/// Sets the size in bytes that a new map may grow to, overhead included. The limit is permanent;
/// the default is 1 GiB for a named map and none for a file.
/// For an existing map it sets how much address space is reserved.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_max_size(options: *mut mapvar_options, bytes: u64) -> i32 {
    run_call("mapvar_options_max_size", || change(options, |options| options.max_size(bytes)))
}

/// Sets the longest time in milliseconds that a call on the map waits for a writer, and that opening
/// waits for a map under creation; 5,000 by default.
/// After that time the call fails with MAPVAR_TIMED_OUT and has done nothing. To keep a wait
/// interruptible, set a short time and call again.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_timeout(options: *mut mapvar_options, milliseconds: u64) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    run_call("mapvar_options_timeout", || change(options, |options| options.timeout(timeout)))
}

/// Sets how long mapvar_options_open waits for a map that does not exist yet, in milliseconds; 0,
/// the default, is not at all, and UINT64_MAX practically forever. The system reports no new names,
/// so it looks every 20 ms. After that time opening fails with MAPVAR_NOT_FOUND.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_wait(options: *mut mapvar_options, milliseconds: u64) -> i32 {
    let at_most = Duration::from_millis(milliseconds);
    run_call("mapvar_options_wait", || change(options, |options| options.wait(at_most)))
}

/// Sets the longest time in milliseconds that the recovery of a file may take when it is opened,
/// after a restart of the machine or as a copy; by default 5,000, or that of
/// mapvar_options_timeout if it is longer. A recovery reads all data of the file. If the time is
/// up, opening fails with MAPVAR_TIMED_OUT, nothing is lost, and the next opening begins anew.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_recovery_timeout(
    options: *mut mapvar_options,
    milliseconds: u64,
) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    run_call("mapvar_options_recovery_timeout", || {
        change(options, |options| options.recovery_timeout(timeout))
    })
}

/// Not 0: opens read-only. The handle requests only read access and never writes.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_read_only(options: *mut mapvar_options, read_only: i32) -> i32 {
    run_call("mapvar_options_read_only", || change(options, |it| it.read_only(read_only != 0)))
}

/// Sets what opening a file for writing may take back: MAPVAR_RECOVER_AFTER_RESTART (the default),
/// MAPVAR_RECOVER_NEVER or MAPVAR_RECOVER_ACCEPT_LOSS. Opening read-only never changes the file: the
/// handle reads a copy in memory, as the last complete flush left it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_recover(options: *mut mapvar_options, recover: u32) -> i32 {
    run_call("mapvar_options_recover", || {
        let recover = match recover {
            MAPVAR_RECOVER_NEVER => Recover::Never,
            MAPVAR_RECOVER_AFTER_RESTART => Recover::AfterRestart,
            MAPVAR_RECOVER_ACCEPT_LOSS => Recover::AcceptLoss,
            other => {
                let detail = format!("{other} is none; use one of MAPVAR_RECOVER_…");
                return Err(refused(ErrorKind::InvalidArgument, "recover", detail));
            }
        };
        change(options, |options| options.recover(recover))
    })
}

/// Not 0: asserts that no process uses the file by another mount. Without it, opening a file for
/// writing that another mount used since the machine was started fails with MAPVAR_UNSUPPORTED while
/// the processes that the map names may still run: the two mounts may share no locks.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_take_over(options: *mut mapvar_options, take_over: i32) -> i32 {
    run_call("mapvar_options_take_over", || change(options, |it| it.take_over(take_over != 0)))
}

/// Not 0: allows a file on a network drive, where processes on different machines do not see each
/// other's changes, or on a file system of a program (FUSE, 9p), which may show a local file a
/// second time without its locks. Refused by default.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_allow_network(options: *mut mapvar_options, allow: i32) -> i32 {
    run_call("mapvar_options_allow_network", || change(options, |it| it.allow_network(allow != 0)))
}

fn obtain(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
    how: impl FnOnce(&MapOptions) -> Result<Map>,
) -> Result<()> {
    make("out", out, || how(&*options_of(options)?))
}

/// Creates the map; it must not exist. May wait.
/// Errors: MAPVAR_ALREADY_EXISTS, MAPVAR_INVALID_NAME, MAPVAR_INVALID_ARGUMENT (no name and no
/// file, or both; a size of 0), MAPVAR_TOO_LARGE, MAPVAR_NO_SPACE with nothing left behind,
/// MAPVAR_PERMISSION_DENIED, MAPVAR_NAME_TAKEN.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_create(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    run_call("mapvar_options_create", || obtain(options, out, MapOptions::create))
}

/// Opens the map; it must exist, or come into being within the time of mapvar_options_wait. May
/// wait.
/// Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP, MAPVAR_VERSION, MAPVAR_CORRUPT, MAPVAR_TRUNCATED,
/// MAPVAR_NEEDS_RECOVERY, MAPVAR_FOREIGN_OWNER, MAPVAR_TIMED_OUT, MAPVAR_PERMISSION_DENIED,
/// MAPVAR_UNSUPPORTED.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_open(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    run_call("mapvar_options_open", || obtain(options, out, MapOptions::open))
}

/// Opens the map, or creates it if it does not exist; mapvar_map_was_created reports which. If many
/// processes call this at once, one creates the map and all open the same one. May wait.
/// Errors: those of mapvar_options_create and mapvar_options_open.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_open_or_create(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    run_call("mapvar_options_open_or_create", || obtain(options, out, MapOptions::open_or_create))
}

/// Checks every part of a possibly damaged map, without opening it and without writing. Damage is a
/// finding, not an error of this call.
/// Errors: MAPVAR_NOT_FOUND, MAPVAR_NOT_A_MAP if no part of a map is there, MAPVAR_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_check(
    options: *mut mapvar_options,
    out: Option<&mut MaybeUninit<*mut mapvar_check>>,
) -> i32 {
    run_call("mapvar_options_check", || make("out", out, || options_of(options)?.check()))
}

/// Sets, in the map `into`, every intact variable of this map, even if opening this map is refused.
/// Not one byte of the damaged map changes.
/// Errors: MAPVAR_NOT_A_MAP if no part of a map is there, MAPVAR_INVALID_ARGUMENT if both are the
/// same map, and those of setting a variable.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_salvage(
    options: *mut mapvar_options,
    into: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_salvage>>,
) -> i32 {
    run_call("mapvar_options_salvage", || {
        make("out", out, || {
            let options = options_of(options)?;
            with(into, |into| options.salvage(into))
        })
    })
}
