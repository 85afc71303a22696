//! The table of shapes as a program, for the tests of the other languages.
//!
//! ```text
//! shapes table             prints a line for each: name, tab, the shown form
//! shapes write FILE        sets a variable for each in a new map
//! shapes read FILE [END]   reads the variables NAME.END by their types, and compares
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints the table, and what is wrong"
)]

mod table;

use mapvar::Map;
use std::process::ExitCode;
use table::{TABLE, read, write};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["table"] => {
            for (name, shown) in TABLE {
                println!("{name}\t{shown}");
            }
            Ok(Vec::new())
        }
        ["write", file] => Map::options().file(file).create().and_then(|map| {
            write(&map)?;
            map.close().map(|()| Vec::new())
        }),
        ["read", file, end @ ..] => Map::options().file(file).open().and_then(|map| {
            let mut wrong = read(&map, &end.concat());
            let check = map.check()?;
            wrong.extend(check.findings().iter().map(|finding| format!("{finding:?}")));
            Ok(wrong)
        }),
        _ => Ok(vec!["say table, write FILE or read FILE".into()]),
    };
    match done {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            for wrong in wrong {
                eprintln!("shapes: {wrong}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("shapes: {error}");
            ExitCode::FAILURE
        }
    }
}
