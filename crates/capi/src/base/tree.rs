//! Values of any kind, as the C handles hold them.

use crate::base::errors::refused;
use mapvar::{ErrorKind, Kind, Result, Value};
use std::sync::Arc;

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
