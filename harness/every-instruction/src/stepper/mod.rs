//! The harness itself.

mod image;
mod window;
mod stage;
mod trace;
mod oracle;
mod accept;
mod ops;
mod walk;
mod run;

use std::process::ExitCode;

pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["probe"] => trace::let_parent_trace(),
        ["act", op, place, target] => ops::act(op, place, target),
        ["take-over", op, place, target] => ops::take_over(op, place, target),
        _ => return run::main(),
    }
    ExitCode::SUCCESS
}
