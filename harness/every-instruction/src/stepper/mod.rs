//! The harness itself.

mod accept;
mod image;
mod ops;
mod run;
mod stage;
mod trace;
mod walk;
mod window;

use std::process::ExitCode;

pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["probe"] => trace::let_parent_trace(),
        ["act", op, place, target] => ops::act(op, place, target),
        ["take-over", op, place, target] => ops::take_over(op, place, target),
        _ => return run::main(&words),
    }
    ExitCode::SUCCESS
}
