//! Objects and Symbols that several variables share.

use super::*;

#[test]
fn what_was_shared_moves_to_where_it_is_met_first() {
    let mut dump = fixture("samestring");
    assert!(dump.remove("a").unwrap());
    let wanted = b"\x04\x08{\x06I\"\x06b\x06:\x06ETI\"\x0bshared\x06;\0T";
    assert_eq!(dump.encode(), wanted);
    let mut dump = fixture("samestring");
    dump.set("a", &Value::I64(1)).unwrap();
    assert_eq!(dump.value("b").unwrap(), Some(text("shared")));
    assert_eq!(dump.dump_of("b").unwrap().unwrap(), b"\x04\x08I\"\x0bshared\x06:\x06ET");
    let mut dump = fixture("sym");
    assert!(dump.remove("a").unwrap());
    assert_eq!(dump.encode(), b"\x04\x08{\x06I\"\x06b\x06:\x06ET:\x06x");
}

#[test]
fn an_object_within_the_removed_one_is_written_out_where_it_is_needed() {
    // a = [x, [y, x]], b = [a[1]], c = a
    let bytes = hash(3, b"\"\x06a[\x07\"\x06x[\x07\"\x06y@\x08\"\x06b[\x06@\x09\"\x06c@\x07");
    let mut dump = Dump::parse(&bytes).unwrap();
    let (x, y) = (Value::Bytes(b"x".into()), Value::Bytes(b"y".into()));
    let inner = Value::List(vec![y, x.clone()]);
    let c = Value::List(vec![x, inner.clone()]);
    assert_eq!(dump.value("c").unwrap(), Some(c.clone()));
    assert!(dump.remove("a").unwrap());
    // The inner list is in b now, with x in it; c links to both.
    assert_eq!(
        dump.encode(),
        hash(2, b"\"\x06b[\x06[\x07\"\x06y\"\x06x\"\x06c[\x07@\x0a@\x08").as_slice()
    );
    assert_eq!(dump.value("b").unwrap(), Some(Value::List(vec![inner])));
    assert_eq!(dump.value("c").unwrap(), Some(c));
}

#[test]
fn a_user_defined_object_has_its_number_behind_its_instance_variables() {
    // u's variable is a String with number 2, and u has number 3; then a link to each.
    let bytes = hash(2, b"\"\x06a[\x08Iu:\x06U\x06z\x06:\x07@s\"\x06s@\x08@\x09\"\x06b@\x09");
    let mut dump = Dump::parse(&bytes).unwrap();
    let user = b"\x04\x08Iu:\x06U\x06z\x06:\x07@s\"\x06s";
    assert_eq!(dump.value("b").unwrap(), Some(opaque(user)));
    let list = vec![opaque(user), Value::Bytes(b"s".into()), opaque(user)];
    assert_eq!(dump.value("a").unwrap(), Some(Value::List(list)));
    assert!(dump.remove("a").unwrap());
    assert_eq!(dump.encode(), hash(1, b"\"\x06bIu:\x06U\x06z\x06:\x07@s\"\x06s").as_slice());
    // An object with marshal_dump has its number before the object that marshal_dump returned.
    let bytes = hash(2, b"\"\x06a[\x08U:\x06U\"\x06s@\x08@\x09\"\x06b@\x09");
    let dump = Dump::parse(&bytes).unwrap();
    assert_eq!(dump.value("b").unwrap(), Some(Value::Bytes(b"s".into())));
    let user = opaque(b"\x04\x08U:\x06U\"\x06s");
    let list = vec![user.clone(), user, Value::Bytes(b"s".into())];
    assert_eq!(dump.value("a").unwrap(), Some(Value::List(list)));
}

#[test]
fn a_cycle_is_opaque_as_a_whole() {
    // Directly, through an object, and through the Hash itself.
    for (bytes, wanted) in [
        (hash(1, b"\"\x06a[\x06[\x06@\x07"), &b"\x04\x08[\x06[\x06@\0"[..]),
        (hash(1, b"\"\x06a[\x06o:\x06O\x06:\x07@v@\x07"), b"\x04\x08[\x06o:\x06O\x06:\x07@v@\0"),
        (hash(1, b"\"\x06a[\x06@\0"), b"\x04\x08[\x06{\x06\"\x06a@\0"),
        (hash(1, b"\"\x06a@\0"), b"\x04\x08{\x06\"\x06a@\0"),
    ] {
        let dump = Dump::parse(&bytes).unwrap();
        assert_eq!(dump.value("a").unwrap(), Some(opaque(wanted)), "{}", bytes.escape_ascii());
        assert_eq!(dump.dump_of("a").unwrap().unwrap(), wanted);
        let mut other = Dump::new();
        other.set("a", &opaque(wanted)).unwrap();
        assert_eq!(other.dump_of("a").unwrap().unwrap(), wanted);
    }
}

#[test]
fn an_encoding_s_name_is_shared_between_strings() {
    let one = b"I\"\x06a\x06:\x0dencoding\"\x0eShift_JIS";
    let bytes = hash(2, &[b"\"\x06a", &one[..], b"\"\x06bI\"\x06b\x06;\0@\x08"].concat());
    let mut dump = Dump::parse(&bytes).unwrap();
    assert_eq!(
        dump.value("b").unwrap(),
        Some(opaque(b"\x04\x08I\"\x06b\x06:\x0dencoding\"\x0eShift_JIS"))
    );
    assert!(dump.remove("a").unwrap());
    let wanted = hash(1, b"\"\x06bI\"\x06b\x06:\x0dencoding\"\x0eShift_JIS");
    assert_eq!(dump.encode(), wanted);
}

#[test]
fn symbols_are_the_same_by_bytes_and_encoding() {
    let mut dump = Dump::new();
    dump.set_dump("a", b"\x04\x08[\x07:\x06aI:\x07\xc3\xa9\x06:\x06ET").unwrap();
    dump.set_dump("b", b"\x04\x08[\x07I:\x07\xc3\xa9\x06:\x06ET:\x06a").unwrap();
    let wanted = b"\x04\x08{\x07I\"\x06a\x06:\x06ET[\x07:\x06aI:\x07\xc3\xa9\x06;\0TI\"\x06b\x06;\0T[\x07;\x07;\x06";
    assert_eq!(dump.encode(), wanted);
    assert_eq!(
        dump.dump_of("b").unwrap().unwrap(),
        b"\x04\x08[\x07I:\x07\xc3\xa9\x06:\x06ET:\x06a"
    );
}

#[test]
fn links_to_what_is_not_there_yet_are_refused() {
    for bytes in [
        &b"\x04\x08{\x06\"\x06a@\x07"[..],
        b"\x04\x08{\x06\"\x06a;\0",
        b"\x04\x08{\x06\"\x06a@\xfa",
    ] {
        assert!(
            matches!(Dump::parse(bytes), Err(ParseError::Invalid(..))),
            "{}",
            bytes.escape_ascii()
        );
    }
}
