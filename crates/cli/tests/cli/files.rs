//! Maps in files: each subcommand, and what it prints.

use crate::harness::{Folder, command, feed, finish, run, start};
use mapvar::{Map, Value};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

#[test]
fn the_synopsis() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    assert_eq!(run(["set", "--file", t, "foo", "hello"]).ok(), "");
    assert_eq!(run(["get", "--file", t, "foo"]).ok(), "hello\n");
    assert_eq!(run(["list", "--file", t]).ok(), "foo\tstr\thello\n");
}

#[test]
fn values_come_back_as_they_were_typed() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    for (typed, kind) in [
        ("77", "int"),
        ("-77", "int"),
        ("18446744073709551615", "uint"),
        ("1.5", "float"),
        ("-2.5", "float"),
        ("true", "bool"),
        ("007", "str"),
        ("two words", "str"),
        ("Grüße", "str"),
        ("", "str"),
    ] {
        run(["set", "--file", t, "v", typed]).ok();
        assert_eq!(run(["get", "--file", t, "v"]).ok(), format!("{typed}\n"));
        assert_eq!(run(["get", "--kind", "--file", t, "v"]).ok(), format!("{kind}\n"), "{typed:?}");
        run(["rm", "--file", t, "v"]).ok();
    }
}

#[test]
fn types_can_be_forced() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    for (name, as_type, typed, shown) in [
        ("s", "str", "77", "77"),
        ("i", "int", "007", "7"),
        ("f", "float", "7", "7.0"),
        ("b", "bool", "false", "false"),
        ("n", "nil", "nil", "nil"),
        ("x", "bytes", "00FF", "0x00ff"),
        ("y", "bytes", "0x", "0x"),
    ] {
        run(["set", "--type", as_type, "--file", t, name, typed]).ok();
        assert_eq!(run(["get", "--file", t, name]).ok(), format!("{shown}\n"), "{as_type}");
    }
    run(["set", "--file", t, "m", "--type", "nil"]).ok();
    run(["set", "--file", t, "z", "--bytes", "01"]).ok();
    run(["set", "--file", t, "dash", "--", "--x"]).ok();
    assert_eq!(
        run(["list", "--file", t]).ok(),
        "b\tbool\tfalse\ndash\tstr\t--x\nf\tfloat\t7.0\ni\tint\t7\nm\tnil\tnil\nn\tnil\tnil\n\
         s\tstr\t77\nx\tbytes\t0x00ff\ny\tbytes\t0x\nz\tbytes\t0x01\n"
    );
}

#[test]
fn standard_input_is_a_value() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    for (input, value) in [
        (&b"hello\n"[..], "hello"),
        (b"hello\r\n", "hello"),
        (b"a\nb\n\n", "a\nb\n"),
        (b"77", "77"),
        (b"", ""),
    ] {
        feed(input, ["set", "--file", t, "v", "-"]).ok();
        assert_eq!(run(["get", "--raw", "--file", t, "v"]).ok(), value);
        assert_eq!(run(["get", "--kind", "--file", t, "v"]).ok(), "str\n");
    }
    feed(b"77\n", ["set", "--file", t, "v", "--type", "int", "-"]).ok();
    assert_eq!(run(["get", "--kind", "--file", t, "v"]).ok(), "int\n");

    let all: Vec<u8> = (0..=255).collect();
    feed(&all, ["set", "--file", t, "all", "--bytes", "-"]).ok();
    assert_eq!(run(["get", "--raw", "--file", t, "all"]).out, all);
    assert!(run(["get", "--file", t, "all"]).ok().starts_with("0x000102"));

    let error = feed(&all, ["set", "--file", t, "v", "-"]).fails(19);
    assert!(error.contains("--bytes"), "{error}");
    assert_eq!(run(["get", "--file", t, "v"]).ok(), "77\n");
    let much = vec![b'x'; 300_000];
    feed(&much, ["set", "--file", t, "v", "--type", "str", "-"]).ok();
    assert_eq!(run(["get", "--raw", "--file", t, "v"]).out, much);
}

#[test]
fn of_several_variables_the_absent_are_told_and_the_others_done() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    for (name, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        run(["set", "--file", t, name, value]).ok();
    }
    assert_eq!(run(["get", "--file", t, "c", "a", "c"]).ok(), "3\n1\n3\n");
    let ran = run(["get", "--file", t, "a", "nope", "b"]);
    assert_eq!((ran.code, &ran.out[..]), (Some(1), &b"1\n2\n"[..]));
    assert!(ran.err.starts_with("mapvar: get variable \"nope\" of map file"), "{}", ran.err);

    let error = run(["rm", "--file", t, "a", "nope", "b"]).fails(1);
    assert!(error.contains("\"nope\""), "{error}");
    assert_eq!(run(["list", "--file", t]).ok(), "c\tint\t3\n");
    assert_eq!(run(["rm", "--file", t, "c"]).ok(), "");
    assert_eq!(run(["list", "--file", t]).ok(), "");
    run(["get", "--file", t, "c"]).fails(1);
    run(["set", "--file", t, "c", "4"]).ok();
    assert_eq!(run(["get", "--file", t, "c"]).ok(), "4\n");
}

#[test]
fn lists_are_sorted_by_the_bytes_of_names_a_line_a_variable() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let map = Map::options().file(t).create().unwrap();
    for name in ["b", "B", "a", "é", "a.b", "10", "9", "two\nlines", "tab\there"] {
        map.set(name, 1).unwrap();
    }
    map.set("list", (1, "x\ty", 2.5)).unwrap();
    map.set("dict", Value::Dict(vec![(Value::from("k"), Value::Nil)])).unwrap();
    map.set("pod", &Value::Pod { type_id: 7, bytes: vec![1, 2] }).unwrap();
    map.set("text", "three\nshort\tlines\u{1b}[2J").unwrap();
    map.set("long", "x".repeat(900)).unwrap();
    map.close().unwrap();
    let table = run(["list", "--file", t]).ok();
    let expected = [
        "10\tint\t1",
        "9\tint\t1",
        "B\tint\t1",
        "a\tint\t1",
        "a.b\tint\t1",
        "b\tint\t1",
        "dict\tdict\t{\"k\": nil}",
        "list\tlist\t[1, \"x\\ty\", 2.5]",
        &format!("long\tstr\t{}", "x".repeat(900)),
        "pod\tpod\tpod 7:0x0102",
        "tab\\u{9}here\tint\t1",
        "text\tstr\tthree\\u{a}short\\u{9}lines\\u{1b}[2J",
        "two\\u{a}lines\tint\t1",
        "é\tint\t1",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    // A pipe gets them unescaped.
    let names = run(["list", "--names", "--file", t]).ok();
    assert!(names.starts_with("10\n9\nB\na\n") && names.contains("two\nlines\n"), "{names:?}");
    assert_eq!(run(["get", "--file", t, "text"]).ok(), "three\nshort\tlines\u{1b}[2J\n");
    assert_eq!(run(["get", "--file", t, "two\nlines"]).ok(), "1\n");
}

#[test]
fn stat_tells_facts_under_stable_keys() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    run(["set", "--size", "100kB", "--file", t, "foo", "hello"]).ok();
    // A map keeps its size.
    run(["set", "--size", "1MiB", "--file", t, "bar", "77"]).ok();
    let stat = run(["stat", "--file", t]).ok();
    let keys: Vec<_> =
        stat.lines().map(|line| line.split_once(": ").expect("key: value")).collect();
    assert_eq!(
        keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        [
            "map",
            "format",
            "variables",
            "size",
            "used",
            "free",
            "overhead",
            "fragmentation",
            "region",
            "allocated",
            "max-size",
            "created",
            "creator"
        ]
    );
    assert_eq!(keys[0].1, format!("file {t}"));
    assert_eq!(keys[1].1, "version 1");
    assert_eq!(keys[2].1, "2");
    assert_eq!(keys[3].1, "100000 bytes");
    let bytes = |at: usize| -> u64 {
        keys[at].1.strip_suffix(" bytes").expect("a unit").parse().expect("a number")
    };
    assert_eq!(bytes(4) + bytes(5) + bytes(6), bytes(8));
    // On Windows a file that may grow is a multiple of 64 KiB.
    let beyond = fs::metadata(t).unwrap().len() - bytes(8);
    assert!(beyond < 65536, "{beyond} bytes too many");
    assert!(bytes(8) <= 65536 && bytes(9) <= 65536, "{} {}", bytes(8), bytes(9));
    assert!(keys[11].1.starts_with("20") && keys[11].1.ends_with('Z'), "{}", keys[11].1);
    assert!(keys[10].1 == "no limit" && keys[12].1.starts_with("process "));
}

#[test]
fn reading_changes_nothing_in_the_file() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    run(["set", "--file", t, "foo", "hello"]).ok();
    let before = fs::read(t).unwrap();
    run(["get", "--file", t, "foo"]).ok();
    run(["list", "--file", t]).ok();
    run(["stat", "--file", t]).ok();
    run(["get", "--file", t, "nope"]).fails(1);
    assert_eq!(before, fs::read(t).unwrap());
}

#[test]
fn a_pipe_that_its_reader_closed_is_success() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let map = Map::options().file(t).size(1 << 20).create().unwrap();
    // More than fits in a pipe.
    for number in 0..200 {
        map.set(&format!("v{number}"), "x".repeat(1000)).unwrap();
    }
    map.close().unwrap();
    for args in [&["list", "--file", t][..], &["list", "--names", "--file", t]] {
        let mut child = start(&mut command(args));
        drop(child.stdout.take());
        let ran = finish(child);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
    }
    assert_eq!(run(["list", "--file", t]).ok().lines().count(), 200);
}

#[test]
fn many_processes_make_one_map() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let children: Vec<_> = (0..8)
        .map(|number| {
            let (name, value) = (format!("v{number}"), number.to_string());
            start(&mut command(["set", "--file", t, &name, &value]))
        })
        .collect();
    for child in children {
        finish(child).ok();
    }
    assert_eq!(run(["list", "--names", "--file", t]).ok(), "v0\nv1\nv2\nv3\nv4\nv5\nv6\nv7\n");
}

/// A copy of a file in use, as `cp` makes it.
fn copy_in_use(folder: &Folder) -> (Map, String) {
    let (live, copy) = (folder.path("live.map"), folder.path("copy.map"));
    let map = Map::options().file(&live).create().unwrap();
    map.set("kept", 1).unwrap();
    map.flush().unwrap();
    map.set("kept", 2).unwrap();
    map.set("lost", 3).unwrap();
    fs::copy(&live, &copy).unwrap();
    (map, copy)
}

#[test]
fn a_loss_is_reported_and_has_an_exit_code_of_its_own() {
    let folder = Folder::new();
    let (map, copy) = copy_in_use(&folder);
    let c = &copy;
    let before = fs::read(c).unwrap();
    for command in [
        &["get", "--file", c, "kept"][..],
        &["list", "--file", c],
        &["stat", "--file", c],
        &["who", "--file", c],
        &["locks", "--file", c],
        &["wait-for", "--file", c],
    ] {
        let ran = run(command);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.err.starts_with("mapvar: the file was recovered"), "{ran:?}");
        assert!(ran.err.contains("2 variables had changed after it"), "{ran:?}");
        assert!(fs::read(c).unwrap() == before, "{command:?} changed the file");
    }
    assert_eq!(run(["get", "--file", c, "kept"]).out, b"1\n");
    // Commands that wait or write do not recover it either.
    for command in [
        &["watch", "--file", c, "kept", "--timeout", "1ms"][..],
        &["wait-for", "--file", c, "kept=1", "--timeout", "1ms"],
        &["set", "--file", c, "kept", "4"],
        &["rm", "--file", c, "kept"],
    ] {
        run(command).fails(28);
        assert!(fs::read(c).unwrap() == before, "{command:?} changed the file");
    }
    let ran = run(["set", "--file", c, "--accept-loss", "kept", "4"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    // There is nothing to report any more.
    assert_eq!(run(["list", "--file", c]).ok(), "kept\tint\t4\n");
    drop(map);
}

#[test]
fn a_map_in_use_is_copied() {
    let folder = Folder::new();
    let (map, _) = copy_in_use(&folder);
    let (live, new) = (&folder.path("live.map"), &folder.path("new.map"));
    assert_eq!(run(["copy", "--file", live, "--into", new]).ok(), "");
    assert_eq!(run(["list", "--file", new]).ok(), "kept\tint\t2\nlost\tint\t3\n");
    run(["copy", "--file", live, "--into", new]).fails(12);
    drop(map);
}

/// A map with a part of the variables, or none, would look like a good copy.
#[test]
fn a_copy_that_is_killed_leaves_no_map_under_its_name() {
    let folder = Folder::new();
    let (live, new) = (&folder.path("live.map"), &folder.path("new.map"));
    let map = Map::options().file(live).create().unwrap();
    for number in 0..3000 {
        map.set(&format!("v{number}"), number).unwrap();
    }
    let mut copy = start(&mut command(["copy", "--file", live, "--into", new]));
    let began = Instant::now();
    // The test ends whether or not the copy is faster than the kill.
    let parts = || fs::read_dir(folder.0.path()).unwrap().count();
    while parts() < 2 && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(1));
    }
    copy.kill().unwrap();
    copy.wait().unwrap();
    if fs::exists(new).unwrap() {
        assert_eq!(Map::options().file(new).open().unwrap().count().unwrap(), 3000);
        fs::remove_file(new).unwrap();
    }
    run(["copy", "--file", live, "--into", new]).ok();
    assert_eq!(Map::options().file(new).open().unwrap().count().unwrap(), 3000);
}

/// What a killed `copy` or `repair` leaves is removed by the next one, and nothing else is.
#[test]
fn what_a_killed_copy_left_is_removed_by_the_next() {
    let folder = Folder::new();
    let (live, new) = (&folder.path("live.map"), &folder.path("new.map"));
    let map = Map::options().file(live).create().unwrap();
    map.set("a", 1).unwrap();
    let mut ended = start(&mut command(["--version"]));
    let dead = ended.id();
    ended.wait().unwrap();
    let part = |pid: &str| folder.path(&format!("new.map.{pid}.part"));
    for repaired in [false, true] {
        let left = part(&dead.to_string());
        drop(Map::options().file(&left).create().unwrap());
        // A map that a process has open stays, whatever its number says; so does what is no map.
        let used = part("2147483646");
        let used_map = Map::options().file(&used).create().unwrap();
        let other = part("2147483645");
        fs::write(&other, "no map").unwrap();
        let named = folder.path("new.map.old.part");
        drop(Map::options().file(&named).create().unwrap());
        if repaired {
            run(["repair", "--file", live, "--into", new]).ok();
        } else {
            run(["copy", "--file", live, "--into", new]).ok();
        }
        assert!(!fs::exists(&left).unwrap(), "it is left");
        drop(used_map);
        for kept in [used, other, named, new.clone()] {
            fs::remove_file(&kept).expect("it was kept");
        }
    }
}
