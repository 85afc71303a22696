//! A process under `ptrace`, one machine instruction at a time.

#![allow(unsafe_code, reason = "ptrace and waitpid have no safe form")]

use mapvar_harness::peer::Owned;
use std::{
    io,
    process::{Child, Command},
};

/// The mark at which the traced process begins the traced work. Its arguments are found in the
/// registers: the address of [`mark_end`], and that of its thread's robust list head.
#[unsafe(naked)]
pub extern "C" fn mark_begin(end: usize, head: usize) {
    std::arch::naked_asm!("int3", "ret")
}

/// The mark at which the traced work ends.
#[unsafe(naked)]
pub extern "C" fn mark_end() {
    std::arch::naked_asm!("nop", "int3", "ret")
}

/// Lets the parent trace this process. For the traced process.
pub fn let_parent_trace() {
    // SAFETY: the request takes no other arguments and touches no memory.
    let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    assert!(done == 0, "PTRACE_TRACEME: {}", io::Error::last_os_error());
}

/// Returns the address of this thread's robust list head. For the traced process.
pub fn robust_head() -> usize {
    let (mut head, mut len) = (0_usize, 0_usize);
    // SAFETY: the kernel writes a pointer and a size through pointers to words that live across the
    // call; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert!(done == 0 && head != 0, "no robust list");
    head
}

/// Why a traced process stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At `mark_begin` or `mark_end`.
    Mark,
    /// At a signal of its own.
    Signal(i32),
    /// It ended.
    Ended(i32),
}

/// A traced process, which is killed on drop.
pub struct Tracee {
    child: Owned,
    pid: libc::pid_t,
}

impl Tracee {
    /// Starts the process. Only this thread may trace it.
    pub fn start(command: &mut Command) -> Self {
        let child = Owned::start(command).expect("start a child");
        let pid = child.0.id().cast_signed();
        Self { child, pid }
    }

    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child.0
    }

    /// Waits for its first stop, which is at a mark.
    pub fn await_first(&self) -> Stop {
        let stop = self.wait();
        if stop == Stop::Mark {
            // SAFETY: sets options of a stopped tracee of this thread; no memory is touched.
            let done = unsafe {
                libc::ptrace(libc::PTRACE_SETOPTIONS, self.pid, 0, libc::PTRACE_O_EXITKILL)
            };
            assert!(done == 0, "PTRACE_SETOPTIONS: {}", io::Error::last_os_error());
        }
        stop
    }

    /// Lets it run to the next stop.
    pub fn go(&self) -> Stop {
        self.resume(libc::PTRACE_CONT);
        self.wait()
    }

    /// Runs one instruction.
    #[inline]
    pub fn step(&self) -> Stop {
        self.resume(libc::PTRACE_SINGLESTEP);
        self.wait()
    }

    #[inline]
    fn resume(&self, request: libc::c_uint) {
        // SAFETY: resumes a stopped tracee of this thread, with no signal; no memory is touched.
        let done = unsafe { libc::ptrace(request, self.pid, 0, 0) };
        assert!(done == 0, "ptrace({request}): {}", io::Error::last_os_error());
    }

    #[inline]
    fn wait(&self) -> Stop {
        let mut status = 0;
        loop {
            // SAFETY: the kernel writes the status through a pointer to a word that lives across
            // the call.
            let found = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            if found == self.pid {
                break;
            }
            let error = io::Error::last_os_error();
            assert!(error.kind() == io::ErrorKind::Interrupted, "waitpid: {error}");
        }
        if libc::WIFSTOPPED(status) {
            match libc::WSTOPSIG(status) {
                libc::SIGTRAP => Stop::Mark,
                signal => Stop::Signal(signal),
            }
        } else {
            Stop::Ended(status)
        }
    }

    /// Returns a word of its memory.
    #[inline]
    pub fn peek(&self, at: usize) -> u64 {
        // SAFETY: reads a word of the tracee's memory; the C library returns it.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, self.pid, at, 0) };
        word.cast_unsigned()
    }

    /// Returns the address of its next instruction.
    #[inline]
    pub fn instruction(&self) -> u64 {
        const RIP: usize = std::mem::offset_of!(libc::user_regs_struct, rip);
        // SAFETY: reads a register of the stopped tracee; the C library returns it.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.pid, RIP, 0) };
        word.cast_unsigned()
    }

    /// Returns the first two arguments; valid at the first instruction of a function.
    pub fn arguments(&self) -> (u64, u64) {
        const RDI: usize = std::mem::offset_of!(libc::user_regs_struct, rdi);
        const RSI: usize = std::mem::offset_of!(libc::user_regs_struct, rsi);
        // SAFETY: as in `instruction`.
        let first = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.pid, RDI, 0) };
        // SAFETY: as in `instruction`.
        let second = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.pid, RSI, 0) };
        (first.cast_unsigned(), second.cast_unsigned())
    }

    /// Returns its mappings of the file with this inode: first and last address, offset in the
    /// file.
    pub fn mappings(&self, inode: u64) -> Vec<(u64, u64, u64)> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        let inode = inode.to_string();
        let of_it = |line: &str| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [range, _, offset, _, of, ..] = fields[..] else { return None };
            let (from, to) = range.split_once('-')?;
            let hex = |text| u64::from_str_radix(text, 16).ok();
            (of == inode).then_some((hex(from)?, hex(to)?, hex(offset)?))
        };
        maps.lines().filter_map(of_it).collect()
    }
}

/// Keeps this thread and the processes that it starts on one processor. A step then takes two
/// switches there, and no message to another processor.
pub fn stay_on(processor: usize) {
    // SAFETY: a set of processors is plain words; all zeros are an empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid, and the macro checks that the number fits it.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the kernel reads the given number of bytes from a set that lives across the call. A
    // refusal only makes the run slower.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}
