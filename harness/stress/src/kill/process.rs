//! The killer for every system: it starts a program for each life.

use super::{
    order::{Ended, Killer, Order, live},
    shared::Shared,
    ways::Look,
};
#[cfg(unix)]
use super::{
    order::{When, await_moment},
    ways::{Phase, Way},
};
#[cfg(windows)]
use super::{shared::word, ways};
use mapvar_harness::peer;
#[cfg(unix)]
use std::{cell::RefCell, time::Duration};
use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
};

pub(crate) struct Processes(pub(crate) PathBuf);

/// Starts this program again as a second process.
pub(crate) fn start(role: &str, shared: &Path, arguments: &[&str]) -> io::Result<Child> {
    let mut command = crate::child("kill", role, []);
    command.arg(shared).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    peer::spawn(&mut command)
}

impl Killer for Processes {
    #[cfg(unix)]
    fn run(&mut self, order: &Order, shared: &Shared, look: Look<'_>) -> io::Result<Ended> {
        // The other ways belong to the process that forks.
        assert!(matches!(order.way, Way::Killed | Way::Left), "{:?} by a program", order.way);
        let child = RefCell::new(start("life", &self.0, &[&order.to_line()])?);
        let ended = || child.borrow_mut().try_wait().is_ok_and(|ended| ended.is_some());
        await_moment(order, shared, Duration::from_micros(500), ended);
        let mut child = child.into_inner();
        if order.when == When::Told {
            look(Phase::Ready, child.id());
        }
        // Fails if the process has just ended by itself.
        let _ = child.kill();
        let status = child.wait()?;
        if order.way != Way::Killed {
            look(Phase::Dead, child.id());
        }
        Ok(match std::os::unix::process::ExitStatusExt::signal(&status) {
            Some(9) => Ended::Killed { outlived: false },
            _ => Ended::Otherwise(format!("ended by itself: {status}")),
        })
    }

    #[cfg(windows)]
    fn run(&mut self, order: &Order, shared: &Shared, look: Look<'_>) -> io::Result<Ended> {
        shared.actor(order.actor).put(word::LINGERS, 0);
        let child = start("life", &self.0, &[&order.to_line()])?;
        ways::windows::end(child, order, shared, look)
    }

    fn rest(&mut self) -> io::Result<()> {
        if cfg!(windows) {
            std::thread::sleep(super::ways::LONGEST);
        }
        Ok(())
    }
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
    live(&order, &shared)
}
