//! Other users, and names that somebody was quicker to take: `ci/others`. See README.md.

mod table;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use mapvar_processes::{Args, watch};
use std::time::Duration;

fn main() {
    let args = Args::read("others [--short] [--seed S]");
    watch(Duration::from_mins(1));
    #[cfg(unix)]
    unix::run(&args);
    #[cfg(windows)]
    windows::run(&args);
}
