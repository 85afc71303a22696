//! Unix: a small process with one thread and no open map forks the processes that are to be killed.
//! A fork takes a tenth of the time of starting a program.

#![allow(unsafe_code, reason = "fork, and what comes after it")]

use super::{
    order::{Ended, Killer, Order, When, await_moment, live},
    shared::Shared,
};
use mapvar_harness::peer::{Peer, next_order, say};
use std::{io, path::Path, time::Duration};

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
    fn run(&mut self, order: &Order, _: &Shared, ready: &mut dyn FnMut()) -> io::Result<Ended> {
        self.0.send_line(&order.to_line());
        if order.when == When::Told {
            self.hear()?;
            ready();
            self.0.send_line("kill");
        }
        Ok(match self.hear()?.as_str() {
            "killed" => Ended::Killed,
            other => Ended::Otherwise(other.into()),
        })
    }
}

/// Ends this process when its parent ends.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sets the signal that the kernel sends when the parent's thread ends; no pointer.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
}

/// Runs the zygote: for each line with an order it prints one line with the outcome.
pub(crate) fn run(shared: &Path) -> io::Result<()> {
    end_with_parent();
    #[cfg(target_os = "linux")]
    {
        // SAFETY: no pointer. Sleeps then end on time, and not 50 µs later.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
    }
    let shared = Shared::open(shared)?;
    while let Some(line) = next_order() {
        let order = Order::parse(&line).ok_or_else(|| io::Error::other("no order"))?;
        // SAFETY: this process has one thread, so the child may do whatever this process could.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            end_with_parent();
            let lived = std::panic::catch_unwind(|| eprintln!("{}", live(&order, &shared)));
            // SAFETY: ends the process at once, as a forked child must.
            unsafe { libc::_exit(if lived.is_ok() { 3 } else { 101 }) };
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        await_moment(&order, &shared, Duration::from_micros(5), || has_ended(pid));
        if order.when == When::Told {
            say("ready");
            let _ = next_order();
        }
        // SAFETY: a child of this process that was not waited for, so the number is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let mut status = 0;
        // SAFETY: as above; the status is a valid local.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        match libc::WTERMSIG(status) {
            0 => say(format!("ended by itself with {}", libc::WEXITSTATUS(status))),
            libc::SIGKILL => say("killed"),
            signal => say(format!("ended by signal {signal}")),
        }
    }
    Ok(())
}

/// Returns whether the child has ended; it stays a zombie that can be waited for.
fn has_ended(pid: libc::pid_t) -> bool {
    // SAFETY: plain numbers, for which all zeros is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid local.
    unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, how) };
    // SAFETY: the call has filled it, or it is all zeros.
    unsafe { info.si_pid() == pid }
}
