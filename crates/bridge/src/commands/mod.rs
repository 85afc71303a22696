//! The subcommands, one file each.

mod setting;
mod run;
mod mqtt;
mod check;
mod status;
mod rights;
mod unit;

use crate::args::{Cli, Command};
use std::{io::Write as _, process::ExitCode};
use tracing_subscriber::{
    filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Runs the subcommand. `Ok(false)` is the exit code 1.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => tracing::Level::WARN,
        (false, 0) => tracing::Level::INFO,
        (false, 1) => tracing::Level::DEBUG,
        (false, _) => tracing::Level::TRACE,
    };
    // The client of NATS logs everything that the bridge logs, a second time.
    let client = if level > tracing::Level::DEBUG { level } else { tracing::Level::ERROR };
    let levels = Targets::new().with_default(client).with_target("mapvar_bridge", level);
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    lines.with_target(false).with_max_level(level).finish().with(levels).init();
    let done = match cli.command {
        Command::Run(setup) => setup.read().and_then(|config| run::until_interrupted(&config)),
        Command::Once(once) => once.setup.read().and_then(|config| run::once(&config)),
        Command::Mqtt(setup) => setup.read().and_then(|config| mqtt::run(&config)),
        Command::Check(setup) => setup.read().and_then(|config| check::run(&config)),
        Command::Status(status) => status::run(&status),
        Command::Rights(setup) => setup.read().and_then(|config| rights::run(&config)),
        Command::Unit(unit) => unit::run(&unit),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            // Standard error is closed: there is nowhere to report that.
            let _ = writeln!(std::io::stderr(), "mapvar-bridge: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
