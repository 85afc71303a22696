//! Other users, and names that another program took first.

mod table;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use crate::{Seeded, clean_up};
use mapvar_harness::watchdog::watch;
use std::{process::ExitCode, time::Duration};

pub(crate) fn run(options: Seeded) -> ExitCode {
    watch(Duration::from_mins(1), clean_up);
    println!("others: --seed {}", options.seed);
    #[cfg(unix)]
    return unix::run(options);
    #[cfg(windows)]
    return windows::run(options);
}
