//! Power cuts below real file systems. README.md says what a run is and what it shows.

#[cfg(target_os = "linux")]
mod below;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    below::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    println!("SKIPPED: recording below ext4, xfs and btrfs takes Linux");
    std::process::ExitCode::from(77)
}
