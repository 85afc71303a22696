//! Converts arguments and results of C: pointers with their lengths in, results out.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{codes::MAPVAR_NUL, errors::refused};
use mapvar::{ErrorKind, Map, Result, Value};
use serde::{Serialize, Serializer};
use std::{
    ffi::{CStr, c_char, c_void},
    mem::MaybeUninit,
};

/// The location of a result: NULL, or space for one (C2). Its old content is not read.
pub(crate) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// Returns the location of a result that the caller must not leave out.
#[inline]
pub(crate) fn wanted<'a, T>(
    argument: &'static str,
    out: Out<'a, T>,
) -> Result<&'a mut MaybeUninit<T>> {
    out.ok_or_else(|| null(argument))
}

#[cold]
pub(crate) fn null(argument: &str) -> mapvar::Error {
    refused(ErrorKind::InvalidArgument, argument, "it is NULL; something is needed here")
}

/// Writes a result that the caller may leave out.
#[inline]
pub(crate) fn offer<T>(out: Out<'_, T>, value: T) {
    if let Some(out) = out {
        out.write(value);
    }
}

/// Returns the bytes that an argument points to. NULL with a length of 0 is empty.
///
/// # Safety
/// C1 for `at` and `len`, until the caller's call returns.
#[inline]
pub(crate) unsafe fn bytes<'a>(
    argument: &'static str,
    at: *const c_void,
    len: usize,
) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(null(argument));
    }
    if len > isize::MAX.cast_unsigned() {
        return Err(too_long(argument, len));
    }
    // SAFETY: by C1 `len` bytes can be read there, and no thread writes to them before the call
    // returns; not null and no more than an object can have (checked above).
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

#[cold]
fn too_long(argument: &str, len: usize) -> mapvar::Error {
    refused(ErrorKind::InvalidArgument, argument, format!("its length is {len}; give the true one"))
}

/// Returns the UTF-8 text that an argument points to. Other bytes are refused with `kind`.
///
/// # Safety
/// C1 for `at` and `len`, until the caller's call returns.
#[inline]
unsafe fn utf8<'a>(
    kind: ErrorKind,
    argument: &'static str,
    at: *const c_char,
    len: usize,
) -> Result<&'a str> {
    let bytes = if len == MAPVAR_NUL {
        if at.is_null() {
            return Err(null(argument));
        }
        // SAFETY: by C1 a text of this length ends with a NUL, and no thread writes to it before
        // the call returns; not null (checked above).
        unsafe { CStr::from_ptr(at) }.to_bytes()
    } else {
        // SAFETY: C1 is the caller's promise to this function too.
        unsafe { bytes(argument, at.cast(), len) }?
    };
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        refused(kind, argument, format!("it is not UTF-8 from byte {at} on; give UTF-8"))
    })
}

/// Returns the name of a variable or of a map.
///
/// # Safety
/// C1 for `at` and `len`, until the caller's call returns.
#[inline]
pub(crate) unsafe fn name<'a>(at: *const c_char, len: usize) -> Result<&'a str> {
    // SAFETY: C1 is the caller's promise to this function too.
    unsafe { utf8(ErrorKind::InvalidName, "name", at, len) }
}

/// Returns a text other than a name.
///
/// # Safety
/// C1 for `at` and `len`, until the caller's call returns.
#[inline]
pub(crate) unsafe fn text<'a>(
    argument: &'static str,
    at: *const c_char,
    len: usize,
) -> Result<&'a str> {
    // SAFETY: C1 is the caller's promise to this function too.
    unsafe { utf8(ErrorKind::InvalidArgument, argument, at, len) }
}

/// Returns an array of `count` items.
///
/// # Safety
/// C1 for `at` and `count` items, until the caller's call returns.
pub(crate) unsafe fn array<'a, T>(
    argument: &'static str,
    at: *const T,
    count: usize,
) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(null(argument));
    }
    if count > isize::MAX.cast_unsigned() / size_of::<T>().max(1) || !at.is_aligned() {
        return Err(too_long(argument, count));
    }
    // SAFETY: by C1 `count` items can be read there, and no thread writes to them before the call
    // returns; not null, aligned and no more than an object can have (checked above).
    Ok(unsafe { std::slice::from_raw_parts(at, count) })
}

/// Returns names of variables; if `lens` is NULL, each ends with a NUL.
///
/// # Safety
/// C1 for `at` and `lens` and `count` items, and for each name, until the caller's call returns.
pub(crate) unsafe fn names<'a>(
    at: *const *const c_char,
    lens: *const usize,
    count: usize,
) -> Result<Vec<&'a str>> {
    // SAFETY: C1 for `at` is the caller's promise to this function too.
    let all = unsafe { array("names", at, count) }?;
    let lens = if lens.is_null() {
        None
    } else {
        // SAFETY: as above, for `lens`.
        Some(unsafe { array("name_lens", lens, count) }?)
    };
    let mut names = Vec::with_capacity(all.len());
    for (number, at) in all.iter().enumerate() {
        let len = lens.and_then(|lens| lens.get(number)).copied().unwrap_or(MAPVAR_NUL);
        // SAFETY: C1 for each name is the caller's promise to this function too.
        names.push(unsafe { name(*at, len) }?);
    }
    Ok(names)
}

/// Returns the caller's buffer.
///
/// # Safety
/// C3 for `into` and `capacity`, until the caller's call returns.
#[inline]
pub(crate) unsafe fn buffer<'a>(into: *mut c_void, capacity: usize) -> Result<&'a mut [u8]> {
    if capacity == 0 {
        return Ok(&mut []);
    }
    if into.is_null() {
        return Err(null("into"));
    }
    if capacity > isize::MAX.cast_unsigned() {
        return Err(too_long("capacity", capacity));
    }
    // SAFETY: by C3 `capacity` bytes can be written there, and no other thread reads or writes them
    // before the call returns; not null and no more than an object can have (checked above). The
    // bytes count as initialized: memory from outside the language has some value.
    Ok(unsafe { std::slice::from_raw_parts_mut(into.cast(), capacity) })
}

/// Copies the result into the caller's buffer, and reports its length. A result that does not fit
/// is an error, unless the capacity is 0: then the call only asks for the length.
pub(crate) fn give(from: &[u8], into: &mut [u8], len: Out<'_, usize>) -> Result<()> {
    let len = wanted("len", len)?;
    len.write(from.len());
    let capacity = into.len();
    match into.get_mut(..from.len()) {
        Some(place) => {
            place.copy_from_slice(from);
            // For callers that read it as a C string, if there is space.
            if let Some(end) = into.get_mut(from.len()) {
                *end = 0;
            }
            Ok(())
        }
        None if capacity == 0 => Ok(()),
        None => Err(refused(ErrorKind::TooLarge, "capacity", too_short(capacity, from.len()))),
    }
}

fn too_short(capacity: usize, len: usize) -> String {
    format!("{len} bytes do not fit the {capacity} of the buffer; give a larger one")
}

/// Bytes that serialize as bytes, even an empty sequence.
pub(crate) struct Octets<'a>(pub(crate) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

/// Returns the bytes of a variable's value that consists of bytes.
pub(crate) fn octets(map: &Map, name: &str, value: Value) -> Result<Vec<u8>> {
    match value {
        Value::Str(text) => Ok(text.into_bytes()),
        Value::Bytes(bytes) | Value::Pod { bytes, .. } | Value::Opaque { bytes, .. } => Ok(bytes),
        // A sequence of bytes without elements is stored as an empty list.
        Value::List(values) if values.is_empty() => Ok(Vec::new()),
        other => Err(of_variable(map, name, ErrorKind::WrongKind)
            .detail(format!("it is of kind {}; this asks for text or bytes", other.kind()))),
    }
}

/// The error of a get that is not of an argument but of the variable.
#[cold]
fn of_variable(map: &Map, name: &str, kind: ErrorKind) -> mapvar::Error {
    mapvar::Error::new(kind, "get variable", format!("{name:?} of {map}"))
}

/// As [`give`], for the bytes of a variable, which a message then names.
pub(crate) fn give_variable(
    map: &Map,
    name: &str,
    from: &[u8],
    into: &mut [u8],
    len: Out<'_, usize>,
) -> Result<()> {
    let capacity = into.len();
    give(from, into, len).map_err(|error| match error.kind() {
        ErrorKind::TooLarge => short(map, name, capacity, from.len()),
        _ => error,
    })
}

/// The error for a variable's bytes that do not fit the buffer.
pub(crate) fn short(map: &Map, name: &str, capacity: usize, len: usize) -> mapvar::Error {
    of_variable(map, name, ErrorKind::TooLarge).detail(too_short(capacity, len))
}
