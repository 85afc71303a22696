//! The connection to an MQTT broker, of version 3.1.1.

use crate::{config::broker::Broker, engine::Lost, failure::Failure};
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, QoS,
    TlsConfiguration, Transport,
};
use std::{collections::BTreeMap, collections::VecDeque, fs, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

/// The largest value that is sent.
pub(super) const LARGEST: usize = 1 << 20;
/// The largest message of somebody else that does not end the connection.
const LARGEST_FOREIGN: usize = 16 << 20;
/// Unanswered messages at a time.
pub(super) const IN_FLIGHT: usize = 64;
/// An answer that takes longer does not come any more.
const ANSWER: Duration = Duration::from_secs(10);
const CONNECT_SECONDS: u64 = 5;
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What the broker said.
#[derive(Debug)]
pub(super) enum Said {
    Subscribed,
    Message {
        topic: String,
        payload: Vec<u8>,
    },
    /// The message was stored.
    Stored(Sent),
    Nothing,
}

/// What a message is about, so that its answer is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Variable { generation: u64, name: String },
    Other,
}

/// One connection. Dropping it ends it, and the broker then publishes the last will.
#[derive(Debug)]
pub(super) struct Connection {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, String>>,
    poller: JoinHandle<()>,
    /// Messages that have no number yet, in the order in which they get theirs.
    waiting: VecDeque<Sent>,
    in_flight: BTreeMap<u16, (Sent, Instant)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

impl Connection {
    /// Connects. `state` is the topic in which the broker says `offline` when the connection ends.
    pub(super) async fn open(broker: &Broker, id: &str, state: &str) -> Result<Self, Lost> {
        let options = options(broker, id, state).map_err(|failure| Lost(failure.to_string()))?;
        let (client, mut events) = AsyncClient::new(options, 4 * IN_FLIGHT);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECONDS).set_tcp_nodelay(true);
        events.set_network_options(network);
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {}
            Ok(other) => return Err(Lost(format!("the broker began with {other:?}"))),
            Err(error) => return Err(Lost(format!("connect to {}: {error}", broker.host))),
        }
        let (tell, told) = mpsc::channel(IN_FLIGHT);
        // A task of its own, since a poll that is cancelled may lose what it has read.
        let poller = tokio::spawn(poll(events, tell));
        let waiting = VecDeque::new();
        Ok(Self { client, events: told, poller, waiting, in_flight: BTreeMap::new() })
    }

    /// Asks for all messages of a topic.
    pub(super) fn subscribe(&self, topic: &str) -> Result<(), Lost> {
        let done = self.client.try_subscribe(topic, QoS::AtLeastOnce);
        done.map_err(|error| Lost(error.to_string()))
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&self, topic: &str) -> Result<(), Lost> {
        self.client.try_unsubscribe(topic).map_err(|error| Lost(error.to_string()))
    }

    /// Sends a message. The broker keeps it for later subscribers if it is `kept`.
    pub(super) fn send(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        kept: bool,
        sent: Sent,
    ) -> Result<(), Lost> {
        let done = self.client.try_publish(topic, QoS::AtLeastOnce, kept, payload);
        done.map_err(|error| Lost(error.to_string()))?;
        self.waiting.push_back(sent);
        Ok(())
    }

    /// Returns what the broker says next.
    ///
    /// # Errors
    /// The connection has ended, or an answer does not come.
    pub(super) async fn next(&mut self) -> Result<Said, Lost> {
        let oldest = self.in_flight.values().map(|(_, at)| *at).min();
        let received = match oldest {
            Some(oldest) => tokio::time::timeout_at(oldest + ANSWER, self.events.recv())
                .await
                .map_err(|_| Lost("the broker does not answer".into()))?,
            None => self.events.recv().await,
        };
        let Some(event) = received else { return Err(Lost("the connection has ended".into())) };
        match event.map_err(Lost)? {
            Event::Outgoing(Outgoing::Publish(number)) => {
                if let Some(sent) = self.waiting.pop_front() {
                    self.in_flight.insert(number, (sent, Instant::now()));
                }
                Ok(Said::Nothing)
            }
            Event::Incoming(Packet::PubAck(answer)) => {
                let answered = self.in_flight.remove(&answer.pkid);
                Ok(answered.map_or(Said::Nothing, |(sent, _)| Said::Stored(sent)))
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let refused = |code: &rumqttc::SubscribeReasonCode| {
                    matches!(code, rumqttc::SubscribeReasonCode::Failure)
                };
                if answer.return_codes.iter().any(refused) {
                    return Err(Lost("the broker refused a subscription".into()));
                }
                Ok(Said::Subscribed)
            }
            Event::Incoming(Packet::Publish(message)) => {
                Ok(Said::Message { topic: message.topic, payload: message.payload.to_vec() })
            }
            _ => Ok(Said::Nothing),
        }
    }
}

async fn poll(mut events: EventLoop, tell: mpsc::Sender<Result<Event, String>>) {
    loop {
        let event = events.poll().await.map_err(|error| error.to_string());
        let ended = event.is_err();
        if tell.send(event).await.is_err() || ended {
            return;
        }
    }
}

/// Returns the options of a connection.
///
/// # Errors
/// A file with a secret or a certificate cannot be read.
pub(super) fn options(broker: &Broker, id: &str, state: &str) -> Result<MqttOptions, Failure> {
    let mut options = MqttOptions::new(id, &broker.host, broker.port);
    options
        .set_clean_session(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_inflight(u16::try_from(2 * IN_FLIGHT).unwrap_or(u16::MAX))
        .set_max_packet_size(LARGEST_FOREIGN, LARGEST + 4096)
        .set_last_will(LastWill::new(state, "offline", QoS::AtLeastOnce, true));
    if let Some(user) = &broker.user {
        options.set_credentials(user, broker.password()?);
    }
    if let Some(file) = &broker.ca_file {
        let ca = fs::read(file)
            .map_err(|error| Failure::usage(format!("file \"{}\": {error}", file.display())))?;
        options.set_transport(Transport::Tls(TlsConfiguration::Simple {
            ca,
            alpn: None,
            client_auth: None,
        }));
    }
    Ok(options)
}
