//! Fields of plain structs by name.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, wanted},
    errors::{refused, run_call},
    handles::{make, with},
    tree::Tree,
    types::{mapvar_map, mapvar_value},
};
use mapvar::{ErrorKind, Map, Result, Value};
use std::ffi::c_char;
use std::mem::MaybeUninit;

#[cold]
fn misfit(value: &Value) -> mapvar::Error {
    let kind = match value {
        Value::I64(_) | Value::U64(_) => ErrorKind::OutOfRange,
        _ => ErrorKind::WrongKind,
    };
    refused(kind, "path", format!("the field is {value}, which does not fit the type asked for"))
}

/// Reads one field of a variable that is a struct, of whatever kind. `path` has the names of fields
/// and the indices of elements, from 0, separated by dots: "rpm", "wheels.2.speed". No other field
/// is copied. Returns a new handle; the caller frees it. mapvar_map_get_value returns the whole
/// struct, of MAPVAR_KIND_DICT.
/// Errors: MAPVAR_NOT_FOUND if there is no such variable or no such field, MAPVAR_WRONG_KIND if the
/// variable is no struct, MAPVAR_VERSION if a later version has described it; those of
/// mapvar_map_get_value. MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_field(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_map_get_field", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) };
        make("out", out, || with(map, |map| map.get_field(name?, path?).map(Tree::of)))
    })
}

/// Sets one field of a variable that is a struct; the others stay as they are. An integer converts
/// to any type that holds it, and a double is rounded to a float of 32 bits. An array takes a list
/// of as many values, and a struct a dictionary of all its fields. The caller keeps the handle
/// `value`.
/// Errors: those of mapvar_map_get_field and mapvar_map_set_i64; MAPVAR_WRONG_KIND and
/// MAPVAR_OUT_OF_RANGE if the field cannot hold the value; MAPVAR_CONFLICT if other writers set the
/// variable all the time. The variable then keeps its value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_field(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
    value: *mut mapvar_value,
) -> i32 {
    run_call("mapvar_map_set_field", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        with(map, |map| with(value, |tree| tree.lend(|value| map.set_field(name, path, value))))
    })
}

/// Reads one field as a double, as mapvar_map_get_field does. An integer that no double holds
/// exactly is MAPVAR_OUT_OF_RANGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_field_f64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_map_get_field_f64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        read(map, name, path, out, |value| match value {
            Value::F64(float) => Some(*float),
            Value::I64(number) => exact((*number).into()),
            Value::U64(number) => exact((*number).into()),
            _ => None,
        })
    })
}

#[allow(clippy::cast_precision_loss, reason = "a loss is an error")]
fn exact(number: i128) -> Option<f64> {
    let float = number as f64;
    (float as i128 == number).then_some(float)
}

/// Reads one field as an integer, as mapvar_map_get_field does; true is 1, and false 0. One that
/// does not fit int64_t is MAPVAR_OUT_OF_RANGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_field_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_map_get_field_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        read(map, name, path, out, |value| match value {
            Value::Bool(value) => Some((*value).into()),
            Value::I64(number) => Some(*number),
            _ => None,
        })
    })
}

fn read<T>(
    map: *mut mapvar_map,
    name: &str,
    path: &str,
    out: Option<&mut MaybeUninit<T>>,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> Result<()> {
    let out = wanted("out", out)?;
    with(map, |map: &Map| {
        let value = map.get_field(name, path)?;
        out.write(convert(&value).ok_or_else(|| misfit(&value))?);
        Ok(())
    })
}

/// Sets one field to a double, as mapvar_map_set_field does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_field_f64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
    value: f64,
) -> i32 {
    run_call("mapvar_map_set_field_f64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        with(map, |map| map.set_field(name, path, &Value::F64(value)))
    })
}

/// Sets one field to an integer, as mapvar_map_set_field does. A bool takes mapvar_value_bool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_field_i64(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
    value: i64,
) -> i32 {
    run_call("mapvar_map_set_field_i64", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        with(map, |map| map.set_field(name, path, &Value::I64(value)))
    })
}
