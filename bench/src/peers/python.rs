//! Python's `multiprocessing.shared_memory`.

use crate::{Result, process::Process};
use std::process::Command;

pub const PEER: &str = "Python shared_memory";
pub const PROGRAM: &str = "python3";

const SCRIPT: &str = include_str!("python.py");

/// A process of Python, which times its own loops.
struct Python(Process);

/// Returns work of a process on the core of this thread; `word` is one of the script's.
pub fn work(word: &'static str) -> Result<impl FnMut(u64) -> f64> {
    let mut python = Python(Process::start(Command::new(PROGRAM).args(["-c", SCRIPT]))?);
    python.0.answer()?;
    Ok(move |count| {
        let answer = python.0.ask(format_args!("{word} {count}")).expect("an answer");
        answer.parse().expect("nanoseconds")
    })
}

impl Drop for Python {
    fn drop(&mut self) {
        // A process that is killed leaves the memory behind for a while.
        self.0.finish();
    }
}
