//! What the subcommands run in: standard output, signals, and the runtime of tasks.

use crate::failure::Failure;
use std::{io::Write as _, sync::Arc};
use tokio::sync::Notify;

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader closed its end, as in `mapvar-bridge rights … | head`.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Returns the runtime on which the bridge's tasks run.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Ok(runtime?)
}

/// Returns what is notified by Ctrl-C and SIGTERM.
pub(super) fn interruption() -> Result<Arc<Notify>, Failure> {
    let interrupted = Arc::new(Notify::new());
    let tell = Arc::clone(&interrupted);
    let handled = ctrlc::set_handler(move || tell.notify_one());
    handled.map_err(|error| Failure::usage(format!("signals: {error}")))?;
    Ok(interrupted)
}
