//! `set` without --type keeps the kind of a variable.

use crate::harness::{Folder, Held, feed, run, unique};
use mapvar::Map;

fn set(file: &str, var: &str, typed: &str) {
    run(["set", "--file", file, var, typed]).ok();
}

#[track_caller]
fn shows(file: &str, var: &str, kind: &str, value: &str) {
    assert_eq!(run(["get", "--kind", "--file", file, var]).ok(), format!("{kind}\n"));
    assert_eq!(run(["get", "--file", file, var]).ok(), format!("{value}\n"));
}

#[test]
fn a_variable_keeps_its_kind() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let map = Map::options().file(t).create().unwrap();
    map.set("float", 1.5).unwrap();
    map.set("int", 1).unwrap();
    map.set("uint", u64::MAX).unwrap();
    map.set("bool", true).unwrap();
    map.set("text", "x").unwrap();
    map.set("bytes", mapvar::Value::Bytes(vec![])).unwrap();
    map.close().unwrap();
    for (var, typed, kind, value) in [
        ("float", "5", "float", "5.0"),
        ("float", "-2e300", "float", "-2e300"),
        ("float", "inf", "float", "inf"),
        ("int", "007", "int", "7"),
        ("int", "18446744073709551615", "uint", "18446744073709551615"),
        ("uint", "7", "int", "7"),
        ("bool", "false", "bool", "false"),
        ("text", "77", "str", "77"),
        ("text", "true", "str", "true"),
        ("text", "1.10", "str", "1.10"),
        ("bytes", "00ff", "bytes", "0x00ff"),
    ] {
        set(t, var, typed);
        shows(t, var, kind, value);
    }
    // A value that cannot have the kind changes nothing.
    for (var, typed, kind, value) in [
        ("float", "fast", "float", "inf"),
        ("float", "", "float", "inf"),
        ("float", "1e999", "float", "inf"),
        ("float", "9007199254740993", "float", "inf"),
        ("int", "1.5", "int", "7"),
        ("int", "5.0", "int", "7"),
        ("bool", "1", "bool", "false"),
        ("bytes", "hello", "bytes", "0x00ff"),
    ] {
        if var == "int" {
            set(t, "int", "7");
        }
        let error = run(["set", "--file", t, var, typed]).fails(13);
        assert!(error.contains(&format!("variable {var:?}")), "{error}");
        assert!(error.contains(kind) && error.contains("--type"), "{error}");
        shows(t, var, kind, value);
    }
    run(["set", "--file", t, "float", "fast", "--type", "str"]).ok();
    shows(t, "float", "str", "fast");
}

#[test]
fn a_new_variable_is_printed_as_it_was_typed() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    for (typed, kind) in [
        ("1.10", "str"),
        ("1.1", "float"),
        ("1.", "str"),
        (".5", "str"),
        ("-1.50", "str"),
        ("2.0", "float"),
        ("1e300", "float"),
        ("3.14159265358979323846", "str"),
        ("nil", "str"),
        ("[1]", "str"),
    ] {
        run(["rm", "--file", t, "v"]);
        set(t, "v", typed);
        shows(t, "v", kind, typed);
    }
    // A nil has no kind to keep.
    run(["set", "--file", t, "n", "--type", "nil"]).ok();
    set(t, "n", "1.5");
    shows(t, "n", "float", "1.5");
}

#[test]
fn a_struct_is_changed_from_the_shell() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Car {
        name: String,
        rpm: f64,
        gear: Option<u8>,
        raw: serde_bytes::ByteBuf,
        wheels: [f32; 4],
    }
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let car = |rpm, gear, raw: &[u8], wheels| Car {
        name: "ü \"x\"\n".into(),
        rpm,
        gear,
        raw: serde_bytes::ByteBuf::from(raw),
        wheels,
    };
    let map = Map::options().file(t).create().unwrap();
    map.set("car", car(800.5, None, &[0, 255], [1.5; 4])).unwrap();
    map.set("list", [0.5]).unwrap();
    map.set("empty", mapvar::Value::List(vec![])).unwrap();

    // What `get` prints is what `set` takes.
    let shown = run(["get", "--file", t, "car"]).ok();
    set(t, "car", &shown);
    assert_eq!(map.get::<Car>("car").unwrap(), car(800.5, None, &[0, 255], [1.5; 4]));

    let json = r#"{"name": "\u00fc \"x\"\n", "rpm": 900, "gear": 3,
        "raw": "0x0102", "wheels": [1, 2, 3, 4]}"#;
    set(t, "car", json);
    let new = car(900.0, Some(3), &[1, 2], [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(map.get::<Car>("car").unwrap(), new);
    let shown = run(["get", "--file", t, "car"]).ok();
    assert!(shown.contains("\"rpm\": 900.0") && shown.contains("0x0102"), "{shown}");
    feed(json.as_bytes(), ["set", "--file", t, "car", "-"]).ok();
    assert_eq!(map.get::<Car>("car").unwrap(), new);

    set(t, "list", "[1, 2]");
    assert_eq!(map.get::<Vec<f64>>("list").unwrap(), [1.0, 2.0]);
    set(t, "empty", "[[1], {\"a\": null}]");
    shows(t, "empty", "list", "[[1], {\"a\": nil}]");

    for (var, typed, says) in [
        ("car", "900", "int in JSON"),
        ("car", "[]", "list in JSON"),
        ("car", "{rpm: 900}", "not JSON"),
        ("car", "hello", "not JSON"),
        ("car", r#"{"a": 1, "a": 2}"#, "twice"),
        ("list", "{}", "dict in JSON"),
        ("list", "[18446744073709551616]", "64 bits"),
    ] {
        let error = run(["set", "--file", t, var, typed]).fails(13);
        assert!(error.contains(says) && error.contains("--type"), "{error}");
    }
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    run(["set", "--file", t, "list", &deep]).fails(13);
    assert_eq!(map.get::<Car>("car").unwrap(), new);

    run(["set", "--file", t, "new", "--type", "json", r#"{"a": [1, 2.0, true, null, "x"]}"#]).ok();
    shows(t, "new", "dict", r#"{"a": [1, 2.0, true, nil, "x"]}"#);
    run(["set", "--file", t, "car", "--type", "json", "null"]).ok();
    shows(t, "car", "nil", "nil");
    let error = run(["set", "--file", t, "car", "--type", "json", "{"]).misused();
    assert!(error.contains("not JSON"), "{error}");
    assert_eq!(run(["check", "--file", t]).code, Some(0));
}

#[test]
fn a_value_of_another_language_is_replaced_by_a_type_alone() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let map = Map::options().file(t).create().unwrap();
    map.set("pod", &mapvar::Value::Pod { type_id: 7, bytes: vec![1] }).unwrap();
    map.set("ruby", &mapvar::Value::Opaque { language: 1, bytes: vec![1] }).unwrap();
    for var in ["pod", "ruby"] {
        let error = run(["set", "--file", t, var, "1"]).fails(13);
        assert!(error.contains("cannot be typed") && error.contains("--type"), "{error}");
        run(["set", "--file", t, var, "--type", "int", "1"]).ok();
        shows(t, var, "int", "1");
    }
}

#[test]
fn standard_input_keeps_the_kind_too() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    run(["set", "--file", t, "f", "--type", "float", "1"]).ok();
    feed(b"5\n", ["set", "--file", t, "f", "-"]).ok();
    shows(t, "f", "float", "5.0");
    feed(b"fast\n", ["set", "--file", t, "f", "-"]).fails(13);
    run(["set", "--file", t, "b", "--bytes", "00"]).ok();
    for input in [&b"text\n"[..], b"\xff\n", b""] {
        feed(input, ["set", "--file", t, "b", "-"]).ok();
        assert_eq!(run(["get", "--raw", "--file", t, "b"]).out, input);
        assert_eq!(run(["get", "--kind", "--file", t, "b"]).ok(), "bytes\n");
    }
    let none = &folder.path("none.map");
    feed(b"\xff", ["set", "--file", none, "b", "-"]).fails(19);
    assert!(!std::fs::exists(none).unwrap());
}

#[test]
fn hold_and_wait_for_keep_the_kind_too() {
    let name = &unique("kinds");
    let _held = Held::new([name, "--var", "v=1.5", "--var", "text=1.10"]);
    let _other = Held::new([name, "--join", "--var", "v=5", "--ephemeral", "text=7"]);
    assert_eq!(run(["list", name]).ok(), "text\tstr\t7\nv\tfloat\t5.0\n");
    for condition in ["v=5", "v=5.0", "v=5.00", "text=7", "text!=7.0", "v!=5.1"] {
        run(["wait-for", name, condition, "--timeout", "9s"]).ok();
    }
    let error = run(["hold", name, "--join", "--var", "v=fast"]).fails(13);
    assert!(error.contains("float"), "{error}");
}

#[test]
fn a_map_of_the_gem_keeps_kinds_too() {
    let folder = Folder::new();
    let t = &folder.path("gem.map");
    let map = Map::options().file(t).format(mapvar::Format::Marshal).size(4096).create().unwrap();
    map.set("f", 1.5).unwrap();
    map.set("d", [("a", 1.5)].into_iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap();
    map.close().unwrap();
    let set = |var: &str, typed: &str| {
        run(["set", "--format", "marshal", "--file", t, var, typed]).ok();
        run(["get", "--format", "marshal", "--file", t, var]).ok()
    };
    assert_eq!(set("f", "5"), "5.0\n");
    assert_eq!(set("d", r#"{"a": 5}"#), "{\"a\": 5.0}\n");
}
