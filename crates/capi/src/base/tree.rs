//! Values of any kind, as the C handles hold them.

use crate::base::errors::refused;
use mapvar::{ErrorKind, Kind, Result, Value};
use std::{cmp::Ordering, sync::Arc};

/// A value whose parts can be handed out without copying.
pub(crate) struct Tree {
    pub(crate) node: Node,
    /// How deeply lists and dictionaries are nested; 0 for all other values.
    depth: usize,
}

pub(crate) enum Node {
    Leaf(Value),
    List(Vec<Arc<Tree>>),
    Dict(Vec<(Arc<Tree>, Arc<Tree>)>),
}

/// The depth that the library can decode.
const DEEPEST: usize = 128;

impl Tree {
    /// Recursion is bounded: the library bounds the depth of a `Value`.
    pub(crate) fn of(value: Value) -> Arc<Self> {
        Arc::new(match value {
            Value::List(values) => Self::list(values.into_iter().map(Self::of).collect()),
            Value::Dict(pairs) => Self::dict(
                pairs.into_iter().map(|(key, value)| (Self::of(key), Self::of(value))).collect(),
            ),
            leaf => Self { node: Node::Leaf(leaf), depth: 0 },
        })
    }

    pub(crate) fn list(items: Vec<Arc<Self>>) -> Self {
        let depth = 1 + items.iter().map(|item| item.depth).max().unwrap_or(0);
        Self { node: Node::List(items), depth }
    }

    pub(crate) fn dict(pairs: Vec<(Arc<Self>, Arc<Self>)>) -> Self {
        let deepest = pairs.iter().map(|(key, value)| key.depth.max(value.depth)).max();
        Self { depth: 1 + deepest.unwrap_or(0), node: Node::Dict(pairs) }
    }

    /// Refuses a dictionary that has a key twice.
    pub(crate) fn of_unique_keys(self) -> Result<Self> {
        if let Node::Dict(pairs) = &self.node {
            let mut keys: Vec<&Self> = pairs.iter().map(|(key, _)| &**key).collect();
            keys.sort_unstable_by(|one, two| one.order(two));
            let twice = keys.windows(2).find_map(|pair| match pair {
                [one, two] if one.order(two) == Ordering::Equal => Some(one.value()),
                _ => None,
            });
            if let Some(key) = twice {
                let detail = format!("the key {key} is there twice; give each key once");
                return Err(refused(ErrorKind::InvalidArgument, "keys", detail));
            }
        }
        Ok(self)
    }

    /// An order in which only equal values are equal, for floats by their bits. Recursion is bounded
    /// by the depth of values.
    fn order(&self, other: &Self) -> Ordering {
        match (&self.node, &other.node) {
            (Node::Leaf(one), Node::Leaf(two)) => leaves(one, two),
            (Node::List(one), Node::List(two)) => {
                first(one.len().cmp(&two.len()), one.iter().zip(two), |(one, two)| one.order(two))
            }
            (Node::Dict(one), Node::Dict(two)) => {
                first(one.len().cmp(&two.len()), one.iter().zip(two), |(one, two)| {
                    one.0.order(&two.0).then_with(|| one.1.order(&two.1))
                })
            }
            _ => (self.value_kind() as u32).cmp(&(other.value_kind() as u32)),
        }
    }

    pub(crate) fn shallow(self) -> Result<Arc<Self>> {
        if self.depth > DEEPEST {
            let detail = format!("lists in each other, {} deep; {DEEPEST} can be read", self.depth);
            return Err(refused(ErrorKind::TooLarge, "items", detail));
        }
        Ok(Arc::new(self))
    }

    /// Calls `to` with the value in the library's own form.
    pub(crate) fn lend<R>(&self, to: impl FnOnce(&Value) -> R) -> R {
        match &self.node {
            Node::Leaf(value) => to(value),
            _ => to(&self.value()),
        }
    }

    pub(crate) fn value(&self) -> Value {
        match &self.node {
            Node::Leaf(value) => value.clone(),
            Node::List(items) => Value::List(items.iter().map(|item| item.value()).collect()),
            Node::Dict(pairs) => {
                Value::Dict(pairs.iter().map(|(key, value)| (key.value(), value.value())).collect())
            }
        }
    }

    pub(crate) fn value_kind(&self) -> Kind {
        match &self.node {
            Node::Leaf(value) => value.kind(),
            Node::List(_) => Kind::List,
            Node::Dict(_) => Kind::Dict,
        }
    }

    pub(crate) fn other(&self, wanted: &str) -> mapvar::Error {
        let detail = format!("it is a value of kind {}; this asks for {wanted}", self.value_kind());
        refused(ErrorKind::WrongKind, "value", detail)
    }
}

/// The first of these orders that is not equal.
fn first<T>(
    lengths: Ordering,
    items: impl Iterator<Item = T>,
    order: impl Fn(T) -> Ordering,
) -> Ordering {
    let items = || items.map(order).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
    lengths.then_with(items)
}

fn leaves(one: &Value, two: &Value) -> Ordering {
    match (one, two) {
        (Value::Bool(one), Value::Bool(two)) => one.cmp(two),
        (Value::I64(one), Value::I64(two)) => one.cmp(two),
        (Value::U64(one), Value::U64(two)) => one.cmp(two),
        (Value::F64(one), Value::F64(two)) => one.total_cmp(two),
        (Value::Str(one), Value::Str(two)) => one.cmp(two),
        (Value::Bytes(one), Value::Bytes(two)) => one.cmp(two),
        (Value::Pod { type_id: one, bytes }, Value::Pod { type_id: two, bytes: others })
        | (
            Value::Opaque { language: one, bytes },
            Value::Opaque { language: two, bytes: others },
        ) => (one, bytes).cmp(&(two, others)),
        _ => (one.kind() as u32).cmp(&(two.kind() as u32)),
    }
}
