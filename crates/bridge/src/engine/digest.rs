//! Digests: whether two payloads are the same, without keeping either.

use super::feed::Item;
use crate::{
    encoding::{CONTENT, Encoded, KIND, TYPE},
    table::owner::Digest,
};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Identifies a payload with what its headers say of it.
pub(crate) fn digest(kind: &str, type_id: &str, content: &str, payload: &[u8]) -> Digest {
    let half = |first: u8| {
        let mut hasher = DefaultHasher::new();
        (first, kind, type_id, content, payload).hash(&mut hasher);
        hasher.finish()
    };
    u128::from(half(0)) << 64 | u128::from(half(1))
}

/// Returns the digest of a value of the map.
pub(crate) fn digest_of(encoded: &Encoded) -> Digest {
    let type_id = encoded.type_id.map(|number| number.to_string()).unwrap_or_default();
    digest(encoded.kind, &type_id, encoded.content(), &encoded.payload)
}

/// Returns the digest of a value of the bucket; `None` for a deletion.
pub(crate) fn digest_of_item(item: &Item) -> Option<Digest> {
    let header = |name| item.header(name).unwrap_or_default();
    let digest = || digest(header(KIND), header(TYPE), header(CONTENT), &item.payload);
    (!item.is_deletion()).then(digest)
}
