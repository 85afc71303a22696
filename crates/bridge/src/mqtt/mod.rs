//! One-way mirrors to a broker of MQTT: each is a task that publishes one prefix.

mod payload;
mod broker;
mod published;

use crate::{
    config::{Direction, broker::Publishing},
    failure::Failure,
    mirror::{
        LOOK, Running,
        job::Job,
        open,
        tally::{Tally, clock},
    },
};
use std::sync::Arc;
use tokio::time::sleep;

/// Checks what the connections need: files with secrets and certificates.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn check(config: &Publishing) -> Result<(), Failure> {
    broker::options(&config.broker, "", "").map(drop)
}

/// Starts all mirrors of a configuration.
pub(crate) fn start(config: &Publishing) -> Vec<Running> {
    let run = clock();
    let mirrors = config.mirrors.iter().enumerate().map(|(number, mirror)| {
        let job = Arc::new(Job {
            node: config.node.clone(),
            bucket: String::new(),
            mirror: mirror.clone(),
            tally: Tally::default(),
            run: format!("{}-{run:x}-{number}", config.node),
        });
        let broker = config.broker.clone();
        let task = Arc::clone(&job);
        Running::start(&job, async move {
            let Direction::Out { max_rate } = task.mirror.direction else { return };
            loop {
                let map = open(&task).await;
                if let Err(error) = published::run(&task, &broker, &map, max_rate).await {
                    task.tally.failed(&error.to_string());
                    tracing::warn!(prefix = task.mirror.mapping.names, "{error}; opening it again");
                }
                sleep(LOOK).await;
            }
        })
    });
    mirrors.collect()
}
