//! Maps, and their variables by name.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::base::{
    border::{self, Octets, offer, wanted},
    errors::{answer, refused},
    handles::{close, make, with},
    tree::Tree,
    types::{mapvar_check, mapvar_map, mapvar_stat, mapvar_value},
};
use mapvar::{ErrorKind, Map, Origin, Result};
use std::mem::MaybeUninit;
use std::{
    ffi::{c_char, c_void},
    time::Duration,
};

/// Opens the map of this name, in this session, for reading and writing. As mapvar_options_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_open(
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    answer("mapvar_map_open", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        make(out, || Map::open(name))
    })
}

/// Closes the handle and reports what the system says; the last one of a process that has the map of a
/// file open flushes it first, if anything was set since it was flushed. The map itself stays open for
/// the handles made from it (of variables, atomics, transactions, snapshots and walks), until they are
/// freed; and where another thread is in a call on this handle, until that ends, without a report. It
/// may wait for the disk. Errors: those of mapvar_map_flush; the handle is closed nonetheless, so that
/// only MAPVAR_CLOSED means that it was closed before. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_close(map: *mut mapvar_map) -> i32 {
    answer("mapvar_map_close", || match close(map)? {
        Some(map) => map.close(),
        None => Ok(()),
    })
}

/// A second handle to the same map, to be closed by itself.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_duplicate(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_map>>,
) -> i32 {
    answer("mapvar_map_duplicate", || make(out, || with(map, |map| Ok(map.clone()))))
}

/// 1 where the call that opened the map made it, 0 where it found it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_was_created(
    map: *mut mapvar_map,
    created: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_map_was_created", || {
        let created = wanted("created", created)?;
        with(map, |map| {
            created.write((map.origin() == Origin::Created).into());
            Ok(())
        })
    })
}

/// How long a call on the map waits for a lock at most, in milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_timeout(
    map: *mut mapvar_map,
    milliseconds: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_map_timeout", || {
        let out = wanted("milliseconds", milliseconds)?;
        with(map, |map| {
            let most = Duration::from_millis(u64::MAX);
            out.write(map.timeout().min(most).as_millis() as u64);
            Ok(())
        })
    })
}

/// Bytes of values that the map was made for; of a gem's map those that its variables, marshalled, may
/// take.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_size(
    map: *mut mapvar_map,
    bytes: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_map_size", || {
        let out = wanted("bytes", bytes)?;
        with(map, |map| {
            out.write(map.size());
            Ok(())
        })
    })
}

/// What opening the map recovered: `happened` is 0 where there was nothing to do, the usual case, and
/// the others are 0 then; else how many `variables` there were, how many were `lost`, and whether the
/// file is `damaged` so that the disk did not keep what it had acknowledged. Each may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_recovery(
    map: *mut mapvar_map,
    happened: Option<&mut MaybeUninit<i32>>,
    variables: Option<&mut MaybeUninit<u64>>,
    lost: Option<&mut MaybeUninit<u64>>,
    damaged: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_map_recovery", || {
        with(map, |map| {
            let found = map.recovery();
            offer(happened, found.is_some().into());
            offer(variables, found.map_or(0, |found| found.variables));
            offer(lost, found.map_or(0, |found| found.lost));
            offer(damaged, found.is_some_and(|found| found.damaged).into());
            Ok(())
        })
    })
}

/// What all functions that set a variable have in common.
fn set(
    map: *mut mapvar_map,
    name: Result<&str>,
    set: impl FnOnce(&Map, &str) -> Result<()>,
) -> Result<()> {
    let name = name?;
    with(map, |map| set(map, name))
}

/// What all functions that get one have in common.
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

/// Sets a variable to a whole number, making it where there is none; its kind may change. When this
/// has returned, every process that reads it gets this value or a later one, whatever happens to this
/// process. May wait for who is just writing it. Errors: MAPVAR_INVALID_NAME
/// (1 to 1,023 bytes), MAPVAR_FULL and MAPVAR_NO_SPACE with nothing lost, MAPVAR_WRONG_KIND for an
/// atomic of another kind, MAPVAR_TIMED_OUT where who is writing it lives but is stopped,
/// MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: i64,
) -> i32 {
    answer("mapvar_map_set_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, value))
    })
}

/// As mapvar_map_set_i64; a number that fits int64_t is of MAPVAR_KIND_I64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_u64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: u64,
) -> i32 {
    answer("mapvar_map_set_u64", || {
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
    answer("mapvar_map_set_f64", || {
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
    answer("mapvar_map_set_bool", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, value != 0))
    })
}

/// Sets a variable to nothing, as mapvar_map_set_i64: it is there, and holds nil.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_nil(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
) -> i32 {
    answer("mapvar_map_set_nil", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| map.set(name, ()))
    })
}

/// Sets a variable to text, as mapvar_map_set_i64. MAPVAR_INVALID_ARGUMENT for what is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_str(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    text: *const c_char,
    text_len: usize,
) -> i32 {
    answer("mapvar_map_set_str", || {
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
    answer("mapvar_map_set_bytes", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?;
        set(map, name, |map, name| map.set(name, Octets(bytes)))
    })
}

/// Sets a variable to a value of any kind, as mapvar_map_set_i64. The handle stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_value(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: *mut mapvar_value,
) -> i32 {
    answer("mapvar_map_set_value", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        set(map, name, |map, name| {
            with(value, |tree| tree.lend(|value| map.set_value(name, value)))
        })
    })
}

/// A variable's value as a whole number. Takes no lock; waits its turn only where others rewrite the
/// variable without a pause. Errors: MAPVAR_NOT_FOUND, MAPVAR_WRONG_KIND for what is no whole number,
/// MAPVAR_OUT_OF_RANGE for one beyond int64_t, MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT or
/// MAPVAR_CONTENDED where others rewrite it all the time. `out` is written only where it is answered 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    answer("mapvar_map_get_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, Map::get)
    })
}

/// As mapvar_map_get_i64; MAPVAR_OUT_OF_RANGE for a number below 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_u64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_map_get_u64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, Map::get)
    })
}

/// A variable's value as a double, as mapvar_map_get_i64; a whole number is MAPVAR_WRONG_KIND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_f64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    answer("mapvar_map_get_f64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, Map::get)
    })
}

/// A variable's value as true (1) or false (0), as mapvar_map_get_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_bool(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_map_get_bool", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, |map, name| map.get::<bool>(name).map(i32::from))
    })
}

/// A variable's text into a buffer (C3), a NUL behind it where there is room; `len` is its length
/// without that. Errors as mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_str(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    into: *mut c_char,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_map_get_str", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), capacity) }?;
        let name = name?;
        with(map, |map| border::give(map.get::<String>(name)?.as_bytes(), into, len))
    })
}

/// The bytes of a variable that holds text, bytes, a pod or an opaque value, into a buffer (C3). Errors
/// as mapvar_map_get_i64, and MAPVAR_TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_bytes(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_map_get_bytes", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let name = name?;
        with(map, |map| border::give(&border::octets(map.value(name)?)?, into, len))
    })
}

/// A variable's value, of whatever kind it is: a new handle, to be freed. Errors: MAPVAR_NOT_FOUND,
/// MAPVAR_INVALID_NAME, MAPVAR_CORRUPT, MAPVAR_TIMED_OUT, MAPVAR_CONTENDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_value(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_map_get_value", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        let name = name?;
        make(out, || with(map, |map| map.value(name).map(Tree::of)))
    })
}

/// 1 where there is a variable of this name, else 0. Errors: MAPVAR_INVALID_NAME, MAPVAR_CORRUPT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_contains(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_map_contains", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        get(map, name, out, |map, name| map.contains(name).map(i32::from))
    })
}

/// Removes a variable; `removed` (may be NULL) is 1 where there was one, else 0. May wait for who is
/// just writing it. Errors: MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT, MAPVAR_CORRUPT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_remove(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    removed: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_map_remove", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        let name = name?;
        with(map, |map| {
            offer(removed, map.remove(name)?.into());
            Ok(())
        })
    })
}

/// Removes every variable that it finds, one after the other; those that others make meanwhile may
/// stay. `removed` (may be NULL) is how many. Errors: those of mapvar_map_remove, the first that it
/// met, after it has removed the others.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_clear(
    map: *mut mapvar_map,
    removed: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_map_clear", || {
        with(map, |map| {
            offer(removed, map.clear()?);
            Ok(())
        })
    })
}

/// How many variables there are, counted by a walk over them.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_count(
    map: *mut mapvar_map,
    count: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_map_count", || {
        let count = wanted("count", count)?;
        with(map, |map| {
            count.write(map.len()?);
            Ok(())
        })
    })
}

/// Makes everything that was set before this call survive a power cut, and waits until the device says
/// so; nothing to do for a map without a file. Errors: MAPVAR_IO where the device fails, and at each
/// later flush of this map; MAPVAR_TIMED_OUT where another process flushes or writes and does not go
/// on; MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_flush(map: *mut mapvar_map) -> i32 {
    answer("mapvar_map_flush", || with(map, Map::flush))
}

/// Facts and figures, of this moment: a new handle, to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_stat(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_stat>>,
) -> i32 {
    answer("mapvar_map_stat", || make(out, || with(map, Map::stat)))
}

/// Looks at every part of the map, and compares it with all others that speak of it; others may go on
/// using the map. What it finds is no error of this call. A new handle, to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_check(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_check>>,
) -> i32 {
    answer("mapvar_map_check", || make(out, || with(map, Map::check)))
}

/// Leaves the signals and exceptions of this process alone, for a host that owns them all: a file that
/// is made shorter under a map then ends the process, and is no error any more. To be called before
/// anything else of this library; MAPVAR_ALREADY_EXISTS where its handler stands already.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_leave_faults_alone() -> i32 {
    answer("mapvar_leave_faults_alone", || {
        if mapvar::leave_faults_alone() {
            return Ok(());
        }
        let detail = "the handler stands already; call this before anything else";
        Err(refused(ErrorKind::AlreadyExists, "", detail))
    })
}
