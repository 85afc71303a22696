//! `mapvar demo`

use crate::harness::{Folder, Ran, command, finish, start};
use std::fs;

#[test]
fn each_process_reads_what_the_other_wrote() {
    let folder = Folder::new();
    let start = || {
        let mut demo = command(["demo"]);
        // The parent of its folder, on Unix and on Windows.
        demo.env("TMPDIR", folder.0.path()).env("TMP", folder.0.path());
        start(&mut demo)
    };
    // Two demonstrations at once do not disturb each other.
    let demos = [start(), start()];
    for demo in demos {
        let pid = demo.id();
        check(finish(demo), pid);
    }
    assert!(fs::read_dir(folder.0.path()).unwrap().next().is_none(), "something is left behind");
}

fn check(ran: Ran, first: u32) {
    let text = ran.ok();
    let lines: Vec<&str> = text.lines().collect();
    let [by_name, n1, n2, n3, n4, by_file, f1, f2, f3, f4, end] = lines[..] else {
        panic!("{text}");
    };
    assert!(by_name.starts_with("By the name "), "{text}");
    assert!(by_file.starts_with("Through the file "), "{text}");
    let second: u32 = n2.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect(n2);
    assert_ne!(first, second);
    for exchange in [[n1, n2, n3, n4], [f1, f2, f3, f4]] {
        assert_eq!(
            exchange,
            [
                format!("  process {first} set  foo = hello, bar = 77"),
                format!("  process {second} read foo = hello, bar = 77"),
                format!("  process {second} set  twice = 154"),
                format!("  process {first} read twice = 154"),
            ]
        );
    }
    assert!(end.contains("both ways"), "{text}");
}
