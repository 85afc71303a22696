use super::{error::Mismatch, *};
use crate::Value;
use de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use mapvar_engine::value::Data;
use mapvar_os::ErrorKind;
use serde_bytes::ByteBuf;
use std::{collections::BTreeMap, fmt};

/// The fast path encodes and decodes as the full codec does, or not at all.
fn agrees<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
    let full = captured(value);
    if let Some((kind, word)) = plain(value) {
        assert_eq!(kind, full.kind().unwrap(), "{value:?}");
        assert!(matches!(full.data, Data::Word(full) if full == word), "{value:?}");
    }
    for number in 0..=255 {
        for word in [0, 1, 2, 127, 200, 1 << 40, 1 << 63, u64::MAX, 1.5_f64.to_bits()] {
            let fast = of_plain::<T>(Desc::new(8, number), word);
            let full = decode::<T>(OwnedValue { kind: number, type_id: 0, data: Data::Word(word) });
            if let Some(fast) = fast {
                // Compared by their `Debug` output, because a NaN is not equal to itself.
                let shown = (format!("{fast:?}"), format!("{:?}", full.unwrap()));
                assert_eq!(shown.0, shown.1, "kind {number} word {word:#x}");
            }
        }
    }
}

/// The encoded value, as it is copied out of a slot.
fn captured<T: Serialize + ?Sized>(value: &T) -> OwnedValue {
    encode(value, &mut |raw| OwnedValue::of(raw)).unwrap()
}

fn kind<T: Serialize + ?Sized>(value: &T) -> Kind {
    captured(value).kind().unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn same<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T, expected: Kind) {
    let through = captured(&value);
    assert_eq!(through.kind().unwrap(), expected, "{value:?}");
    assert_eq!(decode::<T>(through.clone()).unwrap(), value);
    agrees(&value);
    // The `Value` that the command would show encodes to the same bytes.
    let shown = decode::<Value>(through.clone()).unwrap();
    let again = encode(&shown, &mut |raw| (raw.kind, format!("{:?}", raw.payload))).unwrap();
    let first = encode(&value, &mut |raw| (raw.kind, format!("{:?}", raw.payload))).unwrap();
    assert_eq!(again, first, "{value:?}");
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Pose {
    x: f64,
    tag: Option<String>,
    joints: Vec<i32>,
    raw: Vec<u8>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Mode {
    Off,
    Speed(u32),
    Point { x: i8 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Meters(f64);

#[test]
fn every_shape_comes_back() {
    same((), Kind::Nil);
    same(None::<i32>, Kind::Nil);
    same(Some(5), Kind::I64);
    same(true, Kind::Bool);
    same(i8::MIN, Kind::I64);
    same(i64::MIN, Kind::I64);
    same(i64::MAX as u64, Kind::I64);
    same(u64::MAX, Kind::U64);
    same(-0.5_f64, Kind::F64);
    same(f64::INFINITY, Kind::F64);
    same(1.5_f32, Kind::F64);
    same('é', Kind::Str);
    same(String::from("héllo €"), Kind::Str);
    same(String::new(), Kind::Str);
    same(vec![0_u8, 255, 7], Kind::Bytes);
    same([1_u8, 2, 3, 4], Kind::List);
    same((1_u8, 2_u8), Kind::List);
    same(vec![1_i32, -2], Kind::List);
    same(Vec::<u8>::new(), Kind::List);
    same((1_u8, String::from("two"), 3.0), Kind::List);
    same(BTreeMap::from([(String::from("a"), 1), (String::from("b"), 2)]), Kind::Dict);
    same(Pose { raw: vec![9, 8], tag: Some("t".into()), ..Pose::default() }, Kind::Dict);
    same(Mode::Off, Kind::Str);
    same(Mode::Speed(3), Kind::Dict);
    same(Mode::Point { x: -1 }, Kind::Dict);
    same(Meters(2.5), Kind::F64);
}

#[test]
fn nan_keeps_its_bits() {
    let bits = 0x7ff8_0000_0000_1234;
    let back: f64 = decode(captured(&f64::from_bits(bits))).unwrap();
    assert_eq!(back.to_bits(), bits);
}

#[test]
fn a_struct_is_stored_with_the_names_of_its_fields() {
    let value = decode::<Value>(captured(&Mode::Point { x: 3 })).unwrap();
    assert_eq!(value.to_string(), r#"{"Point": {"x": 3}}"#);
    let pose = decode::<Value>(captured(&Pose { raw: vec![1, 2], ..Pose::default() })).unwrap();
    assert_eq!(pose.to_string(), r#"{"x": 0.0, "tag": nil, "joints": [], "raw": [1, 2]}"#);
}

#[test]
fn integers_convert_with_a_check_of_their_range() {
    assert_eq!(decode::<u8>(captured(&200_i64)).unwrap(), 200);
    let error = decode::<u8>(captured(&300)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("300 does not fit u8"), "{error}");
    assert_eq!(decode::<u64>(captured(&-1)).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(decode::<i64>(captured(&u64::MAX)).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(decode::<i128>(captured(&u64::MAX)).unwrap(), i128::from(u64::MAX));
    let error = encode(&i128::MAX, &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
}

#[test]
fn kinds_never_convert_silently() {
    for (error, what) in [
        (decode::<i64>(captured(&1.0)).map(|_| ()).unwrap_err(), "float as int"),
        (decode::<bool>(captured(&1)).map(|_| ()).unwrap_err(), "int as bool"),
        (decode::<String>(captured(&1)).map(|_| ()).unwrap_err(), "int as text"),
        (decode::<i64>(captured("1")).map(|_| ()).unwrap_err(), "text as int"),
        (decode::<Pose>(captured(&[1, 2])).map(|_| ()).unwrap_err(), "list as struct"),
        (decode::<Vec<i32>>(captured("x")).map(|_| ()).unwrap_err(), "text as list"),
        (decode::<()>(captured(&0)).unwrap_err(), "int as nil"),
        (decode::<Mode>(captured("On")).map(|_| ()).unwrap_err(), "no such variant"),
    ] {
        assert_eq!(error.kind(), ErrorKind::WrongKind, "{what}: {error}");
    }
    assert_eq!(decode::<f32>(captured(&1e300)).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(kind("x"), Kind::Str);
}

#[test]
fn hostile_message_pack_is_an_error_and_no_more() {
    let hostile = |kind: Kind, bytes: &[u8]| OwnedValue {
        kind: kind as u8,
        type_id: 0,
        data: Data::Bytes(bytes.to_vec()),
    };
    // A list without its 2^32 - 1 elements; deep nesting; a truncated dictionary.
    let deep = vec![0x91; 100_000];
    for bytes in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &deep, &[0x8f, 0xa1], &[], &[0xc1]] {
        for kind in [Kind::List, Kind::Dict] {
            assert!(decode::<Value>(hostile(kind, bytes)).is_err());
            assert!(decode::<Pose>(hostile(kind, bytes)).is_err());
            assert!(decode::<Vec<u64>>(hostile(kind, bytes)).is_err());
        }
    }
    assert_eq!(
        decode::<String>(hostile(Kind::Str, &[0xff])).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    for number in 0..=255 {
        let captured = OwnedValue { kind: number, type_id: 0, data: Data::Word(7) };
        let _ = decode::<Value>(captured.clone());
        let _ = decode::<Pose>(captured.clone());
        let _ = decode::<u64>(captured);
    }
}

#[test]
fn text_that_is_none_is_told() {
    for bytes in [vec![0xff], vec![b'a', 0xc3], vec![0xed, 0xa0, 0x80]] {
        let captured =
            OwnedValue { kind: Kind::Str as u8, type_id: 0, data: Data::Bytes(bytes.clone()) };
        let error = decode::<String>(captured).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes:?}");
    }
}

/// `check` and `salvage` ask `is_message_pack`, and must refuse what a read refuses.
#[test]
fn bytes_after_the_message_pack_are_damage() {
    let value = |kind: Kind, bytes: &[u8]| OwnedValue {
        kind: kind as u8,
        type_id: 0,
        data: Data::Bytes(bytes.to_vec()),
    };
    // [1], [], {} and {"a": 1}, each with one byte more.
    let cases: [(Kind, &[u8]); 4] = [
        (Kind::List, &[0x91, 1, 0]),
        (Kind::List, &[0x90, 0xc0]),
        (Kind::Dict, &[0x80, 0]),
        (Kind::Dict, &[0x81, 0xa1, b'a', 1, 0xc0]),
    ];
    for (kind, bytes) in cases {
        let whole = &bytes[..bytes.len() - 1];
        assert!(
            is_message_pack(whole) && decode::<Value>(value(kind, whole)).is_ok(),
            "{bytes:x?}"
        );
        assert!(!is_message_pack(bytes), "{bytes:x?}");
        let errors = [
            decode::<Value>(value(kind, bytes)).map(drop).unwrap_err(),
            decode::<Value>(value(kind, bytes)).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes:x?}: {error}");
            assert!(error.to_string().contains("ends 1 bytes before"), "{error}");
        }
    }
    let list = decode::<Vec<u8>>(value(Kind::List, &[0x91, 1, 0])).unwrap_err();
    assert_eq!(list.kind(), ErrorKind::Corrupt, "{list}");
}

/// A deserializer reports a refusal of memory by the text alone.
#[test]
fn a_value_without_memory_is_too_large() {
    assert_eq!(<Mismatch as de::Error>::custom(NO_MEMORY).kind, ErrorKind::TooLarge);
    assert_eq!(<Mismatch as de::Error>::custom("anything else").kind, ErrorKind::WrongKind);
}

/// Otherwise each read and write of a number takes the slow path, which gives the same results.
#[test]
fn the_fast_path_takes_every_number_and_bool() {
    fn fast<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T) {
        let (kind, word) = plain(&value).unwrap();
        assert_eq!(of_plain::<T>(Desc::new(8, kind as u8), word), Some(value));
    }
    fast(true);
    fast(false);
    fast(-1_i8);
    fast(-300_i16);
    fast(i32::MIN);
    fast(i64::MIN);
    fast(200_u8);
    fast(60_000_u16);
    fast(u32::MAX);
    fast(i64::MAX.cast_unsigned());
    fast(u64::MAX);
    fast(-0.25);
    fast(Some(7));
    fast(Meters(2.5));
}

/// Its reader would get `None`.
#[test]
fn some_of_a_newtype_of_nothing_is_refused() {
    #[derive(Serialize)]
    struct Newtype<T>(T);
    let refused = |error: mapvar_os::Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("`Some`"), "{error}");
    };
    refused(encode(&Some(Newtype(None::<i32>)), &mut |_| ()).unwrap_err());
    refused(encode(&[Some(Newtype(None::<i32>))], &mut |_| ()).unwrap_err());
    refused(encode(&[Some(Newtype(Newtype(())))], &mut |_| ()).unwrap_err());
    assert_eq!(kind(&[Some(Newtype(Some(1)))]), Kind::List);
    assert_eq!(kind(&[Newtype(None::<i32>)]), Kind::List);
}

/// What stands within a list instead of the type that the program asks for.
#[test]
fn a_mismatch_within_a_list_names_what_is_there() {
    let list = |element: &[u8]| OwnedValue {
        kind: Kind::List as u8,
        type_id: 0,
        data: Data::Bytes([&[0x91], element].concat()),
    };
    let cases: [(&[u8], &str); 10] = [
        (&[0xc0], "nil"),
        (&[0xc3], "bool"),
        (&[7], "int"),
        (&[0xca, 0, 0, 0, 0], "float"),
        (&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], "float"),
        (&[0xa1, b'a'], "str"),
        (&[0xc4, 1, 0], "bytes"),
        (&[0x90], "list"),
        (&[0x80], "dict"),
        (&[0xd4, 1, 0], "extension"),
    ];
    for (element, found) in cases {
        let (as_text, as_bool) =
            (decode::<[String; 1]>(list(element)), decode::<[bool; 1]>(list(element)));
        if found != "str" {
            let error = as_text.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongKind);
            let text = error.to_string();
            assert!(text.contains(&format!("expected str, found {found}")), "{text}");
        }
        if found != "bool" {
            let text = as_bool.unwrap_err().to_string();
            assert!(text.contains(&format!("expected bool, found {found}")), "{text}");
        }
    }
}

/// MessagePack as a value of this kind.
fn stored(kind: Kind, bytes: &[u8]) -> OwnedValue {
    OwnedValue { kind: kind as u8, type_id: 0, data: Data::Bytes(bytes.into()) }
}

/// What a type that takes anything, as an untagged enum, is given.
#[derive(Debug, PartialEq)]
enum Given {
    Bytes,
    List(Option<usize>),
    Dict(Option<usize>),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes, a list or a dictionary")
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Given, E> {
                Ok(Given::Bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Given, A::Error> {
                let hint = from.size_hint();
                while from.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Given::List(hint))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Given, A::Error> {
                let hint = from.size_hint();
                while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Given::Dict(hint))
            }
        }
        from.deserialize_any(Any)
    }
}

/// An untagged enum finds the variant that was written only if bytes come back as bytes, and a
/// sequence of `u8` as a sequence.
#[test]
fn bytes_and_a_sequence_of_u8_are_told_apart() {
    assert_eq!(decode::<Given>(captured(&ByteBuf::from([1, 2]))).unwrap(), Given::Bytes);
    assert_eq!(decode::<Given>(captured(&vec![1_u8, 2])).unwrap(), Given::List(Some(2)));
    // For a program that asks for a `Value`, both are bytes.
    assert_eq!(decode::<Value>(captured(&vec![1_u8, 2])).unwrap(), Value::Bytes(vec![1, 2]));
    let bytes = captured(&ByteBuf::from([1, 2]));
    assert_eq!(decode::<Value>(bytes).unwrap(), Value::Bytes(vec![1, 2]));
}

/// An empty `Vec<u8>` is stored as a list, and other languages may write bytes as one.
#[test]
fn a_list_of_numbers_reads_as_bytes() {
    assert_eq!(decode::<ByteBuf>(captured(&Vec::<u8>::new())).unwrap(), [0; 0]);
    assert_eq!(decode::<ByteBuf>(captured(&(1_u8, 255_u8))).unwrap(), [1, 255]);
    let error = decode::<ByteBuf>(captured(&(1, 256))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
}

/// A type reserves memory by it.
#[test]
fn lists_and_dictionaries_tell_their_length_first() {
    assert_eq!(
        decode::<Given>(stored(Kind::List, &[0x93, 1, 2, 3])).unwrap(),
        Given::List(Some(3))
    );
    let dict = [0x82, 1, 2, 3, 4];
    assert_eq!(decode::<Given>(stored(Kind::Dict, &dict)).unwrap(), Given::Dict(Some(2)));
}

/// Before a type sees it, and may reserve memory for it.
#[test]
fn a_length_beyond_the_bytes_is_refused_at_once() {
    struct Unread;
    impl<'de> Deserialize<'de> for Unread {
        fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Any;
            impl<'de> Visitor<'de> for Any {
                type Value = Unread;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list or a dictionary")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Unread, A::Error> {
                    Ok(Unread)
                }

                fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Unread, A::Error> {
                    Ok(Unread)
                }
            }
            from.deserialize_any(Any)
        }
    }
    // Three elements of a byte each, and two; three entries of two bytes each, and two and a half.
    for (kind, bytes, expected) in [
        (Kind::List, &[0x93, 1, 2, 3][..], ErrorKind::WrongKind),
        (Kind::List, &[0x93, 1, 2], ErrorKind::Corrupt),
        (Kind::Dict, &[0x83, 1, 2, 3, 4, 5, 6], ErrorKind::WrongKind),
        (Kind::Dict, &[0x83, 1, 2, 3, 4, 5], ErrorKind::Corrupt),
    ] {
        let error = decode::<Unread>(stored(kind, bytes)).map(drop).unwrap_err();
        assert_eq!(error.kind(), expected, "{bytes:x?}: {error}");
    }
}

/// Else the rest of a short tuple would be read as what follows it.
#[test]
fn elements_that_the_type_does_not_have_are_a_mismatch() {
    for error in [
        decode::<(i32, i32)>(captured(&(1, 2, 3))).unwrap_err(),
        decode::<Vec<(i32, i32)>>(captured(&[(1, 2, 3)])).unwrap_err(),
        decode::<((i32, i32), i32)>(captured(&((1, 2, 3),))).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WrongKind, "{error}");
        assert!(error.to_string().contains("expected 2, found 3 elements"), "{error}");
    }
}

/// As other languages may write it.
#[test]
fn a_variant_without_content_may_be_a_dictionary_with_nil() {
    let dict = |content: u8| [&[0x81, 0xa3], &b"Off"[..], &[content]].concat();
    assert_eq!(decode::<Mode>(stored(Kind::Dict, &dict(0xc0))).unwrap(), Mode::Off);
    let error = decode::<Mode>(stored(Kind::Dict, &dict(5))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind, "{error}");
}
