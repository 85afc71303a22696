//! Mirrors: each is a task that carries one prefix, in one direction.

pub(crate) mod tally;
pub(crate) mod job;
pub(crate) mod changes;
pub(crate) mod source;
pub(crate) mod owned;
pub(crate) mod copied;

use crate::{
    config::{Config, Direction, Mirror},
    engine::link::Link,
    failure::Failure,
};
use job::Job;
use mapvar::{ErrorKind, Map};
use std::{sync::Arc, time::Duration};
use tally::{State, Tally, clock};
use tokio::{task::JoinHandle, time::sleep};

/// How often a map that does not exist yet is looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// A mirror that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) job: Arc<Job>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts the task of a job.
    pub(crate) fn start<F>(job: &Arc<Job>, task: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { job: Arc::clone(job), task: tokio::spawn(task) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts all mirrors of a configuration.
pub(crate) fn start(config: &Config, link: &Link) -> Vec<Running> {
    let run = clock();
    let mirrors = config.mirrors.iter().enumerate().map(|(number, mirror)| {
        let job = Arc::new(Job {
            node: config.node.clone(),
            bucket: config.server.bucket.clone(),
            mirror: mirror.clone(),
            tally: Tally::default(),
            run: format!("{run:x}-{number}"),
        });
        Running::start(&job, keep_up(Arc::clone(&job), link.clone()))
    });
    mirrors.collect()
}

/// Opens the map and mirrors it; again after each error of the map.
async fn keep_up(job: Arc<Job>, mut link: Link) {
    loop {
        let map = open(&job).await;
        match with_map(&job, &mut link, &map).await {
            Ok(()) => {}
            Err(error) => {
                job.tally.failed(&error.to_string());
                tracing::warn!(prefix = job.mirror.mapping.names, "{error}; opening it again");
            }
        }
        sleep(LOOK).await;
    }
}

async fn with_map(job: &Arc<Job>, link: &mut Link, map: &Map) -> Result<(), mapvar::Error> {
    match job.mirror.direction {
        Direction::Out { max_rate } => owned::run(job, link, map, max_rate).await,
        Direction::In { max_vars, max_bytes } => {
            copied::run(job, link, map, max_vars, max_bytes).await
        }
    }
}

/// Opens the map. That of an `in` prefix is made if it is not there.
pub(crate) async fn open(job: &Job) -> Map {
    let mut told = false;
    loop {
        let options = job.mirror.map.options();
        let opened = if job.mirror.is_out() { options.open() } else { options.open_or_create() };
        match opened {
            Ok(map) => return map,
            Err(error) => {
                job.tally.failed(&error.to_string());
                if !std::mem::replace(&mut told, true) {
                    let waits = error.kind() == ErrorKind::NotFound;
                    let what = if waits { "waiting for it" } else { "trying again" };
                    tracing::warn!("{error}; {what}");
                }
            }
        }
        sleep(LOOK).await;
    }
}

/// Whether all mirrors have carried what was there, for `once`.
pub(crate) fn all_settled(running: &[Running]) -> bool {
    running.iter().all(|mirror| mirror.job.tally.read().state == State::Live)
}

/// Checks that the maps can be opened, before the program says that it runs.
///
/// # Errors
/// A map that cannot be opened for another reason than that it does not exist yet.
pub(crate) fn check_maps(mirrors: &[Mirror]) -> Result<(), Failure> {
    for mirror in mirrors {
        match mirror.map.options().open() {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
