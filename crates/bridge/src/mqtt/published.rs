//! The map is the truth, and the retained messages of a broker are made equal to it.
//!
//! A broker has no end of what it retains. So the bridge subscribes to its own topics, and sends
//! itself a message: what the broker retains comes before that.

use super::{
    broker::{Connection, IN_FLIGHT, LARGEST, Said, Sent},
    payload,
};
use crate::{
    config::broker::Broker,
    engine::digest::digest,
    mirror::{
        changes::Changes,
        job::{Job, Pace},
        source::{Ended, names_in, until},
        tally::{State, clock},
    },
    table::owner::{Digest, Owner, Step},
};
use mapvar::{Error, Map, Value};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What the names of locks say of this target.
const TARGET: &str = "mqtt/";

struct Publisher<'a> {
    job: &'a Job,
    map: &'a Map,
    changes: Changes,
    table: Owner,
    began: Instant,
    /// The order of what the broker was told and told us.
    seq: u64,
    /// Variables of which was said that they cannot be published.
    refused: BTreeSet<String>,
}

/// Publishes until the map fails.
pub(super) async fn run(job: &Job, broker: &Broker, map: &Map, max_rate: u32) -> Result<(), Error> {
    let gap = Duration::from_secs(1).checked_div(max_rate).unwrap_or_default();
    let mut publisher = Publisher {
        job,
        map,
        changes: Changes::of(map, &job.mirror.mapping.names, TARGET)?,
        table: Owner::new(IN_FLIGHT, gap),
        began: Instant::now(),
        seq: 0,
        refused: BTreeSet::new(),
    };
    while !publisher.changes.is_watching()? {
        job.tally.failed("another bridge publishes this prefix of the map");
        let _ = timeout(Duration::from_secs(1), publisher.changes.some()).await;
    }
    let mut pace = Pace::default();
    loop {
        let began = Instant::now();
        match publisher.session(broker).await {
            Ok(never) => match never {},
            Err(Ended::Lost(lost)) => pace.rest(job, began, &lost).await,
            Err(Ended::Map(error)) => return Err(error),
        }
    }
}

impl Publisher<'_> {
    /// Publishes until something fails.
    async fn session(&mut self, broker: &Broker) -> Result<Infallible, Ended> {
        let topics = self.job.mirror.mapping.keys.replace('.', "/");
        // No variable has these topics: `$` is escaped in a name.
        let (state, mark) = (format!("{topics}$state"), format!("{topics}$mark"));
        let id = format!("mapvar-{}", self.job.run);
        let mut connection = Connection::open(broker, &id, &state).await?;
        self.job.tally.enter(State::Reconciling);
        self.job.tally.count(|figures| figures.reconciliations += 1);
        let generation = self.table.begin(clock());
        let everything = format!("{topics}#");
        connection.subscribe(&everything)?;
        let mut loaded = false;
        loop {
            tokio::select! {
                said = connection.next() => match said? {
                    Said::Subscribed => {
                        let run = self.job.run.clone().into_bytes();
                        connection.send(mark.clone(), run, false, Sent::Other)?;
                    }
                    Said::Message { topic, payload }
                        if !loaded && topic == mark && payload == self.job.run.as_bytes() =>
                    {
                        loaded = true;
                        // Its own messages are of no use to it.
                        connection.unsubscribe(&everything)?;
                        self.loaded()?;
                        let online = b"online".to_vec();
                        connection.send(state.clone(), online, true, Sent::Other)?;
                    }
                    Said::Message { topic, payload } if !loaded => self.told(&topic, &payload),
                    Said::Stored(Sent::Variable { generation, name }) => {
                        self.job.tally.count(|figures| figures.sent += 1);
                        self.seq += 1;
                        self.table.acked(generation, &name, self.seq);
                    }
                    _ => {}
                },
                () = self.changes.some() => {
                    self.changes.is_watching()?;
                }
                () = until(self.table.due(), self.began) => {}
            }
            if !self.table.is_full() {
                for name in self.changes.take_names() {
                    self.table.changed(&name);
                }
            }
            while let Some((name, topic, payload)) = self.next_message() {
                connection.send(topic, payload, true, Sent::Variable { generation, name })?;
            }
            if self.table.is_whole() {
                self.job.tally.enter(State::Live);
            }
            self.job.tally.count(|figures| figures.variables = self.table.len() as u64);
        }
    }

    /// The broker retains a message.
    fn told(&mut self, topic: &str, payload: &[u8]) {
        // A topic that no bridge makes is not ours to clear.
        let key = topic.replace('/', ".");
        if topic.contains('.') || payload.is_empty() {
            return;
        }
        if let Some(name) = self.job.mirror.mapping.name(&key) {
            self.seq += 1;
            self.table.told(&name, self.seq, Some(digest_of(payload)), None);
        }
    }

    fn loaded(&mut self) -> Result<(), Error> {
        let names = names_in(self.map, &self.job.mirror.mapping.names)?;
        self.table.loaded(names);
        self.table.end_feed();
        Ok(())
    }

    /// Returns the next variable to send, with its topic and payload. An empty payload clears the
    /// topic.
    fn next_message(&mut self) -> Option<(String, String, Vec<u8>)> {
        loop {
            let now = self.began.elapsed();
            let name = self.table.next(now)?;
            let Some(key) = self.job.mirror.mapping.key(&name) else {
                self.refuse(&name, "its name is too long");
                continue;
            };
            let payload = match self.payload(&name) {
                Ok(payload) => payload,
                Err(why) => {
                    self.refuse(&name, &why);
                    continue;
                }
            };
            if payload.as_ref().is_some_and(|payload| payload.len() > LARGEST) {
                self.refuse(&name, &format!("its value has more than {LARGEST} bytes"));
                continue;
            }
            self.refused.remove(&name);
            match self.table.decide(&name, payload.as_deref().map(digest_of), now) {
                Step::Nothing => {}
                Step::Put(_) | Step::Delete(_) => {
                    return Some((name, key.replace('.', "/"), payload.unwrap_or_default()));
                }
            }
        }
    }

    fn payload(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let failed = |error: Error| error.to_string();
        let Some(value) = self.map.find::<Value>(name).map_err(failed)? else { return Ok(None) };
        if self.map.owner(name).map_err(failed)?.is_some() {
            self.job.tally.count(|figures| figures.ephemeral += 1);
            return Ok(None);
        }
        payload::encode(&value).map(Some)
    }

    fn refuse(&mut self, name: &str, why: &str) {
        self.table.give_up(name);
        self.job.tally.count(|figures| figures.refused += 1);
        if self.refused.insert(name.to_owned()) {
            tracing::warn!("variable {name:?} is not published: {why}");
        }
    }
}

fn digest_of(payload: &[u8]) -> Digest {
    digest([""; 4], payload)
}
