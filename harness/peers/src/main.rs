//! mapvar beside Ruby; the README.md of the harnesses says what each subcommand shows.

#![forbid(unsafe_code)]

mod gem;
mod marshal;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "mapvar-peers")]
enum Peers {
    /// Maps in the layout of Ruby's gem win32-mmap, shared with other programs
    Gem(gem::Options),
    /// mapvar's Marshal compared with Ruby's
    Marshal(marshal::Options),
}

fn main() -> ExitCode {
    match Peers::parse() {
        Peers::Gem(options) => {
            gem::run(&options);
            ExitCode::SUCCESS
        }
        Peers::Marshal(options) => marshal::run(&options),
    }
}
