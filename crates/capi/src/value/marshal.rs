//! Values as Ruby's Marshal writes them.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border,
    errors::run_call,
    handles::{make, with},
    tree::Tree,
    types::{mapvar_map, mapvar_value},
};
use mapvar::Value;
use std::{
    ffi::{c_char, c_void},
    mem::MaybeUninit,
};

/// Returns a new value from what Ruby's Marshal.dump wrote. It has a native kind if there is one,
/// else MAPVAR_KIND_OPAQUE of language 1; the same holds within lists and dictionaries. Nothing is
/// executed. A Hash loses its default, and references to one object become copies.
/// Errors: MAPVAR_CORRUPT or MAPVAR_NOT_A_MAP if the bytes are not Marshal 4.8,
/// MAPVAR_INVALID_ARGUMENT if more bytes follow it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_from_marshal(
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_from_marshal", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) };
        make("out", out, || Ok(Tree::of(Value::from_marshal(bytes?)?)))
    })
}

/// Copies the value, as Ruby's Marshal.dump would write it, into a buffer (C3). MAPVAR_UNSUPPORTED
/// if it is or holds a pod, or an opaque value of another language.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_to_marshal(
    value: *mut mapvar_value,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_value_to_marshal", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        with(value, |tree| border::give(&tree.lend(Value::to_marshal)?, into, len))
    })
}

/// Copies a variable's value, as Ruby's Marshal.dump would write it, into a buffer (C3). For a
/// gem's map these are the stored bytes, including all that a mapvar_value cannot hold.
/// Errors: those of mapvar_map_get_value and mapvar_value_to_marshal, and MAPVAR_TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_marshal(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_map_get_marshal", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let name = name?;
        with(map, |map| border::give_variable(map, name, &map.marshal(name)?, into, len))
    })
}

/// Copies the names of the classes and modules that Ruby's Marshal.load would look up, and run code
/// of, to load these bytes, into a buffer (C3). Each name appears once, in UTF-8 and followed by a
/// NUL.
/// Errors: those of mapvar_value_from_marshal, and MAPVAR_TOO_LARGE, also if objects are nested
/// more than 500 levels deep, which could exhaust the loader's stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_marshal_classes(
    bytes: *const c_void,
    bytes_len: usize,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_marshal_classes", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let mut names = String::new();
        for name in mapvar::gem::marshal_classes(bytes?)? {
            names.push_str(&name);
            names.push('\0');
        }
        border::give(names.as_bytes(), into, len)
    })
}
