//! Atomics that are combined with a number: the larger, the smaller, and the bits.
#![allow(unsafe_code, reason = "the border: exported names")]

use crate::{
    base::{
        border::offer,
        errors::run_call,
        handles::with,
        types::{AnyAtomic, mapvar_atomic},
    },
    variable::atomics::other,
};
use std::mem::MaybeUninit;

/// Stores `value` if it is larger than the present value, and reports the value `before`, which may
/// be NULL.
/// Errors: those of mapvar_atomic_swap_i64, and MAPVAR_CONFLICT if other threads stored a value at
/// each of 1,000 attempts.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_max_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_max_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_max(value)?);
            Ok(())
        })
    })
}

/// Stores `value` if it is smaller than the present value, and reports the value `before`, which
/// may be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_min_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_min_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_min(value)?);
            Ok(())
        })
    })
}

/// Stores the bits that are set in both the present value and `value`, and reports the value
/// `before`, which may be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_and_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_and_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_and(value)?);
            Ok(())
        })
    })
}

/// Stores the bits that are set in the present value or in `value`, and reports the value `before`,
/// which may be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_or_i64(
    atomic: *mut mapvar_atomic,
    value: i64,
    before: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_atomic_or_i64", || {
        with(atomic, |atomic| {
            let AnyAtomic::I64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_or(value)?);
            Ok(())
        })
    })
}

/// Stores `value` if it is larger than the present value, and reports the value `before`, which may
/// be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_max_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_max_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_max(value)?);
            Ok(())
        })
    })
}

/// Stores `value` if it is smaller than the present value, and reports the value `before`, which
/// may be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_min_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_min_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_min(value)?);
            Ok(())
        })
    })
}

/// Stores the bits that are set in both the present value and `value`, and reports the value
/// `before`, which may be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_and_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_and_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_and(value)?);
            Ok(())
        })
    })
}

/// Stores the bits that are set in the present value or in `value`, and reports the value `before`,
/// which may be NULL. Errors as mapvar_atomic_max_i64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_atomic_or_u64(
    atomic: *mut mapvar_atomic,
    value: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_atomic_or_u64", || {
        with(atomic, |atomic| {
            let AnyAtomic::U64(atomic) = atomic else { return Err(other()) };
            offer(before, atomic.fetch_or(value)?);
            Ok(())
        })
    })
}
