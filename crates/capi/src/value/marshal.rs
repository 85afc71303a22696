//! Values as Ruby's Marshal writes them.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::base::{
    border,
    errors::answer,
    handles::{make, with},
    tree::Tree,
    types::{mapvar_map, mapvar_value},
};
use mapvar::Value;
use std::{
    ffi::{c_char, c_void},
    mem::MaybeUninit,
};

/// A new value: what Ruby's Marshal.dump wrote, of a kind of ours where there is one, else
/// MAPVAR_KIND_OPAQUE of language 1, and so within lists and dictionaries. Nothing is executed. A Hash
/// loses its default, and objects that are one become copies. Errors: MAPVAR_CORRUPT or MAPVAR_NOT_A_MAP for
/// what is no Marshal 4.8, MAPVAR_INVALID_ARGUMENT where more follows it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_from_marshal(
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_from_marshal", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?;
        make(out, || Ok(Tree::of(Value::from_marshal(bytes)?)))
    })
}

/// The value as Ruby's Marshal.dump would write it, into a buffer (C3). MAPVAR_UNSUPPORTED where it is or
/// holds a pod, or an opaque value of another language.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_to_marshal(
    value: *mut mapvar_value,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_value_to_marshal", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        with(value, |tree| border::give(&tree.lend(Value::to_marshal)?, into, len))
    })
}

/// A variable as Ruby's Marshal.dump would write it, into a buffer (C3); of a gem's map the bytes that lie
/// there, with all that a value does not have. Errors as mapvar_map_get_value and
/// mapvar_value_to_marshal, and MAPVAR_TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_marshal(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_map_get_marshal", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let name = name?;
        with(map, |map| border::give(&map.marshal(name)?, into, len))
    })
}

/// The names of the classes and modules that Ruby's Marshal.load would look up, and run code of, to load
/// these bytes: each once, in UTF-8 with a NUL behind it, one after the other, into a buffer (C3). Errors:
/// those of mapvar_value_from_marshal, and MAPVAR_TOO_LARGE, also where objects lie in each other more than
/// 500 levels deep, for which the loader's stack may not do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_marshal_classes(
    bytes: *const c_void,
    bytes_len: usize,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_marshal_classes", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) };
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        let mut names = String::new();
        for name in mapvar::marshal_classes(bytes?)? {
            names.push_str(&name);
            names.push('\0');
        }
        border::give(names.as_bytes(), into, len)
    })
}
