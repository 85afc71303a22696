//! What this machine is and has.

use crate::Result;
use std::process::Command;

/// Returns what a program prints. It runs in the folder of the sources.
pub fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// `MAPVAR_MACHINE`, or the host's name; then the processor and the number of cores.
pub fn about() -> String {
    let name = std::env::var("MAPVAR_MACHINE")
        .or_else(|_| said("uname", &["-n"]))
        .unwrap_or_else(|_| "unknown".into());
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = about
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = cores();
    format!("{name}, {processor}, {cores} cores")
}

/// Returns the number of processors, not only of those that this thread may use.
pub fn cores() -> usize {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    about.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// Returns how many bytes of memory programs can still get.
pub fn memory() -> Result<u64> {
    let about = std::fs::read_to_string("/proc/meminfo")?;
    let line = about.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no memory?")?;
    Ok(kilobytes.trim().parse::<u64>()? << 10)
}

/// Returns how many bytes the disk has free.
pub fn disk() -> Result<u64> {
    let program = std::env::current_exe()?;
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(program).output()?;
    let said = String::from_utf8(output.stdout)?;
    Ok(said.lines().nth(1).ok_or("df says nothing")?.trim().parse()?)
}
