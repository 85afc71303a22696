//! The bucket: a stream in the form of NATS' key-value buckets, so that any client can use it.

use super::{Lost, link::Link};
use crate::table::claim::Statement;
use async_nats::jetstream::{
    context::GetStreamErrorKind,
    stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType, Stream},
};

/// The longest statement that is read.
const LONGEST_STATEMENT: usize = 4096;

/// Returns the name of a bucket's stream.
pub(crate) fn stream_name(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Returns the subject of a key.
pub(crate) fn subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// Finds the bucket; makes it if it is not there.
///
/// # Errors
/// The server does not answer, has no JetStream, or refuses.
pub(crate) async fn ensure(link: &Link, bucket: &str) -> Result<Stream, Lost> {
    if let Some(stream) = find(link, bucket).await? {
        return Ok(stream);
    }
    let config = Config {
        name: stream_name(bucket),
        subjects: vec![subject(bucket, ">")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        storage: StorageType::Memory,
        num_replicas: 1,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        max_messages: -1,
        max_bytes: -1,
        max_message_size: -1,
        max_consumers: -1,
        ..Config::default()
    };
    let made = link.jetstream.create_stream(config).await;
    made.map_err(|error| Lost::because("make the bucket", &error))
}

/// Finds the bucket.
///
/// # Errors
/// The server does not answer, or has no JetStream.
pub(crate) async fn find(link: &Link, bucket: &str) -> Result<Option<Stream>, Lost> {
    match link.jetstream.get_stream(stream_name(bucket)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.code() == 404 => Ok(None),
            _ => Err(Lost::because("find the bucket", &error)),
        },
    }
}

/// Returns what an owner states in this subject, with the statement's sequence number.
///
/// # Errors
/// The server does not answer, or refuses.
pub(crate) async fn statement(
    stream: &Stream,
    subject: &str,
) -> Result<Option<(Option<Statement>, u64)>, Lost> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some((parse_statement(&message.payload), message.sequence))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Lost::because("read the owner's key", &error)),
    }
}

/// Parses what an owner states.
pub(crate) fn parse_statement(payload: &[u8]) -> Option<Statement> {
    let short = Some(payload).filter(|payload| payload.len() <= LONGEST_STATEMENT)?;
    serde_json::from_slice(short).ok()
}
