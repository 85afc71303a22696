//! Errors name the map and the variable, and say nothing twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says what it saw"
)]

use common::unique;
use mapvar::{Error, ErrorKind, Map};
use std::{error::Error as _, io};

mod common;

#[track_caller]
fn names_both<T>(done: Result<T, Error>, map: &str, variable: &str) -> Error {
    let error = done.err().expect("an error");
    let text = error.to_string();
    assert!(text.contains(&format!("{map:?}")), "{text}");
    assert!(text.contains(&format!("{variable:?}")), "{text}");
    error
}

#[test]
fn each_error_names_the_map_and_the_variable() {
    let name = unique("both");
    let map = Map::options().name(&name).create().unwrap();
    let mut watch = map.watch("text").unwrap();
    map.set("text", "hello").unwrap();
    map.atomic_or("count", 1).unwrap();
    assert_eq!(map.to_string(), format!("map {name:?}"));
    names_both(watch.recv().unwrap().get::<i64>(), &name, "text");
    let entry = map.iter().map(Result::unwrap).find(|entry| entry.name() == "text").unwrap();
    names_both(entry.get::<i64>(), &name, "text");
    names_both(map.snapshot(["text"]).unwrap().get::<i64>("text"), &name, "text");
    names_both(map.transaction(|tx| tx.get::<i64>("text")), &name, "text");
    names_both(map.transaction(|tx| tx.set("count", 1)), &name, "count");
    names_both(map.transaction(|tx| tx.remove("count")), &name, "count");
    names_both(map.transaction(|tx| tx.get::<i64>("absent")), &name, "absent");
    let torn = map.transaction(|tx| {
        let text: String = tx.get("text")?;
        map.set("text", &text)?;
        tx.set("other", 1)
    });
    assert_eq!(names_both(torn, &name, "text").kind(), ErrorKind::Conflict);
}

#[test]
fn the_large_value_that_does_not_fit_is_named() {
    let name = unique("large");
    let map = Map::options().name(&name).max_size(256 << 10).create().unwrap();
    let full = map.transaction(|tx| {
        tx.set("small", 1)?;
        tx.set("vast", "x".repeat(8 << 20))
    });
    names_both(full, &name, "vast");
    assert!(!map.contains("small").unwrap());
}

#[test]
fn a_message_has_its_cause_once_and_becomes_one_of_io() {
    let dir = tempfile::tempdir().unwrap();
    let error = Map::options().file(dir.path().join("none").join("x.map")).create().unwrap_err();
    let cause = error.cause().expect("an error of the system").to_string();
    let mut chain = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        chain.push_str(&inner.to_string());
        next = inner.source();
    }
    assert_eq!(chain.matches(&cause).count(), 1, "{chain}");
    let text = error.to_string();
    let error = io::Error::from(error);
    assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotFound, text));
    assert!(error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>));
}
