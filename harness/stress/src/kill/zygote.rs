//! Unix: a small process with one thread and no open map forks the processes that are to be killed.
//! A fork takes a tenth of the time of starting a program.

#![allow(unsafe_code, reason = "fork, and what comes after it")]

use super::{
    order::{Ended, Killer, Order, live},
    shared::{Shared, word},
    ways::{self, Look, Phase},
};
use mapvar_harness::peer::{Peer, next_order, say};
use std::{cell::Cell, io, path::Path, time::Duration};

pub(crate) struct Zygote(Peer);

impl Zygote {
    /// Call this from a thread that outlives the zygote: the kernel kills it when that thread ends.
    pub(crate) fn start(shared: &Path) -> io::Result<Self> {
        Peer::start(crate::child("kill", "zygote", []).arg(shared)).map(Self)
    }

    fn hear(&mut self) -> io::Result<String> {
        self.0.hear().ok_or_else(|| io::Error::other("the process that forks is gone"))
    }
}

impl Killer for Zygote {
    fn run(&mut self, order: &Order, _: &Shared, look: Look<'_>) -> io::Result<Ended> {
        self.0.send_line(&order.to_line());
        loop {
            let line = self.hear()?;
            if let Some((phase, pid)) = Phase::parse(&line) {
                look(phase, pid);
                self.0.send_line("go");
                continue;
            }
            return Ok(match line.as_str() {
                "killed" => Ended::Killed { outlived: false },
                "outlived" => Ended::Killed { outlived: true },
                _ => Ended::Otherwise(line),
            });
        }
    }

    fn rest(&mut self) -> io::Result<()> {
        self.0.send_line(REST);
        self.hear().map(drop)
    }
}

/// Orders it to wait until no process is left.
const REST: &str = "rest";

/// Ends this process when its parent ends.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sets the signal that the kernel sends when the parent's thread ends; no pointer.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
}

/// The longest time for which a process is stopped to be looked at.
const LONGEST_STOP: Duration = Duration::from_secs(1);

/// Waits until the next order is there, for that long at most. Orders come one at a time, so none
/// is in a buffer.
fn has_input(limit: Duration) -> bool {
    let mut wanted = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: the call reads and writes one structure, a local.
    unsafe { libc::poll(&raw mut wanted, 1, limit.as_millis() as i32) > 0 }
}

/// Runs the zygote: for each line with an order it prints a line for each phase, and one with
/// the outcome.
pub(crate) fn run(shared: &Path) -> io::Result<()> {
    end_with_parent();
    #[cfg(target_os = "linux")]
    {
        // SAFETY: no pointer. Sleeps then end on time, and not 50 µs later.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
    }
    ways::unix::prepare();
    let shared = Shared::open(shared)?;
    while let Some(line) = next_order() {
        ways::unix::reap(line == REST);
        if line == REST {
            say(REST);
            continue;
        }
        let order = Order::parse(&line).ok_or_else(|| io::Error::other("no order"))?;
        shared.actor(order.actor).put(word::LINGERS, 0);
        let output = ways::unix::Output::of(&order)?;
        // SAFETY: this process has one thread, so the child may do whatever this process could.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            end_with_parent();
            let _ = std::panic::catch_unwind(|| live(&order, &shared));
            // SAFETY: ends the process at once, as a forked child must.
            unsafe { libc::_exit(101) };
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        // Whether the answer to an earlier line is still to come.
        let owed = Cell::new(false);
        let settle = || {
            if owed.take() {
                let _ = next_order();
            }
        };
        let mut look = |phase: Phase, pid| {
            settle();
            say(phase.to_line(pid));
            // Others may wait for a stopped process, and who looks at it may be slow.
            owed.set(phase == Phase::Stopped && !has_input(LONGEST_STOP));
            if !owed.get() {
                let _ = next_order();
            }
        };
        let ended = ways::unix::end(pid, output, &order, &shared, &mut look);
        settle();
        match ended {
            Ended::Killed { outlived } => say(if outlived { "outlived" } else { "killed" }),
            Ended::Otherwise(how) => say(how),
        }
    }
    Ok(())
}
