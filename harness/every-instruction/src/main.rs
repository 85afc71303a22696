//! The memory of a map after every machine instruction of its operations, taken over as after a
//! death there. `ci/every-instruction` runs it.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod accept;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod image;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ops;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod run;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stage;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod trace;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod walk;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod window;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["probe"] => trace::let_parent_trace(),
        ["act", op, place, target] => ops::act(op, place, target),
        ["take-over", op, place, target] => ops::take_over(op, place, target),
        _ => return run::main(&words),
    }
    std::process::ExitCode::SUCCESS
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> std::process::ExitCode {
    println!("SKIPPED: stepping through machine instructions takes Linux on x86-64");
    std::process::ExitCode::from(77)
}
