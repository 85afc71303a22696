//! `in`: the bucket tells, and the map is made equal to it.

use super::{
    job::{Job, Pace},
    tally::State,
};
use crate::{
    encoding::{self, Labels},
    engine::{
        Lost,
        bucket::{self, parse_statement},
        feed::{Feed, Item, Told},
        link::Link,
        put::VERSION,
    },
    names::{OWNER, patterns},
    table::{
        claim::{LEASE, RENEWAL},
        reader::{Limits, Reader, Verdict},
        stamp::Stamp,
    },
};
use mapvar::{Error, ErrorKind, Map};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

struct Mirror<'a> {
    job: &'a Job,
    map: &'a Map,
    table: Reader,
    feeds: u64,
    /// Of each owner, by the prefix of its variables here: when it was last seen to live, and
    /// whether its ephemeral variables were removed since.
    owners: BTreeMap<String, (Instant, bool)>,
    /// Keys of which was said that they are refused.
    refused: BTreeSet<String>,
}

/// Mirrors until the map fails.
pub(super) async fn run(
    job: &Job,
    link: &mut Link,
    map: &Map,
    max_vars: usize,
    max_bytes: u64,
) -> Result<(), Error> {
    let mut table = Reader::new(Limits { vars: max_vars, bytes: max_bytes });
    let mut walk = map.names().prefix(&job.mirror.mapping.names);
    while let Some(name) = walk.try_next()? {
        table.found(name);
    }
    let (owners, refused) = (BTreeMap::new(), BTreeSet::new());
    let mut mirror = Mirror { job, map, table, feeds: 0, owners, refused };
    let mut pace = Pace::default();
    loop {
        let number = loop {
            tokio::select! {
                number = link.connected() => break number,
                () = sleep(RENEWAL) => {}
            }
            // An owner that cannot be heard counts as dead.
            if let Err(lost) = mirror.remove_of_dead() {
                job.tally.failed(&lost.to_string());
            }
        };
        let began = Instant::now();
        let watcher = &mut link.clone();
        let lost = tokio::select! {
            Err(lost) = mirror.session(link) => lost,
            () = watcher.broken(number) => Lost("the connection is broken".into()),
        };
        map.check_name()?;
        pace.rest(job, began, &lost).await;
    }
}

impl Mirror<'_> {
    async fn session(&mut self, link: &Link) -> Result<std::convert::Infallible, Lost> {
        link.version().map_err(|old| Lost(old.to_string()))?;
        let (job, keys) = (self.job, &self.job.mirror.mapping.keys);
        bucket::ensure(link, &job.bucket).await?;
        self.feeds += 1;
        job.tally.enter(State::Reconciling);
        job.tally.count(|figures| figures.reconciliations += 1);
        let name = format!("mapvar-{}-{}-{:x}", job.node, job.run, self.feeds);
        self.table.begin();
        // The feed tells again what was removed.
        self.owners.values_mut().for_each(|(_, removed)| *removed = false);
        let mut feed = Feed::open(link, &job.bucket, &patterns(keys), name).await?;
        let mut check = interval(RENEWAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                told = feed.next() => told?,
                _ = check.tick() => {
                    self.remove_of_dead()?;
                    continue;
                }
            };
            match told {
                Told::Loaded => {
                    let removed = self.table.loaded();
                    self.remove(&removed)?;
                    job.tally.enter(State::Live);
                }
                Told::Item(item) => match item.key.strip_prefix(OWNER) {
                    Some(owner) if owner.starts_with('.') => self.stated(&item)?,
                    _ => self.told(&item)?,
                },
            }
            job.tally.count(|figures| figures.variables = self.table.len() as u64);
        }
    }

    /// An owner states its session, and whether it has put all that it has.
    fn stated(&mut self, item: &Item) -> Result<(), Lost> {
        let of = item.key.strip_prefix(OWNER).and_then(|of| of.strip_prefix('.'));
        let Some(prefix) = of.and_then(|of| of.strip_suffix('=')) else { return Ok(()) };
        let Some(names) = self.job.mirror.mapping.names_of(prefix) else { return Ok(()) };
        let Some(statement) = parse_statement(&item.payload) else { return Ok(()) };
        if self.table.session(&names, statement.session) {
            return Err(Lost("the owner counts anew".into()));
        }
        let seen = self.owners.insert(names.clone(), (Instant::now(), false));
        if seen.is_some_and(|(_, removed)| removed) {
            return Err(Lost("the owner is back".into()));
        }
        if statement.whole {
            let removed = self.table.whole(&names);
            self.remove(&removed)?;
        }
        Ok(())
    }

    fn told(&mut self, item: &Item) -> Result<(), Lost> {
        let Some(name) = self.job.mirror.mapping.name(&item.key) else {
            self.refuse_key(&item.key, "no bridge makes such a key");
            return Ok(());
        };
        let by = item.header(VERSION).and_then(|stamp| stamp.parse::<Stamp>().ok());
        let bytes = (!item.is_deletion()).then_some(item.payload.len() as u64);
        match self.table.told(&name, item.seq, by, bytes) {
            Verdict::Set => self.set(&name, item),
            Verdict::Remove => self.remove(&[name]),
            Verdict::Old => {
                self.job.tally.count(|figures| figures.old += 1);
                Ok(())
            }
            Verdict::Refused => {
                self.refuse_key(&item.key, "the limit of the prefix is reached");
                Ok(())
            }
        }
    }

    fn set(&mut self, name: &str, item: &Item) -> Result<(), Lost> {
        let labels = Labels {
            kind: item.header(encoding::KIND),
            type_id: item.header(encoding::TYPE),
            content: item.header(encoding::CONTENT),
        };
        let value = match encoding::decode(&item.payload, labels) {
            Ok(value) => value,
            Err(why) => {
                self.refuse_key(&item.key, &why);
                return Ok(());
            }
        };
        let ephemeral = item.header(encoding::EPHEMERAL).is_some();
        self.table.set_ephemeral(name, ephemeral);
        let set = if ephemeral {
            // An owner that states nothing does not live for longer than one that stopped.
            if !self.owners.keys().any(|prefix| name.starts_with(prefix)) {
                let prefix = self.job.mirror.mapping.names.clone();
                self.owners.insert(prefix, (Instant::now(), false));
            }
            self.map.set_ephemeral(name, &value).map(|()| true)
        } else if matches!(self.map.owner(name), Ok(Some(_))) {
            // The same value may stay, and not end any more.
            self.map.set(name, &value).map(|()| true)
        } else {
            self.map.set_if_changed(name, &value)
        };
        self.applied(&item.key, set)
    }

    /// Removes the ephemeral variables of owners that were not seen to live for a while.
    fn remove_of_dead(&mut self) -> Result<(), Lost> {
        let mut gone = Vec::new();
        for (prefix, (seen, removed)) in &mut self.owners {
            if !*removed && seen.elapsed() > LEASE {
                *removed = true;
                gone.extend(self.table.lapsed(prefix));
            }
        }
        self.remove(&gone)
    }

    fn remove(&mut self, names: &[String]) -> Result<(), Lost> {
        for (at, name) in names.iter().enumerate() {
            let removed = self.map.remove(name);
            if let Err(lost) = self.applied(name, removed) {
                // They are still there, so the next feed removes them.
                names.iter().skip(at).for_each(|name| self.table.found(name.clone()));
                return Err(lost);
            }
        }
        Ok(())
    }

    fn applied(&mut self, key: &str, done: Result<bool, Error>) -> Result<(), Lost> {
        match done {
            Ok(changed) => {
                self.job.tally.count(|figures| figures.received += u64::from(changed));
                Ok(())
            }
            // Another process was in the way; all is told again.
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Contended) => {
                Err(Lost(error.to_string()))
            }
            Err(error) => {
                self.refuse_key(key, &error.to_string());
                Ok(())
            }
        }
    }

    fn refuse_key(&mut self, key: &str, why: &str) {
        self.job.tally.count(|figures| figures.refused += 1);
        // A hostile bucket must not fill the memory with names either.
        if self.refused.len() < 1000 && self.refused.insert(key.to_owned()) {
            tracing::warn!("key {key:?} is not mirrored: {why}");
        }
    }
}
