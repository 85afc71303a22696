//! Requests from outside to end: Ctrl-C, and the signals that ask a process to end.
//!
//! A process that catches them ends by itself, or asks the command that it runs to end.

use crate::{exit::Failure, system};
use mapvar::{Error, ErrorKind};
use std::{
    io,
    process::{Child, ExitStatus},
    sync::mpsc,
    time::Duration,
};

/// SIGINT, SIGTERM and SIGHUP, or the events of a console. From [`Signals::catch`] on they do not
/// end this process.
pub(super) struct Signals(mpsc::Receiver<system::Event>);

impl Signals {
    /// For a process that waits by itself. Ctrl-C ends it even if it was started with SIGINT ignored,
    /// as a shell starts `mapvar hold alpha &` in a script: nothing else would end it.
    pub(super) fn catch() -> Result<Self, Failure> {
        Self::caught(false)
    }

    /// For a process that runs a command. A signal that is ignored stays so, for the command too:
    /// the command would get its default, and end where it lives on without this process.
    pub(super) fn catch_for_command() -> Result<Self, Failure> {
        Self::caught(true)
    }

    fn caught(keep_ignored: bool) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel();
        system::catch(sender, keep_ignored).map_err(|cause| {
            Failure::from(Error::new(ErrorKind::Io, "wait for", "Ctrl-C").because(cause))
        })?;
        Ok(Self(receiver))
    }

    /// Waits for a signal that asks this process to end; returns whether one came in time.
    pub(super) fn wait_up_to(&self, limit: Duration) -> bool {
        // The sender is never dropped.
        matches!(self.0.recv_timeout(limit), Ok(Some(_)))
    }

    /// Waits until the child ends, and passes signals on to it. The child then decides when to end.
    pub(super) fn wait_for(&self, child: &mut Child) -> io::Result<ExitStatus> {
        if !system::REPORTS_CHILDREN {
            return child.wait();
        }
        // Only this thread waits for the child. So its number is no other process's while signals
        // are sent to it.
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            match self.0.recv() {
                Ok(Some(signal)) => system::pass_on(signal, child),
                Ok(None) => {}
                Err(_) => return child.wait(),
            }
        }
    }
}
