//! The program `mapvar-bridge`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    mapvar_bridge::main()
}
