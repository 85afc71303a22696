//! Values of any kind, as handles that never change.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::base::{
    border::{self, wanted},
    errors::{answer, refused},
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

/// A new value: nothing.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_nil(out: Option<&mut MaybeUninit<*mut mapvar_value>>) -> i32 {
    answer("mapvar_value_nil", || make(out, || Ok(Tree::of(Value::Nil))))
}

/// A new value: true or false.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_bool(
    value: i32,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_bool", || make(out, || Ok(Tree::of(Value::Bool(value != 0)))))
}

/// A new value: a whole number.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_i64(
    value: i64,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_i64", || make(out, || Ok(Tree::of(Value::I64(value)))))
}

/// A new value: a whole number. One that fits int64_t is of MAPVAR_KIND_I64.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_u64(
    value: u64,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_u64", || make(out, || Ok(Tree::of(Value::from(value)))))
}

/// A new value: a double.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_f64(
    value: f64,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_f64", || make(out, || Ok(Tree::of(Value::F64(value)))))
}

/// A new value: text, `text_len` bytes of UTF-8 or up to the NUL (C1); what is not UTF-8 answers
/// MAPVAR_INVALID_ARGUMENT. It is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_str(
    text: *const c_char,
    text_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_str", || {
        // SAFETY: C1 for `text`.
        let text = unsafe { border::text("text", text, text_len) }?;
        make(out, || Ok(Tree::of(Value::from(text))))
    })
}

/// A new value: bytes. They are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_bytes(
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_bytes", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?;
        make(out, || Ok(Tree::of(Value::Bytes(bytes.to_vec()))))
    })
}

/// A new value: the bytes of a plain type that its users know by the number `type_id`. They are
/// copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_pod(
    type_id: u32,
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_pod", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?.to_vec();
        make(out, || Ok(Tree::of(Value::Pod { type_id, bytes })))
    })
}

/// A new value: bytes that only the language of the number `language` understands. They are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_opaque(
    language: u32,
    bytes: *const c_void,
    bytes_len: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_opaque", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, bytes_len) }?.to_vec();
        make(out, || Ok(Tree::of(Value::Opaque { language, bytes })))
    })
}

/// A new value: a list of `count` values. Their handles stay the caller's, to be freed by him.
/// MAPVAR_TOO_LARGE where lists and dictionaries would lie more than 128 deep in each other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_list(
    items: *const *mut mapvar_value,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_list", || {
        // SAFETY: C1 for `items`.
        let items = unsafe { border::array("items", items, count) }?;
        make(out, || Tree::list(trees(items)?).shallow())
    })
}

/// A new value: a dictionary of `count` keys, which may be of any kind, and as many values, in this
/// order. Their handles stay the caller's. MAPVAR_TOO_LARGE as in mapvar_value_list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_dict(
    keys: *const *mut mapvar_value,
    values: *const *mut mapvar_value,
    count: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_dict", || {
        // SAFETY: C1 for `keys`.
        let keys = unsafe { border::array("keys", keys, count) }?;
        // SAFETY: C1 for `values`.
        let values = unsafe { border::array("values", values, count) }?;
        make(out, || {
            let pairs = trees(keys)?.into_iter().zip(trees(values)?).collect();
            Tree::dict(pairs).shallow()
        })
    })
}

fn trees(handles: &[*mut mapvar_value]) -> Result<Vec<Arc<Tree>>> {
    handles.iter().map(|item| with(*item, |tree| Ok(tree.clone()))).collect()
}

/// Its kind, one of MAPVAR_KIND_…; there may be more one day.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_kind(
    value: *mut mapvar_value,
    kind: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    answer("mapvar_value_kind", || {
        let kind = wanted("kind", kind)?;
        with(value, |tree| {
            kind.write(tree.value_kind() as u32);
            Ok(())
        })
    })
}

/// True (1) or false (0). MAPVAR_WRONG_KIND for what is no bool.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_bool(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_value_as_bool", || {
        let out = wanted("out", out)?;
        with(value, |tree| {
            let Node::Leaf(Value::Bool(value)) = tree.node else { return Err(tree.other("bool")) };
            out.write(value.into());
            Ok(())
        })
    })
}

/// A whole number. MAPVAR_OUT_OF_RANGE for one beyond int64_t; MAPVAR_WRONG_KIND for what is no whole
/// number.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_i64(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<i64>>,
) -> i32 {
    answer("mapvar_value_as_i64", || {
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

/// A whole number. MAPVAR_OUT_OF_RANGE for one below 0; MAPVAR_WRONG_KIND for what is no whole number.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_u64(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_value_as_u64", || {
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

/// A double. MAPVAR_WRONG_KIND for what is none, a whole number too: nothing is converted in silence.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_f64(
    value: *mut mapvar_value,
    out: Option<&mut MaybeUninit<f64>>,
) -> i32 {
    answer("mapvar_value_as_f64", || {
        let out = wanted("out", out)?;
        with(value, |tree| {
            let Node::Leaf(Value::F64(value)) = tree.node else { return Err(tree.other("float")) };
            out.write(value);
            Ok(())
        })
    })
}

/// Where the bytes of a text, bytes, pod or opaque value lie, and how many. They belong to the value,
/// never change, and live until it is freed; no NUL follows. MAPVAR_WRONG_KIND for other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_as_bytes(
    value: *mut mapvar_value,
    bytes: Option<&mut MaybeUninit<*const c_void>>,
    bytes_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_value_as_bytes", || {
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

/// The number of a pod's type, or of an opaque value's language. MAPVAR_WRONG_KIND for other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_type_id(
    value: *mut mapvar_value,
    type_id: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    answer("mapvar_value_type_id", || {
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

/// How many items a list has, or pairs a dictionary. MAPVAR_WRONG_KIND for other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_count(
    value: *mut mapvar_value,
    count: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_value_count", || {
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

/// The item of a list at `index`, from 0 on, or the value of a dictionary's pair: a new handle, nothing
/// is copied. MAPVAR_OUT_OF_RANGE beyond the end; MAPVAR_WRONG_KIND for other kinds.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_item(
    value: *mut mapvar_value,
    index: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_item", || {
        make(out, || {
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

/// The key of a dictionary's pair at `index`, as mapvar_value_item.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_key(
    value: *mut mapvar_value,
    index: usize,
    out: Option<&mut MaybeUninit<*mut mapvar_value>>,
) -> i32 {
    answer("mapvar_value_key", || {
        make(out, || {
            with(value, |tree| {
                let Node::Dict(pairs) = &tree.node else { return Err(tree.other("dict")) };
                let key = pairs.get(index).map(|(key, _)| key.clone());
                key.ok_or_else(|| out_of_range(index))
            })
        })
    })
}

/// The value as a person reads it (text as it is, bytes in hexadecimal, lists and dictionaries in the
/// manner of JSON), into a buffer (C3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_value_display(
    value: *mut mapvar_value,
    into: *mut c_void,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_value_display", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, capacity) }?;
        with(value, |tree| border::give(tree.lend(Value::to_string).as_bytes(), into, len))
    })
}

/// Frees a value, and with it the bytes that mapvar_value_as_bytes told of. Its items live on if they
/// have handles of their own. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_value_free(value: *mut mapvar_value) -> i32 {
    answer("mapvar_value_free", || close(value).map(drop))
}
