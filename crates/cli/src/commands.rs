//! The subcommands, one file each.

mod read;
mod write;
mod wait;
mod mend;

use crate::{
    args::{Cli, Command},
    demo,
    exit::{Exit, Failure},
};

/// Runs the subcommand.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Set(args) => write::set::run(&args),
        Command::Get(args) => read::get::run(&args),
        Command::List(args) => read::list::run(&args),
        Command::Rm(args) => write::rm::run(&args),
        Command::Stat(args) => read::stat::run(&args),
        Command::Check(args) => mend::check::run(&args),
        Command::Repair(args) => mend::repair::run(&args),
        Command::Copy(args) => mend::copy::run(&args),
        Command::Hold(args) => wait::hold::run(&args),
        Command::Watch(args) => wait::watch::run(&args),
        Command::WaitFor(args) => wait::wait_for::run(&args),
        Command::Lock(args) => wait::lock::run(&args),
        Command::Locks(args) => read::locks::run(&args),
        Command::Unlock(args) => mend::unlock::run(&args),
        Command::Who(args) => read::who::run(&args),
        Command::Bridge(args) => wait::bridge::run(&args),
        Command::Demo => demo::first(),
        Command::DemoPeer(args) => demo::second(&args),
    }
}
