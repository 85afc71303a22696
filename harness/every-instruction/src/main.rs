//! The memory of a map after every machine instruction of its operations, recovered as after a
//! death at that instruction.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepper;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    stepper::main()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> std::process::ExitCode {
    println!("SKIPPED: stepping through machine instructions takes Linux on x86-64");
    std::process::ExitCode::from(77)
}
