//! The command `mapvar`: variables in memory-mapped files and named shared memory, from the shell.

#![forbid(unsafe_code)]

mod system;
mod show;
mod exit;
mod literal;
mod json;
mod parse;
mod args;
mod opening;
mod field;
mod typing;
mod demo;
mod commands;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match args::Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) => Err(exit::Failure::Usage(error)),
    };
    exit::end(outcome)
}
