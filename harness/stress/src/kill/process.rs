//! Everywhere: a program is started for each life.

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

/// Starts a process of this program.
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
        let child = RefCell::new(start("life", &self.0, &[&order.told()])?);
        let ended = || child.borrow_mut().try_wait().is_ok_and(|ended| ended.is_some());
        await_moment(order, shared, Duration::from_micros(500), ended);
        if order.when == When::Told {
            ready();
        }
        let mut child = child.into_inner();
        let by_itself = child.try_wait()?;
        // Fails where it has just ended by itself.
        let _ = child.kill();
        let status = child.wait()?;
        Ok(match by_itself {
            // By its own answer: on Windows a killed one has a code like any other.
            Some(status) => Ended::Otherwise(format!("ended by itself: {status}")),
            None if was_killed(status) => Ended::Killed,
            None => Ended::Otherwise(format!("ended by itself: {status}")),
        })
    }
}

/// Whether it ended by what `Child::kill` does, and by nothing else: a crash is none.
#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

/// The same: `Child::kill` terminates with the code 1, with which no child of ours ends.
#[cfg(windows)]
fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}

/// Ends this process when the one that started it ends, and its pipe with it.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::Read::read(&mut io::stdin(), &mut [0]);
        std::process::exit(4);
    });
}

/// The process itself.
pub(crate) fn run(shared: &Path, order: &str) -> io::Result<ExitCode> {
    end_with_parent();
    let shared = Shared::open(shared)?;
    let order = Order::parse(order).ok_or_else(|| io::Error::other("no order"))?;
    eprintln!("{}", live(&order, &shared));
    Ok(ExitCode::from(3))
}
