//! Variables by version.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, wanted},
    errors::run_call,
    handles::{make_if_any, with},
    tree::Tree,
    types::{mapvar_map, mapvar_value},
};
use mapvar::{Compared, ErrorKind, Map, Result, Value, Version};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// Identifies one value of a variable: equal versions stand for the same set operation. The numbers
/// have no meaning by themselves; both 0 = there is no variable of the name. For a gem's map, equal
/// versions stand for equal values: the variable may have changed and changed back.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct mapvar_version {
    /// Which variable of the name.
    pub variable: u64,
    /// Which value of that variable.
    pub number: u64,
}

impl From<Version> for mapvar_version {
    fn from(version: Version) -> Self {
        let (variable, number) = version.into();
        Self { variable, number }
    }
}

impl From<mapvar_version> for Version {
    fn from(version: mapvar_version) -> Self {
        (version.variable, version.number).into()
    }
}

/// Writes the outcome of a conditional set for the caller: the new version, or the version found
/// instead.
pub(crate) fn hand_out_version(
    map: &Map,
    name: &str,
    done: Compared<Version>,
    now: Option<&mut MaybeUninit<mapvar_version>>,
) -> Result<()> {
    let (Compared::Set(version) | Compared::Changed(version)) = done;
    crate::base::border::offer(now, version.into());
    if done.is_set() { Ok(()) } else { Err(conflict(map, name)) }
}

/// Turns a read of a variable that does not exist into no value and the version of none.
pub(crate) fn or_absent(read: Result<(Value, Version)>) -> Result<(Option<Value>, Version)> {
    match read {
        Ok((value, version)) => Ok((Some(value), version)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((None, Version::ABSENT)),
        Err(error) => Err(error),
    }
}

#[cold]
fn conflict(map: &Map, name: &str) -> mapvar::Error {
    let detail = "it has another version than the one expected; read it again, and decide anew";
    let object = format!("{name:?} of {map}");
    mapvar::Error::new(ErrorKind::Conflict, "set variable", object).detail(detail)
}

/// Reports the present version of a variable; both 0 if it does not exist. MAPVAR_WRONG_KIND for an
/// atomic, which has no version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_version(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    run_call("mapvar_map_version", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let out = wanted("out", out)?;
        with(map, |map| {
            out.write(map.version(name)?.into());
            Ok(())
        })
    })
}

/// Reads a variable's value, of whatever kind, and its version at one moment, for
/// mapvar_map_compare_and_set. If there is no such variable, the value is NULL and the version both
/// 0, which is not an error. MAPVAR_WRONG_KIND for an atomic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_get_versioned(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    value: Option<&mut MaybeUninit<*mut mapvar_value>>,
    version: Option<&mut MaybeUninit<mapvar_version>>,
) -> i32 {
    run_call("mapvar_map_get_versioned", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) };
        let version = wanted("version", version);
        make_if_any("value", value, || {
            with(map, |map| {
                let (value, now) = or_absent(map.get_versioned(name?))?;
                version?.write(now.into());
                Ok(value.map(Tree::of))
            })
        })
    })
}

/// Sets a variable if it still has the version `expected`; both 0 means: if it does not exist.
/// `now` (may be NULL) is the new version or, with MAPVAR_CONFLICT, the version found instead; it
/// may be the same pointer as `expected`.
/// To change a variable depending on its value: call mapvar_map_get_versioned, compute, and call
/// this; repeat at MAPVAR_CONFLICT.
/// Errors: those of mapvar_map_set_i64; MAPVAR_WRONG_KIND for an atomic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_compare_and_set(
    map: *mut mapvar_map,
    name: *const c_char,
    name_len: usize,
    expected: *const mapvar_version,
    value: *mut mapvar_value,
    now: *mut mapvar_version,
) -> i32 {
    run_call("mapvar_map_compare_and_set", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        // SAFETY: C1 for `expected`, one item.
        let expected = unsafe { expected_of("expected", expected) }?;
        // SAFETY: C2 for `now`.
        let now = unsafe { now_of(now) };
        with(map, |map| {
            let done =
                with(value, |tree| tree.lend(|value| map.compare_and_set(name, expected, value)))?;
            hand_out_version(map, name, done, now)
        })
    })
}

/// Copies the version that an argument points to, so that the result may go to the same location.
///
/// # Safety
/// C1 for one version at `at`.
pub(crate) unsafe fn expected_of(
    argument: &'static str,
    at: *const mapvar_version,
) -> Result<Version> {
    // SAFETY: C1 is the caller's promise to this function too.
    let versions = unsafe { border::array(argument, at, 1) }?;
    versions.first().map(|version| (*version).into()).ok_or_else(|| border::null(argument))
}

/// The location of a result. Called only after `expected_of` has copied: both may be one location.
///
/// # Safety
/// C2 for `at`.
pub(crate) unsafe fn now_of<'a>(
    at: *mut mapvar_version,
) -> Option<&'a mut MaybeUninit<mapvar_version>> {
    // SAFETY: by C2 it is null or points to space for one, aligned, that no other code uses.
    unsafe { at.cast::<MaybeUninit<mapvar_version>>().as_mut() }
}
