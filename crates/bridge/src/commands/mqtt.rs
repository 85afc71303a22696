//! `mapvar-bridge mqtt`

use super::setting::{interruption, runtime};
use crate::{config::broker::Publishing, failure::Failure, mirror, mqtt, report};

/// Publishes until a signal comes.
pub(super) fn run(config: &Publishing) -> Result<bool, Failure> {
    let interrupted = interruption()?;
    mirror::check_maps(&config.mirrors)?;
    mqtt::check(config)?;
    runtime()?.block_on(async {
        let running = mqtt::start(config);
        // Beside the state of a bridge to NATS, which may run for the same node.
        let name = format!("{}.mqtt", config.node);
        tokio::select! {
            () = report::keep_up(&name, &running) => {}
            () = interrupted.notified() => {}
        }
        Ok(true)
    })
}
