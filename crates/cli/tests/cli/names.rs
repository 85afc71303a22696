//! Maps by name: `hold`, and the other subcommands in processes of their own.

use crate::harness::{Folder, Held, run, unique, wait};
use std::{
    env::consts::FAMILY,
    process::{Command, Stdio},
};

#[test]
fn the_synopsis() {
    let alpha = &unique("synopsis");
    let mut held = Held::new([alpha.as_str(), "--size", "64KiB"]);
    assert!(held.line.contains(&format!("{alpha:?} of 65536 bytes")), "{}", held.line);
    assert!(held.line.contains("Ctrl-C"), "{}", held.line);
    run(["set", alpha, "bar", "77"]).ok();
    assert_eq!(run(["get", alpha, "bar"]).ok(), "77\n");
    assert_eq!(run(["list", alpha]).ok(), "bar\tint\t77\n");
    run(["rm", alpha, "bar"]).ok();
    run(["get", alpha, "bar"]).fails(1);
    let stat = run(["stat", alpha]).ok();
    assert!(stat.contains(&format!("map: name {alpha}\n")), "{stat}");
    assert!(stat.contains("variables: 0\n"), "{stat}");
    assert!(stat.contains(&format!("creator: process {}\n", held.child.id())), "{stat}");

    // When it is killed, the name is gone.
    held.kill();
    let error = run(["get", alpha, "bar"]).fails(11);
    assert!(error.contains(&format!("mapvar hold {alpha}")), "{error}");
    let error = run(["set", alpha, "bar", "77"]).fails(11);
    assert!(error.contains(&format!("mapvar hold {alpha}")), "{error}");
    assert!(error.contains("--file PATH"), "{error}");
    run(["rm", alpha, "bar"]).fails(11);
    run(["stat", alpha]).fails(11);
}

#[test]
fn hold_sets_variables_of_guessed_types() {
    let name = &unique("vars");
    let _held = Held::new([
        name.as_str(),
        "--var",
        "foo=hello",
        "--var",
        "bar=77",
        "--var",
        "x=1.5",
        "--var",
        "t=a=b",
        "--var",
        "e=",
    ]);
    assert_eq!(
        run(["list", name]).ok(),
        "bar\tint\t77\ne\tstr\t\nfoo\tstr\thello\nt\tstr\ta=b\nx\tfloat\t1.5\n"
    );
}

#[test]
fn there_may_be_two_holders() {
    let name = &unique("two");
    let mut first = Held::new([name.as_str(), "--var", "foo=hello"]);
    let error = run(["hold", name]).fails(12);
    assert!(error.contains("exists already") && error.contains("--join"), "{error}");
    let mut second = Held::new([name.as_str(), "--join", "--var", "bar=77"]);
    assert!(second.line.contains("too"), "{}", second.line);
    first.kill();
    assert_eq!(run(["get", name, "foo", "bar"]).ok(), "hello\n77\n");
    run(["set", name, "foo", "still here"]).ok();
    second.kill();
    run(["get", name, "foo"]).fails(11);
    // No process holds the map any more, so `--join` creates an empty one.
    let third = Held::new([name.as_str(), "--join"]);
    assert!(!third.line.contains("too"), "{}", third.line);
    assert_eq!(run(["list", name]).ok(), "");
}

#[test]
fn a_name_that_a_killed_holder_left_can_be_held_again() {
    let name = &unique("again");
    for round in 0..3 {
        let mut held = Held::new([name.as_str(), "--var", &format!("round={round}")]);
        assert_eq!(run(["get", name, "round"]).ok(), format!("{round}\n"));
        held.kill();
    }
}

#[test]
fn hold_ends_well_when_it_is_told_to() {
    // Only these systems have a signal that asks a process in another console to end.
    if FAMILY != "unix" {
        return;
    }
    for signal in ["INT", "TERM", "HUP"] {
        let name = &unique("signal");
        let mut held = Held::new([name.as_str()]);
        let kill = format!("kill -{signal} {}", held.child.id());
        let status = Command::new("sh").args(["-c", &kill]).stdin(Stdio::null()).status().unwrap();
        assert!(status.success());
        assert_eq!(wait(&mut held.child).code(), Some(0), "{signal}");
        run(["list", name]).fails(11);
    }
}

#[test]
fn global_names_are_others() {
    let name = &unique("global");
    let error = run(["get", name, "foo"]).fails(11);
    assert!(!error.contains("--global"), "{error}");
    let _held = Held::new([name.as_str(), "--global", "--var", "foo=hello"]);
    assert_eq!(run(["get", "--global", name, "foo"]).ok(), "hello\n");
    let stat = run(["stat", "--global", name]).ok();
    assert!(stat.starts_with(&format!("map: global name {name}\n")), "{stat}");
    let error = run(["get", name, "foo"]).fails(11);
    assert!(error.contains("--global"), "{error}");
    let error = run(["get", "--global", &format!("{name}.x"), "foo"]).fails(11);
    assert!(error.contains(&format!("mapvar hold --global {name}.x")), "{error}");
}

#[test]
fn a_full_map_loses_nothing() {
    let name = &unique("full");
    let _held = Held::new([name.as_str(), "--size", "1", "--max-size", "1"]);
    let value = |number: usize| format!("{number:01000}x");
    let mut made = 0;
    let error = loop {
        assert!(made < 1000, "a map of 1 byte took a thousand variables");
        let ran = run(["set", name, &format!("v{made:03}"), &value(made)]);
        if ran.code != Some(0) {
            break ran.fails(15);
        }
        made += 1;
    };
    assert!(error.contains("full") && error.contains("remove variables"), "{error}");
    let expected: Vec<String> =
        (0..made).map(|number| format!("v{number:03}\tstr\t{}", value(number))).collect();
    assert_eq!(run(["list", name]).ok().lines().collect::<Vec<_>>(), expected);
    // Existing variables can be set, and a removal frees space.
    run(["set", name, "v000", "changed"]).ok();
    run(["rm", name, "v000"]).ok();
    run(["set", name, "new", &value(0)]).ok();
    assert_eq!(run(["list", "--names", name]).ok().lines().count(), made);
}

/// `hold`, `get`, `set`, `list`, `stat`, `check` and `unlock` of a map in the layout of Ruby's gem.
#[test]
fn a_map_of_the_gem_is_held_and_recognised() {
    let alpha = &unique("gem");
    let held = Held::new([alpha.as_str(), "--format", "marshal", "--size", "4096"]);
    assert!(held.line.contains("of 4096 bytes"), "{}", held.line);
    run(["set", alpha, "bar", "77"]).ok();
    assert_eq!(run(["list", alpha]).ok(), "bar\tint\t77\n");
    assert_eq!(run(["unlock", alpha]).ok(), "its lock was free\n");
    let error = run(["get", "--format", "store", alpha, "bar"]).fails(11);
    assert!(error.contains("hold"), "{error}");

    let folder = Folder::new();
    let path = &folder.path("gem.map");
    let path = path.as_str();
    let place = ["--file", path];
    let with = |words: &[&str]| {
        let words = [&words[..1], &place, &words[1..]].concat();
        words.into_iter().map(String::from).collect::<Vec<_>>()
    };
    run(with(&["set", "--format", "marshal", "--size", "2000", "foo", "hello"])).ok();
    assert_eq!(run(with(&["get", "foo"])).ok(), "hello\n");
    assert_eq!(run(with(&["check"])).ok(), "1 variable, 0 faults, 0 notes\n");
    let stat = run(with(&["stat"])).ok();
    assert!(stat.contains("format: marshal 4.8"), "{stat}");
    assert!(stat.contains("size: 2000 bytes"), "{stat}");
    assert_eq!(run(with(&["unlock"])).ok(), "its lock was free\n");
    run(with(&["rm", "foo"])).ok();
    assert_eq!(run(with(&["list"])).ok(), "");
}

/// A section that Ruby's gem has made and in which it has set nothing, or only raw bytes.
#[test]
fn a_section_of_the_gem_without_variables_is_named() {
    let raw = &unique("raw");
    let name = mapvar::section::Name::of_gem(raw, mapvar::Scope::Local).unwrap();
    let section = mapvar::section::Section::options().name(name).size(2000).create().unwrap();
    for bytes in [&b""[..], b"hello"] {
        section.view().map().unwrap().write_at(0, bytes).unwrap();
        let error = run(["list", raw]).fails(11);
        assert!(error.contains("use --format marshal"), "{error}");
        let held = Held::new([raw.as_str(), "--format", "marshal", "--size", "2000", "--join"]);
        assert!(held.line.contains("too, in process"), "{}", held.line);
    }
    let error = run(["list", raw, "--format", "marshal"]).fails(24);
    assert!(error.contains("raw bytes"), "{error}");
}
