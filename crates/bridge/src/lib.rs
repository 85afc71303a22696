//! The program `mapvar-bridge`: mirrors variables of maps on other machines, through a server of
//! NATS with JetStream. `docs/BRIDGE.md` in the repository describes it.

#![forbid(unsafe_code)]

// In the order of the layers: a module imports only modules that stand before it.
mod failure;
mod names;
mod encoding;
mod config;
mod table;
mod engine;
mod mirror;
mod mqtt;
mod report;
mod metrics;
mod args;
mod commands;

use clap::Parser as _;
use std::process::ExitCode;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    commands::run(args::Cli::parse())
}
