//! Every type of Marshal 4.8, and values encoded and decoded.

use super::*;

/// Checks both directions. `bytes` are from Ruby's own `Marshal.dump` of the value.
fn both_ways(value: &Value, bytes: &[u8]) {
    let bytes = [b"\x04\x08", bytes].concat();
    assert_eq!(dump(value).unwrap(), bytes, "{value:?}");
    assert_eq!(load(&bytes).as_ref(), Ok(value));
}

#[test]
fn numbers_are_as_ruby_writes_them() {
    let fixnums: [(i64, &[u8]); 17] = [
        (0, b"i\0"),
        (1, b"i\x06"),
        (122, b"i\x7f"),
        (123, b"i\x01\x7b"),
        (255, b"i\x01\xff"),
        (256, b"i\x02\0\x01"),
        (65_535, b"i\x02\xff\xff"),
        (65_536, b"i\x03\0\0\x01"),
        ((1 << 30) - 1, b"i\x04\xff\xff\xff\x3f"),
        (-1, b"i\xfa"),
        (-123, b"i\x80"),
        (-124, b"i\xff\x84"),
        (-256, b"i\xff\0"),
        (-257, b"i\xfe\xff\xfe"),
        (-65_537, b"i\xfd\xff\xff\xfe"),
        (-(1 << 30), b"i\xfc\0\0\0\xc0"),
        (-32_768, b"i\xfe\0\x80"),
    ];
    for (number, bytes) in fixnums {
        both_ways(&Value::I64(number), bytes);
    }
    both_ways(&Value::I64(1 << 30), b"l+\x07\0\0\0\x40");
    both_ways(&Value::I64(-(1 << 30) - 1), b"l-\x07\x01\0\0\x40");
    both_ways(&Value::I64(i64::MAX), b"l+\x09\xff\xff\xff\xff\xff\xff\xff\x7f");
    both_ways(&Value::I64(i64::MIN), b"l-\x09\0\0\0\0\0\0\0\x80");
    both_ways(&Value::U64(u64::MAX), b"l+\x09\xff\xff\xff\xff\xff\xff\xff\xff");
    let larger = b"\x04\x08l+\x0a\0\0\0\0\0\0\0\0\x01\0";
    assert_eq!(load(larger), Ok(opaque(larger)));
    let lower = b"\x04\x08l-\x09\x01\0\0\0\0\0\0\x80";
    assert_eq!(load(lower), Ok(opaque(lower)));
    // Four bytes that a 32-bit Ruby would not write.
    assert_eq!(load(b"\x04\x08i\x04\xff\xff\xff\xff"), Ok(Value::I64(0xffff_ffff)));
}

#[test]
fn floats_are_as_ruby_writes_them() {
    let floats: [(f64, &[u8]); 15] = [
        (0.0, b"f\x060"),
        (-0.0, b"f\x07-0"),
        (1.0, b"f\x061"),
        (-1.5, b"f\x09-1.5"),
        (100.0, b"f\x081e2"),
        (123.0, b"f\x08123"),
        (1234.5, b"f\x0b1234.5"),
        (0.1, b"f\x080.1"),
        (0.0001, b"f\x0b0.0001"),
        (0.00012, b"f\x0c0.00012"),
        (0.00001, b"f\x091e-5"),
        (1e100, b"f\x0a1e100"),
        (1.5e-7, b"f\x0b1.5e-7"),
        (f64::INFINITY, b"f\x08inf"),
        (f64::NEG_INFINITY, b"f\x09-inf"),
    ];
    for (number, bytes) in floats {
        both_ways(&Value::F64(number), bytes);
        let back = load(&[b"\x04\x08", bytes].concat());
        assert!(matches!(back, Ok(Value::F64(it)) if it.to_bits() == number.to_bits()));
    }
    assert_eq!(dump(&Value::F64(f64::NAN)).unwrap(), b"\x04\x08f\x08nan");
    // Mantissa bytes after a zero byte, as Ruby 1.8 wrote them.
    let old = b"\x04\x08f\x0a1.1\0\xcd";
    assert_eq!(load(old), Ok(opaque(old)));
    // Numbers for Rust, and not what Ruby writes.
    for text in ["infinity", "NaN", "INF", "+inf", "1E5", &"1".repeat(65)] {
        let bytes = [&b"\x04\x08f"[..], &[text.len() as u8 + 5], text.as_bytes()].concat();
        assert_eq!(load(&bytes), Ok(opaque(&bytes)), "{text}");
    }
}

#[test]
fn text_and_bytes() {
    both_ways(&text("é"), b"I\"\x07\xc3\xa9\x06:\x06ET");
    both_ways(&Value::Bytes(vec![0, 0xff]), b"\"\x07\0\xff");
    both_ways(&Value::Bytes(Vec::new()), b"\"\0");
    for other in [
        // Not in the encoding that it claims.
        &b"\x04\x08I\"\x06\xff\x06:\x06ET"[..],
        b"\x04\x08I\"\x06\xff\x06:\x06EF",
        b"\x04\x08I\"\x06a\x06:\x0dencoding\"\x0eShift_JIS",
        b"\x04\x08I\"\x06a\x07:\x06ET:\x07@vi\x06",
        b"\x04\x08IC:\x08Sub\"\x06a\x06:\x06ET",
    ] {
        assert_eq!(load(other), Ok(opaque(other)));
        assert_eq!(dump(&opaque(other)).unwrap(), other);
    }
}

#[test]
fn lists_and_dictionaries_with_what_only_ruby_knows() {
    let value = Value::List(vec![
        opaque(b"\x04\x08:\x06a"),
        Value::Dict(vec![(opaque(b"\x04\x08:\x06a"), Value::Nil), (text("k"), Value::Bool(false))]),
        opaque(b"\x04\x08c\x0bString"),
    ]);
    both_ways(
        &value,
        b"[\x08:\x06a{\x07;\0"
            .iter()
            .chain(b"0I\"\x06k\x06:\x06ETFc\x0bString")
            .copied()
            .collect::<Vec<_>>()
            .as_slice(),
    );
    // The default is not shown.
    let defaulted: Value = load(b"\x04\x08[\x07}\x06i\x06i\x07\"\x06xi\x08").unwrap();
    let pairs = vec![(Value::I64(1), Value::I64(2))];
    assert_eq!(defaulted, Value::List(vec![Value::Dict(pairs), Value::I64(3)]));
}

#[test]
fn every_other_type_is_kept_as_it_is() {
    for bytes in [
        &b"/\x08a.b\0"[..],
        b"I/\x08a.b\x01\x06:\x06EF",
        b"IC:\x07Re/\x06a\0\x06:\x06EF",
        b"c\x0bString",
        b"m\x0fComparable",
        b"M\x0bKernel",
        b"S:\x06P\x07:\x06xi\x06:\x06y\"\x06a",
        b"o:\x06O\x06:\x07@v[\x06@\0",
        b"o:\x06O\0",
        b"U:\x06U[\x07i\x06@\0",
        b"U:\x0dRational[\x07i\x06i\x07",
        b"u:\x06U\x08abc",
        b"Iu:\x06U\x08abc\x06:\x06ET",
        b"d:\x06D[\0",
        b"e:\x06Mo:\x06O\0",
        b"e:\x06Me:\x06N[\0",
        b"C:\x09Hash{\x06i\x06i\x07",
        b"C:\x06A[\0",
        b"I[\0\x06:\x07@vi\x06",
        b"I{\0\x06:\x06KT",
        b"I:\x07\xc3\xa9\x06:\x06ET",
        b"I:\x06\x82\x06:\x0dencoding\"\x0eShift_JIS",
        b"Ie:\x06M\"\x06a\x06:\x06ET",
    ] {
        let alone = [b"\x04\x08", bytes].concat();
        assert_eq!(load(&alone), Ok(opaque(&alone)), "{}", bytes.escape_ascii());
        // Into a Hash, after another key, and out again.
        let mut dump = Dump::new();
        dump.set("before", &text("x")).unwrap();
        dump.set_dump("it", &alone).unwrap();
        dump.set("behind", &Value::F64(1.5)).unwrap();
        assert_eq!(dump.dump_of("it").unwrap().unwrap(), alone, "{}", bytes.escape_ascii());
        assert_eq!(Dump::parse(&dump.encode()).unwrap().encode(), dump.encode());
        assert!(dump.remove("before").unwrap());
        assert_eq!(dump.dump_of("it").unwrap().unwrap(), alone, "{}", bytes.escape_ascii());
        assert_eq!(dump.value("behind").unwrap(), Some(Value::F64(1.5)));
    }
}

/// The names that Ruby's loader would resolve, and no other Symbols or texts.
#[test]
fn the_classes_of_a_dump_are_named() {
    let named = |bytes: &[u8]| -> Vec<String> {
        classes(&[b"\x04\x08", bytes].concat()).unwrap().into_iter().collect()
    };
    for (bytes, expected) in [
        (b"0".as_slice(), vec![]),
        (b"I\"\x0dString:A\x06:\x06ET", vec![]),
        (b"{\x06:\x06AI:\x07\xc3\xa9\x06:\x06ET", vec![]),
        (b"/\x06A\0", vec![]),
        (b"o:\x06A\x06:\x07@bi\x06", vec!["A"]),
        (b"[\x07o:\x06A\0o;\0\0", vec!["A"]),
        (b"[\x07o:\x06A\0o:\x06B\x06:\x07@ao;\0\0", vec!["A", "B"]),
        (b"S:\x06S\x06:\x06aS:\x06T\0", vec!["S", "T"]),
        (b"Iu:\x06U\x08abc\x06:\x06zo:\x06Z\0", vec!["U", "Z"]),
        (b"U:\x06U[\x06o:\x06V\0", vec!["U", "V"]),
        (b"d:\x06D[\0", vec!["D"]),
        (b"e:\x06Mo:\x06O\0", vec!["M", "O"]),
        (b"IC:\x06S\"\x06a\x06:\x06ET", vec!["S"]),
        (b"c\x0aA::B:", vec!["A::B:"]),
        (b"[\x07m\x06MM\x06N", vec!["M", "N"]),
        (b"}\0o:\x06A\0", vec!["A"]),
        (b"I[\0\x06:\x07@vo:\x06A\0", vec!["A"]),
        (b"I/\x06a\0\x06:\x06Ec\x06A", vec!["A"]),
        (b"o:\x06\xff\0", vec!["\u{fffd}"]),
    ] {
        assert_eq!(named(bytes), expected, "{}", bytes.escape_ascii());
    }
    // The deepest nesting that is allowed, and one level more.
    let nested = |levels: usize| [b"\x04\x08".as_slice(), &b"[\x06".repeat(levels), b"0"].concat();
    assert_eq!(classes(&nested(499)).map(|names| names.len()), Ok(0));
    assert_eq!(classes(&nested(500)), Err(ParseError::Deep(500)));
    let wide = [b"\x04\x08[\x02\xe8\x03".as_slice(), &b"[\x06i\0".repeat(1000)].concat();
    assert_eq!(classes(&wide).map(|names| names.len()), Ok(0));
    assert_eq!(classes(b"\x04\x08o:\x06A"), Err(ParseError::Truncated));
    assert_eq!(classes(b"\x04\x0800"), Err(ParseError::Trailing(3)));
}

#[test]
fn integers_are_fixnums_up_to_31_bits_and_else_bignums() {
    let with_head = |rest: &[u8]| [b"\x04\x08".as_slice(), rest].concat();
    for (number, wanted) in [
        (5, b"i\x0a".as_slice()),
        ((1 << 30) - 1, b"i\x04\xff\xff\xff\x3f"),
        (1 << 30, b"l+\x07\0\0\0\x40"),
        (-(1 << 30), b"i\xfc\0\0\0\xc0"),
        (-(1 << 30) - 1, b"l-\x07\x01\0\0\x40"),
        (5_000_000_000, b"l+\x08\0\xf2\x05\x2a\x01\0"),
        (i64::MIN, b"l-\x09\0\0\0\0\0\0\0\x80"),
    ] {
        let bytes = with_head(wanted);
        assert_eq!(dump(&Value::I64(number)).unwrap(), bytes, "{number}");
        assert_eq!(load::<Value>(&bytes).unwrap(), Value::I64(number));
    }
    // Without a sign in their type.
    assert_eq!(dump(&Value::U64(5)).unwrap(), with_head(b"i\x0a"));
    assert_eq!(dump(&Value::U64(1 << 30)).unwrap(), with_head(b"l+\x07\0\0\0\x40"));
    // Ruby never writes one of these, and reads them.
    assert_eq!(load::<Value>(b"\x04\x08l+\x06\0\0").unwrap(), Value::I64(0));
    assert_eq!(crate::tree::number::bignum_bytes(0), (b'+', vec![0, 0]));
}

/// A list of something and of links to it.
fn shared(what: &[u8], links: usize) -> Vec<u8> {
    let head = [b"\x04\x08[".as_slice(), &[u8::try_from(links + 1).unwrap() + 5]].concat();
    [head, what.to_vec(), b"@\x06".repeat(links)].concat()
}

/// Lists and pairs of more than 255 elements have their number in two bytes.
fn many(letter: u8, count: u16, elements: &[u8]) -> Vec<u8> {
    [&[letter, 2], count.to_le_bytes().as_slice(), elements].concat()
}

#[test]
fn what_is_shared_is_copied_as_long_as_it_takes_little_more_than_the_dump() {
    // Some memory may always be used.
    let few = [b"[\x19".as_slice(), &[b'0'; 20]].concat();
    let Value::List(lists) = load(&shared(&few, 20)).unwrap() else { panic!("no list") };
    assert_eq!((lists.len(), &lists[20]), (21, &Value::List(vec![Value::Nil; 20])));
    // Each nil of a long list takes one byte in the dump.
    let nils = many(b'[', 60_000, &vec![b'0'; 60_000]);
    let whole = [b"\x04\x08".as_slice(), &nils].concat();
    assert_eq!(load::<Value>(&whole).unwrap(), Value::List(vec![Value::Nil; 60_000]));

    // Copies of a list, and of a dictionary, that would take several times the dump.
    for shared in
        [shared(&many(b'[', 1000, &[b'0'; 1000]), 4), shared(&many(b'{', 500, &[b'0'; 1000]), 2)]
    {
        assert_eq!(load::<Value>(&shared).unwrap(), opaque(&shared));
    }
}
