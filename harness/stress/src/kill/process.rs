//! The killer for every system: it starts a program for each life.

use super::{
    order::{Ended, Killer, Order, When, await_moment, live},
    shared::Shared,
};
use mapvar_harness::peer;
use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    process::{Child, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

pub(crate) struct Processes(pub(crate) PathBuf);

/// Starts this program again as a second process.
pub(crate) fn start(role: &str, shared: &Path, arguments: &[&str]) -> io::Result<Child> {
    let mut command = crate::child("kill", role, []);
    command.arg(shared).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    peer::spawn(&mut command)
}

impl Killer for Processes {
    fn run(
        &mut self,
        order: &Order,
        shared: &Shared,
        ready: &mut dyn FnMut(),
    ) -> io::Result<Ended> {
        let child = RefCell::new(start("life", &self.0, &[&order.to_line()])?);
        let ended = || child.borrow_mut().try_wait().is_ok_and(|ended| ended.is_some());
        await_moment(order, shared, Duration::from_micros(500), ended);
        if order.when == When::Told {
            ready();
        }
        let mut child = child.into_inner();
        let by_itself = child.try_wait()?;
        // Fails if the process has just ended by itself.
        let _ = child.kill();
        let status = child.wait()?;
        Ok(match by_itself {
            // `try_wait` before the kill decides: on Windows the exit code of a killed process is
            // like any other.
            Some(status) => Ended::Otherwise(format!("ended by itself: {status}")),
            None if was_killed(status) => Ended::Killed,
            None => Ended::Otherwise(format!("ended by itself: {status}")),
        })
    }
}

/// Returns whether the process was ended by `Child::kill`; a crash does not count.
#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

/// Returns the same: `Child::kill` terminates with code 1, which no role of this program uses.
#[cfg(windows)]
fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}

/// Ends this process when its parent ends, which closes the pipe.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::Read::read(&mut io::stdin(), &mut [0]);
        std::process::exit(4);
    });
}

/// Runs the process that is to be killed.
pub(crate) fn run(shared: &Path, order: &str) -> io::Result<ExitCode> {
    end_with_parent();
    let shared = Shared::open(shared)?;
    let order = Order::parse(order).ok_or_else(|| io::Error::other("no order"))?;
    eprintln!("{}", live(&order, &shared));
    Ok(ExitCode::from(3))
}
