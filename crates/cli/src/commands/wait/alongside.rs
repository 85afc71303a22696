//! Runs a command while a map or a lock is held for it.

use super::signals::Signals;
use crate::exit::{self, Exit, Failure};
use mapvar::{Error, ErrorKind, Map};
use std::{
    ffi::OsString,
    io, process,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

/// How often a command that holds a map or a lock checks that others still find the map.
pub(super) const CHECK: Duration = Duration::from_secs(1);

/// How a command ended, and what went wrong meanwhile with the map or lock that was held for it.
pub(super) struct Ended {
    code: u8,
    fault: Option<Exit>,
}

impl Ended {
    /// Reports this error too, unless the fault is known already.
    pub(super) fn and(mut self, outcome: mapvar::Result<()>) -> Self {
        if let (None, Err(error)) = (&self.fault, outcome) {
            self.fault = Some(exit::report(&error));
        }
        self
    }

    /// A script reads success as "the command had what it asked for": so a fault is an error then.
    /// Otherwise the command's own code says more.
    pub(super) fn exit(self) -> Exit {
        match self.fault {
            Some(fault) if self.code == 0 => fault,
            _ => Exit::Of(self.code),
        }
    }
}

/// Runs a command to its end. Its exit code is 128 if a signal ended it.
///
/// The command gets the signals that ask this process to end. Otherwise this process would end
/// before the command, and the map or lock with it.
///
/// If other processes cannot find the map any more, standard error says so at once: they may take
/// the lock of another map of that name while the command runs.
pub(super) fn run(words: &[OsString], signals: &Signals, map: &Map) -> Result<Ended, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(Ended { code: 0, fault: None });
    };
    let failed = |cause: io::Error| {
        Error::new(ErrorKind::Io, "run", program.display().to_string()).because(cause)
    };
    let child = || -> io::Result<process::ExitStatus> {
        let mut child = process::Command::new(program).args(arguments).spawn()?;
        signals.wait_for(&mut child)
    };
    let (done, ended) = mpsc::channel();
    let (status, fault) = thread::scope(|scope| {
        // Before the command: without the thread it could not be run as promised.
        let watcher = thread::Builder::new()
            .name("mapvar-name".into())
            .spawn_scoped(scope, move || watch_name(map, &ended))?;
        let status = child();
        drop(done);
        Ok((status?, watcher.join().ok().flatten()))
    })
    .map_err(failed)?;
    let code = status.code().map_or(128, |code| u8::try_from(code).unwrap_or(u8::MAX));
    Ok(Ended { code, fault })
}

/// Checks the map's name until `ended` has no sender, and once more then. Reports the first error.
fn watch_name(map: &Map, ended: &Receiver<()>) -> Option<Exit> {
    loop {
        let last = ended.recv_timeout(CHECK) != Err(RecvTimeoutError::Timeout);
        if let Err(error) = map.check_name() {
            return Some(exit::report(&error));
        }
        if last {
            return None;
        }
    }
}
