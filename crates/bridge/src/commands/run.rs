//! `mapvar-bridge run` and `mapvar-bridge once`

use super::setting::{interruption, runtime};
use crate::{
    config::Config,
    engine::link::{self, Link},
    failure::Failure,
    metrics,
    mirror::{self, Running},
    report,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long `once` may take.
const ONCE: Duration = Duration::from_mins(1);
/// How long the first connection may take before `run` says that it still tries.
const FIRST: Duration = Duration::from_secs(5);
/// The time for the server to hear that feeds end.
const FAREWELL: Duration = Duration::from_millis(200);

/// Mirrors until a signal comes.
pub(super) fn until_interrupted(config: &Config) -> Result<bool, Failure> {
    let interrupted = interruption()?;
    mirror::check_maps(&config.mirrors)?;
    runtime()?.block_on(async {
        let link = link::connect(&config.server, &config.node).await?;
        let running = mirror::start(config, &link);
        tokio::select! {
            () = report::keep_up(&config.node, &running) => {}
            refused = refuse_old(link.clone()) => return Err(refused),
            failed = serve(config, &running) => return Err(failed),
            () = interrupted.notified() => {}
        }
        drop(running);
        sleep(FAREWELL).await;
        Ok(true)
    })
}

/// Mirrors until all is equal.
pub(super) fn once(config: &Config) -> Result<bool, Failure> {
    mirror::check_maps(&config.mirrors)?;
    runtime()?.block_on(async {
        let link = link::connect(&config.server, &config.node).await?;
        let running = mirror::start(config, &link);
        let settled = async {
            while !mirror::all_settled(&running) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::select! {
            done = timeout(ONCE, settled) => done.map_err(|_| unsettled(&running)),
            refused = refuse_old(link.clone()) => Err(refused),
        };
        drop(running);
        sleep(FAREWELL).await;
        done.map(|()| true)
    })
}

fn unsettled(running: &[Running]) -> Failure {
    let states = running.iter().map(|mirror| {
        let figures = mirror.job.tally.read();
        format!("{}: {}: {}", mirror.job.mirror.mapping.keys, figures.state.name(), figures.error)
    });
    Failure::server(states.collect::<Vec<_>>().join("; "))
}

/// Serves the figures, if the configuration says so. It returns only if it cannot.
async fn serve(config: &Config, running: &[Running]) -> Failure {
    match config.metrics {
        Some(address) => metrics::serve(address, running).await,
        None => std::future::pending().await,
    }
}

/// Returns the error if the server is one that never works. Otherwise it never returns.
async fn refuse_old(mut link: Link) -> Failure {
    if timeout(FIRST, link.connected()).await.is_err() {
        tracing::warn!("no connection yet; trying on");
        link.connected().await;
    }
    match link.version() {
        Err(old) => old,
        Ok(version) => {
            tracing::info!("nats-server {version}");
            std::future::pending().await
        }
    }
}
