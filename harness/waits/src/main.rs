//! Watches and locks between many processes: `ci/waits`, README.md.

mod locks;
mod many;
mod raw;
mod wake;

use std::{
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

/// What is asked of the harness.
pub struct Plan {
    pub short: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [role, name, rest @ ..] = &*words
        && role.starts_with("as-")
    {
        if let (true, Some(Ok(processor))) =
            (matches!(role.as_str(), "as-echo" | "as-raw"), rest.first().map(|word| word.parse()))
        {
            raw::pin(processor);
        }
        match role.as_str() {
            "as-worker" => locks::worker(name, rest),
            "as-setter" => many::setter(name, rest),
            "as-echo" => wake::echo(name),
            _ => raw::echo(name),
        }
        return ExitCode::SUCCESS;
    }
    let plan = Plan { short: words.iter().any(|word| word == "--short") };
    let parts: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| *word == part);
    let mut right = true;
    for (name, part) in
        [("locks", locks::run as fn(&Plan) -> bool), ("many", many::run), ("wake", wake::run)]
    {
        if wanted(name) {
            watchdog(name, if plan.short { 120 } else { 600 });
            right &= part(&plan);
        }
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends everything where a part takes that long.
fn watchdog(part: &'static str, seconds: u64) {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        println!("WRONG: {part} hangs for {seconds} s");
        std::process::exit(101);
    });
}

/// A second process of this program; killed when dropped.
pub struct Owned(pub Child);

impl Owned {
    pub fn start(role: &str, name: &str, rest: &[&str]) -> Self {
        let exe = std::env::current_exe().expect("this program");
        let mut command = Command::new(exe);
        command.arg(role).arg(name).args(rest).stdin(Stdio::null());
        // Wine now and then refuses to start a process, and starts the next.
        for _ in 0..20 {
            if let Ok(child) = command.spawn() {
                return Self(child);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no process can be started");
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn unique(what: &str) -> String {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    format!("waits.{what}.{}.{:x}", std::process::id(), nanos & 0xffff_ffff)
}

/// xorshift64*.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }
}
