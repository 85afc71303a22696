//! Transactions over several variables, and snapshots of them.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::{self, wanted},
        errors::run_call,
        handles::{Turns, close, make, make_if_any, make_within, with},
        tree::Tree,
        types::{mapvar_map, mapvar_snapshot, mapvar_transaction, mapvar_value},
    },
    variable::versions::mapvar_version,
};
use mapvar::Map;
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// Begins a transaction.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_transaction_begin(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_transaction>>,
) -> i32 {
    run_call("mapvar_transaction_begin", || {
        make_within("out", out, map, |map: &Map| map.begin_transaction().map(Turns::new))
    })
}

/// Reads a variable's value as this transaction has set it, or as it was when the transaction first
/// read it. If there is no such variable, `value` is NULL, which is not an error.
/// Errors: MAPVAR_CONFLICT: restart; those of mapvar_map_get_value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_transaction_get(
    transaction: *mut mapvar_transaction,
    name: *const c_char,
    name_len: usize,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_transaction_get", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make_if_any("value", value, || {
            let found = with(transaction, |it| it.turn()?.find(name?))?;
            Ok(found.map(Tree::of))
        })
    })
}

/// Sets a variable when the transaction is committed. The caller keeps the handle `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_transaction_set(
    transaction: *mut mapvar_transaction,
    name: *const c_char,
    name_len: usize,
    value: *mut mapvar_value,
) -> i32 {
    run_call("mapvar_transaction_set", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        with(transaction, |it| with(value, |tree| tree.lend(|value| it.turn()?.set(name, value))))
    })
}

/// Sets an ephemeral variable (mapvar_map_set_ephemeral) when the transaction is committed. The caller
/// keeps the handle `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_transaction_set_ephemeral(
    transaction: *mut mapvar_transaction,
    name: *const c_char,
    name_len: usize,
    value: *mut mapvar_value,
) -> i32 {
    run_call("mapvar_transaction_set_ephemeral", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        with(transaction, |it| {
            with(value, |tree| tree.lend(|value| it.turn()?.set_ephemeral(name, value)))
        })
    })
}

/// Removes a variable when the transaction is committed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_transaction_remove(
    transaction: *mut mapvar_transaction,
    name: *const c_char,
    name_len: usize,
) -> i32 {
    run_call("mapvar_transaction_remove", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        with(transaction, |it| it.turn()?.remove(name))
    })
}

/// Publishes all writes as one, if no variable that was read has changed meanwhile. The transaction
/// is then empty and can be used for the next. May wait.
/// Errors: MAPVAR_CONFLICT, with nothing written: restart; MAPVAR_TOO_LARGE for more than 512
/// variables; those of mapvar_map_set_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_transaction_commit(transaction: *mut mapvar_transaction) -> i32 {
    run_call("mapvar_transaction_commit", || with(transaction, |it| it.turn()?.commit()))
}

/// Discards all reads and writes, waits briefly, longer with each restart, and begins again.
/// MAPVAR_CONFLICT after 16 runs.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_transaction_restart(transaction: *mut mapvar_transaction) -> i32 {
    run_call("mapvar_transaction_restart", || with(transaction, |it| it.turn()?.restart()))
}

/// Frees a transaction; uncommitted writes are discarded. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_transaction_free(transaction: *mut mapvar_transaction) -> i32 {
    run_call("mapvar_transaction_free", || close(transaction).map(drop))
}

/// Returns the `count` variables of these names as they were at one instant. If `name_lens` is
/// NULL, each name ends with a NUL. The result is a new handle; the caller frees it.
/// Errors: those of mapvar_map_get_value without MAPVAR_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_snapshot(
    map: *mut mapvar_map,
    names: *const *const c_char,
    name_lens: *const usize,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_snapshot>>,
) -> i32 {
    run_call("mapvar_map_snapshot", || {
        // SAFETY: C1 for `names`, each of them, and `name_lens`.
        let names = unsafe { border::names(names, name_lens, count) };
        make("out", out, || with(map, |map| map.snapshot(&names?)))
    })
}

/// Returns the value that a variable had: a new handle; the caller frees it. MAPVAR_NOT_FOUND if
/// there was none, or the name was not among those of the snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_snapshot_get(
    snapshot: *mut mapvar_snapshot,
    name: *const c_char,
    name_len: usize,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_snapshot_get", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        make("value", value, || {
            let name = name?;
            with(snapshot, |snapshot| snapshot.get(name).map(Tree::of))
        })
    })
}

/// Reports the version that a variable had; both 0 if there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_snapshot_version(
    snapshot: *mut mapvar_snapshot,
    name: *const c_char,
    name_len: usize,
    version: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    run_call("mapvar_snapshot_version", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let version = wanted("version", version)?;
        with(snapshot, |snapshot| {
            version.write(snapshot.version(name).into());
            Ok(())
        })
    })
}

/// Frees a snapshot. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_snapshot_free(snapshot: *mut mapvar_snapshot) -> i32 {
    run_call("mapvar_snapshot_free", || close(snapshot).map(drop))
}
