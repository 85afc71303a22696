//! Hostile bytes.

use super::*;
use proptest::prelude::*;

/// Runs every operation on these bytes.
fn use_up(bytes: &[u8]) {
    let Ok(mut dump) = Dump::parse(bytes) else { return };
    let encoded = dump.encode();
    assert!(bytes.starts_with(&encoded));
    assert_eq!(Dump::parse(&encoded).unwrap().encode(), encoded);
    let names: Vec<String> = dump.names().map(str::to_owned).collect();
    assert_eq!(names.len(), dump.len());
    for name in names.iter().take(8) {
        assert!(dump.contains(name));
        let alone = dump.dump_of(name);
        let value = dump.value::<Value>(name);
        assert!(!matches!(alone, Ok(None)) && !matches!(value, Ok(None)));
        if let (Ok(Some(alone)), Ok(Some(value))) = (alone, value) {
            assert!(load::<Value>(&alone).is_ok());
            let mut other = dump.clone();
            other.set_dump("another", &alone).unwrap();
            assert_eq!(other.dump_of("another").unwrap(), Some(alone));
            other.set("another", &value).unwrap();
        }
    }
    for name in names.iter().take(4) {
        let before = dump.len();
        if dump.remove(name).is_ok() {
            assert_eq!(dump.len(), before - 1);
        }
    }
    let encoded = dump.encode();
    assert_eq!(Dump::parse(&encoded).unwrap().encode(), encoded);
}

const PARTS: &[&[u8]] = &[
    b"[",
    b"{",
    b"}",
    b"I",
    b"\"\x06a",
    b"\"\x06b",
    b":\x06E",
    b":\x06x",
    b";\0",
    b";\x06",
    b"@\0",
    b"@\x06",
    b"@\x07",
    b"@\x08",
    b"i\0",
    b"0",
    b"T",
    b"F",
    b"u",
    b"U",
    b"o",
    b"S",
    b"e",
    b"C",
    b"d",
    b"f\x061",
    b"l+\x06ab",
    b"c\x06A",
    b"/\x06a\0",
    b"\x06",
    b"\x07",
    b"\0",
    b"\x04\xff\xff\xff\x7f",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn noise_does_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use_up(&bytes);
        bytes.splice(0..0, *b"\x04\x08{\x07\"\x06a");
        use_up(&bytes);
    }

    #[test]
    fn what_looks_like_marshal_does_no_harm(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..60),
    ) {
        use_up(&[b"\x04\x08{\x07\"\x06a", parts.concat().as_slice()].concat());
    }

    #[test]
    fn damaged_fixtures_do_no_harm(
        which in 0..FIXTURES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = FIXTURES[which].1.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        use_up(&bytes);
    }

    #[test]
    fn values_come_back(value in value()) {
        let mut hash = fixture("basic");
        hash.set("foo", &value).unwrap();
        prop_assert_eq!(hash.value("foo").unwrap(), Some(value.clone()));
        prop_assert_eq!(hash.dump_of("foo").unwrap(), Some(dump(&value).unwrap()));
        prop_assert_eq!(load(&dump(&value).unwrap()), Ok(value));
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<i32>().prop_map(|it| Value::I64(it.into())),
        (1_u64 << 63..).prop_map(Value::U64),
        any::<f64>().prop_filter("equal to itself", |it| !it.is_nan()).prop_map(Value::F64),
        any::<String>().prop_map(Value::Str),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        Just(opaque(b"\x04\x08:\x06a")),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner), 0..8).prop_map(Value::Dict),
        ]
    })
}

/// Returns lists, nested this many levels deep.
fn deep(levels: usize) -> Vec<u8> {
    let mut bytes = hash(1, b"\"\x06a");
    bytes.extend(b"[\x06".repeat(levels));
    bytes.push(b'0');
    bytes
}

#[test]
fn no_nesting_is_too_deep() {
    let bytes = deep(200_000);
    let mut dump = Dump::parse(&bytes).unwrap();
    let mut value = &dump.value("a").unwrap().unwrap();
    let mut levels = 0;
    while let Value::List(values) = value {
        value = &values[0];
        levels += 1;
    }
    assert_eq!(levels, 100);
    assert!(matches!(value, Value::Object(bytes) if bytes.len() == 2 * 199_900 + 3));
    let whole: Value = dump.value("a").unwrap().unwrap();
    dump.set("b", &whole).unwrap();
    assert_eq!(dump.dump_of("a").unwrap(), dump.dump_of("b").unwrap());
    for prefix in [&b"I"[..], b"U:\x06U", b"o:\x06O\x06:\x06v", b"e:\x06M", b"Iu:\x06U\0\x06:\x06v"]
    {
        let mut bytes = hash(1, b"\"\x06a");
        bytes.extend(prefix.repeat(100_000));
        use_up(&bytes);
        bytes.push(b'0');
        bytes.extend(vec![0; 100_000]);
        use_up(&bytes);
    }
}

#[test]
fn shared_lists_are_not_expanded_without_end() {
    // Each of 40 lists contains the one before it twice: 2^40 elements.
    let mut bytes = hash(1, b"\"\x06a");
    bytes.extend(b"[\x2d[\0");
    for number in 3_u8..42 {
        bytes.extend([b'[', 7, b'@', number + 5, b'@', number + 5]);
    }
    let dump = Dump::parse(&bytes).unwrap();
    assert!(matches!(dump.value("a").unwrap(), Some(Value::Object(_))));
    // One long text with ten thousand links to it, and one long Symbol.
    for (first, link) in [(b'"', b"@\x08"), (b':', b";\0")] {
        let mut bytes = hash(1, b"\"\x06a[\x02\x11\x27");
        bytes.extend([first, 2, 0x10, 0x27]);
        bytes.extend([b'x'; 10_000]);
        bytes.extend(link.repeat(10_000));
        let dump = Dump::parse(&bytes).unwrap();
        assert!(matches!(dump.value("a").unwrap(), Some(Value::Object(_))));
        assert!(dump.dump_of("a").unwrap().unwrap().len() < bytes.len());
    }
}

#[test]
fn claimed_lengths_are_not_trusted() {
    for letter in [
        &b"\""[..],
        b":",
        b"f",
        b"[",
        b"{",
        b"}",
        b"l+",
        b"/",
        b"c",
        b"o:\x06O",
        b"S:\x06S",
        b"u:\x06U",
    ] {
        for count in [
            &b"\x04\xff\xff\xff\x7f"[..],
            b"\x04\xff\xff\xff\xff",
            b"\x03\xff\xff\xff",
            b"\xfa",
            b"\xfc\0\0\0\x80",
        ] {
            let bytes = [&hash(1, b"\"\x06a"), letter, count].concat();
            assert!(Dump::parse(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn user_defined_objects_that_hold_each_other_end() {
    // u is inside nested lists. Its variables link to all of these lists, the innermost first. Each
    // list links to u once more. Written alone, u would contain itself in each of them.
    const LISTS: u8 = 60;
    let mut bytes = hash(2, b"\"\x06a");
    for _ in 0..LISTS {
        bytes.extend(b"[\x07");
    }
    bytes.extend(b"Iu:\x06U\x02\xe8\x03");
    bytes.extend([b'x'; 1_000]);
    bytes.push(LISTS + 5);
    for number in (2..2 + LISTS).rev() {
        bytes.extend(if number == 1 + LISTS { &b":\x06v"[..] } else { b";\x06" });
        bytes.extend([b'@', number + 5]);
    }
    for _ in 0..LISTS {
        bytes.extend([b'@', 2 + LISTS + 5]);
    }
    bytes.extend([b'"', 6, b'b', b'@', 2 + LISTS + 5]);
    let dump = Dump::parse(&bytes).unwrap();
    // A dump that begins with u would need a copy of u for each list: it is refused.
    assert_eq!(dump.dump_of("b"), Err(ParseError::Tangled));
    assert_eq!(dump.value::<Value>("b"), Err(ParseError::Tangled));
    let mut one = dump.clone();
    assert!(one.remove("a") == Err(ParseError::Tangled) && one.encode() == bytes);
    assert!(dump.dump_of("a").unwrap().unwrap().len() <= bytes.len());
    use_up(&bytes);
    let mut two = Dump::parse(&bytes).unwrap();
    two.set("c", &Value::Nil).unwrap();
    assert_eq!(two.dump_of("a").unwrap(), dump.dump_of("a").unwrap());
}
