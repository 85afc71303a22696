//! Reads with a default, and sets that leave an equal value alone.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, offer, wanted},
    errors::run_call,
    handles::with,
    types::{mapvar_map, mapvar_value, mapvar_var},
};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// Reads a variable's value as an integer, or reports `otherwise` if there is no such variable.
/// Errors: those of mapvar_map_get_i64, without MAPVAR_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_i64_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    otherwise: i64,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_map_get_i64_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let out = wanted("out", out)?;
        with(map, |map| {
            out.write(map.get_or(name, otherwise)?);
            Ok(())
        })
    })
}

/// Reads a variable's value as mapvar_map_get_u64, or reports `otherwise` if there is no such
/// variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_u64_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    otherwise: u64,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_map_get_u64_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let out = wanted("out", out)?;
        with(map, |map| {
            out.write(map.get_or(name, otherwise)?);
            Ok(())
        })
    })
}

/// Reads a variable's value as mapvar_map_get_f64, or reports `otherwise` if there is no such
/// variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_f64_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    otherwise: f64,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_map_get_f64_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let out = wanted("out", out)?;
        with(map, |map| {
            out.write(map.get_or(name, otherwise)?);
            Ok(())
        })
    })
}

/// Reads a variable's value as true (1) or false (0), or reports `otherwise` (1 if it is not 0) if
/// there is no such variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_bool_or(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    otherwise: i32,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_get_bool_or", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let out = wanted("out", out)?;
        with(map, |map| {
            out.write(map.get_or(name, otherwise != 0).map(i32::from)?);
            Ok(())
        })
    })
}

/// Sets a variable to a value of any kind, unless it holds that value already: then a watch reports
/// nothing new, and the version stays. `set` (may be NULL) is 1 if it set the variable, else 0.
/// Another writer may set the variable between the comparison and the return. The caller keeps the
/// handle `value`.
/// Errors: those of mapvar_map_set_i64, and MAPVAR_CORRUPT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_if_changed(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: *mut mapvar_value,
    set: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_map_set_if_changed", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        with(map, |map| {
            let done = with(value, |tree| tree.lend(|value| map.set_if_changed(name, value)))?;
            offer(set, done.into());
            Ok(())
        })
    })
}

/// Sets the variable to a value of any kind, unless it holds that value already, as
/// mapvar_map_set_if_changed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_var_set_if_changed(
    var: *mut mapvar_var,
    value: *mut mapvar_value,
    set: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_var_set_if_changed", || {
        with(var, |var| {
            let done = with(value, |tree| tree.lend(|value| var.set_if_changed(value)))?;
            offer(set, done.into());
            Ok(())
        })
    })
}
