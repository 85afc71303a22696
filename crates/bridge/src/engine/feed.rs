//! The feed of a prefix: all that the bucket holds, and then every change, in order.
//!
//! It is a consumer of the bridge's own. A feed that misses a message, or hears nothing for three
//! heartbeats, is lost; the mirror then makes a new one, which tells all again.

use super::{Lost, bucket, link::Link};
use async_nats::{
    HeaderMap, StatusCode, Subscriber,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, push},
    },
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

const HEARTBEAT: Duration = Duration::from_millis(500);
/// Heartbeats that may fail to come.
const MISSED: u32 = 3;
/// When the server removes the consumer of a bridge that was killed.
const INACTIVE: Duration = Duration::from_secs(5);

/// A message of the bucket.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) seq: u64,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Item {
    /// Returns a header.
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// Whether the message says that the key was deleted, or has expired.
    pub(crate) fn is_deletion(&self) -> bool {
        matches!(self.header("KV-Operation"), Some("DEL" | "PURGE"))
            || self.header("Nats-Marker-Reason").is_some()
    }
}

/// What a feed tells.
#[derive(Debug)]
pub(crate) enum Told {
    Item(Box<Item>),
    /// All that the bucket held has been told.
    Loaded,
}

/// An ordered consumer.
#[derive(Debug)]
pub(crate) struct Feed {
    link: Link,
    subscriber: Subscriber,
    stream: String,
    consumer: String,
    /// What stands before each key in a subject.
    lead: String,
    /// When the server was last heard.
    heard: Instant,
    /// The number of the last message that was delivered.
    delivered: u64,
    /// `Loaded` was told.
    loaded: bool,
    /// Nothing is left of what the bucket held, so `Loaded` is next.
    complete: bool,
}

impl Feed {
    /// Begins a feed of these patterns of keys.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub(crate) async fn open(
        link: &Link,
        bucket: &str,
        patterns: &[String],
        name: String,
    ) -> Result<Self, Lost> {
        let inbox = link.client.new_inbox();
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber = subscriber.map_err(|error| Lost::because("subscribe", &error))?;
        let config = push::Config {
            deliver_subject: inbox,
            name: Some(name.clone()),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            filter_subjects: patterns.iter().map(|it| bucket::subject(bucket, it)).collect(),
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        };
        let stream = bucket::stream_name(bucket);
        let made = link.jetstream.create_consumer_on_stream(config, stream.as_str()).await;
        let made = made.map_err(|error| Lost::because("begin a feed", &error))?;
        Ok(Self {
            link: link.clone(),
            subscriber,
            stream,
            consumer: name,
            lead: bucket::subject(bucket, ""),
            heard: Instant::now(),
            delivered: 0,
            loaded: false,
            complete: made.cached_info().num_pending == 0,
        })
    }

    /// Waits for the next message. It may be cancelled at any time.
    ///
    /// # Errors
    /// The feed is lost.
    pub(crate) async fn next(&mut self) -> Result<Told, Lost> {
        loop {
            if self.complete && !self.loaded {
                self.loaded = true;
                return Ok(Told::Loaded);
            }
            // Counted from the last message, since a caller that cancels begins to wait anew.
            let silent = self.heard + HEARTBEAT * MISSED;
            let Ok(next) = timeout_at(silent, self.subscriber.next()).await else {
                return Err(Lost("the server is silent".into()));
            };
            self.heard = Instant::now();
            let message = next.ok_or_else(|| Lost("the subscription has ended".into()))?;
            match message.status {
                Some(StatusCode::IDLE_HEARTBEAT) => self.heartbeat(&message).await?,
                Some(status) if status != StatusCode::OK => {
                    return Err(Lost(format!("the server ends the feed with status {status}")));
                }
                _ => return self.item(message),
            }
        }
    }

    async fn heartbeat(&mut self, message: &async_nats::Message) -> Result<(), Lost> {
        let header = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name));
        // The server stops until it is told that all so far has been read.
        let stalled = header("Nats-Consumer-Stalled").map(async_nats::HeaderValue::as_str);
        let answer = stalled.map(str::to_owned).or(message.reply.as_ref().map(ToString::to_string));
        if let Some(to) = answer {
            let sent = self.link.client.publish(to, Bytes::new()).await;
            sent.map_err(|error| Lost::because("answer the server", &error))?;
        }
        let last = header("Nats-Last-Consumer").and_then(|last| last.as_str().parse::<u64>().ok());
        if last.is_some_and(|last| last > self.delivered) {
            return Err(Lost("a message is missing".into()));
        }
        // A heartbeat comes when there is nothing to deliver. A flow control message does not mean
        // that, and has no last sequence number.
        self.complete |= last.is_some() && stalled.is_none();
        Ok(())
    }

    fn item(&mut self, message: async_nats::Message) -> Result<Told, Lost> {
        let context = self.link.jetstream.clone();
        let message = jetstream::Message { message, context };
        let (seq, pending) = {
            let info = message.info().map_err(|error| Lost::because("read a message", &error))?;
            if info.consumer_sequence != self.delivered + 1 {
                return Err(Lost("a message is missing".into()));
            }
            self.delivered = info.consumer_sequence;
            (info.stream_sequence, info.pending)
        };
        self.complete |= pending == 0;
        let message = message.message;
        let key = message.subject.strip_prefix(&self.lead).unwrap_or_default().to_owned();
        let headers = message.headers.unwrap_or_default();
        Ok(Told::Item(Box::new(Item { key, seq, headers, payload: message.payload })))
    }
}

/// Removes the consumer, which the server would otherwise keep for some seconds.
impl Drop for Feed {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let jetstream = self.link.jetstream.clone();
        let (stream, consumer) = (self.stream.clone(), self.consumer.clone());
        runtime.spawn(async move {
            // If it fails, the server removes it.
            let _ = jetstream.delete_consumer_from_stream(consumer, stream).await;
        });
    }
}
