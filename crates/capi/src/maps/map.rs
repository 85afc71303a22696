//! Maps, and their variables by name.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, Octets, offer, wanted},
    errors::{refused, run_call},
    handles::{close, close_within, make, with},
    tree::Tree,
    types::{mapvar_check, mapvar_map, mapvar_stat, mapvar_value},
};
use mapvar::{ErrorKind, Map, Origin, Recovery, Result};
use std::mem::MaybeUninit;
use std::{
    ffi::{c_char, c_void},
    time::Duration,
};

/// Opens the map of this name, in this session, for reading and writing, as mapvar_options_open
/// does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_open(
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    run_call("mapvar_map_open", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make("out", out, || Map::open(name?))
    })
}

/// Closes the handle and reports the system's errors. It first flushes what was set in a map in a
/// file since the last flush. May wait for the disk.
/// This also frees what was made from the handle and needs the map: variables, atomics,
/// transactions, walks, watches, locks and tickets; calls on them then fail with
/// MAPVAR_CLOSED. But a lock that is held stays held, and keeps the map open until it is released.
/// If another thread is in a call on any of these, the map stays open until that call ends, and
/// this close reports nothing. Does nothing for NULL.
/// Errors: MAPVAR_TIMED_OUT if another process flushes or writes and makes no progress: nothing is
/// closed then, so call it again, or end the process. After any other error of mapvar_map_flush the
/// handle is closed nonetheless, so only MAPVAR_CLOSED means that it had been closed before.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_close(map: *mut mapvar_map) -> i32 {
    run_call("mapvar_map_close", || {
        if !map.is_null() {
            // A handle that was closed is an error of `close`, and so is every other failure here.
            match with(map, Map::flush_if_dirty) {
                Err(error) if error.kind() == ErrorKind::TimedOut => return Err(error),
                _ => {}
            }
        }
        let closed = close(map)?;
        if !map.is_null() {
            close_within(map.addr());
        }
        // Last, so that it reports the errors.
        match closed.map_or(Ok(()), Map::close) {
            // What other processes have set since the flush is theirs to flush.
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(()),
            closed => closed,
        }
    })
}

/// Returns a second handle to the same map, to be closed separately.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_duplicate(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    run_call("mapvar_map_duplicate", || make("out", out, || with(map, |map| Ok(map.clone()))))
}

/// Reports 1 if the call that opened the map created it, 0 if the map existed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_was_created(
    map: *mut mapvar_map,
    created: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_was_created", || {
        let created = wanted("created", created)?;
        with(map, |map| {
            created.write((map.origin() == Origin::Created).into());
            Ok(())
        })
    })
}

/// Reports the longest time in milliseconds that a call on the map waits for another process.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_timeout(
    map: *mut mapvar_map,
    milliseconds: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_timeout", || {
        let out = wanted("milliseconds", milliseconds)?;
        with(map, |map| {
            let most = Duration::from_millis(u64::MAX);
            out.write(map.timeout().min(most).as_millis() as u64);
            Ok(())
        })
    })
}

/// Reports how many bytes of values the map was created for; for a gem's map, how many bytes its
/// marshalled variables may take.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_size(
    map: *mut mapvar_map,
    bytes: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_size", || {
        let out = wanted("bytes", bytes)?;
        with(map, |map| {
            out.write(map.size());
            Ok(())
        })
    })
}

/// 1 if the file was recovered when this handle opened it. Otherwise all of MAPVAR_RECOVERY_… are 0.
pub const MAPVAR_RECOVERY_HAPPENED: u32 = 0;
/// How many variables there were after the recovery.
pub const MAPVAR_RECOVERY_VARIABLES: u32 = 1;
/// How many variables of the last complete flush were lost, or have an older value.
pub const MAPVAR_RECOVERY_LOST: u32 = 2;
/// How many variables had changes that were in the file but in no complete flush; they were taken
/// back.
pub const MAPVAR_RECOVERY_ROLLED_BACK: u32 = 3;
/// 1 if the disk did not keep data that it had acknowledged.
pub const MAPVAR_RECOVERY_DAMAGED: u32 = 4;
/// 1 if the file is a torn copy: it was copied while it was in use.
pub const MAPVAR_RECOVERY_TORN: u32 = 5;

/// Reports the recovery when the map was opened; `which` is one of MAPVAR_RECOVERY_…. Usually none
/// was needed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_recovery(
    map: *mut mapvar_map,
    which: u32,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_recovery", || {
        let out = wanted("out", out)?;
        with(map, |map| {
            let found = map.recovery();
            let figure = |figure: fn(Recovery) -> u64| found.map_or(0, figure);
            out.write(match which {
                MAPVAR_RECOVERY_HAPPENED => found.is_some().into(),
                MAPVAR_RECOVERY_VARIABLES => figure(|found| found.variables),
                MAPVAR_RECOVERY_LOST => figure(|found| found.lost),
                MAPVAR_RECOVERY_ROLLED_BACK => figure(|found| found.rolled_back),
                MAPVAR_RECOVERY_DAMAGED => figure(|found| found.damaged.into()),
                MAPVAR_RECOVERY_TORN => figure(|found| found.torn.into()),
                _ => {
                    let detail = format!("{which} is none; use one of MAPVAR_RECOVERY_…");
                    return Err(refused(ErrorKind::InvalidArgument, "which", detail));
                }
            });
            Ok(())
        })
    })
}

/// Copies every variable into another map, while other processes go on using this one. A map in a
/// file is flushed then. This is the way to copy a file in use, which a copy of the file itself may
/// tear. Locks and ephemeral variables are not copied. Takes the memory of all values, and may wait.
/// `variables`, which may be NULL, gets the number of variables. `at_one_instant`, which may be
/// NULL, gets 1 if the copy is the map as of one instant; it gets 0 if other processes changed so
/// much meanwhile that the values, each of them whole, are of different moments.
/// A variable whose value cannot be read is left out: the call copies the others, stores both
/// results, and then returns the error of the first such variable (usually MAPVAR_CORRUPT). A plain
/// struct whose layout is damaged counts as left out, and its bytes are copied nevertheless.
/// Errors: MAPVAR_INVALID_ARGUMENT if both are the same map, MAPVAR_UNSUPPORTED if `into` is a gem's
/// map, and those of setting a variable and of mapvar_map_flush.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_copy_to(
    map: *mut mapvar_map,
    into: *mut mapvar_map,
    variables: Option<&mut MaybeUninit<u64>>,
    at_one_instant: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_copy_to", || {
        with(map, |map| {
            let copied = with(into, |into| map.copy_to(into))?;
            offer(variables, copied.variables);
            offer(at_one_instant, copied.at_one_instant.into());
            copied.lost.into_iter().next().map_or(Ok(()), Err)
        })
    })
}

/// The common part of all functions that set a variable.
fn set(
    map: *mut mapvar_map,
    name: Result<&str>,
    set: impl FnOnce(&Map, &str) -> Result<()>,
) -> Result<()> {
    let name = name?;
    with(map, |map| set(map, name))
}

/// The common part of all functions that get a variable.
#[inline]
fn get<T>(
    map: *mut mapvar_map,
    name: Result<&str>,
    out: Option<&mut MaybeUninit<T>>,
    get: impl FnOnce(&Map, &str) -> Result<T>,
) -> Result<()> {
    let (name, out) = (name?, wanted("out", out)?);
    with(map, |map| {
        out.write(get(map, name)?);
        Ok(())
    })
}

/// Sets a variable to an integer, and creates it if needed; its kind may change. Once this has
/// returned, every process that reads the variable gets this value or a later one, whatever happens
/// to this process. May wait for another writer of the same variable.
/// Errors: MAPVAR_INVALID_NAME (1 to 1,023 bytes), MAPVAR_FULL and MAPVAR_NO_SPACE with nothing
/// lost, MAPVAR_WRONG_KIND for an atomic of another kind, MAPVAR_TIMED_OUT if another writer of the
/// variable is alive but stopped, MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: i64,
) -> i32 {
    run_call("mapvar_map_set_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, value))
    })
}

/// Sets a variable to an integer, as mapvar_map_set_i64; one that fits int64_t is of
/// MAPVAR_KIND_I64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_u64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: u64,
) -> i32 {
    run_call("mapvar_map_set_u64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, value))
    })
}

/// Sets a variable to a double, as mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_f64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: f64,
) -> i32 {
    run_call("mapvar_map_set_f64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, value))
    })
}

/// Sets a variable to true (not 0) or false (0), as mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_bool(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: i32,
) -> i32 {
    run_call("mapvar_map_set_bool", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, value != 0))
    })
}

/// Sets a variable to nil, as mapvar_map_set_i64: the variable exists and holds nil.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_nil(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
) -> i32 {
    run_call("mapvar_map_set_nil", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, ()))
    })
}

/// Sets a variable to text, as mapvar_map_set_i64. MAPVAR_INVALID_ARGUMENT if the text is not
/// UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_str(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    text: *const c_char,
    text_len: usize,
) -> i32 {
    run_call("mapvar_map_set_str", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C1 for `text`.
        let text = unsafe { border::text("text", text, text_len) }?;
        set(map, name, |map, name| map.set(name, text))
    })
}

/// Sets a variable to bytes, as mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_bytes(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    bytes: *const c_void,
    bytes_len: usize,
) -> i32 {
    run_call("mapvar_map_set_bytes", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?;
        set(map, name, |map, name| map.set(name, Octets(bytes)))
    })
}

/// Sets a variable to a value of any kind, as mapvar_map_set_i64. The caller keeps the handle
/// `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_value(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: *mut mapvar_value,
) -> i32 {
    run_call("mapvar_map_set_value", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| with(value, |tree| tree.lend(|value| map.set(name, value))))
    })
}

/// Reads a variable's value as an integer. Takes no lock; waits only while other writers rewrite
/// the variable without a pause.
/// Errors: MAPVAR_NOT_FOUND, MAPVAR_WRONG_KIND if the value is not an integer, MAPVAR_OUT_OF_RANGE
/// if it does not fit int64_t, MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT or
/// MAPVAR_CONTENDED if other writers rewrite it all the time. `out` is written only with MAPVAR_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_map_get_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, Map::get)
    })
}

/// Reads a variable's value as an integer, as mapvar_map_get_i64; MAPVAR_OUT_OF_RANGE if it is
/// below 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_u64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_get_u64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, Map::get)
    })
}

/// Reads a variable's value as a double, as mapvar_map_get_i64; an integer that no double
/// holds exactly is MAPVAR_OUT_OF_RANGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_f64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_map_get_f64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, Map::get)
    })
}

/// Reads a variable's value as true (1) or false (0), as mapvar_map_get_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_bool(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_get_bool", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, |map, name| map.get::<bool>(name).map(i32::from))
    })
}

/// Copies a variable's text into a buffer (C3), and a NUL after it if there is space. `len` is the
/// length without the NUL.
/// Errors: those of mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_str(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    into: *mut c_char,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_map_get_str", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), capacity) }?;
        let name = name?;
        with(map, |map| {
            let text = map.get::<String>(name)?;
            border::give_variable(map, name, text.as_bytes(), into, len)
        })
    })
}

/// Copies the bytes of a variable that holds text, bytes, a pod or an opaque value into a buffer
/// (C3).
/// Errors: those of mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_bytes(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_map_get_bytes", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let name = name?;
        with(map, |map| {
            let bytes = border::octets(map, name, map.get(name)?)?;
            border::give_variable(map, name, &bytes, into, len)
        })
    })
}

/// Reads a variable's value, of whatever kind. Returns a new handle; the caller frees it.
/// Errors: MAPVAR_NOT_FOUND, MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT,
/// MAPVAR_CONTENDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_value(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_map_get_value", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make("out", out, || {
            let name = name?;
            with(map, |map| map.get(name).map(Tree::of))
        })
    })
}

/// Reports 1 if there is a variable of this name, else 0.
/// Errors: MAPVAR_INVALID_NAME, MAPVAR_CORRUPT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_contains(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_contains", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, |map, name| map.contains(name).map(i32::from))
    })
}

/// Removes a variable; `removed` (may be NULL) is 1 if it existed, else 0. May wait for another
/// writer of the same variable.
/// Errors: MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT, MAPVAR_CORRUPT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_remove(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    removed: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_remove", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        let name = name?;
        with(map, |map| {
            offer(removed, map.remove(name)?.into());
            Ok(())
        })
    })
}

/// Removes every variable that it finds, one after the other; variables that others create
/// meanwhile may stay. `removed` (may be NULL) is how many it removed.
/// Errors: those of mapvar_map_remove. It reports the first error, after it has removed the other
/// variables.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_clear(
    map: *mut mapvar_map,
    removed: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_clear", || {
        with(map, |map| {
            offer(removed, map.clear()?);
            Ok(())
        })
    })
}

/// Counts the variables, by a walk over them.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_count(
    map: *mut mapvar_map,
    count: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_count", || {
        let count = wanted("count", count)?;
        with(map, |map| {
            count.write(map.count()?);
            Ok(())
        })
    })
}

/// Makes everything that was set before this call survive a power cut; waits until the device has
/// confirmed it. Does nothing for a map without a file.
/// Errors: MAPVAR_IO if the device fails, then and at each later flush of this map;
/// MAPVAR_TIMED_OUT if another process flushes or writes and makes no progress; MAPVAR_READ_ONLY;
/// MAPVAR_NAME_REMOVED, after the flush, as mapvar_map_check_name.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_flush(map: *mut mapvar_map) -> i32 {
    run_call("mapvar_map_flush", || with(map, Map::flush))
}

/// Checks that other processes still find this map under its path or name, which takes two system
/// calls. On Unix a program can remove or replace a file in use (rm, mv, an editor); later openers
/// then find another map or none. mapvar_map_flush, mapvar_map_stat, mapvar_map_close and waits
/// report that too, gets and sets do not.
/// Errors: MAPVAR_NAME_REMOVED; the variables can still be read, and copied to a map opened anew.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_check_name(map: *mut mapvar_map) -> i32 {
    run_call("mapvar_map_check_name", || with(map, Map::check_name))
}

/// Returns the figures of this moment: a new handle; the caller frees it.
/// Errors: MAPVAR_NAME_REMOVED, as mapvar_map_check_name.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_stat(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_stat>>,
) -> i32 {
    run_call("mapvar_map_stat", || make("out", out, || with(map, Map::stat)))
}

/// Checks every part of the map against all other parts that refer to it; other processes may go on
/// using the map. Damage is a finding, not an error of this call. Returns a new handle; the caller
/// frees it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_check(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_check>>,
) -> i32 {
    run_call("mapvar_map_check", || make("out", out, || with(map, Map::check)))
}

/// Leaves the signals and exceptions of this process alone, for a host that handles all of them
/// itself. A file that is truncated under a map then ends the process and is no longer an error.
/// Call it before anything else of this library; MAPVAR_ALREADY_EXISTS if the library's handler is
/// already installed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_leave_faults_alone() -> i32 {
    run_call("mapvar_leave_faults_alone", || {
        if mapvar::section::leave_faults_alone() {
            return Ok(());
        }
        let detail = "the handler stands already; call this before anything else";
        Err(refused(ErrorKind::AlreadyExists, "", detail))
    })
}
