//! Handles to one variable.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::{self, Octets, wanted},
        errors::run_call,
        handles::{close, make, make_if_any, make_within, with},
        tree::Tree,
        types::{mapvar_map, mapvar_value, mapvar_var},
    },
    variable::versions::{expected_of, hand_out_version, mapvar_version, now_of, or_absent},
};
use mapvar::{Result, Value, Var};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

/// Returns a handle to a variable, which need not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_var(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_var>>,
) -> i32 {
    run_call("mapvar_map_var", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| map.var(name?))
    })
}

/// Returns a handle to a variable; creates it with `init` if it does not exist. The caller keeps
/// the handle `init`.
/// Errors: those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_var_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    init: *mut mapvar_value,
    out: Option<&mut MaybeUninit<*mut mapvar_var>>,
) -> i32 {
    run_call("mapvar_map_var_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_within("out", out, map, |map| {
            with(init, |tree| tree.lend(|init| map.var_or(name?, init)))
        })
    })
}

/// Frees a handle; the variable stays. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_free(var: *mut mapvar_var) -> i32 {
    run_call("mapvar_var_free", || close(var).map(drop))
}

#[inline]
fn get<T>(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<T>>,
    get: impl FnOnce(&Var<Value>) -> Result<T>,
) -> Result<()> {
    let out = wanted("out", out)?;
    with(var, |var| {
        out.write(get(var)?);
        Ok(())
    })
}

/// Copies the variable's name into a buffer (C3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_var_name(
    var: *mut mapvar_var,
    into: *mut c_char,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_var_name", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into.cast(), capacity) }?;
        with(var, |var| border::give(var.name().as_bytes(), into, len))
    })
}

/// Reports the present kind, one of MAPVAR_KIND_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_kind(var: *mut mapvar_var, out: Option<&mut MaybeUninit<u32>>) -> i32 {
    run_call("mapvar_var_kind", || get(var, out, |var| var.kind().map(|kind| kind as u32)))
}

/// Reports the present version.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_version(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    run_call("mapvar_var_version", || get(var, out, |var| var.version().map(Into::into)))
}

/// Reads the value as an integer, as mapvar_map_get_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_get_i64(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_var_get_i64", || get(var, out, Var::get_as))
}

/// Reads the value as an integer, as mapvar_map_get_u64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_get_u64(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_var_get_u64", || get(var, out, Var::get_as))
}

/// Reads the value as a double, as mapvar_map_get_f64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_get_f64(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_var_get_f64", || get(var, out, Var::get_as))
}

/// Reads the value as true (1) or false (0), as mapvar_map_get_bool.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_get_bool(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_var_get_bool", || get(var, out, |var| var.get_as::<bool>().map(i32::from)))
}

/// Copies the bytes of the value (text, bytes, pod, opaque) into a buffer, as many as fit; `len` is
/// how many there are. If `len` is more than `capacity`, the copy is incomplete, and the call
/// returns MAPVAR_TOO_LARGE unless `capacity` is 0. This is the fast way for large values: it
/// allocates nothing. A number yields its eight bytes; nil and an empty list yield
/// none. A list or a dict with elements is MAPVAR_WRONG_KIND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_var_read_bytes(
    var: *mut mapvar_var,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_var_read_bytes", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let out = wanted("len", len)?;
        with(var, |var| {
            let len = var.read_bytes(into)?;
            out.write(len);
            if len > capacity && capacity > 0 {
                return Err(border::short(var.map(), var.name(), capacity, len));
            }
            Ok(())
        })
    })
}

/// Reads the value, of whatever kind. Returns a new handle; the caller frees it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_get_value(
    var: *mut mapvar_var,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_var_get_value", || {
        make("out", out, || with(var, |var| var.get().map(Tree::of)))
    })
}

/// Reads the value, of whatever kind, and its version. Returns a new handle; the caller frees it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_get_versioned(
    var: *mut mapvar_var,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
    version: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    run_call("mapvar_var_get_versioned", || {
        let version = wanted("version", version);
        make_if_any("value", value, || {
            with(var, |var| {
                let (value, now) = or_absent(var.get_versioned())?;
                version?.write(now.into());
                Ok(value.map(Tree::of))
            })
        })
    })
}

/// Sets the variable to an integer.
/// Errors: those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_i64(var: *mut mapvar_var, value: i64) -> i32 {
    run_call("mapvar_var_set_i64", || with(var, |var| var.set_as(value)))
}

/// Sets the variable to an integer; one that fits int64_t is of MAPVAR_KIND_I64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_u64(var: *mut mapvar_var, value: u64) -> i32 {
    run_call("mapvar_var_set_u64", || with(var, |var| var.set_as(value)))
}

/// Sets the variable to a double.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_f64(var: *mut mapvar_var, value: f64) -> i32 {
    run_call("mapvar_var_set_f64", || with(var, |var| var.set_as(value)))
}

/// Sets the variable to true (not 0) or false (0).
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_bool(var: *mut mapvar_var, value: i32) -> i32 {
    run_call("mapvar_var_set_bool", || with(var, |var| var.set_as(value != 0)))
}

/// Sets the variable to nil: it exists and holds nil.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_nil(var: *mut mapvar_var) -> i32 {
    run_call("mapvar_var_set_nil", || with(var, |var| var.set_as(())))
}

/// Sets the variable to text. MAPVAR_INVALID_ARGUMENT if the text is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_var_set_str(
    var: *mut mapvar_var,
    text: *const c_char,
    text_len: usize,
) -> i32 {
    run_call("mapvar_var_set_str", || {
        // SAFETY: C1 for `text`.
        let text = unsafe { border::text("text", text, text_len) }?;
        with(var, |var| var.set_as(text))
    })
}

/// Sets the variable to bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_var_set_bytes(
    var: *mut mapvar_var,
    bytes: *const c_void,
    bytes_len: usize,
) -> i32 {
    run_call("mapvar_var_set_bytes", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?;
        with(var, |var| var.set_as(Octets(bytes)))
    })
}

/// Sets the variable to a value of any kind. The caller keeps the handle `value`.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_value(var: *mut mapvar_var, value: *mut mapvar_value) -> i32 {
    run_call("mapvar_var_set_value", || {
        with(var, |var| with(value, |tree| tree.lend(|value| var.set(value))))
    })
}

/// Sets the variable if it still has the version `expected`, as mapvar_map_compare_and_set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_var_compare_and_set(
    var: *mut mapvar_var,
    expected: *const mapvar_version,
    value: *mut mapvar_value,
    now: *mut mapvar_version,
) -> i32 {
    run_call("mapvar_var_compare_and_set", || {
        // SAFETY: C1 for `expected`, one item.
        let expected = unsafe { expected_of("expected", expected) }?;
        // SAFETY: C2 for `now`.
        let now = unsafe { now_of(now) };
        with(var, |var| {
            let done = with(value, |tree| tree.lend(|value| var.compare_and_set(expected, value)))?;
            hand_out_version(var.map(), var.name(), done, now)
        })
    })
}
