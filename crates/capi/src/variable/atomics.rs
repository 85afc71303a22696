//! Numbers of one machine word, with lock-free operations.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, offer, wanted},
    errors::{refused, run_call},
    handles::{close, make_within, with},
    types::{AnyAtomic, mapvar_atomic, mapvar_map},
};
use mapvar::Compared;
use mapvar::ErrorKind;
use std::ffi::c_char;
use std::mem::MaybeUninit;

pub(crate) fn other() -> mapvar::Error {
    let detail = "it is of another type; use the functions of the type that it was opened with";
    refused(ErrorKind::WrongKind, "atomic", detail)
}

/// Writes the result of an exchange: whether it exchanged, and the value that it found.
fn hand_out<T>(
    done: Compared<T>,
    out: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<T>>,
) {
    let exchanged = done.is_set();
    let (Compared::Set(value) | Compared::Changed(value)) = done;
    offer(found, value);
    offer(out, exchanged.into());
}

/// Frees a handle; the variable stays. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_free(atomic: *mut mapvar_atomic) -> i32 {
    run_call("mapvar_atomic_free", || close(atomic).map(drop))
}

/// Copies the variable's name into a buffer (C3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_atomic_name(
    atomic: *mut mapvar_atomic,
    into: *mut c_char,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_atomic_name", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), capacity) }?;
        with(atomic, |atomic| {
            let name = match atomic {
                AnyAtomic::I64(atomic) => atomic.name(),
                AnyAtomic::U64(atomic) => atomic.name(),
                AnyAtomic::F64(atomic) => atomic.name(),
                AnyAtomic::Bool(atomic) => atomic.name(),
            };
            border::give(name.as_bytes(), into, len)
        })
    })
}

/// Returns a handle to an atomic of int64_t.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
/// another type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic(name?).map(AnyAtomic::I64))
    })
}

/// Returns a handle to an atomic; creates it with `init` if it does not exist.
/// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_i64_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    init: i64,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_i64_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic_or(name?, init).map(AnyAtomic::I64))
    })
}

/// Reads the value.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if another variable took the name.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_load_i64(
    atomic: *mut mapvar_atomic,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_load_i64", || {
        let out = wanted("out", out)?;
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            out.write(atomic.load()?);
            Ok(())
        })
    })
}

/// Stores `value` and reports the value `before`, which may be NULL.
/// Errors: those of mapvar_atomic_load_i64, and MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_swap_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_swap_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.swap(value)?);
            Ok(())
        })
    })
}

/// Stores `new_value` if the value is `old_value`. `exchanged` is then 1, else 0; `found` is the
/// value before. Either may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_compare_exchange_i64(
    atomic: *mut mapvar_atomic,
    old_value: i64,
    new_value: i64,
    exchanged: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_compare_exchange_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            let done = atomic.compare_exchange(old_value, new_value)?;
            hand_out(done, exchanged, found);
            Ok(())
        })
    })
}

/// Adds `value`, wrapping around at the ends of the type, and reports the value `before`, which may
/// be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_add_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_add_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_add(value)?);
            Ok(())
        })
    })
}

/// Subtracts `value`, wrapping around at the ends of the type, and reports the value `before`,
/// which may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_sub_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_sub_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_sub(value)?);
            Ok(())
        })
    })
}

/// Returns a handle to an atomic of uint64_t.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
/// another type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_u64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_u64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic(name?).map(AnyAtomic::U64))
    })
}

/// Returns a handle to an atomic; creates it with `init` if it does not exist.
/// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_u64_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    init: u64,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_u64_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic_or(name?, init).map(AnyAtomic::U64))
    })
}

/// Reads the value.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if another variable took the name.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_load_u64(
    atomic: *mut mapvar_atomic,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_load_u64", || {
        let out = wanted("out", out)?;
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            out.write(atomic.load()?);
            Ok(())
        })
    })
}

/// Stores `value` and reports the value `before`, which may be NULL.
/// Errors: those of mapvar_atomic_load_u64, and MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_swap_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_swap_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.swap(value)?);
            Ok(())
        })
    })
}

/// Stores `new_value` if the value is `old_value`. `exchanged` is then 1, else 0; `found` is the
/// value before. Either may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_compare_exchange_u64(
    atomic: *mut mapvar_atomic,
    old_value: u64,
    new_value: u64,
    exchanged: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_compare_exchange_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            let done = atomic.compare_exchange(old_value, new_value)?;
            hand_out(done, exchanged, found);
            Ok(())
        })
    })
}

/// Adds `value`, wrapping around at the ends of the type, and reports the value `before`, which may
/// be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_add_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_add_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_add(value)?);
            Ok(())
        })
    })
}

/// Subtracts `value`, wrapping around at the ends of the type, and reports the value `before`,
/// which may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_sub_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_sub_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_sub(value)?);
            Ok(())
        })
    })
}

/// Returns a handle to an atomic of double.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
/// another type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_f64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_f64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic(name?).map(AnyAtomic::F64))
    })
}

/// Returns a handle to an atomic; creates it with `init` if it does not exist.
/// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_f64_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    init: f64,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_f64_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic_or(name?, init).map(AnyAtomic::F64))
    })
}

/// Reads the value.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if another variable took the name.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_load_f64(
    atomic: *mut mapvar_atomic,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_atomic_load_f64", || {
        let out = wanted("out", out)?;
        with(atomic, |atomic| {
            let AnyAtomic::F64(atomic) = atomic else { return Err(other()) };
            out.write(atomic.load()?);
            Ok(())
        })
    })
}

/// Stores `value` and reports the value `before`, which may be NULL.
/// Errors: those of mapvar_atomic_load_f64, and MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_swap_f64(
    atomic: *mut mapvar_atomic,
    value: f64,
    before: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_atomic_swap_f64", || {
        with(atomic, |atomic| {
            let AnyAtomic::F64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.swap(value)?);
            Ok(())
        })
    })
}

/// Stores `new_value` if the value is `old_value`, compared bit by bit. `exchanged` is then 1, else
/// 0; `found` is the value before. Either may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_compare_exchange_f64(
    atomic: *mut mapvar_atomic,
    old_value: f64,
    new_value: f64,
    exchanged: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_atomic_compare_exchange_f64", || {
        with(atomic, |atomic| {
            let AnyAtomic::F64(atomic) = atomic else { return Err(other()) };
            let done = atomic.compare_exchange(old_value, new_value)?;
            hand_out(done, exchanged, found);
            Ok(())
        })
    })
}

/// Returns a handle to an atomic of bool.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if the variable is not an atomic, or is one of
/// another type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_bool(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_bool", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic(name?).map(AnyAtomic::Bool))
    })
}

/// Returns a handle to an atomic; creates it with `init` if it does not exist.
/// Errors: MAPVAR_WRONG_KIND, and those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_atomic_bool_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    init: i32,
    out: Option<&mut MaybeUninit<*mut mapvar_atomic>>,
) -> i32 {
    run_call("mapvar_map_atomic_bool_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.atomic_or(name?, init != 0).map(AnyAtomic::Bool))
    })
}

/// Reads the value.
/// Errors: MAPVAR_NOT_FOUND; MAPVAR_WRONG_KIND if another variable took the name.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_load_bool(
    atomic: *mut mapvar_atomic,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_atomic_load_bool", || {
        let out = wanted("out", out)?;
        with(atomic, |atomic| {
            let AnyAtomic::Bool(atomic) = atomic else { return Err(other()) };
            out.write(i32::from(atomic.load()?));
            Ok(())
        })
    })
}

/// Stores `value` and reports the value `before`, which may be NULL.
/// Errors: those of mapvar_atomic_load_bool, and MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_swap_bool(
    atomic: *mut mapvar_atomic,
    value: i32,
    before: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_atomic_swap_bool", || {
        with(atomic, |atomic| {
            let AnyAtomic::Bool(atomic) = atomic else { return Err(other()) };
            offer(before, i32::from(atomic.swap(value != 0)?));
            Ok(())
        })
    })
}

/// Stores `new_value` if the value is `old_value`. `exchanged` is then 1, else 0; `found` is the
/// value before. Either may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_compare_exchange_bool(
    atomic: *mut mapvar_atomic,
    old_value: i32,
    new_value: i32,
    exchanged: Option<&mut MaybeUninit<i32>>,
    found: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_atomic_compare_exchange_bool", || {
        with(atomic, |atomic| {
            let AnyAtomic::Bool(atomic) = atomic else { return Err(other()) };
            let done = atomic.compare_exchange(old_value != 0, new_value != 0)?;
            hand_out(done.map(i32::from), exchanged, found);
            Ok(())
        })
    })
}
