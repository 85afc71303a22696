//! Digests: whether two payloads are the same, without keeping either.

use super::feed::Item;
use crate::{
    encoding::{CONTENT, EPHEMERAL, Encoded, KIND, TYPE},
    table::owner::Digest,
};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Identifies a payload with what its headers say of it.
pub(crate) fn digest(headers: [&str; 4], payload: &[u8]) -> Digest {
    let half = |first: u8| {
        let mut hasher = DefaultHasher::new();
        (first, headers, payload).hash(&mut hasher);
        hasher.finish()
    };
    u128::from(half(0)) << 64 | u128::from(half(1))
}

/// Returns the digest of a value of the map.
pub(crate) fn digest_of(encoded: &Encoded) -> Digest {
    let type_id = encoded.type_id.map(|number| number.to_string()).unwrap_or_default();
    let ephemeral = if encoded.ephemeral { "1" } else { "" };
    digest([encoded.kind, &type_id, encoded.content(), ephemeral], &encoded.payload)
}

/// Returns the digest of a value of the bucket; `None` for a deletion.
pub(crate) fn digest_of_item(item: &Item) -> Option<Digest> {
    let header = |name| item.header(name).unwrap_or_default();
    let digest = || digest([KIND, TYPE, CONTENT, EPHEMERAL].map(header), &item.payload);
    (!item.is_deletion()).then(digest)
}
