//! Puts, each of which is acknowledged or fails.

use super::link::Link;
use crate::{encoding::Encoded, table::stamp::Stamp};
use async_nats::{HeaderMap, jetstream::context::PublishErrorKind};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

/// The stamp of a put.
pub(crate) const VERSION: &str = "Mapvar-Version";
/// The node that put the value.
pub(crate) const NODE: &str = "Mapvar-Node";
/// What stays free of the server's limit, for headers and subject.
pub(crate) const OVERHEAD: usize = 4096;

/// How long a put may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why a put failed.
#[derive(Debug)]
pub(crate) enum PutError {
    /// Somebody else has written the subject.
    Changed,
    Other(String),
}

/// A message to put.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Put {
    /// A value, or a deletion.
    pub(crate) fn new(subject: String, value: Option<Encoded>, node: &str, stamp: Stamp) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(VERSION, stamp.to_string());
        headers.insert(NODE, node);
        let payload = match value {
            Some(encoded) => {
                for (name, value) in encoded.headers() {
                    headers.insert(name, value);
                }
                encoded.payload.into()
            }
            None => {
                headers.insert("KV-Operation", "DEL");
                Bytes::new()
            }
        };
        Self { subject, headers, payload }
    }

    /// A statement, which replaces the one of this sequence number; 0 is none.
    pub(crate) fn statement(subject: String, text: String, replaces: u64) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", replaces.to_string());
        Self { subject, headers, payload: text.into() }
    }

    /// Sends it, and returns its sequence number once the server has stored it.
    ///
    /// # Errors
    /// The server refuses or does not answer. After a timeout it may have been stored.
    pub(crate) async fn send(self, link: &Link) -> Result<u64, PutError> {
        let sent = async {
            let answer =
                link.jetstream.publish_with_headers(self.subject, self.headers, self.payload);
            answer.await?.await
        };
        match timeout(TIMEOUT, sent).await {
            Ok(Ok(ack)) => Ok(ack.sequence),
            Ok(Err(error)) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(PutError::Changed)
            }
            Ok(Err(error)) => Err(PutError::Other(error.to_string())),
            Err(_) => Err(PutError::Other("no answer".into())),
        }
    }
}
