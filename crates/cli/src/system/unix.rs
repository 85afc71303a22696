//! Unix: signals, and the rights of files.

use super::Event;
use rustix::process::{Pid, Signal};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    process::Child,
    sync::mpsc,
    thread,
};

pub(crate) const REPORTS_CHILDREN: bool = true;

/// Catches the signals that ask a process to end; with `keep_ignored`, only those that are not ignored.
pub(crate) fn catch(sender: mpsc::Sender<Event>, keep_ignored: bool) -> io::Result<()> {
    // A hang-up that is ignored always stays so: `nohup mapvar hold alpha &` outlives its terminal.
    let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| {
        let keep = keep_ignored || *signal == SIGHUP;
        !(keep && is_ignored(*signal))
    });
    let wanted = wanted.chain([SIGCHLD]);
    let mut signals = Signals::new(wanted)?;
    let pass = move || {
        for signal in signals.forever() {
            // An error means that no thread waits any more: this process ends by itself.
            let _ = sender.send((signal != SIGCHLD).then_some(signal));
        }
    };
    thread::Builder::new().name("mapvar-signals".into()).spawn(pass).map(drop)
}

pub(crate) fn pass_on(signal: i32, child: &Child) {
    let named = Signal::from_named_raw(signal).filter(|signal| !has_it_already(*signal));
    if let Some(signal) = named {
        // An error means that the child has ended.
        let _ = rustix::process::kill_process(Pid::from_child(child), signal);
    }
}

/// Whether a process has this number. It may be another user's, or a later process.
pub(crate) fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
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

/// The most bytes of a variable of the environment; `None` if the system reports the limit.
pub(crate) const LONGEST_VARIABLE: Option<usize> = None;

/// Returns the owner of a file, if that is another user and others may write to the file.
pub(crate) fn foreign_and_open_to_others(file: &Path) -> Option<u32> {
    const OTHERS_WRITE: u32 = 0o022;
    let facts = file.metadata().ok()?;
    let foreign = facts.uid() != rustix::process::geteuid().as_raw();
    (foreign && facts.mode() & OTHERS_WRITE != 0).then(|| facts.uid())
}
