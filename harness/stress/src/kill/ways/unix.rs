//! Ends a child of this process in its way.

#![allow(unsafe_code, reason = "signals, and what is told of a child")]

use super::{EXIT, Look, Phase, Way, child::OUTPUT};
use crate::kill::{
    order::{Ended, Order, START, When, await_moment},
    shared::{Shared, word},
};
use std::{
    io::{self, Read},
    os::fd::AsRawFd,
    sync::atomic::Ordering::SeqCst,
    thread,
    time::{Duration, Instant},
};

/// Signals that end a process. It has handlers for some of them: Rust's own for SIGSEGV, and that
/// of mapvar for SIGBUS.
const SIGNALS: [(&str, i32); 11] = [
    ("TERM", libc::SIGTERM),
    ("INT", libc::SIGINT),
    ("HUP", libc::SIGHUP),
    ("QUIT", libc::SIGQUIT),
    ("ABRT", libc::SIGABRT),
    ("SEGV", libc::SIGSEGV),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("ALRM", libc::SIGALRM),
    ("USR1", libc::SIGUSR1),
    ("XFSZ", libc::SIGXFSZ),
];

/// How often a poll of a child asks.
const POLL: Duration = Duration::from_micros(5);

/// Prepares this process, which forks the children: they die by each signal, leave no core, and
/// their own children become this process's.
pub(crate) fn prepare() {
    for (_, signal) in SIGNALS {
        if signal != libc::SIGSEGV && signal != libc::SIGBUS {
            // Who starts a program in the background may have it ignore SIGINT and SIGQUIT.
            // SAFETY: installs the default action.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    // Less than a page, so no file; and no program that collects cores is started for a limit of 1.
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: the struct is a valid local.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    #[cfg(target_os = "linux")]
    {
        // SAFETY: no pointer.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_u64) };
    }
}

/// The pipe by which the program that takes the place of a child says that it runs.
pub(crate) struct Output(Option<(io::PipeReader, io::PipeWriter)>);

impl Output {
    /// Call it before the fork.
    pub(crate) fn of(order: &Order) -> io::Result<Self> {
        if order.way != Way::Executes {
            return Ok(Self(None));
        }
        let (reader, writer) = io::pipe()?;
        OUTPUT.store(writer.as_raw_fd(), SeqCst);
        Ok(Self(Some((reader, writer))))
    }

    /// Waits until the program runs, or the child is gone.
    fn wait(self) {
        let Some((mut reader, writer)) = self.0 else { return };
        drop(writer);
        let _ = reader.read(&mut [0]);
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: no pointer; a child of this process that was not waited for, so the number is still
    // its own.
    unsafe { libc::kill(pid, signal) };
}

/// Ends the child `pid` as ordered. `look` is called in each phase, and the child waits meanwhile.
pub(crate) fn end(
    pid: i32,
    output: Output,
    order: &Order,
    shared: &Shared,
    look: Look<'_>,
) -> Ended {
    let number = pid.cast_unsigned();
    let actor = shared.actor(order.actor);
    if order.way == Way::Watched {
        look(Phase::Born, number);
    }
    await_moment(order, shared, POLL, || has_ended(pid));
    if order.when == When::Told {
        look(Phase::Ready, number);
    }
    let mut wanted = format!("signal {}", libc::SIGKILL);
    match order.way {
        Way::Stopped | Way::Continued | Way::Traced => {
            if stop(pid, order.way) {
                look(Phase::Stopped, number);
                thread::sleep(order.linger);
            }
            if order.way == Way::Continued {
                signal(pid, libc::SIGCONT);
                thread::sleep(order.delay);
            }
        }
        Way::Forked | Way::Started => {
            let began = Instant::now();
            while actor.get(word::LINGERS) == 0 && began.elapsed() < START && !has_ended(pid) {
                thread::sleep(POLL);
            }
            thread::sleep(order.delay);
        }
        Way::Signalled => {
            let (_, by) = SIGNALS[order.seed as usize % SIGNALS.len()];
            wanted = format!("signal {by}");
            let began = Instant::now();
            // Rust's handler of SIGSEGV takes the first one for a fault that would come again.
            while began.elapsed() < START && !has_ended(pid) {
                signal(pid, by);
                thread::sleep(Duration::from_micros(200));
            }
        }
        Way::Limited | Way::Exits => {
            wanted = match order.way {
                Way::Exits => format!("exit {EXIT}"),
                _ => format!("signal {}", libc::SIGXCPU),
            };
            let began = Instant::now();
            while began.elapsed() < START * 3 && !has_ended(pid) {
                thread::sleep(POLL * 20);
            }
        }
        Way::Executes => output.wait(),
        Way::Killed | Way::Left | Way::Watched => {}
    }
    if order.way == Way::Executes {
        // The process lives on as another program, which has not got the map.
        look(Phase::Dead, number);
        signal(pid, libc::SIGKILL);
    } else {
        signal(pid, libc::SIGKILL);
        if order.way != Way::Killed {
            ended(pid, libc::WEXITED);
            look(Phase::Dead, number);
        }
    }
    let lingers = actor.get(word::LINGERS);
    let outlived = matches!(order.way, Way::Forked | Way::Started)
        && i32::try_from(lingers).is_ok_and(|child| child > 0 && !has_ended(child));
    let mut status = 0;
    // SAFETY: a child that was not waited for; the status is a valid local.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    let how = match libc::WTERMSIG(status) {
        0 => format!("exit {}", libc::WEXITSTATUS(status)),
        by => format!("signal {by}"),
    };
    // A program that has taken the place of the child may have come to its end before.
    let well = how == wanted || order.way == Way::Executes && how == "exit 0";
    if well { Ended::Killed { outlived } } else { Ended::Otherwise(format!("ended by {how}")) }
}

/// Returns the name of the signal that ends a life.
pub(crate) fn name_of_signal(order: &Order) -> &'static str {
    SIGNALS[order.seed as usize % SIGNALS.len()].0
}

/// Stops a child. Returns false if it has ended, or may not be stopped so.
fn stop(pid: i32, way: Way) -> bool {
    if way != Way::Traced {
        signal(pid, libc::SIGSTOP);
        return ended(pid, libc::WEXITED | libc::WSTOPPED) == libc::CLD_STOPPED;
    }
    #[cfg(target_os = "linux")]
    {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the request reads and writes no memory of this process.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) };
        // SAFETY: the same.
        seized == 0 && unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, pid, none, none) } == 0 && {
            let how = ended(pid, libc::WEXITED | libc::WSTOPPED);
            how == libc::CLD_TRAPPED || how == libc::CLD_STOPPED
        }
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Waits until the child has changed its state so; it can be waited for again. Returns its state.
fn ended(pid: i32, what: i32) -> i32 {
    // SAFETY: plain numbers, for which all zeros is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a valid local.
    unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, what | libc::WNOWAIT) };
    info.si_code
}

/// Returns whether the child has ended; it stays a zombie that can be waited for.
fn has_ended(pid: i32) -> bool {
    // SAFETY: plain numbers, for which all zeros is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid local.
    unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, how) };
    // SAFETY: the call has filled it, or it is all zeros.
    unsafe { info.si_pid() == pid }
}

/// Reaps the children of children that have ended. With `all` it waits for every one: each ends by
/// itself within a second.
pub(crate) fn reap(all: bool) {
    let how = if all { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: no status is wanted.
        let reaped = unsafe { libc::waitpid(-1, std::ptr::null_mut(), how) };
        if reaped <= 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}
