use crate::{Dump, Node, Owned, ParseError, Tree, Value, classes, dump, load};
use std::borrow::Cow;

mod links;
mod hostile;
mod types;

const FIXTURES: [(&str, &[u8]); 12] = [
    ("basic", include_bytes!("../tests/fixtures/basic.bin")),
    ("bignum", include_bytes!("../tests/fixtures/bignum.bin")),
    ("cyc", include_bytes!("../tests/fixtures/cyc.bin")),
    ("float", include_bytes!("../tests/fixtures/float.bin")),
    ("nested", include_bytes!("../tests/fixtures/nested.bin")),
    ("range", include_bytes!("../tests/fixtures/range.bin")),
    ("samestring", include_bytes!("../tests/fixtures/samestring.bin")),
    ("struct", include_bytes!("../tests/fixtures/struct.bin")),
    ("sym", include_bytes!("../tests/fixtures/sym.bin")),
    ("time", include_bytes!("../tests/fixtures/time.bin")),
    ("usascii", include_bytes!("../tests/fixtures/usascii.bin")),
    ("utf8", include_bytes!("../tests/fixtures/utf8.bin")),
];

fn fixture(name: &str) -> Dump {
    let (_, bytes) = FIXTURES.iter().find(|it| it.0 == name).unwrap();
    Dump::parse(bytes).unwrap()
}

fn text(text: &str) -> Value {
    Value::Str(text.into())
}

fn opaque(bytes: &[u8]) -> Value {
    Value::Object(bytes.to_vec())
}

/// Returns a Hash of these entries, each of key and value as in a dump.
fn hash(count: u8, entries: &[u8]) -> Vec<u8> {
    [&[4, 8, b'{', if count == 0 { 0 } else { count + 5 }], entries].concat()
}

#[test]
fn every_fixture_comes_back_byte_for_byte() {
    for (name, bytes) in FIXTURES {
        let mut garbage = bytes.to_vec();
        garbage.extend(b"\0\0 what a longer map left behind");
        assert_eq!(Dump::parse(&garbage).unwrap().encode(), bytes, "{name}");
        // A change and its reversal write the dump again, with new numbers for all objects.
        let mut anew = Dump::parse(bytes).unwrap();
        anew.set("one more", &Value::Nil).unwrap();
        assert!(anew.remove("one more").unwrap());
        assert_eq!(anew.encode(), bytes, "{name}");
    }
}

#[test]
fn the_fixtures_hold_what_ruby_put_in() {
    let basic = fixture("basic");
    assert_eq!(basic.names().collect::<Vec<_>>(), ["foo", "bar"]);
    assert_eq!(basic.value("foo").unwrap(), Some(text("hello")));
    assert_eq!(basic.value("bar").unwrap(), Some(Value::I64(77)));
    assert_eq!(basic.value::<Value>("baz").unwrap(), None);
    assert_eq!(fixture("bignum").value("t").unwrap(), Some(Value::I64(5_000_000_000)));
    let float = fixture("float");
    assert_eq!(float.value("f").unwrap(), Some(Value::F64(3.25)));
    assert_eq!(float.value("i").unwrap(), Some(Value::F64(f64::INFINITY)));
    assert!(matches!(float.value("n").unwrap(), Some(Value::F64(nan)) if nan.is_nan()));
    let list = vec![Value::I64(1), text("x"), Value::I64(3), Value::Nil, Value::Bool(true)];
    let nested = Value::Dict(vec![(text("foo"), Value::I64(0)), (text("l"), Value::List(list))]);
    assert_eq!(fixture("nested").value("h").unwrap(), Some(nested));
    assert_eq!(fixture("samestring").value("b").unwrap(), Some(text("shared")));
    assert_eq!(fixture("usascii").value("s").unwrap(), Some(text("a")));
    assert_eq!(fixture("utf8").value("s").unwrap(), Some(text("hé")));
    assert_eq!(fixture("sym").value("b").unwrap(), Some(opaque(b"\x04\x08:\x06x")));
    assert_eq!(fixture("cyc").value("a").unwrap(), Some(opaque(b"\x04\x08[\x07i\x06@\0")));
    let range = b"\x04\x08o:\x0aRange\x08:\x09exclF:\x0abegini\x06:\x08endi\x08";
    assert_eq!(fixture("range").value("r").unwrap(), Some(opaque(range)));
    let record = b"\x04\x08S:\x0fStruct::Pt\x07:\x06xi\x06:\x06yi\x07";
    assert_eq!(fixture("struct").value("r").unwrap(), Some(opaque(record)));
    let time = b"\x04\x08Iu:\x09Time\x0d \x80\x11\x80\0\0\0\0\x07:\x0boffseti\0:\x09zoneI\"\x08UTC\x06:\x06EF";
    assert_eq!(fixture("time").value("t").unwrap(), Some(opaque(time)));
}

#[test]
fn the_issue_s_example_is_what_set_writes() {
    let mut dump = Dump::new();
    assert_eq!(dump.encode(), [4, 8, 0x7b, 0]);
    dump.set("foo", &text("hello")).unwrap();
    dump.set("bar", &Value::I64(77)).unwrap();
    assert_eq!(dump.encode(), fixture("basic").encode());
}

#[test]
fn a_set_keeps_the_place_of_its_name_and_a_new_one_comes_last() {
    let mut dump = fixture("basic");
    dump.set("foo", &Value::List(vec![text("a"), Value::Bytes(vec![0xff])])).unwrap();
    dump.set("last", &Value::Nil).unwrap();
    assert_eq!(dump.names().collect::<Vec<_>>(), ["foo", "bar", "last"]);
    assert_eq!(dump.len(), 3);
    let wanted = b"\x04\x08{\x08I\"\x08foo\x06:\x06ET[\x07I\"\x06a\x06;\0T\"\x06\xffI\"\x08bar\x06;\0TiRI\"\x09last\x06;\0T0";
    assert_eq!(dump.encode(), wanted);
    assert!(dump.remove("foo").unwrap() && !dump.remove("foo").unwrap());
    assert!(!dump.contains("foo") && dump.contains("bar"));
    assert_eq!(dump.encode(), b"\x04\x08{\x07I\"\x08bar\x06:\x06ETiRI\"\x09last\x06;\0T0");
}

#[test]
fn what_is_no_hash_of_variables_says_what_it_is() {
    let flaw = |bytes: &[u8]| Dump::parse(bytes).unwrap_err();
    assert_eq!(flaw(&[0; 4096]), ParseError::Blank);
    assert_eq!(flaw(b""), ParseError::Truncated);
    assert_eq!(flaw(b"\x04\x08"), ParseError::Truncated);
    assert_eq!(flaw(b"hello"), ParseError::Version(b'h', b'e'));
    assert_eq!(flaw(b"\x04\x09{\0"), ParseError::Version(4, 9));
    assert_eq!(flaw(b"\x04\x08[\0"), ParseError::NotAHash(b'['));
    assert_eq!(flaw(b"\x04\x08I\"\0\x06:\x06ET"), ParseError::NotAHash(b'"'));
    assert!(matches!(flaw(b"\x04\x08?"), ParseError::Invalid(_, 2)));
    // Prefixes before types that cannot have one.
    for prefixed in [&b"I0"[..], b"I@\x06", b"II:\x06a\0\0", b"C:\x06A@\x06", b"e:\x06Mi\0"] {
        let bytes = hash(1, &[b"\"\x06a", prefixed, b"\0\0"].concat());
        assert!(matches!(flaw(&bytes), ParseError::Invalid(..)), "{}", bytes.escape_ascii());
    }
    let basic = fixture("basic").encode();
    for len in 0..basic.len() {
        assert_eq!(flaw(&basic[..len]), ParseError::Truncated, "{len} bytes");
    }
}

/// A type of values of which Marshal cannot express one.
#[derive(Debug, PartialEq)]
enum Mine {
    Foreign,
    Known(Value),
    List(Vec<Mine>),
}

impl Tree for Mine {
    fn node(&self) -> Result<Node<'_, Self>, Cow<'static, str>> {
        match self {
            Self::Foreign => Err("it is foreign".into()),
            Self::Known(Value::I64(number)) => Ok(Node::I64(*number)),
            Self::Known(_) => Ok(Node::Nil),
            Self::List(values) => Ok(Node::List(values)),
        }
    }

    fn of(owned: Owned<Self>) -> Self {
        match owned {
            Owned::I64(number) => Self::Known(Value::I64(number)),
            Owned::List(values) => Self::List(values),
            _ => Self::Foreign,
        }
    }
}

#[test]
fn what_ruby_does_not_know_is_refused_and_nothing_changes() {
    let mut dump = fixture("basic");
    let foreign = || Err(ParseError::Foreign("it is foreign".into()));
    assert_eq!(dump.set("foo", &Mine::Foreign), foreign());
    assert_eq!(dump.set("foo", &Mine::List(vec![Mine::Foreign])), foreign());
    assert_eq!(foreign().unwrap_err().to_string(), "it is foreign");
    assert_eq!(dump.set("foo", &opaque(b"\x04\x08[\x07i")), Err(ParseError::Truncated));
    assert_eq!(dump.set_dump("foo", b"\x04\x0800"), Err(ParseError::Trailing(3)));
    assert_eq!(dump.encode(), fixture("basic").encode());
}

#[test]
fn a_type_of_the_program_is_read_and_written_without_another() {
    let list = Mine::List(vec![Mine::Known(Value::I64(7)), Mine::List(Vec::new())]);
    let bytes = dump(&list).unwrap();
    assert_eq!(bytes, b"\x04\x08[\x07i\x0c[\0");
    assert_eq!(load(&bytes), Ok(list));
    let mut hash = Dump::new();
    hash.set("a", &Mine::Known(Value::I64(1))).unwrap();
    assert_eq!(hash.value("a"), Ok(Some(Mine::Known(Value::I64(1)))));
    assert_eq!(hash.value::<Mine>("b"), Ok(None));
}

#[test]
fn keys_that_are_no_text_are_kept_and_not_shown() {
    // A Symbol, nil, binary bytes, binary ASCII (equal to text for Ruby), US-ASCII, a name twice.
    let entries =
        b":\x06ai\x060i\x07\"\x06\xffi\x08\"\x06bi\x09I\"\x06c\x06:\x06EFi\x0a\"\x06ci\x0b";
    let bytes = hash(6, entries);
    let mut dump = Dump::parse(&bytes).unwrap();
    assert_eq!(dump.names().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(
        dump.value("c").unwrap(),
        Some(Value::I64(6)),
        "the last one counts, as when Ruby loads it"
    );
    assert_eq!(dump.encode(), bytes);
    assert!(dump.remove("c").unwrap());
    assert_eq!(dump.encode(), hash(4, b":\x06ai\x060i\x07\"\x06\xffi\x08\"\x06bi\x09"));
}

#[test]
fn a_hash_with_a_default_or_of_a_class_of_its_own_stays_so() {
    let bytes = b"\x04\x08IC:\x08Sub}\x06\"\x06ai\x06[\0\x06:\x07@vi\x07";
    let mut dump = Dump::parse(bytes).unwrap();
    dump.set("a", &text("b")).unwrap();
    assert_eq!(
        dump.encode(),
        b"\x04\x08IC:\x08Sub}\x06\"\x06aI\"\x06b\x06:\x06ET[\0\x06:\x07@vi\x07"
    );
}

#[test]
fn a_dump_alone_goes_out_and_comes_back() {
    for (name, bytes) in FIXTURES {
        let dump = Dump::parse(bytes).unwrap();
        let mut other = Dump::new();
        for variable in dump.names() {
            let alone = dump.dump_of(variable).unwrap().unwrap();
            other.set_dump(variable, &alone).unwrap();
            assert_eq!(other.dump_of(variable).unwrap(), Some(alone), "{name}: {variable}");
        }
        // Only an object that two variables share becomes two objects.
        if name != "samestring" {
            assert_eq!(other.encode(), bytes, "{name}");
        }
    }
    assert_eq!(load(&dump(&text("é")).unwrap()), Ok(text("é")));
}

/// Of a valid dump each beginning is one that was cut off, and is reported as that.
#[test]
fn a_dump_that_is_cut_off_says_so() {
    for whole in [
        &b"\x04\x08[\x08:\x06aI:\x07\xc3\xa9\x06:\x06ET;\0"[..],
        b"\x04\x08S:\x06P\x07:\x06xi\x02\x00\x01:\x06y\"\x06a",
        b"\x04\x08IC:\x07Re/\x06a\0\x06:\x06EF",
        b"\x04\x08Iu:\x06U\x08abc\x06:\x06ET",
        b"\x04\x08e:\x06MU:\x06U[\x07l-\x07\x01\0\0\x40@\0",
        b"\x04\x08o:\x06O\x06I:\x07\xc3\xa9\x06:\x06ET0",
    ] {
        assert!(load::<Value>(whole).is_ok(), "{}", whole.escape_ascii());
        for len in 0..whole.len() {
            let cut = &whole[..len];
            assert_eq!(load::<Value>(cut), Err(ParseError::Truncated), "{}", cut.escape_ascii());
        }
    }
}

/// Their types are a subset of those of 4.8.
#[test]
fn older_minor_versions_are_read() {
    for minor in 0..=8 {
        assert_eq!(load(&[4, minor, b'i', 12]), Ok(Value::I64(7)), "4.{minor}");
    }
    for (major, minor) in [(4, 9), (3, 8), (5, 0)] {
        let later = Err(ParseError::Version(major, minor));
        assert_eq!(load::<Value>(&[major, minor, b'i', 12]), later);
    }
}

/// A Symbol or a Regexp is no text, also if it has an encoding as text has.
#[test]
fn keys_with_an_encoding_that_are_no_text_are_not_shown() {
    let entries = b"I:\x07\xc3\xa9\x06:\x06ETi\x06I/\x06a\0\x06;\x06Fi\x07";
    let bytes = hash(2, entries);
    let mut dump = Dump::parse(&bytes).unwrap();
    assert_eq!(dump.names().count(), 0);
    assert!(dump.is_empty());
    assert_eq!(dump.value::<Value>("a").unwrap(), None);
    assert_eq!(dump.encode(), bytes);
    dump.set("a", &Value::Nil).unwrap();
    assert!(!dump.is_empty());
}
