//! The processes that use a map, and variables that end with a process.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, wanted},
    errors::run_call,
    handles::{make, with},
    tree::Tree,
    types::{mapvar_map, mapvar_value},
};
use mapvar::{Participant, Value, Watches};
use std::{ffi::c_char, mem::MaybeUninit, time::SystemTime};

/// Sets an ephemeral variable: it exists as long as this process has the map open. It vanishes when
/// the process closes the map or ends in any way; watches report that. Any other write makes the
/// variable permanent. The caller keeps the handle `value`.
/// Errors: those of mapvar_map_set_i64; MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_set_ephemeral(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: *mut mapvar_value,
) -> i32 {
    run_call("mapvar_map_set_ephemeral", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        with(map, |map| with(value, |tree| tree.lend(|value| map.set_ephemeral(name, value))))
    })
}

/// Reports the owner process of an ephemeral variable (mapvar_map_set_ephemeral); 0 if the variable
/// is permanent or does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_owner(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    process: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_map_owner", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let process = wanted("process", process)?;
        with(map, |map| {
            process.write(map.owner(name)?.map_or(0, |holder| holder.pid));
            Ok(())
        })
    })
}

/// Returns the living processes that have the map open for writing, as the system reports them. The
/// result is a list with a dictionary for each, a new handle; the caller frees it.
/// The keys are "pid" (an integer), "program" (text or nil), "since" (seconds since 1970, or nil),
/// "this" (whether it is this handle of the map), "holds" and "waits_for" (lists of locks), "owns"
/// (a list of its ephemeral variables), and "watches" (the variable whose change it waits for; true
/// for several, nil for none). Later versions may add keys.
/// Errors: MAPVAR_UNSUPPORTED for a gem's map.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_participants(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_map_participants", || {
        make("out", out, || {
            with(map, |map| {
                let all = map.participants()?;
                Ok(Tree::of(Value::List(all.into_iter().map(described).collect())))
            })
        })
    })
}

fn described(one: Participant) -> Value {
    let names = |names: Vec<String>| Value::List(names.into_iter().map(Value::Str).collect());
    let since = one.holder.since.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let watches = match one.watches {
        None => Value::Nil,
        Some(Watches::Variable(name)) => Value::Str(name),
        Some(_) => Value::Bool(true),
    };
    let pairs = [
        ("pid", Value::I64(one.holder.pid.into())),
        ("program", one.holder.program.map_or(Value::Nil, Value::Str)),
        ("since", since.map_or(Value::Nil, |since| Value::I64(since.as_secs().cast_signed()))),
        ("this", Value::Bool(one.this)),
        ("holds", names(one.holds)),
        ("waits_for", names(one.waits_for)),
        ("owns", names(one.owns)),
        ("watches", watches),
    ];
    Value::Dict(pairs.into_iter().map(|(key, value)| (Value::Str(key.into()), value)).collect())
}
