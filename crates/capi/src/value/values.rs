//! Values of any kind, as immutable handles.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{
    border::{self, wanted},
    errors::{refused, run_call},
    handles::{close, make, with},
    tree::{Node, Tree},
    types::mapvar_value,
};
use mapvar::{ErrorKind, Result, Value};
use std::mem::MaybeUninit;
use std::{
    ffi::{c_char, c_void},
    sync::Arc,
};

fn out_of_range(number: impl std::fmt::Display) -> mapvar::Error {
    refused(ErrorKind::OutOfRange, "value", format!("{number} does not fit the type asked for"))
}

/// Returns a new value: nil.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_nil(out: Option<&mut MaybeUninit<*mut mapvar_value>>) -> i32 {
    run_call("mapvar_value_nil", || make("out", out, || Ok(Tree::of(Value::Nil))))
}

/// Returns a new value: true or false.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_bool(
    value: i32,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_bool", || make("out", out, || Ok(Tree::of(Value::Bool(value != 0)))))
}

/// Returns a new value: an integer.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_i64(
    value: i64,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_i64", || make("out", out, || Ok(Tree::of(Value::I64(value)))))
}

/// Returns a new value: an integer. One that fits int64_t is of MAPVAR_KIND_I64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_u64(
    value: u64,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_u64", || make("out", out, || Ok(Tree::of(Value::from(value)))))
}

/// Returns a new value: a double.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_f64(
    value: f64,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_f64", || make("out", out, || Ok(Tree::of(Value::F64(value)))))
}

/// Returns a new value: a copy of a text, `text_len` bytes of UTF-8 or up to the NUL (C1).
/// MAPVAR_INVALID_ARGUMENT if the text is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_str(
    text: *const c_char,
    text_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_str", || {
        // SAFETY: C1 for `text`.
        let text = unsafe { border::text("text", text, text_len) };
        make("out", out, || Ok(Tree::of(Value::from(text?))))
    })
}

/// Returns a new value: a copy of bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_bytes(
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_bytes", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) };
        make("out", out, || Ok(Tree::of(Value::Bytes(bytes?.to_vec()))))
    })
}

/// Returns a new value: a copy of the bytes of a plain type that its users identify by the number
/// `type_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_pod(
    type_id: u32,
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_pod", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) };
        make("out", out, || Ok(Tree::of(Value::Pod { type_id, bytes: bytes?.to_vec() })))
    })
}

/// Returns a new value: a copy of bytes that only the language with the number `language`
/// understands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_opaque(
    language: u32,
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_opaque", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) };
        make("out", out, || Ok(Tree::of(Value::Opaque { language, bytes: bytes?.to_vec() })))
    })
}

/// Returns a new value: a list of `count` values. The caller keeps their handles. MAPVAR_TOO_LARGE
/// if lists and dictionaries would be nested more than 128 levels deep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_list(
    items: *const *mut mapvar_value,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_list", || {
        // SAFETY: C1 for `items`.
        let items = unsafe { border::array("items", items, count) };
        make("out", out, || Tree::list(trees(items?)?).shallow())
    })
}

/// Returns a new value: a dictionary of `count` keys, which may be of any kind, and as many values,
/// in this order. The caller keeps their handles. MAPVAR_INVALID_ARGUMENT if two keys are equal, of
/// which many readers would see one; MAPVAR_TOO_LARGE as in mapvar_value_list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_dict(
    keys: *const *mut mapvar_value,
    values: *const *mut mapvar_value,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_dict", || {
        // SAFETY: C1 for `keys`.
        let keys = unsafe { border::array("keys", keys, count) };
        // SAFETY: C1 for `values`.
        let values = unsafe { border::array("values", values, count) };
        make("out", out, || {
            let pairs = trees(keys?)?.into_iter().zip(trees(values?)?).collect();
            Tree::dict(pairs).of_unique_keys()?.shallow()
        })
    })
}

fn trees(handles: &[*mut mapvar_value]) -> Result<Vec<Arc<Tree>>> {
    handles.iter().map(|item| with(*item, |tree| Ok(tree.clone()))).collect()
}

/// Reports the value's kind, one of MAPVAR_KIND_…; later versions may add kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_kind(
    value: *mut mapvar_value,
    kind: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_value_kind", || {
        let kind = wanted("kind", kind)?;
        with(value, |tree| {
            kind.write(tree.value_kind() as u32);
            Ok(())
        })
    })
}

/// Reads true (1) or false (0). MAPVAR_WRONG_KIND if the value is not a bool.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_bool(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_value_as_bool", || {
        let out = wanted("out", out)?;
        with(value, |tree| {
            let Node::Leaf(Value::Bool(value)) = tree.node else { return Err(tree.other("bool")) };
            out.write(value.into());
            Ok(())
        })
    })
}

/// Reads an integer. MAPVAR_OUT_OF_RANGE if it does not fit int64_t; MAPVAR_WRONG_KIND if the value
/// is not an integer.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_i64(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    run_call("mapvar_value_as_i64", || {
        let out = wanted("out", out)?;
        with(value, |tree| {
            out.write(match tree.node {
                Node::Leaf(Value::I64(value)) => value,
                Node::Leaf(Value::U64(value)) => return Err(out_of_range(value)),
                _ => return Err(tree.other("a whole number")),
            });
            Ok(())
        })
    })
}

/// Reads an integer. MAPVAR_OUT_OF_RANGE if it is below 0; MAPVAR_WRONG_KIND if the value is not an
/// integer.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_u64(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_value_as_u64", || {
        let out = wanted("out", out)?;
        with(value, |tree| {
            out.write(match tree.node {
                Node::Leaf(Value::U64(value)) => value,
                Node::Leaf(Value::I64(value)) => {
                    u64::try_from(value).map_err(|_| out_of_range(value))?
                }
                _ => return Err(tree.other("a whole number")),
            });
            Ok(())
        })
    })
}

/// Returns the double that is this integer.
fn exactly(value: i128) -> Result<f64> {
    #[allow(clippy::cast_precision_loss, reason = "the next line checks it")]
    let float = value as f64;
    if float as i128 == value {
        return Ok(float);
    }
    let detail = format!("{value} is no double; read it as an integer");
    Err(refused(ErrorKind::OutOfRange, "value", detail))
}

/// Reads a double, or an integer that a double holds exactly; MAPVAR_OUT_OF_RANGE for another
/// integer, MAPVAR_WRONG_KIND for any other kind.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_f64(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    run_call("mapvar_value_as_f64", || {
        let out = wanted("out", out)?;
        with(value, |tree| {
            out.write(match tree.node {
                Node::Leaf(Value::F64(value)) => value,
                Node::Leaf(Value::I64(value)) => exactly(value.into())?,
                Node::Leaf(Value::U64(value)) => exactly(value.into())?,
                _ => return Err(tree.other("float")),
            });
            Ok(())
        })
    })
}

/// Reports the address and length of the bytes of a text, bytes, pod or opaque value. The bytes
/// belong to the value, never change, and live until it is freed; no NUL follows. MAPVAR_WRONG_KIND
/// for other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_bytes(
    value: *mut mapvar_value,
    bytes: Option<&mut MaybeUninit<*const c_void>>,
    bytes_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_value_as_bytes", || {
        let (bytes, len) = (wanted("bytes", bytes)?, wanted("bytes_len", bytes_len)?);
        with(value, |tree| {
            let found = match &tree.node {
                Node::Leaf(Value::Str(text)) => text.as_bytes(),
                Node::Leaf(
                    Value::Bytes(bytes) | Value::Pod { bytes, .. } | Value::Opaque { bytes, .. },
                ) => bytes,
                _ => return Err(tree.other("text or bytes")),
            };
            bytes.write(found.as_ptr().cast());
            len.write(found.len());
            Ok(())
        })
    })
}

/// Reports the number of a pod's type, or of an opaque value's language. MAPVAR_WRONG_KIND for
/// other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_type_id(
    value: *mut mapvar_value,
    type_id: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_value_type_id", || {
        let out = wanted("type_id", type_id)?;
        with(value, |tree| {
            out.write(match tree.node {
                Node::Leaf(Value::Pod { type_id, .. }) => type_id,
                Node::Leaf(Value::Opaque { language, .. }) => language,
                _ => return Err(tree.other("pod or opaque")),
            });
            Ok(())
        })
    })
}

/// Reports how many items a list has, or how many pairs a dictionary has. MAPVAR_WRONG_KIND for
/// other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_count(
    value: *mut mapvar_value,
    count: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_value_count", || {
        let count = wanted("count", count)?;
        with(value, |tree| {
            count.write(match &tree.node {
                Node::List(items) => items.len(),
                Node::Dict(pairs) => pairs.len(),
                Node::Leaf(_) => return Err(tree.other("list or dict")),
            });
            Ok(())
        })
    })
}

/// Returns the item of a list at `index`, from 0 on, or the value of a dictionary's pair. The
/// result is a new handle; nothing is copied. MAPVAR_OUT_OF_RANGE beyond the end; MAPVAR_WRONG_KIND
/// for other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_item(
    value: *mut mapvar_value,
    index: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_item", || {
        make("out", out, || {
            with(value, |tree| {
                let item = match &tree.node {
                    Node::List(items) => items.get(index),
                    Node::Dict(pairs) => pairs.get(index).map(|(_, value)| value),
                    Node::Leaf(_) => return Err(tree.other("list or dict")),
                };
                item.cloned().ok_or_else(|| out_of_range(index))
            })
        })
    })
}

/// Returns the key of a dictionary's pair at `index`, as mapvar_value_item.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_key(
    value: *mut mapvar_value,
    index: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    run_call("mapvar_value_key", || {
        make("out", out, || {
            with(value, |tree| {
                let Node::Dict(pairs) = &tree.node else { return Err(tree.other("dict")) };
                let key = pairs.get(index).map(|(key, _)| key.clone());
                key.ok_or_else(|| out_of_range(index))
            })
        })
    })
}

/// Copies a human-readable form of the value into a buffer (C3): text as it is, bytes in
/// hexadecimal, lists and dictionaries in a form like JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_display(
    value: *mut mapvar_value,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_value_display", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        with(value, |tree| border::give(tree.lend(Value::to_string).as_bytes(), into, len))
    })
}

/// Frees a value and the bytes that mapvar_value_as_bytes reported. Items with handles of their own
/// stay valid. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_free(value: *mut mapvar_value) -> i32 {
    run_call("mapvar_value_free", || close(value).map(drop))
}
