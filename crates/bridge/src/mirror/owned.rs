//! `out`: the map is the truth, and the bucket is made equal to it.

use super::{
    changes::Changes,
    job::{Job, Pace},
    source::{Ended, names_in, until},
    tally::{State, clock},
};
use crate::{
    encoding::{self, Encoded},
    engine::{
        Lost,
        bucket::{self, parse_statement, subject},
        digest::{digest_of, digest_of_item},
        feed::{Feed, Item, Told},
        link::Link,
        put::{OVERHEAD, Put, PutError, VERSION},
    },
    names::owner_key,
    table::{
        claim::{Claim, LEASE, RENEWAL, Statement, judge},
        owner::{Owner, Step},
        stamp::Stamp,
    },
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use mapvar::{Error, Map, Value};
use std::{
    collections::BTreeSet,
    hash::BuildHasher as _,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Unanswered puts at a time.
const IN_FLIGHT: usize = 256;
/// The variable that identifies the map, so that a bridge that is started again is recognized.
const IDENTITY: &str = "mapvar.bridge.id";

/// What an answer of the server concerns.
enum Answer {
    Put(u64, String, Result<u64, PutError>),
    Renewed(Result<u64, PutError>),
}

struct Mirror<'a> {
    job: &'a Job,
    map: &'a Map,
    changes: Changes,
    table: Owner,
    began: Instant,
    identity: String,
    /// The sequence number of the statement that was seen last, and when it was new.
    seen: (u64, Instant),
    /// Variables of which was said that they are too large.
    large: BTreeSet<String>,
}

/// Mirrors until the map fails.
pub(super) async fn run(job: &Job, link: &mut Link, map: &Map, max_rate: u32) -> Result<(), Error> {
    let gap = Duration::from_secs(1).checked_div(max_rate).unwrap_or_default();
    let identity = map.try_update(IDENTITY, |old: Option<String>| {
        Ok::<_, Error>(old.is_none().then(new_identity))
    })?;
    let mut mirror = Mirror {
        job,
        map,
        changes: Changes::of(map, &job.mirror.mapping.names, "")?,
        table: Owner::new(IN_FLIGHT, gap),
        began: Instant::now(),
        identity: identity.map_or_else(|| map.get(IDENTITY), Ok)?,
        seen: (0, Instant::now()),
        large: BTreeSet::new(),
    };
    while !mirror.changes.is_watching()? {
        job.tally.failed("another bridge mirrors this prefix of the map");
        let _ = timeout(Duration::from_secs(1), mirror.changes.some()).await;
    }
    let mut pace = Pace::default();
    loop {
        let number = link.connected().await;
        let began = Instant::now();
        let watcher = &mut link.clone();
        let ended = tokio::select! {
            ended = mirror.session(link) => ended?,
            () = watcher.broken(number) => Lost("the connection is broken".into()),
        };
        pace.rest(job, began, &ended).await;
    }
}

fn new_identity() -> String {
    let random = std::collections::hash_map::RandomState::new();
    format!("{:016x}", random.hash_one((std::process::id(), clock())))
}

impl Mirror<'_> {
    /// Owns the prefix until something fails.
    async fn session(&mut self, link: &Link) -> Result<Lost, Error> {
        match self.try_session(link).await {
            Ok(never) => match never {},
            Err(Ended::Lost(lost)) => Ok(lost),
            Err(Ended::Map(error)) => Err(error),
        }
    }

    async fn try_session(&mut self, link: &Link) -> Result<std::convert::Infallible, Ended> {
        link.version().map_err(|old| Lost(old.to_string()))?;
        let stream = bucket::ensure(link, &self.job.bucket).await?;
        let key = owner_key(&self.job.mirror.mapping.keys);
        let key_subject = subject(&self.job.bucket, &key);
        let (mut statement, mut seq) = self.claim(link, &stream, &key_subject).await?;
        self.job.tally.enter(State::Reconciling);
        self.job.tally.count(|figures| figures.reconciliations += 1);
        let generation = self.table.begin(statement.session);
        let name = format!("mapvar-{}-{}-{:x}", self.job.node, self.job.run, statement.session);
        let patterns = [format!("{}>", self.job.mirror.mapping.keys), key.clone()];
        let mut feed = Feed::open(link, &self.job.bucket, &patterns, name).await?;
        let mut answers: FuturesUnordered<BoxFuture<'_, Answer>> = FuturesUnordered::new();
        let mut renewal = interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whether a statement is under way, and whether the bucket has one that says "whole".
        let (mut renewing, mut stated) = (false, false);
        loop {
            tokio::select! {
                told = feed.next() => match told? {
                    Told::Loaded => self.loaded()?,
                    Told::Item(item) if item.key == key => {
                        let other = parse_statement(&item.payload);
                        if other.is_some_and(|other| other.session != statement.session) {
                            return Err(Lost("another bridge claims the prefix".into()).into());
                        }
                    }
                    Told::Item(item) => self.told(&item),
                },
                Some(answer) = answers.next() => match answer {
                    Answer::Put(generation, name, done) => self.answered(generation, &name, done),
                    Answer::Renewed(Ok(new)) => {
                        (renewing, seq, stated) = (false, new, statement.whole);
                    }
                    Answer::Renewed(Err(PutError::Changed)) => {
                        return Err(Lost("another bridge claims the prefix".into()).into());
                    }
                    Answer::Renewed(Err(PutError::Other(why))) => {
                        return Err(Lost(format!("the owner's key was not renewed: {why}")).into());
                    }
                },
                () = self.changes.some() => {
                    self.changes.is_watching()?;
                }
                _ = renewal.tick(), if !renewing => {
                    statement.whole = self.table.is_whole();
                    statement.renewal += 1;
                    renewing = true;
                    let put = put_statement(&key_subject, &statement, seq);
                    answers.push(put.send(link).map(Answer::Renewed).boxed());
                }
                () = until(self.table.due(), self.began) => {}
            }
            if !self.table.is_full() {
                for name in self.changes.take_names() {
                    self.table.changed(&name);
                }
            }
            while let Some((name, put)) = self.next_put(link) {
                answers.push(
                    put.send(link).map(move |done| Answer::Put(generation, name, done)).boxed(),
                );
            }
            if stated {
                self.job.tally.enter(State::Live);
            } else if self.table.is_whole() && !renewing {
                renewal.reset_immediately();
            }
            self.job.tally.count(|figures| figures.variables = self.table.len() as u64);
        }
    }

    /// Claims the prefix; waits while another bridge owns it.
    async fn claim(
        &mut self,
        link: &Link,
        stream: &async_nats::jetstream::stream::Stream,
        key: &str,
    ) -> Result<(Statement, u64), Ended> {
        loop {
            let found = bucket::statement(stream, key).await?;
            let seq = found.as_ref().map_or(0, |(_, seq)| *seq);
            if seq != self.seen.0 {
                self.seen = (seq, Instant::now());
            }
            let other = found.and_then(|(statement, _)| statement);
            let unchanged = self.seen.1.elapsed();
            match judge(other.as_ref(), &self.identity, unchanged, clock()) {
                Claim::Take(session) => {
                    let statement = Statement {
                        node: self.job.node.clone(),
                        map: self.identity.clone(),
                        session,
                        whole: false,
                        renewal: 0,
                    };
                    match put_statement(key, &statement, seq).send(link).await {
                        Ok(seq) => return Ok((statement, seq)),
                        Err(PutError::Changed) => {}
                        Err(PutError::Other(why)) => {
                            let why = format!("claim {key}: {why}; has this user the right to?");
                            return Err(Lost(why).into());
                        }
                    }
                }
                Claim::Wait => {
                    let node = other.map(|other| other.node).unwrap_or_default();
                    let text =
                        format!("{key} has another owner, node {node:?}; this one is silent");
                    if self.job.tally.read().state != State::OwnedByAnother {
                        tracing::warn!("{text}");
                    }
                    self.job.tally.enter(State::OwnedByAnother);
                    self.job.tally.failed(&text);
                }
            }
            sleep(LEASE / 10).await;
        }
    }

    fn loaded(&mut self) -> Result<(), Error> {
        let names = names_in(self.map, &self.job.mirror.mapping.names)?;
        self.table.loaded(names);
        Ok(())
    }

    fn told(&mut self, item: &Item) {
        // A key that no bridge makes is not ours to remove.
        let Some(name) = self.job.mirror.mapping.name(&item.key) else { return };
        let by = item.header(VERSION).and_then(|stamp| stamp.parse::<Stamp>().ok());
        self.table.told(&name, item.seq, digest_of_item(item), by);
    }

    fn answered(&mut self, generation: u64, name: &str, done: Result<u64, PutError>) {
        match done {
            Ok(seq) => {
                self.job.tally.count(|figures| figures.sent += 1);
                self.table.acked(generation, name, seq);
            }
            Err(error) => {
                self.job.tally.count(|figures| figures.failed += 1);
                if let PutError::Other(why) = error {
                    self.job.tally.failed(&format!("put {name:?}: {why}"));
                }
                self.table.failed(generation, name);
            }
        }
    }

    /// Returns the next message to put, and its variable.
    fn next_put(&mut self, link: &Link) -> Option<(String, Put)> {
        loop {
            let now = self.began.elapsed();
            let name = self.table.next(now)?;
            let Some(key) = self.job.mirror.mapping.key(&name) else {
                self.refuse_variable(&name, "its name is too long for a key");
                continue;
            };
            let value = match self.value(&name) {
                Ok(value) => value,
                Err(why) => {
                    self.refuse_variable(&name, &why);
                    continue;
                }
            };
            let most = link.client.max_payload().saturating_sub(OVERHEAD);
            if let Some(encoded) = value.as_ref().filter(|it| it.payload.len() > most) {
                let why =
                    format!("its value has {} bytes, the limit is {most}", encoded.payload.len());
                self.refuse_variable(&name, &why);
                continue;
            }
            self.large.remove(&name);
            let stamp = match self.table.decide(&name, value.as_ref().map(digest_of), now) {
                Step::Nothing => continue,
                Step::Put(stamp) | Step::Delete(stamp) => stamp,
            };
            let subject = subject(&self.job.bucket, &key);
            return Some((name, Put::new(subject, value, &self.job.node, stamp)));
        }
    }

    fn value(&self, name: &str) -> Result<Option<Encoded>, String> {
        let failed = |error: Error| error.to_string();
        let Some(value) = self.map.find::<Value>(name).map_err(failed)? else { return Ok(None) };
        let ephemeral = self.map.owner(name).map_err(failed)?.is_some();
        Ok(Some(Encoded { ephemeral, ..encoding::encode(&value)? }))
    }

    fn refuse_variable(&mut self, name: &str, why: &str) {
        self.table.give_up(name);
        self.job.tally.count(|figures| figures.refused += 1);
        if self.large.insert(name.to_owned()) {
            tracing::warn!("variable {name:?} is not mirrored: {why}");
        }
    }
}

fn put_statement(key: &str, statement: &Statement, replaces: u64) -> Put {
    let text = serde_json::to_string(statement).unwrap_or_default();
    Put::statement(key.to_owned(), text, replaces)
}
