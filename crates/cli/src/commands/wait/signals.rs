//! Requests from outside to end: Ctrl-C, and the signals that ask a process to end.
//!
//! A process that catches them ends by itself, or asks the command that it runs to end.

use crate::exit::Failure;
use mapvar::{Error, ErrorKind};
use std::{
    io,
    process::{Child, ExitStatus},
    sync::mpsc,
    time::Duration,
};

/// SIGINT, SIGTERM and SIGHUP, or the events of a console. From [`Signals::catch`] on they do not
/// end this process.
pub(super) struct Signals(mpsc::Receiver<Event>);

/// The signal that asks this process to end. `None`: a child may have ended.
type Event = Option<i32>;

impl Signals {
    pub(super) fn catch() -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel();
        system::catch(sender).map_err(|cause| {
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

#[cfg(unix)]
mod system {
    use super::Event;
    use rustix::process::{Pid, Signal};
    use signal_hook::{
        consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };
    use std::{
        fs::{self, File},
        io,
        process::Child,
        sync::mpsc,
        thread,
    };

    pub(super) const REPORTS_CHILDREN: bool = true;

    pub(super) fn catch(sender: mpsc::Sender<Event>) -> io::Result<()> {
        // A hang-up that is ignored stays so: `nohup mapvar hold alpha &` outlives its terminal.
        let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        let wanted = [SIGCHLD, SIGINT, SIGTERM].into_iter().chain(hang_up);
        let mut signals = Signals::new(wanted)?;
        let pass = move || {
            for signal in signals.forever() {
                // An error means that no thread waits any more: this process ends by itself.
                let _ = sender.send((signal != SIGCHLD).then_some(signal));
            }
        };
        thread::Builder::new().name("mapvar-signals".into()).spawn(pass).map(drop)
    }

    pub(super) fn pass_on(signal: i32, child: &Child) {
        let named = Signal::from_named_raw(signal).filter(|signal| !has_it_already(*signal));
        if let Some(signal) = named {
            // An error means that the child has ended.
            let _ = rustix::process::kill_process(Pid::from_child(child), signal);
        }
    }

    /// Whether the child got the signal too. The terminal sends Ctrl-C to all processes of the
    /// group in its foreground; many programs end at once, without cleaning up, at the second one.
    fn has_it_already(signal: Signal) -> bool {
        let in_foreground = || {
            let terminal = File::open("/dev/tty").ok()?;
            let group = rustix::termios::tcgetpgrp(&terminal).ok()?;
            Some(group == rustix::process::getpgrp())
        };
        signal == Signal::INT && in_foreground().unwrap_or(false)
    }

    /// Whether this process was started with the signal ignored, as far as the system reports it.
    fn is_ignored(signal: i32) -> bool {
        let mask = || {
            let status = fs::read_to_string("/proc/self/status").ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        let bit = u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit));
        bit.is_some_and(|bit| mask().is_some_and(|mask| mask & bit != 0))
    }
}

#[cfg(not(unix))]
mod system {
    use super::Event;
    use std::{process::Child, sync::mpsc};

    /// The console sends its events to the child as well, so nothing has to be passed on.
    pub(super) const REPORTS_CHILDREN: bool = false;

    pub(super) fn catch(sender: mpsc::Sender<Event>) -> Result<(), ctrlc::Error> {
        ctrlc::set_handler(move || {
            let _ = sender.send(Some(0));
        })
    }

    pub(super) fn pass_on(_: i32, _: &Child) {}
}
