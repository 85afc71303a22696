//! mapvar beside Ruby; the README.md of the harnesses says what each subcommand shows.

#![forbid(unsafe_code)]

mod gem;
mod marshal;
/// Ruby's Marshal as the library implements it, compiled from the library's sources, since the
/// library does not export it.
#[path = "../../../crates/mapvar/src/gem/marshal/mod.rs"]
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    unused_imports,
    reason = "the library's own lints hold there"
)]
mod marshal_source;
/// The values that it reads and writes.
#[path = "../../../crates/mapvar/src/value/mod.rs"]
#[allow(clippy::all, clippy::pedantic, dead_code, reason = "as above")]
mod value;

use clap::Parser;
use std::process::ExitCode;
use value::Value;

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
